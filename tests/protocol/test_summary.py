"""What became of many teams' exports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_sei.operators.teams import (
    _LONGEST_NAME,
    MOST_NAMED,
    OUTCOMES,
    TeamExport,
    failure,
    news,
    overwritten,
    summary,
)


def export(map_index: int = 0, state: str | None = "success", rows: Any = 3, **changes: Any) -> TeamExport:
    """Return one team's export; of team 10, 11, ..."""
    result = {"rows": rows, "bytes": 40} if state == "success" else None
    facts = {"team_id": str(10 + map_index), "name": f"Team {map_index}", "result": result, **changes}
    return TeamExport(map_index=map_index, state=state, **facts)


MIXED = [
    export(0),
    export(1, rows=0),
    export(2, "failed"),
    export(3, "skipped"),
    export(4, result=None),
    export(5, "upstream_failed"),
    export(6, rows=7),
]


class TestOutcome:
    """How one team's export ended."""

    @pytest.mark.parametrize(
        ("state", "result", "outcome"),
        [
            ("success", {"rows": 1, "bytes": 9}, "delivered"),
            ("success", {"rows": 0, "bytes": 9}, "empty"),
            ("success", None, "unknown"),
            ("success", {}, "unknown"),
            ("success", {"rows": "1"}, "unknown"),
            ("success", {"rows": True}, "unknown"),
            ("skipped", None, "skipped"),
            ("failed", None, "failed"),
            ("failed", {"rows": 1, "bytes": 9}, "failed"),
            ("upstream_failed", None, "failed"),
            ("up_for_retry", None, "failed"),
            ("running", None, "failed"),
            (None, None, "failed"),
        ],
    )
    def test_nothing_is_delivered_that_no_result_tells_of(
        self, state: str | None, result: dict[str, Any] | None, outcome: str
    ) -> None:
        """And whatever is not known to have ended well has failed."""
        assert TeamExport(map_index=0, state=state, result=result).outcome == outcome


class TestSummary:
    """The dict."""

    def test_it_counts_sums_and_names(self) -> None:
        """Each team under exactly one outcome."""
        told = summary(MIXED)
        assert told["counts"] == {"teams": 7, "delivered": 2, "empty": 1, "failed": 2, "skipped": 1, "unknown": 1}
        assert (told["rows"], told["bytes"], told["problem"]) == (10, 120, None)
        assert told["delivered"][1] == {"team_id": "16", "name": "Team 6", "map_index": 6, "rows": 7, "bytes": 40}
        assert told["empty"] == [{"team_id": "11", "name": "Team 1", "map_index": 1}]
        assert [(team["team_id"], team["state"]) for team in told["failed"]] == [
            ("12", "failed"),
            ("15", "upstream_failed"),
        ]
        assert sum(len(told[outcome]) for outcome in OUTCOMES) == 7
        assert json.loads(json.dumps(told)) == told

    def test_its_size_is_bounded(self) -> None:
        """Many teams with long names: the counts stay true."""
        told = summary([export(index, name="x" * 5000) for index in range(MOST_NAMED + 500)])
        assert told["counts"]["delivered"] == MOST_NAMED + 500
        assert len(told["delivered"]) == MOST_NAMED
        assert len(json.dumps(told)) < 250_000

    def test_none_at_all_has_its_reason(self) -> None:
        """Zeros would look like a quiet night."""
        told = summary([], "the list failed")
        assert told["problem"] == "the list failed"
        assert set(told["counts"].values()) == {0}


