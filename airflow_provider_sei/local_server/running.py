"""A local SEI server in a thread of this process, for tests."""

from __future__ import annotations

import asyncio
import json
import threading
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from airflow_provider_sei.local_server.app import LocalServer
from airflow_provider_sei.local_server.clock import ServerClock
from airflow_provider_sei.local_server.exports import Outcome
from airflow_provider_sei.local_server.faults import Faults
from airflow_provider_sei.local_server.journal import ExportRecord, LegacyRecord, RequestRecord, export_record
from airflow_provider_sei.local_server.organisation import Organisation
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.world import World

__all__ = ["RunningServer"]

_START_SECONDS = 30.0


class RunningServer:
    """A server on a free loopback port, from entering the context to leaving it.

    ::

        with RunningServer(ServerSettings(seconds_to_complete=0)) as server:
            requests.post(server.base_url + "/v2/insights/productivity/exports", ...)
            assert server.exports[0].requested == 1

    Everything here may be used from the thread of the test while the server works.

    Args:
        settings: how it behaves; the defaults if ``None``.
        clock: its time; by default the wall clock, as fast as ``settings.clock_speed`` says.
        host: where it listens.
        port: 0 takes any free one.
    """

    def __init__(
        self,
        settings: ServerSettings | None = None,
        *,
        clock: ServerClock | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._world = World(settings or ServerSettings(), clock)
        self._host = host
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._stopped = asyncio.Event()
        self._failure: BaseException | None = None
        self._server: LocalServer | None = None
        self._thread = threading.Thread(target=self._run, name="local-sei-server", daemon=True)

    def __enter__(self) -> Self:
        """Start the server and wait until it listens.

        Raises:
            RuntimeError: it could not listen; the cause says why.
        """
        self._thread.start()
        self._ready.wait(_START_SECONDS)
        if self._failure is not None or self._server is None:
            msg = f"the local SEI server did not start on {self._host}:{self._port}"
            raise RuntimeError(msg) from self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections and wait until the thread has ended."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @property
    def settings(self) -> ServerSettings:
        """How the server behaves."""
        return self._running().world.settings

    @property
    def origin(self) -> str:
        """Scheme, host and port: ``http://127.0.0.1:43210``."""
        return f"http://{self._host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What a connection's host field takes: the origin and the base path."""
        return self.origin + self.settings.base_path.rstrip("/")

    @property
    def api_key(self) -> str:
        """The key that may do everything."""
        return self.settings.api_key

    @property
    def project(self) -> str:
        """The ``projectIdentifier`` that the key belongs to."""
        return self.settings.project

    @property
    def org(self) -> str:
        """The ``orgIdentifier`` that the key belongs to."""
        return self.settings.org

    @property
    def clock(self) -> ServerClock:
        """The server's time; ``server.clock.advance(60)`` lets a minute pass."""
        return self._running().world.clock

    @property
    def faults(self) -> Faults:
        """The armed faults; ``server.faults.add("download", "cut", after_bytes=10)`` arms one."""
        return self._running().world.faults

    @property
    def organisation(self) -> Organisation:
        """The teams and org trees that the server knows."""
        return self._running().world.organisation

    @property
    def exports(self) -> list[ExportRecord]:
        """Every export ever created, with its file."""
        world = self._running().world
        now = world.clock()
        return [export_record(world.store, export, now) for export in world.store.all()]

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request to the API, in the order of the answers."""
        return self._running().world.journal.requests()

    @property
    def legacy_reports(self) -> list[LegacyRecord]:
        """Every legacy report that was handed out."""
        return self._running().world.journal.legacy_reports()

    @property
    def connections(self) -> int:
        """How many TCP connections have carried a request."""
        return self._running().connections

    def end_export(self, export_id: str, status: str, error: Any = None) -> None:
        """Let an export end otherwise than it would have: ``server.end_export(export_id, "cancelled")``.

        Raises:
            LookupError: the server knows no such export.
        """
        export = self._running().world.store.get(None, export_id)
        if export is None:
            msg = f"no such export: {export_id}"
            raise LookupError(msg)
        export.outcome = Outcome(status=status, error=error)

    def reset(self, clock: ServerClock | None = None, **settings: Any) -> None:
        """Forget all exports, requests and faults; change the named settings, keep the others.

        Raises:
            ValueError: a name is not a setting.
        """
        self._running().world = World(self.settings.changed(settings), clock)

    def connection_json(self, **extra: Any) -> str:
        """Return an Airflow connection to this server as JSON, for ``AIRFLOW_CONN_SEI_DEFAULT``."""
        return json.dumps(
            {
                "conn_type": "harness_sei",
                "host": self.base_url,
                "password": self.api_key,
                "extra": {"project_identifier": self.project, "org_identifier": self.org, **extra},
            }
        )

    @property
    def connection_uri(self) -> str:
        """An Airflow connection to this server as a URI."""
        query = urlencode({"project_identifier": self.project, "org_identifier": self.org})
        return f"harness-sei://:{quote(self.api_key, safe='')}@{quote(self.base_url, safe='')}/?{query}"

    def _running(self) -> LocalServer:
        if self._server is None:
            msg = "the local SEI server is not running: use it as a context manager"
            raise RuntimeError(msg)
        return self._server

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the start
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = LocalServer(self._world)
        runner, self._port = await server.start(self._host, self._port)
        self._server = server
        self._ready.set()
        await self._stopped.wait()
        await server.stop(runner)
