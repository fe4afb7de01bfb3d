"""What the hook puts on the wire, to the byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests_mock as mocked

from airflow_provider_sei import __version__
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.report_request import ReportRequest

BASE = "https://app.harness.io/prod1/sei/api"
CONNECTION: dict[str, Any] = {
    "conn_type": "harness_sei",
    "host": "prod1",
    "password": "pat.a-key-of-nobody",
    "extra": {"project_identifier": "p 1", "org_identifier": "default"},
}


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> SEIHook:
    """A hook for the vendor's first cluster, by its alias."""
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(CONNECTION))
    return SEIHook()


def test_create_is_the_documented_call(hook: SEIHook, requests_mock: mocked.Mocker) -> None:
    """Method, URL, identifiers, headers and body are those of the vendor's example."""
    requests_mock.post(mocked.ANY, status_code=202, json={"exportId": "exp_7a8b9c0d"})
    export = hook.create_export(
        family="productivity",
        org_tree_name="Engineering",
        team_id="456",
        date_start="2024-01-01",
        date_end="2024-12-31",
        metric_groups=["activity", "velocity"],
        aggregation="mean",
        level="developer",
        granularity="monthly",
        file_format="csv",
    )
    [sent] = requests_mock.request_history
    assert export.export_id == "exp_7a8b9c0d"
    assert (sent.method, sent.url) == (
        "POST",
        f"{BASE}/v2/insights/productivity/exports?projectIdentifier=p+1&orgIdentifier=default",
    )
    assert dict(sent.headers) == {
        "User-Agent": f"airflow-provider-sei/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "authorization": "ApiKey pat.a-key-of-nobody",
        "Content-Length": str(len(sent.body)),
    }
    assert sent.json() == {
        "scope": {"orgTreeName": "Engineering", "teamId": "456"},
        "dateRange": {"start": "2024-01-01", "end": "2024-12-31"},
        "metricGroups": ["activity", "velocity"],
        "options": {
            "aggregation": "mean",
            "aggregationLevel": "developer",
            "granularity": "monthly",
            "format": "csv",
        },
    }


@pytest.mark.parametrize(
    ("extra", "read", "report"), [({}, 60.0, 300.0), *(({"read_timeout": s}, s, s) for s in (900.0, 5.0))]
)
def test_every_call_has_a_time_limit_and_verifies_certificates(
    hook: SEIHook,
    requests_mock: mocked.Mocker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    extra: dict[str, Any],
    read: float,
    report: float,
) -> None:
    """Ten seconds to connect and sixty without a byte, 300 for a report, unless the connection says otherwise."""
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(CONNECTION | {"extra": CONNECTION["extra"] | extra}))
    requests_mock.get(mocked.ANY, json={"exportId": "exp_1", "status": "queued"})
    requests_mock.post(mocked.ANY, content=b"a\n", headers={"Content-Length": "2"})
    hook.get_export("ba", "exp_1")
    request = ReportRequest.from_arguments(collection_id="1", date_start="2024-01-01", date_end="2024-01-31")
    hook.download_report(request, Destination.from_arguments(f"{tmp_path}/"))
    assert [sent.timeout for sent in requests_mock.request_history] == [(10.0, read), (10.0, report)]
    assert all(sent.verify is not False for sent in requests_mock.request_history)


def test_the_status_is_read_where_the_family_keeps_it(hook: SEIHook, requests_mock: mocked.Mocker) -> None:
    """Sprint exports are created at one path and read at another."""
    requests_mock.get(mocked.ANY, json={"exportId": "exp_1", "status": "queued"})
    hook.get_export("sprint", "exp_1")
    assert requests_mock.request_history[0].path == "/prod1/sei/api/v2/insights/sprints/exports/exp_1"
