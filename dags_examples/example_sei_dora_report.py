"""Deliver the DORA metrics of several teams, and make one HTML page of them.

The page needs no network and no other file: it can be sent as it is. Copy the folder ``dora_report`` along with this
file, and install ``duckdb`` where the tasks run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup

PARAMS = {
    "org_tree_name": Param("Engineering", type=["null", "string"], description="Organisation tree; none means all"),
    "team_ids": Param([], type="array", items={"type": "string"}, description="Only these of its leaf teams"),
    "date_start": Param("2024-01-01", type="string", format="date", description="First day"),
    "date_end": Param("2024-06-30", type="string", format="date", description="Last day, included"),
    "destination": Param("/tmp/sei/", type="string", description="Folder for files and page, with a slash at its end"),
}

with DAG("sei_dora_report", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_sei_dora_report]
    # A team that fails is named on the page; the group's summary fails with it, and so does the run.
    dora = SEITeamExportsTaskGroup(
        group_id="dora",
        org_tree_name="{{ params.org_tree_name or '' }}",
        include="{{ params.team_ids }}",
        family="efficiency",
        date_start="{{ params.date_start }}",
        date_end="{{ params.date_end }}",
        metric_groups=["lttc", "df", "cfr", "mttr"],
        granularity="MONTHLY",
        aggregation="mean",
        destination="{{ params.destination }}",
        retries=2,
        retry_delay=timedelta(seconds=30),
        create_jitter=0,  # for some dozens of teams; with more, leave it out
    )

    @task(trigger_rule="all_done")
    def write_report(params: dict[str, Any], ti: Any) -> dict[str, Any]:
        """Write the page from whatever was delivered."""
        import tempfile
        from datetime import UTC, datetime
        from pathlib import Path

        from dora_report.figures import read
        from dora_report.files import fetch, write_page
        from dora_report.page import page

        folder = ObjectStoragePath(params["destination"])
        teams = ti.xcom_pull(task_ids="dora.list_teams", key="teams") or []
        # None for a team whose export did not succeed.
        results = [ti.xcom_pull(task_ids="dora.export", map_indexes=index) for index in range(len(teams))]
        if not any(results):
            msg = f"no page is written: nothing was delivered for any of {len(teams)} teams"
            raise RuntimeError(msg)
        with tempfile.TemporaryDirectory() as copies:
            delivered, missing = fetch(teams, results, Path(copies), params["destination"])
            figures = read(delivered, missing, params["date_start"], params["date_end"])
        name = f"dora_{params['date_start']}_{params['date_end']}.html"
        uri = write_page(page(figures, datetime.now(tz=UTC)), folder / name)
        return {"page": uri, "teams": len(figures.teams), "missing": [lacking.team for lacking in figures.missing]}

    dora.exports >> write_report()
    # [END howto_sei_dora_report]
