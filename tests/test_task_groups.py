"""The task group that exports many teams."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.models.asset import AssetEvent, AssetModel
from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup
from tests.test_dags_examples import results

EXPORT = {"family": "ba", "date_start": "2024-01-01", "date_end": "2024-01-31", "destination": "/x/"}
TWO = ["Platform", "R&D / Labs"]
LAKE = Asset("s3://lake/sei")


def states(dag_run: Any, task_id: str, name: str = "state") -> dict[int, str]:
    """Return the states of the task's instances, or another attribute, by map index."""
    found = (each for each in dag_run.get_task_instances() if each.task_id == task_id)
    return {each.map_index: str(getattr(each, name)) for each in found}


def events(dag_run: Any, asset: str) -> list[dict[str, Any]]:
    """Return the extras of the asset's events that the run has emitted."""
    with create_session() as session:
        query = select(AssetEvent).join(AssetEvent.asset).where(AssetEvent.source_run_id == dag_run.run_id)
        found = session.scalars(query.where(AssetEvent.source_dag_id == dag_run.dag_id, AssetModel.name == asset))
        return [event.extra for event in found]


class TestRun:
    """Run by Airflow against the local SEI server."""

    @pytest.mark.sei_server(leaf_teams=4)
    def test_every_team_is_delivered_and_counted(self, run: Any, sei_server: Any, tmp_path: Path) -> None:
        """A team without rows is empty, which is no failure. The grid shows each team's name and id."""
        dag_run = run("team_exports")
        assert dag_run.state == "success"
        leaves = list(sei_server.organisation.trees_by_name["Engineering"].root.leaves())
        [ids] = results(dag_run, "developers.list_teams")
        [summary] = results(dag_run, "developers.summary")
        assert ids == [str(team.ref_id) for team in leaves]
        assert summary["counts"] == {"teams": 4, "delivered": 3, "empty": 1, "failed": 0, "skipped": 0, "unknown": 0}
        assert summary["rows"] == sum(record.rows for record in sei_server.exports) > 0
        assert summary["bytes"] == sum(file.stat().st_size for file in tmp_path.iterdir()) > 0
        assert [team["team_id"] for team in summary["empty"]] == [str(leaves[-1].ref_id)]
        assert [(team["team_id"], team["name"], team["map_index"]) for team in summary["delivered"]] == [
            (str(team.ref_id), team.name, index) for index, team in enumerate(leaves[:-1])
        ]
        shown = states(dag_run, "developers.export", "rendered_map_index")
        assert shown == {index: f"{team.name} ({team.ref_id})" for index, team in enumerate(leaves)}
        [whole] = events(dag_run, "all_teams")
        assert {file["uri"] for file in whole["files"]} == {f"file://{file}" for file in tmp_path.iterdir()}
        assert (whole["counts"], whole["date_end"]) == (summary["counts"], "2024-01-31")
        assert len(events(dag_run, "one_team")) == 4

    def test_a_failed_team_is_not_hidden(self, run: Any, sei_server: Any, tmp_path: Path, task_log: Any) -> None:
        """The others are delivered; the summary reports, then fails without a retry. Patterns are templates here."""
        sei_server.faults.add("create", "outcome", status="failed", error="Out of memory", nth=2)
        dag_run = run("team_exports", include=["P*", "*/ labs", "123"], exclude="platform")
        assert dag_run.state == "failed"
        assert len(list(tmp_path.iterdir())) == len(events(dag_run, "one_team")) == 1
        assert events(dag_run, "all_teams") == []
        [lost] = [record.request["scope"]["teamId"] for record in sei_server.exports if not record.downloads]
        name = sei_server.organisation.teams[lost].name
        [summary] = results(dag_run, "developers.summary")
        assert (summary["counts"]["failed"], summary["counts"]["teams"]) == (1, 2)
        [failed] = summary["failed"]
        assert (failed["team_id"], failed["name"], failed["state"]) == (lost, name, "failed")
        assert {failed["name"], summary["delivered"][0]["name"]} == {'Search, "Ranking" & Feeds', "R&D / Labs"}
        assert f"1 of 2 exports failed: {name} ({lost})" in task_log.text
        assert states(dag_run, "developers.summary") == {-1: "failed"}, "though it has a retry left"

    def test_several_periods_are_delivered_again_and_the_summary_says_which_were_rewritten(
        self, run: Any, sei_server: Any, tmp_path: Path, task_log: Any
    ) -> None:
        """The running week is in the folder of the whole week; a file that has not changed is left alone."""
        friday = {"logical_date": datetime(2024, 3, 15, 3, tzinfo=UTC)}
        first = run("several_periods", friday)
        summaries = results(first, "weeks.summary")
        shown = [each.rendered_map_index for each in first.get_task_instances() if each.task_id == "weeks.export"]
        weeks = [("2024-02-26", "2024-03-03"), ("2024-03-04", "2024-03-10"), ("2024-03-11", "2024-03-15")]
        teams = [team for team in sei_server.organisation.teams.values() if team.name in TWO]
        corrected = next(tmp_path.rglob(f"period=2024-W10/team={teams[0].ref_id}/*.csv"))
        corrected.write_bytes(corrected.read_bytes().replace(b"2024-03", b"2024-02"))
        unchanged = {path: path.stat().st_ino for path in tmp_path.rglob("*.csv") if path != corrected}
        summaries += results(run("several_periods", friday), "weeks.summary")
        assert {path: path.stat().st_ino for path in unchanged} == unchanged
        assert {path.parts[-3] for path in unchanged} == {"period=2024-W09", "period=2024-W10", "period=2024-W11"}
        for summary, written in zip(summaries, ([2, 2, 2], [0, 1, 0]), strict=True):
            assert [tuple(period.values()) for period in summary["periods"]] == [
                (*week, 2, number) for week, number in zip(weeks, written, strict=True)
            ]
            assert (summary["counts"]["teams"], summary["counts"]["delivered"] + summary["counts"]["empty"]) == (2, 6)
        assert "2024-03-04 to 2024-03-10: 1 of 2 files written" in task_log.text
        names = [f"{team.name} ({team.ref_id})" for team in teams]
        assert shown == [f"{period}{name}" for name in names for period in ("period +1: ", "", "period -1: ")]

    @pytest.mark.parametrize("fails", [True, False])
    def test_the_summary_need_not_fail(self, run: Any, sei_server: Any, fails: bool) -> None:  # noqa: FBT001 - a case
        """With ``fail_on_failed_teams=False``. Default arguments of other tasks do not break it, nor ``outlets``."""
        if fails:
            sei_server.faults.add("create", "outcome", status="failed", error="Out of memory", nth=2)
        dag_run = run("lenient_team_exports", include=TWO)
        assert dag_run.state == "success"
        # A summary without an event is skipped, and keeps its result; else it has none, as do_xcom_push wants.
        assert states(dag_run, "developers.summary") == {-1: "skipped" if fails else "success"}
        found, shown = events(dag_run, "everything"), results(dag_run, "developers.summary")
        [counts] = [each["counts"] for each in (*found, *shown) if each]
        assert (len(found), counts["teams"], counts["failed"]) == (not fails, 2, fails)
        assert len(events(dag_run, "one_team")) == 2 - fails

    def test_a_failed_list_always_fails_the_summary(self, run: Any, sei_server: Any, task_log: Any) -> None:
        """With the cause; no export is started."""
        dag_run = run("lenient_team_exports", include="Plattform")
        assert dag_run.state == "failed"
        assert sei_server.exports == []
        [summary] = results(dag_run, "developers.summary")
        assert summary["counts"]["teams"] == 0
        assert "export is upstream_failed, because developers.list_teams is failed" in summary["problem"]
        assert "'Plattform' matches none of 7 teams: did you mean 'Platform'?" in task_log.text

    def test_given_teams_are_not_listed_and_wrong_summaries_fail(self, run: Any, sei_server: Any) -> None:
        """Ids may be numbers. Nothing to summarize is not a success."""
        dag_run = run("other_summaries")
        assert states(dag_run, "given.summary") == {-1: "success"}
        [summary] = results(dag_run, "given.summary")
        assert [team["team_id"] for team in summary["delivered"]] == ["456", "789"]
        assert {request.operation for request in sei_server.requests} == {"create", "status", "download"}
        for task_id, words in (("summary", "export is not mapped"), ("mistyped", "no task exprot in this run")):
            assert states(dag_run, task_id) == {-1: "failed"}
            assert words in results(dag_run, task_id)[0]["problem"]


