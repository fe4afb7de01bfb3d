"""``SEIListTeamsOperator`` and ``SEIExportSummaryOperator``."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, Asset, AssetAlias

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIExportSummaryOperator, SEIListTeamsOperator
from airflow_provider_sei.operators.teams import OUTCOMES
from tests.test_assets import Events

List = Callable[..., tuple[list[str], list[dict[str, Any]]]]


@pytest.fixture
def listed(sei_connection: str, worker_clock: Any) -> List:
    """Run the operator; return its result and the XCom with the names."""
    assert worker_clock.pauses == []

    def run(**arguments: Any) -> tuple[list[str], list[dict[str, Any]]]:
        pushed: dict[str, Any] = {}
        ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
        result = SEIListTeamsOperator(task_id="t", sei_conn_id=sei_connection, **arguments).execute({"ti": ti})
        return result, pushed["teams"]

    return run


class TestList:
    """``SEIListTeamsOperator``."""

    def test_ids_and_names_have_one_order(self, listed: List, sei_server: Any) -> None:
        """The server's, and so do the indexes of a mapped task. Without a tree it lists all teams."""
        ids, teams = listed(org_tree_name="Engineering")
        leaves = list(sei_server.organisation.trees_by_name["Engineering"].root.leaves())
        assert ids == [str(team.ref_id) for team in leaves]
        assert teams == [
            {"team_id": str(team.ref_id), "name": team.name, "org_tree_name": "Engineering"} for team in leaves
        ]
        everything = listed()
        assert {team["org_tree_name"] for team in everything[1]} == {"Engineering", "Support"}
        assert listed(org_tree_name="") == everything, "a template may render to it"

    def test_patterns_select_teams(self, listed: List, task_log: Any) -> None:
        """One or a list, by name or id; a comma is part of the name. An excluded team may have been deleted."""
        assert listed(include=["tier ?", "456"])[0] == ["456", *listed(org_tree_name="Support")[0]]
        assert listed(include='Search, "Ranking" & Feeds')[0] == ["123"]
        assert len(listed(org_tree_name="Engineering", exclude="['Platform', '123', 'Gone*']")[0]) == 5
        assert "exclude pattern 'Gone*' matches none of 7 teams" in task_log.text

    @pytest.mark.sei_server(leaf_teams=120)
    def test_it_pauses_between_pages(self, listed: List, worker_clock: Any, sei_server: Any) -> None:
        """As the vendor asks."""
        listed(org_tree_name="Engineering")
        assert len(sei_server.requests) == 3
        assert worker_clock.pauses == [0.2, 0.2]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"include": "Plattform"}, "include pattern 'Plattform' matches none of 7 teams: did you mean 'Platform'"),
            ({"include": ["P*", "Zoo*"]}, r"pattern 'Zoo\*' matches none of 7 teams: 'Platform', 'Search, "),
            ({"exclude": "*"}, r"no team is left: exclude \['\*'\] matches all of 'Platform', "),
            ({"org_tree_name": "Enginering"}, "tree called 'Enginering': did you mean 'Engineering'"),
            ({"org_tree_name": "Zoo"}, "no leaf team in an organisation tree called 'Zoo': check the spelling"),
            ({"org_tree_name": None}, "SEI lists no leaf team: the API key may not"),
        ],
    )
    def test_no_team_is_a_permanent_error(self, listed: List, sei_server: Any, arguments: Any, words: str) -> None:
        """A retry would find the same."""
        if arguments == {"org_tree_name": None}:
            sei_server.faults.add("search_teams", "answer", status=200, body={"items": []}, times=None)
        with pytest.raises(exceptions.SEIArgumentError, match=words):
            listed(**{"org_tree_name": "Engineering", **arguments})

    def test_a_server_error_is_not_an_empty_list(self, listed: List, sei_server: Any) -> None:
        """It can be retried."""
        sei_server.faults.add("search_teams", "answer", status=503, times=None)
        with pytest.raises(exceptions.SEIServerError):
            listed()

    def test_more_teams_than_airflow_maps_over_are_an_error(self, listed: List, monkeypatch: Any) -> None:
        """With advice; exactly as many are accepted."""
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "7")
        assert len(listed(org_tree_name="Engineering")[0]) == 7
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "6")
        words = "7 teams are more than the 6 that Airflow maps over: .*AIRFLOW__CORE__MAX_MAP_LENGTH"
        with pytest.raises(exceptions.SEIArgumentError, match=words):
            listed(org_tree_name="Engineering")