class TestNews:
    """The log."""

    def test_the_totals_come_first_then_a_line_for_each_that_needs_one(self) -> None:
        """A delivered team needs none."""
        assert list(news(MIXED, "g.export")) == [
            ("delivered", "7 teams: 2 delivered, 1 empty, 2 failed, 1 skipped, 1 unknown; 10 rows, 120 bytes"),
            ("failed", "failed: Team 2 (12) - see the log of g.export, map index 2"),
            ("failed", "failed: Team 5 (15) - is upstream_failed: see the log of g.export, map index 5"),
            ("empty", "empty: Team 1 (11)"),
            ("skipped", "skipped: Team 3 (13)"),
            ("unknown", "unknown: Team 4 (14) - g.export, map index 4 succeeded without a result"),
        ]

    def test_that_none_has_failed_is_said(self) -> None:
        """Outcomes without a team are left out, but for this one."""
        assert [line for _, line in news([export(rows=1234567)], "x")] == [
            "1 teams: 1 delivered, 0 failed; 1,234,567 rows, 40 bytes"
        ]

    @pytest.mark.parametrize(
        ("team_id", "name", "title"),
        [
            ("9", "Search", "Search (9)"),
            ("9", None, "team 9"),
            ("9", "9", "team 9"),
            (None, None, "map index 4"),
            ("9", "A\nERROR b\t c", "A ERROR b c (9)"),
            ("9", "x" * 200, f"{'x' * 99}… (9)"),
        ],
    )
    def test_a_team_is_told_on_one_line(self, team_id: str | None, name: str | None, title: str) -> None:
        """Whatever its name holds."""
        assert TeamExport(map_index=4, state=None, team_id=team_id, name=name).title == title


class TestFailure:
    """The error."""

    def test_it_names_those_that_failed(self) -> None:
        """And what to do."""
        assert failure(MIXED, "g.export") == (
            "2 of 7 teams not exported: Team 2 (12), Team 5 (15). Read why in the logs of g.export; clear its failed "
            "tasks, with those downstream, to export these teams again"
        )

    def test_it_does_not_grow_without_end(self) -> None:
        """A whole organisation can fail at once."""
        words = failure([export(index, "failed") for index in range(500)], "x") or ""
        assert "Team 19 (29) and 480 more. Read" in words
        assert "Team 20 " not in words

    def test_without_failures_there_is_none(self) -> None:
        """Empty and skipped teams are no failures, nor is what a user has marked."""
        assert failure([export(0, rows=0), export(1, "skipped"), export(2, result=None)], "x") is None

    def test_exactly_as_many_as_fit_are_all_there_are(self) -> None:
        """Nobody is counted as left out."""
        words = failure([export(index, "failed") for index in range(20)], "x") or ""
        assert "Team 19 (29)" in words
        assert " more" not in words


class TestOverwritten:
    """Files that took each other's place."""

    def test_teams_of_one_object_are_named(self) -> None:
        """All of them say that they are delivered."""
        results = [{"uri": uri, "rows": 3, "bytes": 40} for uri in ("s3://l/a", "s3://l/b", "s3://l/a")]
        words = overwritten([export(index, result=result) for index, result in enumerate(results)])
        assert words is not None
        assert words.startswith("2 teams were delivered to one object, s3://l/a, and only one of them can be there: Te")
        assert "Team 0 (10), Team 2 (12). Let destination" in words

    def test_one_team_may_be_exported_twice(self) -> None:
        """Nothing is lost by it."""
        twice = [export(index, result={"uri": "s3://l/a", "rows": 3}, team_id="10") for index in range(2)]
        assert overwritten(twice) is None

    def test_what_is_not_known_is_not_accused(self) -> None:
        """Failed exports have no object, and a result may be anybody's."""
        assert overwritten([*MIXED, export(7, result={"uri": None}), export(8, result={"uri": None})]) is None

    def test_teams_that_are_not_known_are_told_apart(self) -> None:
        """By their map indexes."""
        results = [export(index, result={"uri": "s3://l/a", "rows": 3}, team_id=None) for index in range(2)]
        assert "map index 0, map index 1" in str(overwritten(results))


def test_a_task_that_has_not_begun_is_said_to_be_so() -> None:
    """A team of a run that was ended early."""
    lines = [line for outcome, line in news([export(0, None)], "x") if outcome == "failed"]
    assert lines == ["failed: Team 0 (10) - is not begun: see the log of x, map index 0"]


@pytest.mark.parametrize(("length", "shown"), [(_LONGEST_NAME, "n" * _LONGEST_NAME), (_LONGEST_NAME + 1, "…")])
def test_a_name_of_any_length_is_a_line(length: int, shown: str) -> None:
    """Cut behind the longest."""
    [_, (_, line)] = list(news([export(0, "failed", name="n" * length)], "x"))
    assert shown in line
    assert ("…" in line) is (length > _LONGEST_NAME)
