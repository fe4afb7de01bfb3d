"""Deliver a month of each team's metrics, every month; and two years of them, once, by Airflow's own backfill.

The run of the first of a month delivers the month before. So this delivers all of 2023 and 2024, two months at a time
(Airflow 3.0 and newer)::

    airflow backfill create --dag-id sei_backfill --from-date 2023-02-01 --to-date 2025-01-02 --max-active-runs 2

Each period has a place of its own, ``family=productivity/period=2023-01/team=456/productivity.csv``. Running a month
again, by ``--reprocess-behavior completed`` or by hand, asks SEI again, and writes the file only if it has changed.

Teams and pool come from the environment, where Airflow parses and runs DAGs::

    airflow pools set sei 8 "Harness SEI exports"
    export SEI_POOL=sei SEI_TEAMS=456,123
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, Param

from airflow_provider_sei.operators.sei import SEIExportOperator

PARAMS = {"destination": Param("/tmp/sei/", type="string", description="Folder with a slash at its end")}
TEAMS = os.environ.get("SEI_TEAMS", "456,123").split(",")

with DAG(
    "sei_backfill",
    schedule="0 2 1 * *",
    catchup=False,
    max_active_runs=2,
    params=PARAMS,
    tags=["sei"],
    doc_md=__doc__,
    default_args={"retries": 2},
):
    # [START howto_sei_backfill]
    SEIExportOperator.partial(
        task_id="export",
        family="productivity",
        metric_groups=["activity", "velocity"],
        level="developer",
        granularity="monthly",
        destination="{{ params.destination }}",
        layout="hive",
        overwrite="skip",
        pool=os.environ.get("SEI_POOL", "default_pool"),
        map_index_template="team {{ task.team_id }}",
    ).expand(team_id=TEAMS)
    # [END howto_sei_backfill]
