"""What the server rejects: keys, rates, query parameters and bodies, as the vendor's documents describe them."""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from airflow_provider_sei.local_server.datasets import LEGACY_SECTIONS
from airflow_provider_sei.local_server.organisation import COLLEAGUE, OWNER, User
from airflow_provider_sei.local_server.routing import ApiError, Call, Route
from airflow_provider_sei.local_server.settings import AUTHORIZATION, SEI_API_KEY, X_API_KEY, ServerSettings
from airflow_provider_sei.protocol.families import ExportFamily

_WINDOW = 60.0  # seconds
_PLAIN_HEADERS = {header.casefold(): header for header in (SEI_API_KEY, X_API_KEY)}
_IDENTIFIERS = ("projectIdentifier", "orgIdentifier")
_ACCOUNTS = ("account", "accountIdentifier")
_PAGE = ("pageIndex", "pageSize")
_PEOPLE = ("searchKey", "searchValue", "sortKey", "sortOrder", "developerRefIds", "emails")
# Query parameters per call: required ones, optional ones.
_PARAMETERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(("create", "status", "download"), (_IDENTIFIERS, ())),
    "list": (
        _IDENTIFIERS,
        ("status", "scope", "teamId", "createdBy", "dateFrom", "dateTo", "limit", "page", "sortBy", "sortOrder"),
    ),
    "legacy": ((), ("format", *_IDENTIFIERS, "accountId")),
    "search_teams": ((), (*_IDENTIFIERS, "page", "pageSize")),
    "list_teams": (("account",), (*_IDENTIFIERS, "leafTeamsOnly", "page", "pageSize")),
    "org_tree_teams": ((), _IDENTIFIERS),
    "search_org_trees": (_IDENTIFIERS, _PAGE),
    **dict.fromkeys(("developers", "identities"), ((), (*_IDENTIFIERS, *_PEOPLE, *_PAGE))),
    "list_org_trees": (("accountIdentifier", "projectIdentifier"), ("orgIdentifier", "orgIdentifer", *_PAGE)),
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_YEARS = range(1970, 2201)  # beyond these there is no data, and calendar arithmetic overflows
# metricColumns and sprintIds: in the OpenAPI document's prose, absent from its schemas.
_CREATE_FIELDS = {"scope", "dateRange", "metricGroups", "metrics", "options", "metricColumns", "sprintIds"}
_SCOPE_TEXTS = ("orgTreeName", "teamId", "managerEmailId", "orgIdentifier", "projectIdentifier")
_SCOPE_FIELDS = {*_SCOPE_TEXTS, "developerIds", "developerAttributes"}
_LEVEL_KEYS = {"aggregationLevel", "metricLevel"}
_LEGACY_FIELDS = {
    *("collectionId", "teamRefId", "dateStart", "dateEnd", "granularity", "name", "description"),
    *("includeChildrens", "includeRatings", "sprintInsights", *LEGACY_SECTIONS),
}
_CALCULATIONS = ("mean", "median", "p90", "p95")


