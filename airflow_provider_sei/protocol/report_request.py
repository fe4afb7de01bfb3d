"""The legacy reports: one request, one CSV in the response; the team report and the contributor report.

Source: the customer's API document, "Legacy Reports API", read 2026-11-23.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol import metrics
from airflow_provider_sei.protocol.arguments import (
    is_missing,
    merged,
    parse_boolean,
    parse_choice,
    parse_mapping,
    parse_names,
    parse_period,
    parse_text,
    undocumented,
)
from airflow_provider_sei.protocol.export_request import fingerprint
from airflow_provider_sei.protocol.families import did_you_mean
from airflow_provider_sei.protocol.http import Api, HttpRequest

REPORT_PATH = "v2/insights/teams/reports"
REPORT_TYPES = ("team", "contributor")
REPORT_FIELDS = (
    *("collection_id", "date_start", "date_end", "report_type", "granularity", "productivity_metrics"),
    *("efficiency_metrics", "calculation_type", "include_ratings", "contributor_metrics", "identifier_fields"),
    "extra_body",
)
CALCULATION_TYPES = ("MEAN", "MEDIAN", "P90", "P95")
_GRANULARITIES = ("daily", "weekly", "monthly")  # "common values", by the document
_IDENTIFIERS = {"team": ("collectionId", "teamRefId"), "contributor": ("collectionId",)}  # as the documents show
_PARTS_OF = {"team": ("productivity", "efficiency"), "contributor": ("includeRatings", "productivityContributors")}
_METRICS_OF = {
    "productivity_metrics": ("productivity", metrics.TEAM_REPORT_PRODUCTIVITY),
    "efficiency_metrics": ("efficiency", metrics.TEAM_REPORT_EFFICIENCY),
    "contributor_metrics": ("productivityContributors", metrics.CONTRIBUTOR_REPORT),
}
_ORDER = ("collectionId", "dateStart", "dateEnd", "teamRefId", "granularity")  # of the documents' bodies
_CONTENT = {"granularity", "productivity", "efficiency", "productivityContributors", "includeRatings"}
REPORT_READ_TIMEOUT = 300.0
"""Default in seconds: the server computes a report before it responds; large teams take minutes."""


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """A valid request for one legacy report. Build it with :meth:`from_arguments`. Days are yyyy-MM-dd, inclusive."""

    report_type: str
    collection_id: str
    date_start: str
    date_end: str
    body: Mapping[str, Any] = field(default_factory=dict)
    """The complete JSON body."""
    warnings: tuple[str, ...] = ()
    """Sentences to log before the request is sent."""

    @classmethod
    def from_arguments(cls, *, date_start: object, date_end: object, **arguments: object) -> ReportRequest:
        """Parse the arguments of ``SEILegacyReportOperator``.

        :raises SEIArgumentError: an argument is invalid; ``field`` is its name.
        """
        start, end = parse_period(date_start, date_end)
        kind, team, body = _parse(**arguments)
        body |= {"dateStart": start, "dateEnd": end}
        body = {key: body[key] for key in (*_ORDER, *body) if key in body}
        rated = {"efficiency", "includeRatings"}  # together in the document's example of ratings
        known = {*_ORDER, *_PARTS_OF[kind], *(rated if rated <= body.keys() else ())}
        warnings = undocumented(body, known, "the request", f"{kind} reports")
        warnings += undocumented([body.get("granularity", "weekly")], _GRANULARITIES, "granularity", "legacy reports")
        for name, (_, report) in _METRICS_OF.items():
            names = parse_names(arguments.get(name), name)
            warnings += undocumented(names, metrics.metric_names(report), name, "legacy reports")
        body = merged(body, parse_mapping(arguments.get("extra_body"), "extra_body"))
        return cls(
            report_type=kind, collection_id=team, date_start=start, date_end=end, body=body, warnings=tuple(warnings)
        )

    @property
    def family(self) -> str:
        """The report's name in place of an export family's."""
        return f"{self.report_type}-report"

    @property
    def description(self) -> str:
        """For messages."""
        return f"{self.report_type} report of collection {self.collection_id}"

    def fingerprints(self, source: Mapping[str, str | None]) -> dict[str, str]:
        """Return what identifies the request, and its scope, as an export's do."""
        names = (self.collection_id, self.date_start, self.date_end)
        scope = {key: value for key, value in self.body.items() if key not in _CONTENT and str(value) not in names}
        whole = fingerprint([source, self.family, self.body])
        return {"scope": fingerprint([source, scope]), "fingerprint": whole}

    def http_request(self) -> HttpRequest:
        """Return the request. ``format=csv`` is the vendor's only format."""
        return HttpRequest(
            method="POST",
            path=REPORT_PATH,
            query={"format": "csv"},
            body=self.body,
            api=Api.LEGACY,
            identifiers_required=False,
            account_parameter="accountId",
            accept="text/csv, */*;q=0.5",
            read_timeout=REPORT_READ_TIMEOUT,
        )


