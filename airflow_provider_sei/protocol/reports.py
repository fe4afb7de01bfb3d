"""The legacy reports: one request, one CSV in the answer.

Two shapes share one endpoint: the team report (``productivity`` and/or ``efficiency``) and the contributor report
(``productivityContributors``). Source: the customer's API document, "Legacy Reports API", read 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_sei.protocol.catalogue import (
    CONTRIBUTOR_REPORT,
    TEAM_REPORT_EFFICIENCY,
    TEAM_REPORT_PRODUCTIVITY,
    metric_names,
)
from airflow_provider_sei.protocol.checks import (
    checked_choice,
    checked_mapping,
    checked_names,
    checked_period,
    checked_text,
    merged,
    undocumented,
)
from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.messages import Api, HttpRequest

__all__ = ["CALCULATION_TYPES", "REPORT_PATH", "REPORT_TYPES", "ReportSpec", "report_request"]

REPORT_PATH = "v2/insights/teams/reports"
REPORT_TYPES = ("team", "contributor")
CALCULATION_TYPES = ("MEAN", "MEDIAN", "P90", "P95")
GRANULARITIES = ("daily", "weekly", "monthly")

_IDENTIFIER_FIELDS = ("collectionId", "teamRefId")
_DOCUMENTED_IDENTIFIERS = {"team": _IDENTIFIER_FIELDS, "contributor": ("collectionId",)}
_METRIC_PARTS = {
    "productivity_metrics": TEAM_REPORT_PRODUCTIVITY,
    "efficiency_metrics": TEAM_REPORT_EFFICIENCY,
    "contributor_metrics": CONTRIBUTOR_REPORT,
}
_LONGEST_NUMBER = 18  # digits, as many as any server's integer has
_REPORT_SECONDS = 300.0  # the server computes while we wait; large teams take minutes


@dataclass(frozen=True, kw_only=True)
class ReportSpec:
    """A checked request for one legacy report. Build it with ``ReportSpec.checked``."""

    report_type: str
    collection_id: str
    date_start: str
    """yyyy-MM-dd."""
    date_end: str
    """yyyy-MM-dd, included."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The JSON body, complete."""
    warnings: tuple[str, ...] = ()
    """Sentences to log once, before the request is sent."""

    @classmethod
    def checked(
        cls,
        *,
        report_type: object,
        collection_id: object,
        date_start: object,
        date_end: object,
        granularity: object = "weekly",
        productivity_metrics: object = None,
        efficiency_metrics: object = None,
        calculation_type: object = None,
        include_ratings: object = None,
        contributor_metrics: object = None,
        identifier_fields: object = None,
        extra_body: object = None,
    ) -> ReportSpec:
        """Check a user's words and return the request they make.

        Args:
            report_type: ``team`` (a row a team, child teams included) or ``contributor`` (a row a developer).
            collection_id: the team; ``collectionId`` and ``teamRefId`` are one identifier, both are filled from it.
            date_start: first day, yyyy-MM-dd.
            date_end: last day, included.
            granularity: ``daily``, ``weekly`` or ``monthly``, in any case; ``None`` leaves it out.
            productivity_metrics: for a team report; an empty list means all metrics, ``None`` no productivity part.
            efficiency_metrics: likewise for the DORA metrics.
            calculation_type: for the efficiency part: MEAN (the vendor's default), MEDIAN, P90 or P95.
            include_ratings: for a contributor report: add the rating columns.
            contributor_metrics: for a contributor report; empty or ``None`` means all metrics.
            identifier_fields: which of ``collectionId`` and ``teamRefId`` to send; ``None`` takes those that the
                documents show (both for teams, ``collectionId`` for contributors).
            extra_body: merged into the finished body without any check.

        Raises:
            SEIUsageError: something cannot work; ``field`` names the argument.
        """
        kind = checked_choice(report_type, REPORT_TYPES, "report_type")
        start, end = checked_period(date_start, date_end)
        collection = _collection_id(collection_id)
        fields = _identifiers(identifier_fields) or _DOCUMENTED_IDENTIFIERS[kind]
        body: dict[str, Any] = {}
        if "collectionId" in fields:
            body["collectionId"] = collection
        body |= {"dateStart": start, "dateEnd": end}
        if "teamRefId" in fields:
            body["teamRefId"] = _team_ref_id(collection)
        if granularity not in (None, ""):
            checked_choice(granularity, GRANULARITIES, "granularity")
            body["granularity"] = str(granularity).strip()  # the documents show both cases
        parts = {
            "productivity_metrics": productivity_metrics,
            "efficiency_metrics": efficiency_metrics,
            "calculation_type": calculation_type,
            "include_ratings": include_ratings,
            "contributor_metrics": contributor_metrics,
        }
        body |= _team_part(parts) if kind == "team" else _contributor_part(parts)
        return cls(
            report_type=kind,
            collection_id=collection,
            date_start=start,
            date_end=end,
            body=merged(body, checked_mapping(extra_body, "extra_body")),
            warnings=_unknown_metrics(parts),
        )


