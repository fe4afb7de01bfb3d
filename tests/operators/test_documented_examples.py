"""Every request example of the documents comes out of an operator, all from one connection.

Byte for byte, as ``json.dumps`` writes the body, like the script of the document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from airflow_provider_sei.operators import sei
from airflow_provider_sei.protocol.families import FAMILIES, get_family

EXAMPLES = json.loads((Path(__file__).parents[1] / "protocol/samples/documented_examples.json").read_text("utf-8"))
BASE = "/prod1/sei/api"
JSON = "Content-Type: application/json"
KEY = "KEY-0123456789"
EXPORTS = f"{BASE}/v2/insights/productivity/exports"
IDENTIFIERS = "projectIdentifier=PROJECT&orgIdentifier=ORG"
STATUS = next(each["body"] for each in EXAMPLES["answers"] if each["body"].get("status") == "completed")


def answer(request: bytes) -> bytes:
    """Return a minimal response: a file, the documented status, or a new export."""
    line = request.partition(b"\r\n")[0]
    is_file = b"/download?" in line or b"/teams/reports?" in line
    body = b"a\n1\n" if is_file else json.dumps(STATUS).encode()
    status = 202 if line.startswith(b"POST") and not is_file else 200
    return b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.fixture
def send(
    raw_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, task_log: Any
) -> Iterator[Callable[..., list[tuple[str, str, bytes]]]]:
    """Run an operator; return what a recording server received: request lines, headers and bodies."""
    server = raw_server(answer)
    extra = {"project_identifier": "PROJECT", "org_identifier": "ORG", "account_id": "ACCOUNT"}
    connection = {"conn_type": "harness_sei", "host": f"{server.origin}{BASE}", "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))

    def run(operator: type, **arguments: Any) -> list[tuple[str, str, bytes]]:
        if "destination" in operator.template_fields:
            arguments["destination"] = f"{tmp_path}/"
        operator(task_id="task", **arguments).execute({})
        parts = [received.partition(b"\r\n\r\n") for received in server.received]
        return [(*head.decode().split("\r\n", 1), body) for head, _, body in parts]

    yield run
    assert "not documented" not in task_log.text


def check(sent: tuple[str, str, bytes], example: dict[str, Any]) -> None:
    """Compare a request with a documented one: path, query, the documented headers, and the bytes of the body."""
    line, headers, body = sent
    assert line == f"POST {BASE}{example['path']}?{urlencode(example['query'])} HTTP/1.1"
    assert {f"{name}: {value}" for name, value in example["headers"].items()} <= set(headers.splitlines())
    assert headers.count(KEY) == 1
    if "body" in example:
        assert body == json.dumps(example["body"]).encode()
    for key, part in example.get("body_part", {}).items():
        assert json.dumps({key: part})[1:-1].encode() in body


@pytest.mark.parametrize("example", EXAMPLES["creates"], ids=lambda example: example["name"])
def test_a_documented_create_call_is_reproduced(send: Callable[..., Any], example: dict[str, Any]) -> None:
    """With the key in the header that the example shows."""
    [sent] = send(sei.SEICreateExportOperator, **example["arguments"], auth_header=example.get("auth_header"))
    check(sent, example)


def test_every_family_has_an_example() -> None:
    """A new family needs one."""
    assert {get_family(example["arguments"]["family"]).name for example in EXAMPLES["creates"]} == set(FAMILIES)


@pytest.mark.parametrize("example", EXAMPLES["reports"], ids=lambda example: example["name"])
def test_a_documented_report_is_reproduced(send: Callable[..., Any], example: dict[str, Any]) -> None:
    """Without the identifiers that the example does not show, although the connection has them."""
    given = {name: example.get(name, "") for name in ("project_identifier", "org_identifier", "account_id")}
    given["auth_header"] = example.get("auth_header")
    [sent] = send(sei.SEILegacyReportOperator, **example["arguments"], **given)
    check(sent, example)


@pytest.mark.parametrize(
    ("header", "value"), [(None, f"authorization: ApiKey {KEY}"), ("SEI_API_KEY", f"SEI_API_KEY: {KEY}")]
)
def test_the_documented_reads_are_reproduced(send: Callable[..., Any], header: str | None, value: str) -> None:
    """Status and file, by the curl example and by the Python script, with both identifiers and the content type."""
    reads = send(sei.SEIDownloadExportOperator, family="productivity", export_id="exp_7a8b9c0d", auth_header=header)
    paths = (f"{EXPORTS}/exp_7a8b9c0d", f"{EXPORTS}/exp_7a8b9c0d/download")
    assert [line for line, _, _ in reads] == [f"GET {path}?{IDENTIFIERS} HTTP/1.1" for path in paths]
    assert all({value, JSON} <= set(headers.splitlines()) and not body for _, headers, body in reads)
