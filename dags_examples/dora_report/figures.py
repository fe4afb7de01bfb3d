"""What the delivered files say, read with DuckDB: four metrics by team and month."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from dora_report.files import DeliveryResult, Missing
from dora_report.metrics import METRICS, Dora

if TYPE_CHECKING:
    import duckdb

__all__ = ["Figures", "Series", "read"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One metric, for all teams and months."""

    metric: Dora
    column: str | None
    """Its name in the files; ``None`` if none has it."""
    unit: str | None
    """``None`` where neither the files nor the vendor's documents tell it."""
    values: Sequence[Sequence[float | None]]
    """One row for each team, one value for each month."""
    medians: Sequence[float | None]
    """Of the teams that have a value, for each month."""

    @property
    def has_data(self) -> bool:
        """Whether there is a single value."""
        return any(value is not None for value in self.medians)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All that the page shows."""

    date_start: date
    date_end: date
    months: Sequence[date]
    """First days of all months of the period, with data or without."""
    teams: Sequence[str]
    series: Sequence[Series]
    files: Sequence[DeliveryResult]
    missing: Sequence[Missing]
    notes: Sequence[str]
    """What the files hold that is not in the figures."""

    @property
    def rows(self) -> int:
        """Records of all files."""
        return sum(file.rows for file in self.files)


def read(files: Iterable[DeliveryResult], missing: Iterable[Missing], date_start: str, date_end: str) -> Figures:
    """Return the figures of ``files``.

    A file that cannot be read, or has other records than were delivered, or none, is told as missing.

    Args:
        files: the delivered ones.
        missing: teams without a file.
        date_start: first day of the period, yyyy-MM-dd.
        date_end: last day, included.
    """
    import duckdb

    # An extension that is not built in would be fetched from the internet.
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    with connection:
        readable: list[DeliveryResult] = []
        headers: list[list[str]] = []
        lacking = list(missing)
        for file in files:
            try:
                headers.append(_header(connection, file))
                readable.append(file)
            except ValueError as error:
                lacking.append(Missing(file.team, str(error)))
            except duckdb.Error as error:
                log.warning("%s: %s", file.uri, error)
                lacking.append(Missing(file.team, "its file cannot be read as CSV; the log says why"))
        columns = {known.key: _column(known, headers) for known in METRICS}
        _collect(connection, readable, headers, columns)
        first, last = date.fromisoformat(date_start), date.fromisoformat(date_end)
        notes = _type_and_tidy(connection, first, last)
        months = [month for (month,) in connection.execute(_MONTHS, [first, last]).fetchall()]
        teams = connection.execute(_TEAMS).fetchall()
        series = []
        for known in METRICS:
            column = columns[known.key]
            found = connection.execute(f"SELECT team, month, {known.key} FROM figures").fetchall()
            values = {(team, month): value for team, month, value in found}
            medians = dict(
                connection.execute(f"SELECT month, median({known.key}) FROM figures GROUP BY month").fetchall()
            )
            series.append(
                Series(
                    metric=known,
                    column=column,
                    unit=known.unit(column) if column else None,
                    values=[[values.get((team, month)) for month in months] for team, _ in teams],
                    medians=[medians.get(month) for month in months],
                )
            )
    return Figures(
        date_start=first,
        date_end=last,
        months=months,
        teams=[label for _, label in teams],
        series=series,
        files=readable,
        missing=lacking,
        notes=notes,
    )


_MONTHS = "SELECT unnest(generate_series(date_trunc('month', ?::DATE), ?::DATE, INTERVAL 1 MONTH))::DATE"
_TEAMS = """
    SELECT team, CASE WHEN count(*) OVER (PARTITION BY label) > 1 THEN team ELSE label END AS label
    FROM (SELECT team, any_value(label) AS label, min(file) AS file FROM figures GROUP BY team)
    ORDER BY lower(label), team
