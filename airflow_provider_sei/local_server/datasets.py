"""The CSV files, made from the request alone: the same request gives the same bytes on every machine.

Sources of groups, metrics and column names: the customer's API document and Harness developer hub, "Export Insights"
pages, read 2026-11-23. Other families and groups get the family's declared metrics, or a column named after the group.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.organisation import Organisation, Team
from airflow_provider_sei.protocol.families import ExportFamily

_BLOCK = 1 << 20
_PR_SIZES = ("PR_MERGED", "PR_MERGED_SMALL", "PR_MERGED_MEDIUM", "PR_MERGED_LARGE")
_WORK = ("WORK_COMPLETED", "WORK_FEATURES_COMPLETED", "WORK_BUGS_COMPLETED", "WORK_OTHER_COMPLETED")
_REWORK = ("REWORK_PERCENT", "REWORK_PERCENT_RECENT", "REWORK_PERCENT_LEGACY")
_REVIEW = ("REVIEW_COMMENTS_PER_PR_AVG", "REVIEW_TIME_TO_FIRST_COMMENT_HRS_AVG")
_LOC = ("LOC_ADDED", "LOC_REMOVED")
_ANALYSIS = ("COMMITTED_WORK_DELIVERED_PERCENT", "CREEP_WORK_DELIVERED_PERCENT", "CHURN_RATE")

_GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "productivity": {
        "activity": ("CODING_DAYS",),
        "velocity": ("PR_CYCLE_TIME_DAYS_AVG", "AVG_TIME_TO_COMPLETE"),
        "volume": (*_PR_SIZES, *_LOC, *_WORK),
        "quality": (*_REWORK, "LOC_REFACTORED", "PR_MISSING_TICKETS"),
        "collaboration": _REVIEW,
        "pr": _PR_SIZES,
        "work": _WORK,
        "loc": _LOC,
        "review": _REVIEW,
        "rework": _REWORK,
        "codingdays": ("CODING_DAYS",),
    },
    "efficiency": {
        "lttc": ("PLANNING", "CODING", "REVIEW", "BUILD", "DEPLOY", "LTTC"),
        "df": ("DEPLOYMENT_FREQUENCY",),
        "deployment_frequency": ("DEPLOYMENT_FREQUENCY",),
        "mttr": ("MTTR",),
        "cfr": ("TOTAL_SUCCESS", "TOTAL_FAILURES", "CFR"),
        "summary": ("LTTC", "DEPLOYMENT_FREQUENCY", "CFR", "MTTR", "OVERALL_RATING"),
        "work_items": ("TOTAL_WORK_ITEMS", "PR_ASSOCIATIONS", "PERCENTAGE_PR_ASSOCIATED"),
        "rating": ("OVERALL_RATING",),
    },
    "sprint": {
        "work": ("SPRINT_COMMIT", "SPRINT_CREEP", "SPRINT_SIZE", "SCOPE_CREEP_PERCENT"),
        "delivery": ("TOTAL_WORK_DELIVERED", "DELIVERED_COMMIT", "MISSED_COMMIT", "DELIVERED_CREEP", "MISSED_CREEP"),
        "deliveryanalysis": _ANALYSIS,
        "analysis": ("TICKETS_REMOVED_MID_SPRINT", *_ANALYSIS),
        "predictability": ("PREDICTABILITY_DELIVERY_CONSISTENCY", "PREDICTABILITY_RELIABILITY_OF_COMMITMENT"),
        "velocity": ("SPRINT_VELOCITY",),
    },
    "ba": {
        "categorized": ("KTLO_story_points", "KTLO_tickets", "NEW_FEATURES_story_points", "NEW_FEATURES_tickets"),
        "uncategorized": ("OTHER_story_points", "OTHER_tickets"),
    },
    "ticket-data": {"all": ("total_issues", "in_progress_hours", "to_do_hours", "total_lead_time_hours")},
}
# Column names that differ from the metric's name; {} is the aggregation.
_NAMES = {"LTTC": "LTTC_{}_Days", "DEPLOYMENT_FREQUENCY": "DF_Deployment_Count", "MTTR": "MTTR_{}_Hours"}
_NAMES["CFR"] = "CFR_Percent"
_KEPT_UPPER = {"PR", "LOC", "CFR", "MTTR", "LTTC", "KTLO", "DF"}
_RATINGS = ("Low", "Medium", "High", "Elite")
# Of the DORA metrics, from worst to best; a team between two neighbours is Low, Medium, High or Elite.
_DAYS, _PERCENT, _A_MONTH = (60, 30, 7, 1, 0.2), (60, 45, 30, 15, 2), (0, 1, 4, 30, 120)
_DORA: dict[str, tuple[float, ...]] = {"LTTC": _DAYS, "CFR": _PERCENT, "DEPLOYMENT_FREQUENCY": _A_MONTH}
_DORA |= {"LEAD_TIME_FOR_CHANGES": _DAYS, "CHANGE_FAILURE_RATE": _PERCENT, "MEAN_TIME_TO_RESTORE": (16, 7, 1, 0.04, 0)}
_DORA["MTTR"] = (400, 168, 24, 1, 0.2)
_FALLS = ("TIME", "HRS", "HOURS", "AVG", "REWORK", "CHURN")

LEGACY_SECTIONS: dict[str, dict[str, str]] = {
    "productivity": {
        "TIME_TO_FIRST_COMMENT": "Time to First Comment",
        "PR_VELOCITY_PER_DEV": "PR Velocity per Developer",
        "WORKTYPE_COMPLETED_PER_DEV": "Work Completed per Developer",
        "CODING_DAYS_PER_DEV": "Coding Days per Developer",
        "NUMBER_OF_COMMENTS_PER_PR": "Number of Comments per PR",
        "AVG_TIME_TO_COMPLETE": "Average Time to Complete",
    },
    "efficiency": {
        "LEAD_TIME_FOR_CHANGES": "Lead Time for Changes ({})",
        "DEPLOYMENT_FREQUENCY": "Deployment Frequency",
        "CHANGE_FAILURE_RATE": "Change Failure Rate",
        "MEAN_TIME_TO_RESTORE": "Mean Time to Restore ({})",
        "OVERALL_DORA": "Overall DORA Score",
    },
    "productivityContributors": {
        "PR_VELOCITY": "PR Velocity",
        "WORK_TYPE_COMPLETED": "Work Items Completed",
        "CODING_DAYS": "Coding Days",
        "TIME_TO_FIRST_COMMENT": "Time to First Comment",
        "NUMBER_OF_COMMENTS_PER_PR": "Review Intensity",
        "AVG_TIME_TO_COMPLETE": "Average Time to Complete",
        "NO_OF_PRS_WITH_MISSING_TICKETS": "PR Hygiene",
    },
}
"""Metrics and column titles of the legacy reports, by section of the request; {} is the calculation type."""
# "Ratings appear only for metrics where performance tiers exist": these.
_RATED = {*LEGACY_SECTIONS["efficiency"], "PR_VELOCITY", "CODING_DAYS", "TIME_TO_FIRST_COMMENT"} - {"OVERALL_DORA"}


@dataclass(frozen=True)
class CsvFile:
    """A CSV file, or its records as JSON, and their number, without the header."""

    body: Body
    rows: int


def csv_bytes(records: Iterable[Sequence[str]]) -> bytes:
    """Return records as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(records)
    return text.getvalue().encode(errors="replace")


