"""A worker that is killed in mid-transfer: an older object stays, and nothing else can be seen."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator
from tests.delivery.conftest import PROCESSES

OLDER = b"older,content\n1,2\n"
SENT = 14_000_000  # bytes of the file that arrive before the server falls silent: two parts of a multipart upload
GIVE_UP = 60.0

# Bytes that Azure's client sends in blocks, instead of all in one, and how many reach the store before the kill.
IN_BLOCKS = 80_000_000
HELD_AFTER = 24_000_000

pytestmark = [
    pytest.mark.sei_server(compression="plain", download_bytes=15_000_000),
    pytest.mark.usefixtures("sei_connection"),
]


class Terminated(BaseException):
    """What a handler of SIGTERM raises."""


def work(environment: Mapping[str, str], export_id: str, url: str, on_sigterm: str, output: Any) -> None:
    """Deliver an export; in a process of its own."""
    os.environ.update(environment)
    tempfile.tempdir = None  # of the process that this one was forked from
    if "TEST_GOOGLE" in environment:
        import gcsfs
        from airflow.sdk.io.store import attach

        attach("gs", "google", fs=gcsfs.GCSFileSystem(endpoint_url=environment["TEST_GOOGLE"], token="anon"))
    operator = SEIDownloadExportOperator(task_id="x", family="productivity", export_id=export_id, destination=url)

    def handle(*_: object) -> None:
        if on_sigterm == "exception":
            raise Terminated
        operator.on_kill()

    if on_sigterm != "default":
        signal.signal(signal.SIGTERM, handle)
    try:
        operator.execute({})
    except BaseException as error:  # noqa: BLE001 - the test compares it
        operator.on_kill()  # which is harmless now
        output.send((type(error).__name__, str(error)))


@pytest.fixture(autouse=True)
def spools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The worker's folder for temporary files."""
    folder = tmp_path / "spools"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def export_id(sei_server: Any) -> str:
    """A completed export whose file does not come to an end."""
    export = SEIHook("sei_default").create_export(
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


def end(export_id: str, url: str, under_way: Callable[[int], bool], on_sigterm: str = "default") -> list[Any]:
    """Deliver in another process, end it in mid-transfer, and return the error that it ends with, if it can say so.

    ``under_way`` is asked about the process id.
    """
    receiving, sending = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=work, args=(dict(os.environ), export_id, url, on_sigterm, sending))
    process.start()
    sending.close()
    try:
        give_up_at = time.monotonic() + GIVE_UP
        while not under_way(process.pid or 0):
            assert process.is_alive()
            assert time.monotonic() < give_up_at
            time.sleep(0.02)
        process.kill() if on_sigterm == "kill" else process.terminate()
        process.join(GIVE_UP)
        assert process.exitcode is not None
        with suppress(EOFError):
            return list(receiving.recv())
        return []
    finally:
        process.kill()
        receiving.close()


def held_bytes(pid: int, folder: Path) -> int:
    """Return how many bytes of a file without a name, in that folder, the process holds."""
    sizes = [0]
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            name = str(descriptor.readlink())
            sizes += [descriptor.stat().st_size] * (name.startswith(f"{folder}/") and "(deleted)" in name)
    return max(sizes)


def deliver_again(store: Any, export_id: str, sei_server: Any) -> None:
    """Deliver the same export once more, which nothing disturbs now."""
    hook = SEIHook("sei_default")
    hook.download_export(hook.get_export("productivity", export_id), Destination.from_arguments(f"{store.url}x.csv"))
    [record] = sei_server.exports
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in store.objects().items()}
    assert digests == {"x.csv": record.csv_sha256}


@pytest.mark.parametrize(
    ("store", "on_sigterm"),
    [
        *(("disk", "kill"), ("s3", "kill"), ("azure", "kill"), ("google", "kill"), ("s3", "default")),
        # Airflow calls ``on_kill`` first of all. Version 3 does nothing more, and kills some seconds later.
        *(("disk", "on_kill"), ("s3", "on_kill"), ("azure", "on_kill"), ("google", "on_kill")),
        *(("s3", "exception"), ("google", "exception")),
    ],
    indirect=["store"],
)
def test_the_older_object_stays_and_what_can_be_cleaned_up_is(
    store: Any, sei_server: Any, export_id: str, spools: Path, on_sigterm: str
) -> None:
    """A kill leaves parts of an upload: the next delivery cleans up on S3, Google does so a week later."""
    store.put("x.csv", OLDER)
    has_parts, is_google = store.url.startswith(("s3:", "gs:")), store.url.startswith("gs:")

    def under_way(pid: int) -> bool:
        if has_parts:
            return len(store.unfinished()) == 1
        return held_bytes(pid, spools if "://" in store.url else Path(store.url)) > SENT - 1_000_000

    error = end(export_id, f"{store.url}x.csv", under_way, on_sigterm)
    assert store.objects() == {"x.csv": OLDER}
    assert list(spools.iterdir()) == []
    left = store.unfinished()
    if on_sigterm in {"kill", "default"}:
        assert error == []
        assert len(left) == has_parts
        deliver_again(store, export_id, sei_server)
        assert store.unfinished() == (left if is_google else [])
        return
    assert left == []
    if on_sigterm == "exception":
        assert error == ["Terminated", ""]
    else:
        assert error[0] == "SEIDownloadError"
        assert "interrupted, because the task" in error[1]


@pytest.mark.sei_server(compression="plain", download_bytes=IN_BLOCKS)
def test_a_kill_in_mid_upload_to_azure_leaves_blocks_that_the_next_delivery_drops(
    *, azure: Any, export_id: str, sei_server: Any, spools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not visible meanwhile."""
    azure.put("x.csv", OLDER)
    sei_server.faults.clear()
    direct = os.environ["AIRFLOW_CONN_BLOBS"]
    port = int(re.search(r"127\.0\.0\.1:(\d+)", direct)[1])
    with held_connections(port, HELD_AFTER) as (held_port, held):
        monkeypatch.setenv("AIRFLOW_CONN_BLOBS", direct.replace(f":{port}/", f":{held_port}/"))
        end(export_id, f"{azure.url}x.csv", lambda _: held.is_set(), "kill")
    monkeypatch.setenv("AIRFLOW_CONN_BLOBS", direct)
    assert azure.objects() == {"x.csv": OLDER}
    assert azure.unfinished() == ["sei/x.csv"]
    assert list(spools.iterdir()) == []
    deliver_again(azure, export_id, sei_server)
    assert azure.unfinished() == []
