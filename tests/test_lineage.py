"""What OpenLineage is told."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.pipeline import DeliveryResult
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator, SEIExportOperator
from airflow_provider_sei.protocol.report_request import ReportRequest

DELIVERED = DeliveryResult(
    uri="s3://lake/sei/a.csv", bytes=10, rows=2, sha256="0" * 64, header='Team,"Lead Time, days"'
)


def test_the_object_has_columns_rows_and_size() -> None:
    """The CSV's header is the schema."""
    pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
    from airflow_provider_sei.lineage import lineage

    found = lineage("sei://default/p/productivity/team/456", DELIVERED)
    [source], [target] = found.inputs, found.outputs
    assert (source.namespace, source.name) == ("sei://default", "p/productivity/team/456")
    assert (target.namespace, target.name) == ("s3://lake", "sei/a.csv")
    assert [field.name for field in target.facets["schema"].fields] == ["Team", "Lead Time, days"]
    statistics = target.outputFacets["outputStatistics"]
    assert (statistics.rowCount, statistics.size) == (2, 10)


def test_a_failed_task_still_has_its_input() -> None:
    """Nothing was delivered, but it is known from what."""
    pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
    from airflow_provider_sei.lineage import lineage

    found = lineage("sei://default/p/productivity", None)
    assert [len(found.inputs), len(found.outputs)] == [1, 0]


