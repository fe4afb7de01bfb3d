"""Calls and responses as values, and which method and path mean which call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.organisation import User
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily

# The OpenAPI document maps the sprint exports a second time, and names downloads by that path.
ITEM_ALIASES = {"sprint": "v2/insights/efficiency/sprints/export"}

_FIXED = {
    "v2/insights/teams/reports": {"POST": "legacy"},
    "v2/teams/list": {"POST": "search_teams", "GET": "list_teams"},
    "v2/org-trees/list": {"POST": "search_org_trees"},
    "v2/org-trees": {"GET": "list_org_trees"},
    "v2/developers": {"GET": "developers"},
    "v2/developers/identities": {"GET": "identities"},
}
_TREE_TEAMS = re.compile(r"v2/org-trees/([^/]+)/teams")


@dataclass(frozen=True, kw_only=True)
class Route:
    """The meaning of a method and path."""

    operation: str
    family: ExportFamily | None = None
    item: str | None = None
    """The id of an export or an org tree."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """An authenticated request to the API."""

    route: Route
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    user: User

    def parameter(self, name: str, default: str = "") -> str:
        """Return the query parameter ``name``."""
        return next((value for key, value in self.query if key == name), default)


@dataclass(frozen=True, kw_only=True)
class Response:
    """The answer to a call; its ``Content-Length`` follows from the body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Body)


class ApiError(Exception):
    """An error answer of the API with the vendor's ``message``."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class Routes:
    """The paths of one server; those of exports come from the family declarations alone."""

    def __init__(self, settings: ServerSettings) -> None:
        self._base = settings.base_path.rstrip("/") + "/"
        self._collections: dict[str, ExportFamily] = {}
        self._items: dict[str, ExportFamily] = {}
        for family in FAMILIES.values():
            first, alternate = family.collection_path, family.alternate_collection_path
            paths = {"both": (first, alternate), "first": (first,), "alternate": (alternate or first,)}
            self._collections |= {path: family for path in paths[settings.collection_paths] if path}
            self._items[family.item_path] = family
            if settings.download_aliases and family.name in ITEM_ALIASES:
                self._collections[ITEM_ALIASES[family.name]] = self._items[ITEM_ALIASES[family.name]] = family

    def resolve(self, method: str, path: str) -> Route:
        """Return the route of a request, or raise 404 for an unknown path or 405 for another method."""
        if not path.startswith(self._base):
            raise ApiError(404, f"No message available for {path}: the base path is {self._base}")
        relative = path[len(self._base) :]
        if relative in _FIXED:
            return Route(operation=_allowed(method, _FIXED[relative]))
        if tree := _TREE_TEAMS.fullmatch(relative):
            return Route(operation=_allowed(method, {"GET": "org_tree_teams"}), item=tree[1])
        if relative in self._collections:
            operation = _allowed(method, {"POST": "create", "GET": "list"})
            return Route(operation=operation, family=self._collections[relative])
        operation = "download" if relative.endswith("/download") else "status"
        collection, _, item = relative.removesuffix("/download").rpartition("/")
        if collection not in self._items or not item:
            raise ApiError(404, f"No message available for {path}")
        return Route(operation=_allowed(method, {"GET": operation}), family=self._items[collection], item=item)


def _allowed(method: str, operations: dict[str, str]) -> str:
    if method not in operations:
        raise ApiError(405, f"Request method '{method}' is not supported", {"Allow": ", ".join(operations)})
    return operations[method]