"""
_CSV = "read_csv('{}', delim=',', quote='\"', escape='\"', comment='', header=true, skip=0, all_varchar=true)"


def _source(file: DeliveryResult) -> str:
    return _CSV.format(str(file.path).replace("'", "''"))


def _header(connection: duckdb.DuckDBPyConnection, file: DeliveryResult) -> list[str]:
    """Return the names of a file's columns.

    Raises:
        ValueError: it has none of the records that it should have, or not the columns that say whose they are.
        duckdb.Error: it is no CSV.
    """
    if not file.rows:
        msg = "its file has no records"
        raise ValueError(msg)
    [(rows,)] = connection.execute(f"SELECT count(*) FROM {_source(file)}").fetchall()
    if rows != file.rows:
        msg = f"its file reads as {rows} records, {file.rows} were delivered"
        raise ValueError(msg)
    names = [name for name, *_ in connection.execute(f"DESCRIBE SELECT * FROM {_source(file)}").fetchall()]
    if lacking := {"team", "start_date"} - {name.casefold() for name in names}:
        msg = f"its file has no column {' and no '.join(sorted(lacking))}"
        raise ValueError(msg)
    return names


def _column(known: Dora, headers: Iterable[Sequence[str]]) -> str | None:
    """Return the name of a metric's column, the same for all files, so that units are never mixed."""
    return next((name for header in headers for name in header if known.columns.fullmatch(name)), None)


def _collect(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[DeliveryResult],
    headers: Sequence[Sequence[str]],
    columns: Mapping[str, str | None],
) -> None:
    """Fill the table ``records`` with the text of the cells."""
    named = ", ".join(f"{key} VARCHAR" for key in columns)
    connection.execute(f"CREATE TABLE records (file INTEGER, team VARCHAR, label VARCHAR, day VARCHAR, {named})")
    for number, (file, header) in enumerate(zip(files, headers, strict=True)):
        present = {name.casefold() for name in header}
        team = "coalesce(Team_Hierarchy, Team)" if "team_hierarchy" in present else "Team"
        # A name that has matched a metric's pattern is letters and underscores.
        cells = [name if name and name.casefold() in present else "NULL" for name in columns.values()]
        connection.execute(
            f"INSERT INTO records SELECT ?, {team}, Team, Start_Date, {', '.join(cells)} FROM {_source(file)}",
            [number],
        )


def _type_and_tidy(connection: duckdb.DuckDBPyConnection, first: date, last: date) -> list[str]:
    """Make the table ``figures``, one record for each team and month; return what was left out."""
    number = "CASE WHEN isfinite(TRY_CAST(trim({0}) AS DOUBLE)) THEN TRY_CAST(trim({0}) AS DOUBLE) END AS {0}"
    numbers = ", ".join(number.format(known.key) for known in METRICS)
    connection.execute(f"""
        CREATE TABLE typed AS
        SELECT file, coalesce(team, label, '') AS team, coalesce(label, team, '') AS label,
               TRY_CAST(day AS DATE) AS day, date_trunc('month', TRY_CAST(day AS DATE))::DATE AS month, {numbers}
        FROM records
    """)
    connection.execute(
        """
        CREATE TABLE figures AS SELECT DISTINCT ON (team, month) * FROM typed
        WHERE month BETWEEN date_trunc('month', $1::DATE) AND $2 ORDER BY team, month, file, day
        """,
        [first, last],
    )
    kept = "month BETWEEN date_trunc('month', $1::DATE) AND $2"
    words = " + ".join(f"count(*) FILTER (trim({known.key}) <> '')" for known in METRICS)
    values = " + ".join(f"count({known.key})" for known in METRICS)
    [(outside, inside)] = connection.execute(
        f"SELECT count(*) FILTER (({kept}) IS NOT TRUE), count(*) FILTER ({kept}) FROM typed",
        [first, last],
    ).fetchall()
    [(cells, shown)] = connection.execute(
        f"SELECT (SELECT {words} FROM records), (SELECT {values} FROM typed)"
    ).fetchall()
    [(teams_and_months,)] = connection.execute("SELECT count(*) FROM figures").fetchall()
    left_out = (
        (outside, "record", "without a day of the period"),
        (inside - teams_and_months, "record", "for a team and month that came before"),
        (cells - shown, "cell", "without a number that can be read"),
    )
    return [f"Left out: {count} {what}{'s' * (count > 1)} {words}" for count, what, words in left_out if count]