def test_operators_do_not_need_openlineage() -> None:
    """It is imported when it asks, and not before."""
    code = (
        "import sys, airflow_provider_sei.operators.sei;"
        "print([m for m in ('openlineage.client', 'airflow_provider_sei.lineage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_hook_does_not_need_openlineage_either() -> None:
    """A delivery by a ``@task`` asks Airflow's own collector, and nothing else."""
    code = (
        "import sys, airflow_provider_sei.hooks.sei, airflow_provider_sei.lineage;"
        "print([m for m in sys.modules if m.startswith(('openlineage', 'airflow.providers.common.compat.lineage'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


REQUEST = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's collector, as it is where a plugin reads from it."""
    lineage = pytest.importorskip("airflow.sdk.lineage", reason="elsewhere before Airflow 3.2")
    one = lineage.HookLineageCollector()
    monkeypatch.setattr("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", lambda: one)
    return one


class TestHookLevel:
    """What a ``@task`` that calls the hook has read and written."""

    def test_a_downloaded_export_has_its_source_and_its_file(
        self, collector: Any, sei_connection: str, tmp_path: Path
    ) -> None:
        """By the names that the operators give them too."""
        hook = SEIHook(sei_connection)
        export = hook.create_export(**REQUEST)
        delivered = hook.download_export(hook.get_export("productivity", export.export_id), at(tmp_path))
        found = collector.collected_assets
        assert [item.asset.uri for item in found.inputs] == ["sei://default/demo_project/productivity"]
        assert [item.asset.uri for item in found.outputs] == [delivered.uri]

    def test_a_downloaded_report_has_them_too(self, collector: Any, sei_connection: str, tmp_path: Path) -> None:
        """Its kind and its team."""
        spec = ReportRequest.from_arguments(
            report_type="team",
            collection_id="456",
            date_start="2024-01-01",
            date_end="2024-01-31",
            productivity_metrics=["CODING_DAYS_PER_DEV"],
        )
        delivered = SEIHook(sei_connection).download_report(spec, at(tmp_path), name="report.csv")
        found = collector.collected_assets
        assert [item.asset.uri for item in found.inputs] == ["sei://default/demo_project/team-report/team/456"]
        assert [item.asset.uri for item in found.outputs] == [delivered.uri]

    def test_openlineage_names_them_as_the_operators_do(
        self, collector: Any, sei_connection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the converter that the provider's metadata leads to."""
        pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
        from airflow.providers.openlineage.extractors.manager import ExtractorManager

        hook = SEIHook(sei_connection)
        export = hook.get_export("productivity", hook.create_export(**REQUEST).export_id)
        delivered = hook.download_export(export, at(tmp_path))
        assert collector.has_collected
        # It asks whether Airflow's own collector has been made; here another one stands in for it.
        monkeypatch.setattr(
            "airflow.providers.openlineage.extractors.manager._is_hook_lineage_collector_created", lambda: True
        )
        found = ExtractorManager().get_hook_lineage()
        assert found is not None
        names = [(dataset.namespace, dataset.name) for dataset in (*found.inputs, *found.outputs)]
        path = delivered.uri.removeprefix("file://")
        assert names == [("sei://default", "demo_project/productivity"), ("file", path)]

    def test_trouble_with_lineage_does_not_fail_a_delivery(
        self, sei_connection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The file is there already."""

        def broken() -> Any:
            msg = "no lineage today"
            raise RuntimeError(msg)

        caplog.set_level(logging.DEBUG)
        monkeypatch.setattr("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", broken)
        hook = SEIHook(sei_connection)
        export = hook.get_export("productivity", hook.create_export(**REQUEST).export_id)
        assert hook.download_export(export, at(tmp_path)).rows
        assert "no lineage today" in caplog.text


class TestEvents:
    """What an OpenLineage backend gets, through the file transport of OpenLineage's own client."""

    def test_a_delivery(self, emitted: Any, operator: Any) -> None:
        """Its scope, the object, the CSV's columns, and how much there is."""
        task = operator()
        result = task.execute({})
        event = emitted(task, "complete")
        [source], [target] = event["inputs"], event["outputs"]
        assert event["eventType"] == "COMPLETE"
        assert (source["namespace"], source["name"]) == ("sei://default", "demo_project/productivity/team/456")
        path = Path(result["uri"].removeprefix("file://"))
        assert (target["namespace"], target["name"]) == ("file", str(path))
        columns = [field["name"] for field in target["facets"]["schema"]["fields"]]
        assert ",".join(columns) == path.read_text().partition("\n")[0].strip()
        statistics = target["outputFacets"]["outputStatistics"]
        assert (statistics["rowCount"], statistics["size"]) == (result["rows"], path.stat().st_size)

    def test_a_delivery_is_told_once(self, emitted: Any, operator: Any, collector: Any) -> None:
        """What the hook tells is for tasks that say nothing themselves."""
        task = operator()
        task.execute({})
        assert collector.has_collected
        event = emitted(task, "complete")
        assert [len(event["inputs"]), len(event["outputs"])] == [1, 1]

    def test_an_export_that_fails_while_the_task_is_deferred(self, emitted: Any, operator: Any) -> None:
        """The resumed task knows what was to be read."""
        task = operator()
        gone = {"outcome": "error", "error": {"type": "SEIExportFailedError", "message": "Out of memory"}}
        with pytest.raises(Exception, match="Out of memory"):
            task.execute_complete({}, gone)
        event = emitted(task, "failure")
        assert (event["eventType"], event["outputs"]) == ("FAIL", [])
        assert [source["name"] for source in event["inputs"]] == ["demo_project/productivity/team/456"]

    def test_an_export_that_cannot_be_downloaded(self, emitted: Any, sei_connection: str, tmp_path: Path) -> None:
        """Its family is known."""
        task = SEIDownloadExportOperator(
            task_id="download",
            family="productivity",
            export_id="exp_unknown",
            destination=f"{tmp_path}/",
            sei_conn_id=sei_connection,
        )
        with pytest.raises(Exception, match="404"):
            task.execute({})
        assert [source["name"] for source in emitted(task, "failure")["inputs"]] == ["demo_project/productivity"]


def at(folder: Path) -> Destination:
    """Return a destination in a folder."""
    return Destination.from_arguments(f"{folder}/")


@pytest.fixture
def operator(sei_connection: str, tmp_path: Path) -> Callable[[], SEIExportOperator]:
    """Make an ``SEIExportOperator`` for January of team 456."""
    return lambda: SEIExportOperator(
        task_id="export", destination=f"{tmp_path}/", sei_conn_id=sei_connection, **REQUEST
    )


@pytest.fixture
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any, str], dict[str, Any]]:
    """Extract a task's lineage as OpenLineage's listener does, emit it, and return the event from the file."""
    pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
    from types import SimpleNamespace

    from airflow.providers.openlineage.extractors.manager import ExtractorManager
    from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
    from airflow.utils.state import TaskInstanceState
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.file import FileConfig, FileTransport

    file = tmp_path_factory.mktemp("openlineage") / "events.jsonl"
    client = OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(file), append=True)))

    def emit(task: Any, how: str) -> dict[str, Any]:
        from airflow.providers.common.compat.sdk import DAG

        DAG("exports", schedule=None).add_task(task)
        state = TaskInstanceState.FAILED if how == "failure" else TaskInstanceState.SUCCESS
        found = ExtractorManager().extract_metadata(SimpleNamespace(run_id="r"), task, state, None)
        adapter = OpenLineageAdapter(client=client)
        now = datetime.now(UTC).isoformat()
        common: dict[str, Any] = {
            "run_id": "0196f0d5-0000-7000-8000-000000000000",
            "job_name": f"exports.{task.task_id}",
            "end_time": now,
            "task": found,
            "nominal_start_time": None,
            "nominal_end_time": None,
            "owners": [],
            "tags": [],
            "job_description": None,
            "job_description_type": None,
            "run_facets": {},
        }
        if how == "failure":
            adapter.fail_task(**common, error="failed")
        else:
            adapter.complete_task(**common)
        event: dict[str, Any] = json.loads(file.read_text().splitlines()[-1])
        return event

    return emit
