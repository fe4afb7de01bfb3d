"""The extra links."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_sei.links import SEIObjectLink, console_url, insights_url
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.protocol.settings import SEISettings


@pytest.mark.parametrize(
    ("account", "page", "team", "url"),
    [
        ("acc", "productivity", "456", "/ng/account/acc/module/sei/insights/productivity?insightType=productivity&"),
        ("a/c", "productivity", None, "/ng/account/a%2Fc/module/sei/insights/productivity"),
        (None, "productivity", "456", None),
        ("acc", None, "456", None),
    ],
)
def test_the_insights_link_needs_account_and_page(account: str | None, page: Any, team: Any, url: str | None) -> None:
    """It is the page of the vendor's own UI, outside the API's path."""
    settings = SEISettings.from_fields(host="prod1", password="some-long-key", extra={"account_id": account})
    wanted = url and f"https://app.harness.io{url}" + (f"collectionId={team}" if team else "")
    assert insights_url(settings, page, team) == wanted


@pytest.mark.parametrize(("given", "shown"), [("https://x", "https://x"), (None, "")])
def test_the_webserver_of_airflow_2_reads_the_xcom(given: str | None, shown: str, monkeypatch: Any) -> None:
    """The operator has not run there."""
    monkeypatch.setattr("airflow_provider_sei.links.XCom.get_value", lambda **_: given)
    assert SEIObjectLink().get_link(SimpleNamespace(), ti_key=None) == shown


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("s3://lake/sei/a b.csv", "https://s3.console.aws.amazon.com/s3/object/lake?prefix=sei/a%20b.csv"),
        ("gs://lake/sei/a.csv", "https://console.cloud.google.com/storage/browser/_details/lake/sei/a.csv"),
        ("abfs://lake@acc.dfs.core.windows.net/sei/a.csv", "https://acc.blob.core.windows.net/lake/sei/a.csv"),
        ("abfs://lake/sei/a.csv", None),
        ("file:///tmp/a.csv", None),
    ],
)
def test_the_object_link_is_a_page_of_the_stores_console(uri: str, url: str | None) -> None:
    """If the URI is enough to build it."""
    assert console_url(uri) == url


def test_the_insights_link_is_pushed_before_the_task_defers(sei_server: Any, tmp_path: Any, monkeypatch: Any) -> None:
    """It is of use while the task waits."""
    sei_server.reset(seconds_to_complete=60)
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json(account_id="acc"))
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}), start_date=None, max_tries=0)
    request = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}
    with pytest.raises(TaskDeferred):
        SEIExportOperator(task_id="export", destination=f"{tmp_path}/", **request).execute({"ti": ti})
    origin = sei_server.base_url.removesuffix("/prod1/sei/api")
    page = "insights/productivity?insightType=productivity&collectionId=456"
    assert pushed.keys() == {"sei_request", "sei_insights_url"}
    assert pushed["sei_insights_url"] == f"{origin}/ng/account/acc/module/sei/{page}"
