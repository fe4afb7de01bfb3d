"""The period of a run, from the timetables of Airflow itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
from pendulum import datetime as moment

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.periods import with_run_period
from tests.test_dags_examples import results

BERLIN = "Europe/Berlin"
NIGHT = "30 0 1 * *"  # in Berlin, this is the last evening of the month before in UTC
NO_DATES = {"date_start": None, "date_end": None}


def context(dag: DAG, **run: Any) -> dict[str, Any]:
    """Return what a task of the DAG is told about its run: dates that the run has not are no keys."""
    given = {"run_after": None, "partition_key": None, **run}
    keys = ("logical_date", "data_interval_start", "data_interval_end")
    return {"dag": dag, "dag_run": SimpleNamespace(**given), **{key: run[key] for key in keys if key in run}}


def scheduled(schedule: Any, start_date: datetime) -> Iterator[dict[str, Any]]:
    """Yield the contexts of the runs that Airflow's scheduler makes in the first half of 2024."""
    with DAG("d", schedule=schedule, start_date=start_date) as dag:
        pass
    known = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    for info in known.iter_dagrun_infos_between(moment(2024, 1, 1), moment(2024, 6, 30)):
        run = {"run_after": info.run_after, "partition_key": info.partition_key}
        if info.data_interval:
            run |= {"logical_date": info.logical_date, "data_interval_start": info.data_interval.start}
            run |= {"data_interval_end": info.data_interval.end}
        yield context(dag, **run)


def period(told: dict[str, Any], granularity: str | None = "monthly") -> tuple[str, str]:
    """Return the days that are exported."""
    found = with_run_period({"family": "ba", **NO_DATES}, told, granularity=granularity)
    assert found.pop("family") == "ba"
    return tuple(found.values())


class TestScheduledRuns:
    """What the scheduler starts."""

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
        """Whatever Airflow's kind of it: no day is missing, and none is in two of them."""
        periods = [period(told) for told in scheduled(schedule, moment(2024, 1, 1, tz=zone))]
        assert len(periods) >= 4
        months = [
            ("2023-12-01", "2023-12-31"),
            ("2024-01-01", "2024-01-31"),
            ("2024-02-01", "2024-02-29"),
            ("2024-03-01", "2024-03-31"),
            ("2024-04-01", "2024-04-30"),
            ("2024-05-01", "2024-05-31"),
            ("2024-06-01", "2024-06-30"),
        ]
        first = months.index(periods[0])
        assert periods == months[first : first + len(periods)]

    @pytest.mark.parametrize(
        ("schedule", "days"),
        [
            (DeltaDataIntervalTimetable(timedelta(days=7)), ("2024-01-01", "2024-01-07")),
            (
                CronTriggerTimetable("0 3 * * 1", timezone="UTC", interval=timedelta(days=7)),
                ("2023-12-25", "2023-12-31"),
            ),
            (CronDataIntervalTimetable("0 3 * * *", timezone="UTC"), ("2024-01-01", "2024-01-01")),
        ],
    )
    def test_a_data_interval_is_exported_whatever_the_granularity(self, schedule: Any, days: tuple[str, str]) -> None:
        """With its end made inclusive."""
        assert period(next(scheduled(schedule, moment(2024, 1, 1)))) == days

    @pytest.mark.parametrize("schedule", ["0 3 * * 1", DeltaTriggerTimetable(timedelta(days=7))])
    @pytest.mark.parametrize(
        ("granularity", "days"),
        [
            ("weekly", ("2023-12-25", "2023-12-31")),
            ("QUARTERLY", ("2023-10-01", "2023-12-31")),
            ("sprint", ("2023-12-01", "2023-12-31")),
            (None, ("2023-12-01", "2023-12-31")),
        ],
    )
    def test_without_an_interval_the_granularity_decides(
        self, schedule: Any, granularity: str | None, days: tuple[str, str]
    ) -> None:
        """The last period that was over when the run began."""
        assert period(next(scheduled(schedule, moment(2024, 1, 1))), granularity) == days

    def test_a_partition_whose_key_is_a_moment_is_refused(self) -> None:
        """That is what Airflow writes where the timetable has no key_format."""
        told = next(scheduled(CronPartitionTimetable("0 3 1 * *", timezone="UTC"), moment(2024, 1, 1)))
        with pytest.raises(SEIArgumentError, match="key_format"):
            period(told)


