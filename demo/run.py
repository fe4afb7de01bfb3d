"""Runs the example DAGs, prints what happens, and checks every delivered file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from demo import DemoError
from demo.deliveries import deliveries, page_problems, problems
from demo.rest import AirflowApi
from demo.targets import Target

__all__ = ["EXAMPLES", "Example", "last_full_months", "run_examples"]

_POLL_SECONDS = 0.5
_PARSE_SECONDS = 90.0
_ENDED = {"success", "failed"}


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example DAG that the demo runs.

    :param needs: a param that it needs; the example is left out for an account that does not provide it.
    :param months: how many full months it exports.
    :param lake: whether it delivers to its own default destination, the bucket, instead of the demo's folder.
    :param defers: whether a task must have been seen deferred. Not for a wait in a task of its own, which can start
        after its export is completed.
    """

    dag_id: str
    needs: str | None = None
    months: int = 3
    lake: bool = False
    defers: bool = False


EXAMPLES = (
    Example(dag_id="sei_export_one_task", defers=True),
    Example(dag_id="sei_export_create_wait_download"),
    Example(dag_id="sei_legacy_team_report", needs="team_id"),
    Example(dag_id="sei_legacy_contributor_report", needs="team_id"),
    Example(dag_id="sei_nightly", needs="team_id", lake=True),
    Example(dag_id="sei_dora_report", needs="team_ids", months=12),
)


@dataclass(kw_only=True)
class _Run:
    """One run of an example, as last seen; its tasks by task id and map index."""

    example: Example
    run_id: str
    state: str = "queued"
    tasks: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    deferred: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.example.dag_id, self.run_id


def last_full_months(today: date, months: int) -> dict[str, str]:
    """Return the first and the last day of the calendar months before ``today``, as params of an example."""
    last = today.replace(day=1) - timedelta(days=1)
    count = last.year * 12 + last.month - months
    return {"date_start": date(count // 12, count % 12 + 1, 1).isoformat(), "date_end": last.isoformat()}


def run_examples(
    api: AirflowApi, target: Target, destination: str, bucket: str, say: Callable[[str], None]
) -> list[str]:
    """Run all examples at the same time, check what they delivered, and return the URIs of the pages that they made.

    :param bucket: address of the server that has the ``s3://`` objects.
    :param say: prints a line.
    :raises DemoError: a run failed or took too long, no task was deferred, or a file is not what it should be.
    """
    _until(lambda: _all_parsed(api), "all examples are parsed", _PARSE_SECONDS)
    runs = []
    for example in EXAMPLES:
        if example.needs and not target.params[example.needs]:
            say(f"{example.dag_id} left out: SEI_TEAM_ID is not set")
            continue
        months = last_full_months(datetime.now(tz=UTC).date(), example.months)
        api.unpause(example.dag_id)
        folder = {} if example.lake else {"destination": destination}
        run_id = api.start_run(example.dag_id, {**folder, **target.params, **months})
        runs.append(_Run(example=example, run_id=run_id))
    say(f"started {len(runs)} runs")
    _until(lambda: _all_ended(api, runs, say), "all runs have ended", target.timeout_seconds)
    if failed := [run for run in runs if run.state == "failed"]:
        raise DemoError("\n".join(_failure(api, run) for run in failed))
    if never := [run.example.dag_id for run in runs if run.example.defers and not run.deferred]:
        msg = f"no task was deferred: {', '.join(never)}"
        raise DemoError(msg)
    return _check(api, runs, target, bucket)


def _until(reached: Callable[[], bool], description: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            msg = f"not reached within {seconds:.0f} s: {description}"
            raise DemoError(msg)
        time.sleep(_POLL_SECONDS)


def _all_parsed(api: AirflowApi) -> bool:
    if errors := api.import_errors():
        raise DemoError("\n".join(f"{error['filename']}: {error['stack_trace']}" for error in errors))
    return all(api.dag_exists(example.dag_id) for example in EXAMPLES)


def _all_ended(api: AirflowApi, runs: list[_Run], say: Callable[[str], None]) -> bool:
    """Read the states of all runs and tasks, and print each change."""
    for run in runs:
        if run.state in _ENDED:
            continue
        # The run's state first: if it has ended, the states of the tasks are final.
        run.state = api.run_state(*run.key)
        for task in api.task_instances(*run.key):
            key = (task["task_id"], task["map_index"])
            if task["state"] and task["state"] != run.tasks.get(key, {}).get("state"):
                index = f"[{key[1]}]" if key[1] >= 0 else ""
                say(f"{run.example.dag_id}.{key[0]}{index} {task['state']}")
            run.deferred |= task["state"] == "deferred"
            run.tasks[key] = task
        if run.state in _ENDED:
            say(f"{run.example.dag_id} {run.state}")
    return all(run.state in _ENDED for run in runs)


def _failure(api: AirflowApi, run: _Run) -> str:
    """Return the end of the log of each failed task."""
    lines = [f"--- {run.example.dag_id} failed"]
    for task in run.tasks.values():
        if task["state"] == "failed":
            lines += [f"--- {run.example.dag_id}.{task['task_id']}", *api.log_lines(*run.key, task)[-30:]]
    return "\n".join(lines)


def _check(api: AirflowApi, runs: list[_Run], target: Target, bucket: str) -> list[str]:
    """Print what was delivered, compare it, and return the URIs of the pages."""
    generated = target.generated()
    pages, found, compared = [], [], 0
    for run in runs:
        returned = [api.returned(*run.key, task) for task in run.tasks.values()]
        delivered = deliveries(returned)
        compared += len(delivered)
        if not delivered:
            found.append(f"{run.example.dag_id} succeeded, but none of its tasks returned a delivered file")
        for result in delivered:
            print("delivered", result["uri"], *(f"{name}={result[name]}" for name in ("rows", "bytes", "sha256")))
            found += problems(result, generated, bucket)
        for page in (each["page"] for each in returned if isinstance(each, dict) and "page" in each):
            pages.append(page)
            found += page_problems(page, delivered)
    if found:
        raise DemoError("\n".join(found))
    if generated is None:
        print(
            "Every file has the bytes, sha256 and rows that its task returned; Harness publishes none to compare with."
        )
    else:
        print(f"Every file equals what the server generated ({compared} compared: bytes, sha256, rows).", flush=True)
    return pages