def find_keys(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the API keys in the headers, by the documented name of the header."""
    keys: dict[str, str] = {}
    for name, value in headers.items():
        scheme, _, key = value.partition(" ")
        if name.casefold() in _PLAIN_HEADERS:
            keys[_PLAIN_HEADERS[name.casefold()]] = value
        elif name.casefold() == AUTHORIZATION and scheme.casefold() == "apikey":
            keys[AUTHORIZATION] = key.strip()
    return keys


def authenticate(settings: ServerSettings, route: Route, headers: Mapping[str, str]) -> tuple[User, str, str]:
    """Return the user, the header and the key of a request, or raise 401 or 403."""
    accepted = settings.legacy_headers if route.operation == "legacy" else settings.v2_headers
    keys = find_keys(headers)
    if keys.get(X_API_KEY) == settings.service_account_token:
        if headers.get("Harness-Account") != settings.account:
            raise ApiError(401, "The token needs its account in the header Harness-Account")
        return OWNER, X_API_KEY, keys[X_API_KEY]
    header = next((name for name in accepted if name in keys), None)
    if header is None:
        raise ApiError(401, f"Missing API key: this call takes {' or '.join(accepted)}")
    key = keys[header]
    if key == settings.ingestion_key:
        raise ApiError(403, "The API key has the AIDI Ingestion role and may not read insights")
    users = {settings.api_key: OWNER, settings.colleague_key: COLLEAGUE}
    if key not in users:
        raise ApiError(401, "Invalid API key")
    return users[key], header, key


class RateLimiter:
    """Limits the calls in any 60-second window of the server's clock, per key and kind of header."""

    def __init__(self, settings: ServerSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._calls: dict[tuple[str, str], deque[float]] = {}

    def take(self, header: str, key: str) -> None:
        """Count one call, or raise 429, as documented without Retry-After. A rejected call does not count."""
        settings = self._settings
        limit = settings.x_api_key_limit_per_minute if header == X_API_KEY else settings.rate_limit_per_minute
        if limit is None:
            return
        now = self._clock()
        calls = self._calls.setdefault((header, key), deque())
        while calls and now - calls[0] >= _WINDOW:
            calls.popleft()
        if len(calls) >= limit:
            raise ApiError(429, "Too many requests: rate limit exceeded")
        calls.append(now)


def check_query(settings: ServerSettings, route: Route, query: Sequence[tuple[str, str]]) -> None:
    """Raise 400 for a missing, repeated, unknown or malformed parameter, 403 for another project or organisation."""
    required, optional = _PARAMETERS[route.operation]
    if not settings.require_account:
        required, optional = tuple(name for name in required if name not in _ACCOUNTS), (*optional, *_ACCOUNTS)
    given = {name for name, value in query if value.strip()}
    for name in required:
        _require(name in given, f"Required request parameter '{name}' is not present")
    for name, count in Counter(name for name, _ in query).items():
        _require(count == 1, f"Request parameter '{name}' is given {count} times")
        _require(name in required or name in optional, f"Unknown request parameter '{name}'")
    values = dict(query)
    for name, expected in zip(_IDENTIFIERS, (settings.project, settings.org), strict=True):
        if values.get(name, expected) != expected:
            raise ApiError(403, f"The API key gives no access to {name} '{values[name]}'")
    for name, value in values.items():
        _require(name not in _CHECKS or _CHECKS[name](value), f"Invalid value '{value}' for parameter '{name}'")


def _is_number(low: int, high: int | None = None) -> Callable[[str], bool]:
    return lambda value: value.isascii() and value.isdigit() and low <= int(value) <= (high or int(value))


def _is_date_time(value: str) -> bool:
    try:  # OpenAPI's date-time has a zone
        return "T" in value and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_CHECKS: dict[str, Callable[[str], bool]] = {
    "status": ("QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED").__contains__,
    "scope": ("all", "mine").__contains__,
    **dict.fromkeys(("dateFrom", "dateTo"), _is_date_time),
    "limit": _is_number(1, 100),
    **dict.fromkeys(("page", "pageIndex"), _is_number(0)),
    "pageSize": _is_number(1, 1000),
    "sortBy": ("createdAt", "completedAt", "status").__contains__,
    "sortOrder": ("asc", "desc").__contains__,
    "leafTeamsOnly": ("true", "false").__contains__,
    "format": "csv".__eq__,
}


def json_object(call: Call, *, required: bool = True) -> dict[str, Any]:
    """Return the body of ``call``; without ``required``, an absent one is an empty object."""
    if not call.body and not required:
        return {}
    content_type = {name.casefold(): value for name, value in call.headers.items()}.get("content-type", "")
    is_json = content_type.partition(";")[0].strip().casefold() == "application/json"
    _require(is_json, "Content-Type must be application/json")
    try:
        body = json.loads(call.body)
    except ValueError:
        body = None
    _require(isinstance(body, dict), "The request body must be a JSON object")
    return dict(body)


def check_create(settings: ServerSettings, family: ExportFamily, body: dict[str, Any]) -> None:
    """Raise 400 for the body of a create request, with a message that names the invalid field."""
    issue_statuses = {"issueStatuses"} if family.takes_issue_statuses else set()
    _check_fields(settings, "request", body, _CREATE_FIELDS | issue_statuses)
    dates: Any = body.get("dateRange")
    _require(isinstance(dates, dict) and set(dates) == {"start", "end"}, "dateRange must have start and end")
    _check_dates(dates["start"], dates["end"])
    _check_scope(settings, family, body.get("scope"))
    for name in {"metricGroups", "metrics", "metricColumns", "sprintIds"} | issue_statuses:
        _require(_is_text_list(body.get(name, [])), f"{name} must be a list of strings")
    if family.needs_metrics:
        _require(body.get("metricGroups") or body.get("metrics"), "metricGroups is required")
    both = body.get("metricGroups") and body.get("metrics")
    _require(not (family.metrics_or_groups and both), "metricGroups and metrics are mutually exclusive")
    if settings.strict_metrics:
        _check_names("metricGroups", body.get("metricGroups", ()), family.metric_groups)
        _check_names("metrics", body.get("metrics", ()), family.metrics)
    _check_options(settings, family, body.get("options", {}))


def _check_scope(settings: ServerSettings, family: ExportFamily, scope: Any) -> None:
    _require(isinstance(scope, dict), "scope is required")
    _check_fields(settings, "scope", scope, _SCOPE_FIELDS)
    for name in _SCOPE_TEXTS:
        _require(isinstance(scope.get(name, "x"), str) and scope.get(name, "x").strip(), f"scope.{name} must be a text")
    _require({"teamId", "orgTreeName", "managerEmailId"} & set(scope), "scope needs teamId or orgTreeName")
    both = "teamId" in scope and "orgTreeName" in scope
    _require(family.team_and_org_tree or not both, "scope takes either teamId or orgTreeName, not both")
    if family.identifiers_in_scope and "orgTreeName" in scope:
        _require("orgIdentifier" in scope, "scope.orgTreeName needs scope.orgIdentifier")


def _check_options(settings: ServerSettings, family: ExportFamily, options: Any) -> None:
    _require(isinstance(options, dict), "options must be an object")
    documented = {option.key: option for option in family.options}
    if level := next((option for option in family.options if option.key in _LEVEL_KEYS), None):
        documented |= dict.fromkeys(_LEVEL_KEYS, level)  # both keys are documented for one level
    _check_fields(settings, "options", options, set(documented))
    for key, value in options.items():
        if option := documented.get(key):
            texts = value if option.many else [value]
            known = isinstance(texts, list) and all(isinstance(text, str) and option.documented(text) for text in texts)
            _require(known, f"options.{key} '{value}' is not one of {', '.join(option.values)}")
            _require("ALL" not in texts or len(texts) == 1, f"options.{key} takes ALL alone")


def check_legacy(settings: ServerSettings, body: dict[str, Any]) -> None:
    """Raise 400 for the body of a legacy report request, with a message that names the invalid field."""
    _check_fields(settings, "request", body, _LEGACY_FIELDS)
    collection, team = body.get("collectionId"), body.get("teamRefId")
    _require(collection is None or isinstance(collection, str), "collectionId must be a string")
    _require(team is None or (isinstance(team, int) and not isinstance(team, bool)), "teamRefId must be a number")
    _require(collection is not None or team is not None, "collectionId is required")
    _require(None in (collection, team) or collection == str(team), "collectionId and teamRefId must be the same")
    _check_dates(body.get("dateStart"), body.get("dateEnd"))
    _require(isinstance(body.get("granularity", "weekly"), str), "granularity must be a string")
    _require(isinstance(body.get("includeRatings", False), bool), "includeRatings must be true or false")
    _require(any(name in body for name in LEGACY_SECTIONS), f"one of {', '.join(LEGACY_SECTIONS)} is required")
    for name, titles in LEGACY_SECTIONS.items():
        section = body.get(name, {})
        _require(isinstance(section, dict), f"{name} must be an object")
        _require(_is_text_list(section.get("metrics", [])), f"{name}.metrics must be a list of strings")
        if settings.strict_metrics:
            _check_names(f"{name}.metrics", section.get("metrics", ()), titles)
    calculation = body.get("efficiency", {}).get("calculationType", "MEAN")
    _require(str(calculation).casefold() in _CALCULATIONS, f"efficiency.calculationType '{calculation}' is not known")


def _check_dates(start: Any, end: Any) -> None:
    for value in (start, end):
        try:
            valid = isinstance(value, str) and _DATE.fullmatch(value) and date.fromisoformat(value).year in _YEARS
        except ValueError:
            valid = False
        _require(valid, "Invalid date: dates must be given as yyyy-MM-dd")
    _require(start <= end, "Invalid date range: start date must be before end date")


def _check_fields(settings: ServerSettings, where: str, value: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(value) - known)
    _require(not unknown or not settings.strict_body, f"Unrecognized field '{', '.join(unknown)}' in {where}")


def _check_names(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    folded = {name.casefold() for name in known}
    unknown = [name for name in names if name.casefold() not in folded]
    _require(not unknown, f"Unknown {where}: {', '.join(unknown)}")


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ApiError(400, message)
