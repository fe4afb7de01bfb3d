"""A connection's fields, and the URLs and headers that they make: no origin but the connection's is ever called."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError, SEIUnexpectedResponseError
from airflow_provider_sei.protocol.http import Api, HttpRequest
from airflow_provider_sei.protocol.settings import ALIASES, AUTH_HEADERS, BaseUrl, SEISettings
from tests.protocol.strategies import ANYTHING, json_values, outcome, texts

PROD1 = BaseUrl(ALIASES["prod1"])
KEY = "sat.account.0123456789"


def settings(password: str | None = KEY, host: str | None = "prod1", **extra: Any) -> SEISettings:
    """Return the settings of a connection to prod1."""
    return SEISettings.from_fields(
        host=host, password=password, extra={"project_identifier": "P", "org_identifier": "O"} | extra
    )


def sent(connection: SEISettings, request: HttpRequest) -> tuple[str, dict[str, str], bytes | None]:
    """Return what is sent: URL, headers and body."""
    return connection.prepare(request, "agent/1")


class TestHost:
    """What a connection's host may be."""

    @pytest.mark.parametrize(
        ("host", "text"),
        [
            ("prod1", "https://app.harness.io/prod1/sei/api"),
            (" Prod2 ", "https://app.harness.io/gratis/sei/api"),
            ("EU", "https://accounts.eu.harness.io/sei/api"),
            ("https://app.harness.io/prod1/sei/api/", "https://app.harness.io/prod1/sei/api"),
            ("HTTPS://sei.example.com//", "https://sei.example.com"),
            ("Xhost.example/apiX", "https://Xhost.example/apiX"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://localhost:1", "http://localhost:1"),
        ],
    )
    def test_an_alias_a_url_and_a_bare_host_are_understood(self, host: str, text: str) -> None:
        """The scheme is https if it is not given."""
        assert BaseUrl.from_host(host).text == text

    @pytest.mark.parametrize(
        ("host", "fields", "text"),
        [
            ("localhost", {"schema": "http", "port": 8080}, "http://localhost:8080"),
            ("https://h.example/api", {"port": 8443}, "https://h.example:8443/api"),
            ("https://h.example:", {"port": 8443, "schema": "HTTPS"}, "https://h.example:8443"),
            ("https://h.example:8443/api/", {"port": 8443, "schema": "/api"}, "https://h.example:8443/api"),
            ("[::1]", {"schema": "http", "port": 8080}, "http://[::1]:8080"),
            ("h.example", {"schema": "sei/api/"}, "https://h.example/sei/api"),
            ("https://h.example", {"schema": "sei", "port": 8443, "login": " "}, "https://h.example:8443/sei"),
            ("eu", {"schema": "https", "port": 443}, ALIASES["eu"]),
        ],
    )
    def test_the_connections_other_fields_complete_the_host(self, host: str, fields: dict[str, Any], text: str) -> None:
        """Airflow's form has a field for each, and puts the path of a URI into ``schema``."""
        assert SEISettings.from_fields(host=host, password=KEY, **fields).base_url.text == text

    @pytest.mark.parametrize(
        ("host", "fields", "field"),
        [
            ("https://h.example:8443", {"port": 443}, "port"),
            ("prod1", {"port": 8443}, "port"),
            ("h.example", {"port": 0}, "port"),
            ("prod1", {"schema": "http"}, "schema"),
            ("prod1", {"schema": "sei/api"}, "schema"),
            ("http://localhost:1", {"schema": "https"}, "schema"),
            ("https://h.example/api", {"schema": "v2"}, "schema"),
            ("h.example", {"schema": "a?b=c"}, "host"),
            ("h.example", {"schema": "a\\b"}, "host"),
            ("h.example", {"port": -1}, "host"),
            ("prod1", {"login": KEY}, "login"),
            ("", {"schema": f"arness_sei//:{KEY}@prod1/"}, "host"),
        ],
    )
    def test_a_field_that_is_not_used_is_refused(self, host: str, fields: dict[str, Any], field: str) -> None:
        """Ignored, it would send the key elsewhere than the connection says; it may contain the key."""
        with pytest.raises(SEIArgumentError) as caught:
            SEISettings.from_fields(host=host, password=KEY, **fields)
        assert caught.value.field == field
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize(
        ("host", "words"),
        [
            *((nothing, "one of the aliases prod1, prod2, eu") for nothing in (None, "  ")),
            ("prod3", "neither a URL nor an alias: did you mean 'prod"),
            ("HOSTX", "aliases: prod1, prod2, eu"),
            *((f"http://{host}", "unencrypted") for host in ("app.harness.io", "10.0.0.1")),
            *((f"http://{host}.example.com", "unencrypted") for host in ("127.0.0.1", "localhost")),
            *((f"https://{host}", "not an http") for host in ("", "a b", "a:99999", "a\\@b", "[::1", "me:secret@a:9x")),
            *((f"ftp://{host}", "not an http") for host in ("a", "me:secret@a", "me:sec@ret@a", "me:x@a://secret@b")),
            *((f"https://{host}", "without user, query or fragment") for host in ("a?x=1", "a#x", "me:secret@a")),
            ("//me:secret@\\x", "not an http"),
        ],
    )
    def test_a_host_that_cannot_work_is_refused(self, host: str | None, words: str) -> None:
        """Without repeating a password that somebody has put there."""
        with pytest.raises(SEIArgumentError) as caught:
            BaseUrl.from_host(host)
        assert caught.value.field == "host"
        assert words in str(caught.value)
        assert not any(secret in str(caught.value) for secret in ("me:", "secret", "sec@", "ret@"))

    @pytest.mark.parametrize(
        ("host", "warned"),
        [
            *((host, True) for host in ("app.harness.io", "https://acme.harness.io/prod1", "https://sei.example.com/")),
            *((host, False) for host in (*ALIASES, "acme.harness.io/gateway/sei/api", "https://proxy.example/x")),
            ("http://127.0.0.1:80", False),
        ],
    )
    def test_a_base_url_without_the_apis_path_is_warned_of(self, host: str, *, warned: bool) -> None:
        """With the vendor's three. A proxy has its own path; a server on this machine is a test's."""
        warning = BaseUrl.from_host(host).warning
        assert all(url in warning for url in ALIASES.values()) if warning else not warned

    @ANYTHING
    @given(st.none() | texts, st.none() | texts, st.none() | st.integers(-1, 70_000))
    def test_any_host_is_an_encrypted_or_local_base_url_or_refused(
        self, host: str | None, schema: str | None, port: int | None
    ) -> None:
        """And has no trailing slash."""
        url = outcome(SEIArgumentError, BaseUrl.from_host, host, schema=schema, port=port)
        if isinstance(url, SEIArgumentError):
            assert url.field in ("host", "schema", "port")
            return
        parts = urlsplit(url.text)
        assert parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")
        assert not url.text.endswith("/")


class TestBaseUrl:
    """How a path or a URL from a response becomes the URL that is called."""

    @pytest.mark.parametrize(
        "target",
        [
            *(f"{base}v2/x/exp_1/download" for base in ("", "/", "/prod1/sei/api/")),
            "https://app.harness.io/prod1/sei/api/v2/x/exp_1/download",
            "https://APP.harness.io:443/prod1/sei/api/v2/x/exp_1/download#part",
            "https://me@app.harness.io/prod1/sei/api/v2/x/exp_1/download",
        ],
    )
    def test_the_base_urls_path_is_kept_and_not_repeated(self, target: str) -> None:
        """The server gives paths relative to its base URL, with and without that."""
        assert PROD1.url(target, {}) == "https://app.harness.io/prod1/sei/api/v2/x/exp_1/download"

    def test_paths_and_values_are_quoted(self) -> None:
        """What is quoted already stays as it is, and a parameter of the target; a lone surrogate has no encoding."""
        assert PROD1.url("v2/x", {"project": "a b&c/ü"}).endswith("?project=a+b%26c%2F%C3%BC")
        assert PROD1.url("v2/ü%20x", {}).endswith("/v2/%C3%BC%20x")
        assert PROD1.url("x", {"a": "\ud800"}).endswith("/x?a=%3F")
        url = PROD1.url("/v2/x?orgIdentifier=other&a=", {"projectIdentifier": "P", "orgIdentifier": "O"})
        assert urlsplit(url).query == "orgIdentifier=other&a=&projectIdentifier=P"
        assert PROD1.url("/prod1/sei/apis", {}).endswith("/prod1/sei/api/prod1/sei/apis"), "whole segments are compared"

    @pytest.mark.parametrize(
        "target",
        [
            *("https://evil.example/x", "//evil.example/x", "//app.harness.io/x", "http://app.harness.io/x"),
            *("https://app.harness.io:444/x", "https://app.harness.io.evil.example/x"),
            *("https://app.harness.io@evil.example/x", "https://app.harness.io\\@evil.example/x"),
            *("https:\\\\evil.example", "\thttps://evil.example", "https:evil.example", "https:///evil.example"),
            *("data:text/csv,a", "mailto:a", "//[", "https://app.harness.io:x/", f"https://{'a' * 5000}/"),
            *(f"/a{chr(code)}b" for code in (0xD800, 0xDFFF, 0x7F, 0x5C, 0x20, 0x0A)),
        ],
    )
    def test_another_origin_is_not_called(self, target: str) -> None:
        """The key must not be sent there, however its URL is written; the message is short."""
        with pytest.raises(SEIUnexpectedResponseError, match="the server returned") as caught:
            PROD1.url(target, {})
        assert len(str(caught.value)) < 400
        assert not PROD1.is_same_origin(target)

    @pytest.mark.parametrize(
        "target",
        [
            *("/../x", "/a/..", "a/./b", "/a/%2e%2E/b", "/a/%252e%252e/b", "/a/..;x=1/b"),
            *(f"https://app.harness.io{path}" for path in ("/prod1/sei/api/../../x", "/admin", "")),
            *("/a/%2f..%2fb", "/a%5C..%5cb", "/exports/exp_2/download", "/exports/exp%5F2/download"),
            *("/exports%2Fexp_2%2fdownload", "/a//exports//exp_2//download/", "/export/é/download"),
            *("/exports;a/exp_2;b/download;c", "/export/exp_2/download/?id=exp_1"),
        ],
    )
    def test_a_path_that_leads_elsewhere_is_not_called(self, target: str) -> None:
        """Out of the base URL's path, or to another export's file, as some server on the way may read it.

        An odd path that all servers read alike is called.
        """
        for odd in ("/a/.../.b/c..", "/a/exports/exp%5f1//download", "/exports/files/2024.csv"):
            assert PROD1.url(odd, {}, export_id="exp_1") == f"{PROD1.text}{odd}"
        with pytest.raises(SEIUnexpectedResponseError, match="the server returned"):
            PROD1.url(target, {}, export_id="exp_1")

    @ANYTHING
    @given(
        st.sampled_from([PROD1, BaseUrl("http://127.0.0.1:8080"), BaseUrl("https://[::1]/a")]),
        st.one_of(
            texts,
            st.builds("{}{}".format, st.sampled_from(["//", "https://", "/", "https:", "\\\\", "?", "/..//"]), texts),
            st.builds("https://app.harness.io{}{}".format, st.sampled_from(["", ":", "@", ".", "\\", "/"]), texts),
        ),
        st.dictionaries(texts, texts, max_size=3),
    )
    @example(PROD1, "?\ud800=\ud800", {})
    def test_any_target_is_on_the_same_origin_or_an_error(
        self, base: BaseUrl, target: str, query: dict[str, str]
    ) -> None:
        """Whatever a server returns."""
        url = outcome(SEIUnexpectedResponseError, base.url, target, query)
        if isinstance(url, SEIUnexpectedResponseError):
            return
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == base.origin
        assert url.isascii()
        assert " " not in url
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        assert len(names) == len(set(names))


class TestFields:
    """The fields of a connection."""

    def test_a_host_and_a_password_are_enough(self) -> None:
        """Everything else has a default. Airflow's form stores numbers as text, and empty fields as empty text.

        The key may be pasted as the vendor's examples show it, after ``ApiKey``, which is not part of it.
        """
        least = SEISettings.from_fields(host="eu", password=f" {KEY}\n")
        assert least == SEISettings(base_url=BaseUrl("https://accounts.eu.harness.io/sei/api"), api_key=KEY)
        assert (least.connect_timeout, least.read_timeout, least.calls_per_minute) == (10.0, None, 240.0)
        assert [settings(pasted).api_key for pasted in (f"ApiKey {KEY}", f"apikey\t{KEY} ")] == [KEY, KEY]
        assert KEY not in repr(least), "settings may be logged"
        some = settings(read_timeout="2.5", connect_timeout="", calls_per_minute=1000, account_id=77, ca_bundle=" /a ")
        assert (some.read_timeout, some.connect_timeout, some.calls_per_minute) == (2.5, 10.0, 1000.0)
        assert (some.account_id, some.ca_bundle) == ("77", "/a")

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            *(({"password": nothing}, "API key is missing") for nothing in (None, " ")),
            *(
                ({"password": key}, "HTTP header cannot contain")
                for key in (f"{KEY} b", f"{KEY}é", f"{KEY}\r\nHost: x")
            ),
            ({"host": ""}, "host is empty"),
            ({"auth_header": "autorization"}, "SEI_API_KEY: did you mean 'authorization'"),
            *(
                ({"auth_header": name}, "auth_header is the name of a header")
                for name in (f"ApiKey {KEY}", KEY, f"authorization: ApiKey {KEY}")
            ),
            ({"password": "ApiKey "}, "API key is missing"),
            *(({"read_timeout": value}, "seconds from 0.1 to 3,600") for value in ("soon", 0, True, float("nan"))),
            ({"connect_timeout": 10**400}, "seconds from 0.1 to 3,600"),
            ({"calls_per_minute": 1001}, "calls from 1 to 1,000"),
            ({"project_identifier": ["P"]}, "must be text, not list"),
            ({"org_identifier": True}, "must be text, not bool"),
        ],
    )
    def test_a_field_that_cannot_work_is_refused_by_name(self, fields: dict[str, Any], words: str) -> None:
        """Without showing the key."""
        with pytest.raises(SEIArgumentError) as caught:
            settings(**fields)
        assert caught.value.field in fields
        assert words in str(caught.value)
        assert KEY not in str(caught.value)

    @ANYTHING
    @given(
        st.none() | texts,
        st.dictionaries(
            st.sampled_from(
                [
                    "project_identifier",
                    "auth_header",
                    "read_timeout",
                    "connect_timeout",
                    "calls_per_minute",
                    "ca_bundle",
                ]
            ),
            json_values | st.sampled_from([10**400, "1e999", "inf", *AUTH_HEADERS]),
        ),
    )
    def test_any_extra_is_settings_or_refused(self, password: str | None, extra: dict[str, Any]) -> None:
        """Whatever JSON is in the connection."""
        read = outcome(SEIArgumentError, SEISettings.from_fields, host="prod1", password=password, extra=extra)
        if isinstance(read, SEIArgumentError):
            assert read.field in {"password", *extra}
            return
        assert read.read_timeout is None or 0.1 <= read.read_timeout <= 3600
        assert read.auth_header in (None, *AUTH_HEADERS)
        assert sent(read, HttpRequest(method="GET", path="x", identifiers_required=False))[0].isascii()

    @pytest.mark.parametrize(
        ("name", "value"),
        [("project_identifier", "P2"), ("org_identifier", "O2"), ("account_id", "A2"), ("auth_header", "SEI_API_KEY")],
    )
    def test_an_operators_value_overrides_the_connections(self, name: str, value: str) -> None:
        """Empty values change nothing, where the identifiers are required; others are read like the connection's."""
        with pytest.raises(SEIArgumentError) as caught:
            settings().with_overrides(**{name: [KEY]})
        assert (caught.value.field, KEY in str(caught.value)) == (name, False)
        names = ("project_identifier", "org_identifier", "account_id", "auth_header")
        original = settings(account_id="A", auth_header="x-api-key")
        changed = original.with_overrides(**dict.fromkeys(names, " ") | {name: value})
        assert replace(changed, omitted=original.omitted) == replace(original, **{name: value})
        assert original.with_overrides(**dict.fromkeys(names, None)) == original
        assert sent(changed, HttpRequest(method="GET", path="v2/x"))[0].count("Identifier=") == 2

    @pytest.mark.parametrize(
        ("fields", "account"),
        [
            ({"account_id": "A", "host": "eu"}, "A"),
            ({"host": "prod1"}, "prod1"),
            ({"host": ALIASES["prod2"]}, "prod2"),
            ({"host": "sei.example.com:8443/api"}, "sei.example.com:8443/api"),
        ],
    )
    def test_a_source_has_its_account_or_else_its_host(self, fields: dict[str, Any], account: str) -> None:
        """Two accounts can have projects of one name; prod1 and prod2 differ only in the path."""
        assert settings(**fields).source == {"account": account, "org_identifier": "O", "project_identifier": "P"}


