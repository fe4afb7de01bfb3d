"""Export every team of an organisation tree each week, and summarize the results.

Harness recommends team-sized exports at off-peak times. This runs on Monday at 02:30 for the week before. It can be
backfilled.

To limit how many exports run at the same time, in all DAGs:

```bash
airflow pools set sei 8 "Harness SEI exports"
export SEI_POOL=sei
```
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, Param

from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup

PARAMS = {
    "org_tree_name": Param("Engineering", type="string", description="Organisation tree, as SEI names it"),
    "exclude": Param([], type="array", items={"type": "string"}, description="Teams to leave out (patterns)"),
    "destination": Param("s3://aws_default@lake/sei/", type="string", description="Folder; ends with a slash"),
}

with DAG(
    "sei_organisation",
    schedule="30 2 * * 1",
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    tags=["sei"],
    doc_md=__doc__,
    default_args={"retries": 2},
):
    # [START howto_task_group_sei_team_exports]
    SEITeamExportsTaskGroup(
        group_id="productivity",
        org_tree_name="{{ params.org_tree_name }}",
        exclude="{{ params.exclude }}",
        family="productivity",
        metric_groups=["activity", "velocity", "quality"],
        level="developer",
        granularity="weekly",
        destination="{{ params.destination }}",
        pool=os.environ.get("SEI_POOL", "default_pool"),
        doc_md="Delivers the week of **one team**; *Mapped task instances* lists the teams.",
    )
    # [END howto_task_group_sei_team_exports]
