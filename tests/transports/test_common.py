"""What both transports decide by: where a redirect may lead, and how a failure is put into words."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.protocol.errors import SEIUnreadableError
from airflow_provider_sei.protocol.messages import HttpRequest
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports.common import is_loopback, no_answer, redirect_target

SETTINGS = SEISettings.from_fields(host="https://sei.example:8443/prod1/sei/api", password="secret-key-123")
GET = HttpRequest(method="GET", path="v2/x")
URL = SETTINGS.endpoint.url(GET.path)

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
locations = st.one_of(
    st.text(),
    st.builds(
        lambda scheme, host, rest: f"{scheme}{host}{rest}",
        st.sampled_from(["https://", "http://", "//", "HTTPS://", "https:/\\", "ftp://", "https:", ""]),
        hosts,
        st.text(alphabet="/\\?#@:[]%.; \tax\r\n", max_size=8),
    ),
)


@given(locations)
def test_a_redirect_leads_home_or_nowhere(location: str) -> None:
    """Whatever a server writes: the same scheme, host and port without a user name, or an error of ours."""
    try:
        target = redirect_target(SETTINGS, GET, URL, location, "look")
    except SEIUnreadableError:
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
def test_a_redirect_is_read_as_browsers_read_it(location: str, target: str) -> None:
    """Relative to where the request went."""
    assert redirect_target(SETTINGS, GET, URL, location, "look") == target


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("http://127.0.0.1:9", True),
        ("http://localhost/", True),
        ("http://[::1]:9", True),
        ("https://127.0.0.2", True),
        ("https://sei.example", False),
        ("https://10.0.0.1", False),
        ("https://127.0.0.1.example", False),
    ],
)
def test_this_machine_is_known_by_its_addresses(host: str, *, loopback: bool) -> None:
    """By the host, not by the scheme."""
    assert is_loopback(SEISettings.from_fields(host=host, password="k")) is loopback


def _chained(*errors: Exception) -> Exception:
    for outer, inner in pairwise(errors):
        outer.__cause__ = inner
    return errors[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: _chained(RuntimeError("pool"), OSError(111, "Connection refused")),
            "ConnectionRefusedError: Connection refused",
        ),
        (lambda: _chained(RuntimeError("outer"), ValueError()), "(ValueError)"),
        (lambda: RuntimeError(ConnectionError("deep\n  inside")), "ConnectionError: deep inside"),
        (lambda: RuntimeError("x" * 999), "x" * 200 + ")"),
        (lambda: RuntimeError("sent secret-key-123"), "sent ***"),
    ],
)
def test_a_failure_is_told_by_its_innermost_cause(make: Callable[[], Exception], words: str) -> None:
    """In few words, on one line, without the key."""
    message = str(no_answer("look", SETTINGS, make()))
    assert words in message
    assert message.startswith("could not look: no answer from https://sei.example:8443 (")
    assert "secret-key-123" not in message
    assert "\n" not in message


def test_a_circle_of_causes_ends() -> None:
    """Libraries can tie exceptions to each other."""
    first, second = RuntimeError("one"), RuntimeError("two")
    first.__cause__, second.__context__ = second, first
    assert "RuntimeError" in str(no_answer("look", SETTINGS, first))
