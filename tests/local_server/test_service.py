"""The API: exports from create to download, lists, teams and org trees, as the vendor's documents show them."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pytest
import requests

from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.local_server.service import timestamp
from airflow_provider_sei.protocol.families import FAMILIES


@pytest.mark.parametrize("family", list(FAMILIES))
def test_an_export_is_queued_then_processed_then_completed(api: Any, server: RunningServer, family: str) -> None:
    """By the clock; the size, digest and number of records of its file are known."""
    export_id = api.created(family)
    words = []
    for seconds in (0, 1, 1, 1):
        server.clock.advance(seconds)
        words.append(api.status(export_id, family).json()["status"].lower())
    assert words == ["queued", "processing", "processing", "completed"]
    answer = api.download(export_id, family)
    [record] = server.exports
    assert answer.status_code == 200
    assert answer.content == record.csv
    assert hashlib.sha256(answer.content).hexdigest() == record.csv_sha256 == record.body_sha256
    assert int(answer.headers["Content-Length"]) == record.csv_bytes == len(answer.content)
    assert (record.downloads, record.requested) == (1, 1)


def test_exports_that_are_not_completed_or_of_another_family_are_404(api: Any) -> None:
    """As unknown ones; a family lists its own only."""
    export_id = api.created()
    assert api.download(export_id).status_code == api.download("exp_unknown").status_code == 404
    assert api.status(export_id, "ba").status_code == 404
    assert api.list("ba").json()["exports"] == []


@pytest.mark.parametrize(("field", "value"), [("teamId", "99"), ("orgTreeName", "Nowhere")])
def test_an_unknown_scope_fails_the_export(api: Any, field: str, value: str) -> None:
    """The request is accepted; the status has the error."""
    answer = api.status(api.finished(scope={field: value})).json()
    assert answer["status"] == "failed"
    assert answer["error"] == {"code": "EXPORT_FAILED", "message": f"Invalid {field}"}
    assert "download" not in answer
    assert api.create(scope={field: value}).status_code == 200, "the vendor reuses an export in any status"


def test_an_identical_request_gets_the_existing_export(api: Any, server: RunningServer) -> None:
    """For 30 minutes from its creation, with 200 instead of 202, whatever the order of the fields.

    Ids depend on the number of exports before, so that they are the same in every run.
    """
    export_id = api.created()
    server.clock.advance(1799)
    answer = api.create(dateRange={"end": "2024-01-31", "start": "2024-01-01"})
    assert (answer.status_code, answer.json()["exportId"]) == (200, export_id)
    assert answer.json()["message"].endswith("created by Jane Smith")
    assert [record.requested for record in server.exports] == [2]
    assert api.create(scope={"teamId": "123"}).status_code == 202
    server.clock.advance(1)
    assert api.create().status_code == 202
    server.reset()
    assert api.created() == export_id


def test_another_users_export_is_reused(api: Any, server: RunningServer) -> None:
    """The answer names its creator, which is personal data; it is nobody else's in a list."""
    api.session.headers["authorization"] = f"ApiKey {server.settings.colleague_key}"
    export_id = api.created()
    assert listed(api.list(scope="mine")) == [export_id]
    api.session.headers["authorization"] = f"ApiKey {server.api_key}"
    answer = api.create()
    assert answer.status_code == 200
    creator = {"userId": "user_456", "name": "John Doe", "email": "john.doe@company.example"}
    assert answer.json()["createdBy"] == creator
    assert (listed(api.list(scope="mine")), listed(api.list(scope="all"))) == ([], [export_id])


@pytest.mark.parametrize(
    ("family", "status", "key"),
    [
        ("productivity", "completed", "download"),
        ("sprint", "completed", "download"),
        ("efficiency", "COMPLETED", "downloadUrl"),
        ("ba", "COMPLETED", "downloadUrl"),
        ("ticket-data", "COMPLETED", None),
    ],
)
def test_each_family_has_its_own_key_for_the_file(api: Any, family: str, status: str, key: str | None) -> None:
    """A download object, a downloadUrl, or none. The OpenAPI document names sprint files by a second path."""
    answer = api.status(api.finished(family), family).json()
    assert answer["status"] == status
    assert {"download", "downloadUrl"} & set(answer) == ({key} if key else set())
    if family == "sprint":
        assert answer["download"]["url"].startswith("/v2/insights/efficiency/sprints/export/")
        assert api.call("GET", answer["download"]["url"].lstrip("/")).status_code == 200


