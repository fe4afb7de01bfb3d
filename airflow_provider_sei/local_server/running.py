"""A local server in a thread of this process, for tests."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any, Self
from urllib.parse import quote, urlencode

from airflow_provider_sei.local_server.faults import Faults
from airflow_provider_sei.local_server.organisation import Organisation
from airflow_provider_sei.local_server.request_log import ExportRecord, LegacyRecord, RequestRecord
from airflow_provider_sei.local_server.server import LocalServer
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.state import Outcome, ServerClock, ServerState

__all__ = ["RunningServer"]


class RunningServer:
    """Run a server on a free loopback port while the context is open: ``with RunningServer() as server: ...``.

    All attributes may be used from the test's thread while the server runs.

    :param settings: its settings; the defaults if ``None``.
    :param clock: its clock; by default the system time at ``settings.clock_speed``.
    :param port: the port to listen on; 0 takes a free one.
    """

    def __init__(
        self, settings: ServerSettings | None = None, *, clock: ServerClock | None = None, port: int = 0
    ) -> None:
        self._first_state = ServerState(settings or ServerSettings(), clock)
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._stopped = asyncio.Event()
        self._failure: BaseException | None = None
        self._server: LocalServer | None = None
        self._thread = threading.Thread(target=self._run, name="local-sei-server", daemon=True)

    def __enter__(self) -> Self:
        """Start the server and wait until it listens.

        :raises RuntimeError: it could not listen; the cause says why.
        """
        self._thread.start()
        self._ready.wait(timeout=30.0)
        if self._failure is not None or self._server is None:
            msg = f"the local SEI server did not start on port {self._port}"
            raise RuntimeError(msg) from self._failure
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections and wait until the thread has ended."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    @property
    def settings(self) -> ServerSettings:
        """The server's settings."""
        return self._running.state.settings

    @property
    def origin(self) -> str:
        """Scheme, host and port: ``http://127.0.0.1:43210``."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """The host of a connection: the origin and the base path."""
        return self.origin + self.settings.base_path.rstrip("/")

    @property
    def api_key(self) -> str:
        """The key with access to everything."""
        return self.settings.api_key

    @property
    def project(self) -> str:
        """The ``projectIdentifier`` of the key."""
        return self.settings.project

    @property
    def org(self) -> str:
        """The ``orgIdentifier`` of the key."""
        return self.settings.org

    @property
    def clock(self) -> ServerClock:
        """The server's clock; ``server.clock.advance(60)`` moves it forward by a minute."""
        return self._running.state.clock

    @property
    def faults(self) -> Faults:
        """The armed faults; ``server.faults.add("download", "cut", after_bytes=10)`` arms one."""
        return self._running.state.faults

    @property
    def organisation(self) -> Organisation:
        """The server's teams and org trees."""
        return self._running.state.organisation

    @property
    def exports(self) -> list[ExportRecord]:
        """Every export, oldest first, with its file."""
        return self._running.state.store.records()

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request to the API, in the order of the answers."""
        return list(self._running.state.request_log.requests)

    @property
    def legacy_reports(self) -> list[LegacyRecord]:
        """Every legacy report that was sent."""
        return list(self._running.state.request_log.legacy_reports)

    @property
    def connections(self) -> int:
        """The number of TCP connections that have carried a request."""
        return self._running.connections

    def end_export(self, export_id: str, status: str, error: Any = None) -> None:
        """Change how an export ends: ``server.end_export(export_id, "cancelled")``.

        :raises LookupError: there is no such export.
        """
        export = self._running.state.store.get(None, export_id)
        if export is None:
            msg = f"no such export: {export_id}"
            raise LookupError(msg)
        export.outcome = Outcome(status=status, error=error)

    def reset(self, clock: ServerClock | None = None, **settings: Any) -> None:
        """Forget all exports, requests and faults; change the given settings, keep the others.

        :raises TypeError: a name is not a setting.
        """
        self._running.state = ServerState(replace(self.settings, **settings), clock)

    def connection_json(self, **extra: Any) -> str:
        """Return an Airflow connection to this server as JSON, for ``AIRFLOW_CONN_SEI_DEFAULT``."""
        identifiers = {"project_identifier": self.project, "org_identifier": self.org}
        fields = {"conn_type": "harness_sei", "host": self.base_url, "password": self.api_key}
        return json.dumps(fields | {"extra": identifiers | extra})

    @property
    def connection_uri(self) -> str:
        """An Airflow connection to this server as a URI."""
        query = urlencode({"project_identifier": self.project, "org_identifier": self.org})
        return f"harness-sei://:{quote(self.api_key, safe='')}@{quote(self.base_url, safe='')}/?{query}"

    @property
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
        server = LocalServer(self._first_state)
        self._port = await server.start("127.0.0.1", self._port)
        self._server = server
        self._ready.set()
        await self._stopped.wait()
        await server.stop()
