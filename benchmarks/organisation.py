"""A whole organisation: how many calls, how long, how many worker slots, and how many calls are refused.

    python benchmarks/organisation.py [--quick | --full]

Simulated is what is between the two ends: the operators and triggers are the real ones, and so are the HTTP calls
to the local SEI server, whose limit of 400 calls a minute is in force; time passes ``SPEED`` times as fast on both
sides. In Airflow's place, threads run what a worker would run, at most ``SLOTS`` of them at the same time, and one
event loop runs the triggers. Airflow's own work, which takes some seconds a task, is left out.

``naive`` is what the usual script takes for the same exports in tasks of its own: create, a status call every ten
seconds, download, and a worker's slot from the first to the last of these.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any
from urllib.request import urlopen

import fast_time
from report import print_table, write_results

SPEED = 40.0
SLOTS = 16
"""Task processes at the same time, of all workers."""
ONE_RUN = 16
"""Exports at the same time between their first step and their delivery: what the task group sets for one run."""
TEN_RUNS = 160
NIGHTS = ((10, 1, ONE_RUN), (100, 1, ONE_RUN), (100, 1, TEN_RUNS), (1000, 1, TEN_RUNS))
"""Teams, months, and exports at the same time."""
QUICK = NIGHTS[:1]
FULL = (*NIGHTS, (10_000, 1, TEN_RUNS), (500, 24, TEN_RUNS))
JITTER = 30.0
"""Seconds; what the task group sets."""
SECONDS_TO_COMPLETE = 135.0
"""Of one export; as in the vendor's example of a completed one."""
LIMIT = 400
_TRIES = 3
_RETRY_DELAY = 300.0  # Airflow's default
_MINUTE = 60.0
_NAIVE_POLL = 10.0


@contextlib.contextmanager
def sei_server(teams: int) -> Iterator[tuple[str, float]]:
    """Run the server in a process of its own; yield its origin, and what time it is there."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    command = [sys.executable, "-m", "airflow_provider_sei.local_server", "--port", str(port)]
    settings = {
        "clock-speed": SPEED,
        "leaf-teams": teams,
        "developers-per-team": 2,
        "rate-limit-per-minute": LIMIT,
        "queued-seconds": 20,
        "seconds-to-complete": SECONDS_TO_COMPLETE,
        "kept-requests": 1_000_000,
    }
    arguments = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            running.stdout.readline()  # it is ready
            origin = f"http://127.0.0.1:{port}"
            yield origin, control(origin, "health")["now"]
        finally:
            running.kill()


def control(origin: str, what: str) -> Any:
    """Return what the server's control API says."""
    with urlopen(f"{origin}/_local/{what}") as answer:  # noqa: S310 - our own server
        return json.load(answer)


