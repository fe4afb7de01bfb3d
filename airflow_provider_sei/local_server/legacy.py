"""The files of the legacy reports: one row per team or per contributor, no periods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.columns import (
    LEGACY_CONTRIBUTOR,
    LEGACY_EFFICIENCY,
    LEGACY_PRODUCTIVITY,
    value_of,
)
from airflow_provider_sei.local_server.data import CsvFile, write_csv
from airflow_provider_sei.local_server.organisation import Organisation, Team

__all__ = ["legacy_csv", "legacy_filename", "legacy_team_id"]

_SECTIONS: dict[str, Mapping[str, str]] = {
    "productivity": LEGACY_PRODUCTIVITY,
    "efficiency": LEGACY_EFFICIENCY,
    "productivityContributors": LEGACY_CONTRIBUTOR,
}
# "Ratings appear only for metrics where performance tiers exist": these.
_RATED = {*LEGACY_EFFICIENCY, "PR_VELOCITY", "CODING_DAYS", "TIME_TO_FIRST_COMMENT"} - {"OVERALL_DORA"}


def legacy_team_id(request: Mapping[str, Any]) -> str:
    """Return the team that a report is about; ``collectionId`` and ``teamRefId`` are the same identifier."""
    return str(request.get("collectionId") or request.get("teamRefId"))


def legacy_filename(request: Mapping[str, Any]) -> str:
    """Return the report's file name."""
    kind = "contributor" if "productivityContributors" in request else "team"
    return f"{kind}-report-{legacy_team_id(request)}-{request['dateStart']}-{request['dateEnd']}.csv"


def legacy_csv(request: Mapping[str, Any], organisation: Organisation) -> CsvFile:
    """Return the report; without any team or contributor it is 0 bytes long, as the vendor documents."""
    team = organisation.teams.get(legacy_team_id(request))
    columns = list(_columns(request))
    header = ["Collection Name", *(title for _, title in columns)]
    rows = list(_rows(team, request, [metric for metric, _ in columns])) if team else []
    return write_csv(header, rows) if rows else CsvFile(Body(), 0)


def _columns(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (metric, title) of each column; a rating's metric ends in ``_RATING``."""
    for section, titles in _SECTIONS.items():
        if section not in request:
            continue
        calculation = str(request[section].get("calculationType") or "MEAN").casefold()
        for metric in request[section].get("metrics") or titles:
            name = metric.upper()
            title = titles.get(name, metric).format(calculation)
            yield f"{name}|{calculation}", title
            if request.get("includeRatings") and name in _RATED:
                yield f"{name}_RATING", f"{titles[name].removesuffix(' ({})')} Rating"


def _rows(team: Team, request: Mapping[str, Any], metrics: Sequence[str]) -> Iterator[list[str]]:
    key = (request["dateStart"], request["dateEnd"], str(request.get("granularity") or "weekly").casefold())
    with_developers = [node for node in team.walk() if any(leaf.developers for leaf in node.leaves())]
    for node in with_developers:
        yield [node.name, *(value_of(metric, node.ref_id, *key) for metric in metrics)]
        if "productivityContributors" in request:
            for developer in node.developers:
                yield [developer.name, *(value_of(metric, developer.email, *key) for metric in metrics)]
