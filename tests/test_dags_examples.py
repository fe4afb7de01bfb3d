"""The example DAGs, and mapped DAGs, run by Airflow against the local SEI server."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_sei.protocol.families import FAMILIES

EXAMPLES = {
    "sei_export_one_task": "export",
    "sei_nightly": "export",
    "sei_export_create_wait_download": "download",
    "sei_legacy_team_report": "team_report",
    "sei_legacy_contributor_report": "contributor_report",
}
ASSETS = ("sei_assets_export", "sei_assets_report", "sei_assets_watch")
MAPPED = ("sei_organisation", "sei_team_families", "sei_dora_report", "sei_backfill")
"""``sei_dora_report`` is run by tests/dora_report."""
LOADS = ("sei_duckdb", "sei_postgres", "sei_dlt")
"""Run by tests/test_loads.py."""
WEEK = {"start": "2024-01-01", "end": "2024-01-07"}
FAN_OUTS = {"fan_out_in_three": "download", "fan_out_in_one": "export"}


def results(dag_run: Any, task_id: str) -> list[Any]:
    """Return what the task's instances have returned."""
    instances = sorted(
        (instance for instance in dag_run.get_task_instances() if instance.task_id == task_id),
        key=lambda instance: instance.map_index,
    )
    return [
        instance.xcom_pull(task_ids=task_id, map_indexes=instance.map_index, run_id=dag_run.run_id)
        for instance in instances
    ]


