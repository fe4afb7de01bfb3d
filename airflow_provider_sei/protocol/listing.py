"""Listing exports: the documented filters, and pages in every shape that the documents show."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from airflow_provider_sei.exceptions import SEIArgumentError, SEIUnexpectedResponseError
from airflow_provider_sei.protocol.arguments import is_missing, parse_choice, parse_date, parse_number, parse_text
from airflow_provider_sei.protocol.exports import Export, ExportStatus, read_export
from airflow_provider_sei.protocol.families import ExportFamily
from airflow_provider_sei.protocol.http import Call, HttpRequest, json_value, unusable

T = TypeVar("T")
Query = Mapping[str, str]

MAX_LIMIT = 100
"""The vendor's upper limit of exports per page."""
_LIMIT = 50  # the vendor's default
_MAX_PAGES = 10_000  # for servers whose list never ends: a million exports
_CHOICES = {
    "status": [status.name for status in ExportStatus if status is not ExportStatus.UNKNOWN],
    "scope": ["all", "mine"],
    "sort_by": ["createdAt", "completedAt", "status"],
    "sort_order": ["asc", "desc"],
}


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list, whether the server says that it has more, and what it says how many there are in total."""

    items: tuple[T, ...]
    more: bool | None
    total: object = None
    unreadable: int = 0  # records without a usable id


class Pager(Generic[T]):
    """Decides which items of a page are new, and whether to request another page.

    It ends with an empty page, where the server says so, or with a page without new items: exports are known by their
    ids, other records by their content. A short page says nothing: the server may allow fewer records per page than
    requested. Where records must be missing, that is an error.

    :param description: completes the sentence "could not ...".
    """

    def __init__(self, description: str, *, max_pages: int = _MAX_PAGES) -> None:
        self.page, self.unreadable, self.done = 0, 0, False
        self._description, self._max_pages = description, max_pages
        self._seen: set[Hashable] = set()

    def take(self, page: Page[T]) -> list[T]:
        """Return the items of ``page`` that no earlier page had, and advance."""
        by_key: dict[Hashable, T] = {getattr(item, "export_id", None) or hash(repr(item)): item for item in page.items}
        fresh = {key: item for key, item in by_key.items() if key not in self._seen}
        self._seen.update(fresh)
        self.page += 1
        self.unreadable += page.unreadable
        unread = len(self._seen) + self.unreadable < page.total if isinstance(page.total, int) else None
        more = unread if page.more is None else page.more
        last = more is False or not page.items
        self.done = last or not fresh or self.page >= self._max_pages
        if self.done and not last and (more or fresh):
            reason = f"goes on after {self._max_pages} pages" if fresh else "repeats a page"
            advice = "request one organisation tree, or use filters"
            msg = f"the server's list {reason}: could not {self._description} to the end; {advice}"
            raise SEIUnexpectedResponseError(msg)
        return list(fresh.values())


def list_query(
    *,
    status: str | None = None,
    scope: str | None = None,
    team_id: str | int | None = None,
    created_by: str | None = None,
    date_from: object = None,
    date_to: object = None,
    limit: object = _LIMIT,
    page: object = 0,
    sort_by: str | None = None,
    sort_order: str | None = None,
) -> Query:
    """Return the query of a list call; the arguments are those that ``SEIListExportsOperator`` explains.

    :raises SEIArgumentError: a value is invalid.
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
        "limit": str(
            parse_number(_LIMIT if is_missing(limit) else limit, "limit", least=1, most=MAX_LIMIT, whole=True)
        ),
        "page": str(parse_number(0 if is_missing(page) else page, "page", least=0, most=_MAX_PAGES, whole=True)),
        "sortBy": chosen.get("sort_by"),
        "sortOrder": chosen.get("sort_order"),
    }
    return {name: value for name, value in given.items() if value}


def with_plain_dates(query: Query) -> Query:
    """Return ``query`` with dates in place of dates and times, for a server that follows the prose."""
    return {name: value[:10] if name in ("dateFrom", "dateTo") else value for name, value in query.items()}


def list_call(family: ExportFamily, query: Query, page: int | None = None) -> Call[Page[Export]]:
    """Return the call for one page of a family's exports; ``page`` is its number, if not that of ``query``."""
    description = f"list {family.name} exports"
    query = query if page is None else {**query, "page": str(page)}
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
    more = total = None
    for name, flag, count in (("_metadata", "has_next", "total_count"), ("pagination", "hasMore", "total")):
        if isinstance(value, dict) and isinstance(about := value.get(name), dict):
            found = more_pages(about, flag, about.get("page"))
            more, total = more if found is None else found, about.get(count, total)
    return Page(tuple(exports), more, total, len(records) - len(exports))


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
