"""A connection's fields, checked, and the URL and headers that they make."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.http import Api, HttpRequest
from airflow_provider_sei.protocol.settings import AUTH_HEADERS, SEISettings
from tests.protocol.strategies import ANYTHING, json_values, outcome, texts

KEY = "sat.account.0123456789"
EXTRA = {"project_identifier": "P", "org_identifier": "O"}


def settings_of(password: str | None = KEY, host: str | None = "prod1", **extra: Any) -> SEISettings:
    """Return the settings of a connection to prod1."""
    return SEISettings.from_fields(host=host, password=password, extra=EXTRA | extra)


class TestFromFields:
    """The fields of a connection."""

    def test_defaults_are_the_documented_ones(self) -> None:
        """A host and a password are enough for a connection."""
        settings = SEISettings.from_fields(host="eu", password=f" {KEY}\n")
        assert settings.base_url.text == "https://accounts.eu.harness.io/sei/api"
        assert settings.api_key == KEY
        assert (settings.connect_timeout, settings.read_timeout, settings.calls_per_minute) == (10.0, 60.0, 240.0)
        assert settings.auth_header is settings.ca_bundle is settings.account_id is None

    def test_extras_may_be_text_or_numbers(self) -> None:
        """Airflow's form stores numbers as text; a numeric project id is stored as a number."""
        settings = settings_of(read_timeout="2.5", calls_per_minute=10, account_id=77, ca_bundle=" ", extra_field={})
        assert (settings.read_timeout, settings.calls_per_minute) == (2.5, 10.0)
        assert (settings.account_id, settings.ca_bundle) == ("77", None)

    @pytest.mark.parametrize(
        ("fields", "field", "words"),
        [
            ({"password": None}, "password", "the API key is missing: set it as the connection's password"),
            ({"password": " "}, "password", "missing"),
            ({"password": "a b"}, "password", "no HTTP header can carry"),
            ({"password": "kéy"}, "password", "no HTTP header can carry"),
            ({"password": "a\r\nHost: x"}, "password", "no HTTP header can carry"),
            ({"host": ""}, "host", "host is empty"),
            ({"auth_header": "autorization"}, "auth_header", "did you mean 'authorization'?; known: authorization"),
            ({"read_timeout": "soon"}, "read_timeout", "must be a number from 0.1 to 3600, not 'soon'"),
            ({"read_timeout": 0}, "read_timeout", "from 0.1"),
            ({"read_timeout": True}, "read_timeout", "from 0.1"),
            ({"read_timeout": float("nan")}, "read_timeout", "from 0.1"),
            ({"connect_timeout": 10**400}, "connect_timeout", "from 0.1"),
            ({"calls_per_minute": 1001}, "calls_per_minute", "from 1 to 1000"),
            ({"project_identifier": ["P"]}, "project_identifier", "must be text, not list"),
            ({"org_identifier": True}, "org_identifier", "must be text, not bool"),
        ],
    )
    def test_a_field_that_cannot_work_is_refused_by_name(self, fields: dict[str, Any], field: str, words: str) -> None:
        """The message names the field of the connection and what to put there."""
        with pytest.raises(SEIArgumentError) as caught:
            settings_of(**fields)
        assert caught.value.field == field
        assert words in str(caught.value)

    def test_the_key_is_in_no_repr_and_in_no_message(self) -> None:
        """Settings may be logged."""
        assert KEY not in repr(settings_of())
        with pytest.raises(SEIArgumentError) as caught:
            settings_of(password=f"{KEY} {KEY}")
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
    def test_any_extra_is_settings_or_a_usage_error(self, password: str | None, extra: dict[str, Any]) -> None:
        """Whatever JSON somebody has typed into the connection."""
        settings = outcome(SEIArgumentError, SEISettings.from_fields, host="prod1", password=password, extra=extra)
        if isinstance(settings, SEIArgumentError):
            assert settings.field in {"password", *extra}
            return
        assert 0.1 <= settings.read_timeout <= 3600
        assert settings.auth_header in (None, *AUTH_HEADERS)
        assert settings.url(HttpRequest(method="GET", path="x", identifiers_required=False)).isascii()


class TestOverridden:
    """An operator's own values."""

    def test_what_is_given_replaces_the_connections(self) -> None:
        """An operator may name another project than its connection."""
        settings = settings_of(account_id="A").with_overrides(project_identifier="P2", auth_header="X-API-Key")
        assert (settings.project_identifier, settings.org_identifier, settings.account_id) == ("P2", "O", "A")
        assert settings.auth_header == "x-api-key"

    def test_empty_values_change_nothing(self) -> None:
        """A template that renders to nothing is no value."""
        settings = settings_of(auth_header="x-api-key")
        assert (
            settings.with_overrides(project_identifier="", org_identifier=None, account_id="", auth_header="")
            == settings
        )


