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
from tests.lab import until

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
    """Start a process, with a folder of its mode's name, that starts a family and another program."""
    started: list[subprocess.Popen[bytes]] = []

    def run(mode: str) -> subprocess.Popen[bytes]:
        (tmp_path / mode).mkdir()
        started.append(subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path / mode), FAMILY, mode], cwd=ROOT))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
    for folder in tmp_path.iterdir():
        Processes(folder=folder, components={}).stop()


def family(folder: Path) -> list[psutil.Process]:
    """Return the family's two processes and the other program, when all of them are running."""
    left = Processes(folder=folder, components={})
    deadline = time.monotonic() + 20
    while not (folder / "pids").exists() or len(left.records()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [psutil.Process(int(pid)) for pid in (*(folder / "pids").read_text().split(), left.records()[2].pid)]


def all_ended(started: list[psutil.Process]) -> bool:
    """Wait for the end of processes; who has to reap them is not waited for."""
    processes._wait(started, 20)
    return not any(map(processes._is_alive, started))


def test_a_signal_stops_everything(start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """Also what ignores SIGTERM; further signals do not interrupt that."""
    starters = {number: start(number.name) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    started = [process for number in starters for process in family(tmp_path / number.name)]
    for number, starter in starters.items():
        starter.send_signal(number)
    time.sleep(0.1)
    for starter in starters.values():
        starter.send_signal(signal.SIGINT)
    assert {number: starter.wait(20) - 128 for number, starter in starters.items()} == {
        number: number for number in starters
    }
    assert all_ended(started)


def test_what_a_killed_starter_leaves_behind_is_found(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """By the session of a program that has itself ended."""
    starter = start("run")
    leader, deaf, other = family(tmp_path / "run")
    starter.kill()
    starter.wait()
    if sys.platform == "linux":
        assert all_ended([leader, other])
        assert processes._is_alive(deaf)
    Processes(folder=tmp_path / "run", components={}).stop()
    assert all_ended([leader, deaf, other])


def test_detached_programs_run_until_they_are_stopped(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """By any later process."""
    assert start("detach").wait(20) == 0
    started = family(tmp_path / "detach")
    assert not psutil.wait_procs(started, timeout=0.2)[0]
    left = Processes(folder=tmp_path / "detach", components={})
    assert left.starter() is None
    assert left.stop() == 2
    assert all_ended(started)
    assert left.stop() == 0


def test_a_failed_step_is_an_error(tmp_path: Path) -> None:
    """No component is started after it; the message has its output."""
    step = [sys.executable, "-c", "print('no such table'); raise SystemExit(3)"]
    failing = Processes(folder=tmp_path, steps={"migrate": step}, components={"sleep": SLEEP})
    with pytest.raises(DemoError, match=r"(?s)migrate failed.*3.*no such table"), failing.running(os.environ):
        pass
    assert not failing.log("sleep").exists()


def test_a_component_that_ends_is_an_error(tmp_path: Path) -> None:
    """The others are stopped, and the folder can be used again."""
    brief = [sys.executable, "-c", "print('port in use')"]
    failing = Processes(folder=tmp_path, components={"sleep": SLEEP, "brief": brief})
    with pytest.raises(DemoError, match=r"(?s)port in use.*ended unexpectedly: brief"), failing.running(os.environ):
        until(failing.check)
    assert SLEEP not in [child.cmdline() for child in psutil.Process().children()]
    assert (failing.starter(), failing.records()) == (None, [])


def test_a_process_with_a_reused_pid_is_not_stopped(tmp_path: Path) -> None:
    """It has started at another time. Without records, nothing is stopped."""
    assert Processes(folder=tmp_path / "never", components={}).stop() == 0
    with subprocess.Popen(SLEEP, start_new_session=True) as bystander:
        record = Record.of("family", bystander.pid)
        assert record.find() is not None
        older = dataclasses.replace(record, started=record.started - 5)
        (tmp_path / "processes.json").write_text(json.dumps([dataclasses.asdict(older)] * 2))
        assert Processes(folder=tmp_path, components={}).stop() == 0
        assert bystander.poll() is None
        bystander.kill()
