"""A worker that is killed in mid-transfer: an older object stays, and nothing else can be seen."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook

OLDER = b"older,content\n1,2\n"
SENT = 14_000_000  # bytes of the file that arrive before the server falls silent: two parts of a multipart upload
GIVE_UP = 60.0

# Bytes that Azure's client sends in blocks, instead of all at once, and how many reach the store before the kill.
IN_BLOCKS = 80_000_000
HELD_AFTER = 24_000_000

WORKER = """
import os, signal, sys
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook

class Terminated(BaseException):
    pass

def raise_terminated(*_):
    raise Terminated

if sys.argv[3] == "handled":
    signal.signal(signal.SIGTERM, raise_terminated)
if "TEST_GOOGLE" in os.environ:
    import gcsfs
    from airflow.sdk.io.store import attach
    address = os.environ["TEST_GOOGLE"]
    attach("gs", "google", fs=gcsfs.GCSFileSystem(endpoint_url=address, token="anon", project="tests"))
if sys.argv[3] == "airflow":
    from airflow_provider_sei.operators.sei import SEIDownloadExportOperator
    operator = SEIDownloadExportOperator(
        task_id="x", family="productivity", export_id=sys.argv[1], destination=sys.argv[2]
    )
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    print("started", flush=True)
    try:
        operator.execute({})
    except Exception as error:
        operator.on_kill()  # which is harmless now
        print(f"{type(error).__module__}.{type(error).__qualname__}: {error}", flush=True)
    sys.exit()
hook = SEIHook("sei_default")
print("started", flush=True)
hook.download_export(hook.get_export("productivity", sys.argv[1]), Destination.from_arguments(sys.argv[2]))
"""

pytestmark = pytest.mark.sei_server(compression="plain", download_bytes=15_000_000)


@pytest.fixture
def export_id(sei_server: Any, sei_connection: str) -> str:
    """A completed export whose file does not come to an end."""
    export = SEIHook(sei_connection).create_export(
        family="productivity", team_id="456", date_start="2024-01-01", date_end="2024-01-31", metric_groups=["work"]
    )
    sei_server.faults.add("download", "stall", after_bytes=SENT, seconds=3600)
    return export.export_id


@contextmanager
def held_connections(port: int, after_bytes: int) -> Iterator[tuple[int, threading.Event]]:
    """Pass connections on to a port, and nothing more of what comes in once it is so many bytes.

    Yields the port to connect to, and the event of that moment.
    """
    held = threading.Event()
    left = after_bytes

    def pass_on(source: socket.socket, target: socket.socket, *, counts: bool) -> None:
        nonlocal left
        with suppress(OSError), source, target:
            while data := source.recv(1 << 16):
                left -= len(data) if counts else 0
                if left < 0:
                    held.set()
                if not counts or left >= 0:
                    target.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                store = socket.create_connection(("127.0.0.1", port))
                for source, target, counts in ((client, store, True), (store, client, False)):
                    Thread(target=pass_on, args=(source, target), kwargs={"counts": counts}, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = Thread(target=accept, daemon=True)
        accepting.start()
        yield listener.getsockname()[1], held
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()


@contextmanager
def worker(export_id: str, url: str, signals: str = "default") -> Iterator[subprocess.Popen[str]]:
    """Run a delivery in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WORKER, export_id, url, signals]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            yield process
        finally:
            process.kill()


def wait_until(reached: Callable[[], bool]) -> None:
    """Wait until the transfer is where it is to be killed."""
    give_up_at = time.monotonic() + GIVE_UP
    while not reached():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def written(process: subprocess.Popen[str], folder: str = "/store/") -> int:
    """Return how many bytes of a file without a name, in that folder, the process holds."""
    sizes = [0]
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            name = str(descriptor.readlink())
            if folder in name and "(deleted)" in name:
                sizes.append(descriptor.stat().st_size)
        except FileNotFoundError:  # closed meanwhile
            continue
    return max(sizes)


def deliver_again(store: Any, export_id: str, sei_server: Any) -> None:
    """Deliver the same export once more, which nothing disturbs now."""
    hook = SEIHook("sei_default")
    hook.download_export(hook.get_export("productivity", export_id), Destination.from_arguments(f"{store.url}x.csv"))
    [record] = sei_server.exports
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in store.objects().items()}
    assert digests == {"x.csv": record.csv_sha256}


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_kill_leaves_the_older_file_and_nothing_else(disk: Any, export_id: str, sent: signal.Signals) -> None:
    """A file without a name needs no cleaning."""
    disk.put("x.csv", OLDER)
    with worker(export_id, f"{disk.url}x.csv") as process:
        wait_until(lambda: written(process) > SENT - 1_000_000)
        assert disk.objects() == {"x.csv": OLDER}
        process.send_signal(sent)
        process.wait(GIVE_UP)
    assert disk.objects() == {"x.csv": OLDER}