TEAMS = [{"team_id": str(10 + index), "name": f"Team {index}"} for index in range(7)]
RESULT = {"uri": None, "rows": 3, "bytes": 40}
WORDS = ("success", "success", "failed", "skipped", "success", "upstream_failed", "success")
MIXED = {f"export_{index}": word for index, word in enumerate(WORDS)}
MIXED_RESULTS = [RESULT, RESULT | {"rows": 0}, None, None, None, None, RESULT | {"rows": 7}]


class TaskInstance:
    """The summary's task instance on Airflow 3: it returns states and XComs."""

    dag_id, run_id = "d", "r"

    def __init__(self, states: dict[str, str | None], results: Any, teams: Any) -> None:
        self.states, self.results, self.teams, self.pushed = states, results, teams, {}

    def get_task_states(self, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, dict[str, Any]]:
        """Return the states as Airflow's API does: keys end with the map index; nothing for a run without any."""
        assert (dag_id, run_ids) == ("d", ["r"])
        [task_id] = task_ids
        rest = {key: key.removeprefix(task_id) for key in self.states}
        found = {key: self.states[key] for key in rest if not rest[key] or rest[key].lstrip("_").isdigit()}
        return {"r": found} if found else {}

    def xcom_pull(self, task_ids: str, key: str = "return_value", map_indexes: int | None = None) -> Any:
        """Return an XCom."""
        if key == "teams":
            return self.teams if task_ids == "teams" else None
        return self.results[map_indexes]

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep an XCom."""
        self.pushed[key] = value


def instance(states: dict[str, str | None], results: Any = None, teams: Any = TEAMS) -> TaskInstance:
    """Return the summary's task instance; by default, each export that succeeded has a result."""
    return TaskInstance(states, [RESULT] * len(states) if results is None else results, teams)


def summary(ti: Any, events: Any = None, dag_run: Any = None, **arguments: Any) -> dict[str, Any]:
    """Return the summary of the task ``export``, mapped over the result of ``teams``."""
    given = {"export_task_id": "export", "list_task_id": "teams", **arguments}
    context: Any = {"ti": ti, "outlet_events": events, "dag_run": dag_run}
    return SEIExportSummaryOperator(task_id="summary", **given).execute(context)


