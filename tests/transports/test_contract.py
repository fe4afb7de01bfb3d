"""What both transports do alike: every test here runs once over requests and once over aiohttp."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from airflow_provider_sei import __version__
from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.exports import create_call, status_call
from airflow_provider_sei.protocol.families import FAMILIES, get_family
from airflow_provider_sei.protocol.http import Call, HttpRequest, HttpResponse
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.retry import Backoff

PRODUCTIVITY = get_family("productivity")
LIST = list_call(PRODUCTIVITY, list_query())
BODY = {"scope": {"teamId": "456"}, "dateRange": {"start": "2024-01-01", "end": "2024-01-31"}}
CREATE = create_call(PRODUCTIVITY, BODY)
ONE_TRY = Backoff(attempts=1)


def response(status: int, body: bytes, *headers: str) -> bytes:
    """Return a response as it is sent."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if status == 304 else body)


class TestRequests:
    """What is sent."""

    @pytest.mark.parametrize("name", list(FAMILIES))
    def test_a_family_is_created_and_read_by_its_own_paths(self, driver: Any, sei_server: Any, name: str) -> None:
        """The responses become the same values, whichever library received them."""
        family = get_family(name)
        created = driver.run(
            create_call(family, BODY | ({"metricGroups": ["summary"]} if family.needs_metrics else {}))
        )
        read = driver.run(status_call(family, created.export_id))
        assert (created.reused, read.status.value) == (False, "completed")
        assert sei_server.exports[0].export_id == created.export_id == read.export_id

    def test_an_existing_export_differs_from_a_new_one(self, driver: Any, sei_server: Any) -> None:
        """202 is a new export, 200 an existing one. Both calls use one TCP connection."""
        assert driver.run(CREATE, CREATE).reused is True
        assert len(sei_server.exports) == sei_server.connections == 1

    def test_requests_name_the_package_and_nothing_else(self, driver: Any, sei_server: Any) -> None:
        """The User-Agent names the release; the HTTP libraries add no header of theirs."""
        driver.run(LIST)
        [request] = sei_server.requests
        assert request.user_agent == f"airflow-provider-sei/{__version__}"
        needed = {"host", "user-agent", "accept", "accept-encoding", "content-type", "authorization"}
        assert needed <= {name.lower() for name in request.header_names} <= needed | {"connection"}

    @pytest.mark.parametrize("header", ["authorization", "x-api-key", "SEI_API_KEY"])
    def test_the_key_is_sent_in_the_header_of_the_connection(self, driver: Any, raw_server: Any, header: str) -> None:
        """In that one alone, ``authorization`` with its scheme."""
        server = raw_server(response(200, b'{"exports": []}'))
        driver.run(LIST, host=server.origin, auth_header=header)
        head = server.received[0].decode()
        value = "ApiKey demo-key" if header == "authorization" else "demo-key"
        assert f"\r\n{header}: {value}\r\n".lower() in head.lower()
        assert head.count("demo-key") == 1

    def test_a_service_account_token_goes_with_its_account(self, driver: Any, sei_server: Any) -> None:
        """Over the gateway, as Harness' own client does it: the account in a header, and none in the query."""
        sei_server.reset(base_path="/gateway/sei/api")
        token = {"key": "demo-service-account-token", "auth_header": "X-API-Key"}
        with pytest.raises(errors.SEIAuthError):
            driver.run(LIST, **token)
        account = {"account_header": "harness-account", "account_id": "demo_account"}
        assert driver.run(LIST, **token, **account).items == ()
        request = sei_server.requests[-1]
        assert "Harness-Account" in request.header_names
        assert "demo_account" not in dict(request.query).values()
        for wrong in (None, "two words", "konto-ü", "a\r\nb"):
            with pytest.raises(errors.SEIArgumentError, match="account_header needs account_id"):
                driver.run(LIST, **token, **account | {"account_id": wrong})
        assert len(sei_server.requests) == 2

    def test_both_send_the_same_bytes(self, both: tuple[Any, Any], raw_server: Any) -> None:
        """Path, query and body are the same, outside ASCII too."""
        server = raw_server(response(202, b'{"exportId": "exp_1"}'))
        body = BODY | {"scope": {"orgTreeName": "Café & Söhne / 平台"}}
        for driver in both:
            driver.run(create_call(PRODUCTIVITY, body), host=server.origin + "/prod1/sei/api/")
        first, second = ((data.partition(b"\r\n")[0], data.partition(b"\r\n\r\n")[2]) for data in server.received)
        assert first == second
        assert first[0].startswith(b"POST /prod1/sei/api/v2/insights/productivity/exports?projectIdentifier=")
        assert first[1] == json.dumps(body, ensure_ascii=False).encode()

    def test_cookies_are_not_kept(self, driver: Any, sei_server: Any) -> None:
        """A call depends on nothing that an earlier response has set."""
        sei_server.faults.add("list", "answer", status=503, headers={"Set-Cookie": "session=1; Path=/"})
        # By name: no library keeps a cookie of an address.
        driver.run(LIST, host=sei_server.base_url.replace("127.0.0.1", "localhost"))
        assert "cookie" not in {name.lower() for name in sei_server.requests[1].header_names}

    def test_nothing_is_sent_without_the_identifiers(self, driver: Any, sei_server: Any) -> None:
        """The server could only refuse such a request."""
        with pytest.raises(errors.SEIArgumentError, match="project_identifier is missing"):
            driver.run(LIST, project_identifier="")
        assert sei_server.requests == []