class TestDeclaration:
    """The group in a DAG file."""

    def group(self, **arguments: Any) -> SEITeamExportsTaskGroup:
        """Declare a group in a DAG with default arguments."""
        with DAG("d", schedule=None, default_args={"sei_conn_id": "sei_eu", "retries": 3}):
            return SEITeamExportsTaskGroup(**{"group_id": "g", "org_tree_name": "Engineering", **EXPORT, **arguments})

    def test_its_tasks_are_list_export_summary(self) -> None:
        """In this order, with the group's id as their prefix. A DAG can have several groups, and use the results."""
        group = self.group()
        assert [task.task_id for task in group] == ["g.list_teams", "g.export", "g.summary"]
        assert group.exports.upstream_task_ids == {"g.list_teams"}
        assert group.summary.upstream_task_ids == {"g.export"}
        assert isinstance(group.exports.unmap({"team_id": "1"}), SEIExportOperator)
        with DAG("d", schedule=None) as dag:
            first, last = SEITeamExportsTaskGroup("a", **EXPORT), SEITeamExportsTaskGroup("b", **EXPORT)
            first >> last
        assert len(dag.task_ids) == 6
        assert dag.get_task("b.list_teams").upstream_task_ids == {"a.summary"}
        assert first.exports.output.operator.task_id == "a.export"

    def test_default_arguments_apply_to_every_task(self) -> None:
        """The DAG's, then the group's, then the arguments. By default, the load is limited."""
        group = self.group(
            default_args={"retries": 5, "create_jitter": 7}, pool="sei", org_identifier="o", empty="skip"
        )
        assert (group.list_teams.sei_conn_id, group.list_teams.retries, group.summary.retries) == ("sei_eu", 5, 5)
        export = group.exports.unmap({"team_id": "1"})
        assert (export.sei_conn_id, export.retries, export.create_jitter, export.empty) == ("sei_eu", 5, 7, "skip")
        assert (export.pool, export.org_identifier) == ("sei", "o")
        assert (group.list_teams.pool, group.list_teams.org_identifier) == ("default_pool", "o")
        for changes, most, delay in (({}, 16, 30), ({"max_parallel": None, "create_jitter": 0}, None, 0)):
            exports = self.group(**changes).exports
            assert exports.max_active_tis_per_dagrun == most
            assert exports.unmap({"team_id": "1"}).create_jitter == delay

    def test_default_arguments_neither_break_nor_are_ignored(self) -> None:
        """What the group needs is set; everything else is as the DAG's author has written it."""
        needed = {"do_xcom_push": False, "multiple_outputs": True, "trigger_rule": "one_failed", "outlets": [LAKE]}
        kept = {"map_index_template": "mine", "max_active_tis_per_dagrun": 4, "depends_on_past": True, "pool": "sei"}
        group = self.group(default_args=needed | kept | {"org_tree_name": "Support"}, org_tree_name=None)
        tasks = (group.list_teams, group.exports.unmap({"team_id": "1"}), group.summary)
        assert [task.trigger_rule for task in tasks] == ["one_failed", "all_success", "all_done"]
        assert [task.do_xcom_push for task in tasks] == [True, True, False]
        assert [task.outlets for task in tasks] == [[], [], [LAKE]]
        assert [task.map_index_template for task in tasks] == [None, "mine", None]
        assert [task.max_active_tis_per_dagrun for task in tasks] == [4, 4, 4]
        assert {(task.depends_on_past, task.pool) for task in tasks} == {(True, "sei")}
        assert (group.list_teams.multiple_outputs, group.list_teams.org_tree_name) == (False, "Support")
        group = self.group(default_args=needed | kept, max_parallel=2, trigger_rule="always", do_xcom_push=False)
        export = group.exports.unmap({"team_id": "1"})
        assert (export.max_active_tis_per_dagrun, export.trigger_rule, export.do_xcom_push) == (2, "always", True)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"granularity": "weekley"}, "did you mean 'WEEKLY'"),
            ({"date_end": None}, "date_end is missing"),
            ({"destination": None}, "destination None is not a path or URL: give a folder"),
            ({"destination": "s3://lake/teams.csv"}, "is one object, which each instance of the mapped task would"),
            ({"destination": "s3://lake/{family}.csv"}, "is one object, which each instance of the mapped task would"),
            ({"destination": "s3://lake/teams"}, "is neither a folder nor a file"),
            ({"destination": "s3://lake/{tema_id}/"}, "did you mean 'team_id'"),
            ({"empty": "no"}, "empty 'no' is not one of"),
            ({"poll_interval": 0}, "poll_interval must be"),
            ({"deferrable": "perhaps"}, "deferrable must be true or false"),
            ({"verify_size": "{{ x }}"}, "verify_size must be true or false"),
            ({"reused_failed": "retyr"}, "did you mean 'retry'"),
            ({"create_jitter": "soon"}, "create_jitter must be"),
            ({"download_timeout": 0}, "download_timeout must be"),
            ({"team_ids": ["1", 2, "1"], "org_tree_name": None}, "team_ids has '1' twice"),
            ({"include": 7}, "include must be a list of names"),
            ({"fail_on_failed_teams": "{{ x }}"}, "fail_on_failed_teams must be true or false"),
            ({"team_ids": ["1"]}, "org_tree_name lists teams, but team_ids already gives them"),
            ({"team_ids": [], "org_tree_name": None}, "team_ids is empty"),
            ({"periods_ago": [0, 1, 1]}, "periods_ago must be whole numbers, each once"),
            ({"periods_ago": [-2, 0]}, "periods_ago must be a whole number from -1"),
            ({"periods_ago": "last three"}, "periods_ago must be a whole number"),
            ({"periods_ago": [0, 1], "destination": "/x/{team_id}.csv"}, "is one object, which each instance"),
            ({"max_parallel": 0}, "max_parallel must be"),
            ({"output": "parquet", "column_types": {"Team": "varchar"}}, "'varchar' is not one of text, integer"),
            ({"asset_partitions": [2024]}, "2024 is not text"),
        ],
    )
    def test_an_invalid_constant_is_an_import_error(self, changes: dict[str, Any], words: str) -> None:
        """Airflow itself checks a mapped task's arguments only when it runs."""
        with pytest.raises(exceptions.SEIArgumentError, match=words):
            self.group(**changes)

    def test_what_may_be_one_object_for_each_team_is_accepted(self) -> None:
        """A file with the team in its name, templates, and outputs of other tasks."""
        for destination in ("s3://lake/{team_id}.csv", "s3://lake/{team_id}/{fingerprint}.csv", "{{ var.value.lake }}"):
            self.group(destination=destination)
        with DAG("d", schedule=None):
            day = SEIExportOperator(task_id="day", team_id="1", **EXPORT).output
            given = {**EXPORT, "date_start": day, "granularity": "{{ x }}"}
            group = SEITeamExportsTaskGroup("g", team_ids=day, **given)
        assert group.exports.upstream_task_ids == {"day"}
        assert group.summary.upstream_task_ids == {"day", "g.export"}
