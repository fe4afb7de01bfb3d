"""``SEIExportSummaryOperator``, with Airflow's words for how tasks ended."""

from __future__ import annotations

from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIExportSummaryOperator

TEAMS = [{"team_id": "10", "name": "Ten"}, {"team_id": "11", "name": "Eleven"}, {"team_id": "12", "name": "Twelve"}]
RESULT = {"rows": 3, "bytes": 40}


class State(StrEnum):
    """As Airflow 2 has them."""

    SUCCESS = "success"
    FAILED = "failed"
    REMOVED = "removed"


class TaskInstance:
    """The summary's own task instance on Airflow 3: it answers for states and XComs."""

    dag_id, run_id = "d", "r"

    def __init__(self, states: dict[str, str | None], xcoms: dict[Any, Any]) -> None:
        self.states, self.xcoms, self.pushed = states, xcoms, {}

    def get_task_states(self, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, dict[str, Any]]:
        """Return the states as Airflow's API does: keys with the map index behind, nothing for a run without any."""
        assert (dag_id, run_ids) == ("d", ["r"])
        [task_id] = task_ids
        rest = {key: key.removeprefix(task_id) for key in self.states}
        found = {key: self.states[key] for key in rest if not rest[key] or rest[key].lstrip("_").isdigit()}
        return {"r": found} if found else {}

    def xcom_pull(self, task_ids: str, key: str = "return_value", map_indexes: int | None = None) -> Any:
        """Return what was pushed."""
        return self.xcoms.get((task_ids, key, map_indexes))

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep it."""
        self.pushed[key] = value


def instance(states: dict[str, str | None], teams: Any = TEAMS) -> TaskInstance:
    """Return the summary's task instance, with a result for each export that succeeded."""
    xcoms: dict[Any, Any] = {("teams", "teams", None): teams}
    xcoms |= {("export", "return_value", index): RESULT for index in range(3) if states.get(f"export_{index}")}
    return TaskInstance(states, xcoms)


def told(ti: Any, **arguments: Any) -> dict[str, Any]:
    """Return the summary of the exports ``export``, mapped over the list of ``teams``."""
    given = {"export_task_id": "export", "list_task_id": "teams", **arguments}
    return SEIExportSummaryOperator(task_id="summary", **given).execute({"ti": ti})


class TestTeams:
    """Which team a map index is."""

    def test_they_are_those_of_the_list(self) -> None:
        """In its order; another task's instances are none of them."""
        states = {"export_0": "success", "export_1": "skipped", "export_2": "success", "teams": "success"}
        found = told(instance(states))
        assert [team["name"] for team in found["delivered"]] == ["Ten", "Twelve"]
        assert [team["name"] for team in found["skipped"]] == ["Eleven"]

    @pytest.mark.parametrize("given", [[10, "11"], "['10', '11']", "10,11"])
    def test_given_ones_are_told_by_id(self, given: Any) -> None:
        """As written, or as a template renders them."""
        found = told(instance({"export_0": "success", "export_1": "success"}), list_task_id=None, team_ids=given)
        assert [team["team_id"] for team in found["delivered"]] == ["10", "11"]

    def test_unknown_ones_are_told_by_index(self) -> None:
        """Their failure is no less told."""
        with pytest.raises(exceptions.SEITeamExportsError, match=r"1 of 2 teams not exported: map index 1\. "):
            told(instance({"export_0": "success", "export_1": "failed"}), list_task_id=None)

    def test_what_an_earlier_longer_list_has_left_does_not_count(self) -> None:
        """Airflow calls such instances removed."""
        assert told(instance({"export_0": "success", "export_1": "removed"}))["counts"]["teams"] == 1


class TestFailure:
    """When it fails."""

    def test_everything_is_told_before(self, task_log: Any) -> None:
        """A retry of the summary would find the same, so there is none."""
        ti = instance({"export_0": "success", "export_1": "failed"})
        with pytest.raises(exceptions.SEITeamExportsError, match=r"Eleven \(11\)") as caught:
            told(ti)
        assert isinstance(caught.value, AirflowFailException)
        assert ti.pushed["return_value"]["counts"]["delivered"] == 1
        assert "2 teams: 1 delivered, 1 failed; 3 rows, 40 bytes" in task_log.text
        assert "failed: Eleven (11) - see the log of export, map index 1" in task_log.text

    def test_it_can_be_lenient(self) -> None:
        """The text of a template says so, too."""
        for word in (False, "False", "false"):
            found = told(instance({"export_0": "success", "export_1": "failed"}), fail_on_failed_teams=word)
            assert found["counts"]["failed"] == 1

    @pytest.mark.parametrize(
        ("states", "words"),
        [
            ({"export": "upstream_failed", "teams": "failed"}, "export is upstream_failed, because teams is failed;"),
            ({"export": "failed", "teams": "success"}, "no team was exported: export is failed$"),
            ({"export": None, "teams": None}, "export is not begun, because teams is not begun"),
            ({"export": "upstream_failed"}, "because teams is missing"),
            ({"export": "success"}, "export is not mapped"),
            ({}, "there is no task export in this run"),
        ],
    )
    def test_exports_that_never_started_fail_it_in_any_case(self, states: dict[str, Any], words: str) -> None:
        """With the cause; no team would look like no trouble."""
        ti = instance(states, teams=None)
        with pytest.raises(exceptions.SEITeamExportsError, match=words):
            told(ti, fail_on_failed_teams=False)
        assert ti.pushed["return_value"]["problem"]

    def test_files_that_took_each_others_place_fail_it_in_any_case(self) -> None:
        """Beside the teams that failed, if these do."""
        ti = instance({"export_0": "success", "export_1": "success", "export_2": "failed"})
        ti.xcoms |= {("export", "return_value", index): {"uri": "s3://l/a", "rows": 3} for index in range(2)}
        with pytest.raises(exceptions.SEITeamExportsError, match="2 teams were delivered to one object, s3://l/a"):
            told(ti, fail_on_failed_teams=False)
        assert ti.pushed["return_value"]["problem"].endswith("and leave use_server_name out")
        with pytest.raises(exceptions.SEITeamExportsError, match=r"use_server_name out; 1 of 3 teams not exported"):
            told(ti)

    def test_a_skipped_fan_out_is_no_failure(self, task_log: Any) -> None:
        """But it is said."""
        found = told(instance({"export": "skipped", "teams": "success"}, teams=[]))
        assert found["problem"] == "no team was exported: export is skipped"
        text = task_log.text
        assert found["problem"] in text
        assert "0 teams" not in text


def test_airflow_2_is_asked_through_the_run() -> None:
    """Its task instance has no states to give."""
    rows = [("export", 0, State.SUCCESS), ("export", 1, "failed"), ("export", 2, State.REMOVED), ("export_1", -1, None)]
    run = SimpleNamespace(
        get_task_instances=lambda: [
            SimpleNamespace(task_id=task_id, map_index=index, state=state) for task_id, index, state in rows
        ]
    )
    xcoms = {"teams": TEAMS}
    ti = SimpleNamespace(xcom_pull=lambda **asked: xcoms.get(asked.get("key", ""), RESULT))
    operator = SEIExportSummaryOperator(
        task_id="summary", export_task_id="export", list_task_id="teams", fail_on_failed_teams=False
    )
    found = operator.execute({"ti": ti, "dag_run": run})
    assert (found["counts"]["delivered"], found["counts"]["failed"], found["counts"]["teams"]) == (1, 1, 2)
