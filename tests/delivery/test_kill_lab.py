"""A task that a user ends in mid-download, in real Airflow processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.local_server.running import RunningServer
from demo.local_airflow import LocalAirflow, free_ports
from tests.lab import until

SENT = 14_000_000  # bytes that arrive before the server falls silent: two parts of a multipart upload
OLDER = b"older,content\n1,2\n"
DAG = """
from airflow.sdk import DAG

from airflow_provider_sei.operators.sei import SEIExportOperator

with DAG("kill", schedule=None):
    SEIExportOperator(
        task_id="export",
        family="productivity",
        team_id="456",
        date_start="2024-01-01",
        date_end="2024-01-31",
        metric_groups=["work"],
        deferrable=False,
        destination={destination!r},
    )
"""

pytestmark = [pytest.mark.live, pytest.mark.sei_server(compression="plain", download_bytes=15_000_000)]


def test_a_task_that_a_user_ends_cleans_up_before_it_is_killed(
    sei_server: RunningServer, tmp_path: Path, s3: Any
) -> None:
    """No part of an upload is left, the older object stays, and the log says so."""
    sei_server.faults.add("download", "stall", after_bytes=SENT, seconds=3600)
    s3.put("x.csv", OLDER)
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "kill.py").write_text(DAG.format(destination=f"{s3.url}x.csv"))
    lab = LocalAirflow(
        home=tmp_path / "airflow",
        dags_folder=dags,
        port=free_ports(1)[0],
        connections={"sei_default": sei_server.connection_json(), "lake": os.environ["AIRFLOW_CONN_LAKE"]},
    )
    with lab.running() as api:
        until(lambda: api.dag_exists("kill"))
        api.unpause("kill")
        run = api.start_run("kill", {})
        until(lambda: s3.unfinished() == ["sei/x.csv"])
        [task] = api.task_instances("kill", run)
        api._send("PATCH", f"dags/kill/dagRuns/{run}/taskInstances/export", {"new_state": "failed"})
        until(lambda: "Task killed!" in "".join(api.log_lines("kill", run, task)))
        assert "interrupted, because the task is being terminated" in "".join(api.log_lines("kill", run, task))
        assert api.task_instances("kill", run)[0]["state"] == "failed"
        assert s3.unfinished() == []
        assert s3.objects() == {"x.csv": OLDER}