def people(organisation: Organisation, kind: str) -> list[tuple[str, ...]]:
    """Return the header and the records of ``developers``, or of their ``identities`` in two integrations."""
    found = [(team, one) for team in organisation.teams.values() for one in team.developers]
    if kind == "developers":
        rows = [(one.name, one.email, f"manager.{team.ref_id}@company.example") for team, one in found]
        return [("Name", "Email", "Manager_Email"), *rows]
    identities = [(one.email, number, f"{one.email.partition('@')[0]}-{number}") for _, one in found for number in "12"]
    return [("email", "integrationId", "identity"), *identities]


def teams_in_scope(organisation: Organisation, scope: dict[str, Any]) -> list[Team] | None:
    """Return the leaf teams of ``scope``, or ``None`` if its team, org tree or manager does not exist."""
    if manager := scope.get("managerEmailId"):
        # manager.1000001@company.example has team 1000001, with all below it.
        managed = organisation.teams.get(manager.removeprefix("manager.").partition("@")[0])
        others: dict[str, Any] = {key: scope[key] for key in ("teamId", "orgTreeName") if key in scope}
        found = teams_in_scope(organisation, others) if others else list(managed.leaves()) if managed else None
        return found and [team for team in found if managed and team in managed.leaves()]
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
    """Split ``start`` to ``end`` (both inclusive) into calendar periods of ``granularity``."""
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
    """Return the file of a completed export; an unknown scope gives the header only."""
    options = {str(key).casefold(): str(value) for key, value in (request.get("options") or {}).items()}
    granularity = options.get("granularity", "monthly").casefold()
    aggregation, mode = options.get("aggregation", "mean"), options.get("computationmode", "")
    levels = family.option("level")
    default_level = levels.values[0] if levels and levels.values else "team"
    # The OpenAPI document and the prose use different keys for the level of productivity exports.
    level = (options.get("aggregationlevel") or options.get("metriclevel") or default_level).casefold()
    metrics = _metrics(family, request.get("metricGroups") or (), request.get("metrics") or ())
    # The page says that the lead time is split, and not how the columns are called.
    split = [word for word in (request.get("options") or {}).get("workCategoryFilter", ()) if word.upper() != "ALL"]
    metrics += [f"LTTC_{word.upper()}" for word in split if "LTTC" in metrics]
    metrics += [f"{'_'.join(status.casefold().split())}_hours" for status in request.get("issueStatuses") or ()]
    subject = {"developer": ["Developer", "Developer_Email"], "sprint": ["Sprint"]}.get(level, [])
    header = ["Granularity", "Team", "Team_Hierarchy", "Start_Date", "End_Date", *subject]
    if family.takes_issue_statuses:
        header = [name.casefold() for name in header]
    records = [[*header, *(_column_name(metric, aggregation) for metric in metrics)]]
    start, end = (date.fromisoformat(request["dateRange"][key]) for key in ("start", "end"))
    for team in teams_in_scope(organisation, request.get("scope") or {}) or []:
        for number, (first, last) in enumerate(periods(start, end, granularity)):
            common = [granularity, team.name, team.path, first.isoformat(), last.isoformat()]
            for subject in _subjects(team, level, number):
                values = (_value(metric, first, team.ref_id, mode, aggregation, *subject) for metric in metrics)
                records.append([*common, *subject, *values])
    return CsvFile(Body.of(csv_bytes(records)), len(records) - 1)


