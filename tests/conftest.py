"""Fixtures: an Airflow home for the whole run, a local SEI server per test, and a clock that needs no waiting."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import shutil
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# Airflow reads these once, when it is first imported: before any test module is.
_HOME = Path(tempfile.mkdtemp(prefix="airflow-provider-sei-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
(_HOME / "dags").mkdir()
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
}

if not entry_points(group="pytest11", name="sei"):  # the package is used from its folder, not installed
    pytest_plugins = ["airflow_provider_sei.pytest_plugin"]

_OUTSIDE = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_OUTSIDE += ("SSL_CERT_FILE", "NETRC")
_TIMED = ("hooks.sei", "operators._base", "operators.sei", "sensors.sei")


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Isolate every test from the machine's proxies, certificates, connections and home folder."""
    for name in list(os.environ):
        if name.upper() in _OUTSIDE or name.startswith("AIRFLOW_CONN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp()))


class Clock:
    """The worker's time: only its sleeps advance it, and the server's time with it."""

    def __init__(self, server: Any) -> None:
        self.now = server.clock()
        self.pauses: list[float] = []
        self._server = server

    def time(self) -> float:
        """Return epoch seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Advance without waiting."""
        self.pauses.append(seconds)
        self.now += seconds
        self._server.clock.advance(seconds)


@pytest.fixture
def worker_clock(sei_server: Any, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the time of the hook, the operators and the sensors."""
    sei_server.reset(clock_speed=0.0)
    clock = Clock(sei_server)
    module = SimpleNamespace(time=clock.time, monotonic=clock.time, sleep=clock.sleep)
    for name in _TIMED:
        monkeypatch.setattr(f"airflow_provider_sei.{name}.time", module)
    monkeypatch.setattr("airflow.sdk.bases.sensor.time", module)
    return clock


class RawServer:
    """A TCP server on loopback that records requests and sends ``answer(request)`` for each, or the pieces of it."""

    def __init__(self, answer: Callable[[bytes], bytes | Iterable[bytes]], certificate: Path | None = None) -> None:
        self.received: list[bytes] = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                request = _read_request(self.request)
                outer.received.append(request)
                answered = answer(request)
                for piece in [answered] if isinstance(answered, bytes) else answered:
                    self.request.sendall(piece)

        class Server(socketserver.ThreadingTCPServer):
            def handle_error(self, *_: Any) -> None:
                """Say nothing: clients give up, or do not trust the certificate."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.port = int(self._server.server_address[1])
        self.origin = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _read_request(connection: Any) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and (chunk := connection.recv(65536)):
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    if b"100-continue" in head:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]) and (chunk := connection.recv(65536)):
        body += chunk
    return head + b"\r\n\r\n" + body


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    """Start servers that send given bytes, or the result of a function of the request; with a certificate, over TLS."""
    servers: list[RawServer] = []

    def start(answer: bytes | Callable[[bytes], Any] = b"", certificate: Path | None = None) -> RawServer:
        servers.append(RawServer(answer if callable(answer) else lambda _: answer, certificate))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def dags_folder() -> Iterator[Path]:
    """The DAGs folder with the example DAGs and the tests' own, and an initialized database."""
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.utils.db import initdb

    read: dict[Path, int] = {}

    class ChangedFiles(BundleDagBag):
        """What ``dag.test`` writes to the database: else all files, before each run."""

        def collect_dags(self, dag_folder: Any = None, *_: Any, **__: Any) -> None:
            for file in Path(dag_folder or self.dag_folder).glob("*.py"):
                if read.get(file) != (changed := file.stat().st_mtime_ns):
                    self.process_file(str(file))
                    read[file] = changed

    initdb()
    tests = Path(__file__).parent
    for example in (*(tests.parent / "dags_examples").glob("*.py"), *(tests / "operators" / "dags").glob("*.py")):
        shutil.copy(example, _HOME / "dags")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow.dag_processing.dagbag.BundleDagBag", ChangedFiles)
        yield _HOME / "dags"


@pytest.fixture(scope="session")
def dags(dags_folder: Path) -> dict[str, Any]:
    """All DAGs of the folder, by id."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(dags_folder))
    assert bag.import_errors == {}
    return dict(bag.dags)


def _poll_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_sei.protocol.waiting._SHORTEST_PAUSE", 0.02)
    monkeypatch.setattr("airflow_provider_sei.protocol.waiting._GROWTH", 0.0)


@pytest.fixture
def quick(sei_connection: str, sei_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whole DAGs run in this process, polling every few hundredths of a second."""
    # File names have the account; without one they would have the server's port, another one in each test.
    fields = {"calls_per_minute": 1000, "account_id": "demo_account"}
    monkeypatch.setenv(f"AIRFLOW_CONN_{sei_connection.upper()}", sei_server.connection_json(**fields))
    _poll_fast(monkeypatch)
    monkeypatch.setattr("airflow_provider_sei.operators._base.random", SimpleNamespace(random=lambda: 0.001))
    # ``dag.test`` installs a SIGTERM handler that ignores the signal, so the tests could not be stopped any more.
    monkeypatch.setattr("signal.signal", lambda *_: None)


@pytest.fixture
def run(dags: dict[str, Any], quick: None, tmp_path: Path) -> Callable[..., Any]:  # noqa: ARG001 - for its effect
    """Run a DAG of the folder to its end.

    ``moment`` has the run's ``logical_date`` and ``run_after``, as ``dag.test`` takes them.
    """

    def start(dag_id: str, moment: Mapping[str, Any] | None = None, **conf: Any) -> Any:
        before = [(task.params, task.params.dump()) for task in dags[dag_id].tasks]
        try:
            return dags[dag_id].test(run_conf={"destination": f"{tmp_path}/", **conf}, **(moment or {}))
        finally:
            # Airflow writes the run's conf into them, where the next run would find it.
            for params, values in before:
                params.update(values)

    return start


class TaskLog:
    """The log so far. Airflow writes its lines itself, bypassing the handlers of ``logging``."""

    def __init__(self, capture: pytest.CaptureFixture[str], records: pytest.LogCaptureFixture) -> None:
        self._capture = capture
        self._records = records
        self._written = ""

    @property
    def text(self) -> str:
        """The whole log."""
        self._written += "".join(self._capture.readouterr())
        return self._written + self._records.text

    @property
    def messages(self) -> list[str]:
        """Airflow's lines without time, level and location."""
        lines = (line.rpartition(" [airflow.")[0].partition("] ")[2].rstrip() for line in self.text.splitlines())
        return [line for line in lines if line]


@pytest.fixture
def task_log(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> TaskLog:
    """Everything that tasks, hooks, triggers and libraries log, including the libraries' debug lines."""
    caplog.set_level(logging.DEBUG)
    return TaskLog(capfd, caplog)


@pytest.fixture
def fire(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run a trigger as the triggerer does, up to its one event, with fast polls; return the event's payload."""

    async def events(trigger: Any, meanwhile: Callable[[], Awaitable[None]] | None) -> list[Any]:
        task = asyncio.create_task(meanwhile()) if meanwhile else None
        fired = [event async for event in trigger.run()]
        if task:
            await task
        return fired

    def run(trigger: Any, meanwhile: Callable[[], Awaitable[None]] | None = None) -> dict[str, Any]:
        with monkeypatch.context() as patch:
            _poll_fast(patch)
            [event] = asyncio.run(events(trigger, meanwhile))
        payload: dict[str, Any] = event.payload
        return payload

    return run
