"""Two backfills in real Airflow processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from airflow_provider_sei.local_server.running import RunningServer
from demo.local_airflow import LocalAirflow, free_ports
from demo.processes import Processes
from demo.rest import AirflowApi
from tests.lab import until

EXAMPLE = Path(__file__).parents[1] / "dags_examples" / "example_sei_backfill.py"
PARTITIONED = """
from airflow.sdk import DAG, CronPartitionTimetable

from airflow_provider_sei.operators.sei import SEIExportOperator

with DAG("partitioned", schedule=CronPartitionTimetable("0 2 1 * *", timezone="UTC", key_format="%Y-%m")):
    SEIExportOperator(
        task_id="export", family="ba", team_id="456", destination="{{ dag_run.conf.destination }}", layout="hive"
    )
"""
MONTHS = [f"2024-{month:02d}" for month in range(1, 7)]
HALF_A_YEAR = ("sei_backfill", "--from-date", "2024-02-01", "--to-date", "2024-07-02", "--max-active-runs", "2")
TWO_PARTITIONS = ("partitioned", "--from-date", "2024-01-01", "--to-date", "2024-02-28")
REUSE_SECONDS = 30 * 60
FERNET_KEY = Fernet.generate_key().decode()  # of the connections in the database
PATIENCE_SECONDS = 240.0


@dataclass(frozen=True, kw_only=True)
class Lab(LocalAirflow):
    """Airflow that begins with backfills; the example's has one team. Its database outlives it."""

    backfills: tuple[tuple[str, ...], ...]
    """Arguments of ``airflow backfill create``."""

    @property
    def processes(self) -> Processes:
        """As it is, with the backfills put up beforehand: SQLite bears no long transaction beside a scheduler's."""
        airflow = [sys.executable, "-m", "airflow"]
        steps = {"reserialize": [*airflow, "dags", "reserialize"]}
        for dag_id, *given in self.backfills:
            steps[f"backfill-{dag_id}"] = [*airflow, "backfill", "create", "--dag-id", dag_id, *given]
        processes = super().processes
        return replace(processes, steps={**processes.steps, **steps})

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Do not start scheduled runs."""
        return {
            **super().environment(inherited),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}.db",
            "SEI_TEAMS": "456",
        }


@pytest.fixture
def lab(sei_server: RunningServer, tmp_path: Path) -> Lab:
    """The example and a partitioned DAG, with a backfill each."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / EXAMPLE.name).write_text(EXAMPLE.read_text())
    (dags / "partitioned.py").write_text(PARTITIONED)
    conf = ("--dag-run-conf", json.dumps({"destination": f"{tmp_path}/out/"}))
    return Lab(
        home=tmp_path / "airflow",
        dags_folder=dags,
        port=free_ports(1)[0],
        connections={"sei_default": sei_server.connection_json(account_id="demo_account")},
        beside={},
        backfills=((*HALF_A_YEAR, *conf), (*TWO_PARTITIONS, *conf)),
    )


def ended(api: AirflowApi, dag_id: str, *, runs: int) -> list[Any]:
    """Wait for the DAG's backfill; return the results of its exports."""
    api.unpause(dag_id)  # not before: the scheduler starts before the API that its tasks need
    address = f"backfills?dag_id={dag_id}"
    until(lambda: all(each["completed_at"] for each in api._send("GET", address)["backfills"]), PATIENCE_SECONDS)
    api._send("PATCH", f"dags/{dag_id}", {"is_paused": True})
    found = api._send("GET", f"dags/{dag_id}/dagRuns?run_type=backfill")["dag_runs"]
    assert [run["state"] for run in found] == ["success"] * runs
    tasks = [(run["dag_run_id"], *api.task_instances(dag_id, run["dag_run_id"])) for run in found]
    return [api.returned(dag_id, run_id, task) for run_id, task in tasks]


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and modification time of every file, by its path in ``folder``."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


@pytest.mark.live
def test_a_second_backfill_changes_nothing(lab: Lab, sei_server: RunningServer, tmp_path: Path) -> None:
    """Half an hour later, the second one exports everything again, and writes no file. Partitions work, too."""
    with lab.running() as api:
        first = ended(api, "sei_backfill", runs=len(MONTHS))
        ended(api, "partitioned", runs=2)
    delivered = files(tmp_path / "out")
    periods = [f"family=productivity/period={month}/team=456/productivity_c9d8bf79.csv" for month in MONTHS]
    partitions = [f"family=ba/period={month}/team=456/ba_c9d8bf79.csv" for month in ("2024-01", "2024-02")]
    assert sorted(delivered) == sorted(periods + partitions)
    exports = [export for export in sei_server.exports if export.family == "productivity"]
    assert len({export.request["dateRange"]["start"] for export in exports}) == len(exports) == len(MONTHS)
    assert {export.requested for export in exports} == {1}
    assert {result["written"] for result in first} == {True}

    sei_server.clock.advance(REUSE_SECONDS + 1)
    again = (*lab.backfills[0], "--reprocess-behavior", "completed")
    with replace(lab, port=free_ports(1)[0], backfills=(again,)).running() as api:
        second = ended(api, "sei_backfill", runs=len(MONTHS))
    assert files(tmp_path / "out") == delivered
    assert len(sei_server.exports) == 2 * len(MONTHS) + len(partitions)
    assert {result["written"] for result in second} == {False}
    assert sorted(result["uri"] for result in second) == sorted(result["uri"] for result in first)