class TestUrl:
    """The address of a call."""

    def test_identifiers_are_added(self) -> None:
        """Every V2 call needs both."""
        url = settings_of().url(HttpRequest(method="GET", path="v2/x", query=(("page", "0"),)))
        assert url == "https://app.harness.io/prod1/sei/api/v2/x?page=0&projectIdentifier=P&orgIdentifier=O"

    @pytest.mark.parametrize("missing", ["project_identifier", "org_identifier"])
    def test_a_missing_identifier_is_refused_where_it_is_required(self, missing: str) -> None:
        """The message names it, and both places to set it."""
        settings = settings_of(**{missing: ""})
        with pytest.raises(
            SEIArgumentError, match=rf"{missing} is missing: set it in the connection's extra"
        ) as caught:
            settings.url(HttpRequest(method="GET", path="v2/x"))
        assert caught.value.field == missing
        assert settings.url(HttpRequest(method="GET", path="v2/x", identifiers_required=False))

    def test_the_account_goes_by_the_endpoints_own_name(self) -> None:
        """The vendor has three names for it; calls without one do not send it."""
        settings = settings_of(account_id="A")
        request = HttpRequest(method="POST", path="v2/x", account_parameter="accountId")
        assert settings.url(request).endswith("&accountId=A")
        assert "accountId" not in settings_of().url(request)
        assert "=A" not in settings.url(HttpRequest(method="GET", path="v2/x"))


class TestHeaders:
    """The headers of a call."""

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
    def test_the_key_travels_in_the_header_that_is_documented_or_set(
        self, auth_header: str | None, api: Api, expected: dict[str, str]
    ) -> None:
        """Each API's page names its own header; the connection's setting goes before both."""
        headers = settings_of(auth_header=auth_header).headers(HttpRequest(method="GET", path="x", api=api), "agent")
        assert {name: value for name, value in headers.items() if KEY in value} == expected

    def test_a_body_says_that_it_is_json(self) -> None:
        """A call without a body does not."""
        with_body = settings_of().headers(HttpRequest(method="POST", path="x", body={}), "agent/1")
        assert with_body["Content-Type"] == "application/json"
        assert with_body["User-Agent"] == "agent/1"
        assert with_body["Accept-Encoding"] == "identity"
        assert "Content-Type" not in settings_of().headers(HttpRequest(method="GET", path="x"), "agent/1")


class TestFields:
    """Each field of the connection arrives under its own name."""

    def test_host_scheme_and_port_make_the_endpoint(self) -> None:
        """As Airflow's form has them."""
        settings = SEISettings.from_fields(host="127.0.0.1", schema="http", port=8080, password=KEY)
        assert settings.base_url.text == "http://127.0.0.1:8080"

    def test_a_bundle_is_a_path(self) -> None:
        """Or nothing."""
        assert settings_of(ca_bundle=" /etc/ca.pem ").ca_bundle == "/etc/ca.pem"
        assert settings_of().ca_bundle is None

    def test_an_override_leaves_the_others_alone(self) -> None:
        """Whichever is given."""
        fields = {"project_identifier": "p", "org_identifier": "o", "account_id": "a"}
        settings = settings_of(**fields)
        for name in fields:
            changed = settings.with_overrides(**{name: "new"})
            assert {each: getattr(changed, each) for each in fields} == fields | {name: "new"}

    @pytest.mark.parametrize(("value", "most"), [("1", 1.0), (1000, 1000.0), ("", SEISettings.calls_per_minute)])
    def test_the_ends_of_a_range_are_in_it(self, value: object, most: float) -> None:
        """An empty field means the default."""
        assert settings_of(calls_per_minute=value).calls_per_minute == most

    def test_a_call_says_what_it_takes(self) -> None:
        """JSON, unless it is a file."""
        headers = settings_of().headers(HttpRequest(method="GET", path="x", accept="text/csv"), "agent/1")
        assert headers["Accept"] == "text/csv"

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"password": " "}, "the API key is missing: set it as the connection's password"),
            (
                {"password": "a b"},
                "the API key (the connection's password) has characters that no HTTP header can carry",
            ),
            (
                {"password": KEY, "extra": {"auth_header": "Bearer"}},
                f"auth_header 'Bearer' is not one that SEI reads; known: {', '.join(AUTH_HEADERS)}",
            ),
        ],
    )
    def test_a_mistake_is_told_in_full(self, fields: dict[str, Any], words: str) -> None:
        """With what to do."""
        with pytest.raises(SEIArgumentError) as caught:
            SEISettings.from_fields(host="prod1", **fields)
        assert str(caught.value) == words
