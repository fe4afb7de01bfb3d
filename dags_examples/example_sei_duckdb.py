"""Load every team's productivity and DORA metrics into a DuckDB file, the last three months each month.

Each family is a table, whose rows are replaced by period and team, all in one transaction. A file that is loaded
already is left alone, so a run that is repeated changes nothing. Install `duckdb` and `airflow-provider-sei[parquet]`
where the tasks run.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any
from urllib.parse import unquote

from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup

EXPORTS: dict[str, dict[str, Any]] = {
    "productivity": {"metric_groups": ["activity", "velocity", "volume"], "level": "developer"},
    "efficiency": {"metric_groups": ["lttc", "df", "cfr", "mttr"], "aggregation": "mean"},
}
PARAMS = {
    "org_tree_name": Param("Engineering", type="string", description="Organisation tree, as SEI names it"),
    "destination": Param("s3://aws_default@lake/sei/", type="string", description="Folder; ends with a slash"),
    "database": Param("/tmp/sei.duckdb", type="string", description="File of the database"),
}


# [START howto_sei_duckdb_load]
LOADED = """
    CREATE TABLE IF NOT EXISTS loaded (
        family TEXT, period TEXT, team_id TEXT, sha256 TEXT, PRIMARY KEY (family, period, team_id)
    )
"""


def replace_rows(db: Any, result: dict[str, Any]) -> int:
    """Replace the rows of a file's period and team, unless they are loaded; return how many there are now."""
    key = [unquote(value) for value in re.findall("/(?:family|period|team)=([^/]+)", result["uri"])]
    loaded = (*key, result["sha256"])
    if db.execute("FROM loaded WHERE (family, period, team_id, sha256) = (?, ?, ?, ?)", loaded).fetchone():
        return 0
    read = "SELECT ? AS period, ? AS team_id, * FROM read_parquet(?, hive_partitioning = false)"
    rows, table = db.sql(read, params=[*key[1:], result["uri"]]), f'"{key[0]}"'
    db.execute(f"CREATE TABLE IF NOT EXISTS {table} AS FROM rows LIMIT 0")  # "rows" is the variable
    for name, kind in zip(rows.columns, rows.types, strict=True):
        quoted = '"' + name.replace('"', '""') + '"'
        db.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {quoted} {kind}")
    db.execute(f"DELETE FROM {table} WHERE (period, team_id) = (?, ?)", key[1:])  # noqa: S608 - a family's name
    db.execute(f"INSERT INTO {table} BY NAME FROM rows")
    db.execute("INSERT OR REPLACE INTO loaded VALUES (?, ?, ?, ?)", loaded)
    return len(rows)


@task(trigger_rule="all_done")  # what was delivered is loaded, also if a team has failed
def load(deliveries: list[Any], destination: str, database: str) -> int:
    """Load the delivered files, all in one transaction; return how many rows were written."""
    import duckdb

    with duckdb.connect(database) as db:
        db.register_filesystem(ObjectStoragePath(destination).fs)  # with the Airflow connection's credentials
        db.begin()
        db.execute(LOADED)
        written = sum(replace_rows(db, result) for result in chain(*deliveries))
        db.commit()
    return written


# A DuckDB file has one writer: one run at a time.
with DAG(
    "sei_duckdb", schedule="0 4 1 * *", catchup=False, max_active_runs=1, params=PARAMS, tags=["sei"], doc_md=__doc__
):
    groups = [
        SEITeamExportsTaskGroup(
            group_id=family,
            org_tree_name="{{ params.org_tree_name }}",
            family=family,
            granularity="monthly",
            periods_ago=range(3),  # the run's month, and two that may have been corrected since
            destination="{{ params.destination }}",
            layout="hive",
            overwrite="skip",
            output="parquet",
            column_names="snake",
            retries=2,
            doc_md="Delivers a month of **one team**; *Mapped task instances* lists the teams.",
            **arguments,
        )
        for family, arguments in EXPORTS.items()
    ]
    load([group.exports.output for group in groups], "{{ params.destination }}", "{{ params.database }}")
# [END howto_sei_duckdb_load]
