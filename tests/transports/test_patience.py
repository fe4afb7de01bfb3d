"""Answers that a server spins out."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_sei.protocol import errors
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.messages import HttpRequest
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports.sync import RequestsTransport

LIST = list_call(get_family("productivity"), list_query())
FILE = HttpRequest(method="GET", path="file.csv")
HEAD = b"HTTP/1.1 200 OK\r\n"
_MOST_BYTES = 50_000_000
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Spinner:
    """Answers one call with a beginning and then, as long as somebody listens, with the same piece again and again."""

    def __init__(self, beginning: bytes, piece: bytes) -> None:
        self._answer = (beginning, piece)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        beginning, piece = self._answer
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(beginning)
                for _ in range(_MOST_BYTES // len(piece)):
                    connection.sendall(piece)
            except OSError:  # the other side has given up
                return

    def close(self) -> None:
        """Wait until the other side has given up."""
        self._thread.join()
        self._socket.close()


@pytest.fixture
def spinner() -> Iterator[Callable[[bytes, bytes], Spinner]]:
    """Start servers that spin their answer out."""
    started: list[Spinner] = []

    def start(beginning: bytes, piece: bytes) -> Spinner:
        started.append(Spinner(beginning, piece))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def transport(
    settings_for: Callable[..., SEISettings], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], RequestsTransport]]:
    """Make transports whose clock goes on by a minute whenever it is looked at."""
    seconds = itertools.count(step=60)
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))
    monkeypatch.setattr("airflow_provider_sei.transports.patience.time", clock)
    made: list[RequestsTransport] = []

    def make(origin: str) -> RequestsTransport:
        made.append(RequestsTransport(settings_for(origin), backoff=Backoff(attempts=1)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, id="interim answers"),
        pytest.param(HEAD + b"X-Header: ", b"x", id="a head that drips"),
        pytest.param(CHUNKED + b"0\r\n", b"X-Trailer: 1\r\n" * 1000, id="trailers"),
    ],
)
def test_an_answer_that_never_comes_to_the_point_is_given_up(
    transport: Callable[[str], RequestsTransport],
    spinner: Callable[[bytes, bytes], Spinner],
    beginning: bytes,
    piece: bytes,
) -> None:
    """No silence in it is long enough to be noticed."""
    with pytest.raises(errors.SEINoAnswerError, match="the answer is spun out"):
        transport(spinner(beginning, piece).origin).run(LIST)


def test_a_file_that_never_comes_to_the_point_is_given_up(
    transport: Callable[[str], RequestsTransport], spinner: Callable[[bytes, bytes], Spinner]
) -> None:
    """Whoever writes it cannot watch the clock meanwhile."""
    server = spinner(CHUNKED + b"2\r\na,\r\n0\r\n", b"X-Trailer: 1\r\n" * 1000)
    with transport(server.origin).stream(FILE, "get it") as body:
        chunks = body.chunks()
        assert next(chunks) == b"a,"
        with pytest.raises(errors.SEINoAnswerError, match="the answer is spun out"):
            list(chunks)


def test_a_whole_answer_takes_as_long_as_it_takes(
    transport: Callable[[str], RequestsTransport], sei_server: Any
) -> None:
    """Each piece has its own time."""
    assert transport(sei_server.base_url).run(LIST).exports == ()
