"""Deliver the metrics of several teams every month; and of past months by Airflow's backfill.

The run on the first of a month delivers the month before. This delivers all of 2023 and 2024, two months at a time
(Airflow 3.0+):

```bash
airflow backfill create --dag-id sei_backfill --from-date 2023-02-01 --to-date 2025-01-02 --max-active-runs 2
```

Each month has its own file, for example `family=productivity/period=2023-01/team=456/productivity_3f9a1c2e.csv`. To
export a month again, clear its run or use `--reprocess-behavior completed`; the file is only written if it has changed.

Teams and pool are read from the environment:

```bash
airflow pools set sei 8 "Harness SEI exports"
export SEI_POOL=sei SEI_TEAMS=456,123
```
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, Param

from airflow_provider_sei.operators.sei import SEIExportOperator

PARAMS = {"destination": Param("s3://aws_default@lake/sei/", type="string", description="Folder; ends with a slash")}
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
        doc_md="Delivers the month of **one team** into a folder of its own.",
        map_index_template="team {{ task.team_id }}",
    ).expand(team_id=TEAMS)
    # [END howto_sei_backfill]
