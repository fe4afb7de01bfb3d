"""Every documented response is understood; the documented requests are in ``tests/operators``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.protocol.exports import ExportStatus, create_call, download_requests, status_call
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.http import HttpResponse
from airflow_provider_sei.protocol.settings import SEISettings

EXAMPLES = json.loads((Path(__file__).parent / "samples" / "documented_examples.json").read_text("utf-8"))
BASE = "https://app.harness.io/prod1/sei/api"
IDENTIFIERS = "projectIdentifier=PROJECT&orgIdentifier=ORG"


def settings(**identifiers: str) -> SEISettings:
    """Return a connection."""
    return SEISettings.from_fields(host="prod1", password="KEY-0123456789", extra=identifiers)


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
