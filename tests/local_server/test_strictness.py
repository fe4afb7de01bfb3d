"""What the server refuses."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.protocol.families import get_family

EXPORTS = "v2/insights/productivity/exports"
JANUARY = {"start": "2024-01-01", "end": "2024-01-31"}


class TestKeys:
    """Who may call."""

    @pytest.mark.parametrize(
        ("header", "value", "status"),
        [
            ("authorization", "ApiKey demo-key", 200),
            ("Authorization", "apikey demo-key", 200),
            ("SEI_API_KEY", "demo-key", 200),
            ("x-api-key", "demo-key", 401),
            ("authorization", "Bearer demo-key", 401),
            ("authorization", "ApiKey wrong", 401),
            ("authorization", "ApiKey demo-ingestion-key", 403),
            ("accept", "text/csv", 401),
        ],
    )
    def test_exports_take_the_documented_headers(
        self, api: Any, server: RunningServer, header: str, value: str, status: int
    ) -> None:
        """No key or a wrong one is 401, a key that may only ingest is 403."""
        url = f"{server.base_url}/{EXPORTS}"
        answer = requests.get(url, params=api.identifiers, headers={header: value}, timeout=10)
        assert answer.status_code == status

    @pytest.mark.parametrize(
        ("header", "value", "status"),
        [("x-api-key", "demo-key", 200), ("authorization", "ApiKey demo-key", 200), ("SEI_API_KEY", "demo-key", 401)],
    )
    def test_legacy_reports_take_others(
        self, api: Any, server: RunningServer, header: str, value: str, status: int
    ) -> None:
        """The text says x-api-key, the examples say authorization."""
        del api.session.headers["authorization"]
        api.session.headers[header] = value
        assert api.legacy().status_code == status
        assert server.requests[-1].auth == header

    def test_settings_choose_the_headers(self, api: Any, server: RunningServer) -> None:
        """A server that takes x-api-key alone refuses the others."""
        server.reset(v2_headers=("x-api-key",))
        assert api.list().status_code == 401


class TestQuery:
    """Query parameters."""

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ([("projectIdentifier", "demo_project")], 400),
            ([("orgIdentifier", "default")], 400),
            ([("projectIdentifier", ""), ("orgIdentifier", "default")], 400),
            ([("projectIdentifier", "demo_project"), ("orgIdentifier", "default"), ("orgIdentifier", "default")], 400),
            ([("projectIdentifier", "demo_project"), ("orgIdentifier", "default"), ("Limit", "5")], 400),
            ([("projectIdentifier", "elsewhere"), ("orgIdentifier", "default")], 403),
            ([("projectIdentifier", "demo_project"), ("orgIdentifier", "default")], 200),
        ],
    )
    def test_identifiers_are_needed_exactly_once(self, api: Any, query: Any, status: int) -> None:
        """Missing, empty, repeated, misspelt and foreign ones are refused on every call."""
        assert api.call("GET", EXPORTS, query).status_code == status
        export_id = api.created()
        assert api.call("GET", f"{EXPORTS}/{export_id}", query).status_code == status
        created = api.call("POST", EXPORTS, query, json=api.body())
        assert created.status_code == status

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("limit", "101"), ("limit", "0"), ("limit", "x"), ("page", "-1"), ("status", "completed")),
            *(
                ("scope", "ours"),
                ("dateFrom", "2024-01-01"),
                ("dateTo", "T0"),
                ("sortBy", "size"),
                ("sortOrder", "up"),
            ),
        ],
    )
    def test_list_filters_have_documented_values(self, api: Any, name: str, value: str) -> None:
        """Anything else is 400."""
        answer = api.list(**{name: value})
        assert answer.status_code == 400
        assert name in answer.json()["message"]


class TestPaths:
    """Paths and methods."""

    def test_the_base_path_belongs_to_every_path(self, server: RunningServer, api: Any) -> None:
        """A client that loses it gets a 404, as it would from the vendor."""
        answer = api.session.get(f"{server.origin}/{EXPORTS}", params=api.identifiers, timeout=10)
        assert answer.status_code == 404
        assert answer.json()["status"] == 404

    @pytest.mark.parametrize(("method", "path"), [("DELETE", EXPORTS), ("POST", f"{EXPORTS}/exp_1"), ("PUT", EXPORTS)])
    def test_other_methods_are_405(self, api: Any, method: str, path: str) -> None:
        """There is no way to cancel or delete an export."""
        answer = api.call(method, path)
        assert answer.status_code == 405
        assert "GET" in answer.headers["Allow"]

    @pytest.mark.parametrize(
        ("served", "first", "alternate"), [("both", 202, 200), ("first", 202, 404), ("alternate", 404, 202)]
    )
    def test_either_spelling_of_a_collection_can_be_left_out(
        self, api: Any, server: RunningServer, served: str, first: int, alternate: int
    ) -> None:
        """The documents disagree on sprint and sprints, so a client must cope with either."""
        server.reset(collection_paths=served)
        family = get_family("sprint")
        paths = (family.collection_path, family.alternate_collection_path)
        answers = [api.call("POST", path, json=api.body()).status_code for path in paths]
        assert answers == [first, alternate]


class TestCreateBody:
    """Bodies of create requests."""

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
            ("productivity", {"daterange": JANUARY}, "daterange"),
            ("productivity", {"options": {"granularity": "hourly"}}, "hourly"),
            ("productivity", {"options": {"computationMode": "TICKETS"}}, "computationMode"),
            ("productivity", {"options": {"format": "json"}}, "format"),
            ("productivity", {"issueStatuses": ["Done"]}, "issueStatuses"),
            ("ba", {"scope": {"teamId": "456", "orgTreeName": "Engineering", "orgIdentifier": "x"}}, "not both"),
            ("ba", {"scope": {"orgTreeName": "Engineering"}}, "orgIdentifier"),
            ("efficiency", {"metricGroups": []}, "metricGroups"),
        ],
    )
    def test_what_no_document_allows_is_refused(
        self, api: Any, server: RunningServer, family: str, changes: dict[str, Any], word: str
    ) -> None:
        """The message names the field, and nothing is created."""
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
            ("ticket-data", {"issueStatuses": ["In Progress"], "options": {"terminalDateColumn": "issue_resolved_at"}}),
            ("sprint", {"options": {"computationMode": "tickets", "granularity": "sprint", "metricLevel": "team"}}),
            ("productivity", {"dateRange": {"start": "2024-01-01", "end": "2024-01-01"}}),
        ],
    )
    def test_what_the_documents_allow_is_taken(self, api: Any, family: str, changes: dict[str, Any]) -> None:
        """In any case of the letters."""
        assert api.create(family, **changes).status_code == 202

    def test_unknown_metrics_are_refused_if_so_desired(self, api: Any, server: RunningServer) -> None:
        """By default they are taken, as the list grows."""
        server.reset(strict_metrics=True)
        assert api.create(metrics=["A_METRIC_OF_TOMORROW"]).status_code == 400
        assert api.create(metrics=["pr_merged"], metricGroups=["Velocity"]).status_code == 202

    def test_unknown_metrics_of_a_report_are_refused_if_so_desired(self, api: Any, server: RunningServer) -> None:
        """Those of each of its sections."""
        server.reset(strict_metrics=True)
        assert api.legacy(productivity={"metrics": ["A_METRIC_OF_TOMORROW"]}).status_code == 400
        assert api.legacy().status_code == 200

    def test_further_fields_are_taken_if_so_desired(self, api: Any, server: RunningServer) -> None:
        """A lenient server stands for what the vendor may add."""
        server.reset(strict_body=False)
        assert api.create(somethingNew={"a": 1}).status_code == 202

    @pytest.mark.parametrize(
        ("content_type", "data"),
        [("text/plain", b"{}"), ("application/json", b"[]"), ("application/json", b"{"), ("application/json", b"")],
    )
    def test_a_body_is_a_json_object_and_says_so(self, api: Any, content_type: str, data: bytes) -> None:
        """Everything else is 400."""
        assert api.call("POST", EXPORTS, data=data, headers={"Content-Type": content_type}).status_code == 400


class TestRateLimit:
    """Calls per minute."""

    def test_a_key_has_so_many_calls_a_minute_by_the_servers_clock(self, api: Any, server: RunningServer) -> None:
        """What is beyond is 429, without Retry-After; a minute later there is room again."""
        server.reset(clock=server.clock, rate_limit_per_minute=3)
        answers = [api.list() for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert "Retry-After" not in answers[-1].headers
        server.clock.advance(60)
        assert api.list().status_code == 200

    def test_x_api_key_has_its_own_limit(self, api: Any, server: RunningServer) -> None:
        """The vendor's limits differ by the kind of header."""
        server.reset(clock=server.clock, x_api_key_limit_per_minute=1)
        api.session.headers["x-api-key"] = server.api_key
        assert [api.legacy().status_code for _ in range(2)] == [200, 429]
        assert api.list().status_code == 200
