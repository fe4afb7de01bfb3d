"""The servers of ``triggers.py``, in a process of their own: the local SEI server and a stub of dbt Cloud's API.

Its first line of stdin is a JSON object: ``exports`` (how many) and ``rate_limit``. Prints one JSON line when ready.
After that each line on stdin is a command, answered with one line: ``go <seconds>`` lets everything end evenly spread
over the seconds to come; ``count`` tells the requests and connections of each server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import weakref
from datetime import date, timedelta
from random import Random
from typing import Any

from aiohttp import web

from airflow_provider_sei.local_server.organisation import OWNER
from airflow_provider_sei.local_server.server import LocalServer
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.state import ServerState
from airflow_provider_sei.protocol.families import get_family

FOR_EVER = 1e9
_SUCCESS, _RUNNING = 10, 3  # of dbt Cloud


class DbtStub:
    """Answers every path with the state of the run whose number ends it."""

    def __init__(self, runs: int) -> None:
        self.ends = [FOR_EVER * 10] * runs
        self.requests = 0
        self.connections = 0
        self._seen: weakref.WeakSet[object] = weakref.WeakSet()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.requests += 1
        if request.transport is not None and request.transport not in self._seen:
            self._seen.add(request.transport)
            self.connections += 1
        ended = time.time() >= self.ends[int(request.path.rstrip("/").rsplit("/", 1)[1])]
        return web.json_response({"data": {"status": _SUCCESS if ended else _RUNNING}})


async def serve(exports: int, rate_limit: int | None) -> None:
    """Serve until stdin ends."""
    settings = ServerSettings(seconds_to_complete=FOR_EVER, rate_limit_per_minute=rate_limit)
    server, stub = LocalServer(ServerState(settings)), DbtStub(exports)
    made = [_export(server.state, number) for number in range(exports)]
    port = await server.start("127.0.0.1", 0)
    app = web.Application()
    app.router.add_get("/{path:.*}", stub.handle)
    dbt = web.AppRunner(app, access_log=None)
    await dbt.setup()
    await web.TCPSite(dbt, "127.0.0.1", 0).start()
    ready = {"sei": port, "dbt": dbt.addresses[0][1], "base_path": settings.base_path, "key": settings.api_key}
    ready |= {"project": settings.project, "org": settings.org, "ids": [export.export_id for export in made]}
    _say(ready)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, *rest = line.split()
        if command == "go":
            now, random = time.time(), Random(1)  # noqa: S311 - the same for everybody, not a secret
            ends = [now + random.random() * float(rest[0]) for _ in made]
            for export, end in zip(made, ends, strict=True):
                export.queued_seconds, export.seconds_to_complete = 0.0, end - export.created_at
            stub.ends = ends
            _say(ends)
        else:
            counts = server.state.request_log.counts
            calls = sum(counts["operations"].values())
            _say(
                {
                    "sei": [calls, server.connections, counts["answers"].get("429", 0)],
                    "dbt": [stub.requests, stub.connections, 0],
                }
            )
    await server.stop()
    await dbt.cleanup()


def _export(state: ServerState, number: int) -> Any:
    day = str(date(1990, 1, 1) + timedelta(days=number))
    request = {"scope": {"orgTreeName": "Engineering"}, "dateRange": {"start": day, "end": day}}
    export, _ = state.store.create(get_family("productivity"), request, OWNER, None)
    return export


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(**json.loads(sys.stdin.readline())))
