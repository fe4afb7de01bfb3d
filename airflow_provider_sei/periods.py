"""The period of an export: calendar periods, and the period of a DAG run."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import chain
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pendulum

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.arguments import parse_choice, parse_period

log = logging.getLogger("airflow_provider_sei")

UNITS = ("day", "week", "month", "quarter", "year")
_UNIT_OF_GRANULARITY = {"daily": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter"}
_KEY_FORMS: tuple[tuple[re.Pattern[str], str, Callable[..., date]], ...] = (
    (re.compile(r"(\d{4})-?[Qq]([1-4])"), "quarter", lambda year, quarter: date(year, 3 * quarter - 2, 1)),
    (re.compile(r"(\d{4})-?[Ww](\d{2})"), "week", lambda year, week: date.fromisocalendar(year, week, 1)),
    (re.compile(r"(\d{4})-(\d{2})"), "month", lambda year, month: date(year, month, 1)),
    (re.compile(r"(\d{4})"), "year", lambda year: date(year, 1, 1)),
)
_DAYS = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[/_](\d{4}-\d{2}-\d{2}))?")
_DATE_TIME = re.compile(r"\d{4}-?\d{2}-?\d{2}[T ]\d{2}.*")


class Period(NamedTuple):
    """Days from ``start`` to ``end``, both inclusive."""

    start: date
    end: date


def split_period(date_start: object, date_end: object, by: str = "month") -> list[dict[str, str]]:
    """Split a long period along the calendar, for ``SEIExportOperator.partial(...).expand_kwargs(...)``.

    :param date_start: first day, yyyy-MM-dd.
    :param date_end: last day, inclusive.
    :param by: ``day``, ``week`` (from Monday), ``month``, ``quarter`` or ``year``. The first and the last part end
        at the given days.
    :return: ``[{"date_start": "2024-01-01", "date_end": "2024-01-31"}, ...]``
    :raises SEIArgumentError: the days or the unit are invalid.
    """
    unit, parts = parse_choice(by, UNITS, "by"), []
    start, end = (date.fromisoformat(day) for day in parse_period(date_start, date_end))
    while True:
        last = min(end, _period_around(start, unit).end)
        parts.append({"date_start": start.isoformat(), "date_end": last.isoformat()})
        if last == end:
            return parts
        start = last + timedelta(days=1)


def last_full_period(granularity: object, before: date) -> Period:
    """Return the last whole period that ended before a day; ``None`` and ``sprint`` mean a month."""
    unit = _unit_of(granularity)
    return _period_around(_period_around(before, unit).start - timedelta(days=1), unit)


def period_from_key(key: str) -> Period | None:
    """Return the period that a partition key names, or ``None`` if it names none.

    :param key: ``2026``, ``2026-Q1``, ``2026-01``, ``2026-W05``, ``2026-01-15``, or two days joined by ``/`` or ``_``.
    """
    text = key.strip()
    try:
        for form, unit, first_day in _KEY_FORMS:
            if match := form.fullmatch(text):
                return _period_around(first_day(*map(int, match.groups())), unit)
        if match := _DAYS.fullmatch(text):
            start, end = match.groups()
            period = Period(date.fromisoformat(start), date.fromisoformat(end or start))
            return period if period.start <= period.end else None
    except ValueError:
        pass
    return None


def period_label(period: Period) -> str:
    """Return the shortest name of a period that :func:`period_from_key` reads back.

    :return: ``2024``, ``2024-Q1``, ``2024-01``, ``2024-W05`` or ``2024-01-15`` for a unit of the calendar, otherwise
        both days: ``2024-01-03_2024-02-05``.
    """
    start, end = period
    year, week, _ = start.isocalendar()
    labels = {
        None: f"{start.isoformat()}_{end.isoformat()}",
        "year": f"{start.year:04d}",
        "quarter": f"{start.year:04d}-Q{(start.month + 2) // 3}",
        "month": f"{start.year:04d}-{start.month:02d}",
        "week": f"{year:04d}-W{week:02d}",
        "day": start.isoformat(),
    }
    return labels[_calendar_unit(period)]


def shifted(period: Period, by: int) -> Period:
    """Return the period that is ``by`` periods later, or earlier: of the same unit, or else of as many days."""
    unit, start = _calendar_unit(period), pendulum.Date(period.start.year, period.start.month, period.start.day)
    if unit is None:
        days = timedelta(days=by * ((period.end - period.start).days + 1))
        return Period(period.start + days, period.end + days)
    name, number = ("months", 3 * by) if unit == "quarter" else (f"{unit}s", by)
    return _period_around(start.add(**{name: number}), unit)


def run_period(
    *,
    granularity: object,
    partition_key: str | None,
    interval_start: datetime | None,
    interval_end: datetime | None,
    at: datetime,
    timezone: tzinfo,
) -> tuple[Period, str]:
    """Return the period of a DAG run, and the reason in words.

    The partition key if it names a period; else the data interval; else, if the schedule has none (Airflow 3's cron
    schedules have an empty one), the last full period of the granularity before the run (``at``). An interval covers
    the days from the one it starts on to the day before the one it ends on, whatever the time of day: those of a
    monthly schedule at 03:00 are whole months, and no day is in two of them. One within a day means that day. Days
    begin and end in ``timezone``, the schedule's.
    """
    if partition_key and (named := period_from_key(partition_key)):
        return named, f"the partition key {partition_key!r}"
    if partition_key and _DATE_TIME.fullmatch(partition_key.strip()):
        msg = (
            f"the partition key {partition_key!r} is a date and time, not a period: give the timetable a key_format"
            " such as '%Y-%m' or '%Y-%m-%d', or give date_start and date_end"
        )
        raise SEIArgumentError(msg, field="date_start")
    if interval_start is not None and interval_end is not None and interval_start < interval_end:
        first, next_first = (edge.astimezone(timezone).date() for edge in (interval_start, interval_end))
        return Period(first, max(first, next_first - timedelta(days=1))), "the run's data interval"
    before = at.astimezone(timezone).date()
    return last_full_period(granularity, before), f"the last full {_unit_of(granularity)} before {before}"


def run_dates(
    context: Mapping[str, Any], granularity: object = None, *, periods_ago: int = 0, level: int = logging.INFO
) -> tuple[dict[str, str], str]:
    """Return ``date_start`` and ``date_end``, for a request without both days, and the name of the whole period.

    They are derived from what Airflow's database keeps of the run, so retries and resumed tasks get the same ones.

    :param periods_ago: 0 is the run's period, 1 the one before, -1 the one after, up to the day of the run.
    """
    dag_run = context.get("dag_run")
    # Asset-triggered, partitioned and manual runs can be without a logical date.
    at = context.get("logical_date") or getattr(dag_run, "run_after", None)
    if at is None:
        msg = "date_start and date_end are missing, and there is no DAG run to take a period from: give both"
        raise SEIArgumentError(msg, field="date_start")
    timezone, interval_end = _timezone(context.get("dag")), context.get("data_interval_end")
    period, reason = run_period(
        granularity=granularity,
        partition_key=getattr(dag_run, "partition_key", None),
        interval_start=context.get("data_interval_start"),
        interval_end=interval_end,
        at=at,
        timezone=timezone,
    )
    end, label = period.end, period_label(period)
    if periods_ago:
        period = shifted(period, -periods_ago)
        today = max(at, interval_end or at).astimezone(timezone).date()
        end, label = min(period.end, today) if periods_ago < 0 else period.end, period_label(period)
        reason = f"{label}, {abs(periods_ago)} {'before' if periods_ago > 0 else 'after'} {reason}"
    if end < period.start:
        msg = f"periods_ago={periods_ago} is {label}, which has not begun on {end}, the day of the run"
        raise SEIArgumentError(msg, field="periods_ago")
    log.log(level, "No dates are given. Exporting %s to %s: %s", period.start, end, reason)
    return {"date_start": period.start.isoformat(), "date_end": end.isoformat()}, label


def _timezone(dag: Any) -> tzinfo:
    """Return the timezone of the schedule: the timetable's own if it has one, else the DAG's."""
    timetable = getattr(dag, "timetable", None)
    # A timetable can consist of others. Airflow's own timetables keep their timezone private before 3.1.
    inner = [getattr(timetable, name, None) for name in ("timetable", "timetables", "_timetables")]
    timetables = [timetable, *chain.from_iterable(each if isinstance(each, list) else [each] for each in inner)]
    zones = [getattr(one, name, None) for one in timetables for name in ("timezone", "_timezone")]
    zones.append(getattr(dag, "timezone", None))
    zone = next((zone for zone in zones if zone), UTC)
    return ZoneInfo(zone) if isinstance(zone, str) else zone


def _calendar_unit(period: Period) -> str | None:
    return next((unit for unit in reversed(UNITS) if _period_around(period.start, unit) == period), None)


def _unit_of(granularity: object) -> str:
    return _UNIT_OF_GRANULARITY.get(str(granularity).strip().casefold(), "month")


def _period_around(day: date, unit: str) -> Period:
    at = pendulum.Date(day.year, day.month, day.day)
    first = at.first_of(unit) if unit == "quarter" else at.start_of(unit)
    last: date
    try:
        last = at.last_of(unit) if unit == "quarter" else at.end_of(unit)
    except OverflowError:  # the last week of the year 9999
        last = date.max
    return Period(date(first.year, first.month, first.day), date(last.year, last.month, last.day))
