"""What the server rejects: keys, queries, paths, bodies and rates."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.local_server import service
from airflow_provider_sei.local_server.faults import ActiveFaults
from airflow_provider_sei.local_server.organisation import OWNER
from airflow_provider_sei.local_server.routing import ApiError, Call, Route
from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.state import ServerState
from airflow_provider_sei.local_server.validation import check_create, check_legacy
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily, get_family

EXPORTS = "v2/insights/productivity/exports"


@pytest.mark.parametrize(
    ("header", "value", "exports", "legacy"),
    [
        ("authorization", "ApiKey demo-key", 200, 200),
        ("Authorization", "apikey demo-key", 200, 200),
        ("SEI_API_KEY", "demo-key", 200, 401),
        ("x-api-key", "demo-key", 401, 200),
        ("authorization", "Bearer demo-key", 401, 401),
        ("authorization", "ApiKey wrong", 401, 401),
        ("authorization", "ApiKey demo-ingestion-key", 403, 403),
        ("accept", "text/csv", 401, 401),
    ],
)
def test_keys_come_in_the_documented_headers(api: Any, header: str, value: str, exports: int, legacy: int) -> None:
    """Those of legacy reports differ; a key that may only ingest is 403."""
    del api.session.headers["authorization"]
    api.session.headers[header] = value
    assert api.list().status_code == exports
    assert api.legacy().status_code == legacy


PROJECT, ORG = ("projectIdentifier", "demo_project"), ("orgIdentifier", "default")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ([PROJECT], 400),
        ([ORG], 400),
        ([("projectIdentifier", ""), ORG], 400),
        ([PROJECT, ORG, ORG], 400),
        ([PROJECT, ORG, ("Limit", "5")], 400),
        ([("projectIdentifier", "elsewhere"), ORG], 403),
        ([PROJECT, ORG], 200),
    ],
)
def test_identifiers_are_required_exactly_once(api: Any, query: Any, status: int) -> None:
    """On every call about exports."""
    export_id = api.created()
    assert api.call("GET", EXPORTS, query).status_code == status
    assert api.call("GET", f"{EXPORTS}/{export_id}", query).status_code == status
    assert api.call("POST", EXPORTS, query, json=api.body()).status_code == status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", "101"), ("limit", "0"), ("limit", "x"), ("page", "-1"), ("status", "completed")),
        *(("scope", "ours"), ("dateFrom", "2024-01-01"), ("dateTo", "T0"), ("sortBy", "size"), ("sortOrder", "up")),
    ],
)
def test_list_filters_have_documented_values(api: Any, name: str, value: str) -> None:
    """Others are 400."""
    answer = api.list(**{name: value})
    assert answer.status_code == 400
    assert name in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", EXPORTS), ("POST", f"{EXPORTS}/exp_1"), ("DELETE", "v2/teams/list"), ("PATCH", "v2/org-trees/1/teams")],
)
def test_other_methods_are_405_and_paths_without_the_base_path_404(
    api: Any, server: RunningServer, method: str, path: str
) -> None:
    """With the allowed methods; in the vendor's format."""
    answer = api.call(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) & {"GET", "POST"}
    answer = api.session.get(f"{server.origin}/{EXPORTS}", params=api.identifiers, timeout=10)
    assert answer.status_code == answer.json()["status"] == 404


@pytest.mark.parametrize(
    ("served", "first", "alternate"), [("both", 202, 200), ("first", 202, 404), ("alternate", 404, 202)]
)
def test_either_path_of_a_collection_can_be_left_out(
    api: Any, server: RunningServer, served: str, first: int, alternate: int
) -> None:
    """The documents disagree on sprint and sprints."""
    server.reset(collection_paths=served)
    family = get_family("sprint")
    paths = (family.collection_path, family.alternate_collection_path)
    assert [api.call("POST", path, json=api.body()).status_code for path in paths] == [first, alternate]


