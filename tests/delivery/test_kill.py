"""A worker that is killed in mid-transfer: an older object stays, and nothing else can be seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook

OLDER = b"older,content\n1,2\n"
SENT = 14_000_000  # bytes of the file that arrive before the server falls silent: two parts of a multipart upload
GIVE_UP = 60.0

WORKER = """
import signal, sys
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook

class Terminated(BaseException):
    pass

def raise_terminated(*_):
    raise Terminated

if sys.argv[3] == "handled":  # as Airflow 2 does; Airflow 3 lets the process go on until it is killed
    signal.signal(signal.SIGTERM, raise_terminated)
hook = SEIHook("sei_default")
print("started", flush=True)
hook.download_export(hook.get_export("productivity", sys.argv[1]), Destination.checked(sys.argv[2]))
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


def written(process: subprocess.Popen[str]) -> int:
    """Return how many bytes of a file without a name the process holds."""
    sizes = [0]
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            name = str(descriptor.readlink())
            if "/store/" in name and "(deleted)" in name:
                sizes.append(descriptor.stat().st_size)
        except FileNotFoundError:  # closed meanwhile
            continue
    return max(sizes)


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


class TestS3:
    """The store keeps the parts of an upload until it is told not to."""

    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
    def test_a_kill_leaves_the_older_object_and_the_next_delivery_cleans_up(
        self, s3: Any, export_id: str, sei_server: Any, sent: signal.Signals
    ) -> None:
        """Nothing is visible meanwhile."""
        s3.put("x.csv", OLDER)
        with worker(export_id, f"{s3.url}x.csv") as process:
            wait_until(lambda: s3.unfinished() == ["sei/x.csv"])
            process.send_signal(sent)
            process.wait(GIVE_UP)
        assert s3.objects() == {"x.csv": OLDER}
        hook = SEIHook("sei_default")
        hook.download_export(hook.get_export("productivity", export_id), Destination.checked(f"{s3.url}x.csv"))
        [record] = sei_server.exports
        assert s3.objects() == {"x.csv": record.csv}
        assert s3.unfinished() == []

    def test_a_termination_that_is_an_exception_cleans_up_at_once(self, s3: Any, export_id: str) -> None:
        """Before the process ends."""
        s3.put("x.csv", OLDER)
        with worker(export_id, f"{s3.url}x.csv", "handled") as process:
            wait_until(lambda: s3.unfinished() == ["sei/x.csv"])
            process.send_signal(signal.SIGTERM)
            process.wait(GIVE_UP)
        assert s3.objects() == {"x.csv": OLDER}
        assert s3.unfinished() == []
