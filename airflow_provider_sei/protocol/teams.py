"""Teams of an organisation tree, from whichever of the vendor's three endpoints serves; and tables of people.

Sources: the vendor's OpenAPI document (``/v2/teams/list``, ``/v2/org-trees/list``, ``/v2/org-trees/{id}/teams``) and
its prose, which shows an array where the OpenAPI document has a tree; read 2026-11-23.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from airflow_provider_sei.exceptions import SEIArgumentError, SEINotFoundError
from airflow_provider_sei.protocol.families import did_you_mean
from airflow_provider_sei.protocol.http import (
    Call,
    HttpRequest,
    HttpResponse,
    check_status,
    excerpt,
    json_value,
    printable,
    unusable,
)
from airflow_provider_sei.protocol.listing import Page, find_records, more_pages

Record = Mapping[str, Any]
_PEOPLE = {"developers": "v2/developers", "identities": "v2/developers/identities"}  # developer hub, read 2026-11-26
_COLUMNS = ("org_tree_id", "org_tree_name", "team_id", "team_name", "parent_team_id", "path", "leaf", "developers")
_PAGE_SIZE = 50  # the vendor's default
MAX_PAGES = 2_000  # 100,000 teams
PAUSE_BETWEEN_PAGES = 0.2
"""Seconds. The vendor asks for a short delay without a figure; this one stays below 400 calls a minute."""
_MAX_DEPTH = 100  # names in a path
_MAX_NAMES = 10  # in a message
_MAX_NAME = 1000  # characters; names are shown in XCom, logs and the grid


@dataclass(frozen=True, kw_only=True)
class Team:
    """One team. Its id is ``teamId`` of exports, ``collectionId`` of legacy reports and ``refId`` of team lists."""

    team_id: str
    name: str
    org_tree_name: str | None = None


def teams_page_call(org_tree_name: str | None, page: int, size: int = _PAGE_SIZE) -> Call[Page[Record]]:
    """Return the call for one page of leaf teams (``POST /v2/teams/list``)."""
    description = "list teams"
    search = {"searchKey": "orgTreeName", "searchValue": org_tree_name} if org_tree_name else {}

    def parse(response: HttpResponse) -> Page[Record]:
        found = _read_page(response, description, page)
        if found.items and not any(True for _ in _walk(found.items)):
            raise unusable(None, description, "the response's records have no refId")
        return found

    query = {"page": str(page), "pageSize": str(size)}
    body = {"leafTeamsOnly": True, **search}
    return Call(HttpRequest(method="POST", path="v2/teams/list", query=query, body=body), parse, description)


def org_trees_page_call(name: str | None, page: int) -> Call[Page[Record]]:
    """Return the call that searches organisation trees by name, or lists all (``POST /v2/org-trees/list``)."""
    description = f"find the organisation tree {name!r}" if name else "list organisation trees"
    query = {"pageIndex": str(page), "pageSize": str(_PAGE_SIZE)}
    body = {"searchKey": "name", "searchValue": name} if name else {}
    request = HttpRequest(method="POST", path="v2/org-trees/list", query=query, body=body)
    return Call(request, lambda response: _read_page(response, description, page), description)


def org_tree_teams_call(tree_id: str) -> Call[Sequence[Record]]:
    """Return the call for a tree's teams (``GET /v2/org-trees/{id}/teams``), roots first."""
    description = f"list the teams of organisation tree {tree_id}"

    def parse(response: HttpResponse) -> Sequence[Record]:
        value = json_value(response, description)
        return [value] if isinstance(value, dict) and "refId" in value else _records(value, description)

    path = f"v2/org-trees/{quote(tree_id, safe='', errors='replace')}/teams"
    return Call(HttpRequest(method="GET", path=path), parse, description)


def similar_name(records: Iterable[Record], value: str, *, is_tree: bool) -> str:
    """Return ``": did you mean ...?"`` for a tree, or the id of a team, whose name is like ``value``; or nothing."""
    ids = {printable(str(name)): str(record.get("refId")) for record in records if (name := record.get("name"))}
    folded = {name.casefold(): name for name in ids}
    close = difflib.get_close_matches(value.casefold(), folded, 1)
    if not close or value in (ids if is_tree else ids.values()):
        return ""
    name = folded[close[0]]
    return f": did you mean {name!r}?" if is_tree else f": did you mean {ids[name]!r}, which is called {name!r}?"


def org_trees(records: Iterable[Record], name: str | None) -> list[Record]:
    """Return the tree called exactly ``name``, for which the server's search may return similar ones, or all trees."""
    trees = [record for record in records if type(record.get("id")) in (int, str)]
    if matching := [tree for tree in trees if tree.get("name") == name][:1] if name else trees:
        return matching
    names = sorted(excerpt(str(tree.get("name"))) for tree in trees)[:_MAX_NAMES]
    found = f"; found: {', '.join(names)}" if names else ""
    msg = f"there is no organisation tree{f' called {name!r}' if name else ''}{found}"
    raise SEINotFoundError(msg)


def people_request(kind: str) -> HttpRequest:
    """Return the request for the CSV of all people. Its parameters and paging are not documented, so it has none."""
    return HttpRequest(method="GET", path=_PEOPLE[kind], accept="text/csv", identifiers_required=False)


def developer_count_call() -> Call[int]:
    """Return the call for the number of developers (``totalRecords``); 0 if the response does not have it."""

    def parse(response: HttpResponse) -> int:
        check_status(response, description)
        total = 0
        with suppress(ValueError, AttributeError, RecursionError):  # not quoted: it may have people's data
            total = json.loads(response.body).get("totalRecords")
        return total if type(total) is int else 0

    description, query = "count the developers", {"pageIndex": "0", "pageSize": "1"}
    request = HttpRequest(method="GET", path=_PEOPLE["developers"], query=query, identifiers_required=False)
    return Call(request, parse, description)