def test_the_download_object_describes_the_file(api: Any, server: RunningServer) -> None:
    """URL, name, size and type; compression only for gzip, which name and content show as well."""
    export_id = api.finished()
    [export] = server.exports
    expected = {
        "url": f"/v2/insights/productivity/exports/{export_id}/download",
        "filename": export.filename,
        "sizeBytes": export.body_bytes,
        "contentType": "text/csv",
    }
    assert api.status(export_id).json()["download"] == expected
    export_id = api.finished(options={"compression": "gzip"})
    download, content = api.status(export_id).json()["download"], api.download(export_id).content
    assert download["filename"].endswith(".csv.gz")
    assert (download["compression"], download["sizeBytes"]) == ("gzip", len(content))
    assert gzip.decompress(content) == server.exports[1].csv


def test_settings_choose_compression_and_size(api: Any, server: RunningServer) -> None:
    """Large files are gzip without being asked for; sizes are those of the CSV."""
    server.reset(large_bytes=100, seconds_to_complete=0)
    assert api.download(api.finished()).content[:2] == b"\x1f\x8b"
    server.reset(download_bytes=3_000_000, compression="plain")
    assert len(api.download(api.finished()).content) == 3_000_000


def test_the_documented_script_works(server: RunningServer) -> None:
    """The customer's Python example, with its SEI_API_KEY header, gets its file; the level is answered by one key."""
    headers = {"SEI_API_KEY": server.api_key, "Content-Type": "application/json"}
    identifiers = f"?projectIdentifier={server.project}&orgIdentifier={server.org}"
    payload = {
        "scope": {"orgTreeName": "Engineering", "teamId": "456"},
        "dateRange": {"start": "2024-01-01", "end": "2024-12-31"},
        "metricGroups": ["activity", "velocity"],
        "options": {"aggregation": "mean", "aggregationLevel": "developer", "granularity": "monthly", "format": "csv"},
    }
    exports = f"{server.base_url}/v2/insights/productivity/exports"
    created = requests.post(exports + identifiers, headers=headers, json=payload, timeout=10)
    assert created.json()["metadata"]["options"]["metricLevel"] == "developer"
    server.clock.advance(5)
    url = f"{exports}/{created.json()['exportId']}"
    assert requests.get(url + identifiers, headers=headers, timeout=10).json()["status"] == "completed"
    assert requests.get(f"{url}/download{identifiers}", headers=headers, timeout=10).text.startswith("Granularity,")


@pytest.fixture
def ids(api: Any, server: RunningServer) -> list[str]:
    """Five exports, one a minute: the second of another team, the third failed, the last still queued."""
    created = []
    for month, team in enumerate(("456", "123", "99", "456", "456"), start=1):
        server.clock.advance(60)
        dates = {"start": f"2024-0{month}-01", "end": f"2024-0{month}-28"}
        created.append(api.created(scope={"teamId": team}, dateRange=dates))
    return created


def listed(answer: Any) -> list[str]:
    """Return the ids of a list's entries."""
    return [item["exportId"] for item in answer.json()["exports"]]


def test_a_list_starts_with_the_newest_export_and_has_pages(api: Any, ids: list[str]) -> None:
    """Fifty entries per page, counted from zero; completed ones have a downloadUrl in every family."""
    answer = api.list()
    assert listed(answer) == ids[::-1]
    assert answer.json()["pagination"] == {"total": 5, "limit": 50, "page": 0, "totalPages": 1, "hasMore": False}
    items = {item["exportId"]: item for item in answer.json()["exports"]}
    assert items[ids[0]]["downloadUrl"].endswith(f"{ids[0]}/download")
    assert "downloadUrl" not in items[ids[4]]
    pages = [api.list(limit=2, page=page, sortOrder="asc") for page in range(4)]
    assert [listed(page) for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
    assert [page.json()["pagination"]["hasMore"] for page in pages] == [True, True, False, False]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"status": "COMPLETED"}, [0, 1, 3]),
        ({"status": "FAILED"}, [2]),
        ({"status": "QUEUED"}, [4]),
        ({"teamId": "123"}, [1]),
        ({"createdBy": "user_123"}, [0, 1, 2, 3, 4]),
        ({"createdBy": "user_456"}, []),
        ({"scope": "mine"}, [0, 1, 2, 3, 4]),
        ({"sortBy": "completedAt", "status": "COMPLETED"}, [0, 1, 3]),
        ({"sortBy": "status"}, [0, 1, 3, 2, 4]),
    ],
)
def test_filters_select_and_sort(api: Any, ids: list[str], filters: dict[str, str], expected: list[int]) -> None:
    """Each documented filter."""
    assert listed(api.list(sortOrder="asc", **filters)) == [ids[index] for index in expected]


