"""Lists of exports."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_sei.local_server.clock import timestamp
from airflow_provider_sei.local_server.running import RunningServer


@pytest.fixture
def ids(api: Any, server: RunningServer) -> list[str]:
    """Five exports, one a minute, the last one still queued; the second one of another team, the third failed."""
    scopes = [{"teamId": team} for team in ("456", "123", "99", "456", "456")]
    created = []
    for month, scope in enumerate(scopes, start=1):
        server.clock.advance(60)
        dates = {"start": f"2024-0{month}-01", "end": f"2024-0{month}-28"}
        created.append(api.created(scope=scope, dateRange=dates))
    return created


def listed(answer: Any) -> list[str]:
    """Return the ids of a list's entries."""
    return [item["exportId"] for item in answer.json()["exports"]]


def test_the_newest_export_comes_first(api: Any, ids: list[str]) -> None:
    """Fifty entries a page, by creation, descending."""
    answer = api.list()
    assert listed(answer) == ids[::-1]
    assert answer.json()["pagination"] == {"total": 5, "limit": 50, "page": 0, "totalPages": 1, "hasMore": False}


def test_pages_count_from_zero(api: Any, ids: list[str]) -> None:
    """Two entries a page make three pages, and the fourth is empty."""
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
    """Each documented filter works."""
    assert listed(api.list(sortOrder="asc", **filters)) == [ids[index] for index in expected]


def test_dates_bound_the_creation(api: Any, ids: list[str], server: RunningServer) -> None:
    """From and to, both included."""
    at = [record.created_at for record in server.exports]
    answer = api.list(dateFrom=timestamp(at[1]), dateTo=timestamp(at[3]), sortOrder="asc")
    assert listed(answer) == ids[1:4]


def test_mine_are_those_of_the_key(api: Any, ids: list[str], server: RunningServer) -> None:
    """A colleague sees all exports, and none as his own."""
    api.session.headers["authorization"] = f"ApiKey {server.settings.colleague_key}"
    assert listed(api.list(scope="mine")) == []
    assert len(listed(api.list(scope="all"))) == len(ids)


def test_entries_name_the_file_by_download_url(api: Any, ids: list[str]) -> None:
    """Also in the families whose status has a download object."""
    items = {item["exportId"]: item for item in api.list().json()["exports"]}
    assert items[ids[0]]["downloadUrl"].endswith(f"{ids[0]}/download")
    assert "downloadUrl" not in items[ids[4]]


def test_a_family_lists_its_own_exports(api: Any, ids: list[str]) -> None:
    """Other families are not in the list."""
    assert ids
    assert listed(api.list("ba")) == []


class TestLyingLists:
    """Lists that depart from the document."""

    @pytest.mark.parametrize(
        ("shape", "where"),
        [("bare", None), ("_metadata", "exports"), ("other_key", "data"), ("no_pagination", "exports")],
    )
    def test_lists_come_in_other_shapes(self, api: Any, server: RunningServer, shape: str, where: str | None) -> None:
        """The entries are the same."""
        export_id = api.created()
        server.faults.add("list", "shape", shape=shape)
        answer = api.list().json()
        items = answer[where] if where else answer
        assert [item["exportId"] for item in items] == [export_id]

    def test_an_endless_list_always_has_new_entries(self, api: Any, server: RunningServer) -> None:
        """No page is short, no entry comes twice."""
        server.faults.add("list", "shape", shape="endless", times=None)
        found = [entry for page in (0, 1, 1000) for entry in listed(api.list(page=page))]
        assert len(set(found)) == 150

    def test_a_repeating_list_gives_its_first_page_again(self, api: Any, server: RunningServer) -> None:
        """Whatever page is asked for, and says there are more."""
        export_id = api.created()
        server.faults.add("list", "shape", shape="repeating", times=None)
        answer = api.list(page=7)
        assert listed(answer) == [export_id]
        assert answer.json()["pagination"]["hasMore"] is True

    def test_a_list_can_claim_more_than_it_has(self, api: Any, server: RunningServer) -> None:
        """An empty page still says that there are more."""
        server.faults.add("list", "shape", shape="always_more")
        answer = api.list(page=3)
        assert listed(answer) == []
        assert answer.json()["pagination"]["hasMore"] is True
