"""What example DAGs load into databases: each file once, by period and team, on real engines."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_provider_sei.local_server import datasets
from demo.local_airflow import LOOPBACK, free_ports
from demo.processes import Processes
from tests.docs.pages import DOCS, block
from tests.postgres import MissingServiceError, Postgres
from tests.test_dags_examples import results

ENGINES = ["sei_duckdb", "sei_postgres", "sei_postgres with psycopg2"]
ODD = 'a "b" %s, ü'


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URI of a PostgreSQL without tables, as of an Airflow connection."""
    folder, [port] = Path(tempfile.mkdtemp(prefix="sei-postgres-")), free_ports(1)
    try:
        server = Postgres.at(folder, port)
        server.prepare()
        processes = Processes(folder=folder, steps=server.steps, components=server.components)
        with processes.running(os.environ):
            uri = f"postgres://airflow@{LOOPBACK}:{port}/postgres"
            while not accepts(uri):
                processes.check()
            yield uri
    except MissingServiceError as error:
        pytest.skip(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def accepts(uri: str) -> bool:
    """Return whether the server has started."""
    with contextlib.suppress(psycopg2.OperationalError):
        psycopg2.connect(uri, connect_timeout=5).close()
        return True
    return False


class Database:
    """What an example DAG has loaded."""

    def __init__(self, dag: Any, folder: Path, schema: str = "", version: str = "rowid") -> None:
        self.dag_id, self.schema, self._version = dag.dag_id, schema, version
        self._function = dag.get_task("load").python_callable
        self.file, self.lake = str(folder / "sei.duckdb"), folder / "lake"

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows."""
        if not self.schema:
            with duckdb.connect(self.file) as connection:
                return list(connection.execute(query).fetchall())
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        return [tuple(row) for row in PostgresHook().get_records(query)]

    def load(self, *files: dict[str, Any]) -> int:
        """Call the task's function."""
        own = () if self.schema else (f"{self.lake}/", self.file)
        return int(self._function([list(files)], *own))

    def deliver(self, period: str, columns: dict[str, Any], team: str = "456") -> dict[str, str]:
        """Write a file into the hive layout, and return what an export would about it."""
        path = self.lake / f"family=ba/period={period}/team={team}/ba_1.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table(columns), path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return {"uri": f"file://{path}", "destination": f"file://{path}", "sha256": sha256}

    def rows(self, family: str) -> Counter[tuple[Any, ...]]:
        """Return the rows of a table, keys first, with plain values."""
        return Counter(tuple(map(plain, row)) for row in self.fetch(f'SELECT * FROM {self.schema}"{family}"'))  # noqa: S608 - constants

    def versions(self, *families: str, but: str = "") -> list[tuple[Any, ...]]:
        """Return what tells the rows from such that were written again, even with the same values.

        :param but: the period to leave out, in which rows were deleted; DuckDB numbers the others anew then.
        """
        version = "''" if but and not self.schema else self._version
        query = "SELECT '{0}', period, team_id, {1} FROM {2}{0} WHERE period <> '{3}'"
        queries = (query.format(family, version, self.schema, but) for family in families)
        return sorted(self.fetch(" UNION ALL ".join(queries)))


def plain(value: Any) -> Any:
    """Return a cell of a table, or of a CSV file."""
    with contextlib.suppress(TypeError, ValueError):
        return float(value)
    return "" if value is None else str(value)


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, dags: dict[str, Any], tmp_path: Path, monkeypatch: Any) -> Database:
    """An empty database."""
    if request.param == "sei_duckdb":
        return Database(dags["sei_duckdb"], tmp_path)
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", request.getfixturevalue("postgres"))
    from airflow.providers.postgres.hooks import postgres

    if request.param.endswith("psycopg2"):  # as with SQLAlchemy 1.4
        monkeypatch.setattr(postgres, "USE_PSYCOPG3", False)
    postgres.PostgresHook().run("DROP SCHEMA IF EXISTS sei CASCADE")
    return Database(dags["sei_postgres"], tmp_path, "sei.", "xmin::text, ctid::text")


def test_a_changed_file_replaces_the_rows_of_its_period_and_team(database: Database) -> None:
    """New columns are added; rows of other files, and of files that are loaded already, are not written again."""
    columns = {"Team": ["", '"\\.\n', "\\."], ODD: [1.5, None, -0.1], "day": [date(2024, 1, 31), None, None]}
    files = [database.deliver("2024-01", columns, team) for team in ("456", "a%2Fb")]
    files.append(database.deliver("2024-02", {**columns, "later": [True, False, True]}))
    assert database.load(*files) == 9
    before = database.versions("ba")
    assert (database.load(*files), database.versions("ba")) == (0, before)
    others = database.versions("ba", but="2024-01")
    keys = [("2024-01", "456"), ("2024-01", "a/b"), ("2024-02", "456")]
    rows = [tuple(map(plain, (*key, *cells))) for key in keys for cells in zip(*columns.values(), strict=True)]
    rows = [(*row, later) for row, later in zip(rows, [""] * 6 + [1.0, 0.0, 1.0], strict=True)]
    assert database.rows("ba") == Counter(rows)

    moment = datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - Parquet's has no time zone either
    more = {"n": pa.array([2**60]), "ok": [True], "at": pa.array([moment], pa.timestamp("us")), "Team": ["x"]}
    files[0] = database.deliver("2024-01", more)
    assert [database.load(*files), database.load(*files)] == [1, 0]
    assert database.versions("ba", but="2024-01") == others
    changed = ("2024-01", 456.0, "x", "", "", "", float(2**60), 1.0, str(moment))
    assert database.rows("ba") == Counter([changed, *((*row, "", "", "") for row in rows[3:])])

    files[0] = database.deliver("2024-01", {"Team": pa.array([], pa.string())})
    assert database.load(*files) == 0
    assert [row[:2] for row in database.rows("ba")].count(changed[:2]) == 0


