"""Calendar periods, and the period of a DAG run, with Airflow's own timetables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    CronDataIntervalTimetable,
    CronPartitionTimetable,
    CronTriggerTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    MultipleCronTriggerTimetable,
)
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.serialization.serialized_objects import DagSerialization
from hypothesis import given
from hypothesis import strategies as st
from pendulum import datetime as at

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.periods import (
    UNITS,
    Period,
    period_from_key,
    period_label,
    run_dates,
    run_period,
    split_period,
)
from tests.protocol.strategies import ANYTHING
from tests.test_dags_examples import results

BERLIN = "Europe/Berlin"
NIGHT = "30 0 1 * *"  # in Berlin, which is the last evening of the month before in UTC
FEBRUARY = ("2024-02-01", "2024-02-29")
LAST_WEEK = ("2023-12-25", "2023-12-31")


def days(start: str, end: str) -> Period:
    """Return the period from one day to another."""
    return Period(date.fromisoformat(start), date.fromisoformat(end))


class TestSplitPeriod:
    """A long period, split along the calendar."""

    @pytest.mark.parametrize(
        ("start", "end", "by", "starts"),
        [
            ("2024-01-15", "2024-03-10", "month", ["2024-01-15", "2024-02-01", "2024-03-01"]),
            ("2023-12-31", "2024-06-30", "Quarter", ["2023-12-31", "2024-01-01", "2024-04-01"]),
            ("2024-02-29", "2024-03-05", "week", ["2024-02-29", "2024-03-04"]),
            ("2023-07-01", "2024-12-31", "year", ["2023-07-01", "2024-01-01"]),
            ("9999-12-30", "9999-12-31", "week", ["9999-12-30"]),
        ],
    )
    def test_parts_begin_with_the_units_of_the_calendar(self, start: str, end: str, by: str, starts: list[str]) -> None:
        """Weeks on Monday; the first and the last part may be shorter."""
        parts = split_period(start, end, by=by)
        assert [part["date_start"] for part in parts] == starts
        assert parts[-1]["date_end"] == end

    @ANYTHING
    @given(
        start=st.dates(min_value=date(1000, 1, 1), max_value=date(9000, 1, 1)),
        length=st.integers(min_value=0, max_value=400),
        unit=st.sampled_from(UNITS),
    )
    def test_every_day_is_in_one_part_and_every_label_is_read_back(self, start: date, length: int, unit: str) -> None:
        """So that a partition's folder and its key are the same."""
        end = start + timedelta(length)
        parts = [days(**{key[5:]: day for key, day in part.items()}) for part in split_period(start, end, by=unit)]
        assert (parts[0].start, parts[-1].end) == (start, end)
        for part, following in pairwise(parts):
            assert part.start <= part.end == following.start - timedelta(1)
        for period in (Period(start, end), *parts):
            assert period_from_key(period_label(period)) == period


class TestLabels:
    """Names of periods, and partition keys."""

    @pytest.mark.parametrize(
        ("label", "start", "end"),
        [
            ("2024", "2024-01-01", "2024-12-31"),
            ("2024-Q1", "2024-01-01", "2024-03-31"),
            ("2024-12", "2024-12-01", "2024-12-31"),
            ("2025-W01", "2024-12-30", "2025-01-05"),
            ("2024-02-29", "2024-02-29", "2024-02-29"),
            ("2024-01-03_2024-02-05", "2024-01-03", "2024-02-05"),
        ],
    )
    def test_a_unit_of_the_calendar_has_a_short_name(self, label: str, start: str, end: str) -> None:
        """Any other period has both days."""
        assert period_label(days(start, end)) == label

    @pytest.mark.parametrize(
        ("key", "label"),
        [
            *(("2026q4", "2026-Q4"), (" 2026W05 ", "2026-W05"), ("2026-01-05/2026-01-05", "2026-01-05")),
            *((key, None) for key in ("", "team", "2026-13", "2026-W60", "2026-02-30", "2026-02-03/2026-01-05", "a/b")),
        ],
    )
    def test_a_key_may_be_written_differently(self, key: str, label: str | None) -> None:
        """Without a dash, or with a slash. Any other key is no period: the schedule decides then."""
        found = period_from_key(key)
        assert (found and period_label(found)) == label