class TestRetries:
    """Which errors are retried, and after which pauses."""

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    @pytest.mark.parametrize("call", [CREATE, LIST], ids=["create", "list"])
    def test_a_refusal_is_not_retried(self, driver: Any, sei_server: Any, *, call: Call[Any], status: int) -> None:
        """A 4xx says that this very request is wrong."""
        sei_server.faults.add("any", "answer", status=status, times=None, body={"message": "no such luck"})
        with pytest.raises(errors.SEIResponseError) as caught:
            driver.run(call)
        assert (len(sei_server.requests), driver.pauses) == (1, [])
        assert (caught.value.status_code, caught.value.vendor_message) == (status, "no such luck")

    @pytest.mark.parametrize("status", [429, 500, 501, 502, 503, 504])
    def test_rate_limits_and_server_errors_are_retried(self, driver: Any, sei_server: Any, status: int) -> None:
        """After growing, jittered pauses."""
        sei_server.faults.add("list", "answer", status=status, times=2)
        assert driver.run(LIST).items == ()
        assert [request.status for request in sei_server.requests] == [status, status, 200]
        first, second = driver.pauses
        assert 0.5 <= first < 1.5
        assert 1.0 <= second < 3.0

    @pytest.mark.parametrize("status", [429, 503])
    def test_retries_are_bounded(self, driver: Any, sei_server: Any, caplog: Any, status: int) -> None:
        """Each is logged; the last try's error is raised, not one of the retry library's."""
        sei_server.faults.add("list", "answer", status=status, times=None, retry_after=7)
        with pytest.raises(errors.SEIResponseError, match=str(status)):
            driver.run(LIST, backoff=Backoff(attempts=3))
        assert len(sei_server.requests) == 3
        assert caplog.text.count(f"the server answered {status}") == 2
        assert "retrying in 7.0 s (attempt 2 of" in caplog.text

    @pytest.mark.parametrize(
        ("fault", "requested"),
        [
            ({"effect": "close", "after_work": False}, 1),
            ({"effect": "close", "after_work": True}, 2),
            ({"effect": "cut", "after_bytes": 5}, 2),
            ({"effect": "content_length"}, 2),
            ({"effect": "answer", "status": 502, "kind": "html", "body": "Bad gateway"}, 1),
        ],
    )
    def test_a_create_without_a_whole_response_is_retried(
        self, driver: Any, sei_server: Any, fault: dict[str, Any], requested: int
    ) -> None:
        """Whether or not the server did the work, there is one export afterwards."""
        sei_server.faults.add("create", **fault)
        export = driver.run(CREATE)
        [only] = sei_server.exports
        assert (only.export_id, only.requested) == (export.export_id, requested)
        assert export.reused is (requested == 2)

    @pytest.mark.parametrize(
        "asked", [7, formatdate(time.time() + 86_400, usegmt=True), 86_400], ids=["7", "date", "day"]
    )
    def test_retry_after_is_respected_up_to_a_cap(self, driver: Any, sei_server: Any, asked: object) -> None:
        """Seconds or a date; no server can make a task sleep for a day, nor five minutes before each try."""
        sei_server.faults.add("list", "answer", status=503, retry_after=asked)
        driver.run(LIST)
        assert driver.pauses == [7 if asked == 7 else 300]
        sei_server.faults.add("list", "answer", status=503, retry_after=asked, times=None)
        with pytest.raises(errors.SEIServerError):
            driver.run(LIST)
        assert sum(driver.pauses[1:]) <= 300


