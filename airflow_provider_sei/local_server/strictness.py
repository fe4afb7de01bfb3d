"""What the server refuses before it works: keys, rates and query parameters, as the vendor's documents have them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from airflow_provider_sei.local_server.calls import RefusedCallError, Route
from airflow_provider_sei.local_server.organisation import COLLEAGUE, OWNER, User
from airflow_provider_sei.local_server.settings import AUTHORIZATION, X_API_KEY, ServerSettings

__all__ = ["RateLimiter", "authenticate", "check_query", "find_key"]

_MINUTE = 60.0
_IDENTIFIERS = ("projectIdentifier", "orgIdentifier")
_STATUSES = ("QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED")
_MAX_LIMIT = 100

# Query parameters per call: required ones, optional ones.
_PARAMETERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "create": (_IDENTIFIERS, ()),
    "status": (_IDENTIFIERS, ()),
    "download": (_IDENTIFIERS, ()),
    "list": (
        _IDENTIFIERS,
        ("status", "scope", "teamId", "createdBy", "dateFrom", "dateTo", "limit", "page", "sortBy", "sortOrder"),
    ),
    "legacy": ((), ("format", *_IDENTIFIERS, "accountId")),
    "search_teams": ((), (*_IDENTIFIERS, "page", "pageSize")),
    "list_teams": (("account",), (*_IDENTIFIERS, "leafTeamsOnly", "page", "pageSize")),
    "org_tree_teams": ((), _IDENTIFIERS),
    "search_org_trees": (_IDENTIFIERS, ("pageIndex", "pageSize")),
    "list_org_trees": (
        ("accountIdentifier", "projectIdentifier"),
        ("orgIdentifier", "orgIdentifer", "pageIndex", "pageSize"),
    ),
}
_ACCOUNTS = ("account", "accountIdentifier")


def find_key(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the keys that the headers carry, by the name of the header as the documents write it."""
    keys: dict[str, str] = {}
    for name, value in headers.items():
        if name.casefold() == AUTHORIZATION:
            scheme, _, key = value.partition(" ")
            if scheme.casefold() == "apikey":
                keys[AUTHORIZATION] = key.strip()
        elif name.casefold() == "sei_api_key":
            keys["SEI_API_KEY"] = value
        elif name.casefold() == X_API_KEY:
            keys[X_API_KEY] = value
    return keys


def authenticate(settings: ServerSettings, route: Route, headers: Mapping[str, str]) -> tuple[User, str, str]:
    """Return who calls, by which header and with which key.

    Raises:
        RefusedCallError: 401 for no key, one in a header that this call does not take, or an unknown one;
            403 for a key that may not read.
    """
    accepted = settings.legacy_headers if route.operation == "legacy" else settings.v2_headers
    keys = find_key(headers)
    header = next((name for name in accepted if name in keys), None)
    if header is None:
        raise RefusedCallError(401, f"Missing API key: this call takes {' or '.join(accepted)}")
    key = keys[header]
    if key == settings.ingestion_key:
        raise RefusedCallError(403, "The API key has the Ingestion role and may not read insights")
    users = {settings.api_key: OWNER, settings.colleague_key: COLLEAGUE}
    if key not in users:
        raise RefusedCallError(401, "Invalid API key")
    return users[key], header, key


class RateLimiter:
    """At most so many calls within any minute of the server's clock, per key and kind of header."""

    def __init__(self, settings: ServerSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._calls: dict[tuple[str, str], deque[float]] = {}

    def take(self, header: str, key: str) -> None:
        """Count one call.

        Raises:
            RefusedCallError: 429, without Retry-After as the vendor documents. A refused call does not count.
        """
        by_x_api_key = header == X_API_KEY
        settings = self._settings
        limit = settings.x_api_key_limit_per_minute if by_x_api_key else settings.rate_limit_per_minute
        if limit is None:
            return
        now = self._clock()
        calls = self._calls.setdefault((header, key), deque())
        while calls and now - calls[0] >= _MINUTE:
            calls.popleft()
        if len(calls) >= limit:
            raise RefusedCallError(429, "Too many requests: rate limit exceeded")
        calls.append(now)


def check_query(settings: ServerSettings, route: Route, query: Sequence[tuple[str, str]]) -> None:
    """Check names, number and values of the query parameters.

    Raises:
        RefusedCallError: 400 for a missing, repeated, unknown or malformed one; 403 for a project or organisation that
            the key does not belong to.
    """
    required, optional = _PARAMETERS[route.operation]
    if not settings.require_account:
        required, optional = tuple(name for name in required if name not in _ACCOUNTS), (*optional, *_ACCOUNTS)
    _check_names(query, required, optional)
    values = dict(query)
    for name, expected in zip(_IDENTIFIERS, (settings.project, settings.org), strict=True):
        if values.get(name, expected) != expected:
            raise RefusedCallError(403, f"The API key gives no access to {name} '{values[name]}'")
    for name, value in values.items():
        if name in _CHECKS and not _CHECKS[name](value):
            raise RefusedCallError(400, f"Invalid value '{value}' for parameter '{name}'")


def _check_names(query: Sequence[tuple[str, str]], required: Sequence[str], optional: Sequence[str]) -> None:
    given = {name for name, value in query if value.strip()}
    for name in required:
        if name not in given:
            raise RefusedCallError(400, f"Required request parameter '{name}' is not present")
    for name, count in Counter(name for name, _ in query).items():
        if count > 1:
            raise RefusedCallError(400, f"Request parameter '{name}' is given {count} times")
        if name not in required and name not in optional:
            raise RefusedCallError(400, f"Unknown request parameter '{name}'")


def _is_number(low: int, high: int | None = None) -> Callable[[str], bool]:
    return lambda value: value.isascii() and value.isdigit() and low <= int(value) <= (high or int(value))


def _is_date_time(value: str) -> bool:
    """Whether ``value`` is an ISO 8601 date-time with a zone, which is what OpenAPI's ``date-time`` means."""
    try:
        return "T" in value and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_CHECKS: dict[str, Callable[[str], bool]] = {
    "status": _STATUSES.__contains__,
    "scope": ("all", "mine").__contains__,
    "dateFrom": _is_date_time,
    "dateTo": _is_date_time,
    "limit": _is_number(1, _MAX_LIMIT),
    "page": _is_number(0),
    "pageIndex": _is_number(0),
    "pageSize": _is_number(1, 1000),
    "sortBy": ("createdAt", "completedAt", "status").__contains__,
    "sortOrder": ("asc", "desc").__contains__,
    "leafTeamsOnly": ("true", "false").__contains__,
    "format": "csv".__eq__,
}
