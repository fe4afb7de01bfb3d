"""The example DAGs, and DAGs that fan out, run by Airflow against the local SEI server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.protocol.families import FAMILIES

EXAMPLES = {
    "sei_export_one_task": "export",
    "sei_export_create_wait_download": "download",
    "sei_legacy_team_report": "team_report",
    "sei_legacy_contributor_report": "contributor_report",
}
FAN_OUTS = {"fan_out_in_three": "download", "fan_out_in_one": "export"}


@pytest.fixture(scope="session")
def dags(dags_folder: Path) -> dict[str, Any]:
    """All DAGs of the folder, by id."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(dags_folder))
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture
def run(
    dags: dict[str, Any], sei_connection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Run a DAG of the folder from its start to its end, waiting for exports by the hundredth of a second."""
    assert sei_connection == "sei_default"
    monkeypatch.setattr("airflow_provider_sei.protocol.waiting._SHORTEST_PAUSE", 0.02)
    monkeypatch.setattr("airflow_provider_sei.protocol.waiting._GROWTH", 0.0)
    # A run of this kind swallows SIGTERM; with the handler left in place, the tests could not be stopped any more.
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def start(dag_id: str, **conf: Any) -> Any:
        return dags[dag_id].test(run_conf={"destination": f"{tmp_path}/", **conf})

    return start


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
        assert {dag_id for dag_id in dags if dag_id.startswith("sei_")} == {*EXAMPLES, "sei_list_exports"}

    @pytest.mark.parametrize(("dag_id", "task_id"), EXAMPLES.items())
    def test_it_delivers_what_the_server_made(
        self, run: Any, sei_server: Any, tmp_path: Path, *, dag_id: str, task_id: str
    ) -> None:
        """With nothing but its params changed."""
        dag_run = run(dag_id, team_id="456")
        assert dag_run.state == "success"
        [result] = results(dag_run, task_id)
        [file] = tmp_path.iterdir()
        [record] = sei_server.legacy_reports if "legacy" in dag_id else sei_server.exports
        assert file.read_bytes() == record.csv
        assert (result["sha256"], result["rows"]) == (record.csv_sha256, record.rows)
        assert set(result) == {
            *("uri", "bytes", "rows", "sha256", "export_id", "family", "reused", "created_at", "completed_at")
        }

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

    for dag_id in (*EXAMPLES, *FAN_OUTS):
        restored = DagSerialization.from_dict(DagSerialization.to_dict(dags[dag_id]))
        assert set(restored.task_ids) == set(dags[dag_id].task_ids)