def _subjects(team: Team, level: str, period: int) -> list[list[str]]:
    """Return the cells that name the subject of each record of one team and period."""
    if level == "developer" or not team.developers:
        return [[developer.name, developer.email] for developer in team.developers]
    return [[f"{team.name}, sprint {period + 1}"]] if level == "sprint" else [[]]


def _metrics(family: ExportFamily, groups: Iterable[str], metrics: Iterable[str]) -> list[str]:
    """Return the metrics of ``groups`` and ``metrics`` without duplicates; those of all groups by default."""
    known = _GROUPS.get(family.name, {})
    wanted = [metric for group in groups for metric in known.get(group.casefold(), (f"{group}_total",))]
    wanted += metrics
    if not wanted:
        wanted = [metric for group in known.values() for metric in group] or list(family.metrics) or ["value"]
    # Names are case-insensitive: PR_Merged and PR_MERGED are one column.
    return list({metric.casefold(): metric for metric in reversed(wanted)}.values())[::-1]


def _column_name(metric: str, aggregation: str) -> str:
    """Return the name in the style of the vendor's examples: ``PR_Merged``, ``LTTC_Mean_Days``."""
    if metric.upper() in _NAMES:
        return _NAMES[metric.upper()].format(aggregation.capitalize())
    if not metric.isupper():
        return metric
    return "_".join(word if word in _KEPT_UPPER else word.capitalize() for word in metric.split("_"))


