"""Teams of an organisation tree, from whichever of the vendor's three endpoints answers.

Sources: the vendor's OpenAPI document (``/v2/teams/list``, ``/v2/org-trees/list``, ``/v2/org-trees/{id}/teams``) and
its prose, which shows an array where the OpenAPI document has a tree; read 2026-11-23. The vendor asks for short delays
between calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from airflow_provider_sei.protocol.answers import excerpt, json_value, printable
from airflow_provider_sei.protocol.errors import SEINotFoundError, SEIUnreadableError, SEIUsageError
from airflow_provider_sei.protocol.messages import Call, HttpRequest, HttpResponse
from airflow_provider_sei.protocol.suggestions import did_you_mean

__all__ = [
    "Team",
    "TeamPage",
    "leaf_teams",
    "org_tree_id",
    "org_tree_teams_call",
    "org_trees_page_call",
    "select_teams",
    "teams_page_call",
    "without_match",
]

PAGE_SIZE = 50
"""The vendor's own default."""
MAX_PAGES = 2_000
"""A bound for servers that never end: 100,000 teams. A list that goes on there is an error, for a part of it would pass
for the whole."""
PAUSE_BETWEEN_PAGES = 0.2
"""Seconds. The vendor asks for a short delay between calls and names no figure; this one keeps a walk over pages below
the lower of its limits, 400 calls a minute."""
_SHOWN = 10  # names in a message
_LONGEST_NAME = 1000  # characters; names go to XCom, logs and the grid


@dataclass(frozen=True, kw_only=True)
class Team:
    """One team, as far as the vendor's endpoints agree on it."""

    team_id: str
    """What exports take as ``teamId`` and legacy reports as ``collectionId``; the vendor's ``refId``."""
    name: str
    org_tree_name: str | None = None


@dataclass(frozen=True)
class TeamPage:
    """One page of records, and whether the server says that more follow."""

    records: tuple[Mapping[str, Any], ...]
    more: bool


def teams_page_call(org_tree_name: str | None, page: int) -> Call[TeamPage]:
    """Return the call for one page of leaf teams (``POST /v2/teams/list``)."""
    what = "list teams"
    body: dict[str, Any] = {"leafTeamsOnly": True}
    if org_tree_name:
        body |= {"searchKey": "orgTreeName", "searchValue": org_tree_name}
    request = HttpRequest(
        method="POST",
        path="v2/teams/list",
        query=(("page", str(page)), ("pageSize", str(PAGE_SIZE))),
        body=body,
    )

    def parse(response: HttpResponse) -> TeamPage:
        found = _read_page(response, what, page)
        if found.records and not any(True for _ in _walk(found.records)):
            msg = f"could not {what}: the answer's records have no refId; check the connection's base URL"
            raise SEIUnreadableError(msg)
        return found

    return Call(request, parse, what)


def org_trees_page_call(name: str, page: int) -> Call[TeamPage]:
    """Return the call that searches organisation trees by name (``POST /v2/org-trees/list``)."""
    what = f"find the organisation tree {name!r}"
    request = HttpRequest(
        method="POST",
        path="v2/org-trees/list",
        query=(("pageIndex", str(page)), ("pageSize", str(PAGE_SIZE))),
        body={"searchKey": "name", "searchValue": name},
    )
    return Call(request, lambda response: _read_page(response, what, page), what)


def org_tree_teams_call(tree_id: str) -> Call[Iterable[Mapping[str, Any]]]:
    """Return the call for a tree's teams (``GET /v2/org-trees/{id}/teams``), roots first."""
    what = f"list the teams of organisation tree {tree_id}"

    def parse(response: HttpResponse) -> Iterable[Mapping[str, Any]]:
        value = json_value(response, what)
        if isinstance(value, dict) and "refId" in value:
            return [value]
        return _records(value, what)

    path = f"v2/org-trees/{quote(tree_id, safe='', errors='replace')}/teams"
    return Call(HttpRequest(method="GET", path=path), parse, what)


def org_tree_id(records: Iterable[Mapping[str, Any]], name: str) -> str:
    """Return the id of the tree called exactly ``name``; the server's search may answer with similar ones.

    Raises:
        SEINotFoundError: no tree of that name; the message lists the names that came back.
    """
    names = []
    for record in records:
        tree_id = record.get("id")
        if record.get("name") == name and isinstance(tree_id, int | str) and not isinstance(tree_id, bool):
            return str(tree_id)
        names.append(excerpt(str(record.get("name"))))
    found = f"; found: {', '.join(sorted(names)[:10])}" if names else ""
    msg = f"there is no organisation tree called {name!r}{found}"
    raise SEINotFoundError(msg)


