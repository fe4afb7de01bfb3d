"""Coordinates: everything within the picture, nothing over anything else, and each team looks like itself alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from datetime import date

import pytest
from dora_report.charts import MOST_LINES, Chart, chart, figure, style_of, symbol
from dora_report.figures import Series
from dora_report.metrics import METRICS
from hypothesis import given, settings
from hypothesis import strategies as st

LEAD_TIME, DEPLOYMENTS, FAILURE_RATE, RESTORE = METRICS
AMOUNTS = st.one_of(st.none(), st.floats(0, 1e9), st.just(0.0), st.floats(0, 1e-6))


def drawn(
    *rows: Sequence[float | None],
    width: int = 640,
    labelled: bool = True,
    metric: object = LEAD_TIME,
    unit: str = "days",
) -> Chart:
    """Return the chart of teams with these values, from January 2024 on."""
    months = [date(2024 + at // 12, at % 12 + 1, 1) for at in range(len(rows[0]))]
    medians = [next((row[at] for row in rows if row[at] is not None), None) for at in range(len(months))]
    series = Series(metric=metric, column="x", unit=unit, values=rows, medians=medians)
    return chart(series, [f"Team {at}" for at in range(len(rows))], months, width=width, labelled=labelled)


def points(path: str) -> list[tuple[float, float]]:
    """Return the points of a line's path."""
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.e-]+) ([\d.e-]+)", path)]


class TestLines:
    """The lines of ``chart``."""

    def test_a_month_without_a_value_interrupts_the_line(self) -> None:
        """It is not bridged; a value between two gaps is a dot."""
        [line] = drawn([1, 2, None, 3, None, 4, 5]).lines
        assert [len(points(part)) for part in re.findall("M[^M]+", line.path)] == [2, 1, 2]
        assert line.path.count("h0") == 3
        assert len(line.markers) == 5

    def test_more_is_higher_and_later_is_further_right(self) -> None:
        """Zero is the floor."""
        [line] = drawn([0, 5, 10]).lines
        (x0, y0), (x1, y1), (x2, y2) = points(line.path)
        assert (x0 < x1 < x2, y0 > y1 > y2) == (True, True)
        assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)

    @settings(deadline=None)
    @given(
        teams=st.integers(1, 15),
        months=st.integers(1, 30),
        width=st.sampled_from([340, 640]),
        labelled=st.booleans(),
        data=st.data(),
    )
    def test_everything_lies_in_the_picture(
        self, teams: int, months: int, width: int, *, labelled: bool, data: st.DataObject
    ) -> None:
        """For any number of teams and months and any amounts; and no two names of teams or months overlap."""
        amounts = data.draw(st.lists(AMOUNTS, min_size=3, max_size=40))
        rows = [[amounts[(team * months + at) % len(amounts)] for at in range(months)] for team in range(teams)]
        rows[0][0] = 1.0
        picture = drawn(*rows, width=width, labelled=labelled)
        for line in picture.lines:
            for x, y in points(line.path):
                assert picture.left <= x <= picture.right
                assert 0 < y < picture.height
        labels = sorted(line.label.y for line in picture.lines if line.label)
        assert all(lower - upper > 14.9 for upper, lower in itertools.pairwise(labels))
        assert all(5 < y < picture.height for y in labels)
        names = [x for x, _ in picture.months]
        assert all(right - left > 54 for left, right in itertools.pairwise(names))
        assert all(20 < x < width - 20 for x in names)

    def test_a_marker_tells_team_month_and_value(self) -> None:
        """For whoever rests on it."""
        [line] = drawn([1234.56, 0.5]).lines
        assert [marker.title for marker in line.markers] == [
            "Team 0, Jan 2024: 1,235 days",
            "Team 0, Feb 2024: 0.50 days",
        ]

    def test_a_long_name_is_cut_in_the_picture_alone(self) -> None:
        """The line keeps the whole one."""
        series = Series(metric=LEAD_TIME, column="x", unit="days", values=[[1]], medians=[1])
        [line] = chart(series, ["N" * 5000], [date(2024, 1, 1)], width=640, labelled=True).lines
        assert line.label is not None
        assert (len(line.label.text), line.label.text[-1], len(line.name)) == (22, "…", 5000)


class TestTeams:
    """How teams are told apart."""

    def test_no_two_teams_look_the_same(self) -> None:
        """Neither in full nor to somebody who sees no colours among those that share a line's form."""
        looks = [(style_of(at), symbol(at, 0, 0)) for at in range(MOST_LINES)]
        assert len(set(looks)) == MOST_LINES
        assert len({symbol(at, 0, 0) for at in range(4)}) == 4

    def test_a_team_looks_the_same_in_every_chart(self) -> None:
        """Whether it has data there or not."""
        one, other = drawn([1], [2], [3]), drawn([None], [2], [None])
        assert [line.style for line in one.lines] == [line.style for line in other.lines]

    def test_a_crowd_is_grey_but_for_the_median(self) -> None:
        """One line more than can be told apart; the median comes last, over the others."""
        assert {line.style for line in drawn(*[[1]] * MOST_LINES).lines}.isdisjoint({"faint", "median"})
        *teams, median = drawn(*[[1, 2]] * (MOST_LINES + 1)).lines
        assert {(line.style, len(line.markers), line.label) for line in teams} == {("faint", 0, None)}
        assert (median.style, median.number, median.name) == ("median", None, "Median of 13 teams")


class TestScale:
    """The grid."""

    @pytest.mark.parametrize(
        ("highest", "texts"),
        [
            (0, ["0", "1"]),
            (4, ["0", "1", "2", "3", "4"]),
            (41, ["0", "10", "20", "30", "40", "50"]),
            (0.3, ["0", "0.1", "0.2", "0.3"]),
            (12000, ["0", "2,500", "5,000", "7,500", "10,000", "12,500"]),
        ],
    )
    def test_its_values_are_round(self, highest: float, texts: list[str]) -> None:
        """And reach from zero over the highest."""
        assert [text for _, text in drawn([highest]).values] == texts

    def test_the_newest_month_has_its_name(self) -> None:
        """However few have one."""
        assert drawn([1] * 24, width=340, labelled=False).months[-1][1] == "Dec 2025"

    def test_the_elite_threshold_is_drawn_where_it_fits(self) -> None:
        """In the unit of the figures, within the scale, and never where the unit is unknown."""
        assert drawn([10]).elite is not None
        assert drawn([0.5]).elite is None
        assert drawn([10], metric=DEPLOYMENTS, unit="deployments per month").elite is None
        assert drawn([20], metric=RESTORE, unit="").elite is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.04, "0.04"), (3, "3"), (3.14159, "3.1"), (99.96, "100.0"), (1234.5, "1,234"), (1e300, "1.00e+300")],
)
def test_figures_have_as_many_digits_as_tell_something(value: float, text: str) -> None:
    """A cell of a thousand digits would burst the page."""
    assert figure(value) == text
