"""Which days an export is about: calendar periods, and the period that a scheduled run stands for.

The rules of this file: a period is a first and a last day, both included, as the vendor takes them; periods are aligned
to the calendar; and a run never exports an empty or a chance period because its schedule has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from airflow_provider_sei.protocol.checks import checked_period, is_missing
from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.suggestions import did_you_mean

__all__ = [
    "UNITS",
    "Period",
    "both_missing",
    "last_full_period",
    "period_label",
    "period_of_key",
    "run_period",
    "split_period",
]

UNITS = ("day", "week", "month", "quarter", "year")

_UNIT_OF_GRANULARITY = {"daily": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter"}
_KEY_FORMS: tuple[tuple[re.Pattern[str], str, Callable[..., date]], ...] = (
    (re.compile(r"(\d{4})-?[Qq]([1-4])"), "quarter", lambda year, quarter: date(year, 3 * quarter - 2, 1)),
    (re.compile(r"(\d{4})-?[Ww](\d{2})"), "week", lambda year, week: date.fromisocalendar(year, week, 1)),
    (re.compile(r"(\d{4})-(\d{2})"), "month", lambda year, month: date(year, month, 1)),
    (re.compile(r"(\d{4})"), "year", lambda year: date(year, 1, 1)),
)
_DAYS = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[/_](\d{4}-\d{2}-\d{2}))?")
_MOMENT = re.compile(r"\d{4}-?\d{2}-?\d{2}[T ]\d{2}.*")


@dataclass(frozen=True, order=True)
class Period:
    """Days from ``start`` to ``end``, both included."""

    start: date
    end: date

    def arguments(self) -> dict[str, str]:
        """Return the period as the operators take it."""
        return {"date_start": self.start.isoformat(), "date_end": self.end.isoformat()}


def both_missing(date_start: object, date_end: object) -> bool:
    """Return whether neither day is given, so that a run's own period is meant.

    Raises:
        SEIUsageError: only one of them is.
    """
    missing = [name for name, day in (("date_start", date_start), ("date_end", date_end)) if is_missing(day)]
    if len(missing) == 1:
        msg = f"{missing[0]} is missing: give both days as yyyy-MM-dd, or neither, to export the run's own period"
        raise SEIUsageError(msg, field=missing[0])
    return bool(missing)


def split_period(date_start: object, date_end: object, by: str = "month") -> list[dict[str, str]]:
    """Cut a long period along the calendar, for ``SEIExportOperator.partial(...).expand_kwargs(...)``.

    ::

        SEIExportOperator.partial(task_id="export", family="ba", team_id="456", destination="/tmp/sei/").expand_kwargs(
            split_period("2023-01-01", "2024-12-31", by="quarter")
        )

    Args:
        date_start: first day, yyyy-MM-dd.
        date_end: last day, included.
        by: ``day``, ``week`` (from Monday), ``month``, ``quarter`` or ``year``. The first and the last piece are cut to
            the given days.

    Returns:
        ``[{"date_start": "2024-01-01", "date_end": "2024-01-31"}, ...]``

    Raises:
        SEIUsageError: the days or the unit cannot work.
    """
    unit = _checked_unit(by)
    start, end = (date.fromisoformat(day) for day in checked_period(date_start, date_end))
    return [piece.arguments() for piece in _pieces(start, end, unit)]


def last_full_period(granularity: object, before: date) -> Period:
    """Return the last whole period of a granularity that has ended before the day ``before``.

    Args:
        granularity: of the export, in any case. ``None`` and those that are no calendar unit (``sprint``) mean months.
    """
    unit = _unit_of(granularity)
    last_day = _first_day(before, unit) - timedelta(days=1)
    return Period(_first_day(last_day, unit), last_day)


def period_of_key(key: str) -> Period | None:
    """Return the period that a partition key names, or ``None`` if it names none.

    Read are ``2026``, ``2026-Q1``, ``2026-01``, ``2026-W05``, ``2026-01-15``, and two days with ``/`` or ``_`` between.
    """
    text = key.strip()
    try:
        for form, unit, first_day in _KEY_FORMS:
            if match := form.fullmatch(text):
                return _unit_period(first_day(*map(int, match.groups())), unit)
        if match := _DAYS.fullmatch(text):
            start, end = match.groups()
            period = Period(date.fromisoformat(start), date.fromisoformat(end or start))
            return period if period.start <= period.end else None
    except ValueError:
        pass
    return None


def period_label(period: Period) -> str:
    """Return the shortest name of a period that ``period_of_key`` reads back.

    ``2024``, ``2024-Q1``, ``2024-01``, ``2024-W05`` or ``2024-01-15`` where the days are just such a unit of the
    calendar, and else both days: ``2024-01-03_2024-02-05``.
    """
    start, end = period.start, period.end
    unit = next((unit for unit in reversed(UNITS) if _unit_period(start, unit) == period), None)
    match unit:
        case "year":
            return f"{start.year:04d}"
        case "quarter":
            return f"{start.year:04d}-Q{(start.month + 2) // 3}"
        case "month":
            return f"{start.year:04d}-{start.month:02d}"
        case "week":
            year, week, _ = start.isocalendar()
            return f"{year:04d}-W{week:02d}"
        case "day":
            return start.isoformat()
    return f"{start.isoformat()}_{end.isoformat()}"


def run_period(
    *,
    granularity: object,
    partition_key: str | None,
    interval_start: datetime | None,
    interval_end: datetime | None,
    moment: datetime,
    timezone: tzinfo,
) -> tuple[Period, str]:
    """Return the period that a run of a DAG stands for, and in words what says so.

    The partition key where it names one; else the data interval; else, where the schedule has none (Airflow 3's cron
    schedules have an empty one), the last full period of the granularity before the run.

    An interval covers the days from the one it begins on to the day before the one it ends on, whatever the hour: those
    of a monthly schedule at 03:00 are whole months, and no day is in two of them. One within a day means that day.

    Args:
        granularity: of the export, as ``last_full_period`` takes it.
        partition_key: of the run, or ``None``.
        interval_start: of the run's data interval, or ``None``.
        interval_end: of the run's data interval, excluded, or ``None``.
        moment: the run's logical date, or when it was to start.
        timezone: the schedule's; days begin and end in it.

    Raises:
        SEIUsageError: the partition key is a moment, which does not tell how long its partition is.
    """
    if partition_key and (named := period_of_key(partition_key)):
        return named, f"the partition key {partition_key!r}"
    if partition_key and _MOMENT.fullmatch(partition_key.strip()):
        msg = (
            f"the partition key {partition_key!r} is a moment and names no period: give the timetable a key_format such"
            " as '%Y-%m' or '%Y-%m-%d', or give date_start and date_end"
        )
        raise SEIUsageError(msg, field="date_start")
    if interval_start is not None and interval_end is not None and interval_start < interval_end:
        first, next_first = (edge.astimezone(timezone).date() for edge in (interval_start, interval_end))
        return Period(first, max(first, next_first - timedelta(days=1))), "the run's data interval"
    before = moment.astimezone(timezone).date()
    return last_full_period(granularity, before), f"the last full {_unit_of(granularity)} before {before}"


def _unit_of(granularity: object) -> str:
    return _UNIT_OF_GRANULARITY.get(str(granularity).strip().casefold(), "month")


def _pieces(start: date, end: date, unit: str) -> Iterator[Period]:
    while start <= end:
        last = min(end, _unit_period(start, unit).end)
        yield Period(start, last)
        if last == date.max:
            return
        start = last + timedelta(days=1)


def _unit_period(day: date, unit: str) -> Period:
    first = _first_day(day, unit)
    try:
        return Period(first, _first_day(first + timedelta(days=_LONGEST[unit]), unit) - timedelta(days=1))
    except OverflowError:
        return Period(first, date.max)


# Days that lead from a period's first day into the next period, whichever it is.
_LONGEST = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


def _first_day(day: date, unit: str) -> date:
    if unit == "day":
        return day
    if unit == "week":
        return day - timedelta(days=day.weekday())
    if unit == "month":
        return day.replace(day=1)
    if unit == "quarter":
        return date(day.year, 3 * ((day.month - 1) // 3) + 1, 1)
    return date(day.year, 1, 1)


def _checked_unit(unit: object) -> str:
    folded = str(unit).strip().casefold()
    if folded not in UNITS:
        msg = f"by {unit!r} is not one of {', '.join(UNITS)}{did_you_mean(unit, UNITS)}"
        raise SEIUsageError(msg, field="by")
    return folded
