"""Teams and org trees."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_sei.local_server.running import RunningServer


def leaf_ids(server: RunningServer) -> set[int]:
    """Return the ids of all leaf teams of Engineering."""
    return {team.ref_id for team in server.organisation.trees[0].root.leaves()}


def found_leaves(node: dict[str, Any]) -> set[int]:
    """Return the leaf teams below a node of a hierarchy."""
    if node["leaf"]:
        return {node["refId"]}
    return {ref_id for child in node["children"] for ref_id in found_leaves(child)}


def test_a_search_pages_through_the_leaf_teams_of_a_tree(api: Any, server: RunningServer) -> None:
    """It needs no account, and counts pages from zero."""
    body = {"searchKey": "orgTreeName", "searchValue": "Engineering", "leafTeamsOnly": True}
    pages = [
        api.call("POST", "v2/teams/list", api.identifiers | {"page": page, "pageSize": 4}, json=body).json()
        for page in range(2)
    ]
    assert {item["refId"] for page in pages for item in page["items"]} == leaf_ids(server)
    assert [(page["hasNext"], page["totalItems"], page["totalPages"]) for page in pages] == [
        (True, 7, 2),
        (False, 7, 2),
    ]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"searchKey": "name", "searchValue": "labs"}, ["R&D / Labs"]),
        ({"searchKey": "managerName", "searchValue": "tier", "sortOrder": "desc"}, ["Tier 2", "Tier 1"]),
        (
            {"searchKey": "orgTreeName", "searchValue": "Support", "leafTeamsOnly": False},
            ["Support", "Tier 1", "Tier 2"],
        ),
    ],
)
def test_a_search_looks_for_one_of_three_things(api: Any, body: dict[str, Any], names: list[str]) -> None:
    """A team's name, its managers, or its org tree."""
    assert [team["name"] for team in api.call("POST", "v2/teams/list", json=body).json()["items"]] == names


def test_a_search_without_a_body_finds_all_leaf_teams(api: Any) -> None:
    """The body is optional."""
    assert api.call("POST", "v2/teams/list").json()["totalItems"] == 7 + 2


@pytest.mark.parametrize("key", ["team", {"orgTreeName": "Engineering"}])
def test_a_search_key_is_one_of_three_words(api: Any, key: object) -> None:
    """What is looked for goes into searchValue."""
    answer = api.call("POST", "v2/teams/list", json={"searchKey": key})
    assert answer.status_code == 400
    assert "orgTreeName" in answer.json()["message"]


@pytest.mark.parametrize(("operation", "path"), [("search_teams", "teams"), ("search_org_trees", "org-trees")])
def test_team_lists_come_bare_too(api: Any, server: RunningServer, operation: str, path: str) -> None:
    """An array without any word about pages."""
    server.faults.add(operation, "shape", shape="bare")
    assert isinstance(api.call("POST", f"v2/{path}/list", json={}).json(), list)


def test_the_plain_list_needs_the_account(api: Any, server: RunningServer) -> None:
    """Unless the gateway fills it in, which a setting stands for."""
    assert api.call("GET", "v2/teams/list").status_code == 400
    assert api.call("GET", "v2/teams/list", {"account": "acc"}).json()["totalItems"] == 7 + 2
    server.reset(require_account=False)
    assert api.call("GET", "v2/teams/list", {"leafTeamsOnly": "false"}).json()["totalItems"] > 9


def test_an_org_tree_is_found_by_name_and_gives_its_hierarchy(api: Any, server: RunningServer) -> None:
    """The id of the tree leads to its nested teams."""
    trees = api.call("POST", "v2/org-trees/list", json={}).json()
    tree_id = next(tree["id"] for tree in trees["records"] if tree["name"] == "Engineering")
    assert found_leaves(api.call("GET", f"v2/org-trees/{tree_id}/teams").json()) == leaf_ids(server)
    assert trees["totalCount"] == 2


def test_org_trees_can_be_listed_with_the_account(api: Any) -> None:
    """The second way to a tree's id."""
    query = api.identifiers | {"accountIdentifier": "acc", "pageSize": 1, "pageIndex": 1}
    assert [tree["name"] for tree in api.call("GET", "v2/org-trees", query).json()["records"]] == ["Support"]


def test_an_unknown_org_tree_is_404(api: Any) -> None:
    """These errors carry an errorId."""
    answer = api.call("GET", "v2/org-trees/77/teams")
    assert answer.status_code == 404
    assert "errorId" in answer.json()


@pytest.mark.parametrize(("shape", "where"), [("bare", None), ("records", "records")])
def test_hierarchies_come_flat_too(api: Any, server: RunningServer, shape: str, where: str | None) -> None:
    """The prose shows an array where the OpenAPI document has a tree."""
    server.faults.add("teams", "shape", shape=shape)
    answer = api.call("GET", "v2/org-trees/1/teams").json()
    teams = answer[where] if where else answer
    assert {team["refId"] for team in teams if team["leaf"]} == leaf_ids(server)


def test_each_team_endpoint_can_be_absent(api: Any, server: RunningServer) -> None:
    """A fault names one of them, or all."""
    server.faults.add("search_teams", "answer", status=404, times=None)
    assert api.call("POST", "v2/teams/list", json={}).status_code == 404
    assert api.call("GET", "v2/teams/list", {"account": "acc"}).status_code == 200
