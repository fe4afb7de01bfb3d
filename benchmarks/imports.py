"""What a DAG file pays for naming the operators and sensors, beside other providers.

    python benchmarks/imports.py [--quick | --full]

Each figure is the median of several fresh interpreters, by turns. Each of them has loaded ``airflow.sdk`` and the
names that every DAG file takes from it before the clock starts. ``wall_ms`` is what passed, ``cpu_ms`` what the process
has worked meanwhile: the same on a machine with nothing else to do, and on a busy one the figure that can be compared.
The limit and the ratios are of ``cpu_ms``. ``loads`` names the HTTP libraries that were not there before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from statistics import median
from typing import Any

from report import print_table, write_results

LIMIT = 20.0
"""Milliseconds for our operators and sensors."""
ROUNDS = {"quick": 7, "full": 25}

_OURS = "import airflow_provider_sei.operators.sei, airflow_provider_sei.sensors.sei"
_MADE = "airflow_provider_sei.operators.sei.SEIExportOperator(task_id='t', destination='/lake/', team_id='1', "
_REQUEST = "family='productivity', date_start='2024-01-01', date_end='2024-01-31', metric_groups=['velocity'])"
# What is measured, and the package that it is from.
CASES = {
    "sei": ("airflow-provider-sei", _OURS),
    "sei, one task made": ("airflow-provider-sei", f"{_OURS}\n{_MADE}{_REQUEST}"),
    "sei, task group too": ("airflow-provider-sei", f"{_OURS}\nimport airflow_provider_sei.task_groups"),
    "sei, watcher too": ("airflow-provider-sei", f"{_OURS}\nimport airflow_provider_sei.triggers.watcher"),
    "dbt-cloud": (
        "apache-airflow-providers-dbt-cloud",
        "import airflow.providers.dbt.cloud.operators.dbt, airflow.providers.dbt.cloud.sensors.dbt",
    ),
    "http": (
        "apache-airflow-providers-http",
        "import airflow.providers.http.operators.http, airflow.providers.http.sensors.http",
    ),
    "amazon HttpToS3": (
        "apache-airflow-providers-amazon",
        "import airflow.providers.amazon.aws.transfers.http_to_s3",
    ),
}
_SCRIPT = """
import json, sys, time
import airflow.sdk
from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator
known = set(sys.modules)
wall, cpu = time.perf_counter(), time.process_time()
{code}
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
fresh = set(sys.modules) - known
http = sorted(fresh & {{"requests", "aiohttp", "httpx", "botocore", "tenacity"}})
print(json.dumps({{"wall_ms": wall * 1000, "cpu_ms": cpu * 1000, "modules": len(fresh), "loads": " ".join(http)}}))
"""


def measure(code: str, home: str) -> dict[str, Any]:
    """Return what ``code`` cost in a fresh interpreter."""
    environment = os.environ | {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its byte code
    command = [sys.executable, "-c", _SCRIPT.format(code=code)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure, print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    for name, number in ROUNDS.items():
        size.add_argument(f"--{name}", dest="rounds", action="store_const", const=number)
    parser.set_defaults(rounds=ROUNDS["quick"])
    rounds: int = parser.parse_args().rounds
    installed = {each.name for each in distributions()}
    cases = {name: code for name, (package, code) in CASES.items() if package in installed}
    with tempfile.TemporaryDirectory() as home:
        for code in cases.values():  # writes Airflow's configuration and the byte code
            measure(code, home)
        turns = [{name: measure(code, home) for name, code in cases.items()} for _ in range(rounds)]
    rows: list[dict[str, Any]] = []
    for name in cases:
        mine = [turn[name] for turn in turns]
        row: dict[str, Any] = {"import": name}
        for kind in ("wall_ms", "cpu_ms"):
            row |= {kind: median(one[kind] for one in mine), f"least_{kind}": min(one[kind] for one in mine)}
        rows.append(row | {kind: mine[0][kind] for kind in ("modules", "loads")})
    for row in rows:
        row["ratio"] = row["cpu_ms"] / rows[0]["cpu_ms"]
    ours = rows[0]
    assert not ours["loads"], ours
    print_table(rows)
    met = ours["cpu_ms"] <= LIMIT
    print(f"sei: {ours['cpu_ms']:.1f} ms of work, at most {LIMIT:.0f} promised: {'met' if met else 'NOT met'}")
    write_results("imports", ("apache-airflow", "airflow-provider-sei"), rounds=rounds, limit=LIMIT, met=met, rows=rows)


if __name__ == "__main__":
    main()