def on(month: int, day: int, hour: int = 3) -> dict[str, Any]:
    """Return when a run of 2024 begins."""
    return {"at": datetime(2024, month, day, hour, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("changes", "period", "reason"),
    [
        (on(3, 1), FEBRUARY, "the last full month before 2024-03-01"),
        ({**on(3, 31), "granularity": "MONTHLY"}, FEBRUARY, "month"),
        ({**on(3, 4), "granularity": "weekly"}, ("2024-02-26", "2024-03-03"), "the last full week"),
        ({**on(3, 10), "granularity": "weekly"}, ("2024-02-26", "2024-03-03"), "week"),
        ({**on(1, 1), "granularity": "quarterly"}, ("2023-10-01", "2023-12-31"), "the last full quarter"),
        ({**on(3, 1), "granularity": "daily"}, ("2024-02-29", "2024-02-29"), "day"),
        ({**on(1, 20), "granularity": "SPRINT"}, ("2023-12-01", "2023-12-31"), "month"),
        ({**on(1, 20), "granularity": None}, ("2023-12-01", "2023-12-31"), "month"),
        ({**on(3, 1), "partition_key": "2023-Q2"}, ("2023-04-01", "2023-06-30"), "partition key '2023-Q2'"),
        ({**on(3, 1), "partition_key": "platform"}, FEBRUARY, "the last full month"),
        (on(2, 29, 23), ("2024-01-01", "2024-01-31"), "before 2024-02-29"),
        ({**on(2, 29, 23), "timezone": ZoneInfo(BERLIN)}, FEBRUARY, "before 2024-03-01"),
    ],
)
def test_a_partition_key_goes_before_the_last_full_period(changes: Any, period: tuple[str, str], reason: str) -> None:
    """Unless it is no period; the current one is not exported. The reason is for the log."""
    run = {"granularity": "monthly", "timezone": UTC}
    run |= dict.fromkeys(("partition_key", "interval_start", "interval_end"))
    found, why = run_period(**run | changes)
    assert found == days(*period)
    assert reason in why


def context(dag: DAG, **run: Any) -> dict[str, Any]:
    """Return the context of a DAG's task; dates that the run does not have are no keys."""
    dag_run = {"run_after": None, "partition_key": None, **run}
    keys = ("logical_date", "data_interval_start", "data_interval_end")
    return {"dag": dag, "dag_run": SimpleNamespace(**dag_run), **{key: run[key] for key in keys if key in run}}


def scheduled(schedule: Any, start_date: datetime) -> Iterator[dict[str, Any]]:
    """Yield the contexts of the runs that Airflow's scheduler makes in the first half of 2024."""
    with DAG("d", schedule=schedule, start_date=start_date) as dag:
        pass
    known = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    for info in known.iter_dagrun_infos_between(at(2024, 1, 1), at(2024, 6, 30)):
        run = {"run_after": info.run_after, "partition_key": info.partition_key}
        if info.data_interval:
            run |= {"logical_date": info.logical_date, "data_interval_start": info.data_interval.start}
            run |= {"data_interval_end": info.data_interval.end}
        yield context(dag, **run)


def exported(run: dict[str, Any], granularity: str | None = "monthly") -> tuple[str, ...]:
    """Return the days that a task with this context exports."""
    return tuple(run_dates(run, granularity=granularity)[0].values())


class TestScheduledRuns:
    """Runs of the scheduler."""

    @pytest.mark.parametrize(
        ("schedule", "zone"),
        [
            ("0 3 1 * *", "UTC"),
            (NIGHT, BERLIN),
            (CronTriggerTimetable(NIGHT, timezone=BERLIN), "UTC"),
            (CronTriggerTimetable("0 3 2 * *", timezone="UTC", interval=timedelta()), "UTC"),
            (MultipleCronTriggerTimetable(NIGHT, timezone=BERLIN), "UTC"),
            (AssetOrTimeSchedule(timetable=CronTriggerTimetable(NIGHT, timezone=BERLIN), assets=[Asset("a")]), "UTC"),
            (CronDataIntervalTimetable("0 0 1 * *", timezone=BERLIN), "UTC"),
            (CronDataIntervalTimetable(NIGHT, timezone=BERLIN), "UTC"),
            (CronPartitionTimetable("0 3 1 * *", timezone="UTC", key_format="%Y-%m"), "UTC"),
        ],
        ids=lambda schedule: type(schedule).__name__ if not isinstance(schedule, str) else schedule,
    )
    def test_a_monthly_schedule_exports_each_month_once(self, schedule: Any, zone: str) -> None:
        """With each of Airflow's timetables."""
        periods = [exported(run) for run in scheduled(schedule, at(2024, 1, 1, tz=zone))]
        months = [tuple(part.values()) for part in split_period("2023-12-01", "2024-06-30")]
        first = months.index(periods[0])
        assert len(periods) >= 4
        assert periods == months[first : first + len(periods)]

    @pytest.mark.parametrize(
        ("schedule", "granularity", "period"),
        [
            (DeltaDataIntervalTimetable(timedelta(days=7)), "monthly", ("2024-01-01", "2024-01-07")),
            (CronTriggerTimetable("0 3 * * 1", timezone="UTC", interval=timedelta(7)), "monthly", LAST_WEEK),
            (CronDataIntervalTimetable("0 3 * * *", timezone="UTC"), "monthly", ("2024-01-01", "2024-01-01")),
            (CronDataIntervalTimetable("0 */6 * * *", timezone="UTC"), "monthly", ("2024-01-01", "2024-01-01")),
            # Those have no interval.
            ("0 3 * * 1", "weekly", LAST_WEEK),
            ("0 3 * * 1", None, ("2023-12-01", "2023-12-31")),
            (DeltaTriggerTimetable(timedelta(days=7)), "QUARTERLY", ("2023-10-01", "2023-12-31")),
        ],
    )
    def test_a_data_interval_decides(self, schedule: Any, granularity: Any, period: tuple[str, ...]) -> None:
        """Without the day that it ends on; one within a day is that day."""
        assert exported(next(scheduled(schedule, at(2024, 1, 1))), granularity) == period

    @pytest.mark.parametrize(
        ("interval", "granularity", "expected"),
        [
            (None, "monthly", {0: "2024-05", 1: "2024-04", 7: "2023-10", -1: "2024-06 until 2024-06-29"}),
            (None, "quarterly", {1: "2023-Q4", -1: "2024-Q2 until 2024-06-29"}),
            ((at(2024, 6, 17, 3), at(2024, 6, 24, 3)), None, {0: "2024-W25", 25: "2023-W52", -1: "2024-W26"}),
            ((at(2023, 1, 1), at(2024, 1, 1)), None, {1: "2022", -1: "2024 until 2024-06-29"}),
            ((at(2024, 6, 28), at(2024, 6, 29)), None, {1: "2024-06-27", -1: "2024-06-29"}),
            ((at(2024, 6, 9), at(2024, 6, 19)), None, {2: "2024-05-20_2024-05-29", -1: "2024-06-19_2024-06-28"}),
        ],
    )
    def test_other_periods_are_counted_from_the_runs_own(
        self, interval: tuple[datetime, datetime] | None, granularity: str | None, expected: dict[int, str]
    ) -> None:
        """By the same unit, or as many days; the one after it ends on the day of the run, but has its whole name."""
        start, end = interval or (None, None)
        run = context(DAG("d", schedule=None), logical_date=at(2024, 6, 29, 3))
        run |= {"data_interval_start": start, "data_interval_end": end}
        for periods_ago, words in expected.items():
            label, _, until = words.partition(" until ")
            whole = period_from_key(label)
            assert whole
            last = until or str(min(whole.end, date(2024, 6, 29)))
            days = {"date_start": str(whole.start), "date_end": last}
            assert run_dates(run, granularity=granularity, periods_ago=periods_ago) == (days, label)

    def test_what_is_no_period_of_the_run_is_refused_with_advice(self) -> None:
        """Airflow writes a time if a timetable has no key_format; that does not say how long the partition is."""
        march = context(DAG("d", schedule=None), run_after=at(2024, 3, 10), partition_key="2024-03")
        timed = next(scheduled(CronPartitionTimetable("0 3 1 * *", timezone="UTC"), at(2024, 1, 1)))
        given = {"date_start": "2024-01-01", "date_end": "2024-01-31", "periods_ago": 1}
        task = SEIExportOperator(task_id="t", family="ba", team_id="1", destination="/x/", **given)
        cases: tuple[tuple[Callable[[], Any], str, str], ...] = (
            (
                lambda: run_dates(march, periods_ago=-1),
                "periods_ago",
                "-1 is 2024-04, which has not begun on 2024-03-10",
            ),
            (lambda: task.execute(march), "periods_ago", "omit date_start and date_end"),
            (lambda: exported(timed), "date_start", "key_format .* or give date_start and date_end"),
            (lambda: exported({}), "date_start", "no DAG run .*: give both"),
            (lambda: split_period("2024-01-01", "2024-12-31", by="monht"), "by", "quarter, year: did you mean 'month'"),
        )
        for refused, field, words in cases:
            with pytest.raises(SEIArgumentError, match=words) as caught:
                refused()
            assert caught.value.field == field


class TestOtherRuns:
    """Runs of users, and of other DAGs."""

    @pytest.mark.parametrize(
        ("schedule", "period"),
        [
            (CronDataIntervalTimetable("0 0 1 * *", timezone=BERLIN), FEBRUARY),
            (DeltaDataIntervalTimetable(timedelta(days=7)), ("2024-03-08", "2024-03-14")),
            (CronTriggerTimetable(NIGHT, timezone=BERLIN), FEBRUARY),
            (None, FEBRUARY),
        ],
    )
    def test_a_manual_run_has_the_interval_that_airflow_infers(self, schedule: Any, period: tuple[str, str]) -> None:
        """An empty one counts as none."""
        dag = DAG("d", schedule=schedule)
        interval = coerce_to_core_timetable(dag.timetable).infer_manual_data_interval(run_after=at(2024, 3, 15, 12))
        dates = {"data_interval_start": interval.start, "data_interval_end": interval.end}
        run = context(dag, run_after=at(2024, 3, 15, 12), logical_date=at(2024, 3, 15, 12), **dates)
        assert exported(run) == period

    @pytest.mark.parametrize(
        ("schedule", "start_date", "run"),
        [
            (None, None, {"run_after": at(2024, 3, 15, 12)}),
            ([Asset("a")], None, {"run_after": at(2024, 3, 15, 12)}),
            (None, at(2024, 1, 1, tz=BERLIN), {"run_after": datetime(2024, 2, 29, 23, 30, tzinfo=UTC)}),
            ([Asset("a")], None, {"run_after": at(2024, 6, 1), "partition_key": "2024-02"}),
        ],
        ids=["manual", "asset", "in the DAG's timezone", "partitioned asset"],
    )
    def test_a_run_without_a_logical_date_has_its_start(self, schedule: Any, start_date: Any, run: Any) -> None:
        """Or the partition of the asset that started it."""
        assert exported(context(DAG("d", schedule=schedule, start_date=start_date), **run)) == FEBRUARY


def requested(sei_server: Any) -> set[tuple[str, str]]:
    """Return the periods of all exports."""
    return {tuple(export.request["dateRange"].values()) for export in sei_server.exports}


class TestTasks:
    """DAGs without dates, run by Airflow."""

    def test_two_deferrals_change_no_period(self, run: Any, sei_server: Any, tmp_path: Path, task_log: Any) -> None:
        """In the request, in the file's name and in the result. It defers for ``create_jitter`` and for the export."""
        sei_server.faults.add("status", "status_word", word="processing", times=2)
        [result] = results(run("period_cron", {"logical_date": at(2024, 3, 1, 3)}), "export")
        assert requested(sei_server) == {FEBRUARY}
        assert (result["date_start"], result["date_end"]) == FEBRUARY
        [file] = tmp_path.iterdir()
        assert file.name.startswith("ba_team-456_2024-02-01_2024-02-2")
        assert "Exporting 2024-02-01 to 2024-02-29: the last full month before 2024-03-01" in task_log.text
        assert "Creating the export in 0 s (create_jitter)" in task_log.text
        assert "Waiting for ba export" in task_log.text

    def test_mapped_tasks_of_a_group_export_one_period(self, run: Any, sei_server: Any) -> None:
        """The interval that Airflow infers."""
        dag_run = run("period_delta_interval", {"logical_date": at(2024, 3, 15, 12)})
        assert dag_run.state == "success"
        week = ("2024-03-08", "2024-03-14")
        assert [(one["date_start"], one["date_end"]) for one in results(dag_run, "teams.export")] == [week, week]
        assert (len(sei_server.exports), requested(sei_server)) == (2, {week})

    def test_without_a_logical_date_exports_and_reports_have_the_last_period(self, run: Any, sei_server: Any) -> None:
        """A report's is a month, whatever its granularity."""
        dag_run = run("period_asset", {"logical_date": None, "run_after": at(2024, 5, 17, 9)})
        assert dag_run.state == "success"
        assert requested(sei_server) == {("2024-01-01", "2024-03-31")}
        [report] = sei_server.legacy_reports
        assert (report.request["dateStart"], report.request["dateEnd"]) == ("2024-04-01", "2024-04-30")
        assert report.request["granularity"] == "weekly"

    @pytest.mark.parametrize("last", [None, "2024-01-15", ""])
    def test_params_may_give_both_days_or_none(self, run: Any, sei_server: Any, task_log: Any, last: Any) -> None:
        """A template that renders to nothing gives none. With one day, nothing is sent, and the run fails."""
        given_ = {} if last is None else {"date_start": "2024-01-01", "date_end": last}
        dag_run = run("period_optional", {"logical_date": at(2024, 3, 15)}, **given_)
        if last == "":
            assert (dag_run.state, sei_server.requests) == ("failed", [])
            assert "date_end is missing" in task_log.text
        else:
            assert requested(sei_server) == {("2024-01-01", last) if last else FEBRUARY}

    def test_a_long_period_is_exported_in_parts(self, run: Any, sei_server: Any, tmp_path: Path) -> None:
        """Each in a folder of its own, named after its quarter or its days."""
        assert run("period_pieces").state == "success"
        assert requested(sei_server) == {("2023-11-15", "2023-12-31"), ("2024-01-01", "2024-03-31")}
        assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.csv")} == {
            f"family=ba/period={label}/team=456/ba_c9d8bf79.csv" for label in ("2023-11-15_2023-12-31", "2024-Q1")
        }
