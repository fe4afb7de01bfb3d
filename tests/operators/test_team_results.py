"""What ``SEIExportSummaryOperator`` reports of many teams: outcomes, totals, log lines and the error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_sei.exceptions import SEITeamExportsError
from airflow_provider_sei.operators.teams import OUTCOMES, SEIExportSummaryOperator

Team = tuple[str | None, Any]  # the state of its export, and what that returned
DELIVERED = {"rows": 3, "bytes": 40}


def summarize(
    exports: Sequence[Team], names: Sequence[str | None] | None = None, **arguments: Any
) -> tuple[dict[str, Any], str]:
    """Return the summary of exports of the teams 10, 11, ..., and the error message."""
    names = names or [f"Team {index}" for index in range(len(exports))]
    xcoms = {index: result for index, (_, result) in enumerate(exports)}
    xcoms[None] = [{"team_id": str(10 + index), "name": name} for index, name in enumerate(names)]
    states = {f"g.export_{index}": state for index, (state, _) in enumerate(exports)}
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="d",
        run_id="r",
        get_task_states=lambda **_: {"r": states},
        xcom_pull=lambda map_indexes=None, **_: xcoms.get(map_indexes),
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
    given = {"export_task_id": "g.export", "list_task_id": "teams"} | arguments
    try:
        return SEIExportSummaryOperator(task_id="summary", **given).execute({"ti": ti}), ""
    except SEITeamExportsError as error:
        return pushed["return_value"], str(error)


MIXED: list[Team] = [
    ("success", DELIVERED),
    ("success", {"rows": 0, "bytes": 40}),
    ("failed", None),
    ("skipped", None),
    ("success", None),
    ("upstream_failed", None),
    ("success", {"rows": 1_234_567, "bytes": 40}),
]


@pytest.mark.parametrize(
    ("state", "result", "outcome"),
    [
        ("success", {"rows": 1, "bytes": 9}, "delivered"),
        ("success", {"rows": 0, "bytes": 9}, "empty"),
        *(("success", result, "unknown") for result in (None, {}, {"rows": "1"}, {"rows": True}, "x")),
        ("skipped", None, "skipped"),
        *((state, DELIVERED, "failed") for state in ("failed", "upstream_failed", "up_for_retry", "running", None)),
    ],
)
def test_only_a_success_with_a_result_counts_as_delivered(state: str | None, result: Any, outcome: str) -> None:
    """What is not known to have succeeded has failed; a user may have marked a task as successful."""
    summary, _ = summarize([(state, result)])
    assert {name: summary["counts"][name] for name in OUTCOMES if summary["counts"][name]} == {outcome: 1}


def test_the_summary_counts_adds_up_and_lists_each_team_once() -> None:
    """It can be stored as JSON."""
    summary, _ = summarize(MIXED)
    assert summary["counts"] == {"teams": 7, "delivered": 2, "empty": 1, "failed": 2, "skipped": 1, "unknown": 1}
    assert (summary["rows"], summary["bytes"], summary["problem"]) == (1_234_570, 120, None)
    assert summary["delivered"][0] == {"team_id": "10", "name": "Team 0", "map_index": 0, **DELIVERED}
    assert summary["empty"] == [{"team_id": "11", "name": "Team 1", "map_index": 1}]
    assert [(team["team_id"], team["state"]) for team in summary["failed"]] == [
        ("12", "failed"),
        ("15", "upstream_failed"),
    ]
    assert sum(len(summary[outcome]) for outcome in OUTCOMES) == 7
    assert json.loads(json.dumps(summary)) == summary


def test_its_size_is_bounded() -> None:
    """However many teams there are, and however long their names; the counts are right."""
    summary, error = summarize([("success", DELIVERED)] * 1500 + [("failed", None)] * 500, ["x" * 5000] * 2000)
    assert (summary["counts"]["delivered"], len(summary["delivered"])) == (1500, 1024)
    assert len(json.dumps(summary)) < 400_000
    assert len(error) < 5000


def test_the_log_has_the_totals_and_a_line_for_each_team_without_rows(task_log: Any) -> None:
    """With the place of the failed task's log; a delivered team needs no line."""
    summarize([*MIXED, (None, None)])
    for words in (
        "8 teams: 2 delivered, 1 empty, 3 failed, 1 skipped, 1 unknown; 1,234,570 rows, 120 bytes",
        "failed: Team 2 (12) - see the log of g.export, map index 2",
        "failed: Team 5 (15) - is upstream_failed",
        "failed: Team 7 (17) - is not started",
        "empty: Team 1 (11)",
        "skipped: Team 3 (13)",
        "unknown: Team 4 (14)",
    ):
        assert words in task_log.text
    assert "Team 0" not in task_log.text


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Search", "Search (10)"),
        (None, "team 10"),
        ("10", "team 10"),
        ("A\nERROR b\t c", "A ERROR b c (10)"),
        ("x" * 100, f"{'x' * 100} (10)"),
        ("x" * 101, f"{'x' * 99}… (10)"),
    ],
)
def test_a_team_is_named_on_one_short_line(name: str | None, title: str) -> None:
    """In the error and in the log."""
    assert f"1 of 1 teams not exported: {title}." in summarize([("failed", None)], [name])[1]


@pytest.mark.parametrize(("failed", "end"), [(20, "Team 19 (29). "), (500, "Team 19 (29) and 480 more. ")])
def test_the_error_names_at_most_twenty_failed_teams(failed: int, end: str) -> None:
    """A whole organisation may fail."""
    _, error = summarize([("failed", None)] * failed)
    assert end in error
    assert "Team 20 " not in error


def test_teams_delivered_to_one_object_are_an_error() -> None:
    """All but one of their files are lost, though each task has succeeded."""
    results = [{"uri": f"s3://l/{name}", **DELIVERED} for name in "aba"]
    summary, error = summarize([("success", result) for result in results], fail_on_failed_teams=False)
    assert error == summary["problem"]
    for words in ("2 teams", "s3://l/a", "Team 0 (10), Team 2 (12)", "{team_id}"):
        assert words in error


@pytest.mark.parametrize(
    ("result", "arguments"),
    [({"uri": "s3://l/a", **DELIVERED}, {"team_ids": [10, 10]}), ({"uri": None, **DELIVERED}, {})],
)
def test_one_team_exported_twice_and_unknown_objects_are_not(result: Any, arguments: dict[str, Any]) -> None:
    """Nothing is lost by the first; a result without an object may be anything."""
    list_task_id = None if arguments else "teams"
    assert summarize([("success", result)] * 2, list_task_id=list_task_id, **arguments)[1] == ""
