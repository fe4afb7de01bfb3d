"""Every example in the documents: requests are reproduced byte for byte, responses are understood."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from airflow_provider_sei.protocol.export_request import ExportRequest
from airflow_provider_sei.protocol.exports import (
    ExportStatus,
    create_call,
    download_requests,
    status_call,
)
from airflow_provider_sei.protocol.families import FAMILIES, get_family
from airflow_provider_sei.protocol.http import HttpRequest, HttpResponse, encode_json
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.report_request import ReportRequest
from airflow_provider_sei.protocol.settings import SEISettings

EXAMPLES = json.loads((Path(__file__).parent / "samples" / "documented_examples.json").read_text("utf-8"))
BASE = "https://app.harness.io/prod1/sei/api"
IDENTIFIERS = "projectIdentifier=PROJECT&orgIdentifier=ORG"


def settings(example: dict[str, Any] | None = None, **identifiers: str) -> SEISettings:
    """Return the connection of an example."""
    extra = identifiers | {"auth_header": (example or {}).get("auth_header")}
    return SEISettings.from_fields(host="prod1", password="KEY-0123456789", extra=extra)


def check_request(connection: SEISettings, request: HttpRequest, example: dict[str, Any]) -> None:
    """Compare a request with a documented one: its URL, the documented headers, and the bytes of the body."""
    assert request.method == "POST"
    assert connection.url(request) == f"{BASE}{example['path']}?{urlencode(example['query'])}"
    assert connection.headers(request, "agent").items() >= example["headers"].items()
    assert request.body is not None
    if "body" in example:
        assert encode_json(request.body) == json.dumps(example["body"]).encode()
    for key, part in example.get("body_part", {}).items():
        assert encode_json({key: request.body[key]}) == json.dumps({key: part}).encode()


@pytest.mark.parametrize("example", EXAMPLES["creates"], ids=lambda example: example["name"])
def test_a_documented_create_call_is_reproduced(example: dict[str, Any]) -> None:
    """From a DAG author's arguments."""
    request = ExportRequest.from_arguments(**example["arguments"])
    assert request.warnings == ()
    connection = settings(example, project_identifier="PROJECT", org_identifier="ORG")
    check_request(connection, create_call(request.family, request.body()).request, example)


def test_every_family_has_an_example() -> None:
    """A new family needs one."""
    assert {get_family(example["arguments"]["family"]).name for example in EXAMPLES["creates"]} == set(FAMILIES)


@pytest.mark.parametrize("example", EXAMPLES["reports"], ids=lambda example: example["name"])
def test_a_documented_report_is_reproduced(example: dict[str, Any]) -> None:
    """With the key in the header that the example shows: the page's text and its curl lines differ."""
    request = ReportRequest.from_arguments(**example["arguments"])
    assert request.warnings == ()
    identifiers = {name: example[name] for name in ("project_identifier",) if name in example}
    check_request(settings(example, **identifiers), request.http_request(), example)


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
