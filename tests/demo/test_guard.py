"""The guard leaves no process behind, however its starter ends."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo.airflow_processes import stop_lab
from demo.guard import Plan, ProcessRecord

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 20.0
Start = Callable[[list[str]], subprocess.Popen[bytes]]

# Its child is as hard to get rid of as can be: in a session of its own, deaf to SIGTERM, and soon an orphan.
FAMILY = """
import os, pathlib, signal, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
file = pathlib.Path(sys.argv[1])
file.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
file.with_suffix(".new").rename(file)
time.sleep(600)
"""
STARTER = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE); time.sleep(600)"


def python(code: str, *arguments: str) -> list[str]:
    """Return the command that runs ``code``."""
    return [sys.executable, "-c", code, *arguments]


def guard_command(plan: Plan) -> list[str]:
    """Return the command that runs ``plan``."""
    return [sys.executable, "-m", "demo.guard", str(plan.save())]


def wait_until(reached: Callable[[], bool]) -> None:
    """Poll until ``reached``, but not for ever."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.02)


def family(file: Path) -> list[psutil.Process]:
    """Return the processes of ``FAMILY`` once all of them run."""
    wait_until(file.exists)
    return [psutil.Process(int(pid)) for pid in file.read_text().split()]


def all_ended(processes: list[psutil.Process]) -> bool:
    """Wait for the end of ``processes`` and tell whether it came."""
    return not psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)[1]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two components, one of them with a stubborn child."""
    components = {"family": python(FAMILY, str(tmp_path / "pids")), "other": python("import time; time.sleep(600)")}
    return Plan(folder=str(tmp_path), components=components, grace_seconds=0.5)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command in the checkout, and see to it that it ended when the test has."""
    with contextlib.ExitStack() as stack:

        def _start(command: list[str]) -> subprocess.Popen[bytes]:
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT))
            stack.callback(process.kill)
            return process

        yield _start


class TestStarterGone:
    """``main`` when its starter is gone or asks it to stop."""

    def test_a_starter_killed_with_sigkill_leaves_no_process(self, plan: Plan, start: Start) -> None:
        """Neither the guard nor an orphan in a session of its own that ignores SIGTERM outlives a killed starter."""
        starter = start(python(STARTER, *guard_command(plan)))
        processes = family(Path(plan.folder, "pids"))
        wait_until(plan.records_file.exists)
        processes += [psutil.Process(record.pid) for record in plan.records()]
        starter.kill()
        assert all_ended(processes)

    def test_a_starter_gone_during_a_step_leaves_no_process(self, plan: Plan, start: Start) -> None:
        """A step is ended too, and no component is started after it."""
        plan = dataclasses.replace(plan, steps={"step": python(FAMILY, str(Path(plan.folder, "step-pids")))})
        guard = start(guard_command(plan))
        processes = family(Path(plan.folder, "step-pids"))
        guard.stdin.close()
        assert guard.wait(PATIENCE_SECONDS) == 0
        assert all_ended(processes)
        assert not Path(plan.folder, "pids").exists()

    def test_sigterm_to_the_guard_ends_everything_in_order(self, plan: Plan, start: Start) -> None:
        """Asked to stop, the guard stops all of its processes and reports success."""
        guard = start(guard_command(plan))
        processes = family(Path(plan.folder, "pids"))
        guard.terminate()
        assert guard.wait(PATIENCE_SECONDS) == 0
        assert all_ended(processes)


class TestTrouble:
    """``main`` when its processes fail."""

    def test_a_failed_step_ends_the_guard_with_an_error(self, plan: Plan, start: Start) -> None:
        """Components do not start after a step that failed."""
        plan = dataclasses.replace(plan, steps={"step": python("raise SystemExit(3)")})
        assert start(guard_command(plan)).wait(PATIENCE_SECONDS) == 1
        assert not plan.records_file.exists()

    def test_a_component_that_ends_takes_the_others_with_it(self, plan: Plan, start: Start) -> None:
        """Half a set of processes is of no use: the guard stops the rest and reports failure."""
        plan = dataclasses.replace(plan, components={**plan.components, "brief": python("pass")})
        assert start(guard_command(plan)).wait(PATIENCE_SECONDS) == 1
        assert [record.name for record in plan.records() if record.find()] == []


class TestDetached:
    """``stop_lab``."""

    def test_a_detached_guard_lives_on_until_it_is_stopped(self, plan: Plan, start: Start) -> None:
        """After ``detach`` the end of standard input means nothing; ``stop_lab`` ends all that was recorded."""
        guard = start(guard_command(plan))
        processes = family(Path(plan.folder, "pids"))
        wait_until(plan.records_file.exists)
        guard.stdin.write(b"detach\n")
        guard.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            guard.wait(1)
        assert stop_lab(Path(plan.folder)) == 3
        assert all_ended(processes)
        assert guard.wait(PATIENCE_SECONDS) == 0

    def test_a_number_given_to_another_process_is_left_alone(self, tmp_path: Path, start: Start) -> None:
        """A recorded number whose process started at another time belongs to somebody else."""
        bystander = start(python("import time; time.sleep(600)"))
        record = ProcessRecord.of("family", bystander.pid)
        older = dataclasses.replace(record, started=record.started - 5)
        Plan(folder=str(tmp_path), components={}).records_file.write_text(json.dumps([dataclasses.asdict(older)]))
        assert stop_lab(tmp_path) == 0
        assert bystander.poll() is None
        assert record.find() is not None

    def test_without_records_there_is_nothing_to_stop(self, tmp_path: Path) -> None:
        """Stopping what never was started is no error."""
        assert stop_lab(tmp_path / "never") == 0


def test_a_record_finds_its_own_process() -> None:
    """A record made of a running process leads back to it."""
    found = ProcessRecord.of("this", os.getpid()).find()
    assert found is not None
    assert found.pid == os.getpid()
