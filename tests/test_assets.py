"""The ``sei://`` scheme, and the events of a task's outlets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_sei.assets import sanitize_uri, scope_asset, scope_uri
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator, SEIExportOperator

REQUEST = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}
LAKE, FILES = Asset("s3://lake/sei"), AssetAlias("sei-files")


class TestScheme:
    """``sei://`` URIs."""

    @pytest.mark.parametrize("after", ["productivity", "ba/team/456", "sprint/tree/Engineering"])
    def test_documented_forms_are_unchanged(self, after: str) -> None:
        """A family, a team, a tree."""
        uri = f"sei://account/org/project/{after}"
        assert sanitize_uri(urlsplit(uri)).geturl() == uri

    @pytest.mark.parametrize("after", ["/o/p/ba", "a/o", "a/o/p", "a/o/p/ba/team", "a/o/p/ba/x/1", "o/p/ba"])
    def test_other_forms_are_rejected(self, after: str) -> None:
        """A mistyped asset would never be updated."""
        with pytest.raises(ValueError, match=r"sei://<account>/<organisation>/<project>/<family>"):
            sanitize_uri(urlsplit(f"sei://{after}"))

    @pytest.mark.parametrize(
        ("given", "uri"),
        [
            ({"team_id": "456", "org_tree_name": "R&D"}, "sei://a/default/p%201/sprint/team/456"),
            ({"org_tree_name": "R&D"}, "sei://a/default/p%201/sprint/tree/R%26D"),
        ],
    )
    def test_a_scope_asset_has_the_uri_of_its_exports(self, given: dict[str, str], uri: str) -> None:
        """A team takes precedence over its tree."""
        project = {"account": "a", "org_identifier": "default", "project_identifier": "p 1"}
        assert scope_asset("sprint", **project, **given).uri == scope_uri({"family": "sprint", **project, **given})
        assert scope_asset("sprint", **project, **given).uri == uri


class Events(dict[Any, Any]):
    """Airflow's accessor of outlet events."""

    def __missing__(self, outlet: Any) -> Any:
        partitions: list[str] = []
        added: list[Any] = []
        event = SimpleNamespace(extra={}, partitions=partitions, add_partitions=partitions.extend, added=added)
        event.add = lambda asset, extra: added.append((asset, extra))
        self[outlet] = event
        return event


@pytest.fixture
def run(sei_connection: str, tmp_path: Path) -> Any:
    """Export January of team 456; return result and events."""

    def execute(*outlets: Any, events: Events | None = None, **changes: Any) -> tuple[dict[str, Any], Events]:
        events = Events() if events is None else events
        given = {"destination": f"{tmp_path}/", "sei_conn_id": sei_connection, "account_id": "acc", **REQUEST}
        operator = SEIExportOperator(task_id="export", outlets=list(outlets), **given | changes)
        return operator.execute({"outlet_events": events}), events

    return execute


class TestOutlets:
    """Events of the outlets."""

    def test_an_event_has_result_scope_and_period(self, run: Any) -> None:
        """But no personal data, such as the user who created the export. Airflow accepts any object as an outlet."""
        result, events = run(LAKE, "s3://lake/sei")
        assert result.pop("conn_id") is None, "a store without a connection"
        place = {"account": "acc", "org_identifier": "default", "project_identifier": "demo_project"}
        assert {outlet: event.extra for outlet, event in events.items()} == {LAKE: {**result, **REQUEST, **place}}
        assert "@" not in str(events)

    def test_a_download_has_the_period_that_the_server_reports(self, run: Any, tmp_path: Path) -> None:
        """The task has not requested one."""
        given = {"family": "productivity", "export_id": run()[0]["export_id"], "destination": f"{tmp_path}/"}
        events = Events()
        SEIDownloadExportOperator(task_id="d", outlets=[LAKE], **given).execute({"outlet_events": events})
        assert (events[LAKE].extra["date_start"], events[LAKE].extra["date_end"]) == ("2024-01-01", "2024-01-31")

    def test_an_alias_gets_the_delivered_object(self, run: Any, tmp_path: Path) -> None:
        """Airflow fails a task whose assets are not in ASCII; decoded, it is the object."""
        result, events = run(FILES, destination=f"{tmp_path}/org_tree=Qualität 100%25/#?/")
        [(asset, extra)] = events[FILES].added
        assert asset.uri.isascii()
        assert unquote(asset.uri) == result["uri"] == extra["uri"]
        assert "Qualität" in result["uri"]
        assert extra["sha256"] == result["sha256"]

    def test_a_uri_too_long_for_airflow_fails_no_delivery(self, run: Any, tmp_path: Path, task_log: Any) -> None:
        """The alias gets no event, with a warning; other outlets have theirs."""
        result, events = run(FILES, LAKE, destination=f"{tmp_path}/{'/'.join(['ö' * 60] * 5)}/")
        assert (events[FILES].added, events[LAKE].extra["uri"]) == ([], result["uri"])
        assert "sei-files gets no event" in task_log.text

    @pytest.mark.parametrize(("given", "keys"), [("2024-01", ["2024-01"]), (["a", "b"], ["a", "b"])])
    def test_partitions_are_added(self, run: Any, given: Any, keys: list[str]) -> None:
        """One key or several."""
        assert run(LAKE, asset_partitions=given)[1][LAKE].partitions == keys

    def test_partitions_are_ignored_before_airflow_3_3(self, run: Any, task_log: Any) -> None:
        """With a warning."""
        events = Events()
        del events[LAKE].add_partitions
        run(LAKE, events=events, asset_partitions="2024-01")
        assert events[LAKE].extra["date_end"] == "2024-01-31"
        assert "asset_partitions is ignored" in task_log.text
