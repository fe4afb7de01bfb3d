"""The group that exports many teams, run by Airflow against the local SEI server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup
from tests.test_dags_examples import results

EXPORT = {
    "family": "ba",
    "date_start": "2024-01-01",
    "date_end": "2024-01-31",
    "destination": "/x/",
}


def states(dag_run: Any, task_id: str) -> dict[int, str]:
    """Return the states of the task's instances, by map index."""
    return {each.map_index: str(each.state) for each in dag_run.get_task_instances() if each.task_id == task_id}


class TestRun:
    """List, export each, tell."""

    def test_every_team_is_delivered_and_counted(self, run: Any, sei_server: Any, tmp_path: Path) -> None:
        """The sums are those of the files; a team without developers is empty, and that is no failure."""
        dag_run = run("team_exports")
        assert dag_run.state == "success"
        leaves = list(sei_server.organisation.trees_by_name["Engineering"].root.leaves())
        [ids] = results(dag_run, "developers.list_teams")
        [told] = results(dag_run, "developers.summary")
        assert ids == [str(team.ref_id) for team in leaves]
        assert told["counts"] == {"teams": 7, "delivered": 6, "empty": 1, "failed": 0, "skipped": 0, "unknown": 0}
        assert told["rows"] == sum(record.rows for record in sei_server.exports) > 0
        assert told["bytes"] == sum(file.stat().st_size for file in tmp_path.iterdir()) > 0
        assert [team["team_id"] for team in told["empty"]] == [str(leaves[-1].ref_id)]
        assert [(team["team_id"], team["name"], team["map_index"]) for team in told["delivered"]] == [
            (str(team.ref_id), team.name, index) for index, team in enumerate(leaves[:-1])
        ]

    def test_the_grid_shows_the_teams_names(self, run: Any, sei_server: Any) -> None:
        """With the id, for two teams may have one name."""
        dag_run = run("team_exports")
        leaves = sei_server.organisation.trees_by_name["Engineering"].root.leaves()
        shown = [
            each.rendered_map_index
            for each in sorted(dag_run.get_task_instances(), key=lambda each: each.map_index)
            if each.task_id == "developers.export"
        ]
        assert shown == [f"{team.name} ({team.ref_id})" for team in leaves]

    def test_one_failed_team_neither_stops_nor_is_hidden_by_the_others(
        self, run: Any, sei_server: Any, tmp_path: Path, task_log: Any
    ) -> None:
        """The run is red, the others are delivered, and the summary is told before it fails."""
        sei_server.faults.add("create", "outcome", status="failed", error="Out of memory", nth=2)
        dag_run = run("team_exports")
        assert dag_run.state == "failed"
        assert len(list(tmp_path.iterdir())) == 6
        [lost] = [record.request["scope"]["teamId"] for record in sei_server.exports if not record.downloads]
        name = sei_server.organisation.teams[lost].name
        [told] = results(dag_run, "developers.summary")
        assert (told["counts"]["failed"], told["counts"]["teams"]) == (1, 7)
        [failed] = told["failed"]
        assert (failed["team_id"], failed["name"], failed["state"]) == (lost, name, "failed")
        assert f"1 of 7 teams not exported: {name} ({lost})" in task_log.text
        assert states(dag_run, "developers.summary") == {-1: "failed"}, "though it has a retry left"

    def test_it_can_tell_without_failing(self, run: Any, sei_server: Any) -> None:
        """Where the run's colour is somebody else's task."""
        sei_server.faults.add("create", "outcome", status="failed", error="Out of memory", nth=2)
        dag_run = run("team_exports", fail=False)
        assert dag_run.state == "success"
        assert results(dag_run, "developers.summary")[0]["counts"]["failed"] == 1

    def test_a_failed_list_is_named_as_the_cause(self, run: Any, sei_server: Any, task_log: Any) -> None:
        """No export is started, and even a lenient summary fails."""
        dag_run = run("team_exports", include="Plattform", fail=False)
        assert dag_run.state == "failed"
        assert sei_server.exports == []
        [told] = results(dag_run, "developers.summary")
        assert told["counts"]["teams"] == 0
        assert told["problem"] == (
            "no team was exported: developers.export is upstream_failed, because developers.list_teams is failed; "
            "see its log"
        )
        assert "'Plattform' matches none of 7 teams: did you mean 'Platform'?" in task_log.text

    def test_patterns_choose_the_teams(self, run: Any) -> None:
        """Lists come through templates, too."""
        dag_run = run("team_exports", include=["P*", "*/ labs"], exclude="platform")
        [told] = results(dag_run, "developers.summary")
        assert [team["name"] for team in told["delivered"]] == ["R&D / Labs"]

    def test_given_teams_need_no_list(self, run: Any, sei_server: Any) -> None:
        """They are told by their ids, which may be numbers."""
        dag_run = run("given_team_exports")
        assert dag_run.state == "success"
        [told] = results(dag_run, "given.summary")
        assert [team["team_id"] for team in told["delivered"]] == ["456", "789"]
        assert {request.operation for request in sei_server.requests} == {"create", "status", "download"}

    @pytest.mark.parametrize(
        ("task_id", "words"), [("summary", "export is not mapped"), ("astray", "no task exprot in this run")]
    )
    def test_a_summary_of_something_else_says_so(self, run: Any, sei_server: Any, *, task_id: str, words: str) -> None:
        """It does not report nothing as a success."""
        assert sei_server.exports == []
        dag_run = run("unmapped_summary")
        assert states(dag_run, task_id) == {-1: "failed"}
        assert words in results(dag_run, task_id)[0]["problem"]


