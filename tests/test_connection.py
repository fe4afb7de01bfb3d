"""Reading an Airflow connection, on workers and on event loops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_sei.connection import read_settings
from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.settings import ALIASES, BaseUrl, SEISettings

Read = Callable[[str], SEISettings]
KEY = "pat.account.token"


@pytest.fixture(params=["sync", "async"])
def read(request: pytest.FixtureRequest) -> Read:
    """Return each of the two readers."""
    if request.param == "sync":
        return lambda conn_id: SEIHook(conn_id).settings

    async def on_event_loop(conn_id: str) -> SEISettings:
        connection = await get_async_connection(conn_id)
        return read_settings(connection, await get_async_extra_dejson(connection))

    return lambda conn_id: asyncio.run(on_event_loop(conn_id))


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Define the connection ``sei_default``."""

    def define(**changes: Any) -> str:
        extra = {"project_identifier": "proj", "org_identifier": "org"}
        fields = {"conn_type": "harness_sei", "host": "prod1", "password": KEY, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(fields | changes))
        return "sei_default"

    return define


def test_every_field_of_the_extra_is_read(read: Read, connect: Any) -> None:
    """Numbers may be text, as Airflow's form stores them; unknown fields are ignored, and what nobody has filled in."""
    extra = {
        "project_identifier": "p",
        "org_identifier": "o",
        "account_id": "a",
        "auth_header": "x-api-key",
        "account_header": "Harness-Account",
        "connect_timeout": 5.0,
        "read_timeout": 90.0,
        "ca_bundle": "/etc/ssl/corporate.pem",
        "calls_per_minute": 100.0,
    }
    typed = {"auth_header": "X-API-KEY", "account_header": "harness-account", "connect_timeout": "5"}
    assert read(connect(extra=extra | typed | {"something_else": {"of": "another release"}})) == SEISettings(
        base_url=BaseUrl(ALIASES["prod1"]), api_key=KEY, **extra
    )
    settings = read(connect(extra={"project_identifier": None, "auth_header": "", "ca_bundle": "  "}))
    assert (settings.project_identifier, settings.auth_header, settings.ca_bundle) == (None, None, None)


def test_a_uri_is_read_like_json(read: Read, sei_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's two forms of a connection. A missing one is Airflow's error."""
    monkeypatch.setenv("AIRFLOW_CONN_SEI_JSON", sei_server.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_SEI_URI", sei_server.connection_uri)
    assert read("sei_json") == read("sei_uri")
    with pytest.raises(AirflowNotFoundException, match="sei_nowhere"):
        read("sei_nowhere")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (f"harness-sei://:{KEY}@sei.example:8443/sei/api", "https://sei.example:8443/sei/api"),
        (f"harness-sei://https://:{KEY}@sei.example:8443/sei/api", "https://sei.example:8443/sei/api"),
        (f"harness-sei://:{KEY}@127.0.0.1:8080/http", "http://127.0.0.1:8080"),
        (f"harness-sei://:{KEY}@prod1/v2", "schema"),
        (f"harness-sei://{KEY}@prod1/", "login must be empty"),
        (f"harness_sei://:{KEY}@prod1/?project_identifier=p", "harness-sei://:<key>@prod1"),
    ],
)
def test_every_part_of_a_uri_is_used_or_refused(read: Read, monkeypatch: Any, uri: str, expected: str) -> None:
    """Airflow has several ways to write a host; none sends the key elsewhere than it says."""
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", uri)
    if expected.startswith("http"):
        assert read("sei_default").base_url.text == expected
        return
    with pytest.raises(SEIArgumentError, match=f"connection 'sei_default': .*{expected}") as caught:
        read("sei_default")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"host": None}, "host"),
        ({"host": "prod9"}, "host"),
        ({"password": None}, "password"),
        ({"extra": "[1]"}, "extra"),
    ],
)
def test_an_invalid_field_is_reported_with_the_id(read: Read, connect: Any, changes: Any, field: str) -> None:
    """There may be several connections to SEI; the key is not shown."""
    with pytest.raises(SEIArgumentError, match="connection 'sei_default': ") as caught:
        read(connect(**changes))
    assert caught.value.field == field
    assert KEY not in str(caught.value)
