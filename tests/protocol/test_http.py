"""What an HTTP status means, and how a response is quoted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.http import (
    HttpResponse,
    check_file_status,
    check_status,
    excerpt,
    json_value,
    looks_like_markup,
)
from tests.protocol.strategies import ANYTHING, outcome, responses, texts


def refused(response: HttpResponse) -> errors.SEIResponseError:
    """Return the error for a response that is no success."""
    with pytest.raises(errors.SEIResponseError) as caught:
        check_status(response, "list exports", export_id="exp_1")
    return caught.value


class TestStatus:
    """Which status is an error, and of which class."""

    @pytest.mark.parametrize(
        ("status", "kind", "advice"),
        [
            *((status, errors.SEIUnexpectedResponseError, "") for status in (199, 300, 302)),
            (400, errors.SEIBadRequestError, "arguments"),
            (401, errors.SEIAuthError, "API key"),
            (403, errors.SEIAuthError, "role"),
            (404, errors.SEINotFoundError, "base URL"),
            (405, errors.SEIBadRequestError, "base URL"),
            (407, errors.SEIBadRequestError, "proxy"),
            *((status, errors.SEIServerError, "") for status in (408, 421, 425, 500, 503, 599)),
            *((status, errors.SEIBadRequestError, "") for status in (422, 499)),
            (429, errors.SEIRateLimitError, "calls_per_minute"),
            (504, errors.SEIServerError, "one team at a time"),
        ],
    )
    def test_each_status_has_its_error(self, status: int, kind: type[errors.SEIError], advice: str) -> None:
        """With advice where there is any; only rate limits and what can pass by itself are retried."""
        error = refused(HttpResponse(status, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}))
        assert error.retry_after == "Wed, 21 Oct 2026 07:28:00 GMT"
        assert type(error) is kind
        assert error.retryable is (status in {408, 421, 425, 429} or status >= 500)
        assert (error.status_code, error.vendor_message, error.export_id) == (status, None, "exp_1")
        assert str(error).startswith(f"the server answered {status}")
        assert advice in str(error)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (101, errors.SEIUnexpectedResponseError),
            (304, errors.SEIUnexpectedResponseError),
            (404, errors.SEINotFoundError),
            *((status, errors.SEIDownloadError) for status in (201, 202, 203, 204, 205, 206, 226, 299)),
        ],
    )
    def test_another_status_comes_without_a_file(self, status: int, kind: type[errors.SEIError]) -> None:
        """Only 200 does. A 2xx may be accepted, empty or in part: a torn file, or an empty one over last month's."""
        check_file_status(HttpResponse(200), "download export exp_1")
        check_status(HttpResponse(max(200, min(status, 299))), "list exports")
        with pytest.raises(kind, match=f"the server answered {status}") as caught:
            check_file_status(HttpResponse(status), "download export exp_1", export_id="exp_1")
        assert caught.value.export_id == "exp_1"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"status": 400, "error": "Bad Request", "message": "Wrong date"}', "Bad Request", "Wrong date"),
        (b'{"status": 500, "error": "Oops", "message": "m", "errorId": "e38c"}', "e38c", "m"),
        (b'{"code": 17, "detail": "No such team"}', "17", "No such team"),
        (b'{"code": true, "errorId": "e", "message": "m"}', "e", "m"),
        (b'{"message": "", "detail": "no such tree"}', None, "no such tree"),
        (b'{"error": "Bad Request"}', "Bad Request", "Bad Request"),
        (b'{"error": {"code": "C", "message": "m"}, "name": "Jane"}', "C", "m"),
        (b'{"errors": [{"message": "No such team"}, 1]}', None, "No such team"),
        (b'{"errors": ["No such team"]}', "No such team", "No such team"),
        (b'{"code": "C"}', "C", "C"),
        (b'{"message": "Export created by Jane Smith"}', None, "Export created by ***"),
        (b'{"error": {"deep": 1}}', None, None),
        (b'[{"message": "Jane"}]', None, None),
        (b'{"name": "Jane", "tea', None, None),
        (b"java.lang.Error: no\n\tat com.example.Jane", None, "java.lang.Error: no"),
        (b"<?xml version='1.0'?><Error><Message>No</Message></Error>", None, "(an HTML page) No"),
        (b'"Export not ready"', None, "Export not ready"),
        (b"Access denied", None, "Access denied"),
        (b"", None, None),
        (b"\xff\xfe\xfa", None, "\ufffd\ufffd\ufffd"),
        (b"<html><head><title>502 Bad\n Gateway</title></head></html>", None, "(an HTML page) 502 Bad Gateway"),
        (b"<!DOCTYPE html><script>var a=1</script><h1>Sign in</h1><p>Jane", None, "(an HTML page) Sign in"),
    ],
)
def test_every_documented_error_body_is_read(body: bytes, code: str | None, message: str | None) -> None:
    """JSON objects, bare strings, plain text and a gateway's HTML. The rest of it may be about people."""
    error = refused(HttpResponse(400, {}, body))
    assert (error.vendor_code, error.vendor_message) == (code, message)
    assert message is None or f'"{message}"' in str(error)