class TestDeclaration:
    """What a DAG file gets."""

    def group(self, **arguments: Any) -> SEITeamExportsTaskGroup:
        """Declare a group in a DAG with default arguments."""
        with DAG("d", schedule=None, default_args={"sei_conn_id": "sei_eu", "retries": 3}):
            return SEITeamExportsTaskGroup(**{"group_id": "g", "org_tree_name": "Engineering", **EXPORT, **arguments})

    def test_it_is_list_export_summary(self) -> None:
        """In this order, under the group's id."""
        group = self.group()
        assert [task.task_id for task in group] == ["g.list_teams", "g.export", "g.summary"]
        assert group.exports.upstream_task_ids == {"g.list_teams"}
        assert group.summary.upstream_task_ids == {"g.export"}
        assert group.summary.trigger_rule == "all_done"
        assert isinstance(group.exports.unmap({"team_id": "1"}), SEIExportOperator)

    def test_default_arguments_reach_every_task(self) -> None:
        """The DAG's, then the group's, then what is given."""
        group = self.group(default_args={"retries": 5, "create_jitter": 7}, pool="sei", org_identifier="o")
        assert (group.list_teams.sei_conn_id, group.list_teams.retries, group.summary.retries) == ("sei_eu", 5, 5)
        export = group.exports.unmap({"team_id": "1"})
        assert (export.sei_conn_id, export.retries, export.create_jitter) == ("sei_eu", 5, 7)
        assert (export.pool, export.org_identifier) == ("sei", "o")
        assert (group.list_teams.pool, group.list_teams.org_identifier) == ("default_pool", "o")

    def test_it_is_gentle_unless_told_otherwise(self) -> None:
        """Sixteen at once, created within half a minute."""
        exports = self.group().exports
        assert exports.max_active_tis_per_dagrun == 16
        assert exports.unmap({"team_id": "1"}).create_jitter == 30
        assert self.group(max_parallel=None).exports.max_active_tis_per_dagrun is None
        assert self.group(create_jitter=0).exports.unmap({"team_id": "1"}).create_jitter == 0

    def test_a_dag_can_have_one_for_each_family(self) -> None:
        """Their tasks keep apart."""
        with DAG("d", schedule=None) as dag:
            for family in ("ba", "ticket-data"):
                SEITeamExportsTaskGroup(family, **{**EXPORT, "family": family})
        assert len(dag.task_ids) == 6

    def test_it_can_be_wired_like_any_group(self) -> None:
        """What comes after it waits for the summary; the results are there for tasks to come."""
        with DAG("d", schedule=None) as dag:
            first, last = SEITeamExportsTaskGroup("a", **EXPORT), SEITeamExportsTaskGroup("b", **EXPORT)
            first >> last
        assert dag.get_task("b.list_teams").upstream_task_ids == {"a.summary"}
        assert first.exports.output.operator.task_id == "a.export"

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"granularity": "weekley"}, "did you mean 'WEEKLY'"),
            ({"family": "bah"}, "did you mean 'ba'"),
            ({"destination": " "}, "destination ' ' is one object, and each team would take the place"),
            ({"destination": "s3://lake/teams.csv"}, "is one object, and each team would take the place"),
            ({"team_ids": ["1", 2, "1"], "org_tree_name": None}, "team_ids has '1' twice"),
            ({"include": 7}, "include must be a list of names"),
            ({"fail_on_failed_teams": "perhaps"}, "fail_on_failed_teams must be true or false"),
            ({"team_ids": ["1"]}, "org_tree_name is for listing teams, but team_ids gives them already"),
            ({"team_ids": [], "org_tree_name": None}, "team_ids is empty"),
            ({"max_parallel": 0}, "max_parallel must be"),
        ],
    )
    def test_a_wrong_constant_breaks_the_import(self, changes: dict[str, Any], words: str) -> None:
        """Though Airflow looks at a mapped task's arguments only when it runs."""
        with pytest.raises(exceptions.SEIArgumentError, match=words):
            self.group(**changes)

    def test_the_check_leaves_no_dag_behind(self, dags: dict[str, Any]) -> None:
        """It makes one, but Airflow does not find it in the file."""
        assert {dag_id for dag_id, dag in dags.items() if dag.fileloc.endswith("/team_exports.py")} == {
            *("team_exports", "given_team_exports", "unmapped_summary")
        }

    def test_an_unknown_argument_is_a_mistake(self) -> None:
        """Airflow names it."""
        with pytest.raises(TypeError, match="granularty"):
            self.group(granularty="weekly")

    def test_what_a_run_decides_is_let_pass(self) -> None:
        """Templates, and what other tasks return."""
        with DAG("d", schedule=None):
            day = SEIExportOperator(task_id="day", team_id="1", **EXPORT).output
            given = {**EXPORT, "date_start": day, "granularity": "{{ x }}"}
            group = SEITeamExportsTaskGroup("g", team_ids=day, **given)
        assert group.exports.upstream_task_ids == {"day"}
        assert group.summary.upstream_task_ids == {"day", "g.export"}
