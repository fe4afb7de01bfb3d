"""Airflow as a cluster: PostgreSQL, the Celery executor, two workers and two triggerers."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

import psutil

from demo.local_airflow import LocalAirflow
from demo.processes import Processes
from tests.cluster.services import Services

__all__ = ["SLOTS", "TRIGGERERS", "WORKERS", "Cluster", "connections_to", "kept", "kill"]

WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
SLOTS = 4
"""Tasks that each worker runs at a time."""
_RESTART_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Cluster(LocalAirflow):
    """The demo's Airflow with another executor, more processes, and a shorter patience for those that are lost."""

    services: Services

    @property
    def processes(self) -> Processes:
        """The commands: each worker and each triggerer is started again when it has ended."""
        processes = super().processes
        airflow = [sys.executable, "-m", "airflow"]
        keeper = [sys.executable, "-m", "tests.cluster.keeper", str(_RESTART_SECONDS)]
        triggerer = processes.components["triggerer"]
        worker = [*airflow, "celery", "worker", "--skip-serve-logs", "--concurrency", str(SLOTS)]
        return replace(
            processes,
            components={
                **{name: command for name, command in processes.components.items() if name != "triggerer"},
                **{name: [*keeper, *triggerer] for name in TRIGGERERS},
                **{name: [*keeper, *worker, "--celery-hostname", name] for name in WORKERS},
            },
        )

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the processes' environment."""
        return {
            **super().environment(inherited),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.services.database,
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": self.services.broker,
            # Prefetched tasks are lost with a killed worker.
            "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
            # No more than the workers run: a task that is queued for long is taken for lost.
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(SLOTS * len(WORKERS)),
            # Lost tasks keep their slot for a while.
            "AIRFLOW__CORE__PARALLELISM": str(SLOTS * len(WORKERS) * 4),
            # A running task is lost 20 s after its last heartbeat instead of five minutes; it sends one every 3 s.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
            # A queued task is lost after 40 s instead of ten minutes: a killed worker may have had it.
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "40",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
            # A triggerer is lost after 10 s instead of thirty, and another one takes its triggers.
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            # Few at a time, or one triggerer takes all of them.
            "AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": "2",
        }

    def workers_ready(self) -> bool:
        """Tell whether all workers say that they take tasks."""
        return all("ready." in self.processes.log(name).read_text(errors="replace") for name in WORKERS)


def kept(processes: Processes, name: str) -> psutil.Process | None:
    """Return the running process of a component that has a keeper, or ``None`` between two starts."""
    record = next((record for record in processes.records() if record.name == name), None)
    keeper = record.find() if record else None
    return next(iter(keeper.children()), None) if keeper else None


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all below it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def kill(process: psutil.Process) -> None:
    """End a process and all below it by SIGKILL, as the loss of their machine does."""
    # Stopped first, so that none can report or replace another one.
    for number in (signal.SIGSTOP, signal.SIGSTOP, signal.SIGKILL):
        doomed = family(process)
        for one in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
    psutil.wait_procs(doomed, timeout=10)


def connections_to(port: int, process: psutil.Process | None) -> int:
    """Return how many TCP connections to a port a process and all below it hold."""
    count = 0
    for one in family(process) if process else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            count += sum(bool(held.raddr) and held.raddr.port == port for held in one.net_connections("tcp"))
    return count