class TestExcerpt:
    """How a text is quoted."""

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("a" * 200, "a" * 200),
            ("a" * 201, "a" * 200 + "..."),
            ("word " * 1000, "word " * 40 + "..."),
            ("a\n\x00 b", "a b"),
            ("a\r\nINFO\tforged\x1b[31m\u2028b\x00", "a INFO forged [31m b"),
            ("<html><TITLE lang=x>Sign\nin</TITLE><p>now", "(an HTML page) Sign in"),
            ("<head><style>\np {}\n</style></head><b>Jane</b>", "(an HTML page)"),
            ("a < b > c", "a < b > c"),
        ],
    )
    def test_it_is_one_line_of_at_most_200_characters(self, text: str, line: str) -> None:
        """Of a page its title or heading."""
        assert excerpt(text) == line

    @ANYTHING
    @given(texts | st.text())
    def test_any_text_becomes_a_short_printable_line(self, text: str) -> None:
        """It can be logged. Of megabytes of markup only the start is read: a search would take minutes."""
        assert excerpt("<html>" + "<script " * 1_000_000).startswith("(an HTML page)")
        line = excerpt(text)
        assert len(line) <= 203
        assert line.isprintable()
        line.encode()

    @pytest.mark.parametrize(
        "start", [b"<head>", b"<HTML", b"\xef\xbb\xbf\r\n\t <body", b"<!DOCTYPE", b"<!doctype HTML>", b"<?xml"]
    )
    def test_markup_is_recognised_by_its_start(self, start: bytes) -> None:
        """A byte order mark, blanks and capitals do not hide it; a cell of CSV may mention HTML."""
        assert looks_like_markup(start)
        assert not any(map(looks_like_markup, (b"X" + start, b"", b"team,value\n", b'"<html>",1', b"{}")))


class TestJson:
    """Bodies that are sent and received."""

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", None),
            (b"Sign in, please", "Sign in, please"),
            (b"<html><title>Login</title></html>", "(an HTML page) Login"),
            (b"[" * 100_000, None),
            (b'{"exports": [{"createdBy": {"name": "Jane', None),
            (b"Developer,Email\nJane,jane@company.example\n", "Developer,Email"),
            (b"\xff\xfe{", "\ufffd\ufffd{"),
            (b"9" * 5_000, "9" * 200 + "..."),
        ],
    )
    def test_a_body_without_json_is_quoted(self, body: bytes, message: str | None) -> None:
        """A login page in place of a response points at the base URL."""
        with pytest.raises(
            errors.SEIUnexpectedResponseError, match=r"without JSON.*check the connection's base URL"
        ) as caught:
            json_value(HttpResponse(200, {}, body), "list exports", export_id="exp_1")
        error = caught.value
        assert (error.status_code, error.vendor_message, error.export_id) == (200, message, "exp_1")

    @ANYTHING
    @given(responses())
    def test_any_response_is_a_value_or_our_error(self, response: HttpResponse) -> None:
        """No status, no header and no body raises anything else."""
        read = outcome(errors.SEIResponseError, json_value, response, "list exports")
        if isinstance(read, errors.SEIResponseError):
            assert len(str(read)) < 700
            assert str(read).isprintable()
        else:
            assert 200 <= response.status < 300
            assert json.dumps(read) == json.dumps(json.loads(response.body))
