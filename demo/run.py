"""The demo: runs the example DAGs, shows what happens, checks every delivered file, stops everything.

Its exit code is 0 only if every run succeeded, waiting really was deferred, every delivered file equals what
the server generated, and every page tells of its files.
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
from demo.deliveries import Delivery, Page, page_problems, problems
from demo.examples import EXAMPLES, Example
from demo.guard import end_with_parent
from demo.rest import AirflowApi, ApiError
from demo.sources import Account, LocalServer, source_from

__all__ = ["end_in_order", "main", "make_lab"]

ROOT = Path(__file__).parent.parent
_POLL_SECONDS = 0.5
_ENDED = {"success", "failed"}


class DemoError(Exception):
    """The demo did not show what it promises; the message says what and where to look."""


@dataclass(kw_only=True)
class _Run:
    """One run of an example DAG, as far as it got."""

    example: Example
    run_id: str
    state: str = "queued"
    tasks: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    """Task instances as last seen, by task id and map index."""
    deferred: set[str] = field(default_factory=set)
    """Ids of the tasks that were seen in the state deferred."""
    deliveries: list[Delivery] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    counts: list[dict[str, int]] = field(default_factory=list)
    """Of teams, by what became of them, from each summary of a fan-out."""

    @property
    def dag_id(self) -> str:
        return self.example.dag_id


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
            confs = {
                example.dag_id: {
                    "destination": f"{output.as_uri()}/",
                    **source.params(today, example.months),
                    **example.conf,
                }
                for example in EXAMPLES
            }
            runs = _run_all(api, clock, confs, source)
            _check(runs, source)
    except (ApiError, DemoError, LabError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything is stopped", file=sys.stderr)
        return 130
    clock.say("everything is stopped")
    for page in (page for run in runs for page in run.pages):
        print(f"Open {page.path.as_uri()}", flush=True)
    return 0


class _Clock:
    """Prints lines with the seconds since the demo's start."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._start = now()

    def say(self, text: str) -> None:
        print(f"{self.now() - self._start:6.1f}s {text}", flush=True)


def _run_all(
    api: AirflowApi, clock: _Clock, confs: dict[str, dict[str, Any]], source: LocalServer | Account
) -> list[_Run]:
    """Run all example DAGs at once, each with its entry of ``confs``, and return the runs with what they delivered."""
    chosen = [example for example in EXAMPLES if not example.needs or confs[example.dag_id][example.needs]]
    if left_out := [example.dag_id for example in EXAMPLES if example not in chosen]:
        clock.say(f"SEI_TEAM_ID is not set: left out, for they need a team: {', '.join(left_out)}")
    _wait_until_parsed(api, clock)
    runs = []
    for example in chosen:
        api.unpause(example.dag_id)
        runs.append(_Run(example=example, run_id=api.start_run(example.dag_id, confs[example.dag_id])))
    clock.say(f"started {len(runs)} runs: {', '.join(run.dag_id for run in runs)}")
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
    if never := [run.dag_id for run in runs if run.example.defers and not run.deferred]:
        msg = f"no task was ever deferred: {', '.join(never)}"
        raise DemoError(msg)
    for run in runs:
        _collect(api, run)
    return runs


def _wait_until_parsed(api: AirflowApi, clock: _Clock, patience_seconds: float = 90.0) -> None:
    deadline = clock.now() + patience_seconds
    while missing := [example.dag_id for example in EXAMPLES if not api.dag_exists(example.dag_id)]:
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


def _collect(api: AirflowApi, run: _Run) -> None:
    """Add to ``run`` what its tasks say they have delivered."""
    returned = [api.returned(run.dag_id, run.run_id, task) for task in run.tasks.values()]
    deliveries = {delivery.uri: delivery for delivery in map(Delivery.of, returned) if delivery is not None}
    run.deliveries += deliveries.values()
    run.counts += [each["counts"] for each in returned if isinstance(each, dict) and "counts" in each]
    run.pages += [page for page in map(Page.of, returned) if page is not None]
    if run.example.delivers and not run.deliveries:
        msg = f"{run.dag_id} succeeded, but none of its tasks says what it delivered"
        raise DemoError(msg)


def _check(runs: list[_Run], source: LocalServer | Account) -> None:
    """Print each delivery and refuse those that are not what the server generated, and pages that lack one."""
    generated = source.generated()
    found = []
    deliveries = [delivery for run in runs for delivery in run.deliveries]
    for delivery in deliveries:
        print(delivery, flush=True)
        found += problems(delivery, generated)
    for run in runs:
        for counts in run.counts:
            print(f"{run.dag_id}:", *(f"{name}={count}" for name, count in counts.items()), flush=True)
        for page in run.pages:
            found += page_problems(page, run.deliveries)
    if found:
        raise DemoError("\n".join(found))
    if generated is None:
        print("Every file has the size, sha256 and rows that its task reports; Harness publishes none to compare with.")
    else:
        print(f"Every file equals what the server generated ({len(deliveries)} compared: bytes, sha256, rows).")
