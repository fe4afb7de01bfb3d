"""What the hook does with a connection, and what testing one reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.exceptions import SEIArgumentError, SEIAuthError
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.report_request import ReportRequest


class TestOverrides:
    """The hook's own values."""

    def test_they_are_sent_in_place_of_the_connections(self, hook: SEIHook, sei_server: Any) -> None:
        """In the query and as the header."""
        other = SEIHook(hook.sei_conn_id, project_identifier="p2", org_identifier="o2", auth_header="SEI_API_KEY")
        with pytest.raises(SEIAuthError):
            next(other.iter_exports("ba"))
        [request] = sei_server.requests
        assert dict(request.query).items() >= {"projectIdentifier": "p2", "orgIdentifier": "o2"}.items()
        assert request.auth == "SEI_API_KEY"

    def test_empty_ones_change_no_call_of_an_export(self, sei_connection: str, sei_server: Any) -> None:
        """A template may render to nothing."""
        empty = dict.fromkeys(("project_identifier", "org_identifier", "account_id", "auth_header"), "")
        for hook in (SEIHook(sei_connection, **empty), SEIHook(sei_connection)):
            list(hook.iter_exports("ba"))
        first, second = sei_server.requests
        assert (first.query, first.auth, first.status) == (second.query, second.auth, 200)

    def test_an_unknown_header_is_refused(self, sei_connection: str) -> None:
        """With those that SEI reads."""
        with pytest.raises(SEIArgumentError, match=r"one of authorization.*did you mean 'x-api-key'"):
            _ = SEIHook(sei_connection, auth_header="x-api-kye").settings

    def test_the_account_is_sent_with_reports_only(
        self, sei_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Calls of exports do not take it."""
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json(account_id="acc"))
        hook = SEIHook()
        list(hook.iter_exports("ba"))
        report = ReportRequest.from_arguments(collection_id="456", date_start="2024-01-01", date_end="2024-01-31")
        hook.download_report(report, Destination.from_arguments(f"{tmp_path}/report.csv"))
        listed, reported = (dict(request.query) for request in sei_server.requests)
        assert "accountId" not in listed
        assert reported["accountId"] == "acc"


class TestFields:
    """A connection that cannot work."""

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"host": "prod3"}, "did you mean 'prod"),
            ({"host": "http://sei.example/api"}, "use https"),
            ({"host": "https://user:pw@sei.example"}, "the API key is the password"),
            ({"password": ""}, "API key is missing"),
            ({"password": "two words"}, "HTTP header"),
            ({"password": "schlüssel"}, "HTTP header"),
            ({"extra": {"project_identifier": ""}}, "project_identifier is missing"),
            ({"extra": {"org_identifier": ""}}, "org_identifier is missing"),
            ({"extra": {"org_identifier": ["default"]}}, "org_identifier must be text"),
            ({"extra": {"auth_header": "Bearer"}}, "auth_header 'Bearer'"),
            ({"extra": {"read_timeout": "soon"}}, "read_timeout must be a number"),
            ({"extra": {"calls_per_minute": 5000}}, "calls_per_minute must be a number"),
            ({"extra": {"ca_bundle": "/nowhere.pem"}}, "ca_bundle '/nowhere.pem'"),
        ],
    )
    def test_it_is_refused_by_its_field_before_any_call(
        self, sei_server: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
    ) -> None:
        """In one line without secrets, permanently."""
        connection = json.loads(sei_server.connection_json())
        extra = connection["extra"] | changes.get("extra", {})
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection | changes | {"extra": extra}))
        with pytest.raises(SEIArgumentError, match=words) as caught:
            list(SEIHook().iter_exports("ba"))
        assert "\n" not in str(caught.value)
        assert caught.value.retryable is False
        for secret in (sei_server.api_key, "pw@", "two words", "schlüssel"):
            assert secret not in str(caught.value)
        assert sei_server.requests == []


class TestTestConnection:
    """``test_connection``, which the button of Airflow's form calls."""

    def test_a_connection_that_works_is_reported(self, hook: SEIHook, sei_server: Any) -> None:
        """After one call, which creates nothing."""
        works, sentence = hook.test_connection()
        assert works
        assert sei_server.base_url in sentence
        [request] = sei_server.requests
        assert (request.method, request.operation, dict(request.query)["limit"]) == ("GET", "list", "1")

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            (
                {"api_key": "another"},
                '401 ("Invalid API key"): could not list',
            ),
            ({"ingestion_key": "demo-key", "api_key": "x"}, "(AIDI Ingestion cannot"),
            ({"project": "another"}, "role"),
            ({"base_path": "/elsewhere"}, "base URL"),
            ({"v2_headers": ("x-api-key",)}, "auth_header"),
        ],
    )
    def test_one_that_does_not_is_reported_with_advice(
        self, hook: SEIHook, sei_server: Any, settings: dict[str, Any], words: str
    ) -> None:
        """In one line without the key."""
        key = hook.settings.api_key
        sei_server.reset(**settings)
        works, sentence = hook.test_connection()
        assert not works
        assert words in sentence
        assert "\n" not in sentence
        assert key not in sentence

    @pytest.mark.parametrize(("status", "words"), [(200, "may list exports"), (404, "404")])
    def test_a_base_url_without_its_path_is_warned_of(
        self, monkeypatch: pytest.MonkeyPatch, requests_mock: Any, task_log: Any, *, status: int, words: str
    ) -> None:
        """Whatever it answers; calls warn in the log."""
        extra = {"project_identifier": "p", "org_identifier": "o"}
        connection = {"conn_type": "harness_sei", "host": "app.harness.io", "password": "a-key", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))
        requests_mock.get("https://app.harness.io/v2/insights/productivity/exports", json=[], status_code=status)
        works, sentence = SEIHook().test_connection()
        assert (works, words in sentence) == (status == 200, True)
        for text in (sentence, task_log.text):
            assert "https://app.harness.io/prod1/sei/api" in text
            assert text.count("https://accounts.eu.harness.io/sei/api") == 1

    def test_an_unreachable_host_is_reported_without_retries(
        self, hook: SEIHook, sei_server: Any, raw_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Because a user is waiting."""
        monkeypatch.setattr(SEIHook, "_pause", lambda _, seconds: pytest.fail(f"it waited {seconds} s"))
        server = raw_server()
        server.close()
        connection = json.loads(sei_server.connection_json()) | {"host": server.origin}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))
        works, sentence = hook.test_connection()
        assert not works
        assert server.origin in sentence

    def test_a_server_error_is_reported_without_retries(self, hook: SEIHook, sei_server: Any) -> None:
        """Likewise."""
        sei_server.faults.add("list", "answer", status=503, times=None)
        works, sentence = hook.test_connection()
        assert not works
        assert "503" in sentence
        assert len(sei_server.requests) == 1

    def test_a_missing_connection_and_an_invalid_field_are_reported(
        self, hook: SEIHook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And not raised; the form's connection has a made-up id, which is not shown."""
        works, sentence = SEIHook("nowhere").test_connection()
        assert not works
        assert "nowhere" in sentence
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps({"conn_type": "harness_sei", "password": "x"}))
        assert hook.test_connection()[1].startswith("host is empty")
