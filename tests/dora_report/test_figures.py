"""What the files say, and what becomes of files that say nothing or nonsense."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.dora_report.conftest import csv

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))


def values(figures: Any, key: str) -> list[list[float | None]]:
    """Return the values of a metric, by team and month."""
    [series] = [series for series in figures.series if series.metric.key == key]
    return [list(row) for row in series.values]


class TestRead:
    """``read``."""

    @pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
    def test_each_team_has_a_value_for_each_month(self, figures: Any, ending: str) -> None:
        """Or none; months that no file has are there too, and medians are those of the teams with a value."""
        found = figures(
            csv("B|2024-01-01|1.5,10,20,3", "B|2024-03-01|2.5,12,,4"), csv("a|2024-01-01|3.5,4,30,5"), ending=ending
        )
        assert (found.teams, found.months, found.rows) == (["a", "B"], [JANUARY, FEBRUARY, MARCH], 3)
        assert values(found, "lead_time") == [[3.5, None, None], [1.5, None, 2.5]]
        assert values(found, "deployments") == [[4, None, None], [10, None, 12]]
        assert values(found, "failure_rate") == [[30, None, None], [20, None, None]]
        assert [series.medians for series in found.series][::3] == [[2.5, None, 2.5], [4, None, 4]]
        assert [series.unit for series in found.series] == ["days", "deployments per month", "percent", "hours"]
        assert (found.missing, found.notes) == ([], [])

    @pytest.mark.parametrize(
        ("column", "key", "unit"),
        [
            ("LTTC", "lead_time", "days"),
            ("lttc_p90_days", "lead_time", "days"),
            ("LTTC_Median_Hours", "lead_time", "hours"),
            ("DEPLOYMENT_FREQUENCY", "deployments", "deployments per month"),
            ("DF_Deployment_Count", "deployments", "deployments per month"),
            ("CFR", "failure_rate", "percent"),
            ("MTTR", "restore", None),
            ("MTTR_Mean_Days", "restore", "days"),
        ],
    )
    def test_a_column_is_known_by_its_metric(self, figures: Any, column: str, key: str, unit: str | None) -> None:
        """With aggregation and unit in its name or without, in any case. A unit that nobody tells is not made up."""
        found = figures(csv("a|2024-01-01|7", columns=column))
        [series] = [series for series in found.series if series.has_data]
        assert (series.metric.key, series.column, series.unit) == (key, column, unit)

    @pytest.mark.parametrize("column", ["DF_Rating", "CFR_Rating", "LTTC_Trend", "OVERALL_RATING", "TOTAL_FAILURES"])
    def test_a_column_that_is_something_else_is_not_taken(self, figures: Any, column: str) -> None:
        """Though its name begins like a metric's."""
        assert not any(series.column for series in figures(csv("a|2024-01-01|7", columns=column)).series)

    def test_a_metric_without_a_column_has_no_data(self, figures: Any) -> None:
        """The others have theirs."""
        found = figures(csv("a|2024-01-01|7", columns="CFR_Percent"))
        assert [series.column for series in found.series] == [None, None, "CFR_Percent", None]
        assert [series.has_data for series in found.series] == [False, False, True, False]

    def test_units_are_never_mixed(self, figures: Any) -> None:
        """A file whose column has another name, as of another aggregation, does not count."""
        found = figures(
            csv("a|2024-01-01|7", columns="MTTR_Mean_Hours"), csv("b|2024-01-01|8", columns="MTTR_Mean_Days")
        )
        assert values(found, "restore") == [[7, None, None], [None, None, None]]

    @pytest.mark.parametrize(
        ("cell", "value", "notes"),
        [
            ('"1.5"', 1.5, []),
            (" 1.5 ", 1.5, []),
            ("", None, []),
            ('" "', None, []),
            ("n/a", None, ["Left out: 1 cell without a number that can be read"]),
            ("nan", None, ["Left out: 1 cell without a number that can be read"]),
            ("-inf", None, ["Left out: 1 cell without a number that can be read"]),
            ("12 %", None, ["Left out: 1 cell without a number that can be read"]),
        ],
    )
    def test_numbers_are_read_from_text(self, figures: Any, cell: str, value: float | None, notes: list[str]) -> None:
        """What is no number is counted, not guessed at."""
        found = figures(csv(f"a|2024-01-01|{cell}", columns="CFR_Percent"))
        assert values(found, "failure_rate") == [[value, None, None]]
        assert found.notes == notes

    def test_records_of_another_time_are_left_out_and_counted(self, figures: Any) -> None:
        """Or without one that can be read: they must not stretch the months without end."""
        days = ("2023-12-31", "9999-12-01", "soon", "2024-02-01")
        found = figures(csv(*(f"a|{day}|7" for day in days), columns="CFR"))
        assert (values(found, "failure_rate"), len(found.months)) == ([[None, 7, None]], 3)
        assert found.notes == ["Left out: 3 records without a day of the period"]

    def test_a_period_may_begin_within_a_month(self, figures: Any) -> None:
        """The record's day is then the period's first."""
        found = figures(csv("a|2024-01-15|7", columns="CFR"), end="2024-01-31")
        assert (found.months, values(found, "failure_rate"), found.notes) == ([JANUARY], [[7]], [])

    def test_a_month_that_comes_again_counts_once(self, figures: Any) -> None:
        """The first file's, as when a team was exported by itself and below its parent."""
        found = figures(csv("a|2024-01-01|7", columns="CFR"), csv("a|2024-01-01|8", "b|2024-01-01|9", columns="CFR"))
        assert values(found, "failure_rate") == [[7, None, None], [9, None, None]]
        assert found.notes == ["Left out: 1 record for a team and month that came before"]

    def test_two_teams_of_one_name_stay_two(self, figures: Any) -> None:
        """Told apart by where they are in the organisation."""
        content = csv("Core|2024-01-01|7", columns="CFR")
        found = figures(content, content.replace(b"Engineering >", b"Support >"))
        assert found.teams == ["Engineering > Core", "Support > Core"]

    def test_a_file_need_not_tell_the_hierarchy(self, figures: Any) -> None:
        """The team's name will do; names of columns are read in any case."""
        found = figures(b"team,start_date,cfr\na,2024-01-01,7\n")
        assert (found.teams, values(found, "failure_rate")) == (["a"], [[7, None, None]])

    @pytest.mark.parametrize("name", ["a'b", 'a"b', "a; DROP TABLE figures", "{{ 1 }}", "$1", "a\nb", "%s", "NULL"])
    def test_a_name_is_only_a_name(self, figures: Any, name: str) -> None:
        """Whatever it looks like to SQL, templates or CSV."""
        found = figures(csv(f"{name}|2024-01-01|7", columns="CFR"), rows=1)
        assert (found.teams, values(found, "failure_rate")) == ([name], [[7, None, None]])


