"""Listing exports: the documented filters, and pages in every shape that the documents show."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from airflow_provider_sei.exceptions import SEIArgumentError, SEIUnexpectedResponseError
from airflow_provider_sei.protocol.arguments import is_missing, parse_choice, parse_date, parse_text
from airflow_provider_sei.protocol.exports import Export, ExportStatus, read_export
from airflow_provider_sei.protocol.families import ExportFamily
from airflow_provider_sei.protocol.http import Call, HttpRequest, json_value, unusable

T = TypeVar("T")
Query = tuple[tuple[str, str], ...]

MAX_LIMIT = 100
"""The vendor's upper limit of exports per page."""
_MAX_PAGES = 10_000  # for servers whose list never ends: a million exports
_CHOICES = {
    "status": [status.name for status in ExportStatus if status is not ExportStatus.UNKNOWN],
    "scope": ["all", "mine"],
    "sort_by": ["createdAt", "completedAt", "status"],
    "sort_order": ["asc", "desc"],
}


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; ``more`` says whether the server has more pages, ``None`` if it does not say."""

    items: tuple[T, ...]
    more: bool | None


class Pager(Generic[T]):
    """Decides which items of a page are new, and whether to request another page.

    It ends with an empty page, one without new items, the server's word, one that is not full (where the server says
    nothing), or after ``max_pages``. A list without end is an error if ``must_end`` ("could not ...") is given.
    """

    def __init__(
        self, limit: int, key: Callable[[T], Hashable], *, max_pages: int = _MAX_PAGES, must_end: str | None = None
    ) -> None:
        self.page, self.done = 0, False
        self._limit, self._key, self._max_pages, self._must_end = limit, key, max_pages, must_end
        self._seen: set[Hashable] = set()

    def take(self, page: Page[T]) -> list[T]:
        """Return the items of ``page`` that no earlier page had, and advance."""
        fresh = {key: item for item in page.items if (key := self._key(item)) not in self._seen}
        self._seen.update(fresh)
        self.page += 1
        last = page.more is False or not page.items or (page.more is None and len(page.items) < self._limit)
        self.done = last or not fresh or self.page >= self._max_pages
        if self._must_end and self.done and not last and (page.more or self.page >= self._max_pages):
            reason = "repeats a page" if not fresh else f"goes on after {self._max_pages} pages"
            msg = f"could not {self._must_end} to the end: the server's list {reason}; request one organisation tree"
            raise SEIUnexpectedResponseError(msg)
        return list(fresh.values())


def export_pager(limit: int = MAX_LIMIT) -> Pager[Export]:
    """Return the pager for a family's exports."""
    return Pager(limit, lambda export: export.export_id)


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
) -> Query:
    """Return the query of a list call.

    :param status: one of the documented statuses, in any case.
    :param scope: ``all`` (the server's default) or ``mine``.
    :param team_id: only exports of this team.
    :param created_by: only exports of this user id.
    :param date_from: only exports created on or after this day, yyyy-MM-dd, or ISO 8601 date and time (text or
        datetime; without an offset, in UTC).
    :param date_to: likewise, created before.
    :param limit: exports per page, reduced to 1 ... 100.
    :param page: number of the page, from 0.
    :param sort_by: ``createdAt`` (the server's default), ``completedAt`` or ``status``.
    :param sort_order: ``asc`` or ``desc`` (the server's default).
    :raises SEIArgumentError: a value is not documented.
    """
    choices = {"status": status, "scope": scope, "sort_by": sort_by, "sort_order": sort_order}
    chosen = {name: parse_choice(each, _CHOICES[name], name) for name, each in choices.items() if not is_missing(each)}
    given = {
        "status": chosen.get("status"),
        "scope": chosen.get("scope"),
        "teamId": parse_text(team_id, "team_id"),
        "createdBy": parse_text(created_by, "created_by"),
        "dateFrom": _parse_time(date_from, "date_from"),
        "dateTo": _parse_time(date_to, "date_to"),
        "limit": _parse_whole(limit, "limit", least=1, most=MAX_LIMIT),
        "page": _parse_whole(page, "page", least=0, most=10**9),
        "sortBy": chosen.get("sort_by"),
        "sortOrder": chosen.get("sort_order"),
    }
    return tuple((name, value) for name, value in given.items() if value)