class TestExamples:
    """The DAGs that users start from."""

    def test_every_example_is_tested_here(self, dags: dict[str, Any]) -> None:
        """A new one is noticed."""
        assert {dag_id for dag_id in dags if dag_id.startswith("sei_")} == {
            *EXAMPLES,
            *ASSETS,
            *MAPPED,
            *LOADS,
            "sei_list_exports",
        }

    @pytest.mark.parametrize(("dag_id", "task_id"), EXAMPLES.items())
    def test_it_delivers_what_the_server_made(
        self, run: Any, sei_server: Any, tmp_path: Path, *, dag_id: str, task_id: str
    ) -> None:
        """With nothing but the destination changed."""
        dag_run = run(dag_id)
        assert dag_run.state == "success"
        [result] = results(dag_run, task_id)
        [file] = tmp_path.iterdir()
        [record] = sei_server.legacy_reports if "legacy" in dag_id else sei_server.exports
        assert file.read_bytes() == record.csv
        assert (result["sha256"], result["rows"]) == (record.csv_sha256, record.rows)
        assert set(result) == {
            *("uri", "bytes", "rows", "sha256", "written", "export_id", "family", "date_start", "date_end"),
            *("reused", "created_at", "completed_at", "path", "conn_id", "destination", "columns"),
        }

    @pytest.mark.parametrize("dag_id", [*ASSETS, *MAPPED, "sei_list_exports"])
    def test_it_succeeds_with_its_defaults(self, run: Any, dag_id: str) -> None:
        """As it is triggered by a click, also those that are scheduled by assets."""
        assert run(dag_id).state == "success"

    def test_the_ui_shows_what_each_dag_and_task_does(self, dags: dict[str, Any]) -> None:
        """In Markdown; the group documents its own list and summary."""
        own = [task for dag_id in dags if dag_id.startswith("sei_") for task in dags[dag_id].tasks]
        assert [task for task in own if not task.doc_md and task.label not in {"list_teams", "summary"}] == []
        texts = {task.dag.doc_md for task in own} | {task.doc_md or "" for task in own}
        assert [text for text in texts if "::" in text or "``" in text.replace("```", "")] == []

    def test_an_unchanged_week_is_written_once(self, run: Any, sei_server: Any, tmp_path: Path) -> None:
        """The next week is another file."""
        nights = [{"logical_date": datetime(2024, 2, day, 2, 30, tzinfo=UTC)} for day in (5, 6, 12)]
        returned = [results(run("sei_nightly", night), "export")[0] for night in nights]
        assert [(result["date_start"], result["date_end"], result["written"]) for result in returned] == [
            ("2024-01-29", "2024-02-04", True),
            ("2024-01-29", "2024-02-04", False),
            ("2024-02-05", "2024-02-11", True),
        ]
        assert len(list(tmp_path.iterdir())) == 2
        assert len(sei_server.exports) == 2

    def test_it_lists_what_the_server_has(self, run: Any, sei_server: Any) -> None:
        """Completed exports and leaf teams, as plain values for the next task."""
        run("sei_export_one_task", team_id="456")
        dag_run = run("sei_list_exports")
        assert dag_run.state == "success"
        [[export]] = results(dag_run, "completed_exports")
        [found] = results(dag_run, "leaf_teams")
        assert export["export_id"] == sei_server.exports[0].export_id
        leaves = sei_server.organisation.trees_by_name["Engineering"].root.leaves()
        assert found == [{"team_id": str(team.ref_id), "name": team.name} for team in leaves]

    @pytest.mark.parametrize("dag_id", ["sei_export_one_task", "sei_export_create_wait_download"])
    def test_it_waits_in_the_triggerer(
        self, run: Any, sei_server: Any, tmp_path: Path, task_log: Any, dag_id: str
    ) -> None:
        """When the export takes its time; meanwhile the trigger asks for its state."""
        sei_server.faults.add("status", "status_word", word="processing", times=2)
        assert run(dag_id, org_tree_name="Engineering").state == "success"
        assert "in the triggerer" in task_log.text
        assert [request.operation for request in sei_server.requests].count("status") > 2
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [sei_server.exports[0].csv]

    def test_a_failed_export_fails_the_run(self, run: Any, sei_server: Any, tmp_path: Path) -> None:
        """Nothing is delivered."""
        sei_server.faults.add("create", "outcome", status="failed", error="Out of memory")
        assert run("sei_export_one_task", team_id="456").state == "failed"
        assert list(tmp_path.iterdir()) == []

    def test_params_that_cannot_work_create_nothing(self, run: Any, sei_server: Any) -> None:
        """They are refused after rendering, before anything is sent."""
        backwards = {"date_start": "2024-05-01", "date_end": "2024-01-01"}
        assert run("sei_export_one_task", team_id="456", **backwards).state == "failed"
        assert sei_server.requests == []

    def test_every_team_of_an_organisation_is_delivered(self, run: Any, sei_server: Any, tmp_path: Path) -> None:
        """For the week before, without the excluded ones; the summary counts them."""
        dag_run = run(
            "sei_organisation", {"logical_date": datetime(2024, 1, 8, 2, 30, tzinfo=UTC)}, exclude=["Plat*", "123"]
        )
        assert dag_run.state == "success"
        assert [record.request["dateRange"] for record in sei_server.exports] == [WEEK] * 5
        [summary] = results(dag_run, "productivity.summary")
        assert summary["counts"] == {"teams": 5, "delivered": 4, "empty": 1, "failed": 0, "skipped": 0, "unknown": 0}
        teams = {record.request["scope"]["teamId"] for record in sei_server.exports}
        assert {"456", "123"}.isdisjoint(teams)
        assert sorted(file.read_bytes() for file in tmp_path.iterdir()) == sorted(
            record.csv for record in sei_server.exports
        )

    def test_every_family_of_a_team_is_delivered(self, run: Any, sei_server: Any) -> None:
        """Each with its own metric groups; the grid shows the families."""
        dag_run = run("sei_team_families")
        assert dag_run.state == "success"
        assert [result["family"] for result in results(dag_run, "export")] == list(FAMILIES)
        asked = [record.request for record in sei_server.exports]
        assert {request["scope"]["teamId"] for request in asked} == {"456"}
        assert len({str(request.get("metricGroups")) for request in asked}) == 5
        assert {each.rendered_map_index for each in dag_run.get_task_instances()} == set(FAMILIES)


