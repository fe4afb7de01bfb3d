"""The retry policy in real Airflow processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import RetryDecision

from airflow_provider_sei.local_server.running import RunningServer
from demo.local_airflow import LocalAirflow, free_ports
from tests.lab import until

DAG_FILE = """
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_sei.operators.sei import SEICreateExportOperator, SEIExportOperator
from airflow_provider_sei.retry_policy import SEIRetryPolicy

REQUEST = {"family": "ba", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}
RETRIES = {"retries": 3, "retry_delay": timedelta(hours=1), "retry_policy": SEIRetryPolicy()}

with DAG("retry_policy", schedule=None, default_args=RETRIES):
    asked_to_wait = SEICreateExportOperator(task_id="asked_to_wait", **REQUEST)
    refused = SEICreateExportOperator(task_id="refused", sei_conn_id="sei_wrong_key", **REQUEST)
    delivered = SEIExportOperator(task_id="delivered", destination="{folder}", poll_interval=1, **REQUEST)
    asked_to_wait >> [refused, delivered]
"""
ATTEMPTS_OF_ONE_CALL = 5


@pytest.mark.live
def test_a_task_runs_again_when_asked_and_never_after_a_wrong_key(sei_server: RunningServer, tmp_path: Path) -> None:
    """Though the task's own retry_delay is an hour, and it has three retries; from Airflow 3.4 on, none is used."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "retry_policy.py").write_text(DAG_FILE.replace("{folder}", f"{tmp_path}/out/"))
    right = sei_server.connection_json()
    lab = LocalAirflow(
        home=tmp_path / "airflow",
        dags_folder=tmp_path / "dags",
        port=free_ports(1)[0],
        connections={"sei_default": right, "sei_wrong_key": right.replace(sei_server.api_key, "another-key")},
        beside={},
    )
    sei_server.faults.add("create", "answer", status=503, retry_after=1, times=ATTEMPTS_OF_ONE_CALL)
    sei_server.faults.add("download", "answer", status=429, retry_after=1, times=ATTEMPTS_OF_ONE_CALL)
    with lab.running() as api:
        until(lambda: api.dag_exists("retry_policy"))
        api.unpause("retry_policy")
        run_id = api.start_run("retry_policy", {})
        until(lambda: api.run_state("retry_policy", run_id) == "failed")
        tasks = {task["task_id"]: task for task in api.task_instances("retry_policy", run_id)}
        log = "\n".join(api.log_lines("retry_policy", run_id, tasks["refused"]))
    again = 1 if hasattr(RetryDecision, "reschedule") else 2
    assert {name: (task["state"], task["try_number"]) for name, task in tasks.items()} == {
        "asked_to_wait": ("success", again),
        "delivered": ("success", again),
        "refused": ("failed", 1),
    }
    assert len(sei_server.exports) == 1
    assert "check the connection's API key" in log
