"""The one process that starts all others and outlives none of them.

``python -m demo.guard PLAN`` reads a plan (see ``Plan``), runs its steps one after another, then its components side
by side, each in a session of its own with its output in a file. It stops everything, and itself, as soon as

* its standard input ends, which is how it notices that whoever started it is gone, however that came about;
* it gets SIGTERM, SIGINT or SIGHUP;
* a step fails or a component ends, because then the rest is of no use.

The line ``detach`` on standard input tells it to live on without its starter. It knows nothing about Airflow.

On Linux nothing escapes it: as a child subreaper it inherits every orphan below it, and should it be killed itself,
the kernel ends its components. Elsewhere it finds its descendants by walking the process table.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

__all__ = ["Plan", "ProcessRecord", "become_subreaper", "end_with_parent", "main", "stop_processes"]

GRACE_SECONDS = 12.0
"""How long components may take to end by themselves. A loaded scheduler was seen to need seven."""
_TICK_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class ProcessRecord:
    """A process that this project started, told apart from a later one that got the same number."""

    name: str
    pid: int
    started: float
    """Its start in epoch seconds, as the operating system keeps it."""

    @classmethod
    def of(cls, name: str, pid: int) -> ProcessRecord:
        """Record the running process ``pid``.

        Raises:
            psutil.NoSuchProcess: it has ended already.
        """
        return cls(name=name, pid=pid, started=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """Return the process while it runs, or ``None`` once it ended or its number belongs to another one."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the guard runs. Commands are argument lists; the environment is the guard's own."""

    folder: str
    """Where output goes (``<name>.log``) and the records of the running processes (``processes.json``)."""
    components: dict[str, list[str]]
    """Run side by side until the end."""
    steps: dict[str, list[str]] = field(default_factory=dict)
    """Run one after another before the components."""
    grace_seconds: float = GRACE_SECONDS
    """How long everything may take to end by itself before it is killed."""

    def log(self, name: str) -> Path:
        """Return the file with the output of the step or component ``name``."""
        return Path(self.folder, f"{name}.log")

    @property
    def records_file(self) -> Path:
        """The file with one ``ProcessRecord`` for the guard and each component."""
        return Path(self.folder, "processes.json")

    def records(self) -> list[ProcessRecord]:
        """Return what the guard recorded so far, the guard first."""
        try:
            return [ProcessRecord(**record) for record in json.loads(self.records_file.read_text())]
        except FileNotFoundError:
            return []

    def save(self) -> Path:
        """Write the plan into its folder and return the file for the guard's command line."""
        file = Path(self.folder, "plan.json")
        file.write_text(json.dumps(asdict(self), indent=1))
        return file


def end_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent dies (Linux only; elsewhere nothing happens)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def become_subreaper() -> None:
    """Have the kernel make orphans below this process its children (Linux only; elsewhere nothing happens)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def stop_processes(processes: list[psutil.Process], *, grace_seconds: float) -> None:
    """Ask ``processes`` and all below them to end, kill what is left after ``grace_seconds``, and wait until all ended.

    It ends only processes it was given and their descendants; ``psutil`` refuses a number that was given away again.
    """
    family = set(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            family.update(process.children(recursive=True))
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace_seconds)


class _Guard:
    """State of the running guard: whom it started, and whether it is time to stop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stopping = False
        self.watches_starter = True
        self.ended: dict[int, int] = {}
        """Exit codes of reaped processes by number; a child subreaper reaps processes that others started."""

    def run(self) -> int:
        """Run the plan to its end and return the exit code."""
        try:
            return self._steps() or self._components()
        finally:
            self._stop_descendants()

    def _steps(self) -> int:
        for name, command in self.plan.steps.items():
            pid = self._start(name, command)
            while pid not in self.ended:
                self._tick()
                if self.stopping:
                    return 0
            if code := self.ended[pid]:
                print(f"{name} failed with exit code {code}", flush=True)
                return 1
        return 0

    def _components(self) -> int:
        names = {self._start(name, command): name for name, command in self.plan.components.items()}
        records = [ProcessRecord.of("guard", os.getpid())]
        for pid, name in names.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                records.append(ProcessRecord.of(name, pid))
        self.plan.records_file.write_text(json.dumps([asdict(record) for record in records], indent=1))
        while not self.stopping:
            self._tick()
            if gone := [name for pid, name in names.items() if pid in self.ended]:
                print(f"ended before time: {', '.join(gone)}", flush=True)
                return 1
        return 0

    def _start(self, name: str, command: list[str]) -> int:
        with self.plan.log(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - unsafe beside threads only, and the guard has none
            )
        # From here on ``_reap`` waits for it; the object would otherwise complain about a child that still runs.
        process.returncode = 0
        return process.pid

    def _tick(self) -> None:
        """Wait a moment, but not when the starter speaks or is gone; then reap."""
        watched: list[BinaryIO] = [sys.stdin.buffer] if self.watches_starter else []
        readable, _, _ = select.select(watched, [], [], _TICK_SECONDS)
        if readable:
            self.watches_starter = False
            if sys.stdin.buffer.readline().strip() != b"detach":
                self.stopping = True
        self._reap()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.ended[pid] = os.waitstatus_to_exitcode(status)

    def _stop_descendants(self) -> None:
        me = psutil.Process()
        descendants = me.children(recursive=True)
        for process in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        deadline = time.monotonic() + self.plan.grace_seconds
        while descendants and time.monotonic() < deadline:
            time.sleep(_TICK_SECONDS)
            self._reap()
            descendants = me.children(recursive=True)
        # Killing a parent makes orphans that only then become visible as children: repeat, but not for ever.
        for _ in range(50):
            self._reap()
            if not (descendants := me.children(recursive=True)):
                return
            for process in descendants:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(_TICK_SECONDS)


def main(plan_file: str) -> int:
    """Run the plan in ``plan_file`` until it is time to stop and return the exit code."""
    guard = _Guard(Plan(**json.loads(Path(plan_file).read_text())))

    def stop(_number: int, _frame: object) -> None:
        guard.stopping = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    become_subreaper()
    return guard.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