class TestAssets:
    """DAGs that are scheduled by assets; ``test_watcher_lab`` runs them with a scheduler."""

    @staticmethod
    def _call(dag: Any, task_id: str, asset: str, extra: dict[str, Any]) -> Any:
        """Call a task's function with one triggering event."""
        function = dag.get_task(task_id).python_callable
        return function({function.__globals__[asset]: [SimpleNamespace(extra=extra)]})

    def test_the_consumer_reads_the_file_of_the_event(self, run: Any, dags: dict[str, Any], sei_server: Any) -> None:
        """By its address and its checksum, as they are in Airflow's database."""
        run("sei_assets_export", {"logical_date": datetime(2024, 3, 1, tzinfo=UTC)}, team_id="456")
        extra = last_extra("sei_productivity_csv")
        assert (extra["date_start"], extra["date_end"]) == ("2024-02-01", "2024-02-29")
        [slowest] = self._call(dags["sei_assets_report"], "slowest_records", "DELIVERED", extra)
        records = list(csv.DictReader(io.StringIO(sei_server.exports[0].csv.decode())))
        days = [float(record["PR_Cycle_Time_Days_Avg"] or 0) for record in records]
        assert slowest == records[days.index(max(days))]

    def test_the_consumer_refuses_a_file_that_was_replaced(self, run: Any, dags: dict[str, Any]) -> None:
        """The event is about another one."""
        run("sei_assets_export", team_id="456")
        extra = last_extra("sei_productivity_csv") | {"sha256": "0" * 64}
        with pytest.raises(ValueError, match="has been replaced"):
            self._call(dags["sei_assets_report"], "slowest_records", "DELIVERED", extra)

    def test_the_download_takes_the_payload_of_the_watcher(self, dags: dict[str, Any]) -> None:
        """Its family and export id."""
        dag = dags["sei_assets_watch"]
        extra = {"from_trigger": True, "payload": {"family": "ba", "export_id": "exp_1", "status": "completed"}}
        assert self._call(dag, "completed_exports", "COMPLETED", extra) == [{"family": "ba", "export_id": "exp_1"}]
        [watcher] = dag.get_task("completed_exports").python_callable.__globals__["COMPLETED"].watchers
        assert watcher.trigger.serialize()[1]["family"] == "productivity"


def last_extra(asset: str) -> dict[str, Any]:
    """Return the extra of an asset's latest event, from Airflow's database."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session

    with create_session() as session:
        query = session.query(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        event = query.filter(AssetModel.name == asset).order_by(AssetEvent.id.desc()).first()
        assert event is not None
        return dict(event.extra)


class TestFanOut:
    """Mapped tasks."""

    @pytest.mark.parametrize(("dag_id", "task_id"), FAN_OUTS.items())
    def test_each_team_gets_its_file(
        self, run: Any, sei_server: Any, tmp_path: Path, *, dag_id: str, task_id: str
    ) -> None:
        """One export each, under a name of its own."""
        dag_run = run(dag_id)
        assert dag_run.state == "success"
        found = results(dag_run, task_id)
        assert {record.request["scope"]["teamId"] for record in sei_server.exports} == {"456", "123", "789"}
        assert {result["sha256"] for result in found} == {record.csv_sha256 for record in sei_server.exports}
        assert len({result["uri"] for result in found}) == len(list(tmp_path.iterdir())) == 3
        assert {result["family"] for result in found} == {"ba"} <= set(FAMILIES)


def test_dags_survive_airflows_serialization(dags: dict[str, Any]) -> None:
    """Every DAG goes through the database before it is scheduled."""
    from airflow.serialization.serialized_objects import DagSerialization

    for dag_id in (*EXAMPLES, *ASSETS, *MAPPED, *LOADS, *FAN_OUTS):
        restored = DagSerialization.from_dict(DagSerialization.to_dict(dags[dag_id]))
        assert set(restored.task_ids) == set(dags[dag_id].task_ids)
