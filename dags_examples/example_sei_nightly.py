"""Deliver a team's last full week every night, and write the file only if the figures have changed.

What SEI tells of a week can change after it: tickets are closed late, commits are assigned to other teams. No dates are
given, so each run exports the last full week before it (weeks begin on Monday). That is so where cron schedules have no
data intervals, as Airflow 3 has it by default; elsewhere, take a ``CronTriggerTimetable``. All DAGs share one pool::

    airflow pools set sei 8 "Harness SEI exports"
    export SEI_POOL=sei
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, Param

from airflow_provider_sei.operators.sei import SEIExportOperator

PARAMS = {
    "team_id": Param("456", type="string", description="Team, from the address of its Insights page"),
    "destination": Param("/tmp/sei/", type="string", description="Folder with a slash at its end"),
}

with DAG(
    "sei_nightly",
    schedule="30 2 * * *",
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    tags=["sei"],
    doc_md=__doc__,
    default_args={"retries": 2},
):
    # [START howto_sei_nightly]
    SEIExportOperator(
        task_id="export",
        family="productivity",
        team_id="{{ params.team_id }}",
        metric_groups=["activity", "velocity"],
        level="developer",
        granularity="weekly",
        destination="{{ params.destination }}",
        overwrite="skip",
        pool=os.environ.get("SEI_POOL", "default_pool"),
    )
    # [END howto_sei_nightly]
