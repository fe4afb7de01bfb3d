"""Where calls go: aliases, base URLs with a path of their own, and no other origin, ever."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError, SEIUnexpectedResponseError
from airflow_provider_sei.protocol.settings import ALIASES, BaseUrl
from tests.protocol.strategies import ANYTHING, outcome, texts

PROD1 = BaseUrl(ALIASES["prod1"])
IDENTIFIERS = (("projectIdentifier", "P"), ("orgIdentifier", "O"))


class TestFromHost:
    """What a connection's host may be."""

    @pytest.mark.parametrize(
        ("host", "base_url"),
        [
            ("prod1", "https://app.harness.io/prod1/sei/api"),
            (" Prod2 ", "https://app.harness.io/gratis/sei/api"),
            ("EU", "https://accounts.eu.harness.io/sei/api"),
            ("https://app.harness.io/prod1/sei/api/", "https://app.harness.io/prod1/sei/api"),
            ("HTTPS://sei.example.com//", "https://sei.example.com"),
            ("app.harness.io/prod1/sei/api", "https://app.harness.io/prod1/sei/api"),
            ("app.harness.io", "https://app.harness.io"),
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://localhost:1", "http://localhost:1"),
        ],
    )
    def test_aliases_and_urls_name_a_server(self, host: str, base_url: str) -> None:
        """An alias, a URL and a bare host with a path are all understood; the scheme is https unless said."""
        assert BaseUrl.from_host(host).base_url == base_url

    def test_the_connections_schema_and_port_complete_a_bare_host(self) -> None:
        """Airflow's connection form has fields of their own for both."""
        assert BaseUrl.from_host("localhost", schema="http", port=8080).base_url == "http://localhost:8080"
        assert BaseUrl.from_host("localhost:1/a", schema="http", port=8080).base_url == "http://localhost:1/a"

    @pytest.mark.parametrize(
        ("host", "words"),
        [
            (None, "host is empty: give a base URL or one of the aliases prod1, prod2, eu"),
            ("  ", "host is empty"),
            ("prod3", "neither a URL nor an alias: did you mean 'prod"),
            ("http://app.harness.io", "unencrypted: use https"),
            ("http://10.0.0.1", "unencrypted"),
            ("http://127.0.0.1.example.com", "unencrypted"),
            ("http://localhost.example.com", "unencrypted"),
            ("ftp://app.harness.io", "not an http"),
            ("https://", "not an http"),
            ("https://a b", "not an http"),
            ("https://a:99999", "not an http"),
            ("https://a\\@b", "not an http"),
            ("https://[::1", "not an http"),
            ("https://app.harness.io?x=1", "without user, query or fragment"),
            ("https://app.harness.io#x", "without user, query or fragment"),
            ("https://me:secret@app.harness.io", "the API key belongs in the password"),
        ],
    )
    def test_a_host_that_cannot_work_is_refused_by_name(self, host: str | None, words: str) -> None:
        """The message names the field and what to put there."""
        with pytest.raises(SEIArgumentError) as caught:
            BaseUrl.from_host(host)
        assert caught.value.field == "host"
        assert words in str(caught.value)

    @pytest.mark.parametrize(
        "host", ["https://me:secret@a:99999", "https://me:secret@app.harness.io", "//me:secret@\\x"]
    )
    def test_a_password_in_the_host_is_not_repeated(self, host: str) -> None:
        """What is wrong with a host is said without the secret that somebody has put there."""
        with pytest.raises(SEIArgumentError) as caught:
            BaseUrl.from_host(host)
        assert "secret" not in str(caught.value)

    @ANYTHING
    @given(st.none() | texts, st.none() | texts, st.none() | st.integers(-1, 70_000))
    def test_any_host_is_an_endpoint_or_a_usage_error(
        self, host: str | None, schema: str | None, port: int | None
    ) -> None:
        """An endpoint that is returned is https or on this machine, and has no trailing slash."""
        endpoint = outcome(SEIArgumentError, BaseUrl.from_host, host, schema=schema, port=port)
        if isinstance(endpoint, SEIArgumentError):
            assert endpoint.field == "host"
            return
        parts = urlsplit(endpoint.base_url)
        assert parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")
        assert not endpoint.base_url.endswith("/")


