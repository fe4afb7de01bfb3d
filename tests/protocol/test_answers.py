"""What an HTTP status means, and how an answer is quoted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.protocol import errors
from airflow_provider_sei.protocol.answers import (
    check_file_status,
    check_status,
    excerpt,
    json_value,
    looks_like_markup,
    status_error,
    vendor_words,
)
from airflow_provider_sei.protocol.messages import HttpResponse
from tests.protocol.strategies import ANYTHING, outcome, responses, texts


class TestStatus:
    """An HTTP status is an error, or it is not."""

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_a_success_passes(self, status: int) -> None:
        """Every 2xx is a success."""
        check_status(HttpResponse(status), "list exports")

    @pytest.mark.parametrize(
        ("status", "kind", "retryable"),
        [
            (301, errors.SEIUnreadableError, False),
            (302, errors.SEIUnreadableError, False),
            (400, errors.SEIRejectedError, False),
            (401, errors.SEIAuthError, False),
            (403, errors.SEIAuthError, False),
            (404, errors.SEINotFoundError, False),
            (405, errors.SEIRejectedError, False),
            (409, errors.SEIRejectedError, False),
            (422, errors.SEIRejectedError, False),
            (429, errors.SEIThrottledError, True),
            (500, errors.SEIServerError, True),
            (502, errors.SEIServerError, True),
            (503, errors.SEIServerError, True),
            (504, errors.SEIServerError, True),
            (599, errors.SEIServerError, True),
        ],
    )
    def test_each_status_is_an_error_of_its_kind(
        self, status: int, kind: type[errors.SEIError], *, retryable: bool
    ) -> None:
        """Only too many calls and the server's own trouble are worth another try."""
        with pytest.raises(errors.SEIResponseError) as caught:
            check_status(HttpResponse(status), "list exports", export_id="exp_1")
        assert type(caught.value) is kind
        assert caught.value.retryable is retryable
        assert caught.value.status_code == status
        assert caught.value.export_id == "exp_1"
        assert str(caught.value).startswith(f"could not list exports: the server answered {status}")

    @pytest.mark.parametrize(
        ("status", "remedy"),
        [
            (400, "arguments"),
            (401, "API key"),
            (403, "role"),
            (404, "base URL"),
            (405, "base URL"),
            (407, "proxy"),
            (429, "calls_per_minute"),
            (504, "one team at a time"),
        ],
    )
    def test_a_status_comes_with_its_remedy(self, status: int, remedy: str) -> None:
        """The message says what to do, not only what happened."""
        assert remedy in str(status_error(HttpResponse(status), "create an export"))

    def test_retry_after_is_kept_as_sent(self) -> None:
        """The header is read where the wait is decided."""
        error = status_error(HttpResponse(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), "list exports")
        assert error.retry_after == "Wed, 21 Oct 2026 07:28:00 GMT"


class TestFileStatus:
    """Whether an answer's body is a file."""

    def test_200_brings_a_file(self) -> None:
        """No other status does."""
        check_file_status(HttpResponse(200), "download export exp_1")

    @pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 206, 226, 299])
    def test_another_success_may_be_the_file_next_time(self, status: int) -> None:
        """Accepted, empty or in part: as a file it would be a torn one, or an empty one over last month's."""
        with pytest.raises(errors.SEIDownloadError, match=f"the server answered {status}, which brings no") as caught:
            check_file_status(HttpResponse(status), "download export exp_1", export_id="exp_1")
        assert (caught.value.status_code, caught.value.export_id) == (status, "exp_1")

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(101, errors.SEIUnreadableError), (304, errors.SEIUnreadableError), (404, errors.SEINotFoundError)],
    )
    def test_what_is_no_success_is_the_error_of_its_status(self, status: int, kind: type[errors.SEIError]) -> None:
        """As for any other call."""
        with pytest.raises(kind):
            check_file_status(HttpResponse(status), "download export exp_1")


