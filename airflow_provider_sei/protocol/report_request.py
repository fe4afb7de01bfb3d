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
from airflow_provider_sei.protocol.http import Api, HttpRequest

REPORT_PATH = "v2/insights/teams/reports"
REPORT_TYPES = ("team", "contributor")
REPORT_FIELDS = (
    *("collection_id", "date_start", "date_end", "report_type", "granularity", "productivity_metrics"),
    *("efficiency_metrics", "calculation_type", "include_ratings", "contributor_metrics", "identifier_fields"),
    "extra_body",
)
CALCULATION_TYPES = ("MEAN", "MEDIAN", "P90", "P95")
_GRANULARITIES = ("daily", "weekly", "monthly")
_IDENTIFIERS = {"team": ("collectionId", "teamRefId"), "contributor": ("collectionId",)}  # as the documents show
_ARGUMENTS_OF = {
    "team": ("productivity_metrics", "efficiency_metrics", "calculation_type"),
    "contributor": ("contributor_metrics", "include_ratings"),
}
_METRICS_OF = {
    "productivity_metrics": metrics.TEAM_REPORT_PRODUCTIVITY,
    "efficiency_metrics": metrics.TEAM_REPORT_EFFICIENCY,
    "contributor_metrics": metrics.CONTRIBUTOR_REPORT,
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
        warnings: list[str] = []
        for name, report in _METRICS_OF.items():
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
            query=(("format", "csv"),),
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
        parse_choice(granularity, _GRANULARITIES, "granularity")
        body["granularity"] = str(granularity).strip()  # the documents show both cases
    return kind, collection, body | _parse_parts(kind, parts)


def _parse_parts(kind: str, parts: Mapping[str, object]) -> dict[str, Any]:
    given = {name: value for name, value in parts.items() if value is not None and value != ""}
    for name in given:
        if name not in _ARGUMENTS_OF[kind]:
            msg = f"{name} does not apply to a {kind} report"
            raise SEIArgumentError(msg, field=name)
    parts_of = {name: dict[str, Any](metrics=list(parse_names(given.get(name), name))) for name in _METRICS_OF}
    if kind == "contributor":
        ratings = given.get("include_ratings")
        part = {} if ratings is None else {"includeRatings": parse_boolean(ratings, "include_ratings")}
        return part | {"productivityContributors": parts_of["contributor_metrics"]}
    if "calculation_type" in given:
        if "efficiency_metrics" not in given:
            msg = "calculation_type applies to efficiency_metrics, which is not given"
            raise SEIArgumentError(msg, field="calculation_type")
        calculation = parse_choice(given["calculation_type"], CALCULATION_TYPES, "calculation_type")
        parts_of["efficiency_metrics"]["calculationType"] = calculation
    # The vendor: a category whose metrics are empty or absent exports all of its metrics.
    both = ("productivity_metrics", "efficiency_metrics")
    return {name.removesuffix("_metrics"): parts_of[name] for name in both if name in given or not given}