def test_date_filters_bound_the_creation(api: Any, ids: list[str], server: RunningServer) -> None:
    """By second."""
    times = [record.created_at for record in server.exports]
    answer = api.list(dateFrom=timestamp(times[1]), dateTo=timestamp(times[3] + 1))
    assert listed(answer) == ids[3:0:-1]


def leaf_ids(server: RunningServer) -> set[int]:
    """Return the ids of all leaf teams of Engineering."""
    return {team.ref_id for team in server.organisation.trees[0].root.leaves()}


def found_leaves(node: dict[str, Any]) -> set[int]:
    """Return the leaf teams below a node of a hierarchy."""
    if node["leaf"]:
        return {node["refId"]}
    return {ref_id for child in node["children"] for ref_id in found_leaves(child)}


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
def test_a_search_is_by_name_manager_or_org_tree(api: Any, body: dict[str, Any], names: list[str]) -> None:
    """Without a body it finds all leaf teams; another key is rejected with the valid ones."""
    assert [team["name"] for team in api.call("POST", "v2/teams/list", json=body).json()["items"]] == names
    assert api.call("POST", "v2/teams/list").json()["totalItems"] == 7 + 2
    for key in ("team", {"orgTreeName": "Engineering"}):
        answer = api.call("POST", "v2/teams/list", json={"searchKey": key})
        assert answer.status_code == 400
        assert "orgTreeName" in answer.json()["message"]


def test_the_list_of_teams_needs_the_account(api: Any, server: RunningServer) -> None:
    """Unless the setting says otherwise."""
    assert api.call("GET", "v2/teams/list").status_code == 400
    assert api.call("GET", "v2/teams/list", {"account": "acc"}).json()["totalItems"] == 7 + 2
    server.reset(require_account=False)
    assert api.call("GET", "v2/teams/list", {"leafTeamsOnly": "false"}).json()["totalItems"] > 9


def test_an_org_tree_is_found_by_name_and_has_a_hierarchy(api: Any, server: RunningServer) -> None:
    """Its id leads to its nested teams; there are two ways to list org trees."""
    trees = api.call("POST", "v2/org-trees/list", json={}).json()
    tree_id = next(tree["id"] for tree in trees["records"] if tree["name"] == "Engineering")
    assert found_leaves(api.call("GET", f"v2/org-trees/{tree_id}/teams").json()) == leaf_ids(server)
    assert trees["totalCount"] == 2
    query = api.identifiers | {"accountIdentifier": "acc", "pageSize": 1, "pageIndex": 1}
    assert [tree["name"] for tree in api.call("GET", "v2/org-trees", query).json()["records"]] == ["Support"]
    unknown = api.call("GET", "v2/org-trees/77/teams")
    assert unknown.status_code == 404
    assert "errorId" in unknown.json()


def test_people_are_a_page_or_a_file_by_the_accept_header(api: Any) -> None:
    """Developers and their identities; nothing else is documented."""
    for path, total in (("v2/developers", 40), ("v2/developers/identities", 80)):
        page = api.call("GET", path, {"pageSize": 3, "pageIndex": 1}, headers={"Accept": "application/json"}).json()
        file = api.call("GET", path, {}, headers={"Accept": "text/csv"})
        assert (len(page["records"]), page["totalRecords"], file.headers["Content-Type"]) == (3, total, "text/csv")
        assert file.text.splitlines()[0].split(",") == list(page["records"][0])
        refused = api.call("GET", path, {}), api.call("GET", path, {"page": 1}), api.call("POST", path)
        assert [answer.status_code for answer in refused] == [406, 400, 405]
