"""Schedule DAGs by data.

- `sei_assets_export` delivers a file and updates an asset.
- `sei_assets_report` runs when that asset is updated, and reads the file.
- `sei_assets_watch` runs when any export of the project is completed, and delivers it (Airflow 3.0+).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, ObjectStoragePath, Param, task

from airflow_provider_sei.assets import scope_asset
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator, SEIExportOperator
from airflow_provider_sei.triggers.watcher import SEIExportCompletedTrigger

PARAMS = {
    "org_tree_name": Param("Engineering", type="string", description="Organisation tree, as SEI names it"),
    "team_id": Param(None, type=["null", "string"], description="Team, from the address of its Insights page"),
    "date_start": Param(None, type=["null", "string"], format="date", description="First day (default: the run's)"),
    "date_end": Param(None, type=["null", "string"], format="date", description="Last day (inclusive)"),
    "destination": Param("/tmp/sei/", type="string", description="Folder; ends with a slash"),
}

DELIVERED = Asset("sei_productivity_csv")

with DAG("sei_assets_export", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_asset_sei_outlet]
    SEIExportOperator(
        task_id="export",
        family="productivity",
        org_tree_name="{{ params.org_tree_name }}",
        team_id="{{ params.team_id or '' }}",
        date_start="{{ params.date_start or '' }}",
        date_end="{{ params.date_end or '' }}",
        metric_groups=["velocity"],
        level="team",
        granularity="monthly",
        destination="{{ params.destination }}",
        outlets=[DELIVERED],
        doc_md="Delivers the file and updates the asset, which starts `sei_assets_report`.",
    )
    # [END howto_asset_sei_outlet]

with DAG("sei_assets_report", schedule=[DELIVERED], tags=["sei"], doc_md=__doc__):
    # [START howto_asset_sei_consumer]
    @task
    def slowest_records(triggering_asset_events: Any) -> list[dict[str, Any]]:
        """Return, for each delivered file, the record with the longest cycle time of pull requests."""
        slowest = []
        for event in triggering_asset_events[DELIVERED]:
            delivered = event.extra
            content = ObjectStoragePath(delivered["destination"]).read_bytes()
            if hashlib.sha256(content).hexdigest() != delivered["sha256"]:
                msg = f"{delivered['uri']} has been replaced since export {delivered['export_id']} was delivered"
                raise ValueError(msg)
            plain = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
            records = csv.DictReader(io.StringIO(plain.decode()))
            slowest.append(max(records, key=lambda record: float(record["PR_Cycle_Time_Days_Avg"] or 0)))
        return slowest

    slowest_records()
    # [END howto_asset_sei_consumer]

# [START howto_asset_sei_watcher]
COMPLETED = scope_asset(
    "productivity",
    account="demo_account",
    org_identifier="default",
    project_identifier="demo_project",
    watchers=[AssetWatcher(name="completed", trigger=SEIExportCompletedTrigger(family="productivity"))],
)

with DAG(
    "sei_assets_watch",
    schedule=[COMPLETED],
    params={"destination": PARAMS["destination"]},
    tags=["sei"],
    doc_md=__doc__,
):

    @task
    def completed_exports(triggering_asset_events: Any) -> list[dict[str, str]]:
        """Return the completed exports: Airflow can start one run for several events."""
        exports = [event.extra["payload"] for event in triggering_asset_events[COMPLETED]]
        return [{"family": export["family"], "export_id": export["export_id"]} for export in exports]

    SEIDownloadExportOperator.partial(
        task_id="download",
        destination="{{ params.destination }}",
        doc_md="Delivers a completed export.",
    ).expand_kwargs(completed_exports())
# [END howto_asset_sei_watcher]