def on_page(query: Query, page: int) -> Query:
    """Return ``query`` for another page."""
    return tuple((name, str(page) if name == "page" else value) for name, value in query)


def with_plain_dates(query: Query) -> Query:
    """Return ``query`` with dates in place of dates and times, for a server that follows the prose."""
    return tuple((name, value[:10] if name in ("dateFrom", "dateTo") else value) for name, value in query)


def list_call(family: ExportFamily, query: Query) -> Call[Page[Export]]:
    """Return the call for one page of a family's exports."""
    description = f"list {family.name} exports"
    request = HttpRequest(method="GET", path=family.collection_path, query=query)
    return Call(
        request, lambda response: _read_page(json_value(response, description), family, description), description
    )


def _read_page(value: Any, family: ExportFamily, description: str) -> Page[Export]:
    records = find_records(value, "exports")
    if records is None and isinstance(value, dict):
        # A guide of the vendor shows the records under another name; a single array of objects is unambiguous.
        lists = [each for each in value.values() if isinstance(each, list)]
        arrays = [each for each in lists if all(isinstance(item, dict) for item in each)]
        if len(arrays) > 1:
            arrays = [array for array in arrays if array and all("exportId" in each for each in array)]
        records = arrays[0] if len(arrays) == 1 else None
    if records is None:
        raise unusable(value, description, "the response has no list of exports")
    exports = []
    for record in records:
        with suppress(SEIUnexpectedResponseError):  # a record without an id
            exports.append(replace(read_export(record, family, description), summary=True))
    if records and not exports:
        raise unusable(value, description, f"none of the response's {len(records)} records has a usable exportId")
    more = None
    for name, flag in (("_metadata", "has_next"), ("pagination", "hasMore")):
        if isinstance(value, dict) and isinstance(about := value.get(name), dict):
            found = more_pages(about, flag, about.get("page"))
            more = more if found is None else found
    return Page(tuple(exports), more)


def find_records(value: Any, *names: str) -> list[Any] | None:
    """Return the list that a response is, or has under one of ``names``."""
    found = [value.get(name) for name in names] if isinstance(value, dict) else [value]
    return next((each for each in found if isinstance(each, list)), None)


def more_pages(about: Mapping[str, Any], flag: str, page: object) -> bool | None:
    """Return whether a response says that pages follow ``page``; ``None`` if it does not say."""
    if isinstance(about.get(flag), bool):
        return bool(about[flag])
    pages = about.get("totalPages")
    return page + 1 < pages if isinstance(page, int) and isinstance(pages, int) else None


def _parse_whole(value: object, field: str, *, least: int, most: int) -> str:
    text = parse_text(value, field) or ""
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        msg = f"{field} must be a whole number, not {value!r}"
        raise SEIArgumentError(msg, field=field)
    return str(max(least, min(most, int(text))))


def _parse_time(value: object, field: str) -> str | None:
    # The prose speaks of dates, the OpenAPI document of dates and times: midnight UTC is both.
    if is_missing(value):
        return None
    try:
        at = datetime.fromisoformat(value.strip()) if isinstance(value, str) and "T" in value else value
    except ValueError:
        msg = f"{field} {value!r} is neither a day written yyyy-MM-dd nor a time written 2024-01-31T12:00:00Z"
        raise SEIArgumentError(msg, field=field) from None
    if isinstance(at, datetime):
        in_utc = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        return f"{in_utc:%Y-%m-%dT%H:%M:%SZ}"
    return f"{parse_date(value, field)}T00:00:00Z"
