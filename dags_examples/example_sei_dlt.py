"""Load the productivity of every team with dlt, from `SEIHook`, into any of dlt's destinations; here into DuckDB.

Install `dlt[duckdb]` and `airflow-provider-sei[parquet]` where the task runs, which occupies its worker while it waits.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_sei.hooks.sei import SEIHook

PARAMS = {
    "org_tree_name": Param("Engineering", type="string", description="Organisation tree, as SEI names it"),
    "date_start": Param("2024-01-01", type="string", format="date", description="First day"),
    "date_end": Param("2024-01-31", type="string", format="date", description="Last day (inclusive)"),
    "database": Param("/tmp/sei_dlt.duckdb", type="string", description="File of the database"),
}

with DAG("sei_dlt", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_sei_dlt]
    @task
    def load(org_tree_name: str, date_start: str, date_end: str, database: str) -> None:
        """Replace the rows of each team and period by those of new exports."""
        import dlt
        import pyarrow as pa
        from pyarrow import parquet

        from airflow_provider_sei.delivery.destination import Destination
        from airflow_provider_sei.protocol.waiting import WaitPlan

        request = {"family": "productivity", "date_start": date_start, "date_end": date_end, "granularity": "monthly"}

        @dlt.resource(write_disposition="merge", merge_key=["date_start", "date_end", "team_id"])
        def productivity() -> Iterator[Any]:
            hook = SEIHook()
            teams = [team.team_id for team in hook.list_teams(org_tree_name)]
            exports = [hook.create_export(team_id=team_id, **request) for team_id in teams]
            for team_id, export in zip(teams, exports, strict=True):
                ids, now = {"family": export.family, "export_id": export.export_id}, time.time()
                outcome = hook.wait_for_export(WaitPlan(**ids, started_at=now, deadline=now + 3600))
                with tempfile.TemporaryDirectory() as folder:
                    to = Destination.from_arguments(f"{folder}/x.parquet", output="parquet", column_names="snake")
                    rows = parquet.read_table(hook.download_export(outcome.export_or_raise(), to).path)
                for name, value in {"date_start": date_start, "date_end": date_end, "team_id": team_id}.items():
                    rows = rows.append_column(name, pa.repeat(value, len(rows)))
                yield rows

        to_database = dlt.destinations.duckdb(database)
        dlt.pipeline("sei", destination=to_database, dataset_name="exports").run(productivity())

    load("{{ params.org_tree_name }}", "{{ params.date_start }}", "{{ params.date_end }}", "{{ params.database }}")
    # [END howto_sei_dlt]
