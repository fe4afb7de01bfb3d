"""Where a redirect may lead, and the text of connection errors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIUnexpectedResponseError
from airflow_provider_sei.protocol.http import Call, HttpRequest
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports._common import connection_error, make_response, redirect_target

SETTINGS = SEISettings.from_fields(host="https://sei.example:8443/prod1/sei/api", password="secret-key-123")
CALL = Call(HttpRequest(method="GET", path="v2/x"), lambda _: None, "look")
URL = "https://sei.example:8443/prod1/sei/api/v2/x"

hosts = st.sampled_from(
    [
        "sei.example:8443",
        "sei.example",
        "evil.example:8443",
        "u:p@sei.example:8443",
        "sei.example:8443@evil.example",
        "",
    ]
)
locations = st.text() | st.builds(
    "{}{}{}".format,
    st.sampled_from(["https://", "http://", "//", "HTTPS://", "https:/\\", "ftp://", "https:", ""]),
    hosts,
    st.text(alphabet="/\\?#@:[]%.; \tax\r\n", max_size=8),
)


@given(locations)
def test_a_redirect_stays_within_the_origin_or_is_an_error(location: str) -> None:
    """Whatever a server sends: the same scheme, host and port without a user name, or our error."""
    try:
        target = redirect_target(SETTINGS, CALL, URL, location)
    except SEIUnexpectedResponseError:
        return
    assert (urlsplit(target).scheme, urlsplit(target).netloc) == ("https", "sei.example:8443")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/y?a=1", "https://sei.example:8443/v2/y?a=1"),
        ("y", "https://sei.example:8443/prod1/sei/api/v2/y"),
        ("https://SEI.example:8443/z#part", "https://sei.example:8443/z"),
        ("https://user:word@sei.example:8443/z", "https://sei.example:8443/z"),
    ],
)
def test_a_location_is_relative_to_the_request(location: str, target: str) -> None:
    """As in a browser."""
    assert redirect_target(SETTINGS, CALL, URL, location) == target


def _chained(*errors: Exception) -> Exception:
    for outer, inner in pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


def _circle() -> Exception:
    first, second = RuntimeError("one"), RuntimeError("two")
    first.__cause__, second.__context__ = second, first
    return first


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: _chained(RuntimeError("pool"), OSError(111, "Connection refused")),
            "ConnectionRefusedError: Connection refused",
        ),
        (lambda: _chained(RuntimeError("outer"), ValueError()), "(ValueError)"),
        (lambda: RuntimeError(ConnectionError("deep\n  inside")), "ConnectionError: deep inside"),
        (lambda: RuntimeError("x" * 999), "x" * 200 + "..."),
        (lambda: RuntimeError("sent secret-key-123"), "sent ***"),
        (_circle, "RuntimeError: two"),
    ],
)
def test_a_connection_error_quotes_its_innermost_cause(make: Callable[[], Exception], words: str) -> None:
    """In one short line, without the key."""
    message = str(connection_error(SETTINGS, CALL, make()))
    assert message.startswith("no answer from https://sei.example:8443 (")
    assert words in message
    assert "secret-key-123" not in message
    assert message.isprintable()


@pytest.mark.parametrize(("key", "text"), [("secret-key-123", "?k=***"), ("k", "?k=secret-key-123")])
def test_a_response_is_without_the_key(key: str, text: str) -> None:
    """Except for a text too short to be a key, whose replacement could change what the response means."""
    settings = SEISettings.from_fields(host="prod1", password=key)
    response = make_response(settings, CALL, 200, {"Location": "?k=secret-key-123"}, b"?k=secret-key-123")
    assert (response.headers, response.body) == ({"location": text}, text.encode())