def hierarchy_csv(trees: Iterable[tuple[Record, Sequence[Record]]]) -> bytes:
    """Return every team of every tree as CSV, with its parent and its path, in an order that depends on them alone.

    :param trees: each tree's record, and its teams as :func:`org_tree_teams_call` returns them.
    """
    rows: list[tuple[str, ...]] = []
    for tree, records in trees:
        teams: dict[str, Record] = {}
        parents: dict[str, str] = {}
        for team in _walk(records):
            team_id, above, children = str(team["refId"]), team.get("parentRefId"), team.get("children")
            teams.setdefault(team_id, team)
            if above is not None:
                parents[team_id] = str(above)
            nested = [child for child in children if isinstance(child, Mapping)] if isinstance(children, list) else ()
            parents |= {str(child.get("refId")): team_id for child in nested}
        leaves = {team.team_id for team in leaf_teams(records)}
        for team_id, team in teams.items():
            path, above = [str(team.get("name"))], parents.get(team_id)
            while above in teams and len(path) < _MAX_DEPTH:  # the server chooses the depth, and may send a cycle
                path.insert(0, str(teams[above].get("name")))
                above = parents.get(above)
            row = (str(tree.get("id")), str(tree.get("name")), team_id, path[-1], parents.get(team_id, ""))
            rows.append((*row, "/".join(path), str(team_id in leaves).lower(), str(team.get("developerCount", ""))))
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([_COLUMNS, *sorted(rows)])
    return table.getvalue().encode(errors="replace")


def leaf_teams(records: Iterable[Record], org_tree_name: str | None = None) -> list[Team]:
    """Return the leaf teams among ``records`` and their ``children``, each once, in order; none of another tree.

    A leaf has ``leaf: true``; if a record does not say, it is one if it has no children and is nobody's parent.
    """
    teams = list(_walk(records))
    parents = {str(team["parentRefId"]) for team in teams if team.get("parentRefId") is not None}
    leaves: dict[str, Team] = {}
    for team in teams:
        team_id, leaf, tree = str(team["refId"]), team.get("leaf"), team.get("orgTree")
        leaf = leaf if isinstance(leaf, bool) else not team.get("children") and team_id not in parents
        tree_name = tree.get("name") if isinstance(tree, dict) else None
        if leaf and (not org_tree_name or not tree_name or tree_name == org_tree_name):
            name = str(team.get("name") or "")[:_MAX_NAME]
            name = printable(name if name.strip() else team_id).strip() or "unnamed"
            leaves.setdefault(team_id, Team(team_id=team_id, name=name, org_tree_name=tree_name or org_tree_name))
    return list(leaves.values())


def unreadable(records: Iterable[Record]) -> int:
    """Return how many of ``records`` and their ``children`` have no usable id; :func:`leaf_teams` omits them."""
    return sum(1 for _ in _walk(records, usable=False))


def select_teams(teams: Sequence[Team], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Team]:
    """Return the teams that match an ``include`` pattern (none: all teams) and no ``exclude`` pattern, in order.

    Patterns match names and ids in any case, with ``*``, ``?`` and ``[...]``; so does a name that equals the pattern.

    :raises SEIArgumentError: an ``include`` pattern matches no team, or no team is left.
    """
    names = [team.name for team in teams]
    if unmatched := without_match(teams, include):
        guess = did_you_mean(unmatched[0].strip("*? "), names) or f": {_shortened(names)}"
        msg = f"include pattern {unmatched[0]!r} matches none of {len(teams)} teams{guess}"
        raise SEIArgumentError(msg, field="include")
    included = [team for team in teams if not include or any(_matches(team, pattern) for pattern in include)]
    left = [team for team in included if not any(_matches(team, pattern) for pattern in exclude)]
    if included and not left:
        msg = f"no team is left: exclude {list(exclude)} matches all of {_shortened([team.name for team in included])}"
        raise SEIArgumentError(msg, field="exclude")
    return left


def without_match(teams: Sequence[Team], patterns: Iterable[str]) -> list[str]:
    """Return the patterns that match none of ``teams``."""
    return [pattern for pattern in patterns if not any(_matches(team, pattern) for team in teams)]


def _matches(team: Team, pattern: str) -> bool:
    folded = printable(pattern).casefold()
    return any(text == folded or fnmatchcase(text, folded) for text in (team.name.casefold(), team.team_id.casefold()))


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join(map(repr, names[:_MAX_NAMES])) + (f" and {more} more" if more > 0 else "")


def _walk(records: Iterable[Record], *, usable: bool = True) -> Iterator[Record]:
    stack = list(records)[::-1]  # no recursion: the server chooses the depth
    while stack:
        record = stack.pop()
        ref_id, children = record.get("refId"), record.get("children")
        has_id = isinstance(ref_id, int | str) and not isinstance(ref_id, bool) and str(ref_id).strip() != ""
        if has_id is usable:
            yield record
        if isinstance(children, list):
            stack.extend(child if isinstance(child, Mapping) else {} for child in reversed(children))


def _read_page(response: HttpResponse, description: str, page: int) -> Page[Record]:
    value = json_value(response, description)
    records = _records(value, description)
    if not isinstance(value, dict):
        return Page(tuple(records), None)
    total = value.get("totalCount", value.get("totalItems"))
    return Page(tuple(records), more_pages(value, "hasNext", page), total)


def _records(value: Any, description: str) -> list[Record]:
    records = find_records(value, "items", "records", "content", "teams")
    if records is None:
        raise unusable(value, description, "the response has no list")
    return [record if isinstance(record, dict) else {} for record in records]
