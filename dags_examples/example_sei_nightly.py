"""Deliver a team's last full week every night; write the file only if it has changed.

The figures of a week can change later, for example when tickets are closed late. Without dates, each run exports the
last full week before it (Monday to Sunday). This requires a schedule without data intervals, which is the default in
Airflow 3; in Airflow 2, use a `CronTriggerTimetable`.

To share a pool with other DAGs:

```bash
airflow pools set sei 8 "Harness SEI exports"
export SEI_POOL=sei
```
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, Param

from airflow_provider_sei.operators.sei import SEIExportOperator

PARAMS = {
    "team_id": Param("456", type="string", description="Team, from the address of its Insights page"),
    "destination": Param("s3://aws_default@lake/sei/", type="string", description="Folder; ends with a slash"),
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
        doc_md="Delivers the team's **last full week**, if its figures have changed.",
    )
    # [END howto_sei_nightly]