class TestOtherRuns:
    """What a user starts, or another DAG."""

    @pytest.mark.parametrize(
        ("schedule", "days"),
        [
            (CronDataIntervalTimetable("0 0 1 * *", timezone=BERLIN), ("2024-02-01", "2024-02-29")),
            (DeltaDataIntervalTimetable(timedelta(days=7)), ("2024-03-08", "2024-03-14")),
            (CronTriggerTimetable(NIGHT, timezone=BERLIN), ("2024-02-01", "2024-02-29")),
            (None, ("2024-02-01", "2024-02-29")),
        ],
    )
    def test_a_manual_run_has_the_interval_that_airflow_infers(self, schedule: Any, days: tuple[str, str]) -> None:
        """The last one of the schedule; one that is empty counts as none."""
        dag = DAG("d", schedule=schedule)
        interval = coerce_to_core_timetable(dag.timetable).infer_manual_data_interval(run_after=moment(2024, 3, 15, 12))
        dates = {"data_interval_start": interval.start, "data_interval_end": interval.end}
        told = context(dag, run_after=moment(2024, 3, 15, 12), logical_date=moment(2024, 3, 15, 12), **dates)
        assert period(told) == days

    @pytest.mark.parametrize("schedule", [None, [Asset("a")]])
    def test_a_run_without_a_logical_date_has_its_start(self, schedule: Any) -> None:
        """So it is with assets, and where a user leaves it out."""
        told = context(DAG("d", schedule=schedule), run_after=moment(2024, 3, 15, 12))
        assert period(told) == ("2024-02-01", "2024-02-29")

    def test_the_days_are_those_of_the_dags_timezone(self) -> None:
        """In Berlin, it is March already."""
        dag = DAG("d", schedule=None, start_date=moment(2024, 1, 1, tz=BERLIN))
        assert period(context(dag, run_after=datetime(2024, 2, 29, 23, 30, tzinfo=UTC))) == ("2024-02-01", "2024-02-29")

    def test_a_partition_of_an_asset_goes_before_all(self) -> None:
        """A DAG that follows partitioned assets exports the same partition."""
        told = context(DAG("d", schedule=[Asset("a")]), run_after=moment(2024, 6, 1), partition_key="2023-Q2")
        assert period(told) == ("2023-04-01", "2023-06-30")

    def test_given_days_are_taken_as_they_are(self) -> None:
        """Whatever the run is."""
        given = {"date_start": "2024-01-03", "date_end": "2024-01-05"}
        assert with_run_period(given, context(DAG("d", schedule=None), partition_key="2023-Q2")) == given

    def test_outside_a_run_both_days_are_needed(self) -> None:
        """There is nothing to take them from."""
        with pytest.raises(SEIArgumentError, match="no run of a DAG to take a period from: give both"):
            period({})


def asked(sei_server: Any) -> set[tuple[str, str]]:
    """Return the periods of all exports."""
    return {tuple(export.request["dateRange"].values()) for export in sei_server.exports}


def at(*day: int) -> dict[str, Any]:
    """Return a logical date, for ``run``."""
    return {"logical_date": moment(*day)}