def report_request(spec: ReportSpec) -> HttpRequest:
    """Return the request for a report. ``format=csv`` is the only format that the vendor has."""
    return HttpRequest(
        method="POST",
        path=REPORT_PATH,
        query=(("format", "csv"),),
        body=spec.body,
        api=Api.LEGACY,
        identifiers_required=False,
        account_parameter="accountId",
        accept="text/csv, */*;q=0.5",
        timeout=_REPORT_SECONDS,
    )


def _team_part(given: Mapping[str, object]) -> dict[str, Any]:
    _refuse(given, ("include_ratings", "contributor_metrics"), "team")
    part: dict[str, Any] = {}
    if given["productivity_metrics"] is not None:
        part["productivity"] = {"metrics": list(checked_names(given["productivity_metrics"], "productivity_metrics"))}
    if given["efficiency_metrics"] is not None:
        part["efficiency"] = {"metrics": list(checked_names(given["efficiency_metrics"], "efficiency_metrics"))}
        if given["calculation_type"] not in (None, ""):
            part["efficiency"]["calculationType"] = checked_choice(
                given["calculation_type"], CALCULATION_TYPES, "calculation_type"
            )
    elif given["calculation_type"] not in (None, ""):
        msg = "calculation_type belongs to efficiency_metrics, which is not given"
        raise SEIUsageError(msg, field="calculation_type")
    if not part:
        # The vendor: a category whose metrics are empty or absent exports all of its metrics.
        part = {"productivity": {"metrics": []}, "efficiency": {"metrics": []}}
    return part


def _contributor_part(given: Mapping[str, object]) -> dict[str, Any]:
    _refuse(given, ("productivity_metrics", "efficiency_metrics", "calculation_type"), "contributor")
    part: dict[str, Any] = {}
    if given["include_ratings"] not in (None, ""):
        part["includeRatings"] = _boolean(given["include_ratings"], "include_ratings")
    part["productivityContributors"] = {
        "metrics": list(checked_names(given["contributor_metrics"], "contributor_metrics"))
    }
    return part


def _unknown_metrics(given: Mapping[str, object]) -> tuple[str, ...]:
    warnings: list[str] = []
    for field_name, part in _METRIC_PARTS.items():
        names = checked_names(given[field_name], field_name)
        warnings += undocumented(names, metric_names(part), field_name, "legacy reports")
    return tuple(warnings)


def _refuse(given: Mapping[str, object], names: tuple[str, ...], kind: str) -> None:
    for name in names:
        if given[name] not in (None, ""):
            msg = f"{name} does not go with a {kind} report"
            raise SEIUsageError(msg, field=name)


def _boolean(value: object, field_name: str) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().casefold()  # a rendered template is text
    if word not in ("true", "false"):
        msg = f"{field_name} must be true or false, not {value!r}"
        raise SEIUsageError(msg, field=field_name)
    return word == "true"


def _identifiers(value: object) -> tuple[str, ...]:
    names = checked_names(value, "identifier_fields")
    return tuple(checked_choice(name, _IDENTIFIER_FIELDS, "identifier_fields") for name in names)


def _collection_id(value: object) -> str:
    text = checked_text(value, "collection_id")
    if text is None:
        msg = (
            "collection_id is missing: open the team on SEI's Insights page and copy the number after"
            " collectionId= in the address"
        )
        raise SEIUsageError(msg, field="collection_id")
    return text


def _team_ref_id(collection_id: str) -> int:
    if not (collection_id.isascii() and collection_id.isdigit()) or len(collection_id) > _LONGEST_NUMBER:
        msg = (
            f"collection_id {collection_id!r} is not a number, as teamRefId must be;"
            ' identifier_fields=["collectionId"] leaves teamRefId out'
        )
        raise SEIUsageError(msg, field="collection_id")
    return int(collection_id)
