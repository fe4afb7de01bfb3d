"""Real Airflow processes on this machine: api-server, scheduler, dag-processor and triggerer, on loopback only.

They get an ``AIRFLOW_HOME`` of their own, free ports and an environment without any other Airflow's settings, so they
run beside whatever Airflow the machine has. The ``demo.guard`` starts and stops them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.guard import GRACE_SECONDS, Plan, stop_processes
from demo.rest import AirflowApi, ApiError

__all__ = ["AirflowLab", "LabError", "free_ports", "lab_folder_taken", "stop_lab"]

LOOPBACK = "127.0.0.1"
_START_SECONDS = 240.0
"""Some twenty on an idle machine; a first start also compiles all of Airflow."""


class LabError(Exception):
    """The processes could not be started or ended before time; the message holds the end of the output."""


def free_ports(count: int) -> list[int]:
    """Return ``count`` different TCP ports of the loopback address that nobody listens on."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass(frozen=True, kw_only=True)
class AirflowLab:
    """A set of Airflow processes and what else runs beside them."""

    home: Path
    """``AIRFLOW_HOME``: database, task logs, and the processes' own output. Emptied at each start."""
    dags_folder: Path
    port: int
    """Of the API and the UI."""
    connections: Mapping[str, str]
    """Airflow connections as JSON, by connection id. They reach the processes by their environment alone."""
    beside: Mapping[str, list[str]]
    """Further components by name, each a command."""

    @property
    def url(self) -> str:
        """Where the UI and the API are."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def plan(self) -> Plan:
        """What the guard is to run."""
        airflow = [sys.executable, "-m", "airflow"]
        return Plan(
            folder=str(self.home),
            steps={"db-migrate": [*airflow, "db", "migrate"]},
            components={
                **self.beside,
                "api-server": [*airflow, "api-server", "--host", LOOPBACK, "--port", str(self.port), "--workers", "1"],
                # Log servers would listen on all interfaces, on fixed ports; with local logs nobody needs them.
                "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
                "dag-processor": [*airflow, "dag-processor"],
                "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
            },
        )

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the processes' environment: ``inherited`` without another Airflow's settings, and our own."""
        kept = {
            name: value for name, value in inherited.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_", "SEI_"))
        }
        never_by_proxy = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), LOOPBACK, "localhost")))
        return {
            **kept,
            "NO_PROXY": never_by_proxy,
            "no_proxy": never_by_proxy,
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", os.defpath))),
            "PYTHONUNBUFFERED": "1",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags_folder),
            # An example with a schedule must not start to catch up here; what the demo runs it unpauses.
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            # Nobody has to log in: the UI listens on loopback and lives as long as the demo.
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in self.connections.items()},
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[AirflowApi]:
        """Start everything, yield the API once all of it is healthy, and stop everything at the end.

        Raises:
            LabError: a process ended before time, or not all are healthy within four minutes.
        """
        with self._guard() as guard:
            try:
                yield self._healthy_api(guard)
            except ApiError:
                # If a process died, the guard is stopping the others: that is what to tell then.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    guard.wait(timeout=GRACE_SECONDS * 2)
                self._check(guard)
                raise

    def start_detached(self) -> None:
        """Start everything, return once all of it is healthy, and leave it running until ``stop_lab``.

        Raises:
            LabError: as with ``running``; nothing is left running then.
        """
        with self._guard() as guard:
            self._healthy_api(guard)
            if guard.stdin is not None:
                guard.stdin.write(b"detach\n")
                guard.stdin.flush()
            # The guard keeps running: without this, leaving the block would wait for its end.
            guard.returncode = 0

    @contextlib.contextmanager
    def _guard(self) -> Iterator[subprocess.Popen[bytes]]:
        with _locked(self.home) as lock:
            shutil.rmtree(self.home, ignore_errors=True)
            self.home.mkdir(parents=True)
            command = [sys.executable, "-m", "demo.guard", str(self.plan.save())]
            with self.plan.log("guard").open("wb") as log:
                guard = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=Path(__file__).parent.parent,
                    env=self.environment(os.environ),
                    # Out of reach of the terminal's Ctrl-C: it is told to stop by its standard input.
                    start_new_session=True,
                    # While the guard lives, the folder is its own.
                    pass_fds=(lock,),
                )
        try:
            yield guard
        finally:
            if guard.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    guard.stdin.close()
            guard.wait(timeout=GRACE_SECONDS * 4)

    def _healthy_api(self, guard: subprocess.Popen[bytes]) -> AirflowApi:
        api = AirflowApi(self.url)
        deadline = time.monotonic() + _START_SECONDS
        while not api.healthy():
            self._check(guard)
            if time.monotonic() > deadline:
                msg = f"Airflow is not healthy after {_START_SECONDS:.0f} s; its output is in {self.home}/*.log"
                raise LabError(msg)
            time.sleep(0.3)
        return api

    def _check(self, guard: subprocess.Popen[bytes]) -> None:
        """Raise ``LabError`` with the end of each log if the guard has ended."""
        if guard.poll() is None:
            return
        tails = [f"--- {log.name}\n{_tail(log)}" for log in sorted(self.home.glob("*.log"))]
        msg = "\n".join(["Airflow's processes ended before time", *tails])
        raise LabError(msg)


def _tail(file: Path, lines: int = 15) -> str:
    """Return the last ``lines`` of a text file."""
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[int]:
    """Hold the lock beside ``home`` and yield its descriptor; whoever inherits that holds it too.

    Raises:
        LabError: somebody else holds it.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"an Airflow with its files in {home} is running or just stopping"
            raise LabError(msg) from error
        yield file.fileno()


def lab_folder_taken(home: Path) -> bool:
    """Tell whether the processes that belong to ``home`` run."""
    try:
        with _locked(home):
            return False
    except LabError:
        return True


def stop_lab(home: Path) -> int:
    """Stop what ``start_detached`` started in ``home`` and return how many recorded processes still ran.

    It goes by the recorded process numbers and start times, so it cannot hit anything else. The guard is asked first;
    the others are asked only if it is no more.
    """
    records = Plan(folder=str(home), components={}).records()
    running = [process for record in records if (process := record.find())]
    for record in records:
        if process := record.find():
            stop_processes([process], grace_seconds=GRACE_SECONDS * 2)
    return len(running)