class TestVendorWords:
    """What the vendor says about a refusal."""

    @pytest.mark.parametrize(
        ("body", "code", "words"),
        [
            (
                b'{"status": 400, "error": "Bad Request", "message": "Invalid date range"}',
                "Bad Request",
                "Invalid date range",
            ),
            (b'{"status": 500, "error": "Oops", "message": "m", "errorId": "e38c"}', "e38c", "m"),
            (b'{"code": "INVALID", "message": "No such team"}', "INVALID", "No such team"),
            (b'{"code": 17, "detail": "No such team"}', "17", "No such team"),
            (b'{"error": {"deep": 1}}', None, '{"error": {"deep": 1}}'),
            (b'"Export not ready"', None, "Export not ready"),
            (b"Access denied", None, "Access denied"),
            (b"[1, 2]", None, "[1, 2]"),
            (b"", None, ""),
            (b"\xff\xfe\xfa", None, "\ufffd\ufffd\ufffd"),
            (b"<html><head><title>502 Bad\n Gateway</title></head></html>", None, "(an HTML page) 502 Bad Gateway"),
            (b"<!DOCTYPE html><script>var a=1</script><p>Sign in</p>", None, "(an HTML page) Sign in"),
        ],
    )
    def test_every_documented_error_body_is_read(self, body: bytes, code: str | None, words: str) -> None:
        """JSON objects, bare strings, plain text and a gateway's HTML all give their words."""
        assert vendor_words(HttpResponse(500, {}, body)) == (code, words)

    def test_words_of_the_vendor_are_attributes_too(self) -> None:
        """A caller needs no text search."""
        error = status_error(HttpResponse(400, {}, b'{"code": "X1", "message": "no"}'), "create an export")
        assert (error.vendor_code, error.vendor_message) == ("X1", "no")
        assert str(error) == (
            'could not create an export: the server answered 400: "no"; correct the request\'s arguments'
        )


class TestExcerpt:
    """How a body is quoted."""

    def test_a_long_text_is_cut(self) -> None:
        """An error quotes a sentence, never data."""
        assert excerpt("word " * 1000) == ("word " * 40)[:200] + "..."

    def test_control_characters_cannot_forge_a_log_line(self) -> None:
        """What is quoted stays on one line."""
        assert excerpt("a\r\nINFO\tforged\x1b[31m\u2028b\x00") == "a INFO forged [31m b"

    def test_megabytes_of_markup_are_not_searched(self) -> None:
        """Only the start is looked at: a search through all of it would take minutes."""
        assert excerpt("<html>" + "<script " * 1_000_000).startswith("(an HTML page)")

    @ANYTHING
    @given(texts | st.text())
    def test_an_excerpt_is_short_and_printable(self, text: str) -> None:
        """Whatever is quoted, it is one short line that can be logged."""
        line = excerpt(text)
        assert len(line) <= 203
        assert line.isprintable()
        line.encode()

    @pytest.mark.parametrize("body", [b"<!doctype HTML>", b"\xef\xbb\xbf <HTML>", b"\n<?xml version='1'?>", b"<body >"])
    def test_markup_is_told_by_its_start(self, body: bytes) -> None:
        """A byte order mark, blanks and capitals do not hide it."""
        assert looks_like_markup(body)

    @pytest.mark.parametrize("body", [b"", b"team,value\n", b'"<html>",1', b"{}"])
    def test_csv_and_json_are_no_markup(self, body: bytes) -> None:
        """A cell may speak of HTML."""
        assert not looks_like_markup(body)


class TestJsonValue:
    """A successful answer is JSON."""

    def test_json_is_returned(self) -> None:
        """The value is whatever the body says."""
        assert json_value(HttpResponse(200, {}, b'{"a": [1]}'), "list exports") == {"a": [1]}

    @pytest.mark.parametrize(
        "body", [b"", b"<html><title>Login</title></html>", b"team,value\n", b"[" * 100_000, b"\xff\xfe{", b"9" * 5_000]
    )
    def test_a_body_without_json_is_told_as_such(self, body: bytes) -> None:
        """A login page in place of an answer points at the base URL."""
        with pytest.raises(errors.SEIUnreadableError, match=r"without JSON.*check the connection's base URL") as caught:
            json_value(HttpResponse(200, {}, body), "list exports", export_id="exp_1")
        assert (caught.value.status_code, caught.value.export_id) == (200, "exp_1")

    @ANYTHING
    @given(responses())
    def test_any_answer_is_a_value_or_an_error_of_ours(self, response: HttpResponse) -> None:
        """No status, no header and no body raises anything else."""
        read = outcome(errors.SEIResponseError, json_value, response, "list exports")
        if isinstance(read, errors.SEIResponseError):
            assert len(str(read)) < 700
            assert str(read).isprintable()
        else:
            assert 200 <= response.status < 300
            json.dumps(read)


