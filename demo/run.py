"""The demo: runs the example DAGs, shows what happens, checks every delivered file, stops everything.

Its exit code is 0 only if every run succeeded, the waiting chain really was deferred, and every delivered file equals
what the server generated.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.airflow_processes import AirflowLab, LabError, free_ports
from demo.deliveries import Delivery, problems
from demo.guard import end_with_parent
from demo.rest import AirflowApi, ApiError
from demo.sources import Account, LocalServer, source_from

__all__ = ["DEMO_DAGS", "end_in_order", "main", "make_lab"]

ROOT = Path(__file__).parent.parent
DEFERRED_DAG = "sei_export_create_wait_download"
DEMO_DAGS = ("sei_export_one_task", DEFERRED_DAG, "sei_legacy_team_report", "sei_legacy_contributor_report")
_TEAM_DAGS = frozenset(DEMO_DAGS[2:])
"""Those that export a team and nothing else."""
_POLL_SECONDS = 0.5
_ENDED = {"success", "failed"}


class DemoError(Exception):
    """The demo did not show what it promises; the message says what and where to look."""


@dataclass(kw_only=True)
class _Run:
    """One run of an example DAG, as far as it got."""

    dag_id: str
    run_id: str
    state: str = "queued"
    tasks: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    """Task instances as last seen, by task id and map index."""
    deferred: set[str] = field(default_factory=set)
    """Ids of the tasks that were seen in the state deferred."""


def make_lab(home: Path, source: LocalServer | Account, *, port: int) -> AirflowLab:
    """Return the processes that run the example DAGs against ``source``."""
    return AirflowLab(
        home=home,
        dags_folder=ROOT / "dags_examples",
        port=port,
        connections={"sei_default": source.connection},
        beside={"sei-server": source.command} if source.command else {},
    )


def end_in_order() -> None:
    """Let SIGTERM, SIGHUP and the death of the parent (make) unwind this process, so that it stops what it started."""
    end_with_parent()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))


def main() -> int:
    """Run the demo and return its exit code."""
    end_in_order()
    source_port, airflow_port = free_ports(2)
    source = source_from(os.environ, port=source_port)
    lab = make_lab(ROOT / ".demo" / "run", source, port=airflow_port)
    output = ROOT / "demo-output" / source.name
    if source.name == LocalServer.name:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    today = datetime.now(tz=UTC).date()
    clock = _Clock()
    print(f"Starting Airflow and {source.title}; output of the processes: {lab.home}/*.log", flush=True)
    try:
        with lab.running() as api:
            clock.say("Airflow is healthy")
            deliveries = _run_all(api, clock, {"destination": f"{output.as_uri()}/", **source.params(today)}, source)
            _check(deliveries, source)
    except (ApiError, DemoError, LabError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything is stopped", file=sys.stderr)
        return 130
    clock.say("everything is stopped")
    return 0


class _Clock:
    """Prints lines with the seconds since the demo's start."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._start = now()

    def say(self, text: str) -> None:
        print(f"{self.now() - self._start:6.1f}s {text}", flush=True)


def _run_all(api: AirflowApi, clock: _Clock, conf: dict[str, Any], source: LocalServer | Account) -> list[Delivery]:
    """Run all example DAGs at once and return what they delivered."""
    dags = [dag_id for dag_id in DEMO_DAGS if conf["team_id"] or dag_id not in _TEAM_DAGS]
    if len(dags) < len(DEMO_DAGS):
        clock.say("SEI_TEAM_ID is not set: the legacy reports, which are by team, are left out")
    _wait_until_parsed(api, clock)
    runs = []
    for dag_id in dags:
        api.unpause(dag_id)
        runs.append(_Run(dag_id=dag_id, run_id=api.start_run(dag_id, conf)))
    clock.say(f"started {len(runs)} runs: {', '.join(dags)}")
    deadline = clock.now() + source.patience_seconds
    while any(run.state not in _ENDED for run in runs):
        if clock.now() > deadline:
            waiting = ", ".join(run.dag_id for run in runs if run.state not in _ENDED)
            msg = f"not ended after {source.patience_seconds:.0f} s: {waiting}"
            raise DemoError(msg)
        time.sleep(_POLL_SECONDS)
        for run in runs:
            _look_at(api, clock, run)
    if failed := [run for run in runs if run.state == "failed"]:
        raise DemoError("\n".join(_failure(api, run) for run in failed))
    if not any(run.deferred for run in runs if run.dag_id == DEFERRED_DAG):
        msg = f"no task of {DEFERRED_DAG} was ever deferred"
        raise DemoError(msg)
    return [delivery for run in runs for delivery in _delivered(api, run)]


def _wait_until_parsed(api: AirflowApi, clock: _Clock, patience_seconds: float = 90.0) -> None:
    deadline = clock.now() + patience_seconds
    while missing := [dag_id for dag_id in DEMO_DAGS if not api.dag_exists(dag_id)]:
        if errors := api.import_errors():
            raise DemoError("\n".join(f"{error['filename']}: {error['stack_trace']}" for error in errors))
        if clock.now() > deadline:
            msg = f"not found in dags_examples/ after {patience_seconds:.0f} s: {', '.join(missing)}"
            raise DemoError(msg)
        time.sleep(_POLL_SECONDS)


def _look_at(api: AirflowApi, clock: _Clock, run: _Run) -> None:
    """Update ``run`` and print each change."""
    if run.state in _ENDED:
        return
    # The run's state first: once it has ended, the tasks' states below are the last ones.
    run.state = api.run_state(run.dag_id, run.run_id)
    for task in api.task_instances(run.dag_id, run.run_id):
        key = (task["task_id"], task["map_index"])
        if task["state"] and task["state"] != run.tasks.get(key, {}).get("state"):
            index = f"[{key[1]}]" if key[1] >= 0 else ""
            clock.say(f"{run.dag_id}.{key[0]}{index} {task['state']}")
        if task["state"] == "deferred":
            run.deferred.add(key[0])
        run.tasks[key] = task
    if run.state in _ENDED:
        clock.say(f"{run.dag_id} {run.state}")


def _failure(api: AirflowApi, run: _Run) -> str:
    lines = []
    for (task_id, _), task in run.tasks.items():
        if task["state"] in {"failed", "up_for_retry"}:
            lines += [f"--- {run.dag_id}.{task_id} {task['state']}", *api.log_lines(run.dag_id, run.run_id, task)[-30:]]
    return "\n".join(lines or [f"--- {run.dag_id} failed without a failed task"])


def _delivered(api: AirflowApi, run: _Run) -> list[Delivery]:
    returned = [api.returned(run.dag_id, run.run_id, task) for task in run.tasks.values()]
    deliveries = {delivery.uri: delivery for delivery in map(Delivery.of, returned) if delivery is not None}
    if not deliveries:
        msg = f"{run.dag_id} succeeded, but none of its tasks says what it delivered"
        raise DemoError(msg)
    return list(deliveries.values())


def _check(deliveries: list[Delivery], source: LocalServer | Account) -> None:
    """Print each delivery and refuse those that are not what the server generated."""
    generated = source.generated()
    found = []
    for delivery in deliveries:
        print(delivery, flush=True)
        found += problems(delivery, generated)
    if found:
        raise DemoError("\n".join(found))
    if generated is None:
        print("Every file has the size, sha256 and rows that its task reports; Harness publishes none to compare with.")
    else:
        print(f"Every file equals what the server generated ({len(deliveries)} compared: bytes, sha256, rows).")
