"""Calendar periods, and the period that a run stands for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.periods import (
    UNITS,
    Period,
    both_missing,
    last_full_period,
    period_label,
    period_of_key,
    run_period,
    split_period,
)

BERLIN = ZoneInfo("Europe/Berlin")


class TestSplitPeriod:
    """A long range, cut along the calendar."""

    def test_pieces_follow_the_calendar_and_the_ends_are_cut(self) -> None:
        """A range that begins and ends in mid-month gives two short pieces and whole months between."""
        assert split_period("2024-01-15", "2024-03-10") == [
            {"date_start": "2024-01-15", "date_end": "2024-01-31"},
            {"date_start": "2024-02-01", "date_end": "2024-02-29"},
            {"date_start": "2024-03-01", "date_end": "2024-03-10"},
        ]

    def test_quarters_begin_in_january_april_july_and_october(self) -> None:
        """Two years have eight quarters."""
        pieces = split_period("2023-01-01", "2024-12-31", by="quarter")
        assert len(pieces) == 8
        assert [piece["date_start"][5:] for piece in pieces] == ["01-01", "04-01", "07-01", "10-01"] * 2

    def test_weeks_begin_on_monday(self) -> None:
        """The first piece ends on the first Sunday."""
        assert split_period("2024-02-29", "2024-03-05", by="week")[0] == {
            "date_start": "2024-02-29",
            "date_end": "2024-03-03",
        }

    def test_the_last_day_of_the_calendar_ends_it(self) -> None:
        """There is no day behind it."""
        assert split_period("9999-12-30", "9999-12-31") == [{"date_start": "9999-12-30", "date_end": "9999-12-31"}]

    def test_an_unknown_unit_is_named(self) -> None:
        """A misspelt unit is refused with a guess."""
        with pytest.raises(SEIArgumentError, match=r"by 'monht' is not one of .*did you mean 'month'"):
            split_period("2024-01-01", "2024-12-31", by="monht")

    @given(
        start=st.dates(min_value=date(1990, 1, 1), max_value=date(2030, 1, 1)),
        days=st.integers(min_value=0, max_value=900),
        unit=st.sampled_from(UNITS),
    )
    def test_every_day_is_in_exactly_one_piece(self, start: date, days: int, unit: str) -> None:
        """Pieces touch without a gap, and together they are the range."""
        end = date.fromordinal(start.toordinal() + days)
        pieces = split_period(start, end, by=unit)
        covered = [
            day
            for piece in pieces
            for day in range(
                date.fromisoformat(piece["date_start"]).toordinal(),
                date.fromisoformat(piece["date_end"]).toordinal() + 1,
            )
        ]
        assert covered == list(range(start.toordinal(), end.toordinal() + 1))


class TestLastFullPeriod:
    """The period that has just ended."""

    @pytest.mark.parametrize(
        ("granularity", "before", "start", "end"),
        [
            ("monthly", date(2024, 3, 1), date(2024, 2, 1), date(2024, 2, 29)),
            ("MONTHLY", date(2024, 3, 31), date(2024, 2, 1), date(2024, 2, 29)),
            ("weekly", date(2024, 3, 4), date(2024, 2, 26), date(2024, 3, 3)),
            ("weekly", date(2024, 3, 10), date(2024, 2, 26), date(2024, 3, 3)),
            ("quarterly", date(2024, 1, 1), date(2023, 10, 1), date(2023, 12, 31)),
            ("daily", date(2024, 3, 1), date(2024, 2, 29), date(2024, 2, 29)),
            ("SPRINT", date(2024, 1, 20), date(2023, 12, 1), date(2023, 12, 31)),
            (None, date(2024, 1, 20), date(2023, 12, 1), date(2023, 12, 31)),
        ],
    )
    def test_it_has_ended_before_the_day(self, granularity: str | None, before: date, start: date, end: date) -> None:
        """The running period is never exported."""
        assert last_full_period(granularity, before) == Period(start, end)


class TestPeriodOfKey:
    """What a partition key names."""

    @pytest.mark.parametrize(
        ("key", "start", "end"),
        [
            ("2026-02", date(2026, 2, 1), date(2026, 2, 28)),
            ("2026-Q1", date(2026, 1, 1), date(2026, 3, 31)),
            ("2026q4", date(2026, 10, 1), date(2026, 12, 31)),
            ("2026-W01", date(2025, 12, 29), date(2026, 1, 4)),
            ("2026", date(2026, 1, 1), date(2026, 12, 31)),
            ("2026-01-15", date(2026, 1, 15), date(2026, 1, 15)),
            ("2026-01-05_2026-02-03", date(2026, 1, 5), date(2026, 2, 3)),
            ("2026-01-05/2026-02-03", date(2026, 1, 5), date(2026, 2, 3)),
        ],
    )
    def test_a_calendar_key_names_its_days(self, key: str, start: date, end: date) -> None:
        """Years, quarters, months, ISO weeks, days and pairs of days are understood."""
        assert period_of_key(key) == Period(start, end)

    @pytest.mark.parametrize("key", ["", "team", "2026-13", "2026-W60", "2026-02-30", "2026-02-03/2026-01-05", "a/b"])
    def test_any_other_key_names_none(self, key: str) -> None:
        """A key that is no period is left to the schedule."""
        assert period_of_key(key) is None


class TestRunPeriod:
    """The days that a run exports when none are given."""

    @staticmethod
    def _period(**given: Any) -> Period:
        arguments: dict[str, Any] = {
            "granularity": "monthly",
            "partition_key": None,
            "interval_start": None,
            "interval_end": None,
            "moment": datetime(2024, 3, 1, 3, tzinfo=UTC),
            "timezone": UTC,
        }
        return run_period(**arguments | given)[0]

    def test_the_interval_is_taken_with_its_end_made_inclusive(self) -> None:
        """An interval up to the first of a month ends on the last of the month before."""
        period = self._period(
            interval_start=datetime(2024, 2, 1, tzinfo=UTC), interval_end=datetime(2024, 3, 1, tzinfo=UTC)
        )
        assert period == Period(date(2024, 2, 1), date(2024, 2, 29))

    def test_an_empty_interval_is_no_period(self) -> None:
        """Airflow 3's cron schedules have an interval of no length: the last full month is exported instead."""
        moment = datetime(2024, 3, 1, 3, tzinfo=UTC)
        assert self._period(interval_start=moment, interval_end=moment) == Period(date(2024, 2, 1), date(2024, 2, 29))

    def test_days_begin_in_the_dags_timezone(self) -> None:
        """Midnight in Berlin is the evening before in UTC."""
        period = self._period(
            interval_start=datetime(2024, 1, 31, 23, tzinfo=UTC),
            interval_end=datetime(2024, 2, 29, 23, tzinfo=UTC),
            timezone=BERLIN,
        )
        assert period == Period(date(2024, 2, 1), date(2024, 2, 29))

    def test_a_partition_key_goes_first(self) -> None:
        """A partitioned run exports its partition, whenever it runs."""
        assert self._period(partition_key="2023-Q2") == Period(date(2023, 4, 1), date(2023, 6, 30))

    def test_a_partition_key_that_is_no_period_is_passed_over(self) -> None:
        """Partitions by team leave the period to the schedule."""
        assert self._period(partition_key="platform") == Period(date(2024, 2, 1), date(2024, 2, 29))

    def test_a_partition_key_that_is_a_moment_is_refused(self) -> None:
        """It does not tell how long its partition is; the message says what would."""
        with pytest.raises(SEIArgumentError, match="key_format"):
            self._period(partition_key="2026-01-15T00:00:00+00:00")

    @pytest.mark.parametrize(
        ("start", "end", "first", "last"),
        [
            (datetime(2024, 1, 1, 3, tzinfo=UTC), datetime(2024, 2, 1, 3, tzinfo=UTC), "2024-01-01", "2024-01-31"),
            (datetime(2024, 1, 1, 3, tzinfo=UTC), datetime(2024, 1, 2, 3, tzinfo=UTC), "2024-01-01", "2024-01-01"),
            (datetime(2024, 1, 1, 3, tzinfo=UTC), datetime(2024, 1, 1, 9, tzinfo=UTC), "2024-01-01", "2024-01-01"),
        ],
    )
    def test_an_interval_has_the_days_that_begin_in_it(
        self, start: datetime, end: datetime, first: str, last: str
    ) -> None:
        """Whatever the hour of the schedule; one within a day means that day."""
        found = self._period(interval_start=start, interval_end=end)
        assert found.arguments() == {"date_start": first, "date_end": last}