def leaf_teams(records: Iterable[Mapping[str, Any]], org_tree_name: str | None = None) -> list[Team]:
    """Return the leaf teams among ``records`` and their ``children``, each once, in the order met.

    A leaf says so (``leaf: true``); where a record does not say, a team without children that is nobody's parent is
    one.

    Args:
        org_tree_name: leave out teams that name another tree.
    """
    teams = list(_walk(records))
    parents = {str(team["parentRefId"]) for team in teams if team.get("parentRefId") is not None}
    leaves: dict[str, Team] = {}
    for team in teams:
        team_id = str(team["refId"])
        leaf = team.get("leaf")
        if not isinstance(leaf, bool):
            leaf = not team.get("children") and team_id not in parents
        tree = team.get("orgTree")
        tree_name = tree.get("name") if isinstance(tree, dict) else None
        if not leaf or (org_tree_name and tree_name and tree_name != org_tree_name):
            continue
        leaves.setdefault(
            team_id,
            Team(team_id=team_id, name=_name(team, team_id), org_tree_name=tree_name or org_tree_name),
        )
    return list(leaves.values())


def select_teams(teams: Sequence[Team], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Team]:
    """Return the teams that an ``include`` pattern matches and no ``exclude`` pattern does, in the order given.

    A pattern is matched against name and id, in any case, with ``*``, ``?`` and ``[...]``; a name that is equal to it
    matches too, so that one with brackets in it can be written as it is.

    Args:
        include: which teams; none means all.
        exclude: which of these not.

    Raises:
        SEIUsageError: an ``include`` pattern matches no team, or no team is left.
    """
    if strays := without_match(teams, include):
        names = [team.name for team in teams]
        guess = did_you_mean(strays[0].strip("*? "), names)
        msg = f"include pattern {strays[0]!r} matches none of {len(teams)} teams{guess or f': {_some(names)}'}"
        raise SEIUsageError(msg, field="include")
    included = [team for team in teams if not include or any(_matches(team, pattern) for pattern in include)]
    left = [team for team in included if not any(_matches(team, pattern) for pattern in exclude)]
    if included and not left:
        msg = f"no team is left: exclude {list(exclude)} leaves out all of {_some([team.name for team in included])}"
        raise SEIUsageError(msg, field="exclude")
    return left


def without_match(teams: Iterable[Team], patterns: Iterable[str]) -> list[str]:
    """Return the patterns that match none of ``teams``."""
    known = list(teams)
    return [pattern for pattern in patterns if not any(_matches(team, pattern) for team in known)]


def _matches(team: Team, pattern: str) -> bool:
    folded = printable(pattern).casefold()
    return any(text == folded or fnmatchcase(text, folded) for text in (team.name.casefold(), team.team_id.casefold()))


def _name(team: Mapping[str, Any], team_id: str) -> str:
    given = str(team.get("name") or "")[:_LONGEST_NAME]
    return printable(given if given.strip() else team_id).strip() or "unnamed"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _walk(records: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    waiting = list(records)[::-1]  # a stack, not recursion: the depth is the server's to choose
    while waiting:
        record = waiting.pop()
        if not isinstance(record, Mapping):
            continue
        ref_id = record.get("refId")
        if isinstance(ref_id, int | str) and not isinstance(ref_id, bool) and str(ref_id).strip():
            yield record
        children = record.get("children")
        if isinstance(children, list):
            waiting.extend(child for child in reversed(children) if isinstance(child, Mapping))


def _read_page(response: HttpResponse, what: str, page: int) -> TeamPage:
    value = json_value(response, what)
    records = _records(value, what)
    more = len(records) >= PAGE_SIZE  # where nothing is said; a page that only repeats ends the walk
    if isinstance(value, dict):
        pages, total = value.get("totalPages"), value.get("totalCount", value.get("totalItems"))
        if isinstance(value.get("hasNext"), bool):
            more = value["hasNext"]
        elif isinstance(pages, int):
            more = page + 1 < pages
        elif isinstance(total, int):
            more = (page + 1) * PAGE_SIZE < total
    if more and records and page + 1 >= MAX_PAGES:
        msg = f"could not {what}: the server's list goes on after {MAX_PAGES} pages; ask for one organisation tree"
        raise SEIUnreadableError(msg)
    return TeamPage(tuple(records), more and bool(records))


def _records(value: Any, what: str) -> list[Mapping[str, Any]]:
    records = value
    if isinstance(value, dict):
        known = (value.get(key) for key in ("items", "records", "content", "teams"))
        records = next((found for found in known if isinstance(found, list)), None)
    if not isinstance(records, list):
        msg = f"could not {what}: the answer holds no list; check the connection's base URL"
        raise SEIUnreadableError(msg)
    return [record for record in records if isinstance(record, dict)]