class TestUrl:
    """How a target becomes a URL."""

    @pytest.mark.parametrize(
        "target",
        [
            "v2/insights/productivity/exports/exp_1/download",
            "/v2/insights/productivity/exports/exp_1/download",
            "/prod1/sei/api/v2/insights/productivity/exports/exp_1/download",
            "https://app.harness.io/prod1/sei/api/v2/insights/productivity/exports/exp_1/download",
            "https://APP.harness.io:443/prod1/sei/api/v2/insights/productivity/exports/exp_1/download#part",
            "https://me@app.harness.io/prod1/sei/api/v2/insights/productivity/exports/exp_1/download",
        ],
    )
    def test_the_base_urls_path_is_kept_and_never_doubled(self, target: str) -> None:
        """The server names its files relative to the service endpoint, whatever that is mounted at."""
        assert PROD1.url(target) == (
            "https://app.harness.io/prod1/sei/api/v2/insights/productivity/exports/exp_1/download"
        )

    def test_a_path_that_only_starts_like_the_base_is_another(self) -> None:
        """Whole segments are compared."""
        assert PROD1.url("/prod1/sei/apis") == "https://app.harness.io/prod1/sei/api/prod1/sei/apis"

    def test_identifiers_are_sent_exactly_once(self) -> None:
        """What the server's URL already carries is kept as it is there."""
        url = PROD1.url("/v2/x?orgIdentifier=theirs&a=", IDENTIFIERS)
        assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == [
            ("orgIdentifier", "theirs"),
            ("a", ""),
            ("projectIdentifier", "P"),
        ]

    def test_values_are_quoted(self) -> None:
        """A project called 'a b&c' is one value."""
        assert PROD1.url("v2/x", [("projectIdentifier", "a b&c/ü")]).endswith("?projectIdentifier=a+b%26c%2F%C3%BC")
        assert PROD1.url("v2/ü%20x") == "https://app.harness.io/prod1/sei/api/v2/%C3%BC%20x"

    @pytest.mark.parametrize(
        "target",
        [
            "https://evil.example/x",
            "//evil.example/x",
            "//app.harness.io/x",
            "http://app.harness.io/x",
            "https://app.harness.io:444/x",
            "https://app.harness.io.evil.example/x",
            "https://app.harness.io@evil.example/x",
            "https://app.harness.io\\@evil.example/x",
            "https:\\\\evil.example",
            "\thttps://evil.example",
            "https:evil.example",
            "https:///evil.example",
            "data:text/csv,a",
            "//[",
            "https://app.harness.io:x/",
            "/half a \ud800 character",
            "/\ud800",
        ],
    )
    def test_no_other_origin_is_called(self, target: str) -> None:
        """The key must not travel to a stranger, in whatever way its address is written."""
        with pytest.raises(SEIUnexpectedResponseError, match=r"the server named"):
            PROD1.url(target, IDENTIFIERS)

    def test_a_long_address_is_quoted_in_short(self) -> None:
        """A message is a sentence."""
        with pytest.raises(SEIUnexpectedResponseError) as caught:
            PROD1.url(f"https://{'a' * 5000}/")
        assert len(str(caught.value)) < 400

    @ANYTHING
    @given(
        st.sampled_from([PROD1, BaseUrl("http://127.0.0.1:8080"), BaseUrl("https://[::1]/a")]),
        st.one_of(
            texts,
            st.builds("{}{}".format, st.sampled_from(["//", "https://", "/", "https:", "\\\\", "?", "/..//"]), texts),
            st.builds("https://app.harness.io{}{}".format, st.sampled_from(["", ":", "@", ".", "\\", "/"]), texts),
        ),
        st.lists(st.tuples(texts, texts), max_size=3),
    )
    @example(PROD1, "?\ud800=\ud800", [])
    def test_any_target_is_on_the_own_origin_or_an_error(
        self, endpoint: BaseUrl, target: str, query: list[tuple[str, str]]
    ) -> None:
        """No text that a server can name yields a URL elsewhere."""
        try:
            url = endpoint.url(target, query)
        except SEIUnexpectedResponseError:
            return
        parts, base = urlsplit(url), urlsplit(endpoint.base_url)
        assert (parts.scheme, parts.netloc) == (base.scheme, base.netloc)
        assert url.isascii()
        assert " " not in url
        names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        assert len(names) == len(set(names))


