"""The CSV files: made from the request alone, so that the same request gives the same bytes on every machine."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.columns import column_name, metrics_of, value_of
from airflow_provider_sei.local_server.organisation import Organisation, Team
from airflow_provider_sei.protocol.families import ExportFamily

__all__ = ["CsvFile", "export_csv", "periods", "sized", "teams_in_scope", "write_csv"]

_BLOCK = 1 << 20


@dataclass(frozen=True)
class CsvFile:
    """A CSV file: its bytes, and how many records follow the header."""

    body: Body
    rows: int


def teams_in_scope(organisation: Organisation, scope: dict[str, Any]) -> list[Team] | None:
    """Return the leaf teams that ``scope`` selects, or ``None`` if it names a team or an org tree that is not there."""
    team_id, tree_name = scope.get("teamId"), scope.get("orgTreeName")
    tree = organisation.trees_by_name.get(tree_name) if tree_name is not None else None
    if tree_name is not None and tree is None:
        return None
    if team_id is None:
        return list(tree.root.leaves()) if tree else []
    # The OpenAPI document's examples write team_456, the customer's document 456.
    team = organisation.teams.get(str(team_id).removeprefix("team_"))
    if team is None or (tree and all(team.ref_id != other.ref_id for other in tree.root.walk())):
        return None
    return list(team.leaves())


def periods(start: date, end: date, granularity: str) -> Iterator[tuple[date, date]]:
    """Cut ``start`` to ``end`` (both included) into calendar periods of ``granularity``."""
    while start <= end:
        following = _next_period(start, granularity.casefold())
        yield start, min(following - timedelta(days=1), end)
        start = following


def _next_period(day: date, granularity: str) -> date:
    if granularity == "daily":
        return day + timedelta(days=1)
    if granularity in {"weekly", "sprint"}:
        monday = day - timedelta(days=day.weekday())
        return monday + timedelta(weeks=1 if granularity == "weekly" else 2)
    months = 3 if granularity == "quarterly" else 1
    index = day.year * 12 + (day.month - 1) // months * months + months
    return date(index // 12, index % 12 + 1, 1)


def export_csv(family: ExportFamily, request: dict[str, Any], organisation: Organisation) -> CsvFile:
    """Return the file of a completed export. An unknown scope gives the header alone."""
    options = {str(key).casefold(): str(value) for key, value in (request.get("options") or {}).items()}
    granularity = options.get("granularity", "monthly").casefold()
    aggregation = options.get("aggregation", "mean")
    # Both keys are documented for productivity; see SPEC and prose about the level.
    level = (options.get("aggregationlevel") or options.get("metriclevel") or _default_level(family)).casefold()
    metrics = metrics_of(family, request.get("metricGroups") or (), request.get("metrics") or ())
    metrics += [f"{_snake(status)}_hours" for status in request.get("issueStatuses") or ()]
    subject = {"developer": ["Developer", "Developer_Email"], "sprint": ["Sprint"]}.get(level, [])
    header = ["Granularity", "Team", "Team_Hierarchy", "Start_Date", "End_Date", *subject]
    if family.takes_issue_statuses:
        header = [name.casefold() for name in header]
    header += [column_name(metric, aggregation) for metric in metrics]
    start, end = (date.fromisoformat(request["dateRange"][key]) for key in ("start", "end"))
    teams = teams_in_scope(organisation, request.get("scope") or {}) or []
    cells = {"mode": options.get("computationmode", ""), "aggregation": aggregation}

    def records() -> Iterator[list[str]]:
        for team in teams:
            for number, (first, last) in enumerate(periods(start, end, granularity)):
                common = [granularity, team.name, team.path, first.isoformat(), last.isoformat()]
                for who in _subjects(team, level, number):
                    key = (*cells.values(), team.ref_id, *who, first)
                    yield [*common, *who, *(value_of(metric, *key) for metric in metrics)]

    return write_csv(header, records())


def _default_level(family: ExportFamily) -> str:
    option = family.option("level")
    return option.values[0] if option and option.values else "team"


def _snake(words: str) -> str:
    return "_".join(words.casefold().split())


def _subjects(team: Team, level: str, period: int) -> Iterable[Sequence[str]]:
    """Return the leading cells of the records of one team and period; a team without developers has no records."""
    if level == "developer":
        return [(developer.name, developer.email) for developer in team.developers]
    if not team.developers:
        return []
    return [(f"{team.name}, sprint {period + 1}",)] if level == "sprint" else [()]


def write_csv(header: Sequence[str], records: Iterable[Sequence[str]]) -> CsvFile:
    """Return ``header`` and ``records`` as a UTF-8 CSV file with one LF behind each record."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    rows = 0
    for rows, record in enumerate(records, start=1):  # noqa: B007 - the count is wanted after the loop
        writer.writerow(record)
    return CsvFile(Body.of(text.getvalue().encode(errors="replace")), rows)


def sized(file: CsvFile, size: int) -> CsvFile:
    """Return a file with the header and the records of ``file`` over and over, ``size`` bytes long to the byte.

    Its last record is padding. A size without room for header and padding is raised to the smallest that has it; a
    file without records stays as it is.
    """
    records = list(csv.reader(io.StringIO(file.body.content().decode(), newline="")))
    header, samples = _lines(records[:1])[0], _lines(records[1:])
    if not samples:
        return file
    columns = len(records[0])
    block = b"".join(samples)
    repeats = max(1, _BLOCK // len(block))
    block *= repeats
    left = max(size - len(header), columns)  # the padding needs at least the commas and the line end
    times = max(0, left - 2 * columns) // len(block)
    left -= times * len(block)
    tail: list[bytes] = []
    for sample in itertools.cycle(samples):
        if left - len(sample) < columns:
            break
        tail.append(sample)
        left -= len(sample)
    padding = b"x" * (left - columns) + b"," * (columns - 1) + b"\n"
    body = Body(((header, 1), (block, times), (b"".join(tail) + padding, 1)))
    return CsvFile(body, times * repeats * len(samples) + len(tail) + 1)


def _lines(records: Iterable[Sequence[str]]) -> list[bytes]:
    lines = []
    for record in records:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(record)
        lines.append(text.getvalue().encode())
    return lines
