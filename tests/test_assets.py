"""The ``sei://`` scheme and what asset events tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_sei.assets import ExportScope, sanitize_uri, scope_asset
from airflow_provider_sei.operators.sei import SEIExportOperator


class TestSanitizeUri:
    """What Airflow asks when it meets an ``sei://`` asset."""

    @pytest.mark.parametrize(
        "uri",
        [
            "sei://org/project/productivity",
            "sei://org/project/ba/team/456",
            "sei://org/project/sprint/tree/Engineering",
        ],
    )
    def test_documented_forms_stay_as_they_are(self, uri: str) -> None:
        """A family, a team and a tree can be named."""
        assert sanitize_uri(urlsplit(uri)).geturl() == uri

    @pytest.mark.parametrize(
        "uri", ["sei:///project/ba", "sei://org", "sei://org/project", "sei://org/project/ba/team", "sei://o/p/ba/x/1"]
    )
    def test_other_forms_are_refused_with_the_right_one(self, uri: str) -> None:
        """A mistyped asset would never be updated."""
        with pytest.raises(ValueError, match=r"sei://<organisation>/<project>/<family>"):
            sanitize_uri(urlsplit(uri))


def test_a_scope_asset_is_what_an_export_reads() -> None:
    """A DAG can wait for what another one exports from."""
    asset = scope_asset("productivity", org_identifier="default", project_identifier="p 1", team_id="456")
    subject = ExportScope(family="productivity", org_identifier="default", project_identifier="p 1", team_id="456")
    assert asset.uri == subject.uri == "sei://default/p%201/productivity/team/456"


def test_a_tree_is_a_scope_too() -> None:
    """Where no team is named."""
    asset = scope_asset("sprint", org_identifier="default", project_identifier="p", org_tree_name="R&D")
    assert asset.uri == "sei://default/p/sprint/tree/R%26D"


class _Events(dict[Any, Any]):
    def __missing__(self, outlet: Any) -> Any:
        partitions: list[str] = []
        added: list[Any] = []
        self[outlet] = SimpleNamespace(
            extra={},
            partitions=partitions,
            add_partitions=partitions.extend,
            added=added,
            add=lambda asset, extra: added.append((asset, extra)),
        )
        return self[outlet]


class TestOutlets:
    """What a delivered export tells the events of its task's outlets."""

    @staticmethod
    def _delivered(make: Any, outlet: Any, **changes: Any) -> tuple[dict[str, Any], Any]:
        events = _Events()
        result = make(outlets=[outlet], **changes).execute({"outlet_events": events})
        return result, events[outlet]

    def test_an_asset_event_carries_result_scope_and_period(self, export_operator: Any) -> None:
        """A consumer needs no look into XCom."""
        result, event = self._delivered(export_operator, Asset("s3://lake/sei"))
        assert event.extra == {
            **result,
            "org_identifier": "default",
            "project_identifier": "demo_project",
            "team_id": "456",
            "date_start": "2024-01-01",
            "date_end": "2024-01-31",
        }

    def test_no_personal_data_is_in_it(self, export_operator: Any) -> None:
        """The server names who created the export; the event does not."""
        _, event = self._delivered(export_operator, Asset("s3://lake/sei"))
        assert "@" not in str(event.extra)
        assert "created_by" not in event.extra

    def test_an_alias_gets_the_delivered_object(self, export_operator: Any) -> None:
        """Consumers can be scheduled by objects whose names are not known before."""
        result, event = self._delivered(export_operator, AssetAlias("sei-files"))
        [(asset, extra)] = event.added
        assert asset.uri == result["uri"].replace("file:///", "file:///")
        assert extra["sha256"] == result["sha256"]

    def test_partitions_are_added_where_asked(self, export_operator: Any) -> None:
        """One key or several."""
        _, event = self._delivered(export_operator, Asset("s3://lake/sei"), asset_partitions="2024-01")
        assert event.partitions == ["2024-01"]

    def test_partitions_are_left_aside_where_airflow_has_none(self, export_operator: Any, task_log: Any) -> None:
        """Before Airflow 3.3 an event cannot carry them; the rest of it is told."""
        events = _Events()
        outlet = Asset("s3://lake/sei")
        del events[outlet].add_partitions
        export_operator(outlets=[outlet], asset_partitions="2024-01").execute({"outlet_events": events})
        assert events[outlet].extra["date_end"] == "2024-01-31"
        assert "asset_partitions is left aside" in task_log.text

    def test_an_outlet_of_another_kind_is_left_alone(self, export_operator: Any) -> None:
        """Airflow lets anything be an outlet."""
        events = _Events()
        export_operator(outlets=["s3://lake/sei"]).execute({"outlet_events": events})
        assert not events

    def test_a_failed_task_tells_nothing(self, export_operator: Any, sei_server: Any) -> None:
        """An event without a file would start a consumer for nothing."""
        sei_server.faults.add("create", "answer", status=403)
        events = _Events()
        with pytest.raises(Exception, match="403"):
            export_operator(outlets=[Asset("s3://lake/sei")]).execute({"outlet_events": events})
        assert not events


@pytest.fixture
def export_operator(sei_connection: str, tmp_path: Any) -> Any:
    """Make an ``SEIExportOperator`` for January of team 456."""

    def make(**changes: Any) -> SEIExportOperator:
        request = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}
        return SEIExportOperator(
            task_id="export", destination=f"{tmp_path}/", sei_conn_id=sei_connection, **request | changes
        )

    return make
