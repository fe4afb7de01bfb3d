"""What the hook does with a connection, and what testing one reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests_mock as mocked

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.exceptions import SEIArgumentError, SEIAuthError
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.report_request import ReportRequest

REPORT = ReportRequest.from_arguments(collection_id="456", date_start="2024-01-01", date_end="2024-01-31")


class TestOverrides:
    """The hook's own values."""

    def test_they_are_sent_in_place_of_the_connections(self, hook: SEIHook, sei_server: Any) -> None:
        """In the query and as the header. Empty ones change no call of an export: a template may render to nothing."""
        other = SEIHook(hook.sei_conn_id, project_identifier="p2", org_identifier="o2", auth_header="SEI_API_KEY")
        with pytest.raises(SEIAuthError):
            next(other.iter_exports("ba"))
        empty = dict.fromkeys(("project_identifier", "org_identifier", "account_id", "auth_header"), "")
        for one in (SEIHook(hook.sei_conn_id, **empty), hook):
            list(one.iter_exports("ba"))
        changed, first, second = sei_server.requests
        assert dict(changed.query).items() >= {"projectIdentifier": "p2", "orgIdentifier": "o2"}.items()
        assert changed.auth == "SEI_API_KEY"
        assert (first.query, first.auth, first.status) == (second.query, second.auth, 200)

    def test_the_account_is_sent_with_reports_only(
        self, sei_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Calls of exports do not take it."""
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json(account_id="acc"))
        hook = SEIHook()
        list(hook.iter_exports("ba"))
        hook.download_report(REPORT, Destination.from_arguments(f"{tmp_path}/report.csv"))
        listed, reported = (dict(request.query) for request in sei_server.requests)
        assert "accountId" not in listed
        assert reported["accountId"] == "acc"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "prod3"}, "did you mean 'prod"),
        ({"host": "http://sei.example/api"}, "use https"),
        ({"host": "https://user:pw@sei.example"}, "the API key is the password"),
        ({"password": ""}, "API key is missing"),
        ({"password": "schlüssel"}, "HTTP header"),
        ({"extra": {"project_identifier": ""}}, "project_identifier is missing"),
        ({"extra": {"auth_header": "Bearer"}}, "auth_header 'Bearer'"),
        ({"extra": {"ca_bundle": "/nowhere.pem"}}, "ca_bundle '/nowhere.pem'"),
    ],
)
def test_it_is_refused_by_its_field_before_any_call(
    sei_server: Any, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    """In one line without secrets, permanently."""
    connection = json.loads(sei_server.connection_json())
    extra = connection["extra"] | changes.get("extra", {})
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection | changes | {"extra": extra}))
    with pytest.raises(SEIArgumentError, match=words) as caught:
        list(SEIHook().iter_exports("ba"))
    assert "\n" not in str(caught.value)
    assert caught.value.retryable is False
    for secret in (sei_server.api_key, "pw@", "schlüssel"):
        assert secret not in str(caught.value)
    assert sei_server.requests == []


def at_the_vendors(host: str, **extra: Any) -> str:
    """Return a connection to one of the vendor's hosts."""
    extra |= {"project_identifier": "p 1", "org_identifier": "default"}
    return json.dumps({"conn_type": "harness_sei", "host": host, "password": "pat.a-key-of-nobody", "extra": extra})


@pytest.mark.parametrize(
    ("extra", "read", "report"), [({}, 60.0, 300.0), *(({"read_timeout": s}, s, s) for s in (900.0, 5.0))]
)
def test_every_call_has_a_time_limit_and_verifies_certificates(
    requests_mock: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    extra: dict[str, Any],
    read: float,
    report: float,
) -> None:
    """Ten seconds to connect and sixty without a byte, 300 for a report, unless the connection says otherwise."""
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", at_the_vendors("prod1", **extra))
    requests_mock.get(mocked.ANY, json={"exportId": "exp_1", "status": "queued"})
    requests_mock.post(mocked.ANY, content=b"a\n", headers={"Content-Length": "2"})
    SEIHook().get_export("ba", "exp_1")
    SEIHook().download_report(REPORT, Destination.from_arguments(f"{tmp_path}/"))
    assert [sent.timeout for sent in requests_mock.request_history] == [(10.0, read), (10.0, report)]
    assert all(sent.verify is not False for sent in requests_mock.request_history)


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
            ({"api_key": "another"}, '401 ("Invalid API key"): could not list'),
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
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", at_the_vendors("app.harness.io"))
        requests_mock.get("https://app.harness.io/v2/insights/productivity/exports", json=[], status_code=status)
        works, sentence = SEIHook().test_connection()
        assert (works, words in sentence) == (status == 200, True)
        for text in (sentence, task_log.text):
            assert "https://app.harness.io/prod1/sei/api" in text
            assert text.count("https://accounts.eu.harness.io/sei/api") == 1

    def test_an_unreachable_host_is_reported_without_retries(
        self, hook: SEIHook, sei_server: Any, raw_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As is a server error, because a user is waiting."""
        monkeypatch.setattr(SEIHook, "_pause", lambda _, seconds: pytest.fail(f"it waited {seconds} s"))
        sei_server.faults.add("list", "answer", status=503, times=None)
        works, sentence = hook.test_connection()
        assert (works, "503" in sentence, len(sei_server.requests)) == (False, True, 1)
        server = raw_server()
        server.close()
        connection = json.loads(sei_server.connection_json()) | {"host": server.origin}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))
        works, sentence = SEIHook().test_connection()
        assert (works, server.origin in sentence) == (False, True)

    def test_a_missing_connection_and_an_invalid_field_are_reported(
        self, hook: SEIHook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And not raised; the form's connection has a made-up id, which is not shown."""
        works, sentence = SEIHook("nowhere").test_connection()
        assert not works
        assert "nowhere" in sentence
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps({"conn_type": "harness_sei", "password": "x"}))
        assert hook.test_connection()[1].startswith("host is empty")
