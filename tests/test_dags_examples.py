"""The example DAGs, and mapped DAGs, run by Airflow against the local SEI server."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_sei.protocol.families import FAMILIES
from tests.test_backfill_lab import files

EXAMPLES = {
    "sei_export_one_task": "export",
    "sei_export_create_wait_download": "download",
    "sei_legacy_team_report": "team_report",
    "sei_legacy_contributor_report": "contributor_report",
}
ASSETS = ("sei_assets_export", "sei_assets_report", "sei_assets_watch")
OTHERS = ("sei_nightly", "sei_list_exports", "sei_organisation", "sei_team_families", "sei_backfill")
ELSEWHERE = ("sei_dora_report", "sei_duckdb", "sei_postgres", "sei_dlt")
"""Run by tests/dora_report and tests/test_loads.py."""


def results(dag_run: Any, task_id: str) -> list[Any]:
    """Return what the task's instances have returned."""
    instances = [instance for instance in dag_run.get_task_instances() if instance.task_id == task_id]
    indexes = sorted(instance.map_index for instance in instances)
    return [instances[0].xcom_pull(task_ids=task_id, map_indexes=index, run_id=dag_run.run_id) for index in indexes]


class TestExamples:
    """The DAGs that users start from."""

    def test_every_example_is_tested_here(self, dags: dict[str, Any]) -> None:
        """A new one is noticed."""
        tested = {*EXAMPLES, *ASSETS, *OTHERS, *ELSEWHERE}
        assert {dag_id for dag_id in dags if dag_id.startswith("sei_")} == tested

    @pytest.mark.parametrize(("dag_id", "task_id"), EXAMPLES.items())
    def test_it_delivers_what_the_server_made(  # noqa: PLR0917 - fixtures
        self, run: Any, sei_server: Any, tmp_path: Path, task_log: Any, dag_id: str, task_id: str
    ) -> None:
        """With nothing but the destination changed. It waits in the triggerer when the export takes its time."""
        sei_server.faults.add("status", "status_word", word="processing", times=2)
        dag_run = run(dag_id)
        assert dag_run.state == "success"
        [result], [file] = results(dag_run, task_id), tmp_path.iterdir()
        [record] = sei_server.legacy_reports or sei_server.exports
        assert file.read_bytes() == record.csv
        assert (result["sha256"], result["rows"]) == (record.csv_sha256, record.rows)
        assert ("in the triggerer" in task_log.text) == ("legacy" not in dag_id)

    @pytest.mark.sei_server(leaf_teams=2)
    @pytest.mark.parametrize("dag_id", [*ASSETS, "sei_organisation"])
    def test_it_succeeds_with_its_defaults(self, run: Any, dag_id: str) -> None:
        """As it is triggered by a click, also those that are scheduled by assets."""
        assert run(dag_id).state == "success"

    def test_the_ui_shows_what_each_dag_and_task_does(self, dags: dict[str, Any]) -> None:
        """In Markdown; the group documents its own list and summary."""
        own = [task for dag_id in dags if dag_id.startswith("sei_") for task in dags[dag_id].tasks]
        assert [task for task in own if not task.doc_md and task.label not in {"list_teams", "summary"}] == []
        texts = {task.dag.doc_md for task in own} | {task.doc_md or "" for task in own}
        assert [text for text in texts if "::" in text or "``" in text.replace("```", "")] == []

    def test_an_unchanged_week_is_written_once(self, run: Any, sei_server: Any, tmp_path: Path, task_log: Any) -> None:
        """Of the nightly example."""
        nights = [{"logical_date": datetime(2024, 2, day, 2, 30, tzinfo=UTC)} for day in (5, 6)]
        returned = [results(run("sei_nightly", night), "export")[0] for night in nights]
        days = ("date_start", "date_end")
        assert [tuple(result[day] for day in days) for result in returned] == [("2024-01-29", "2024-02-04")] * 2
        assert [result["written"] for result in returned] == [True, False]
        assert f"Unchanged {returned[1]['uri']}" in task_log.text
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [sei_server.exports[0].csv]

    def test_a_month_backfilled_again_is_not_written_again(self, run: Any, sei_server: Any, tmp_path: Path) -> None:
        """A later run creates new exports, but their content is the same. ``test_backfill_lab`` has real backfills."""

        def backfill(*moments: Any) -> list[Any]:
            runs = [run("sei_backfill", {"logical_date": moment}) for moment in moments]
            return [result for each in runs for result in results(each, "export")]

        january, february = (datetime(2024, month, 1, 2, tzinfo=UTC) for month in (1, 2))
        first, delivered = backfill(january, february), files(tmp_path)
        assert set(delivered) == {
            f"family=productivity/period={month}/team={team}/productivity_c9d8bf79.csv"
            for month in ("2023-12", "2024-01")
            for team in ("456", "123")
        }
        sei_server.clock.advance(30 * 60 + 1)
        again = backfill(january)
        assert [result["written"] for result in (*first, *again)] == [True] * 4 + [False] * 2
        assert [result["uri"] for result in again] == [result["uri"] for result in first[:2]]
        assert len({result["export_id"] for result in (*first, *again)}) == len(sei_server.exports) == 6
        assert files(tmp_path) == delivered

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

    @pytest.mark.sei_server(leaf_teams=4)
    def test_every_team_of_an_organisation_is_delivered(self, run: Any, sei_server: Any, tmp_path: Path) -> None:
        """For the week before, without the excluded ones; the summary counts them."""
        monday = {"logical_date": datetime(2024, 1, 8, 2, 30, tzinfo=UTC)}
        dag_run = run("sei_organisation", monday, exclude=["Plat*", "123"])
        assert dag_run.state == "success"
        week = {"start": "2024-01-01", "end": "2024-01-07"}
        assert [record.request["dateRange"] for record in sei_server.exports] == [week] * 2
        [summary] = results(dag_run, "productivity.summary")
        assert summary["counts"] == {"teams": 2, "delivered": 1, "empty": 1, "failed": 0, "skipped": 0, "unknown": 0}
        assert {record.request["scope"]["teamId"] for record in sei_server.exports}.isdisjoint({"456", "123"})
        delivered = sorted(file.read_bytes() for file in tmp_path.iterdir())
        assert delivered == sorted(record.csv for record in sei_server.exports)

    def test_every_family_of_a_team_is_delivered(self, run: Any, sei_server: Any) -> None:
        """Each with its own metric groups; the grid shows the families."""
        dag_run = run("sei_team_families")
        assert dag_run.state == "success"
        assert [result["family"] for result in results(dag_run, "export")] == list(FAMILIES)
        asked = [record.request for record in sei_server.exports]
        assert {request["scope"]["teamId"] for request in asked} == {"456"}
        assert len({str(request.get("metricGroups")) for request in asked}) == 5
        assert {each.rendered_map_index for each in dag_run.get_task_instances()} == set(FAMILIES)


