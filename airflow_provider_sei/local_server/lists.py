"""Lists: filtering, sorting and paging of exports, pages of teams and org trees, and lists that lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_sei.local_server.calls import Call
from airflow_provider_sei.local_server.exports import Export

__all__ = ["export_page", "matching_exports", "team_page", "tree_page"]

_DEFAULT_LIMIT = 50
_ENDLESS_TOTAL = 1_000_000_000


def matching_exports(call: Call, exports: Sequence[Export], now: float) -> list[Export]:
    """Return the exports that the call's filters select, sorted as it asks."""
    wanted: list[Callable[[Export], bool]] = []
    if status := call.parameter("status").casefold():
        wanted.append(lambda export: export.status(now) == status)
    if call.parameter("scope") == "mine":
        wanted.append(lambda export: export.created_by == call.user)
    if team := call.parameter("teamId"):
        wanted.append(lambda export: export.request["scope"].get("teamId") == team)
    if user := call.parameter("createdBy"):
        wanted.append(lambda export: export.created_by.user_id == user)
    if date_from := call.parameter("dateFrom"):
        earliest = datetime.fromisoformat(date_from).timestamp()
        wanted.append(lambda export: export.created_at >= earliest)
    if date_to := call.parameter("dateTo"):
        latest = datetime.fromisoformat(date_to).timestamp()
        wanted.append(lambda export: export.created_at <= latest)
    found = [export for export in exports if all(check(export) for check in wanted)]
    descending = call.parameter("sortOrder", "desc") == "desc"
    key: dict[str, Callable[[Export], Any]] = {
        "createdAt": lambda export: export.created_at,
        "completedAt": lambda export: export.ended_at(now) or 0.0,
        "status": lambda export: export.status(now),
    }
    found.sort(key=key[call.parameter("sortBy", "createdAt")], reverse=descending)
    return found


def export_page(call: Call, found: Sequence[Export], write: Callable[[Export], Any], shape: str | None) -> Any:
    """Return one page of the list of exports.

    Args:
        call: its ``limit`` and ``page`` choose the page.
        found: all exports of the list.
        write: makes an entry of an export.
        shape: how the answer departs from the documented one, or ``None``.
    """
    limit = int(call.parameter("limit") or _DEFAULT_LIMIT)
    page = int(call.parameter("page") or 0)
    shown = 0 if shape in {"repeating", "endless"} else page
    items = [write(export) for export in found[shown * limit : (shown + 1) * limit]]
    if shape == "endless":
        # Every page is full of exports that were never seen before.
        some = items or [{"exportId": "exp_endless", "status": "COMPLETED"}]
        items = [some[n % len(some)] | {"exportId": f"exp_endless{page * limit + n}"} for n in range(limit)]
    lies = shape in {"repeating", "endless", "always_more"}
    total = _ENDLESS_TOTAL if lies else len(found)
    pages = -(-total // limit)
    pagination = {"total": total, "limit": limit, "page": page, "totalPages": pages, "hasMore": page + 1 < pages}
    metadata = {"page_size": limit, "page": page, "has_next": page + 1 < pages, "total_count": total}
    answers: dict[str | None, Any] = {
        "bare": items,
        "_metadata": {"exports": items, "_metadata": metadata},
        "other_key": {"data": items},
        "no_pagination": {"exports": items},
    }
    return answers.get(shape, {"exports": items, "pagination": pagination})


def team_page(call: Call, items: Sequence[Any], shape: str | None) -> Any:
    """Return one page of teams in the shape of ``PaginatedResponseTeamSummary``."""
    size = int(call.parameter("pageSize") or 50)
    page = int(call.parameter("page") or 0)
    shown, pages = items[page * size : (page + 1) * size], -(-len(items) // size)
    if shape:
        return list(shown) if shape == "bare" else {"records": list(shown)}
    return {
        "items": list(shown),
        "totalItems": len(items),
        "pageIndex": page,
        "pageSize": size,
        "totalPages": pages,
        "hasNext": page + 1 < pages,
        "hasPrevious": page > 0,
    }


def tree_page(call: Call, records: Sequence[Any], shape: str | None) -> Any:
    """Return one page of org trees in the shape of ``ListResponseDTOOrgTreeResponseDTO``."""
    size = int(call.parameter("pageSize") or 50)
    page = int(call.parameter("pageIndex") or 0)
    shown = list(records[page * size : (page + 1) * size])
    if shape == "bare":
        return shown
    return {"records": shown, "totalCount": len(records), "pageIndex": page, "pageSize": size}
