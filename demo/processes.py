"""Starts programs in sessions of their own, records them in a file, and stops them with everything they started."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from demo import DemoError

__all__ = ["Processes", "Record", "die_with_parent"]

ROOT = Path(__file__).parent.parent
GRACE_SECONDS = 12.0
"""Time to shut down before SIGKILL. A busy scheduler was seen to need seven."""
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class Record:
    """A started process. Its start time (epoch seconds) tells it from a later process with the same pid."""

    name: str
    pid: int
    started: float

    @classmethod
    def of(cls, name: str, pid: int) -> Record:
        """Record a process."""
        return cls(name=name, pid=pid, started=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """Return the process, or ``None`` if it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            return process if process.create_time() == self.started and _is_alive(process) else None
        return None

    def family(self) -> set[psutil.Process]:
        """Return the living processes of its session, which can outlive it, and their descendants."""
        found: set[psutil.Process] = set()
        if psutil.boot_time() > self.started:
            return found
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                if process.pid == self.pid and process.create_time() != self.started:
                    return set()  # A pid is reused only after its session has ended.
                if os.getsid(process.pid) == self.pid:
                    found.update((process, *process.children(recursive=True)))
        return set(filter(_is_alive, found))


@dataclass(kw_only=True)
class Processes:
    """Programs that run side by side, after steps that run one after another. Commands are argument lists.

    :param folder: for the output of each program, ``<name>.log``, and the records, ``processes.json``.
    """

    folder: Path
    components: Mapping[str, list[str]]
    steps: Mapping[str, list[str]] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    def log(self, name: str) -> Path:
        """Return the file with the output of a step or component."""
        return self.folder / f"{name}.log"

    def records(self) -> list[Record]:
        """Return the process that started the programs last, and the programs, whether they still run or not."""
        try:
            return [Record(**record) for record in json.loads((self.folder / "processes.json").read_text())]
        except FileNotFoundError:
            return []

    def starter(self) -> psutil.Process | None:
        """Return the process that started the programs last, or ``None`` if it has ended."""
        return next((record.find() for record in self.records()), None)

    @contextlib.contextmanager
    def running(self, environment: Mapping[str, str], *, detach: bool = False) -> Iterator[None]:
        """Run the programs until the block ends.

        :param detach: leave the components running after the block, unless it raises.
        :raises DemoError: a step failed.
        """
        try:
            self._start(environment, detach=detach)
            yield
        except BaseException:
            self.stop()
            raise
        if not detach:
            self.stop()

    def check(self) -> None:
        """Raise ``DemoError`` with the end of each log if a component has ended."""
        if ended := [name for name, program in self._running.items() if program.poll() is not None]:
            tails = [f"--- {log.name}\n{_tail(log)}" for log in sorted(self.folder.glob("*.log"))]
            raise DemoError("\n".join([*tails, f"ended unexpectedly: {', '.join(ended)}"]))

    def stop(self) -> int:
        """Stop the recorded programs with everything they started; return how many of them were running."""
        records = set(self.records()[1:])
        # An interrupted start can have missed the record of its last program.
        records |= {Record.of(name, program.pid) for name, program in self._running.items() if program.poll() is None}
        programs = {process for record in records if (process := record.find())}
        family = programs
        for number, seconds in (signal.SIGTERM, GRACE_SECONDS), (signal.SIGTERM, 1.0), (signal.SIGKILL, GRACE_SECONDS):
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            _wait(family, seconds)
            # A program stops what it has started; what it leaves behind comes next.
            family = set().union(*(record.family() for record in records))
        for program in self._running.values():
            program.wait()
        if not family:
            (self.folder / "processes.json").unlink(missing_ok=True)
        return len(programs)

    def _start(self, environment: Mapping[str, str], *, detach: bool) -> None:
        records = [Record.of("starter", os.getpid())]
        for name, command in {**self.steps, **self.components}.items():
            with self.log(name).open("wb") as log:
                program = self._running[name] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=ROOT,
                    env=environment,
                    start_new_session=True,  # The terminal's Ctrl-C reaches this process only.
                    preexec_fn=None if detach else die_with_parent,  # noqa: PLW1509 - one call of libc, no locks
                )
            records.append(Record.of(name, program.pid))
            (self.folder / "processes.json").write_text(json.dumps([asdict(record) for record in records], indent=1))
            if name in self.steps:
                if code := program.wait():
                    msg = f"{name} failed with exit code {code}\n{_tail(self.log(name))}"
                    raise DemoError(msg)
                del self._running[name]


def die_with_parent() -> None:
    """Have Linux send this process SIGTERM when its parent dies, even by SIGKILL; elsewhere, do nothing."""
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _wait(processes: Iterable[psutil.Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(map(_is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)


def _tail(file: Path, lines: int = 15) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])
