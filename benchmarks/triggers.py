"""Thousands of waiting triggers: CPU, loop lag, memory, sockets and delay, beside a peer and the floor.

    python benchmarks/triggers.py [--quick | --full]

Each row is a fresh process with Airflow's own TriggerRunner on one core; the servers run on another. ``sleep`` is a
trigger that only sleeps, ``dbt`` the dbt Cloud provider's (``apache-airflow-providers-dbt-cloud``) at its own fixed
interval, ``sei`` ours under a budget of 240 calls a minute, with the server's limit of 400 in force.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import IO, Any

from report import print_table, write_results

_HERE = Path(__file__).parent
_PACKAGES = ("apache-airflow", "apache-airflow-providers-dbt-cloud", "aiohttp")
_POLL = {1000: 5.0, 10_000: 30.0}  # seconds, of the peer
_LIMIT = 400  # calls a minute at the SEI server


@contextmanager
def process(core: int, script: str, argument: object, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run one of our scripts on one core; end it in any case."""

    def on_core() -> None:
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})

    with subprocess.Popen(
        [sys.executable, str(_HERE / script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=on_core,  # noqa: PLW1509 - no threads here
    ) as running:
        try:
            _say(running, json.dumps(argument))
            yield running
        finally:
            running.kill()


def measure(variant: str, size: int, seconds: float, *, completing: bool = False) -> dict[str, Any]:
    """Return one row."""
    poll = _POLL[size]
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": "",
            "_AIRFLOW_PROCESS_CONTEXT": "client",
            "PYTHONPATH": f"{_HERE.parent}{os.pathsep}{_HERE}",
        }
        with process(0, "trigger_servers.py", {"exports": size, "rate_limit": _LIMIT}, environment) as servers:
            ready = json.loads(_line(servers.stdout))
            given = {"variant": variant, "servers": ready, "poll": poll, "spread": min(poll, 15.0), "settle": 10.0}
            with process(1, "trigger_worker.py", given, environment) as worker:
                _line(worker.stdout)
                before = _ask(servers, "count")
                ends = _ask(servers, f"go {seconds - 10.0}") if completing else []
                _say(worker, str(seconds))
                result = json.loads(_line(worker.stdout))
                after = _ask(servers, "count")
    server = {"dbt": "dbt"}.get(variant, "sei")
    calls, sockets, refused = after[server]
    row = {
        "triggers": size,
        "variant": variant,
        "calls/min": (calls - before[server][0]) * 60.0 / seconds,
        "sockets": sockets,
        "429": refused,
        "CPU %": result["cpu"],
        "lag p50 ms": result["lag"][0],
        "lag p99 ms": result["lag"][1],
        "lag max ms": result["lag"][2],
        "gc max ms": result["gc"],
        "lag max at start": result["start"][0],
        "gc max at start": result["start"][1],
        "KiB/trigger": result["kib"],
    }
    if ends:
        # Trigger n waits for export n: both are numbered in the order of their creation.
        delays = sorted(fired - ends[number] for number, fired in result["fired"])
        row |= {"ended": len(delays), "delay p50 s": delays[len(delays) // 2], "p99 s": delays[int(len(delays) * 0.99)]}
    return row


def alone(count: int) -> dict[str, float]:
    """Return polls and mean delay of exports that are waited for alone, without a server.

    Half of them take a minute or less, one in twenty more than twenty minutes.
    """
    sys.path.insert(0, str(_HERE.parent))
    from airflow_provider_sei.protocol.waiting import ExportWait, WaitPlan

    wait = ExportWait(WaitPlan(family="ba", export_id="one", started_at=0.0, deadline=math.inf))
    random = Random(1)  # noqa: S311 - the same in every run, not a secret
    polls, delays = 0, 0.0
    for _ in range(count):
        end, now = 60.0 * math.exp(random.gauss(0.0, math.log(20.0) / 1.6449)), 0.0
        while now < end:
            now += wait.pause(now, random.random())
            polls += 1
        delays += now - end
    return {"polls an export": polls / count, "mean delay s": delays / count}


def figures(rows: list[dict[str, Any]], single: dict[str, float]) -> list[dict[str, Any]]:
    """Return the figures that are promised, each beside what was measured."""
    by = {(row["triggers"], row["variant"], "ended" in row): row for row in rows}
    floor, dbt, sei = (by[1000, variant, False]["CPU %"] for variant in ("sleep", "dbt", "sei"))
    ending = by[1000, "sei", True]
    found = [
        ("CPU above the floor, part of dbt's, 1000", (sei - floor) / (dbt - floor), 0.25),
        ("s from completion to event, p99, 1000", ending["p99 s"], 2.0),
        ("calls a minute, 1000", max(ending["calls/min"], by[1000, "sei", False]["calls/min"]), 240),
        ("answers 429, 1000", ending["429"], 0),
        ("polls an export alone", single["polls an export"], 15.0),
        ("mean delay alone, s", single["mean delay s"], 10.0),
    ]
    if many := by.get((10_000, "sei", False)):
        found += [
            ("CPU, times the floor, 10,000", many["CPU %"] / by[10_000, "sleep", False]["CPU %"], 1.6),
            ("KiB a trigger, 10,000", many["KiB/trigger"], 20.0),
            ("sockets, 10,000", many["sockets"], 100),
            ("s from completion to event, p99, 10,000", by[10_000, "sei", True]["p99 s"], 2.0),
        ]
    return [{"figure": name, "measured": value, "at most": most, "met": value <= most} for name, value, most in found]


def main() -> int:
    """Measure all rows, print them, write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1000 triggers only, two minutes")
    parser.add_argument("--full", action="store_true", help="the default")
    quick = parser.parse_args().quick
    seconds = 15.0 if quick else 30.0
    rows = [measure(variant, 1000, seconds) for variant in ("sleep", "dbt", "sei")]
    rows += [measure(variant, 1000, 30.0 if quick else 60.0, completing=True) for variant in ("dbt", "sei")[quick:]]
    if not quick:
        rows += [measure(variant, 10_000, 45.0) for variant in ("sleep", "dbt", "sei")]
        rows += [measure("sei", 10_000, 190.0, completing=True)]
    single = alone(500 if quick else 5000)
    promised = figures(rows, single)
    print_table(rows)
    print()
    print_table(promised)
    print(write_results("triggers", _PACKAGES, rows=rows, alone=single, figures=promised))
    return 0 if all(row["met"] for row in promised) else 1


def _line(stream: IO[str] | None) -> str:
    line = stream.readline() if stream is not None else ""
    if not line:
        msg = "a process of the benchmark has ended early; its words are above"
        raise RuntimeError(msg)
    return line


def _say(running: subprocess.Popen[str], line: str) -> None:
    if running.stdin is not None:
        running.stdin.write(line + "\n")
        running.stdin.flush()


def _ask(running: subprocess.Popen[str], command: str) -> Any:
    _say(running, command)
    return json.loads(_line(running.stdout))


if __name__ == "__main__":
    sys.exit(main())
