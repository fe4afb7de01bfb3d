"""The extra links."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_sei.links import SEIObjectLink, console_url, insights_url
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.protocol.settings import SEISettings


def settings(**extra: Any) -> SEISettings:
    """Return a connection to prod1 with these extras."""
    return SEISettings.from_fields(host="prod1", password="some-long-key", extra=extra)


class TestInsightsUrl:
    """The vendor's own page for what was exported."""

    def test_it_leads_to_the_team(self) -> None:
        """By account, page and collection id, outside the API's path."""
        assert insights_url(settings(account_id="acc"), "productivity", "456") == (
            "https://app.harness.io/ng/account/acc/module/sei/insights/productivity"
            "?insightType=productivity&collectionId=456"
        )

    @pytest.mark.parametrize(("account", "page"), [(None, "productivity"), ("acc", None)])
    def test_there_is_none_without_account_or_page(self, account: str | None, page: str | None) -> None:
        """A link that leads nowhere is worse than none."""
        assert insights_url(settings(account_id=account), page, "456") is None


@pytest.mark.parametrize(("given", "shown"), [("https://x", "https://x"), (None, "")])
def test_a_webserver_reads_what_the_task_has_left(
    given: str | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow 2 asks there, where the operator has not run."""
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
def test_the_console_shows_a_delivered_object(uri: str, url: str | None) -> None:
    """Where the store has a page that the URI alone leads to."""
    assert console_url(uri) == url


def test_the_insights_link_is_there_before_the_task_defers(
    sei_server: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it can be followed while the export is still waited for."""
    sei_server.reset(seconds_to_complete=60)
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json(account_id="acc"))
    pushed: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}), start_date=None, max_tries=0)
    operator = SEIExportOperator(
        task_id="export",
        family="productivity",
        team_id="456",
        date_start="2024-01-01",
        date_end="2024-01-31",
        destination=f"{tmp_path}/",
    )
    with pytest.raises(TaskDeferred):
        operator.execute({"ti": ti})
    assert pushed == {
        "sei_insights_url": f"{sei_server.base_url.removesuffix('/prod1/sei/api')}"
        "/ng/account/acc/module/sei/insights/productivity?insightType=productivity&collectionId=456"
    }