def _value(metric: str, day: date, team: int, *key: object) -> str:
    """Return a plausible value, sometimes empty, from the arguments alone: a level, a trend of the team, and noise."""
    name, subject = metric.upper().partition("|")[0], "|".join(map(str, (metric.casefold(), team, *key)))
    level, noise = (zlib.crc32(text.encode(errors="replace")) for text in (subject, f"{subject}|{day}"))
    # Teams get better for four years and worse for four; most get better from 2024 to 2026.
    trend = abs((day.toordinal() + team * 389 % 900 - 1150) % 2922 - 1461) / 1461
    if "RATING" in name or "DORA" in name:
        return _RATINGS[min(int(trend * 4), 3)]
    if noise % 29 == 0:
        return ""
    good = 0.94 * trend + noise % 1000 / 20_000
    if limits := _DORA.get("LTTC" if name.startswith("LTTC") else name):
        below = int(good * 4)
        value = limits[below] + (limits[below + 1] - limits[below]) * (good * 4 - below)
        return f"{value:.0f}" if limits is _A_MONTH else f"{value:.2f}"
    share = level % 1000 / 2000 + (1 - good if any(word in name for word in _FALLS) else good) / 2
    if any(word in name for word in ("PERCENT", "RATE", "PREDICTABILITY")):
        return f"{share * 100:.2f}"
    duration = any(word in name for word in ("TIME", "DAYS", "HRS", "HOURS", "VELOCITY", "AVG"))
    return f"{share * 40:.2f}" if duration else f"{share * 120:.0f}"


def as_json(file: CsvFile) -> CsvFile:
    """Return the records as a list of objects; the vendor's page does not show the form."""
    records = list(csv.DictReader(io.StringIO(file.body.content().decode(), newline="")))
    return CsvFile(Body.of(json.dumps(records).encode()), file.rows)


def sized(file: CsvFile, size: int) -> CsvFile:
    """Return a file of exactly ``size`` bytes that repeats the records of ``file``.

    The last record is padding. A size without room for header and padding is raised to the smallest possible one; a
    file without records is returned unchanged.
    """
    header, *records = csv.reader(io.StringIO(file.body.content().decode(), newline=""))
    if not records:
        return file
    samples = [csv_bytes([record]) for record in records]
    columns = len(header)
    block = b"".join(samples)
    repeats = max(1, _BLOCK // len(block))
    block *= repeats
    first = csv_bytes([header])
    left = max(size - len(first), columns)  # the padding needs at least the commas and the line end
    times = max(0, left - 2 * columns) // len(block)
    left -= times * len(block)
    tail: list[bytes] = []
    for sample in itertools.cycle(samples):
        if left - len(sample) < columns:
            break
        tail.append(sample)
        left -= len(sample)
    padding = b"x" * (left - columns) + b"," * (columns - 1) + b"\n"
    body = Body(((first, 1), (block, times), (b"".join(tail) + padding, 1)))
    return CsvFile(body, times * repeats * len(samples) + len(tail) + 1)


def legacy_report(request: Mapping[str, Any], organisation: Organisation) -> tuple[str, CsvFile]:
    """Return the name and file of a legacy report; 0 bytes without any team or contributor, as the vendor documents."""
    columns = list(_legacy_columns(request))
    metrics = [metric for metric, _ in columns]
    key = (request["dateEnd"], str(request.get("granularity") or "weekly").casefold())
    day = date.fromisoformat(request["dateStart"])
    team_id = str(request.get("collectionId") or request.get("teamRefId"))
    team, contributors = organisation.teams.get(team_id), "productivityContributors" in request
    records = [["Collection Name", *(title for _, title in columns)]]
    for node in team.walk() if team else ():
        if not any(leaf.developers for leaf in node.leaves()):
            continue
        records.append([node.name, *(_value(metric, day, node.ref_id, *key) for metric in metrics)])
        for developer in node.developers if contributors else ():
            values = (_value(metric, day, node.ref_id, developer.email, *key) for metric in metrics)
            records.append([developer.name, *values])
    kind = "contributor" if contributors else "team"
    name = f"{kind}-report-{team_id}-{request['dateStart']}-{request['dateEnd']}.csv"
    return name, CsvFile(Body.of(csv_bytes(records)) if len(records) > 1 else Body(), len(records) - 1)


def _legacy_columns(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (metric, title) of each column; a rating's metric ends in ``_RATING``."""
    for section, titles in LEGACY_SECTIONS.items():
        if section not in request:
            continue
        calculation = str(request[section].get("calculationType") or "MEAN").casefold()
        for metric in request[section].get("metrics") or titles:
            name = metric.upper()
            yield f"{name}|{calculation}", titles.get(name, metric).format(calculation)
            if request.get("includeRatings") and name in _RATED:
                yield f"{name}_RATING", f"{titles[name].removesuffix(' ({})')} Rating"