class TestConnectionErrors:
    """No response, or half of one."""

    def test_an_unreachable_server_is_named(self, driver: Any, raw_server: Any) -> None:
        """With the setting to check."""
        server = raw_server()
        server.close()
        with pytest.raises(errors.SEIConnectionError, match=r"no answer from http://127\.0\.0\.1:\d+ .*check the conn"):
            driver.run(LIST, host=server.origin, backoff=ONE_TRY)

    def test_a_slow_response_is_given_up(self, driver: Any, sei_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A body that never falls silent for long still ends."""
        monkeypatch.setattr("airflow_provider_sei.transports._common.MAX_BODY_SECONDS", 0.0)
        sei_server.faults.add("list", "drip", chunk_bytes=1, seconds=0.02)
        with pytest.raises(errors.SEIConnectionError):
            driver.run(LIST, backoff=ONE_TRY, connect_timeout=0.1)

    @pytest.mark.parametrize(
        ("after_bytes", "default", "extra"),
        [*((after, None, {"read_timeout": 0.1}) for after in (0, 4)), (0, 0.1, {}), (0, 30.0, {"read_timeout": 0.1})],
    )
    def test_a_silent_server_is_given_up(
        self, driver: Any, sei_server: Any, *, after_bytes: int, default: float | None, extra: dict[str, float]
    ) -> None:
        """``read_timeout`` bounds each silence, before the first byte and after it; else a call has its own default."""
        sei_server.faults.add("list", "stall", after_bytes=after_bytes, seconds=5.0)
        request = HttpRequest(method="GET", path=PRODUCTIVITY.collection_path, read_timeout=default)
        with pytest.raises(errors.SEIConnectionError):
            driver.run(Call(request, LIST.parse, "list exports"), backoff=ONE_TRY, **extra)

    @pytest.mark.parametrize("delta", [10, None])
    def test_an_incomplete_response_is_an_error(self, driver: Any, sei_server: Any, delta: int | None) -> None:
        """With a Content-Length as without one."""
        sei_server.faults.add("list", "content_length", delta=delta)
        sei_server.faults.add("list", "cut", after_bytes=12)
        with pytest.raises(errors.SEIConnectionError):
            driver.run(LIST, backoff=ONE_TRY)

    @pytest.mark.parametrize("junk", [b"", b"hello\r\n\r\n", b"HTTP/1.1 xyz\r\n\r\n"])
    def test_what_is_not_http_is_an_error(self, driver: Any, raw_server: Any, junk: bytes) -> None:
        """Another program listens on the port."""
        with pytest.raises(errors.SEIConnectionError):
            driver.run(LIST, host=raw_server(junk).origin, backoff=ONE_TRY)


class TestUnexpectedResponses:
    """Successful by status, but not from this API."""

    @pytest.mark.parametrize(
        "body", [b"", b"OK", b"<!DOCTYPE html>" + b"<b>now</b>\n" * 1000, b"[1", b"null", b"\xff\xfe\0"]
    )
    def test_a_success_without_the_documented_json_is_an_error(self, driver: Any, raw_server: Any, body: bytes) -> None:
        """It is not retried: a login page stays a login page."""
        server = raw_server(response(200, body))
        with pytest.raises(errors.SEIUnexpectedResponseError, match="check the connection's base URL") as caught:
            driver.run(LIST, host=server.origin)
        assert len(server.received) == 1
        assert len(str(caught.value)) < 500
        assert str(caught.value).isprintable()

    def test_an_oversized_response_is_given_up(
        self, driver: Any, raw_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory is bounded, whatever a server sends."""
        monkeypatch.setattr("airflow_provider_sei.transports._common.MAX_BODY_BYTES", 1000)
        server = raw_server(response(200, json.dumps({"exports": ["x" * 5000]}).encode()))
        with pytest.raises(errors.SEIUnexpectedResponseError, match="exceeds 1000 bytes"):
            driver.run(LIST, host=server.origin)


class TestRedirects:
    """Where the key may go."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_within_the_origin_is_followed(self, driver: Any, sei_server: Any, status: int) -> None:
        """With the key; its own body, here an endless one, is not read."""
        sei_server.faults.add("list", "redirect", status=status)
        sei_server.faults.add("list", "content_length", delta=1 << 40)
        sei_server.faults.add("list", "stall", seconds=5.0)
        assert driver.run(LIST).items == ()
        assert [request.status for request in sei_server.requests] == [status, 200]
        assert [request.auth for request in sei_server.requests] == ["authorization", "authorization"]

    def test_a_user_name_in_a_redirect_does_not_replace_the_key(self, driver: Any, sei_server: Any) -> None:
        """An HTTP library would send it as the authorization header."""
        query = "projectIdentifier=demo_project&orgIdentifier=default"
        url = f"{sei_server.base_url}/{PRODUCTIVITY.collection_path}?{query}"
        sei_server.faults.add("list", "redirect", to=url.replace("://", "://somebody:else@"))
        driver.run(LIST)
        assert sei_server.requests[1].auth == "authorization"

    def test_another_origin_never_gets_the_key(self, driver: Any, sei_server: Any, raw_server: Any) -> None:
        """It is not even called."""
        foreign = raw_server(response(200, b'{"exports": []}'))
        sei_server.faults.add("list", "redirect", to=f"{foreign.origin}/exports")
        with pytest.raises(errors.SEIUnexpectedResponseError, match="the API key must not leave its own origin"):
            driver.run(LIST)
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
            "/a/%2e%2e/admin",
            "/v2/insights/productivity/exports/exp_2/download",
        ],
    )
    def test_an_unusable_redirect_is_an_error(self, driver: Any, raw_server: Any, location: str) -> None:
        """Whatever the ``Location`` is, the error is ours. Nor does it lead to another export's file."""
        server = raw_server(response(302, b"", f"Location: {location}"))
        with pytest.raises(errors.SEIUnexpectedResponseError, match="check the connection's base URL"):
            driver.run(status_call(PRODUCTIVITY, "exp_1"), host=server.origin)
        assert len(server.received) == 1

    def test_circles_end(self, driver: Any, sei_server: Any) -> None:
        """After five requests. A create is not followed: HTTP libraries differ in whether they send the body again."""
        sei_server.faults.add("create", "redirect", status=307)
        with pytest.raises(errors.SEIUnexpectedResponseError, match="redirects a POST"):
            driver.run(CREATE)
        assert sei_server.exports == []
        sei_server.faults.add("list", "redirect", times=None)
        with pytest.raises(errors.SEIUnexpectedResponseError, match="redirects in circles"):
            driver.run(LIST)
        assert len(sei_server.requests) == 1 + 5


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "answer", "status": 400, "body": "the key secret-key-123 is wrong"},
        {"effect": "answer", "status": 503, "body": {"message": "secret-key-123", "code": "secret-key-123"}},
        {"effect": "answer", "status": 200, "kind": "html", "body": "secret-key-123"},
        {"effect": "answer", "status": 429, "retry_after": "secret-key-123"},
        {"effect": "redirect", "to": "https://secret-key-123.example/secret-key-123"},
        {"effect": "redirect", "to": "https://secret-key-123@elsewhere.example/"},
        {"effect": "redirect", "to": "/%2e%2e/secret-key-123"},
        {"effect": "close"},
    ],
)
def test_the_key_is_in_no_error_and_no_log(
    driver: Any, sei_server: Any, caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    """Not where a server echoes it, not in the error's causes or fields, nor in any library's log."""
    sei_server.reset(api_key="secret-key-123")
    sei_server.faults.add("list", times=None, **fault)
    with caplog.at_level("DEBUG"), pytest.raises(errors.SEIError) as caught:
        driver.run(LIST, key="secret-key-123", backoff=Backoff(attempts=2))
    for error in _causes(caught.value):
        assert "secret-key-123" not in f"{error!r} {error} {vars(error)}"
    assert "secret-key-123" not in caplog.text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class TestSameResult:
    """The same response means the same on the worker and in the triggerer."""

    @pytest.mark.parametrize("status", [200, 202, 299, 300, 304, 400, 401, 404, 418, 429, 500, 511, 599])
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
    def test_both_return_or_raise_the_same(
        self, both: tuple[Any, Any], raw_server: Any, status: int, body: bytes
    ) -> None:
        """An equal value, or an equal error of the same class."""
        server = raw_server(response(status, body, "X-Odd: é"))
        results = []
        for driver in both:
            try:
                results.append(driver.run(LIST, host=server.origin, backoff=ONE_TRY))
            except errors.SEIError as error:
                results.append((type(error), vars(error), str(error)))
        assert results[0] == results[1]

    def test_both_pass_the_parser_the_same_response(self, both: tuple[Any, Any], raw_server: Any) -> None:
        """Status, lower-case headers and body, not decoded."""
        server = raw_server(response(203, b"body", "X-Mixed-Case: Value", "Content-Encoding: br"))
        seen: list[HttpResponse] = []
        for driver in both:
            driver.run(Call(HttpRequest(method="GET", path="v2/x"), seen.append, "look"), host=server.origin)
        assert seen[0] == seen[1]
        assert (seen[0].status, seen[0].body, seen[0].headers["x-mixed-case"]) == (203, b"body", "Value")
