"""Exports without dates: single, in a group, in steps, in parts; and a report."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, DeltaDataIntervalTimetable

from airflow_provider_sei.operators.sei import SEICreateExportOperator, SEIExportOperator, SEILegacyReportOperator
from airflow_provider_sei.periods import split_period
from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup

PARAMS = {"destination": "given by the run", "date_start": None, "date_end": None}
EXPORT = {"family": "ba", "destination": "{{ params.destination }}"}

# Airflow 3's own schedule for a cron expression, whose intervals are empty.
with DAG("period_cron", schedule="0 3 1 * *", catchup=False, params=PARAMS):
    SEIExportOperator(task_id="export", team_id="456", create_jitter=0.01, **EXPORT)

with DAG("period_delta_interval", schedule=DeltaDataIntervalTimetable(timedelta(days=7)), catchup=False, params=PARAMS):
    SEITeamExportsTaskGroup(group_id="teams", team_ids=["456", "123"], create_jitter=0, **EXPORT)

with DAG("period_asset", schedule=[Asset("something_else")], params=PARAMS):
    SEICreateExportOperator(task_id="create", family="ticket-data", team_id="456", granularity="quarterly")
    SEILegacyReportOperator(task_id="report", collection_id="456", destination="{{ params.destination }}")

with DAG("period_optional", schedule=None, params=PARAMS):
    SEIExportOperator(
        task_id="export",
        team_id="456",
        date_start="{{ params.date_start or '' }}",
        date_end="{{ params.date_end or '' }}",
        **EXPORT,
    )

with DAG("period_pieces", schedule=None, params=PARAMS):
    SEIExportOperator.partial(task_id="export", team_id="456", layout="hive", **EXPORT).expand_kwargs(
        split_period("2023-11-15", "2024-03-31", by="quarter")
    )
