"""What both transports do alike: every test here runs once over requests and once over aiohttp."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from airflow_provider_sei import __version__
from airflow_provider_sei.protocol import errors
from airflow_provider_sei.protocol.exports import create_call, status_call
from airflow_provider_sei.protocol.families import FAMILIES, get_family
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.messages import Call, HttpRequest, HttpResponse, encode_json
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings

PRODUCTIVITY = get_family("productivity")
LIST = list_call(PRODUCTIVITY, list_query())
BODY = {"scope": {"teamId": "456"}, "dateRange": {"start": "2024-01-01", "end": "2024-01-31"}}
CREATE = create_call(PRODUCTIVITY, BODY)
ONE_TRY = Backoff(attempts=1)
SettingsFor = Callable[..., SEISettings]


class TestAnswers:
    """Calls that go well."""

    @pytest.mark.parametrize("name", list(FAMILIES))
    def test_a_family_is_created_and_read_by_its_own_paths(
        self, driver: Any, settings: SEISettings, sei_server: Any, name: str
    ) -> None:
        """The answers become the same values, whichever library carried them."""
        family = get_family(name)
        body = BODY | ({"metricGroups": ["summary"]} if family.needs_metrics else {})
        [created] = driver.run(settings, create_call(family, body))
        [read] = driver.run(settings, status_call(family, created.export_id))
        assert (created.reused, read.status.value) == (False, "completed")
        assert sei_server.exports[0].export_id == created.export_id == read.export_id

    def test_an_existing_export_is_told_from_a_new_one(self, driver: Any, settings: SEISettings) -> None:
        """202 is a new export, 200 one that was there."""
        first, second = driver.run(settings, CREATE, CREATE)
        assert (first.reused, second.reused) == (False, True)
        assert first.export_id == second.export_id

    def test_calls_introduce_the_package_and_nothing_else(
        self, driver: Any, settings: SEISettings, sei_server: Any
    ) -> None:
        """The User-Agent names the release; no header of an HTTP library goes out."""
        driver.run(settings, LIST)
        [request] = sei_server.requests
        assert request.user_agent == f"airflow-provider-sei/{__version__}"
        assert {name.lower() for name in request.header_names} <= {
            *("host", "user-agent", "accept", "accept-encoding", "authorization", "connection"),
        }

    @pytest.mark.parametrize("header", ["authorization", "x-api-key", "SEI_API_KEY"])
    def test_the_key_travels_in_the_header_of_the_connection(
        self, driver: Any, settings_for: SettingsFor, raw_server: Any, header: str
    ) -> None:
        """In that one alone, ``authorization`` with the scheme in front."""
        server = raw_server(_answer(200, b'{"exports": []}'))
        driver.run(settings_for(server.origin, auth_header=header), LIST)
        head = server.received[0].decode()
        value = "ApiKey demo-key" if header == "authorization" else "demo-key"
        assert f"\r\n{header}: {value}\r\n".lower() in head.lower()
        assert head.count("demo-key") == 1

    def test_both_send_the_same_bytes(self, both: tuple[Any, Any], settings_for: SettingsFor, raw_server: Any) -> None:
        """Path, query and body are the same, letter by letter, outside ASCII too."""
        server = raw_server(_answer(202, b'{"exportId": "exp_1"}'))
        body = BODY | {"scope": {"orgTreeName": "Café & Söhne / 平台"}}
        for driver in both:
            driver.run(settings_for(server.origin + "/prod1/sei/api/"), create_call(PRODUCTIVITY, body))
        first, second = ((data.partition(b"\r\n")[0], data.partition(b"\r\n\r\n")[2]) for data in server.received)
        assert first == second
        assert first[0].startswith(b"POST /prod1/sei/api/v2/insights/productivity/exports?projectIdentifier=")
        assert first[1] == encode_json(body)

    def test_one_transport_keeps_its_connection(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """Several calls need one TCP connection."""
        driver.run(settings, CREATE, LIST, LIST)
        assert sei_server.connections == 1

    def test_cookies_are_not_kept(self, driver: Any, settings_for: SettingsFor, sei_server: Any) -> None:
        """A call depends on nothing that an earlier one has left behind."""
        # By name: no library keeps a cookie of an address.
        settings = settings_for(sei_server.base_url.replace("127.0.0.1", "localhost"))
        sei_server.faults.add("list", "answer", status=503, headers={"Set-Cookie": "session=1; Path=/"})
        driver.run(settings, LIST)
        assert "cookie" not in {name.lower() for name in sei_server.requests[1].header_names}


class TestRetries:
    """Trouble that can pass, and trouble that cannot."""

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, errors.SEIRejectedError),
            (401, errors.SEIAuthError),
            (403, errors.SEIAuthError),
            (404, errors.SEINotFoundError),
            (405, errors.SEIRejectedError),
            (409, errors.SEIRejectedError),
            (422, errors.SEIRejectedError),
        ],
    )
    @pytest.mark.parametrize("call", [CREATE, LIST], ids=["create", "list"])
    def test_a_refusal_is_never_repeated(
        self,
        driver: Any,
        settings: SEISettings,
        sei_server: Any,
        *,
        call: Call[Any],
        status: int,
        kind: type[errors.SEIError],
    ) -> None:
        """A 4xx says that this very request is wrong."""
        sei_server.faults.add("any", "answer", status=status, times=None, body={"message": "no such luck"})
        with pytest.raises(kind) as caught:
            driver.run(settings, call)
        assert len(sei_server.requests) == 1
        assert driver.pauses == []
        assert (caught.value.status_code, caught.value.vendor_message) == (status, "no such luck")
        assert caught.value.retryable is False

    @pytest.mark.parametrize("status", [429, 500, 501, 502, 503, 504])
    def test_throttling_and_server_errors_pass(
        self, driver: Any, settings: SEISettings, sei_server: Any, status: int
    ) -> None:
        """The call is made again after growing, jittered pauses, and its answer is as if nothing had been."""
        sei_server.faults.add("list", "answer", status=status, times=2)
        [page] = driver.run(settings, LIST)
        assert page.exports == ()
        assert [request.status for request in sei_server.requests] == [status, status, 200]
        first, second = driver.pauses
        assert 0.5 <= first < 1.5
        assert 1.0 <= second < 3.0

    @pytest.mark.parametrize(("status", "kind"), [(429, errors.SEIThrottledError), (503, errors.SEIServerError)])
    def test_tries_are_bounded(
        self, driver: Any, settings: SEISettings, sei_server: Any, status: int, kind: type[errors.SEIError]
    ) -> None:
        """After the last one, its own error is raised, not one of the retry library's."""
        sei_server.faults.add("list", "answer", status=status, times=None)
        with pytest.raises(kind) as caught:
            driver.run(settings, LIST, backoff=Backoff(attempts=3))
        assert len(sei_server.requests) == 3
        assert caught.value.retryable is True

    @pytest.mark.parametrize("fault", [{"after_work": False}, {"after_work": True}])
    def test_a_create_whose_answer_is_lost_is_repeated(
        self, driver: Any, settings: SEISettings, sei_server: Any, fault: dict[str, bool]
    ) -> None:
        """Whether or not the server did the work, there is one export afterwards, and the call knows it."""
        sei_server.faults.add("create", "close", **fault)
        [export] = driver.run(settings, CREATE)
        [only] = sei_server.exports
        assert only.export_id == export.export_id
        assert only.requested == (2 if fault["after_work"] else 1)
        assert export.reused is fault["after_work"]

    @pytest.mark.parametrize("effect", [{"effect": "cut", "after_bytes": 5}, {"effect": "content_length"}])
    def test_a_create_whose_answer_is_cut_is_repeated(
        self, driver: Any, settings: SEISettings, sei_server: Any, effect: dict[str, Any]
    ) -> None:
        """Half an answer is no answer; the export that was made is taken up."""
        sei_server.faults.add("create", **effect)
        [export] = driver.run(settings, CREATE)
        assert [record.export_id for record in sei_server.exports] == [export.export_id]
        assert sei_server.exports[0].requested == 2

    def test_a_create_that_meets_a_server_error_is_repeated(
        self, driver: Any, settings: SEISettings, sei_server: Any
    ) -> None:
        """A repeated request cannot make a second export."""
        sei_server.faults.add("create", "answer", status=502, kind="html", body="Bad gateway")
        driver.run(settings, CREATE)
        assert len(sei_server.exports) == 1

    def test_retry_after_in_seconds_is_waited_for(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """Where it asks for more than our own pause."""
        sei_server.faults.add("list", "answer", status=429, retry_after=7)
        driver.run(settings, LIST)
        assert driver.pauses == [7.0]

    def test_retry_after_as_a_date_is_waited_for(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """A date is the other form that HTTP knows."""
        sei_server.faults.add("list", "answer", status=503, retry_after=formatdate(time.time() + 120, usegmt=True))
        driver.run(settings, LIST)
        [pause] = driver.pauses
        assert 60 < pause <= 120

    def test_retry_after_is_obeyed_up_to_a_bound(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """No server can put a task to sleep for a day."""
        sei_server.faults.add("list", "answer", status=503, retry_after=86_400)
        driver.run(settings, LIST)
        assert driver.pauses == [Backoff().longest_asked]

    def test_no_pause_goes_beyond_the_time_left(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """Waiting past one's own deadline is of no use: the error comes at once."""
        sei_server.faults.add("list", "answer", status=503, retry_after=7)
        with pytest.raises(errors.SEIServerError):
            driver.run(settings, LIST, seconds_left=lambda: 5.0)
        assert driver.pauses == []

    def test_each_repetition_is_told(
        self, driver: Any, settings: SEISettings, sei_server: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One line says what went wrong and how long the pause is."""
        sei_server.faults.add("list", "answer", status=503, retry_after=7)
        driver.run(settings, LIST)
        assert "answered 503" in caplog.text
        assert "trying again in 7.0 s (try 2)" in caplog.text

    def test_an_unreachable_server_is_named(self, driver: Any, settings_for: SettingsFor, raw_server: Any) -> None:
        """The error says where nobody answered, and that the host field is to be looked at."""
        server = raw_server()
        server.close()
        with pytest.raises(errors.SEINoAnswerError, match=r"no answer from http://127\.0\.0\.1:\d+ .*check the conn"):
            driver.run(settings_for(server.origin), LIST, backoff=ONE_TRY)

    def test_nothing_is_sent_without_the_identifiers(
        self, driver: Any, settings_for: SettingsFor, sei_server: Any
    ) -> None:
        """A request that the server could only refuse is refused here."""
        with pytest.raises(errors.SEIUsageError, match="project_identifier is missing"):
            driver.run(settings_for(sei_server.base_url, project_identifier=""), LIST)
        assert sei_server.requests == []


class TestUnusableAnswers:
    """Answers by their status, but not of this API."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"OK",
            b"<!DOCTYPE html><title>Sign in</title>",
            b"[1, 2",
            b'"text"',
            b"null",
            b"\xff\xfe\x00",
            b"[" * 9999,
        ],
        ids=["empty", "text", "html", "half", "string", "null", "binary", "deep"],
    )
    def test_a_success_without_the_documented_json_is_not_one(
        self, driver: Any, settings_for: SettingsFor, raw_server: Any, body: bytes
    ) -> None:
        """It is not repeated either: a login page stays a login page."""
        server = raw_server(_answer(200, body))
        with pytest.raises(errors.SEIUnreadableError, match="check the connection's base URL"):
            driver.run(settings_for(server.origin), LIST)
        assert len(server.received) == 1

    def test_of_a_page_only_its_title_is_quoted(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """The error stays one line."""
        sei_server.faults.add("list", "answer", status=200, kind="html", body="Please sign in <b>now</b>" * 100)
        with pytest.raises(errors.SEIUnreadableError) as caught:
            driver.run(settings, LIST)
        assert len(str(caught.value)) < 500
        assert "\n" not in str(caught.value)

    def test_an_oversized_answer_is_given_up(
        self, driver: Any, settings_for: SettingsFor, raw_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory is bounded, whatever a server sends."""
        monkeypatch.setattr("airflow_provider_sei.transports.common.MAX_ANSWER_BYTES", 1000)
        server = raw_server(_answer(200, json.dumps({"exports": ["x" * 5000]}).encode()))
        with pytest.raises(errors.SEIUnreadableError, match="larger than 1000 bytes"):
            driver.run(settings_for(server.origin), LIST)

    def test_a_dripping_answer_is_given_up(
        self, driver: Any, settings_for: SettingsFor, sei_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An answer that never falls silent for long still ends."""
        for module in ("sync", "aio"):
            monkeypatch.setattr(f"airflow_provider_sei.transports.{module}.MAX_ANSWER_SECONDS", 0.0)
        sei_server.faults.add("list", "drip", chunk_bytes=1, seconds=0.02)
        settings = settings_for(sei_server.base_url, connect_timeout=0.1)
        with pytest.raises(errors.SEINoAnswerError):
            driver.run(settings, LIST, backoff=ONE_TRY)

    @pytest.mark.parametrize("after_bytes", [0, 4])
    def test_a_silent_server_is_given_up(
        self, driver: Any, settings_for: SettingsFor, sei_server: Any, after_bytes: int
    ) -> None:
        """``read_timeout`` bounds each silence, before the first byte and behind it."""
        sei_server.faults.add("list", "stall", after_bytes=after_bytes, seconds=5.0)
        with pytest.raises(errors.SEINoAnswerError):
            driver.run(settings_for(sei_server.base_url, read_timeout=0.1), LIST, backoff=ONE_TRY)

    def test_a_call_may_bring_its_own_patience(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """A call's own timeout goes before the connection's."""
        sei_server.faults.add("list", "stall", seconds=5.0)
        call = Call(
            HttpRequest(method="GET", path=PRODUCTIVITY.collection_path, timeout=0.1), LIST.parse, "list exports"
        )
        with pytest.raises(errors.SEINoAnswerError):
            driver.run(settings, call, backoff=ONE_TRY)

    @pytest.mark.parametrize("length", [{"delta": 10}, {"delta": None}])
    def test_a_cut_answer_is_no_answer(
        self, driver: Any, settings: SEISettings, sei_server: Any, length: dict[str, Any]
    ) -> None:
        """With an announced length as without one."""
        sei_server.faults.add("list", "content_length", **length)
        sei_server.faults.add("list", "cut", after_bytes=12)
        with pytest.raises(errors.SEINoAnswerError):
            driver.run(settings, LIST, backoff=ONE_TRY)

    @pytest.mark.parametrize("junk", [b"", b"hello\r\n\r\n", b"HTTP/1.1 xyz\r\n\r\n"])
    def test_what_is_not_http_is_no_answer(
        self, driver: Any, settings_for: SettingsFor, raw_server: Any, junk: bytes
    ) -> None:
        """Another program on the port is not an SEI server."""
        with pytest.raises(errors.SEINoAnswerError):
            driver.run(settings_for(raw_server(junk).origin), LIST, backoff=ONE_TRY)


class TestRedirects:
    """Where the key may go."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_within_the_origin_is_followed(
        self, driver: Any, settings: SEISettings, sei_server: Any, status: int
    ) -> None:
        """With the key, because it stays where it was."""
        sei_server.faults.add("list", "redirect", status=status)
        [page] = driver.run(settings, LIST)
        assert page.exports == ()
        assert [request.auth for request in sei_server.requests] == ["authorization", "authorization"]

    def test_a_user_name_in_a_redirect_does_not_replace_the_key(
        self, driver: Any, settings: SEISettings, sei_server: Any
    ) -> None:
        """An HTTP library would make an authorization header of it."""
        query = "projectIdentifier=demo_project&orgIdentifier=default"
        url = f"{sei_server.base_url}/{PRODUCTIVITY.collection_path}?{query}"
        sei_server.faults.add("list", "redirect", to=url.replace("://", "://somebody:else@"))
        driver.run(settings, LIST)
        assert sei_server.requests[1].auth == "authorization"

    def test_another_origin_never_sees_the_key(
        self, driver: Any, settings: SEISettings, sei_server: Any, raw_server: Any
    ) -> None:
        """It is not even called."""
        foreign = raw_server(_answer(200, b'{"exports": []}'))
        sei_server.faults.add("list", "redirect", to=f"{foreign.origin}/exports")
        with pytest.raises(errors.SEIUnreadableError, match="the API key must not leave its own origin"):
            driver.run(settings, LIST)
        assert foreign.received == []

    @pytest.mark.parametrize(
        "location",
        [
            "//127.0.0.1:1/x",
            "https://127.0.0.1/x",
            "http://[",
            "http://127.0.0.1:port/",
            "ftp://127.0.0.1/x",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http:\\\\127.0.0.1:1\\x",
            "",
        ],
    )
    def test_no_crooked_redirect_is_followed(
        self, driver: Any, settings_for: SettingsFor, raw_server: Any, location: str
    ) -> None:
        """Whatever a ``Location`` holds, it ends in an error of ours."""
        server = raw_server(_answer(302, b"", f"Location: {location}"))
        with pytest.raises(errors.SEIUnreadableError, match=r"[cC]heck the connection's base URL"):
            driver.run(settings_for(server.origin), LIST)
        assert len(server.received) == 1

    def test_the_body_of_a_redirect_is_not_waited_for(
        self, driver: Any, settings: SEISettings, sei_server: Any
    ) -> None:
        """Nothing in it is of use."""
        sei_server.faults.add("list", "redirect")
        sei_server.faults.add("list", "content_length", delta=1 << 40)
        sei_server.faults.add("list", "stall", seconds=5.0)
        driver.run(settings, LIST)
        assert [request.status for request in sei_server.requests] == [302, 200]

    def test_a_redirected_create_is_not_followed(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """What becomes of its body is the libraries' guess, so the address is to be mended."""
        sei_server.faults.add("create", "redirect", status=307)
        with pytest.raises(errors.SEIUnreadableError, match="redirects a POST"):
            driver.run(settings, CREATE)
        assert sei_server.exports == []

    def test_circles_end(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """After five steps."""
        sei_server.faults.add("list", "redirect", times=None)
        with pytest.raises(errors.SEIUnreadableError, match="redirects in circles"):
            driver.run(settings, LIST)
        assert len(sei_server.requests) == 5


class TestSecrecy:
    """The key is in no error, no log line and no ``repr``, even where a server echoes it."""

    @pytest.mark.parametrize(
        "fault",
        [
            {"effect": "answer", "status": 400, "body": "the key secret-key-123 is wrong"},
            {"effect": "answer", "status": 503, "body": {"message": "secret-key-123", "code": "secret-key-123"}},
            {"effect": "answer", "status": 200, "kind": "html", "body": "secret-key-123"},
            {"effect": "answer", "status": 429, "retry_after": "secret-key-123"},
            {"effect": "answer", "status": 400, "body": r'{"message": "secret\u002dkey-123"}'},
            {"effect": "redirect", "to": "https://secret-key-123.example/secret-key-123"},
            {"effect": "redirect", "to": "https://secret-key-123@elsewhere.example/"},
            {"effect": "close"},
        ],
    )
    def test_an_echoed_key_is_starred(
        self,
        driver: Any,
        settings_for: SettingsFor,
        sei_server: Any,
        caplog: pytest.LogCaptureFixture,
        fault: dict[str, Any],
    ) -> None:
        """Not in the error, its causes or its fields, nor in any library's log."""
        sei_server.reset(api_key="secret-key-123")
        sei_server.faults.add("list", times=None, **fault)
        settings = settings_for(sei_server.base_url, key="secret-key-123")
        with caplog.at_level("DEBUG"), pytest.raises(errors.SEIError) as caught:
            driver.run(settings, LIST, backoff=Backoff(attempts=2))
        error: BaseException | None = caught.value
        while error is not None:
            assert "secret-key-123" not in f"{error!r} {error} {getattr(error, '__notes__', '')}"
            error = error.__cause__ or error.__context__
        assert "secret-key-123" not in repr(vars(caught.value))
        assert "secret-key-123" not in caplog.text
        assert "secret-key-123" not in repr(settings)


class TestTwins:
    """The same answer means the same on the worker and in the triggerer."""

    @pytest.mark.parametrize("status", [200, 201, 202, 299, 300, 304, 400, 401, 404, 418, 429, 499, 500, 511, 599])
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b'{"exports": [{"exportId": "exp_1", "status": "QUEUED"}]}',
            b"<html>x</html>",
            b'{"code": 7}',
            b"\x00\xff",
        ],
    )
    def test_both_end_alike(
        self, both: tuple[Any, Any], settings_for: SettingsFor, raw_server: Any, status: int, body: bytes
    ) -> None:
        """With an equal value, or with an equal error of the same kind."""
        server = raw_server(_answer(status, body, "X-Odd: é"))
        ends = []
        for driver in both:
            try:
                ends.append(driver.run(settings_for(server.origin), LIST, backoff=ONE_TRY))
            except errors.SEIError as error:
                ends.append((type(error), vars(error), str(error)))
        assert ends[0] == ends[1]

    def test_both_hand_the_parser_the_same_answer(
        self, both: tuple[Any, Any], settings_for: SettingsFor, raw_server: Any
    ) -> None:
        """Status, lower-case headers and body, undecoded."""
        server = raw_server(_answer(203, b"body", "X-Mixed-Case: Value", "Content-Encoding: br"))
        seen: list[HttpResponse] = []
        call = Call(HttpRequest(method="GET", path="v2/x"), seen.append, "look")
        for driver in both:
            driver.run(settings_for(server.origin), call)
        assert seen[0] == seen[1]
        assert (seen[0].status, seen[0].body, seen[0].headers["x-mixed-case"]) == (203, b"body", "Value")


def _answer(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if status == 304 else body)
