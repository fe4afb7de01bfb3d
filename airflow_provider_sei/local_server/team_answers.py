"""Answers about teams and org trees, in the shapes of the vendor's OpenAPI document."""

from __future__ import annotations

from typing import Any

from airflow_provider_sei.local_server.body_checks import json_object
from airflow_provider_sei.local_server.calls import Call, RefusedCallError
from airflow_provider_sei.local_server.faults import Hits
from airflow_provider_sei.local_server.lists import team_page, tree_page
from airflow_provider_sei.local_server.organisation import Organisation, OrgTree, Team
from airflow_provider_sei.local_server.settings import ServerSettings

__all__ = ["TeamAnswers"]

# TeamSearchParams of the OpenAPI document: searchKey is one of these words, searchValue what is looked for.
_SEARCH_KEYS = ("name", "managerName", "orgTreeName")


class TeamAnswers:
    """Answers the five calls about teams and org trees of one server."""

    def __init__(self, settings: ServerSettings, organisation: Organisation) -> None:
        self._settings = settings
        self._organisation = organisation

    def answer(self, call: Call, hits: Hits) -> Any:
        """Return the JSON answer to ``call``.

        Raises:
            RefusedCallError: 400 for a malformed search, 404 for an unknown org tree.
        """
        shape = (hits.get("shape") or {}).get("shape")
        if call.route.operation == "search_teams":
            return team_page(call, self._search(json_object(call, required=False)), shape)
        if call.route.operation == "list_teams":
            leaves_only = call.parameter("leafTeamsOnly", "true") == "true"
            return team_page(call, self._teams(leaves_only=leaves_only), shape)
        if call.route.operation == "org_tree_teams":
            return self._hierarchy(call.route.item or "", shape)
        if call.route.operation == "search_org_trees":
            json_object(call, required=False)
        return tree_page(call, [self._tree(tree) for tree in self._organisation.trees], shape)

    def _search(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        key, text = body.get("searchKey"), str(body.get("searchValue", "")).casefold()
        if key not in (None, *_SEARCH_KEYS):
            raise RefusedCallError(400, f"searchKey '{key}' is not one of {', '.join(_SEARCH_KEYS)}")
        teams = self._teams(leaves_only=body.get("leafTeamsOnly", True) is not False)
        if key == "orgTreeName":
            teams = [team for team in teams if text in team["orgTree"]["name"].casefold()]
        elif key == "name":
            teams = [team for team in teams if text in team["name"].casefold()]
        elif key == "managerName":
            teams = [team for team in teams if any(text in manager.casefold() for manager in team["teamManagers"])]
        return teams[::-1] if body.get("sortOrder") == "desc" else teams

    def _teams(self, *, leaves_only: bool) -> list[dict[str, Any]]:
        return [
            self._summary(tree, team)
            for tree in self._organisation.trees
            for team in tree.root.walk()
            if team.is_leaf or not leaves_only
        ]

    def _summary(self, tree: OrgTree, team: Team) -> dict[str, Any]:
        return {
            "id": team.ref_id,
            "refId": team.ref_id,
            "parentRefId": team.parent_ref_id,
            "name": team.name,
            "displayName": team.name,
            "status": "ACTIVE",
            "teamManagers": [f"Manager of {team.name}"],
            "developerCount": sum(len(leaf.developers) for leaf in team.leaves()),
            "integrations": [],
            "orgTree": {"id": tree.tree_id, "name": tree.name, **self._identifiers()},
            "leaf": team.is_leaf,
        }

    def _hierarchy(self, tree_id: str, shape: str | None) -> Any:
        tree = next((tree for tree in self._organisation.trees if str(tree.tree_id) == tree_id), None)
        if tree is None:
            raise RefusedCallError(404, f"Organization tree not found: {tree_id}")
        if shape is None:
            return _node(tree.root)
        teams = [_node(team) | {"children": []} for team in tree.root.walk()]
        return teams if shape == "bare" else {"records": teams}

    def _tree(self, tree: OrgTree) -> dict[str, Any]:
        teams = len(list(tree.root.walk()))
        return {"id": tree.tree_id, "name": tree.name, **self._identifiers(), "rootTeamRefId": tree.root.ref_id} | {
            "teamCount": teams,
            "access": True,
            "createdByEmail": "jane.smith@company.example",
        }

    def _identifiers(self) -> dict[str, str]:
        return {"orgIdentifier": self._settings.org, "projectIdentifier": self._settings.project}


def _node(team: Team) -> dict[str, Any]:
    return {
        "refId": team.ref_id,
        "name": team.name,
        "parentRefId": team.parent_ref_id,
        "leaf": team.is_leaf,
        "developerCount": sum(len(leaf.developers) for leaf in team.leaves()),
        "children": [_node(child) for child in team.children],
    }