class Work:
    """What Airflow would do with the tasks."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.slots = threading.Semaphore(SLOTS)
        self.lock = threading.Lock()
        self.steps = 0
        self.slot_seconds = 0.0
        self.again = 0
        self.failed: list[str] = []
        self.loop = fast_time.new_event_loop(SPEED)
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def export(self, number: int, team_id: str, period: dict[str, str]) -> dict[str, Any] | None:
        """Run one task to its end, with the retries that Airflow would give it."""
        for left in reversed(range(_TRIES)):
            try:
                return self._try(number, team_id, period)
            except Exception as error:
                if not left:
                    with self.lock:
                        self.failed.append(f"{team_id} {period}: {error}")
                    return None
                with self.lock:
                    self.again += 1
                time.sleep(_RETRY_DELAY)
        return None

    def _try(self, number: int, team_id: str, period: dict[str, str]) -> dict[str, Any]:
        from airflow.providers.common.compat.sdk import TaskDeferred

        from airflow_provider_sei.operators.sei import SEIExportOperator

        method, arguments = "execute", {}
        while True:
            operator = SEIExportOperator(
                task_id=f"export_{number}",
                family="productivity",
                team_id=team_id,
                metric_groups=["activity", "velocity"],
                granularity="monthly",
                destination=self.folder,
                create_jitter=JITTER,
                **period,
            )
            try:
                with self.slots:
                    begun = time.monotonic()
                    try:
                        return getattr(operator, method)({}, **arguments)
                    finally:
                        with self.lock:
                            self.steps += 1
                            self.slot_seconds += time.monotonic() - begun
            except TaskDeferred as deferred:
                method = deferred.method_name
                event = asyncio.run_coroutine_threadsafe(self._fired(deferred.trigger), self.loop).result()
                arguments = {"event": event, **(deferred.kwargs or {})}

    @staticmethod
    async def _fired(trigger: Any) -> Any:
        kind, arguments = trigger.serialize()
        if kind.endswith(".DateTimeTrigger"):  # Airflow's own, which would wait in real time
            return await asyncio.sleep((arguments["moment"] - datetime.now(UTC)).total_seconds())
        assert kind.rpartition(".")[2] == type(trigger).__name__
        async for event in type(trigger)(**json.loads(json.dumps(arguments))).run():
            return event.payload
        return None


def most_within_a_minute(moments: list[float]) -> int:
    """Return the most calls that any 60 seconds had, wherever they begin."""
    return max((bisect_left(moments, moment + _MINUTE) - first for first, moment in enumerate(moments)), default=0)


def measure(teams: int, months: int, parallel: int) -> dict[str, Any]:
    """Export all teams by months, so many at the same time, check every file, and return the figures."""
    with tempfile.TemporaryDirectory() as folder, sei_server(teams) as (origin, now):
        extra = {"project_identifier": "demo_project", "org_identifier": "default", "read_timeout": 3600}
        extra["connect_timeout"] = 3600  # these are of the fast time in the triggerer
        connection = {"conn_type": "harness_sei", "host": f"{origin}/prod1/sei/api", "password": "demo-key"}
        os.environ["AIRFLOW_CONN_SEI_DEFAULT"] = json.dumps(connection | {"extra": extra})
        os.environ.update({"AIRFLOW_HOME": folder, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR", "NO_PROXY": "127.0.0.1"})
        fast_time.speed_up(SPEED, now)
        # What tasks load later would seem to take minutes.
        importlib.import_module("airflow_provider_sei.hooks.sei")
        importlib.import_module("airflow_provider_sei.operators.sei")
        from airflow_provider_sei.hooks.sei import SEIHook
        from airflow_provider_sei.periods import split_period
        from airflow_provider_sei.triggers._poller import load_modules

        found = [team.team_id for team in SEIHook().list_teams("Engineering")]
        assert len(found) == teams
        first = 2026 - math.ceil(months / 12)
        last_year, last_month = divmod(months - 1, 12)
        periods = split_period(f"{first}-01-01", f"{first + last_year}-{last_month + 1:02}-28")
        tasks = [(team, period) for period in periods for team in found]
        work = Work(f"{folder}/lake/")
        load_modules()
        begun = time.time()
        with ThreadPoolExecutor(parallel) as pool:
            results = list(pool.map(lambda task: work.export(*task), ((n, *task) for n, task in enumerate(tasks))))
        minutes = (time.time() - begun) / _MINUTE
        problems = work.failed + list(differences(control(origin, "exports"), results, len(tasks)))
        requests = control(origin, "requests")
        counts = control(origin, "health")
    for problem in problems[:10]:
        print(problem, file=sys.stderr)
    exports = len(tasks)
    naive_seconds = SECONDS_TO_COMPLETE + _NAIVE_POLL / 2
    return {
        "teams": teams,
        "months": months,
        "in parallel": parallel,
        "delivered": sum(result is not None for result in results),
        "problems": len(problems),
        "calls": len(requests),
        "naive calls": exports * (2 + math.ceil(SECONDS_TO_COMPLETE / _NAIVE_POLL)),
        "429": counts["answers"].get("429", 0),
        "most calls a minute": most_within_a_minute(sorted(request["at"] for request in requests)),
        "minutes": minutes,
        "naive minutes": exports * naive_seconds / min(SLOTS, exports) / _MINUTE,
        "task starts": work.steps,
        "slot seconds": work.slot_seconds / SPEED,  # the work is as fast as ever, and only seems longer
        "naive slot seconds": exports * naive_seconds,
        "tried again": work.again,
        **{f"{operation} calls": count for operation, count in Counter(each["operation"] for each in requests).items()},
    }


def differences(exports: list[dict[str, Any]], results: list[dict[str, Any] | None], expected: int) -> Iterator[str]:
    """Yield what is not as it should be: one export for each task, and its very file delivered once."""
    if len(exports) != expected:
        yield f"{len(exports)} exports at the server, not {expected}"
    known = {export["export_id"]: export for export in exports}
    delivered = Counter(result["export_id"] for result in results if result)
    for result in filter(None, results):
        export = known[result["export_id"]]
        if result["sha256"] not in (export["csv_sha256"], export["body_sha256"]) or result["rows"] != export["rows"]:
            yield f"{result['uri']} differs from what the server generated"
    yield from (f"{export_id} was delivered {times} times" for export_id, times in delivered.items() if times > 1)


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten teams, one month (the default)")
    parser.add_argument("--full", action="store_true", help="to 10,000 teams, and 500 teams by 24 months")
    options = parser.parse_args()
    rows = []
    # Each in a process of its own, for time itself is another one there.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        for row in processes.map(measure, *zip(*(FULL if options.full else QUICK), strict=True)):
            print_table([{"": name, "value": value} for name, value in row.items()])
            rows.append(row)
    path = write_results("organisation", ("apache-airflow", "aiohttp", "requests"), rows=rows)
    print(f"written: {path}")


if __name__ == "__main__":
    main()