class TestWords:
    """The whole message, for it is what people act on."""

    def test_a_refusal_without_words_is_short(self) -> None:
        """Nothing is made up."""
        error = status_error(HttpResponse(418, {}, b""), "list exports", export_id="exp_1")
        assert str(error) == "could not list exports: the server answered 418"
        assert (error.status_code, error.vendor_message, error.export_id) == (418, None, "exp_1")

    @pytest.mark.parametrize("status", [199, 300, 301])
    def test_only_2xx_passes(self, status: int) -> None:
        """A redirect is no answer."""
        with pytest.raises(errors.SEIUnreadableError):
            check_status(HttpResponse(status), "list exports")

    def test_what_is_not_json_is_quoted(self) -> None:
        """With what to check, and what it was about."""
        with pytest.raises(errors.SEIUnreadableError) as caught:
            json_value(HttpResponse(200, {}, b"Sign in, please"), "list exports", export_id="exp_1")
        error = caught.value
        assert str(error) == (
            'could not list exports: the server answered 200 without JSON: "Sign in, please";'
            " check the connection's base URL, its path included"
        )
        assert (error.status_code, error.vendor_message, error.export_id) == (200, "Sign in, please", "exp_1")

    def test_an_empty_answer_has_no_words(self) -> None:
        """Not even empty ones."""
        with pytest.raises(errors.SEIUnreadableError) as caught:
            json_value(HttpResponse(200, {}, b""), "list exports")
        assert caught.value.vendor_message is None

    def test_a_refusal_says_what_and_which(self) -> None:
        """Also where JSON was expected."""
        with pytest.raises(errors.SEIRejectedError, match=r"^could not list exports: ") as caught:
            json_value(HttpResponse(400, {}, b"{}"), "list exports", export_id="exp_1")
        assert caught.value.export_id == "exp_1"

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"error": "Bad Request"}, ("Bad Request", "Bad Request")),
            ({"message": "", "detail": "no such tree"}, (None, "no such tree")),
            ({"code": 7, "message": "m"}, ("7", "m")),
            ({"code": True, "errorId": "e", "message": "m"}, ("e", "m")),
        ],
    )
    def test_words_are_found_under_each_of_their_names(self, body: object, said: tuple[str | None, str]) -> None:
        """Empty ones and flags are none."""
        assert vendor_words(HttpResponse(400, {}, json.dumps(body).encode())) == said


class TestOneLine:
    """A line of a body."""

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("a" * 200, "a" * 200),
            ("a" * 201, "a" * 200 + "..."),
            ("a\n\x00 b", "a b"),
            ("<html><TITLE lang=x>Sign\nin</TITLE><p>now", "(an HTML page) Sign in"),
            ("<head><style>\np {}\n</style><script>\nx()\n</script><b>Gateway</b>", "(an HTML page) Gateway"),
            ("a < b > c", "a < b > c"),
        ],
    )
    def test_it_is_one_line_of_at_most_200_characters(self, text: str, line: str) -> None:
        """Of a page, its title, or else its words."""
        assert excerpt(text) == line

    @pytest.mark.parametrize("start", [b"<head>", b"<HTML", b"\xef\xbb\xbf\r\n\t <body", b"<!DOCTYPE", b"<?xml"])
    def test_markup_is_told_by_its_start(self, start: bytes) -> None:
        """Blanks and a byte order mark before it make no difference, letters do."""
        assert looks_like_markup(start)
        assert not looks_like_markup(b"X" + start)