class TestMissing:
    """What ``read`` tells of files without figures."""

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "no records"),
            (b"Team,Start_Date,CFR\n", "no records"),
            (b'Team,Start_Date,CFR\n"a\nb",2024-01-01,1\n', "reads as 1 records, 2 were delivered"),
            (b"<html>\n<body>x, y</body>\n", "cannot be read as CSV"),
            (b"Team,Start_Date,CFR\n\xff\xfe,2024-01-01,1\n", "cannot be read as CSV"),
            (b"Team,Start_Date,CFR\na,2024-01-01\n", "cannot be read as CSV"),
            (b"Squad,Start_Date,CFR\na,2024-01-01,1\n", "no column team"),
            (b"x\n1\n", "no column start_date and no team"),
        ],
    )
    def test_it_is_missing_and_the_others_are_not(self, figures: Any, content: bytes, reason: str) -> None:
        """With the reason."""
        found = figures(content, csv("a|2024-01-01|7", columns="CFR"))
        [lacking] = found.missing
        assert (found.teams, lacking.team) == (["a"], "Team 0")
        assert reason in lacking.reason

    def test_nothing_at_all_is_no_crash(self, figures: Any) -> None:
        """All series are there, without data."""
        found = figures(b"", lost=[0])
        assert (found.teams, found.rows, len(found.missing)) == ([], 0, 1)
        assert not any(series.has_data for series in found.series)
        assert [len(series.medians) for series in found.series] == [3, 3, 3, 3]
