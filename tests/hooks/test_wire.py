"""How the hook calls a cluster of the vendor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests_mock as mocked

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.report_request import ReportRequest

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
