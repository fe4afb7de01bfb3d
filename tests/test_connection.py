"""Reading an Airflow connection, on the worker and on an event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_sei.connection import async_settings, sync_settings
from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.settings import ALIASES, SEISettings

Read = Callable[[str], SEISettings]
FULL = {
    "conn_type": "harness_sei",
    "host": "prod1",
    "password": "pat.account.token",
    "extra": {"project_identifier": "proj", "org_identifier": "org"},
}


@pytest.fixture(params=["sync", "async"])
def read(request: pytest.FixtureRequest) -> Read:
    """Both readers in turn."""
    if request.param == "sync":
        return sync_settings
    return lambda conn_id: asyncio.run(async_settings(conn_id))


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Define the connection ``sei_default``."""

    def define(**changes: Any) -> str:
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(FULL | changes))
        return "sei_default"

    return define


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        *ALIASES.items(),
        ("EU", ALIASES["eu"]),
        ("https://app.harness.io/prod1/sei/api/", "https://app.harness.io/prod1/sei/api"),
        ("app.harness.io/prod1/sei/api", "https://app.harness.io/prod1/sei/api"),
        ("http://localhost:8080/sei", "http://localhost:8080/sei"),
    ],
)
def test_the_host_is_an_alias_or_a_base_url(read: Read, connect: Any, host: str, base_url: str) -> None:
    """With its path, which every call keeps."""
    assert read(connect(host=host)).endpoint.base_url == base_url


def test_the_key_is_the_password_and_is_never_shown(read: Read, connect: Any) -> None:
    """Airflow masks a connection's password in its logs."""
    settings = read(connect())
    assert settings.api_key == "pat.account.token"
    assert "pat.account.token" not in repr(settings)


def test_everything_else_is_an_extra(read: Read, connect: Any) -> None:
    """Numbers may be written as text, as Airflow's form does."""
    extra = {
        "project_identifier": "p",
        "org_identifier": "o",
        "account_id": "a",
        "auth_header": "X-API-KEY",
        "connect_timeout": "5",
        "read_timeout": 90,
        "ca_bundle": "/etc/ssl/corporate.pem",
        "calls_per_minute": 100,
        "something_else": {"of": "another release"},
    }
    assert read(connect(extra=extra)) == SEISettings(
        endpoint=read(connect()).endpoint,
        api_key="pat.account.token",
        project_identifier="p",
        org_identifier="o",
        account_id="a",
        auth_header="x-api-key",
        connect_timeout=5.0,
        read_timeout=90.0,
        ca_bundle="/etc/ssl/corporate.pem",
        calls_per_minute=100.0,
    )


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_empty_extra_is_none(read: Read, connect: Any, empty: str | None) -> None:
    """The form saves fields that nobody has filled in."""
    settings = read(connect(extra={"project_identifier": empty, "auth_header": empty, "ca_bundle": empty}))
    assert (settings.project_identifier, settings.auth_header, settings.ca_bundle) == (None, None, None)


def test_a_uri_says_the_same(read: Read, sei_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other form in which connections come."""
    monkeypatch.setenv("AIRFLOW_CONN_SEI_JSON", sei_server.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_SEI_URI", sei_server.connection_uri)
    assert read("sei_json") == read("sei_uri")


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"host": None}, "host"), ({"host": "prod9"}, "host"), ({"password": None}, "password")],
)
def test_a_field_that_cannot_work_is_named_with_its_connection(
    read: Read, connect: Any, changes: dict[str, Any], field: str
) -> None:
    """There may be several connections to SEI."""
    with pytest.raises(SEIArgumentError, match="connection 'sei_default': ") as caught:
        read(connect(**changes))
    assert caught.value.field == field
    assert "pat.account.token" not in str(caught.value)


def test_an_extra_that_is_no_object_is_refused(read: Read, connect: Any) -> None:
    """Whatever JSON a user has put into the form."""
    with pytest.raises(SEIArgumentError, match="the connection's extra must be a JSON object, not list") as caught:
        read(connect(extra="[1, 2]"))
    assert caught.value.field == "extra"


def test_a_connection_that_is_not_there_is_airflows_error(read: Read) -> None:
    """It names the id."""
    with pytest.raises(AirflowNotFoundException, match="sei_nowhere"):
        read("sei_nowhere")