@pytest.mark.parametrize(
    ("family", "changes", "word"),
    [
        ("productivity", {"dateRange": {"start": "2024-1-1", "end": "2024-01-31"}}, "yyyy-MM-dd"),
        ("productivity", {"dateRange": {"start": "2024-02-30", "end": "2024-03-31"}}, "yyyy-MM-dd"),
        ("productivity", {"dateRange": {"start": "2024-02-01", "end": "2024-01-31"}}, "before"),
        ("productivity", {"dateRange": {"start": "2024-02-01"}}, "dateRange"),
        ("productivity", {"scope": {}}, "scope"),
        ("productivity", {"scope": None}, "scope"),
        ("productivity", {"scope": {"teamId": 456}}, "teamId"),
        ("productivity", {"scope": {"team": "456"}}, "team"),
        ("productivity", {"metrics": "PR_MERGED"}, "metrics"),
        ("productivity", {"daterange": {}}, "daterange"),
        ("productivity", {"options": {"granularity": "hourly"}}, "hourly"),
        ("productivity", {"options": {"computationMode": "TICKETS"}}, "computationMode"),
        ("productivity", {"options": {"format": "json"}}, "format"),
        ("productivity", {"issueStatuses": ["Done"]}, "issueStatuses"),
        ("ba", {"scope": {"teamId": "456", "orgTreeName": "Engineering", "orgIdentifier": "x"}}, "not both"),
        ("ba", {"scope": {"orgTreeName": "Engineering"}}, "orgIdentifier"),
        ("efficiency", {"metricGroups": []}, "metricGroups"),
        ("efficiency", {"metrics": ["LTTC"]}, "mutually exclusive"),
        ("efficiency", {"scope": {"managerEmailId": ""}}, "managerEmailId"),
        *(
            ("efficiency", {"options": {"workCategoryFilter": value}}, "workCategoryFilter")
            for value in ("BUGS", ["TASKS"], [1], ["ALL", "BUGS"])
        ),
        ("sprint", {"options": {"workCategoryFilter": ["BUGS"]}}, "workCategoryFilter"),
    ],
)
def test_undocumented_create_requests_are_rejected(
    api: Any, server: RunningServer, family: str, changes: dict[str, Any], word: str
) -> None:
    """The message names the field; nothing is created."""
    answer = api.create(family, **changes)
    assert answer.status_code == 400
    assert answer.json() | {"message": ""} == {"status": 400, "error": "Bad Request", "message": ""}
    assert word in answer.json()["message"]
    assert server.exports == []


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("productivity", {"scope": {"orgTreeName": "Engineering", "teamId": "456"}}),
        ("productivity", {"options": {"metricLevel": "Developer", "granularity": "WEEKLY"}}),
        ("productivity", {"metrics": ["PR_Merged"], "metricGroups": ["velocity"]}),
        ("productivity", {"metrics": ["A_METRIC_OF_TOMORROW"]}),
        ("ba", {"scope": {"orgTreeName": "Engineering", "orgIdentifier": "default"}}),
        ("efficiency", {"scope": {"managerEmailId": "manager.456@company.example"}}),
        ("efficiency", {"options": {"workCategoryFilter": ["BUGS", "FEATURES"]}}),
        ("ticket-data", {"issueStatuses": ["In Progress"], "options": {"terminalDateColumn": "issue_resolved_at"}}),
        ("sprint", {"options": {"computationMode": "tickets", "granularity": "sprint", "metricLevel": "team"}}),
        ("productivity", {"dateRange": {"start": "2024-01-01", "end": "2024-01-01"}}),
        ("productivity", {"options": {"aggregation": "p90"}}),
    ],
)
def test_documented_create_requests_are_accepted(api: Any, family: str, changes: dict[str, Any]) -> None:
    """In upper and lower case."""
    assert api.create(family, **changes).status_code == 202


@pytest.mark.parametrize(
    "changes",
    [
        {"collectionId": None},
        {"collectionId": 456},
        {"teamRefId": "456"},
        {"teamRefId": 457},
        {"dateStart": "2024-01-01T00:00:00Z"},
        {"dateEnd": "2023-01-01"},
        {"granularity": 7},
        {"includeRatings": "yes"},
        {"productivity": None},
        {"productivity": {"metrics": "all"}},
        {"efficiency": {"metrics": [], "calculationType": "MODE"}},
        {"teamId": "456"},
    ],
)
def test_undocumented_report_requests_are_rejected(api: Any, server: RunningServer, changes: dict[str, Any]) -> None:
    """In plain text, as the vendor's legacy endpoint does."""
    answer = api.legacy(**changes)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert server.legacy_reports == []
    assert api.call("POST", "v2/insights/teams/reports", {"format": "json"}, json={}).status_code == 400