def consume(dag: Any, task_id: str, asset: str, extra: dict[str, Any]) -> Any:
    """Call the function of a task that assets start, with one event; ``test_watcher_lab`` has a scheduler."""
    function = dag.get_task(task_id).python_callable
    return function({function.__globals__[asset]: [SimpleNamespace(extra=extra)]})


def test_the_consumer_reads_the_file_of_the_event(run: Any, dags: dict[str, Any], sei_server: Any) -> None:
    """By its address and its checksum, as they are in Airflow's database; not one that has replaced it."""
    run("sei_assets_export", {"logical_date": datetime(2024, 3, 1, tzinfo=UTC)}, team_id="456")
    extra = last_extra("sei_productivity_csv")
    assert (extra["date_start"], extra["date_end"]) == ("2024-02-01", "2024-02-29")
    slowest = partial(consume, dags["sei_assets_report"], "slowest_records", "DELIVERED")
    records = list(csv.DictReader(io.StringIO(sei_server.exports[0].csv.decode())))
    assert slowest(extra) == [max(records, key=lambda record: float(record["PR_Cycle_Time_Days_Avg"] or 0))]
    with pytest.raises(ValueError, match="has been replaced"):
        slowest(extra | {"sha256": "0" * 64})


def test_the_download_takes_the_payload_of_the_watcher(dags: dict[str, Any]) -> None:
    """Its family and export id."""
    dag = dags["sei_assets_watch"]
    extra = {"from_trigger": True, "payload": {"family": "ba", "export_id": "exp_1", "status": "completed"}}
    assert consume(dag, "completed_exports", "COMPLETED", extra) == [{"family": "ba", "export_id": "exp_1"}]
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


@pytest.mark.parametrize(
    ("dag_id", "task_id", "name"), [("fan_out_in_three", "download", "{team_id}.csv"), ("fan_out_in_one", "export", "")]
)
def test_each_team_gets_its_file(  # noqa: PLR0917 - fixtures
    run: Any, sei_server: Any, tmp_path: Path, dag_id: str, task_id: str, name: str
) -> None:
    """Of mapped tasks: one export each, under a name of its own."""
    dag_run = run(dag_id, destination=f"{tmp_path}/{name}")
    assert dag_run.state == "success"
    found = results(dag_run, task_id)
    assert {record.request["scope"]["teamId"] for record in sei_server.exports} == {"456", "123", "789"}
    assert {result["sha256"] for result in found} == {record.csv_sha256 for record in sei_server.exports}
    assert len({result["uri"] for result in found}) == len(list(tmp_path.iterdir())) == 3


def test_dags_survive_airflows_serialization(dags: dict[str, Any]) -> None:
    """Every DAG goes through the database before it is scheduled."""
    for dag in dags.values():
        restored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert set(restored.task_ids) == set(dag.task_ids)