class TestPeriodLabel:
    """The shortest name of a period."""

    @pytest.mark.parametrize(
        ("start", "end", "label"),
        [
            ("2024-01-01", "2024-12-31", "2024"),
            ("2024-01-01", "2024-03-31", "2024-Q1"),
            ("2024-12-01", "2024-12-31", "2024-12"),
            ("2024-12-30", "2025-01-05", "2025-W01"),
            ("2024-02-29", "2024-02-29", "2024-02-29"),
            ("2024-01-03", "2024-02-05", "2024-01-03_2024-02-05"),
        ],
    )
    def test_it_names_the_unit_of_the_calendar(self, start: str, end: str, label: str) -> None:
        """And both days where the period is none."""
        assert period_label(Period(date.fromisoformat(start), date.fromisoformat(end))) == label

    @given(
        start=st.dates(min_value=date(1000, 1, 1), max_value=date(9000, 1, 1)),
        days=st.integers(min_value=0, max_value=800),
        unit=st.sampled_from(UNITS),
    )
    def test_it_is_read_back_as_the_very_period(self, start: date, days: int, unit: str) -> None:
        """So that a partition's folder and its key are one name: for any days, and for the units among them."""
        end = date.fromordinal(start.toordinal() + days)
        pieces = [Period(*map(date.fromisoformat, piece.values())) for piece in split_period(start, end, by=unit)]
        for period in (Period(start, end), *pieces):
            assert period_of_key(period_label(period)) == period


