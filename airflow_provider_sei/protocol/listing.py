"""Listing exports: the documented filters, and pages in every shape that a server has been seen to answer with.

The rule of this file: a page is believed as far as its records go, and the walk over pages ends on an empty page, a
page that brings nothing new, the server's own word, or a bound - whichever comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_sei.protocol.answers import json_value
from airflow_provider_sei.protocol.checks import checked_choice, checked_date, checked_text
from airflow_provider_sei.protocol.errors import SEIUnreadableError, SEIUsageError
from airflow_provider_sei.protocol.exports import Export, read_export
from airflow_provider_sei.protocol.families import ExportFamily
from airflow_provider_sei.protocol.messages import Call, HttpRequest, HttpResponse

__all__ = ["MAX_LIMIT", "ExportPage", "PageWalk", "list_call", "list_query", "on_page", "with_plain_dates"]

MAX_LIMIT = 100
"""The vendor's own upper limit for a page."""
MAX_PAGES = 10_000
"""A bound for servers that never end: a million exports."""

_STATUSES = ("QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED")
_CHOICES = {
    "status": _STATUSES,
    "scope": ("all", "mine"),
    "sort_by": ("createdAt", "completedAt", "status"),
    "sort_order": ("asc", "desc"),
}


@dataclass(frozen=True)
class ExportPage:
    """One page of the list."""

    exports: tuple[Export, ...]
    more: bool | None
    """Whether the server says that there are further pages; ``None`` if it says nothing."""


def list_query(
    *,
    status: str | None = None,
    scope: str | None = None,
    team_id: str | int | None = None,
    created_by: str | None = None,
    date_from: object = None,
    date_to: object = None,
    limit: object = MAX_LIMIT,
    page: object = 0,
    sort_by: str | None = None,
    sort_order: str | None = None,
) -> tuple[tuple[str, str], ...]:
    """Return the query of a list call.

    Args:
        status: one of the documented statuses, in any case.
        scope: ``all`` (the server's default) or ``mine``.
        team_id: only exports of this team.
        created_by: only exports of this user id.
        date_from: only exports created on or after this day, yyyy-MM-dd, or a full ISO 8601 moment (text or datetime;
            without an offset it is in UTC).
        date_to: likewise, created before.
        limit: records a page, cut to 1 ... 100.
        page: number of the page, from 0.
        sort_by: ``createdAt`` (the server's default), ``completedAt`` or ``status``.
        sort_order: ``asc`` or ``desc`` (the server's default).

    Raises:
        SEIUsageError: a value that the documents do not know.
    """
    chosen = {
        name: _choice(value, name)
        for name, value in {"status": status, "scope": scope, "sort_by": sort_by, "sort_order": sort_order}.items()
    }
    given = {
        "status": chosen["status"],
        "scope": chosen["scope"],
        "teamId": checked_text(team_id, "team_id"),
        "createdBy": checked_text(created_by, "created_by"),
        "dateFrom": _moment(date_from, "date_from"),
        "dateTo": _moment(date_to, "date_to"),
        "limit": str(max(1, min(MAX_LIMIT, _whole(limit, "limit")))),
        "page": str(max(0, _whole(page, "page"))),
        "sortBy": chosen["sort_by"],
        "sortOrder": chosen["sort_order"],
    }
    return tuple((name, value) for name, value in given.items() if value)


def on_page(query: tuple[tuple[str, str], ...], page: int) -> tuple[tuple[str, str], ...]:
    """Return ``query`` for another page."""
    return tuple((name, str(page) if name == "page" else value) for name, value in query)


def with_plain_dates(query: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return ``query`` with its moments cut to days, for a server that takes the prose at its word."""
    return tuple((name, value[:10] if name in ("dateFrom", "dateTo") else value) for name, value in query)


def list_call(family: ExportFamily, query: tuple[tuple[str, str], ...]) -> Call[ExportPage]:
    """Return the call for one page of a family's exports."""
    what = f"list {family.name} exports"

    def parse(response: HttpResponse) -> ExportPage:
        return _read_page(json_value(response, what), family, what)

    return Call(HttpRequest(method="GET", path=family.collection_path, query=query), parse, what)


class PageWalk:
    """Decides, page by page, which exports are new and whether to ask for another page."""

    def __init__(self, limit: int) -> None:
        self.page = 0
        self._limit = limit
        self._seen: set[str] = set()

    def take(self, page: ExportPage) -> Iterator[Export]:
        """Return the exports of ``page`` that no earlier page has shown, and move on."""
        fresh = {export.export_id: export for export in page.exports if export.export_id not in self._seen}
        self._seen.update(fresh)
        short = len(page.exports) < self._limit and page.more is not True
        self.page += 1
        self.done = not fresh or page.more is False or short or self.page >= MAX_PAGES
        return iter(fresh.values())

    done = False


def _read_page(value: Any, family: ExportFamily, what: str) -> ExportPage:
    records = _records(value)
    if records is None:
        msg = f"could not {what}: the answer holds no list of exports; check the connection's base URL"
        raise SEIUnreadableError(msg)
    exports = []
    for record in records:
        try:
            exports.append(replace(read_export(record, family, what), summary=True))
        except SEIUnreadableError:
            continue  # a record without an id is of no use to anybody
    if records and not exports:
        msg = f"could not {what}: none of the answer's {len(records)} records has a usable exportId"
        raise SEIUnreadableError(msg)
    return ExportPage(tuple(exports), _more(value) if isinstance(value, dict) else None)


def _records(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    named = value.get("exports")
    if isinstance(named, list):
        return named
    arrays = [item for item in value.values() if isinstance(item, list)]
    # A general guide of the vendor's shows the records under another name; one array of objects is not ambiguous.
    of_objects = [array for array in arrays if all(isinstance(item, dict) for item in array)]
    if len(of_objects) == 1:
        return of_objects[0]
    with_ids = [array for array in of_objects if array and all("exportId" in item for item in array)]
    return with_ids[0] if len(with_ids) == 1 else None


def _more(value: Mapping[str, Any]) -> bool | None:
    for name, key in (("pagination", "hasMore"), ("_metadata", "has_next")):
        about = value.get(name)
        if not isinstance(about, dict):
            continue
        if isinstance(about.get(key), bool):
            return bool(about[key])
        page, pages = about.get("page"), about.get("totalPages")
        if isinstance(page, int) and isinstance(pages, int):
            return page + 1 < pages
    return None


def _choice(value: str | None, name: str) -> str | None:
    return None if value is None or value == "" else checked_choice(value, _CHOICES[name], name)


def _whole(value: object, name: str) -> int:
    text = checked_text(value, name) or ""
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        msg = f"{name} must be a whole number, not {value!r}"
        raise SEIUsageError(msg, field=name)
    return int(text)


def _moment(value: object, name: str) -> str | None:
    # The prose speaks of dates, the OpenAPI document of date-times: midnight UTC is both.
    if value is None or value == "":
        return None
    moment = value
    if isinstance(value, str) and "T" in value:
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            msg = f"{name} {value!r} is neither a day written yyyy-MM-dd nor a moment written 2024-01-31T12:00:00Z"
            raise SEIUsageError(msg, field=name) from None
    if isinstance(moment, datetime):
        in_utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return f"{in_utc:%Y-%m-%dT%H:%M:%SZ}"
    return f"{checked_date(value, name)}T00:00:00Z"
