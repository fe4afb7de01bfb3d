"""Programs that the demo starts never outlive it, unless they are meant to; and nothing else is ever stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo import DemoError, processes
from demo.processes import Processes, Record

ROOT = Path(__file__).parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# Its child ignores SIGTERM and can outlive it.
FAMILY = """
import os, pathlib, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
child.stdout.readline()
file = pathlib.Path(sys.argv[1])
file.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
file.with_suffix(".new").rename(file)
time.sleep(600)
"""
STARTER = """
import os, pathlib, sys, time
from demo import processes
from demo.__main__ import exit_on_signals
processes.GRACE_SECONDS = 0.5
folder, family, mode = sys.argv[1:]
components = {"family": [sys.executable, "-c", family, f"{folder}/pids"], "other": ["sleep", "600"]}
exit_on_signals()
started = processes.Processes(folder=pathlib.Path(folder), components=components)
with started.running(os.environ, detach=mode == "detach"):
    while mode != "detach" or not pathlib.Path(folder, "pids").exists():
        time.sleep(0.05)
"""


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start a process that starts a family and another program."""
    started: list[subprocess.Popen[bytes]] = []

    def run(mode: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", STARTER, str(tmp_path), FAMILY, mode]
        started.append(subprocess.Popen(command, cwd=ROOT))
        return started[0]

    yield run
    for process in started:
        process.kill()
        process.wait()
    Processes(folder=tmp_path, components={}).stop()


def family(folder: Path) -> list[psutil.Process]:
    """Return the family's two processes and the other program, when all of them are running."""
    deadline = time.monotonic() + 20
    while not (folder / "pids").exists() or len(Processes(folder=folder, components={}).records()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    return [psutil.Process(pid) for pid in (*pids, Processes(folder=folder, components={}).records()[2].pid)]


def check_for_20_seconds(checked: Processes) -> None:
    """Check again and again."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        checked.check()
        time.sleep(0.02)


def all_ended(processes: list[psutil.Process]) -> bool:
    """Wait for the end of ``processes``."""
    return not psutil.wait_procs(processes, timeout=20)[1]


class TestStarter:
    """How the process ends that has started the others."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_stops_everything(
        self, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, number: int
    ) -> None:
        """Also what ignores SIGTERM; further signals do not interrupt that."""
        starter = start("run")
        started = family(tmp_path)
        starter.send_signal(number)
        time.sleep(0.1)
        starter.send_signal(signal.SIGINT)
        assert starter.wait(20) == 128 + number
        assert all_ended(started)

    def test_what_a_killed_starter_leaves_behind_is_found(
        self, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
    ) -> None:
        """By the session of a program that has itself ended."""
        starter = start("run")
        leader, deaf, other = family(tmp_path)
        starter.kill()
        starter.wait()
        if sys.platform == "linux":
            assert all_ended([leader, other])
            assert deaf.is_running()
        Processes(folder=tmp_path, components={}).stop()
        assert all_ended([leader, deaf, other])

    def test_detached_programs_run_until_they_are_stopped(
        self, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
    ) -> None:
        """By any later process."""
        assert start("detach").wait(20) == 0
        started = family(tmp_path)
        assert not psutil.wait_procs(started, timeout=0.5)[0]
        left = Processes(folder=tmp_path, components={})
        assert left.starter() is None
        assert left.stop() == 2
        assert all_ended(started)
        assert left.stop() == 0


class TestErrors:
    """Programs that fail, and the folder they leave."""

    def test_a_failed_step_is_an_error(self, tmp_path: Path) -> None:
        """No component is started after it; the message has its output."""
        step = [sys.executable, "-c", "print('no such table'); raise SystemExit(3)"]
        failing = Processes(folder=tmp_path, steps={"migrate": step}, components={"sleep": SLEEP})
        with pytest.raises(DemoError, match=r"(?s)migrate failed.*3.*no such table"), failing.running(os.environ):
            pass
        assert not failing.log("sleep").exists()

    def test_a_component_that_ends_is_an_error(self, tmp_path: Path) -> None:
        """The others are stopped."""
        brief = [sys.executable, "-c", "print('port in use')"]
        failing = Processes(folder=tmp_path, components={"sleep": SLEEP, "brief": brief})
        with pytest.raises(DemoError, match=r"(?s)port in use.*ended unexpectedly: brief"), failing.running(os.environ):
            check_for_20_seconds(failing)
        assert SLEEP not in [child.cmdline() for child in psutil.Process().children()]

    def test_a_folder_can_be_used_again(self, tmp_path: Path) -> None:
        """By the same process, once everything is stopped."""
        running = Processes(folder=tmp_path, components={"sleep": SLEEP})
        with running.running(os.environ):
            assert running.starter() == psutil.Process()
        assert (running.starter(), running.records()) == (None, [])


class TestOthers:
    """Processes that the demo has not started."""

    def test_a_process_with_a_reused_pid_is_not_stopped(self, tmp_path: Path) -> None:
        """It has started at another time."""
        with subprocess.Popen(SLEEP, start_new_session=True) as bystander:
            record = Record.of("family", bystander.pid)
            assert record.find() is not None
            older = dataclasses.replace(record, started=record.started - 5)
            (tmp_path / "processes.json").write_text(json.dumps([dataclasses.asdict(older)] * 2))
            assert Processes(folder=tmp_path, components={}).stop() == 0
            assert bystander.poll() is None
            bystander.kill()

    def test_without_records_nothing_is_stopped(self, tmp_path: Path) -> None:
        """It is no error either."""
        assert Processes(folder=tmp_path / "never", components={}).stop() == 0
