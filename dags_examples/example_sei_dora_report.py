"""Deliver the DORA metrics of several teams, and make one HTML page of ratings, figures and charts.

The page works offline and needs no other file. Copy `dora_report.py` along with this file, and install `duckdb` and
`matplotlib` where the tasks run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup

PARAMS = {
    "org_tree_name": Param("Engineering", type=["null", "string"], description="Organisation tree; none means all"),
    "team_ids": Param([], type="array", items={"type": "string"}, description="Only these of its leaf teams"),
    "date_start": Param("2025-01-01", type="string", format="date", description="First day"),
    "date_end": Param("2025-12-31", type="string", format="date", description="Last day (inclusive)"),
    "destination": Param("/tmp/sei/", type="string", description="Folder for files and page; ends with a slash"),
}

with DAG("sei_dora_report", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_sei_dora_report]
    dora = SEITeamExportsTaskGroup(
        group_id="dora",
        org_tree_name="{{ params.org_tree_name or '' }}",
        include="{{ params.team_ids }}",
        family="efficiency",
        date_start="{{ params.date_start }}",
        date_end="{{ params.date_end }}",
        metric_groups=["lttc", "df", "cfr", "mttr", "rating"],
        granularity="MONTHLY",
        aggregation="mean",
        destination="{{ params.destination }}",
        retries=2,
        retry_delay=timedelta(seconds=30),
        doc_md="Delivers the DORA metrics of **one team**; *Mapped task instances* lists the teams.",
        create_jitter=0,  # for a few dozen teams; with more, use the default
    )

    # If a team fails, the page says so; the group's summary fails, and with it the run.
    @task(trigger_rule="all_done", multiple_outputs=False)
    def write_report(params: dict[str, Any], ti: Any) -> dict[str, Any]:
        """Write the page from what was delivered."""
        import dora_report

        teams = ti.xcom_pull(task_ids="dora.list_teams", key="teams") or []
        results = [ti.xcom_pull(task_ids="dora.export", map_indexes=index) for index in range(len(teams))]
        return dora_report.write_report(teams, results, params)

    dora.exports >> write_report()
    # [END howto_sei_dora_report]