@pytest.mark.parametrize("kind", ["disk", "s3", "azure", "google"])
def test_a_task_that_is_told_to_end_cleans_up(
    request: pytest.FixtureRequest,
    export_id: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    kind: str,
) -> None:
    """On SIGTERM Airflow calls ``on_kill`` first of all. Version 3 does nothing more, and kills some seconds later."""
    if kind == "google":
        monkeypatch.setenv("TEST_GOOGLE", request.getfixturevalue("google_emulator")[0])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    store = request.getfixturevalue(kind)
    store.put("x.csv", OLDER)
    with worker(export_id, f"{store.url}x.csv", "airflow") as process:
        under_way = store.unfinished if kind in {"s3", "google"} else lambda: written(process, str(tmp_path)) > 0
        wait_until(lambda: bool(under_way()))
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=GIVE_UP)
    assert "airflow_provider_sei.exceptions.SEIDownloadError: interrupted, because the task" in told
    assert store.objects() == {"x.csv": OLDER}
    assert store.unfinished() == []


class TestUploadInParts:
    """S3 keeps the parts of an upload until it is aborted; Google lists no unfinished upload and forgets it later."""

    @pytest.fixture(params=["s3", "google"])
    def parts_store(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Each of the two."""
        if request.param == "google":
            monkeypatch.setenv("TEST_GOOGLE", request.getfixturevalue("google_emulator")[0])
        return request.getfixturevalue(request.param)

    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
    def test_a_kill_leaves_the_older_object_and_the_next_delivery_succeeds(
        self, parts_store: Any, export_id: str, sei_server: Any, sent: signal.Signals
    ) -> None:
        """Nothing is visible meanwhile; on S3, the next delivery also cleans up."""
        parts_store.put("x.csv", OLDER)
        with worker(export_id, f"{parts_store.url}x.csv") as process:
            wait_until(lambda: len(parts_store.unfinished()) == 1)
            process.send_signal(sent)
            process.wait(GIVE_UP)
        assert parts_store.objects() == {"x.csv": OLDER}
        left = parts_store.unfinished()
        deliver_again(parts_store, export_id, sei_server)
        assert parts_store.unfinished() == ([] if parts_store.url.startswith("s3:") else left)

    def test_a_termination_that_is_an_exception_cleans_up(self, parts_store: Any, export_id: str) -> None:
        """The upload is cancelled before the process ends."""
        parts_store.put("x.csv", OLDER)
        with worker(export_id, f"{parts_store.url}x.csv", "handled") as process:
            wait_until(lambda: len(parts_store.unfinished()) == 1)
            process.send_signal(signal.SIGTERM)
            process.wait(GIVE_UP)
        assert parts_store.objects() == {"x.csv": OLDER}
        assert parts_store.unfinished() == []


class TestAzure:
    """The file is collected in a nameless one on the worker's disk; blocks of an upload are dropped by the next one."""

    @pytest.fixture
    def spools(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The worker's folder for temporary files."""
        folder = tmp_path / "spools"
        folder.mkdir()
        monkeypatch.setenv("TMPDIR", str(folder))
        return folder

    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
    def test_a_kill_in_mid_download_leaves_nothing(
        self, azure: Any, export_id: str, spools: Path, sent: signal.Signals
    ) -> None:
        """Neither in the store nor on the disk."""
        azure.put("x.csv", OLDER)
        with worker(export_id, f"{azure.url}x.csv") as process:
            wait_until(lambda: written(process, "/spools/") > SENT - 1_000_000)
            process.send_signal(sent)
            process.wait(GIVE_UP)
        assert azure.objects() == {"x.csv": OLDER}
        assert azure.unfinished() == []
        assert list(spools.iterdir()) == []

    @pytest.mark.sei_server(compression="plain", download_bytes=IN_BLOCKS)
    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
    def test_a_kill_in_mid_upload_leaves_blocks_that_the_next_delivery_drops(
        self,
        *,
        azure: Any,
        export_id: str,
        sei_server: Any,
        spools: Path,
        monkeypatch: pytest.MonkeyPatch,
        sent: signal.Signals,
    ) -> None:
        """Nothing of them is visible meanwhile."""
        azure.put("x.csv", OLDER)
        sei_server.faults.clear()
        direct = azure.connections["AIRFLOW_CONN_BLOBS"]
        port = int(re.search(r"127\.0\.0\.1:(\d+)", direct)[1])
        with held_connections(port, HELD_AFTER) as (held_port, held):
            monkeypatch.setenv("AIRFLOW_CONN_BLOBS", direct.replace(f":{port}/", f":{held_port}/"))
            with worker(export_id, f"{azure.url}x.csv") as process:
                assert held.wait(GIVE_UP)
                process.send_signal(sent)
                process.wait(GIVE_UP)
        monkeypatch.setenv("AIRFLOW_CONN_BLOBS", direct)
        assert azure.objects() == {"x.csv": OLDER}
        assert azure.unfinished() == ["sei/x.csv"]
        assert list(spools.iterdir()) == []
        deliver_again(azure, export_id, sei_server)
        assert azure.unfinished() == []