class TestBothMissing:
    """Whether a run's own period is meant."""

    @pytest.mark.parametrize(("start", "end"), [(None, None), ("", " "), (None, "")])
    def test_neither_day_means_the_runs_period(self, start: str | None, end: str | None) -> None:
        """A template that rendered to nothing counts as not given."""
        assert both_missing(start, end)

    def test_two_days_are_taken(self) -> None:
        """As they are."""
        assert not both_missing("2024-01-01", "2024-01-31")

    @pytest.mark.parametrize(("start", "end"), [("2024-01-01", None), (" ", "2024-01-31")])
    def test_one_day_alone_is_refused(self, start: str | None, end: str | None) -> None:
        """It would be a guess what the other is."""
        with pytest.raises(SEIArgumentError, match=r"give both days .* or neither"):
            both_missing(start, end)


class TestWords:
    """What is said of a period, and of a mistake."""

    RUN: dict[str, Any] = {  # noqa: RUF012 - a constant of the tests
        "granularity": "monthly",
        "partition_key": None,
        "interval_start": None,
        "interval_end": None,
        "moment": datetime(2024, 4, 1, 3, tzinfo=UTC),
        "timezone": UTC,
    }

    @pytest.mark.parametrize(
        ("changes", "period", "words"),
        [
            ({}, Period(date(2024, 3, 1), date(2024, 3, 31)), "the last full month before 2024-04-01"),
            (
                {"granularity": "quarterly"},
                Period(date(2024, 1, 1), date(2024, 3, 31)),
                "the last full quarter before 2024-04-01",
            ),
            (
                {"interval_start": datetime(2024, 3, 30, tzinfo=UTC), "interval_end": datetime(2024, 4, 1, tzinfo=UTC)},
                Period(date(2024, 3, 30), date(2024, 3, 31)),
                "the run's data interval",
            ),
            ({"partition_key": "2023-Q2"}, Period(date(2023, 4, 1), date(2023, 6, 30)), "the partition key '2023-Q2'"),
        ],
    )
    def test_a_run_says_what_its_period_is_from(self, changes: dict[str, Any], period: Period, words: str) -> None:
        """For the task's log."""
        assert run_period(**self.RUN | changes) == (period, words)

    def test_the_day_is_that_of_the_schedules_own_clock(self, in_tokyo: None) -> None:
        """Not the machine's."""
        assert in_tokyo is None
        late = datetime(2024, 3, 31, 20, tzinfo=UTC)
        assert run_period(**self.RUN | {"moment": late})[0] == Period(date(2024, 2, 1), date(2024, 2, 29))
        assert run_period(**self.RUN | {"moment": late, "timezone": ZoneInfo("Asia/Tokyo")})[0] == Period(
            date(2024, 3, 1), date(2024, 3, 31)
        )

    def test_a_moment_as_partition_key_is_answered_with_what_would_do(self) -> None:
        """And with the argument that would do, too."""
        with pytest.raises(SEIArgumentError) as caught:
            run_period(**self.RUN | {"partition_key": "2026-01-15T00:00:00"})
        assert str(caught.value) == (
            "the partition key '2026-01-15T00:00:00' is a moment and names no period: give the timetable a key_format"
            " such as '%Y-%m' or '%Y-%m-%d', or give date_start and date_end"
        )
        assert caught.value.field == "date_start"

    @pytest.mark.parametrize(
        ("start", "end", "field"), [("2024-01-01", "", "date_end"), (None, "2024-01-31", "date_start")]
    )
    def test_the_day_that_is_missing_is_named(self, start: str | None, end: str | None, field: str) -> None:
        """In words and as data."""
        with pytest.raises(SEIArgumentError, match=field) as caught:
            both_missing(start, end)
        assert caught.value.field == field

    def test_a_unit_that_is_none_is_answered_with_those_that_are(self) -> None:
        """All of them."""
        with pytest.raises(SEIArgumentError) as caught:
            split_period("2024-01-01", "2024-12-31", by="x")
        assert str(caught.value) == f"by 'x' is not one of {', '.join(UNITS)}"
        assert caught.value.field == "by"