class TestTasks:
    """DAGs without dates, run by Airflow."""

    def test_the_period_is_the_same_before_and_after_both_deferrals(
        self, run: Any, sei_server: Any, tmp_path: Path, task_log: Any
    ) -> None:
        """Of the turn and of the export: the file's name and the result say what was asked for."""
        sei_server.faults.add("status", "status_word", word="processing", times=2)
        dag_run = run("period_cron", at(2024, 3, 1, 3))
        [result] = results(dag_run, "export")
        assert asked(sei_server) == {("2024-02-01", "2024-02-29")}
        assert (result["date_start"], result["date_end"]) == ("2024-02-01", "2024-02-29")
        assert [file.name[:32] for file in tmp_path.iterdir()] == ["ba_team-456_2024-02-01_2024-02-29"[:32]]
        said = "No dates are given. Exporting 2024-02-01 to 2024-02-29: the last full month before 2024-03-01"
        assert task_log.text.count(said) == 3

    @pytest.mark.parametrize(
        ("dag_id", "task_id", "days"),
        [
            ("period_cron_interval", "export", ("2024-02-01", "2024-02-29")),
            ("period_delta_interval", "teams.export", ("2024-03-08", "2024-03-14")),
        ],
    )
    def test_mapped_tasks_export_one_period(
        self, run: Any, sei_server: Any, *, dag_id: str, task_id: str, days: tuple[str, str]
    ) -> None:
        """By themselves and in a group."""
        dag_run = run(dag_id, at(2024, 3, 15, 12))
        assert dag_run.state == "success"
        assert asked(sei_server) == {days}
        assert [(result["date_start"], result["date_end"]) for result in results(dag_run, task_id)] == [days, days]
        assert len(sei_server.exports) == 2

    def test_a_run_without_a_logical_date_exports_what_was_over_when_it_began(self, run: Any, sei_server: Any) -> None:
        """A report's period is a month, whatever the unit of its rates."""
        dag_run = run("period_asset", {"logical_date": None, "run_after": moment(2024, 5, 17, 9)})
        assert dag_run.state == "success"
        assert asked(sei_server) == {("2024-01-01", "2024-03-31")}
        [report] = sei_server.legacy_reports
        assert (report.request["dateStart"], report.request["dateEnd"]) == ("2024-04-01", "2024-04-30")
        assert report.request["granularity"] == "weekly"

    @pytest.mark.parametrize(
        ("given", "days"),
        [
            ({}, ("2024-02-01", "2024-02-29")),
            ({"date_start": "2024-01-01", "date_end": "2024-01-15"}, ("2024-01-01", "2024-01-15")),
        ],
    )
    def test_params_may_give_days_or_none(
        self, run: Any, sei_server: Any, *, given: dict[str, str], days: tuple[str, str]
    ) -> None:
        """A template that renders to nothing gives none."""
        assert run("period_optional", at(2024, 3, 15), **given).state == "success"
        assert asked(sei_server) == {days}

    def test_params_that_give_one_day_are_refused(self, run: Any, sei_server: Any, task_log: Any) -> None:
        """Nothing is sent."""
        assert run("period_optional", at(2024, 3, 16), date_start="2024-01-01").state == "failed"
        assert "date_end is missing: give both days as yyyy-MM-dd, or neither" in task_log.text
        assert sei_server.requests == []

    def test_a_long_range_is_exported_in_pieces(self, run: Any, sei_server: Any, tmp_path: Path) -> None:
        """Each has its own folder; a piece that is no whole quarter is called by its days."""
        assert run("period_pieces").state == "success"
        assert asked(sei_server) == {("2023-11-15", "2023-12-31"), ("2024-01-01", "2024-03-31")}
        assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.csv")} == {
            f"family=ba/period={label}/team=456/ba.csv" for label in ("2023-11-15_2023-12-31", "2024-Q1")
        }

    def test_a_second_try_goes_on_with_the_same_export(
        self, sei_server: Any, sei_connection: str, tmp_path: Path
    ) -> None:
        """Though it starts at another time: the request is the same."""
        task = SEIExportOperator(
            task_id="t", family="ba", team_id="456", destination=f"{tmp_path}/", sei_conn_id=sei_connection
        )
        told = context(DAG("d", schedule=None), run_after=moment(2024, 3, 1))
        first, second = task.execute(told), task.execute(told)
        assert (first["export_id"], first["uri"]) == (second["export_id"], second["uri"])
        assert len(sei_server.exports) == 1
