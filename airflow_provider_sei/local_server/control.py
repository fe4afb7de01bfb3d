"""The control API under ``/_local/``, for tests and demonstrations in another process. It needs no key."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from airflow_provider_sei.local_server.faults import EFFECTS
from airflow_provider_sei.local_server.request_log import FileRecord
from airflow_provider_sei.local_server.state import Outcome, ServerState

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from airflow_provider_sei.local_server.server import LocalServer


def control_app(server: LocalServer) -> web.Application:
    """Return the application for ``/_local/``."""
    control = _Control(server)
    app = web.Application(middlewares=[_bad_request])
    app.add_routes(
        [
            web.get("/health", control.health),  # clock, exports, connections, requests by operation and by status
            web.get("/requests", control.requests),  # ?last=N: the newest N
            web.get("/exports", control.exports),  # with status, reuse, and size and sha256 of each file
            web.post("/exports/{export_id}", control.change_export),  # {"status": "failed", "error": "..."}
            web.get("/legacy", control.legacy),  # the legacy reports that were sent
            web.get("/effects", control.effects),  # the faults that can be armed
            web.get("/faults", control.faults),  # the armed faults
            web.post("/faults", control.add_fault),  # {"operation": "status", "effect": "answer", "status": 503}
            web.delete("/faults", control.clear_faults),  # disarm all
            web.post("/clock", control.clock),  # move the clock forward: {"advance": 60}
            web.post("/reset", control.reset),  # forget everything; {"settings": {...}} also changes settings
        ]
    )
    return app


@web.middleware
async def _bad_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 400 with the message of an error about an argument."""
    try:
        return await handler(request)
    except (TypeError, ValueError) as error:
        raise web.HTTPBadRequest(text=f"{request.path}: {error}") from error


class _Control:
    def __init__(self, server: LocalServer) -> None:
        self._server = server

    async def health(self, _request: web.Request) -> web.Response:
        state = self._server.state
        answer = {"status": "ok", "now": state.clock(), "exports": len(state.store.all())}
        return web.json_response(answer | {"connections": self._server.connections, **state.request_log.counts})

    async def requests(self, request: web.Request) -> web.Response:
        records = list(self._server.state.request_log.requests)
        last = int(request.query.get("last", len(records)))
        return web.json_response([dataclasses.asdict(record) for record in records[max(0, len(records) - last) :]])

    async def exports(self, _request: web.Request) -> web.Response:
        records = await asyncio.to_thread(self._server.state.store.records)
        return web.json_response([_plain(record) for record in records])

    async def change_export(self, request: web.Request) -> web.Response:
        export = self._server.state.store.get(None, request.match_info["export_id"])
        if export is None:
            raise web.HTTPNotFound(text="no such export")
        export.outcome = Outcome(**await _json(request))
        return web.json_response(dataclasses.asdict(export.outcome))

    async def legacy(self, _request: web.Request) -> web.Response:
        return web.json_response([_plain(record) for record in self._server.state.request_log.legacy_reports])

    async def effects(self, _request: web.Request) -> web.Response:
        return web.json_response({name: dataclasses.asdict(effect) for name, effect in EFFECTS.items()})

    async def faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self._server.state.faults.armed())

    async def add_fault(self, request: web.Request) -> web.Response:
        fault = self._server.state.faults.add(**await _json(request))
        return web.json_response(dataclasses.asdict(fault), status=201)

    async def clear_faults(self, _request: web.Request) -> web.Response:
        self._server.state.faults.clear()
        return web.json_response([])

    async def clock(self, request: web.Request) -> web.Response:
        clock = self._server.state.clock
        clock.advance(float((await _json(request)).get("advance", 0)))
        return web.json_response({"now": clock()})

    async def reset(self, request: web.Request) -> web.Response:
        settings = dataclasses.replace(self._server.state.settings, **(await _json(request)).get("settings", {}))
        self._server.state = ServerState(settings)
        return web.json_response({"settings": sorted(field.name for field in dataclasses.fields(settings))})


async def _json(request: web.Request) -> dict[str, Any]:
    body = json.loads(await request.read() or b"{}")
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body


def _plain(record: FileRecord) -> dict[str, Any]:
    """Return a record as JSON values, without the content of its file."""
    return {name: value for name, value in vars(record).items() if name != "body"}