class TestOrigin:
    """What counts as the same server."""

    def test_a_default_port_is_no_difference(self) -> None:
        """443 is what https means."""
        assert PROD1.is_same_origin("https://app.harness.io:443/anything")
        assert not PROD1.is_same_origin("http://app.harness.io:443/anything")

    def test_the_origin_has_no_path(self) -> None:
        """It is what messages name."""
        assert PROD1.origin == "https://app.harness.io"


class TestLetters:
    """Only slashes are taken away, and only blanks and marks of control are refused."""

    def test_an_x_stays_where_it_is(self) -> None:
        """At the ends of a host, of a path and of what the server names."""
        endpoint = BaseUrl.from_host("Xhost.example/apiX")
        assert endpoint.base_url == "https://Xhost.example/apiX"
        assert endpoint.url("Xa/b") == "https://Xhost.example/apiX/Xa/b"

    def test_a_name_alone_is_no_host(self) -> None:
        """The guess and the list are for people."""
        with pytest.raises(SEIArgumentError) as caught:
            BaseUrl.from_host("prdo1X")
        assert str(caught.value).endswith("aliases: prod1, prod2, eu")
        with pytest.raises(SEIArgumentError, match="neither a URL nor an alias"):
            BaseUrl.from_host("HOSTX")

    @pytest.mark.parametrize("code", [0xD800, 0xDFFF, 0x7F, 0x5C, 0x20, 0x0A])
    def test_what_no_url_can_carry_is_refused(self, code: int) -> None:
        """The first and the last of each kind."""
        with pytest.raises(SEIUnexpectedResponseError, match="which is not a URL"):
            PROD1.url(f"a{chr(code)}b")

    @pytest.mark.parametrize(("length", "shown"), [(100, f"{'a' * 99} "), (101, f"{'a' * 100}...")])
    def test_a_long_address_is_cut(self, length: int, shown: str) -> None:
        """An error is a line."""
        with pytest.raises(SEIUnexpectedResponseError) as caught:
            PROD1.url(f"{'a' * (length - 1)} ")
        assert str(caught.value) == f"the server named {shown!r}, which is not a URL"

    def test_a_stranger_is_named_with_the_reason(self) -> None:
        """And with what was not done."""
        with pytest.raises(SEIUnexpectedResponseError) as caught:
            PROD1.url("https://evil.example/x")
        assert str(caught.value) == (
            "the server named a URL at 'evil.example', outside https://app.harness.io;"
            " it was not called, because the API key must not leave its own origin"
        )
        with pytest.raises(SEIUnexpectedResponseError, match="a URL at 'mailto', outside"):
            PROD1.url("mailto:a")

    @pytest.mark.parametrize("host", ["ftp://user:pa@ss@h.example", "ftp://a:b@h.example://x@y"])
    def test_no_user_name_is_shown(self, host: str) -> None:
        """It may hold a password."""
        with pytest.raises(SEIArgumentError, match=r"is not an http\(s\) URL") as caught:
            BaseUrl.from_host(host)
        assert not any(secret in str(caught.value) for secret in ("user", "pa@", "ss@", "a:b"))

    def test_half_a_character_in_a_parameter_is_a_question_mark(self) -> None:
        """A connection's extra can hold one; the server refuses it."""
        assert PROD1.url("x", [("a", "\ud800")]).endswith("/x?a=%3F")

    def test_a_port_belongs_to_the_host_and_not_to_the_path(self) -> None:
        """Airflow's form has it apart."""
        assert BaseUrl.from_host("h.example/api", port=8443).base_url == "https://h.example:8443/api"

    def test_a_host_with_more_than_an_address_is_refused(self) -> None:
        """With where the key belongs."""
        with pytest.raises(SEIArgumentError) as caught:
            BaseUrl.from_host("https://h.example/api?key=1")
        assert str(caught.value) == (
            "host must be a bare base URL, without user, query or fragment; the API key belongs in the password"
        )
