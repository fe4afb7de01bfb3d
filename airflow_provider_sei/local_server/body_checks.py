"""What the server refuses in the bodies of create and legacy requests, as the vendor's documents describe them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from airflow_provider_sei.local_server.calls import Call, RefusedCallError
from airflow_provider_sei.local_server.columns import LEGACY_CONTRIBUTOR, LEGACY_EFFICIENCY, LEGACY_PRODUCTIVITY
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.protocol.families import ExportFamily

__all__ = ["check_create", "check_legacy", "json_object"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_YEARS = range(1970, 2201)  # beyond these nothing has been exported, and calendars run out of dates
# metricColumns and sprintIds: named by the OpenAPI document's texts, absent from its schemas.
_CREATE_FIELDS = {"scope", "dateRange", "metricGroups", "metrics", "options", "metricColumns", "sprintIds"}
_SCOPE_FIELDS = {
    *("orgTreeName", "teamId", "orgIdentifier", "projectIdentifier"),
    *("managerEmailId", "developerIds", "developerAttributes"),
}
_LEVEL_KEYS = {"aggregationLevel", "metricLevel"}
_LEGACY_FIELDS = {
    *("collectionId", "teamRefId", "dateStart", "dateEnd", "granularity", "name", "description"),
    *("includeChildrens", "includeRatings", "productivity", "efficiency", "productivityContributors", "sprintInsights"),
}
_LEGACY_METRICS: dict[str, Mapping[str, str]] = {
    "productivity": LEGACY_PRODUCTIVITY,
    "efficiency": LEGACY_EFFICIENCY,
    "productivityContributors": LEGACY_CONTRIBUTOR,
}
_GRANULARITIES = {"daily", "weekly", "monthly", "quarterly"}
_CALCULATIONS = {"mean", "median", "p90", "p95"}


def json_object(call: Call, *, required: bool = True) -> dict[str, Any]:
    """Return the body of ``call`` as a JSON object; an absent one is an empty object unless ``required``."""
    if not call.body and not required:
        return {}
    content_type = next((value for name, value in call.headers.items() if name.casefold() == "content-type"), "")
    _demand(
        content_type.partition(";")[0].strip().casefold() == "application/json", "Content-Type must be application/json"
    )
    try:
        body = json.loads(call.body)
    except ValueError:
        body = None
    _demand(isinstance(body, dict), "The request body must be a JSON object")
    return dict(body)


def check_create(settings: ServerSettings, family: ExportFamily, body: dict[str, Any]) -> None:
    """Check the body of a create request.

    Raises:
        RefusedCallError: 400; the message names the field.
    """
    issue_statuses = {"issueStatuses"} if family.takes_issue_statuses else set()
    _known_fields(settings, "request", body, _CREATE_FIELDS | issue_statuses)
    dates: Any = body.get("dateRange")
    _demand(isinstance(dates, dict) and set(dates) == {"start", "end"}, "dateRange must have start and end")
    _check_dates(dates["start"], dates["end"])
    _check_scope(settings, family, body.get("scope"))
    for name in {"metricGroups", "metrics", "metricColumns", "sprintIds"} | issue_statuses:
        _demand(_is_text_list(body.get(name, [])), f"{name} must be a list of strings")
    if family.needs_metrics:
        _demand(bool(body.get("metricGroups") or body.get("metrics")), "metricGroups is required")
    if settings.strict_metrics:
        _only_known("metricGroups", body.get("metricGroups", ()), family.metric_groups)
        _only_known("metrics", body.get("metrics", ()), family.metrics)
    _check_options(settings, family, body.get("options", {}))


def _check_scope(settings: ServerSettings, family: ExportFamily, scope: Any) -> None:
    _demand(isinstance(scope, dict), "scope is required")
    _known_fields(settings, "scope", scope, _SCOPE_FIELDS)
    for name in ("orgTreeName", "teamId", "orgIdentifier", "projectIdentifier"):
        _demand(isinstance(scope.get(name, "x"), str) and scope.get(name, "x").strip(), f"scope.{name} must be a text")
    _demand("teamId" in scope or "orgTreeName" in scope, "scope needs teamId or orgTreeName")
    if not family.team_and_org_tree:
        _demand(
            not ("teamId" in scope and "orgTreeName" in scope), "scope takes either teamId or orgTreeName, not both"
        )
    if family.identifiers_in_scope and "orgTreeName" in scope:
        _demand("orgIdentifier" in scope, "scope.orgTreeName needs scope.orgIdentifier")


def _check_options(settings: ServerSettings, family: ExportFamily, options: Any) -> None:
    _demand(isinstance(options, dict), "options must be an object")
    documented = {option.key: option for option in family.options}
    if _LEVEL_KEYS & set(documented):
        documented |= {key: option for key in _LEVEL_KEYS for option in family.options if option.key in _LEVEL_KEYS}
    _known_fields(settings, "options", options, set(documented))
    for key, value in options.items():
        if key in documented:
            known = isinstance(value, str) and documented[key].documented(value) is not None
            _demand(known, f"options.{key} '{value}' is not one of {', '.join(documented[key].values)}")


def check_legacy(settings: ServerSettings, body: dict[str, Any]) -> None:
    """Check the body of a legacy report request.

    Raises:
        RefusedCallError: 400; the message names the field.
    """
    _known_fields(settings, "request", body, _LEGACY_FIELDS)
    collection, team = body.get("collectionId"), body.get("teamRefId")
    _demand(collection is None or isinstance(collection, str), "collectionId must be a string")
    _demand(team is None or (isinstance(team, int) and not isinstance(team, bool)), "teamRefId must be a number")
    _demand(collection is not None or team is not None, "collectionId is required")
    _demand(None in (collection, team) or collection == str(team), "collectionId and teamRefId must be the same")
    _check_dates(body.get("dateStart"), body.get("dateEnd"))
    granularity = body.get("granularity", "weekly")
    _demand(isinstance(granularity, str) and granularity.casefold() in _GRANULARITIES, "granularity is not known")
    _demand(isinstance(body.get("includeRatings", False), bool), "includeRatings must be true or false")
    _demand(any(name in body for name in _LEGACY_METRICS), f"one of {', '.join(_LEGACY_METRICS)} is required")
    for name, known in _LEGACY_METRICS.items():
        section = body.get(name, {})
        _demand(isinstance(section, dict), f"{name} must be an object")
        _demand(_is_text_list(section.get("metrics", [])), f"{name}.metrics must be a list of strings")
        if settings.strict_metrics:
            _only_known(f"{name}.metrics", section.get("metrics", ()), known)
    calculation = body.get("efficiency", {}).get("calculationType", "MEAN")
    _demand(str(calculation).casefold() in _CALCULATIONS, f"efficiency.calculationType '{calculation}' is not known")


def _check_dates(start: Any, end: Any) -> None:
    days = [_date(value) for value in (start, end)]
    _demand(None not in days, "Invalid date: dates must be given as yyyy-MM-dd")
    _demand(str(start) <= str(end), "Invalid date range: start date must be before end date")


def _date(value: Any) -> date | None:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) and _DATE.fullmatch(value) else None
    except ValueError:
        return None
    return day if day and day.year in _YEARS else None


def _known_fields(settings: ServerSettings, where: str, value: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(value) - known)
    _demand(not unknown or not settings.strict_body, f"Unrecognized field '{', '.join(unknown)}' in {where}")


def _only_known(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    folded = {name.casefold() for name in known}
    unknown = [name for name in names if name.casefold() not in folded]
    _demand(not unknown, f"Unknown {where}: {', '.join(unknown)}")


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _demand(condition: object, message: str) -> None:
    if not condition:
        raise RefusedCallError(400, message)