class TestRequest:
    """The URL and the headers of a request."""

    @pytest.mark.parametrize("missing", ["project_identifier", "org_identifier"])
    def test_a_missing_identifier_is_refused_where_it_is_required(self, missing: str) -> None:
        """The message says where to set it."""
        incomplete = settings(**{missing: ""})
        with pytest.raises(SEIArgumentError, match=rf"{missing} is missing: .* extra or on the operator") as caught:
            sent(incomplete, HttpRequest(method="GET", path="v2/x"))[0]
        assert caught.value.field == missing
        assert sent(incomplete, HttpRequest(method="GET", path="v2/x", identifiers_required=False))[0]

    def test_the_account_has_the_endpoints_own_parameter(self) -> None:
        """Calls without one do not send it."""
        request = HttpRequest(method="POST", path="v2/x", account_parameter="accountId")
        assert sent(settings(account_id="A"), request)[0].endswith("&accountId=A")
        assert "accountId" not in sent(settings(), request)[0]
        assert "=A" not in sent(settings(account_id="A"), HttpRequest(method="GET", path="v2/x"))[0]

    @pytest.mark.parametrize(
        ("auth_header", "api", "expected"),
        [
            (None, Api.V2, {"authorization": f"ApiKey {KEY}"}),
            (None, Api.LEGACY, {"x-api-key": KEY}),
            ("authorization", Api.LEGACY, {"authorization": f"ApiKey {KEY}"}),
            ("x-api-key", Api.V2, {"x-api-key": KEY}),
            ("sei_api_key", Api.V2, {"SEI_API_KEY": KEY}),
        ],
    )
    def test_the_key_is_in_one_header(self, auth_header: str | None, api: Api, expected: dict[str, str]) -> None:
        """The connection's, or the one that the API's page documents.

        All requests have the documented content type, also without a body, and accept no compression in transit.
        """
        request = HttpRequest(method="GET", path="x", api=api, accept="text/csv")
        assert sent(settings(auth_header=auth_header), request)[1] == expected | {
            "User-Agent": "agent/1",
            "Accept": "text/csv",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        assert sent(settings(), HttpRequest(method="POST", path="x"))[1]["Accept"] == "application/json"

    def test_keys_keep_their_order_and_text_its_letters(self) -> None:
        """Both transports send the same bytes. NaN is no JSON, though Python's encoder would write it."""
        body = {"scope": {"orgTreeName": 'Ünï "quoted" \\ \u2028'}, "b": "Zürich", "a": [1, None, True]}
        data = sent(settings(), HttpRequest(method="POST", path="x", body=body))[2] or b""
        assert list(json.loads(data).items()) == list(body.items())
        assert b"\\u" not in data
        with pytest.raises(ValueError, match=r"not JSON compliant"):
            sent(settings(), HttpRequest(method="POST", path="x", body={"a": float("nan")}))