@pytest.mark.parametrize("database", ENGINES[:1], indirect=True)
def test_the_view_reads_the_folder(database: Database) -> None:
    """Of docs/howto/load.md: keys as text, and columns by name, whose order may change."""
    database.deliver("2024-01", {"Team": ["x"], "a": [1.0]})
    database.deliver("2024", {"b": ["y"], "a": [2.0]}, "a%2Fb")
    view = block(DOCS / "howto" / "load.md", "CREATE VIEW")
    database.fetch(view.replace("/data/sei", str(database.lake)).replace("productivity", "ba"))
    found = database.fetch("SELECT period, team, a, b FROM ba ORDER BY a")
    assert found == [("2024-01", "456", 1.0, None), ("2024", "a/b", 2.0, "y")]


@pytest.mark.parametrize("database", ENGINES[1:], indirect=True)
def test_a_name_is_not_cut(database: Database) -> None:
    """PostgreSQL would cut it after 63 bytes, perhaps in the middle of two names that then are the same."""
    database.load(database.deliver("2024-01", {"ü" * 31: [1.0]}))
    before = database.versions("ba")
    with pytest.raises(ValueError, match="longer than the 63 bytes"):
        database.load(database.deliver("2024-01", {"x": [1.0], "ü" * 32: [2.0]}))
    assert database.versions("ba") == before


@pytest.mark.parametrize("database", ENGINES[1:2], indirect=True)
def test_loads_at_the_same_time_are_one_after_another(database: Database) -> None:
    """None fails, also not while the tables are made, and none loads a file again."""
    files = [database.deliver("2024-01", {"n": [1.0, 2.0]}, str(team)) for team in range(8)]
    with ThreadPoolExecutor(4) as pool:
        written = [*pool.map(lambda number: database.load(*(files if number % 2 else files[::-1])), range(4))]
    assert sum(written) == sum(database.rows("ba").values()) == 16


@pytest.mark.live  # a minute: four runs of 29 tasks
@pytest.mark.sei_server(leaf_teams=4)
@pytest.mark.parametrize("database", ENGINES[:2], indirect=True)
def test_a_correction_changes_its_month_only(run: Any, sei_server: Any, database: Database, monkeypatch: Any) -> None:
    """Of three months, all teams and two families, in the whole DAG; in the first run, one team fails."""
    families = ("productivity", "efficiency")

    def load(day: int, state: str = "success") -> int:
        sei_server.clock.advance(3600)  # after which the server makes new exports
        moment = {"logical_date": datetime(2024, 4, day, 4, tzinfo=UTC)}
        dag_run = run(database.dag_id, moment, destination=f"{database.lake}/", database=database.file)
        assert dag_run.state == state
        [written] = results(dag_run, "load")
        return int(written)

    def exported() -> dict[str, Counter[tuple[Any, ...]]]:
        found = {family: Counter[tuple[Any, ...]]() for family in families}
        for record in sei_server.exports[-24:]:
            _, *rows = csv.reader(io.StringIO(record.csv.decode()))
            key = (record.request["dateRange"]["start"][:7], record.request["scope"]["teamId"])
            found[record.family].update(tuple(map(plain, (*key, *cells))) for cells in rows)
        return found

    sei_server.faults.add("create", "outcome", family="productivity", status="failed", error="Out of memory")
    written = load(1, "failed")
    assert written == sum(record.rows or 0 for record in sei_server.exports) > 0
    assert load(2) == sum(record.rows for record in sei_server.exports[24:]) - written == 54 - written
    before, others = database.versions(*families), database.versions(*families, but="2024-02")
    assert (load(3), database.versions(*families)) == (0, before)
    assert len(sei_server.exports) == 72

    made = datasets._value
    later = {date(2024, 2, 1): date(2024, 12, 1)}
    monkeypatch.setattr(datasets, "_value", lambda metric, day, *of: made(metric, later.get(day, day), *of))
    assert load(4) == 18
    assert database.versions(*families, but="2024-02") == others
    assert {family: database.rows(family) for family in families} == exported()


@pytest.mark.sei_server(leaf_teams=2)
def test_dlt_replaces_periods_and_teams(run: Any, dags: Any, sei_server: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """A month that is loaded again replaces its own rows."""
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    database = Database(dags["sei_dlt"], tmp_path)

    def load(month: str, last: str) -> dict[str, list[Any]]:
        sei_server.clock.advance(3600)
        days = {"date_start": f"2024-{month}-01", "date_end": f"2024-{month}-{last}"}
        assert run("sei_dlt", database=database.file, **days).state == "success"
        rows = database.fetch("SELECT date_start, pr_merged FROM exports.productivity ORDER BY ALL")
        return {start: list(some) for start, some in groupby(rows, lambda row: str(row[0]))}

    load("01", "31")
    before = load("02", "29")
    assert [len(rows) for rows in before.values()] == [5, 5]
    sei_server.faults.add("create", "outcome", times=None, file_bytes=5000)
    after = load("01", "31")
    assert len(after["2024-01-01"]) == sum(record.rows for record in sei_server.exports[-2:]) > 5
    assert after["2024-02-01"] == before["2024-02-01"]
