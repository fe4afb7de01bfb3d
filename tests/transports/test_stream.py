"""Opening a file's body on the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_sei.protocol import errors
from airflow_provider_sei.protocol.exports import create_call
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.messages import HttpRequest
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports.sync import RequestsTransport

FAMILY = get_family("ba")
BODY = {"scope": {"teamId": "456"}, "dateRange": {"start": "2024-01-01", "end": "2024-01-31"}}


@pytest.fixture
def pauses() -> list[float]:
    """The pauses between tries; none is made."""
    return []


@pytest.fixture
def transport(settings: SEISettings, pauses: list[float]) -> Iterator[RequestsTransport]:
    """A transport to the local server."""
    transport = RequestsTransport(settings, sleep=pauses.append)
    yield transport
    transport.close()


@pytest.fixture
def request_for_file(transport: RequestsTransport) -> HttpRequest:
    """The request for the file of a completed export."""
    export = transport.run(create_call(FAMILY, BODY))
    return HttpRequest(method="GET", path=f"{FAMILY.item_path}/{export.export_id}/download")


def test_the_body_comes_as_it_was_sent(
    transport: RequestsTransport, request_for_file: HttpRequest, sei_server: Any
) -> None:
    """Byte by byte, with headers in lower case."""
    with transport.stream(request_for_file, "get it") as body:
        content = b"".join(body.chunks())
        assert body.headers["content-length"] == str(len(content))
    assert content == sei_server.exports[0].csv


def test_a_content_encoding_is_left_for_the_reader(
    transport: RequestsTransport, request_for_file: HttpRequest, sei_server: Any
) -> None:
    """Lengths and digests are of what went over the wire."""
    sei_server.faults.add("download", "content_encoding")
    with transport.stream(request_for_file, "get it") as body:
        assert next(body.chunks()).startswith(b"\x1f\x8b")
        assert body.headers["content-encoding"] == "gzip"


def test_opening_is_tried_again(
    transport: RequestsTransport, request_for_file: HttpRequest, sei_server: Any, pauses: list[float]
) -> None:
    """Throttling, server errors and a closed connection pass."""
    sei_server.faults.add("download", "answer", status=429)
    sei_server.faults.add("download", "answer", status=503, nth=2)
    sei_server.faults.add("download", "close", nth=3)
    with transport.stream(request_for_file, "get it") as body:
        assert b"".join(body.chunks()) == sei_server.exports[0].csv
    assert len(pauses) == 3


@pytest.mark.parametrize("status", [201, 202, 204, 206])
def test_only_200_brings_a_file(
    transport: RequestsTransport, request_for_file: HttpRequest, sei_server: Any, pauses: list[float], status: int
) -> None:
    """A file that is not there yet, or in part, is asked for again."""
    sei_server.faults.add("download", "answer", status=status, body="" if status == 204 else "team,total\n")
    with transport.stream(request_for_file, "get it") as body:
        assert b"".join(body.chunks()) == sei_server.exports[0].csv
    assert len(pauses) == 1


@pytest.mark.parametrize("status", [300, 304, 305, 399])
def test_a_redirect_to_nowhere_is_no_empty_file(
    settings_for: Callable[..., SEISettings], raw_server: Any, status: int
) -> None:
    """Its body may be empty, and its status is no error of HTTP's."""
    server = raw_server(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
    transport = RequestsTransport(settings_for(server.origin))
    request = HttpRequest(method="GET", path="file.csv")
    with (
        pytest.raises(errors.SEIUnreadableError, match=f"the server answered {status}"),
        transport.stream(request, "get it"),
    ):
        pass


@pytest.mark.parametrize(
    ("status", "kind"), [(401, errors.SEIAuthError), (404, errors.SEINotFoundError), (410, errors.SEIRejectedError)]
)
def test_a_refusal_is_quoted_and_not_repeated(
    transport: RequestsTransport,
    request_for_file: HttpRequest,
    sei_server: Any,
    *,
    status: int,
    kind: type[errors.SEIError],
) -> None:
    """The body of an error answer is read, in short."""
    sei_server.faults.add("download", "answer", status=status, body={"message": "not yours"}, times=None)
    with pytest.raises(kind, match="not yours") as caught, transport.stream(request_for_file, "get it", export_id="x"):
        pass
    assert caught.value.export_id == "x"
    assert [request.operation for request in sei_server.requests].count("download") == 1


def test_reading_is_not_tried_again(
    transport: RequestsTransport, request_for_file: HttpRequest, sei_server: Any, pauses: list[float]
) -> None:
    """A body that breaks off has to be fetched from the start, which is not for the transport to decide."""
    sei_server.faults.add("download", "cut", after_bytes=100)
    with transport.stream(request_for_file, "get it") as body, pytest.raises(errors.SEINoAnswerError):
        list(body.chunks())
    assert pauses == []


def test_a_file_elsewhere_is_not_asked_for(transport: RequestsTransport, raw_server: Any) -> None:
    """A download address at another origin gets neither the key nor a call."""
    foreign = raw_server(b"")
    request = HttpRequest(method="GET", path=f"{foreign.origin}/file.csv")
    with (
        pytest.raises(errors.SEIUnreadableError, match="must not leave its own origin"),
        transport.stream(request, "x"),
    ):
        pass
    assert foreign.received == []


def test_a_redirect_elsewhere_is_not_followed(
    transport: RequestsTransport, request_for_file: HttpRequest, sei_server: Any, raw_server: Any
) -> None:
    """Nor is one that the server sends for a file."""
    foreign = raw_server(b"")
    sei_server.faults.add("download", "redirect", to=f"{foreign.origin}/file.csv")
    with (
        pytest.raises(errors.SEIUnreadableError, match="must not leave its own origin"),
        transport.stream(request_for_file, "x"),
    ):
        pass
    assert foreign.received == []


def test_a_redirect_at_home_is_followed(
    transport: RequestsTransport, request_for_file: HttpRequest, sei_server: Any
) -> None:
    """With the key."""
    sei_server.faults.add("download", "redirect")
    with transport.stream(request_for_file, "x") as body:
        assert b"".join(body.chunks()) == sei_server.exports[0].csv
