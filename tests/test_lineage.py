"""OpenLineage events of operators, and hook-level lineage of ``@task`` functions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_sei.assets import lineage
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.pipeline import DeliveryResult
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator, SEIExportOperator
from airflow_provider_sei.protocol.report_request import ReportRequest

REQUEST = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}


@pytest.mark.usefixtures("emitted")
def test_a_quoted_header_is_read_as_csv() -> None:
    """A column's name may contain a comma; bucket and name are separate in OpenLineage."""
    columns = ("Team", "Lead Time, days")
    delivered = DeliveryResult(uri="s3://lake/sei/a.csv", bytes=10, rows=2, sha256="0" * 64, columns=columns)
    [target] = lineage(None, delivered).outputs
    assert (target.namespace, target.name) == ("s3://lake", "sei/a.csv")
    assert [field.name for field in target.facets["schema"].fields] == [*columns]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's lineage collector, as it is if a plugin reads from it."""
    module = pytest.importorskip("airflow.sdk.lineage", reason="elsewhere before Airflow 3.2")
    one = module.HookLineageCollector()
    monkeypatch.setattr("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", lambda: one)
    return one


class TestHookLevel:
    """Lineage of a ``@task`` that calls the hook."""

    @pytest.fixture
    def deliver(self, sei_connection: str, tmp_path: Path) -> Callable[[], DeliveryResult]:
        """Deliver an export as a ``@task`` does."""

        def run() -> DeliveryResult:
            hook = SEIHook(sei_connection, account_id="acc")
            export = hook.get_export("productivity", hook.create_export(**REQUEST).export_id)
            return hook.download_export(export, Destination.from_arguments(f"{tmp_path}/"))

        return run

    @pytest.mark.usefixtures("emitted")
    def test_an_export_has_input_and_output(self, collector: Any, deliver: Any, monkeypatch: Any) -> None:
        """In OpenLineage under the same names as an operator's."""
        from airflow.providers.openlineage.extractors import manager

        delivered = deliver()
        assert [item.asset.uri for item in collector.collected_assets.outputs] == [delivered.uri]
        # It checks whether Airflow's own collector exists; here a fixture replaces it.
        monkeypatch.setattr(manager, "_is_hook_lineage_collector_created", lambda: True)
        found = manager.ExtractorManager().get_hook_lineage()
        names = [(dataset.namespace, dataset.name) for dataset in (*found.inputs, *found.outputs)]
        path = delivered.uri.removeprefix("file://")
        assert names == [("sei://acc", "default/demo_project/productivity"), ("file", path)]

    def test_a_report_has_input_and_output(self, collector: Any, sei_connection: str, tmp_path: Path) -> None:
        """Its kind and its team."""
        days = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
        request = ReportRequest.from_arguments(report_type="team", collection_id="456", **days)
        hook = SEIHook(sei_connection, account_id="acc")
        delivered = hook.download_report(request, Destination.from_arguments(f"{tmp_path}/"))
        found = collector.collected_assets
        assert [item.asset.uri for item in found.inputs] == ["sei://acc/default/demo_project/team-report/team/456"]
        assert [item.asset.uri for item in found.outputs] == [delivered.uri]

    def test_an_error_of_the_collector_fails_no_delivery(self, deliver: Any, monkeypatch: Any, caplog: Any) -> None:
        """The file is already delivered."""
        caplog.set_level(logging.DEBUG)
        monkeypatch.setattr("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", lambda: 1 / 0)
        assert deliver().rows
        assert "ZeroDivisionError" in caplog.text


class TestOperators:
    """What OpenLineage's listener extracts from an operator, as it is sent."""

    def test_a_delivery(self, emitted: Any, operator: Any, collector: Any) -> None:
        """Scope, object, columns and size; the hook's own report is not added to it."""
        result = operator.execute({})
        assert collector.has_collected
        found = emitted(operator)
        [source], [target] = found["inputs"], found["outputs"]
        assert (source["namespace"], source["name"]) == ("sei://acc", "default/demo_project/productivity/team/456")
        path = Path(result["path"])
        assert (target["namespace"], target["name"]) == ("file", str(path))
        columns = [field["name"] for field in target["facets"]["schema"]["fields"]]
        assert ",".join(columns) == path.read_text().partition("\n")[0].strip()
        statistics = target["outputFacets"]["outputStatistics"]
        assert (statistics["rowCount"], statistics["size"]) == (result["rows"], path.stat().st_size)

    def test_an_export_that_fails_during_a_deferral(self, emitted: Any, operator: Any) -> None:
        """The resumed task reports what was to be read."""
        scope = {"family": "ba", "team_id": "7", "account": "a", "org_identifier": "o", "project_identifier": "p"}
        event = {
            "outcome": "error",
            "error": {"type": "SEIExportFailedError", "message": "Out of memory"},
            "passthrough": {"scope": scope, "destination": {"url": "/x/a.csv"}},
        }
        with pytest.raises(Exception, match="Out of memory"):
            operator.execute_complete({}, event)
        found = emitted(operator, "failed")
        assert [(source["namespace"], source["name"]) for source in found["inputs"]] == [("sei://a", "o/p/ba/team/7")]
        assert found["outputs"] == []

    def test_an_export_that_cannot_be_downloaded(self, emitted: Any, sei_connection: str) -> None:
        """Its family is known."""
        given = {"family": "productivity", "export_id": "exp_unknown", "destination": "/x/"}
        task = SEIDownloadExportOperator(task_id="download", sei_conn_id=sei_connection, **given)
        with pytest.raises(Exception, match="404"):
            task.execute({})
        [source] = emitted(task, "failed")["inputs"]
        assert source["name"] == "default/demo_project/productivity"

    @pytest.fixture
    def operator(self, sei_connection: str, tmp_path: Path) -> SEIExportOperator:
        """An ``SEIExportOperator`` for January of team 456."""
        arguments = {"destination": f"{tmp_path}/", "sei_conn_id": sei_connection, "account_id": "acc", **REQUEST}
        return SEIExportOperator(task_id="export", **arguments)


@pytest.fixture
def emitted() -> Callable[..., dict[str, Any]]:
    """Extract a task's lineage as OpenLineage's listener does, and return its JSON."""
    pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
    from airflow.providers.openlineage.extractors.manager import ExtractorManager
    from airflow.utils.state import TaskInstanceState
    from openlineage.client.serde import Serde

    def emit(task: Any, state: str = "success") -> dict[str, Any]:
        DAG("exports", schedule=None).add_task(task)
        ti = SimpleNamespace(run_id="r")
        found = ExtractorManager().extract_metadata(ti, task, TaskInstanceState(state), None)
        return dict(json.loads(Serde.to_json(found)))

    return emit
