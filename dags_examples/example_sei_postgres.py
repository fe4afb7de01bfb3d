"""Load every team's productivity and DORA metrics into PostgreSQL, the last three months each month.

Each family is a table in the schema `sei`, whose rows are replaced by period and team. A file that is loaded already is
left alone, so a run that is repeated changes nothing. Install `apache-airflow-providers-postgres` and
`airflow-provider-sei[parquet]` where the tasks run.
"""

from __future__ import annotations

import io
import re
from contextlib import closing
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
}


# [START howto_sei_postgres_load]
TYPES = {
    "string": "text",
    "int64": "bigint",
    "double": "double precision",
    "bool": "boolean",
    "date32[day]": "date",
    "timestamp[us]": "timestamp",
}
LOADED = """
    CREATE SCHEMA IF NOT EXISTS sei;
    CREATE TABLE IF NOT EXISTS sei.loaded (
        family text, period text, team_id text, sha256 text NOT NULL, PRIMARY KEY (family, period, team_id)
    )
"""
IS_LOADED = "SELECT 1 FROM sei.loaded WHERE (family, period, team_id, sha256) = (%s, %s, %s, %s)"
REMEMBER = """
    INSERT INTO sei.loaded VALUES (%s, %s, %s, %s)
    ON CONFLICT (family, period, team_id) DO UPDATE SET sha256 = excluded.sha256
"""


def quoted(name: str) -> str:
    """Return a name for SQL."""
    if len(name.encode()) > 63:  # noqa: PLR2004 - PostgreSQL cuts longer ones, and only says so in a notice
        msg = f"{name!r} is longer than the 63 bytes that PostgreSQL allows: leave out its metric, or load it elsewhere"
        raise ValueError(msg)
    return '"' + name.replace('"', '""') + '"'


def replace_rows(cursor: Any, result: dict[str, Any]) -> int:
    """Replace the rows of a file's period and team, unless they are loaded; return how many there are now."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    key = [unquote(value) for value in re.findall("/(?:family|period|team)=([^/]+)", result["uri"])]
    table, loaded = f"sei.{quoted(key[0])}", (*key, result["sha256"])
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('sei'))")  # one load after another, until the commit
    cursor.execute(LOADED)
    cursor.execute(IS_LOADED, loaded)
    if cursor.fetchone():
        return 0
    with ObjectStoragePath(result["destination"]).open("rb") as file:
        rows = parquet.read_table(file)
    for name, value in zip(("period", "team_id"), key[1:], strict=True):
        rows = rows.append_column(name, pa.repeat(value, len(rows)))
    cursor.execute(f"CREATE TABLE IF NOT EXISTS {table} (period text NOT NULL, team_id text NOT NULL)")
    for column in rows.schema:
        kind = TYPES[str(column.type)]
        cursor.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {quoted(column.name)} {kind}")
    cursor.execute(f"DELETE FROM {table} WHERE (period, team_id) = (%s, %s)", key[1:])  # noqa: S608 - quoted
    data = io.BytesIO()
    csv.write_csv(rows, data, csv.WriteOptions(include_header=False))  # text is in quotes, null is not
    columns = ", ".join(map(quoted, rows.column_names))
    copy = f"COPY {table} ({columns}) FROM STDIN (FORMAT csv, ENCODING 'utf8')"
    if hasattr(cursor, "copy_expert"):  # psycopg2, which Airflow's hook uses with SQLAlchemy 1.4
        data.seek(0)
        cursor.copy_expert(copy, data)
    else:
        with cursor.copy(copy) as target:
            target.write(data.getvalue())
    cursor.execute(REMEMBER, loaded)
    return len(rows)


@task(trigger_rule="all_done")  # what was delivered is loaded, also if a team has failed
def load(deliveries: list[Any]) -> int:
    """Load the delivered files, each in a transaction of its own; return how many rows were written."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    written = 0
    with closing(PostgresHook("postgres_default").get_conn()) as connection:
        for result in chain(*deliveries):
            with connection.cursor() as cursor:
                written += replace_rows(cursor, result)
            connection.commit()
    return written


with DAG("sei_postgres", schedule="0 4 1 * *", catchup=False, params=PARAMS, tags=["sei"], doc_md=__doc__):
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
    load([group.exports.output for group in groups])
# [END howto_sei_postgres_load]