def test_settings_choose_how_strict_the_server_is(api: Any, server: RunningServer) -> None:
    """About metrics, further fields and the key's header."""
    server.reset(strict_metrics=True, strict_body=False)
    assert api.create(metrics=["A_METRIC_OF_TOMORROW"]).status_code == 400
    assert api.create(metrics=["pr_merged"], metricGroups=["Velocity"], somethingNew={"a": 1}).status_code == 202
    assert api.legacy(productivity={"metrics": ["A_METRIC_OF_TOMORROW"]}).status_code == 400
    assert api.legacy().status_code == 200
    server.reset(v2_headers=("x-api-key",))
    assert api.list().status_code == 401


@pytest.mark.parametrize(
    ("content_type", "data"),
    [("text/plain", b"{}"), ("application/json", b"[]"), ("application/json", b"{"), ("application/json", b"")],
)
def test_a_body_is_a_json_object_with_its_content_type(api: Any, content_type: str, data: bytes) -> None:
    """Everything else is 400."""
    assert api.call("POST", EXPORTS, data=data, headers={"Content-Type": content_type}).status_code == 400


def test_a_key_has_a_rate_limit_by_the_servers_clock(api: Any, server: RunningServer) -> None:
    """Beyond it 429, without Retry-After; a minute later calls are accepted again. That of x-api-key is its own."""
    server.reset(rate_limit_per_minute=3)
    answers = [api.list() for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert "Retry-After" not in answers[-1].headers
    server.clock.advance(60)
    assert api.list().status_code == 200
    server.reset(x_api_key_limit_per_minute=1)
    api.session.headers["x-api-key"] = server.api_key
    assert [api.legacy().status_code, api.legacy().status_code, api.list().status_code] == [200, 429, 200]


NAMES = st.sampled_from(["456", "Engineering", "\ud800", ""])
DATES = st.sampled_from(["2024-01-01", "2024-02-30", "9999-12-31", "0001-01-01", "2024-01-31T00:00:00Z"])
PARTS = ("scope", "dateRange", "metricGroups", "metrics", "options", "issueStatuses", "collectionId", "teamRefId")
PARTS += ("dateStart", "dateEnd", "granularity", "includeRatings", "productivity", "efficiency", "calculationType")
PARTS += ("searchKey", "searchValue", "leafTeamsOnly", "teamId", "orgTreeName", "orgIdentifier", "start", "end")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES | DATES | st.sampled_from(PARTS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(PARTS), inner, max_size=3),
    max_leaves=6,
)
REPORT = {"collectionId": "456", "dateStart": "2024-01-01", "dateEnd": "2024-03-31", "productivity": {"metrics": []}}


@given(st.dictionaries(st.sampled_from(PARTS), VALUES, max_size=3), st.sampled_from(list(FAMILIES.values())))
def test_any_body_is_accepted_or_rejected(changes: dict[str, Any], family: ExportFamily) -> None:
    """Whatever the JSON, there is no other error."""
    settings = ServerSettings(strict_body=False, strict_metrics=True)
    period = {"scope": {"teamId": "456"}, "dateRange": {"start": "2024-01-01", "end": "2024-01-31"}}
    with contextlib.suppress(ApiError):
        check_create(settings, family, period | changes)
    with contextlib.suppress(ApiError):
        check_legacy(settings, REPORT | changes)
    headers, body = {"Content-Type": "application/json"}, json.dumps(changes).encode()
    call = Call(route=Route(operation="search_teams"), query=[], headers=headers, body=body, user=OWNER)
    with contextlib.suppress(ApiError):
        service.answer(ServerState(settings), call, ActiveFaults([]))


@given(NAMES, st.lists(NAMES, max_size=2), st.sampled_from(["2024-01-01", "2200-12-31", "1970-01-01"]))
def test_whatever_is_accepted_has_a_file(team: str, statuses: list[str], day: str) -> None:
    """Unusual characters and the ends of the calendar included."""
    body = {"scope": {"teamId": team}, "dateRange": {"start": day, "end": day}, "issueStatuses": statuses}
    family, state = FAMILIES["ticket-data"], ServerState(ServerSettings(seconds_to_complete=0))
    with contextlib.suppress(ApiError):
        check_create(state.settings, family, body)
        export, _ = state.store.create(family, body, OWNER, None)
        assert len(state.store.files(export)[1]) > 0