class TestSummary:
    """The result and the log."""

    def test_each_team_has_one_outcome(self, task_log: Any) -> None:
        """As JSON, with counts and sums; the log has the totals, failed teams first. Then failed teams fail it."""
        ti = instance(MIXED, MIXED_RESULTS)
        found = summary(ti, fail_on_failed_teams=False)
        assert found["counts"] == {"teams": 7, "delivered": 2, "empty": 1, "failed": 2, "skipped": 1, "unknown": 1}
        assert (found["rows"], found["bytes"], found["problem"]) == (10, 120, None)
        assert found["delivered"][1] == {"team_id": "16", "name": "Team 6", "map_index": 6, "rows": 7, "bytes": 40}
        assert found["empty"] == [{"team_id": "11", "name": "Team 1", "map_index": 1}]
        states = [(one["team_id"], one["state"]) for one in found["failed"]]
        assert states == [("12", "failed"), ("15", "upstream_failed")]
        assert sum(len(found[outcome]) for outcome in OUTCOMES) == 7
        assert json.loads(json.dumps(found)) == found
        lines = [
            "7 exports: 2 delivered, 1 empty, 2 failed, 1 skipped, 1 unknown; 10 rows, 120 bytes",
            "failed: Team 2 (12) - see the log of export, map index 2",
            "failed: Team 5 (15) - is upstream_failed: see the log of export, map index 5",
            "empty: Team 1 (11)",
            "skipped: Team 3 (13)",
            "unknown: Team 4 (14) - export, map index 4 succeeded without a result",
        ]
        assert task_log.messages[-6:] == lines
        with pytest.raises(exceptions.SEITeamExportsError, match=r"2 of 7 .*: Team 2 \(12\), Team 5 \(15\)") as caught:
            summary(ti)
        assert "clear its failed tasks, with those downstream" in str(caught.value)
        assert not caught.value.retryable
        assert (ti.pushed["return_value"], task_log.messages[-6:]) == (found, lines)

    @pytest.mark.parametrize(
        ("state", "result", "outcome"),
        [
            ("success", {"rows": 1, "bytes": 9}, "delivered"),
            ("success", {"rows": 0, "bytes": 9}, "empty"),
            ("success", None, "unknown"),
            ("success", {}, "unknown"),
            ("success", "text", "unknown"),
            ("success", {"rows": "1"}, "unknown"),
            ("success", {"rows": True}, "unknown"),
            ("skipped", None, "skipped"),
            ("failed", {"rows": 1, "bytes": 9}, "failed"),
            ("upstream_failed", None, "failed"),
            ("up_for_retry", None, "failed"),
            ("running", None, "failed"),
            (None, None, "failed"),
        ],
    )
    def test_a_team_counts_as_delivered_only_with_a_result(self, state: str | None, result: Any, outcome: str) -> None:
        """Every state but success and skipped has failed; only that fails the summary: users may mark a success."""
        found = summary(instance({"export_0": state}, [result]), fail_on_failed_teams=outcome != "failed")
        assert found["counts"][outcome] == 1

    def test_the_log_says_that_none_has_failed(self, task_log: Any) -> None:
        """Other outcomes without a team are omitted; so are instances of an earlier, longer list, and other tasks."""
        states = {"export_0": "success", "export_1": "removed", "exporter_1": "failed", "teams": "success"}
        assert summary(instance(states, [RESULT | {"rows": 1234567}]))["counts"]["teams"] == 1
        assert "1 export: 1 delivered, 0 failed; 1,234,567 rows, 40 bytes" in task_log.messages

    def test_its_size_is_limited(self) -> None:
        """Even with many teams with long names; the counts are complete."""
        teams = [{"team_id": str(index), "name": "x" * 5000} for index in range(1500)]
        found = summary(instance({f"export_{index}": "success" for index in range(1500)}, teams=teams))
        assert found["counts"]["delivered"] == 1500
        assert len(found["delivered"]) == 1024
        assert len(json.dumps(found)) < 250_000

    @pytest.mark.parametrize(
        ("team", "title"),
        [
            ({"team_id": "9", "name": "Search"}, "Search (9)"),
            ({"team_id": "9"}, "team 9"),
            ({"team_id": "9", "name": "9"}, "team 9"),
            ({}, "map index 0"),
            ({"team_id": "9", "name": "A\nERROR b\t c"}, "A ERROR b c (9)"),
            ({"team_id": "9", "name": "x" * 100}, f"{'x' * 100} (9)"),
            ({"team_id": "9", "name": "x" * 101}, f"{'x' * 99}… (9)"),
        ],
    )
    def test_a_team_is_named_on_one_line(self, task_log: Any, team: dict[str, str], title: str) -> None:
        """Whatever its name contains."""
        summary(instance({"export_0": "skipped"}, teams=[team]))
        assert f"skipped: {title}" in task_log.messages

    @pytest.mark.parametrize("given", [[10, "10", 11], (10, 10, 11), "['10', '10', '11']", "[10, 10, 11]", "10,10, 11"])
    def test_given_teams_are_named_by_id(self, given: Any) -> None:
        """As written, or as a template renders them; a team that is given twice has two map indexes."""
        ti = instance(dict.fromkeys(("export_0", "export_1", "export_2"), "success"))
        found = summary(ti, list_task_id=None, team_ids=given)
        assert [team["team_id"] for team in found["delivered"]] == ["10", "10", "11"]
        with pytest.raises(exceptions.SEIArgumentError, match="team_ids must be a list of names, not int"):
            summary(ti, list_task_id=None, team_ids=10)


