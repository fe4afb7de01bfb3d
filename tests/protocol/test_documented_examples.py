"""Every documented call without a body, and every documented response. For the others, see ``tests/operators``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.protocol.exports import ExportStatus, create_call, download_requests, status_call
from airflow_provider_sei.protocol.families import FAMILIES, get_family
from airflow_provider_sei.protocol.http import HttpRequest, HttpResponse
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.settings import SEISettings

EXAMPLES = json.loads((Path(__file__).parent / "samples" / "documented_examples.json").read_text("utf-8"))
BASE = "https://app.harness.io/prod1/sei/api"
IDENTIFIERS = "projectIdentifier=PROJECT&orgIdentifier=ORG"


def settings(**identifiers: str) -> SEISettings:
    """Return a connection."""
    return SEISettings.from_fields(host="prod1", password="KEY-0123456789", extra=identifiers)


@pytest.mark.parametrize(
    ("request_", "target"),
    [
        (
            status_call(FAMILIES["productivity"], "exp_7a8b9c0d").request,
            "/v2/insights/productivity/exports/exp_7a8b9c0d",
        ),
        (status_call(FAMILIES["sprint"], "exp_7a8b9c0d").request, "/v2/insights/sprints/exports/exp_7a8b9c0d"),
        (status_call(FAMILIES["ticket-data"], "exp_1").request, "/v2/insights/ticket-data/exports/exp_1"),
        (
            list_call(FAMILIES["productivity"], list_query(limit=50)).request,
            "/v2/insights/productivity/exports?limit=50&page=0",
        ),
        (
            list_call(FAMILIES["ba"], list_query(scope="mine")).request,
            "/v2/insights/ba/exports?scope=mine&limit=100&page=0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_call_without_a_body_has_the_documented_url(request_: HttpRequest, target: str) -> None:
    """With both identifiers and the key, which every V2 call needs."""
    connection = settings(project_identifier="PROJECT", org_identifier="ORG")
    joint = "&" if "?" in target else "?"
    assert request_.method == "GET"
    assert connection.url(request_) == f"{BASE}{target}{joint}{IDENTIFIERS}"
    assert connection.headers(request_, "agent")["authorization"] == "ApiKey KEY-0123456789"


@pytest.mark.parametrize(
    "example", EXAMPLES["answers"], ids=lambda example: f"{example['family']}-{example['call']}-{example['status']}"
)
def test_a_documented_response_is_understood(example: dict[str, Any]) -> None:
    """Including the file's URL, which keeps the base URL's path and has the identifiers once."""
    family, body = get_family(example["family"]), example["body"]
    call = create_call(family, {}) if example["call"] == "create" else status_call(family, body["exportId"])
    export = call.parse(HttpResponse(example["status"], {}, json.dumps(body).encode()))
    assert (export.export_id, export.created_at) == (body["exportId"], body.get("createdAt"))
    assert "John" not in repr(asdict(export))
    if example["call"] == "create":
        assert export.reused is (example["status"] == 200)
        return
    assert (export.status, export.completed_at) == (ExportStatus.COMPLETED, body.get("completedAt"))
    connection = settings(project_identifier="PROJECT", org_identifier="ORG")
    assert connection.url(download_requests(export)[0]) == (
        f"{BASE}/{family.item_path}/{body['exportId']}/download?{IDENTIFIERS}"
    )