def check_report(arguments: Mapping[str, object], is_known: Callable[[object], bool]) -> None:
    """Check the arguments that have their final value when a DAG is parsed."""
    parse_period(arguments.get("date_start"), arguments.get("date_end"), is_known)
    rest = {name: value for name, value in arguments.items() if name not in ("date_start", "date_end")}
    if all(map(is_known, rest.values())):
        _parse(**rest)


def _parse(
    *,
    report_type: object = "team",
    collection_id: object = None,
    granularity: object = "weekly",
    identifier_fields: object = None,
    extra_body: object = None,
    **parts: object,
) -> tuple[str, str, dict[str, Any]]:
    kind = parse_choice(report_type, REPORT_TYPES, "report_type")
    collection = parse_text(collection_id, "collection_id")
    if collection is None:
        msg = "collection_id is missing: copy the number after collectionId= in the address of the team's Insights page"
        raise SEIArgumentError(msg, field="collection_id")
    parse_mapping(extra_body, "extra_body")
    identifiers = parse_names(identifier_fields, "identifier_fields") or _IDENTIFIERS[kind]
    names = {parse_choice(name, _IDENTIFIERS["team"], "identifier_fields") for name in identifiers}
    body: dict[str, Any] = {"collectionId": collection} if "collectionId" in names else {}
    if "teamRefId" in names:
        if not re.fullmatch("[0-9]{1,18}", collection):  # a 64-bit integer
            msg = f"collection_id {collection!r} is not a number, as teamRefId must be;"
            msg += ' identifier_fields=["collectionId"] omits teamRefId'
            raise SEIArgumentError(msg, field="collection_id")
        body["teamRefId"] = int(collection)
    if not is_missing(granularity):
        body["granularity"] = parse_text(granularity, "granularity")  # as written: the documents show both cases
    return kind, collection, body | _parse_parts(kind, parts)


def _parse_parts(kind: str, parts: Mapping[str, object]) -> dict[str, Any]:
    if unknown := sorted(parts.keys() - set(REPORT_FIELDS)):
        msg = f"{unknown[0]} is not an argument of a report{did_you_mean(unknown[0], REPORT_FIELDS)}"
        raise SEIArgumentError(msg, field=unknown[0])
    given = {name: value for name, value in parts.items() if value is not None and value != ""}
    ratings, asked = given.get("include_ratings"), given.keys() & _METRICS_OF
    body: dict[str, Any] = {} if ratings is None else {"includeRatings": parse_boolean(ratings, "include_ratings")}
    for name, (key, _) in _METRICS_OF.items():
        # The vendor: a category whose metrics are empty or absent exports all of its metrics.
        if name in asked or (key in _PARTS_OF[kind] and (kind == "contributor" or not asked)):
            body[key] = {"metrics": list(parse_names(given.get(name), name))}
    if "calculation_type" in given:
        if "efficiency_metrics" not in given:
            msg = "calculation_type applies to efficiency_metrics, which is not given"
            raise SEIArgumentError(msg, field="calculation_type")
        calculation = parse_choice(given["calculation_type"], CALCULATION_TYPES, "calculation_type")
        body["efficiency"]["calculationType"] = calculation
    return body
