"""Opening a file's body on the worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.exports import create_call
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.http import HttpRequest
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports.sync import RequestsTransport

FAMILY = get_family("ba")
BODY = {"scope": {"teamId": "456"}, "dateRange": {"start": "2024-01-01", "end": "2024-01-31"}}


@pytest.fixture
def pauses() -> list[float]:
    """The pauses between tries; none is made."""
    return []


@pytest.fixture
def transport(sei_server: Any, pauses: list[float]) -> Iterator[RequestsTransport]:
    """A transport to the local server."""
    extra = {"project_identifier": "demo_project", "org_identifier": "default"}
    settings = SEISettings.from_fields(host=sei_server.base_url, password="demo-key", extra=extra)
    transport = RequestsTransport(settings, sleep=pauses.append)
    yield transport
    transport.close()


@pytest.fixture
def file_request(transport: RequestsTransport) -> HttpRequest:
    """The request for the file of a completed export."""
    export = transport.run(create_call(FAMILY, BODY))
    return HttpRequest(method="GET", path=f"{FAMILY.item_path}/{export.export_id}/download")


def test_the_body_comes_as_it_was_sent(
    transport: RequestsTransport, file_request: HttpRequest, sei_server: Any
) -> None:
    """Byte by byte, also after a redirect within the origin; a content encoding is left for the reader."""
    sei_server.faults.add("download", "redirect")
    with transport.stream(file_request, "get it") as body:
        content = b"".join(body.chunks())
        assert body.headers["content-length"] == str(len(content))
    assert content == sei_server.exports[0].csv
    sei_server.faults.add("download", "content_encoding")
    with transport.stream(file_request, "get it") as body:
        assert next(body.chunks()).startswith(b"\x1f\x8b")
        assert body.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    "fault",
    [{"effect": "answer", "status": status} for status in (201, 202, 204, 206, 429, 503)] + [{"effect": "close"}],
)
def test_opening_is_retried(
    transport: RequestsTransport,
    file_request: HttpRequest,
    sei_server: Any,
    *,
    pauses: list[float],
    fault: dict[str, Any],
) -> None:
    """After errors that pass, and while the file is not there yet or only in part."""
    sei_server.faults.add("download", **fault)
    with transport.stream(file_request, "get it") as body:
        assert b"".join(body.chunks()) == sei_server.exports[0].csv
    assert len(pauses) == 1


@pytest.mark.parametrize("status", [300, 304, 305, 401, 404, 410])
def test_a_refusal_is_not_retried(
    transport: RequestsTransport, file_request: HttpRequest, sei_server: Any, pauses: list[float], status: int
) -> None:
    """Nor taken for an empty file where HTTP does not call it an error."""
    body = {"message": "not yours"} if status != 304 else ""
    sei_server.faults.add("download", "answer", status=status, body=body, times=None)
    with pytest.raises(errors.SEIResponseError, match=f"the server answered {status}") as caught:
        transport.stream(file_request, "get it", export_id=(name := sei_server.exports[0].export_id)).__enter__()
    assert (caught.value.export_id, caught.value.vendor_message) == (name, "not yours" if body else None)
    assert pauses == []


def test_reading_is_not_retried(
    transport: RequestsTransport, file_request: HttpRequest, sei_server: Any, pauses: list[float]
) -> None:
    """Whether to fetch a file again from its start is not the transport's decision."""
    sei_server.faults.add("download", "cut", after_bytes=100)
    with transport.stream(file_request, "get it") as body, pytest.raises(errors.SEIConnectionError):
        list(body.chunks())
    assert pauses == []


@pytest.mark.parametrize("redirect", [True, False])
def test_another_origin_never_gets_the_key(
    transport: RequestsTransport, file_request: HttpRequest, sei_server: Any, raw_server: Any, *, redirect: bool
) -> None:
    """Neither by a redirect nor by a download URL."""
    foreign = raw_server(b"")
    url = f"{foreign.origin}/file.csv"
    sei_server.faults.add("download", "redirect", to=url)
    request = file_request if redirect else HttpRequest(method="GET", path=url)
    with pytest.raises(errors.SEIUnexpectedResponseError, match="the API key must not"):
        transport.stream(request, "get it").__enter__()
    assert foreign.received == []