class TestFailure:
    """When the summary fails."""

    @pytest.mark.parametrize(("failed", "more"), [(20, ""), (500, " and 480 more")])
    def test_the_error_names_at_most_twenty_teams(self, failed: int, more: str) -> None:
        """Teams of unknown names are named by their map index."""
        with pytest.raises(exceptions.SEITeamExportsError, match=rf"map index 19{more}\. See") as caught:
            summary(instance({f"export_{index}": "failed" for index in range(failed)}, teams=None))
        assert "map index 20" not in str(caught.value)

    @pytest.mark.parametrize(
        ("states", "words"),
        [
            ({"export": "upstream_failed", "teams": "failed"}, "export is upstream_failed, because teams is failed;"),
            ({"export": "failed", "teams": "success"}, "no team was exported: export is failed$"),
            ({"export": None, "teams": None}, "export is not started, because teams is not started"),
            ({"export": "upstream_failed"}, "because teams is missing"),
            ({"export": "success"}, "export is not mapped"),
            ({}, "there is no task export in this run"),
        ],
    )
    def test_exports_that_never_started_always_fail_it(self, states: dict[str, Any], words: str) -> None:
        """With the cause: zeros would look like a success."""
        ti = instance(states, teams=None)
        with pytest.raises(exceptions.SEITeamExportsError, match=words):
            summary(ti, fail_on_failed_teams=False)
        assert ti.pushed["return_value"]["problem"]
        assert set(ti.pushed["return_value"]["counts"].values()) == {0}

    @pytest.mark.parametrize(("teams", "titles"), [(TEAMS, r"Team 0 \(10\), Team 2 \(12\)"), (None, "map index 0")])
    def test_files_that_replaced_each_other_always_fail_it(self, teams: Any, titles: str) -> None:
        """Beside failed teams, if there are any."""
        states = {"export_0": "success", "export_1": "success", "export_2": "success", "export_3": "failed"}
        results = [RESULT | {"uri": uri} for uri in ("s3://l/a", "s3://l/b", "s3://l/a", None)]
        ti = instance(states, results, teams)
        words = f"2 teams were delivered to one object, s3://l/a, .*{titles}"
        with pytest.raises(exceptions.SEITeamExportsError, match=words):
            summary(ti, fail_on_failed_teams=False)
        assert "{team_id}" in ti.pushed["return_value"]["problem"]
        with pytest.raises(exceptions.SEITeamExportsError, match=rf"{words}.*; 1 of 4 exports failed"):
            summary(ti)

    def test_one_team_exported_twice_loses_nothing(self) -> None:
        """Its files replace each other."""
        states = {"export_0": "success", "export_1": "success"}
        found = summary(instance(states, [RESULT | {"uri": "s3://l/a"}] * 2, teams=[TEAMS[0]] * 2))
        assert found["problem"] is None

    def test_exports_of_one_team_are_numbered(self, task_log: Any) -> None:
        """As those of several periods."""
        summary(instance({"export_0": "skipped", "export_1": "skipped"}, teams=TEAMS[:1]))
        assert "skipped: Team 0 (10), 2 of 2" in task_log.messages

    def test_a_skipped_group_is_not_a_failure(self, task_log: Any) -> None:
        """The log says so."""
        found = summary(instance({"export": "skipped", "teams": "success"}, teams=[]))
        assert found["problem"] == "no team was exported: export is skipped"
        text = task_log.text
        assert (found["problem"] in text, "0 exports" in text) == (True, False)


SAME = {"bytes": 9, "sha256": "ab", "family": "ba", "date_start": "2024-01-01"}
FILES: list[Any] = [{"uri": f"s3://l/{index}.csv", "rows": index, **SAME} for index in range(2)]


class TestOutlets:
    """The asset event of all teams."""

    def test_it_has_period_counts_and_files(self) -> None:
        """Once for all teams; those without rows have a file, too. An alias gets each file as an asset."""
        events, whole, alias = Events(), Asset("whole"), AssetAlias("files")
        ti = instance({"export_0": "success", "export_1": "success"}, FILES)
        summary(ti, events, outlets=[whole, alias], asset_partitions="2024-01")
        extra = events[whole].extra
        assert events[whole].partitions == ["2024-01"]
        assert (extra["family"], extra["date_start"], extra["rows"], extra["bytes"]) == ("ba", "2024-01-01", 1, 18)
        assert (extra["counts"]["delivered"], extra["counts"]["empty"]) == (1, 1)
        assert extra["files"] == [{"team_id": str(10 + index), **FILES[index]} for index in (0, 1)]
        assert [asset.uri for asset, _ in events[alias].added] == [file["uri"] for file in extra["files"]]
        added = [(one["team_id"], one["rows"], "files" in one) for _, one in events[alias].added]
        assert added == [("10", 0, False), ("11", 1, False)]

    @pytest.mark.parametrize(
        "states", [{"export_0": "success", "export_1": "failed"}, {"export_0": "skipped"}, {"export": "skipped"}]
    )
    def test_there_is_none_if_a_team_has_failed_or_none_is_delivered(self, states: dict[str, str]) -> None:
        """Airflow emits it for every success, so the task is skipped; its result is kept."""
        ti, events = instance(states, FILES), Events()
        with pytest.raises(AirflowSkipException, match="no asset event"):
            summary(ti, events, list_task_id=None, fail_on_failed_teams=False, outlets=[Asset("whole")])
        assert ti.pushed["return_value"]["counts"]
        assert not events


class State(StrEnum):
    """As Airflow 2 has them."""

    SUCCESS = "success"
    REMOVED = "removed"


def test_airflow_2_has_the_states_in_the_run() -> None:
    """Its task instance has no ``get_task_states``."""
    rows = [("export", 0, State.SUCCESS), ("export", 1, "failed"), ("export", 2, State.REMOVED), ("export_1", -1, None)]
    names = ("task_id", "map_index", "state")
    instances = [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in rows]
    ti = SimpleNamespace(xcom_pull=lambda **given: TEAMS if given.get("key") else RESULT)
    run = SimpleNamespace(get_task_instances=lambda: instances)
    found = summary(ti, dag_run=run, fail_on_failed_teams=False)
    assert (found["counts"]["delivered"], found["counts"]["failed"], found["counts"]["teams"]) == (1, 1, 2)
