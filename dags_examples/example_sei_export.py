"""Deliver one productivity export, in one task or in three. Set a team, an organisation tree, or both in the params."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_sei.operators.sei import (
    SEICreateExportOperator,
    SEIDownloadExportOperator,
    SEIExportOperator,
)
from airflow_provider_sei.sensors.sei import SEIExportSensor

PARAMS = {
    "org_tree_name": Param(None, type=["null", "string"], description="Organisation tree, as SEI names it"),
    "team_id": Param("456", type=["null", "string"], description="Team, from the address of its Insights page"),
    "date_start": Param(None, type=["null", "string"], format="date", description="First day (default: the run's)"),
    "date_end": Param(None, type=["null", "string"], format="date", description="Last day (inclusive)"),
    "destination": Param("/tmp/sei/", type="string", description="Folder (ends with a slash) or object"),
}

REQUEST = {
    "family": "productivity",
    "org_tree_name": "{{ params.org_tree_name or '' }}",
    "team_id": "{{ params.team_id or '' }}",
    "date_start": "{{ params.date_start or '' }}",
    "date_end": "{{ params.date_end or '' }}",
    "metric_groups": ["activity", "velocity"],
    "aggregation": "mean",
    "level": "developer",
    "granularity": "monthly",
    "file_format": "csv",
}

with DAG("sei_export_one_task", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_operator_sei_export]
    SEIExportOperator(
        task_id="export",
        destination="{{ params.destination }}",
        doc_md="Creates the export, waits for it without a worker, and delivers the file.",
        **REQUEST,
    )
    # [END howto_operator_sei_export]

with DAG("sei_export_create_wait_download", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_operator_sei_create_wait_download]
    create = SEICreateExportOperator(task_id="create", doc_md="Creates the export and returns its id.", **REQUEST)
    wait = SEIExportSensor(
        task_id="wait",
        family="productivity",
        export_id=create.output,
        doc_md="Waits, without a worker, until the export is completed.",
    )
    download = SEIDownloadExportOperator(
        task_id="download",
        family="productivity",
        export_id=create.output,
        destination="{{ params.destination }}",
        doc_md="Delivers the file of the completed export.",
    )
    create >> wait >> download
    # [END howto_operator_sei_create_wait_download]
