"""One measurement of ``triggers.py`` in a fresh process: so many triggers in Airflow's real TriggerRunner.

Only the socket to the supervisor is replaced. The first line of stdin is a JSON object; when the triggers have settled
it prints a line, waits for one with the seconds to measure, and prints what it has measured.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

_LAG_STEP = 0.01  # seconds


class SleepTrigger(BaseTrigger):
    """The floor: waits without doing anything."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the arguments."""
        return "trigger_worker.SleepTrigger", {"number": self.number}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep."""
        await asyncio.sleep(1e6)
        yield TriggerEvent({})


def payloads(variant: str, servers: dict[str, Any], poll: float) -> tuple[str, list[dict[str, Any]]]:
    """Return the class and the arguments of each trigger."""
    numbers, end = range(len(servers["ids"])), time.time() + 86_400
    if variant == "sleep":
        return "trigger_worker.SleepTrigger", [{"number": n} for n in numbers]
    if variant == "dbt":
        from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook

        original = DbtCloudHook.get_request_url_params

        def over_http(*given: Any, **named: Any) -> Any:
            url, params = original(*given, **named)
            return url.replace("https://", "http://"), params

        DbtCloudHook.get_request_url_params = staticmethod(over_http)
        return "airflow.providers.dbt.cloud.triggers.dbt.DbtCloudRunJobTrigger", [
            {"conn_id": "dbt", "run_id": n, "end_time": end, "poll_interval": poll, "account_id": 1} for n in numbers
        ]
    return "airflow_provider_sei.triggers.sei.SEIExportTrigger", [
        {"family": "productivity", "export_id": name, "deadline": end, "started_at": time.time()}
        for name in servers["ids"]
    ]


def connect(servers: dict[str, Any]) -> None:
    """Name the servers as Airflow connections."""
    extra = {"project_identifier": servers["project"], "org_identifier": servers["org"], "calls_per_minute": 240}
    host = f"http://127.0.0.1:{servers['sei']}{servers['base_path']}"
    os.environ["AIRFLOW_CONN_SEI_DEFAULT"] = json.dumps(
        {"conn_type": "harness_sei", "host": host, "password": servers["key"], "extra": extra}
    )
    os.environ["AIRFLOW_CONN_DBT"] = json.dumps(
        {"conn_type": "dbt_cloud", "login": "1", "password": "none", "host": f"127.0.0.1:{servers['dbt']}"}
    )


class Events(deque[Any]):
    """The runner's events, with the moment at which each was fired."""

    def __init__(self) -> None:
        super().__init__()
        self.fired: list[tuple[int, float]] = []

    def append(self, event: Any) -> None:
        """Take one."""
        self.fired.append((event.trigger_id, time.time()))
        super().append(event)


class Collections:
    """The longest of Python's garbage collections, which stop the loop whoever made the garbage."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._begun = 0.0

    def __call__(self, phase: str, _info: object) -> None:
        """Take note."""
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self.longest = max(self.longest, time.perf_counter() - self._begun)


async def measure(variant: str, servers: dict[str, Any], poll: float, spread: float, settle: float) -> dict[str, Any]:
    """Start the triggers over ``spread`` seconds, let them settle, measure for as long as stdin says."""
    from airflow.executors.workloads import RunTrigger
    from airflow.jobs.triggerer_job_runner import TriggerRunner, messages
    from airflow.models.trigger import Trigger

    classpath, arguments = payloads(variant, servers, poll)
    workloads = [
        RunTrigger(id=number, classpath=classpath, encrypted_kwargs=Trigger.encrypt_kwargs(kwargs))
        for number, kwargs in enumerate(arguments)
    ]
    count, begun = len(workloads), time.monotonic()

    class Comms:
        _reader_task: asyncio.Task[None]

        async def asend(self, _message: object) -> Any:
            wanted = min(count, int((time.monotonic() - begun + 1.0) / spread * count))
            created = count - len(workloads)
            return messages.TriggerStateSync(
                to_create=[workloads.pop() for _ in range(max(0, wanted - created))], to_cancel=set()
            )

    class Runner(TriggerRunner):
        async def init_comms(self) -> None:
            self.comms_decoder = Comms()
            self.comms_decoder._reader_task = asyncio.create_task(asyncio.sleep(1e6))  # noqa: SLF001 - arun looks at it

    runner = Runner()
    runner.events = events = Events()
    lags: list[float] = []
    collections = Collections()
    gc.callbacks.append(collections)
    gc.collect()
    before = _resident()
    task = asyncio.create_task(runner.arun())
    lag = asyncio.create_task(_sample_lag(lags))
    while workloads:  # noqa: ASYNC110 - the runner empties the list, and knows nothing of us
        await asyncio.sleep(0.1)
    start_lag, start_gc = max(lags), collections.longest
    await asyncio.sleep(settle)
    gc.collect()
    resident = _resident() - before
    _say({"settled": count})
    seconds = float(await asyncio.to_thread(sys.stdin.readline))
    lags.clear()
    collections.longest = 0.0
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    lags.sort()
    result = {
        "cpu": 100.0 * cpu / wall,
        "lag": [1000.0 * lags[int(len(lags) * share)] for share in (0.5, 0.99)] + [1000.0 * lags[-1]],
        "gc": 1000.0 * collections.longest,
        "start": [1000.0 * start_lag, 1000.0 * start_gc],
        "kib": resident / count / 1024,
        "fired": events.fired,
    }
    runner.stop = True
    lag.cancel()
    gc.callbacks.clear()
    for details in runner.triggers.values():
        details["task"].cancel()
    await asyncio.gather(task, lag, *(details["task"] for details in runner.triggers.values()), return_exceptions=True)
    return result


async def _sample_lag(lags: list[float]) -> None:
    for _ in itertools.count():
        then = time.perf_counter()
        await asyncio.sleep(_LAG_STEP)
        lags.append(time.perf_counter() - then - _LAG_STEP)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure."""
    from airflow.sdk.log import configure_logging

    given = json.loads(sys.stdin.readline())
    connect(given["servers"])
    with Path(os.devnull).open("wb") as nowhere:
        configure_logging(json_output=True, output=nowhere)
        _say(asyncio.run(measure(**given)))


if __name__ == "__main__":
    main()
