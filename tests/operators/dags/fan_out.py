"""One export for each team: in three mapped tasks, and in one."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_sei.operators.sei import (
    SEICreateExportOperator,
    SEIDownloadExportOperator,
    SEIExportOperator,
)
from airflow_provider_sei.sensors.sei import SEIExportSensor

TEAMS = ["456", "123", "789"]
REQUEST = {
    "family": "ba",
    "date_start": "{{ params.date_start }}",
    "date_end": "{{ params.date_end }}",
    "granularity": "weekly",
}
PARAMS = {"date_start": "2024-01-01", "date_end": "2024-01-31", "destination": "given by the run"}

with DAG("fan_out_in_three", schedule=None, params=PARAMS):
    create = SEICreateExportOperator.partial(task_id="create", **REQUEST).expand(team_id=TEAMS)
    wait = SEIExportSensor.partial(task_id="wait", family="ba").expand(export_id=create.output)
    download = SEIDownloadExportOperator.partial(
        task_id="download", family="ba", destination="{{ params.destination }}"
    ).expand(export_id=wait.output)

with DAG("fan_out_in_one", schedule=None, params=PARAMS):
    SEIExportOperator.partial(task_id="export", destination="{{ params.destination }}", **REQUEST).expand(team_id=TEAMS)
