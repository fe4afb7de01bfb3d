"""Which method and path mean which call. The paths of exports come from the family declarations alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_provider_sei.local_server.calls import RefusedCallError, Route
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily

__all__ = ["ITEM_ALIASES", "Routes"]

# The OpenAPI document maps the sprint exports a second time, and names downloads by that path.
ITEM_ALIASES = {"sprint": "v2/insights/efficiency/sprints/export"}

_FIXED = {
    "v2/insights/teams/reports": {"POST": "legacy"},
    "v2/teams/list": {"POST": "search_teams", "GET": "list_teams"},
    "v2/org-trees/list": {"POST": "search_org_trees"},
    "v2/org-trees": {"GET": "list_org_trees"},
}
_TREE_TEAMS = re.compile(r"v2/org-trees/([^/]+)/teams")


class Routes:
    """The address space of one server. Families are looked up when it is made."""

    def __init__(self, settings: ServerSettings, families: Iterable[ExportFamily] | None = None) -> None:
        self._base = settings.base_path.rstrip("/") + "/"
        self._collections: dict[str, ExportFamily] = {}
        self._items: dict[str, ExportFamily] = {}
        for family in FAMILIES.values() if families is None else families:
            first, alternate = family.collection_path, family.alternate_collection_path
            paths = {"both": (first, alternate), "first": (first,), "alternate": (alternate or first,)}
            self._collections |= {path: family for path in paths[settings.collection_paths] if path}
            self._items[family.item_path] = family
            if settings.download_aliases and family.name in ITEM_ALIASES:
                self._collections[ITEM_ALIASES[family.name]] = self._items[ITEM_ALIASES[family.name]] = family

    def resolve(self, method: str, path: str) -> Route:
        """Return what the call is.

        Raises:
            RefusedCallError: 404 for a path that is not served, 405 for a served one with another method.
        """
        if not path.startswith(self._base):
            raise RefusedCallError(404, f"No message available for {path}: the base path is {self._base}")
        relative = path[len(self._base) :]
        if relative in _FIXED:
            return Route(operation=_allowed(method, _FIXED[relative]))
        tree = _TREE_TEAMS.fullmatch(relative)
        if tree:
            return Route(operation=_allowed(method, {"GET": "org_tree_teams"}), item=tree[1])
        if relative in self._collections:
            operation = _allowed(method, {"POST": "create", "GET": "list"})
            return Route(operation=operation, family=self._collections[relative])
        return self._item(method, path, relative)

    def _item(self, method: str, path: str, relative: str) -> Route:
        operation = "status"
        if relative.endswith("/download"):
            operation, relative = "download", relative.removesuffix("/download")
        collection, _, item = relative.rpartition("/")
        if collection not in self._items or not item:
            raise RefusedCallError(404, f"No message available for {path}")
        return Route(operation=_allowed(method, {"GET": operation}), family=self._items[collection], item=item)


def _allowed(method: str, operations: dict[str, str]) -> str:
    if method not in operations:
        allowed = ", ".join(operations)
        raise RefusedCallError(405, f"Request method '{method}' is not supported", {"Allow": allowed})
    return operations[method]
