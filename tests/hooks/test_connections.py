"""What the hook makes of a connection, and what testing one says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.hooks.sei import SEIHook


class TestOverrides:
    """Values of the hook in place of the connection's."""

    def test_they_reach_the_server(self, hook: SEIHook, sei_server: Any, raw_server: Any) -> None:
        """In the query and in the header."""
        assert hook.settings.project_identifier == sei_server.project
        other = SEIHook(hook.sei_conn_id, project_identifier="p2", org_identifier="o2", auth_header="SEI_API_KEY")
        with pytest.raises(exceptions.SEIAuthError):
            next(other.iter_exports("ba"))
        [request] = sei_server.requests
        assert dict(request.query) | {"projectIdentifier": "p2", "orgIdentifier": "o2"} == dict(request.query)
        assert request.auth == "SEI_API_KEY"
        assert raw_server is not None

    def test_empty_ones_change_nothing(self, sei_connection: str, sei_server: Any) -> None:
        """A template may render to nothing."""
        hook = SEIHook(sei_connection, project_identifier="", org_identifier="", account_id="", auth_header="")
        assert hook.settings.project_identifier == sei_server.project
        assert hook.settings.auth_header is None

    def test_an_unknown_header_is_refused(self, sei_connection: str) -> None:
        """With the ones that SEI reads."""
        hook = SEIHook(sei_connection, auth_header="x-api-kye")
        with pytest.raises(exceptions.SEIArgumentError, match=r"did you mean 'x-api-key'.*known: authorization"):
            _ = hook.settings

    def test_the_account_travels_under_the_endpoints_own_name(
        self, sei_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        """The vendor has three; export calls take none."""
        from airflow_provider_sei.delivery.destination import Destination
        from airflow_provider_sei.protocol.report_request import ReportRequest

        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json(account_id="acc"))
        hook = SEIHook()
        list(hook.iter_exports("ba"))
        spec = ReportRequest.from_arguments(
            report_type="team", collection_id="456", date_start="2024-01-01", date_end="2024-01-31"
        )
        hook.download_report(spec, Destination.from_arguments(f"{tmp_path}/"), name="report.csv")
        exports, report = (dict(request.query) for request in sei_server.requests)
        assert "accountId" not in exports
        assert report["accountId"] == "acc"


class TestConnectionFields:
    """A connection that cannot work is named, with the field and the remedy, before any call."""

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"host": ""}, "host is empty: give a base URL or one of the aliases prod1, prod2, eu"),
            ({"host": "prod3"}, "host 'prod3' is neither a URL nor an alias: did you mean 'prod"),
            ({"host": "ftp://x.example"}, r"is not an http\(s\) URL"),
            ({"host": "http://sei.example/api"}, "use https"),
            ({"host": "https://user:pw@sei.example"}, "the API key belongs in the password"),
            ({"host": "https://sei.example/?key=1"}, "without user, query or fragment"),
            ({"password": ""}, "the API key is missing: set it as the connection's password"),
            ({"password": "two words"}, "characters that no HTTP header can carry"),
            ({"password": "schlüssel"}, "characters that no HTTP header can carry"),
            ({"extra": {"project_identifier": ""}}, "project_identifier is missing: set it in the connection's extra"),
            ({"extra": {"org_identifier": ""}}, "org_identifier is missing: set it in the connection's extra"),
            ({"extra": {"org_identifier": ["default"]}}, "org_identifier in the connection's extra must be text"),
            ({"extra": {"auth_header": "Bearer"}}, "auth_header 'Bearer' is not one that SEI reads"),
            ({"extra": {"read_timeout": "soon"}}, "read_timeout in the connection's extra must be a number"),
            ({"extra": {"connect_timeout": 0}}, r"connect_timeout .* must be a number from 0\.1 to 3600, not 0"),
            ({"extra": {"calls_per_minute": 5000}}, "calls_per_minute .* must be a number from 1 to 1000"),
            ({"extra": {"ca_bundle": "/nowhere.pem"}}, "ca_bundle '/nowhere.pem' .* is not a file or folder"),
        ],
    )
    def test_each_wrong_field_is_named(
        self, sei_server: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
    ) -> None:
        """The task ends without a retry; the key is not part of the sentence."""
        connection = json.loads(sei_server.connection_json())
        extra = connection["extra"] | changes.get("extra", {})
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection | changes | {"extra": extra}))
        with pytest.raises(exceptions.SEIArgumentError, match=words) as caught:
            list(SEIHook().iter_exports("ba"))
        assert "\n" not in str(caught.value)
        assert caught.value.retryable is False
        for secret in (sei_server.api_key, "pw@", "two words", "schlüssel"):
            assert secret not in str(caught.value)
        assert sei_server.requests == []


class TestTestConnection:
    """``test_connection``, behind the button of Airflow's form."""

    def test_it_says_what_works(self, hook: SEIHook, sei_server: Any) -> None:
        """One call that creates nothing."""
        assert hook.test_connection() == (
            True,
            f"{sei_server.base_url} answers, and the API key may list exports",
        )
        assert [(request.method, request.operation) for request in sei_server.requests] == [("GET", "list")]
        assert dict(sei_server.requests[0].query)["limit"] == "1"

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"api_key": "another"}, 'answered 401: "Invalid API key"; check the connection\'s API key (password)'),
            ({"ingestion_key": "demo-key", "api_key": "x"}, "an Ingestion key cannot read exports"),
            ({"project": "another"}, "check the key's role"),
            ({"base_path": "/elsewhere"}, "check the base URL's path"),
            ({"v2_headers": ("x-api-key",)}, "auth_header"),
        ],
    )
    def test_it_says_what_does_not(self, hook: SEIHook, sei_server: Any, settings: dict[str, Any], words: str) -> None:
        """With the status and the remedy, in one sentence."""
        host = hook.settings
        sei_server.reset(**settings)
        works, sentence = hook.test_connection()
        assert not works
        assert words in sentence
        assert "\n" not in sentence
        assert host.api_key not in sentence

    def test_an_unreachable_host_is_said(self, hook: SEIHook, raw_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """At once: somebody sits before the form."""
        monkeypatch.setattr(SEIHook, "_pause", lambda _, seconds: pytest.fail(f"it waited {seconds} s"))
        server = raw_server()
        server.close()
        monkeypatch.setenv(
            "AIRFLOW_CONN_SEI_DEFAULT",
            json.dumps(
                {
                    "conn_type": "harness_sei",
                    "host": server.origin,
                    "password": "demo-key",
                    "extra": {"project_identifier": "p", "org_identifier": "o"},
                }
            ),
        )
        works, sentence = hook.test_connection()
        assert not works
        assert f"no answer from {server.origin}" in sentence

    def test_somebody_waits_for_the_answer(self, hook: SEIHook, sei_server: Any) -> None:
        """So trouble that may pass is not waited out; five tries at a silent server took minutes."""
        sei_server.faults.add("list", "answer", status=503, times=None)
        works, sentence = hook.test_connection()
        assert not works
        assert "the server answered 503" in sentence
        assert len(sei_server.requests) == 1

    def test_a_connection_that_does_not_exist_is_said(self) -> None:
        """Rather than raised."""
        works, sentence = SEIHook("nowhere").test_connection()
        assert not works
        assert "nowhere" in sentence

    def test_a_wrong_field_is_said(self, hook: SEIHook, monkeypatch: pytest.MonkeyPatch) -> None:
        """By its name."""
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps({"conn_type": "harness_sei", "password": "x"}))
        assert hook.test_connection()[1].startswith("host is empty")
