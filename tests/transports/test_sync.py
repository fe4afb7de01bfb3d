"""Responses that never fall silent and never end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.http import HttpRequest
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports.sync import RequestsTransport
from tests.transports.conftest import Proxy

LIST = list_call(get_family("productivity"), list_query())
FILE = HttpRequest(method="GET", path="file.csv")
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
TRAILERS = b"X-Trailer: 1\r\n"


def without_end(beginning: bytes, repeated: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """Return an answer with a beginning, and then the same bytes again and again for up to five seconds."""

    def answer(_: bytes) -> Iterator[bytes]:
        yield beginning
        for _ in range(500):
            time.sleep(0.01)
            yield repeated

    return answer


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RequestsTransport]]:
    """Make transports with deadlines of fractions of a second."""
    monkeypatch.setattr("airflow_provider_sei.transports.sync.MAX_IDLE_SECONDS", 0.1)
    with contextlib.ExitStack() as opened:

        def make(host: str, **extra: Any) -> RequestsTransport:
            extra |= {"project_identifier": "demo_project", "org_identifier": "default"}
            extra |= {"connect_timeout": 0.2, "read_timeout": 0.1}
            settings = SEISettings.from_fields(host=host, password="demo-key", extra=extra)
            return opened.enter_context(contextlib.closing(RequestsTransport(settings, backoff=Backoff(attempts=1))))

        yield make


@pytest.mark.parametrize(
    ("beginning", "repeated"),
    [
        pytest.param(b"", INTERIM, id="interim responses"),
        pytest.param(HEAD + b"X-Header: ", b"x", id="an endless header"),
        pytest.param(CHUNKED + b"0\r\n", TRAILERS, id="trailers"),
    ],
)
def test_an_endless_response_is_given_up(
    transport: Callable[..., RequestsTransport], raw_server: Any, beginning: bytes, repeated: bytes
) -> None:
    """No silence in it is long enough for a socket timeout."""
    with pytest.raises(errors.SEIConnectionError, match="the response takes too long"):
        transport(raw_server(without_end(beginning, repeated)).origin).run(LIST)


def test_an_endless_response_by_a_proxy_is_given_up(
    transport: Callable[..., RequestsTransport], raw_server: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS, too."""
    proxy = Proxy(raw_server(without_end(b"", INTERIM), certificate).port)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with contextlib.closing(proxy), pytest.raises(errors.SEIConnectionError, match="the response takes too long"):
        transport("https://sei.example/sei", ca_bundle=str(certificate)).run(LIST)


def test_an_endless_file_is_given_up(transport: Callable[..., RequestsTransport], raw_server: Any) -> None:
    """Whoever writes it cannot check the time before the next piece."""
    server = raw_server(without_end(CHUNKED + b"2\r\na,\r\n0\r\n", TRAILERS))
    with transport(server.origin).stream(FILE, "get it") as body:
        chunks = body.chunks()
        assert next(chunks) == b"a,"
        with pytest.raises(errors.SEIConnectionError, match="the response takes too long"):
            list(chunks)


def test_each_piece_of_a_response_has_a_deadline_of_its_own(
    transport: Callable[..., RequestsTransport], sei_server: Any
) -> None:
    """A response may take longer than one deadline as long as content arrives."""
    sei_server.faults.add("list", "drip", chunk_bytes=4, seconds=0.04)
    page = transport(sei_server.base_url).run(LIST)
    assert page.items == ()
