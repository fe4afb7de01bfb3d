"""Which days an export is about: calendar periods, and the period that a scheduled run stands for.

The rules of this file: a period is a first and a last day, both included, as the vendor takes them; periods are aligned
to the calendar; and a run never exports an empty or a chance period because its schedule has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.specs import checked_period
from airflow_provider_sei.protocol.suggestions import did_you_mean

__all__ = ["UNITS", "Period", "last_full_period", "period_of_key", "run_period", "split_period"]

UNITS = ("day", "week", "month", "quarter", "year")

_UNIT_OF_GRANULARITY = {"daily": "day", "weekly": "week", "monthly": "month", "quarterly": "quarter"}
_KEY_FORMS: tuple[tuple[re.Pattern[str], str, Callable[..., date]], ...] = (
    (re.compile(r"(\d{4})-?[Qq]([1-4])"), "quarter", lambda year, quarter: date(year, 3 * quarter - 2, 1)),
    (re.compile(r"(\d{4})-?[Ww](\d{2})"), "week", lambda year, week: date.fromisocalendar(year, week, 1)),
    (re.compile(r"(\d{4})-(\d{2})"), "month", lambda year, month: date(year, month, 1)),
    (re.compile(r"(\d{4})"), "year", lambda year: date(year, 1, 1)),
)


@dataclass(frozen=True, order=True)
class Period:
    """Days from ``start`` to ``end``, both included."""

    start: date
    end: date

    def arguments(self) -> dict[str, str]:
        """Return the period as the operators take it."""
        return {"date_start": self.start.isoformat(), "date_end": self.end.isoformat()}


def split_period(date_start: object, date_end: object, by: str = "month") -> list[dict[str, str]]:
    """Cut a long period along the calendar, for ``SEIExportOperator.partial(...).expand_kwargs(...)``.

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
    unit = _UNIT_OF_GRANULARITY.get(str(granularity).casefold(), "month")
    last_day = _first_day(before, unit) - timedelta(days=1)
    return Period(_first_day(last_day, unit), last_day)


def period_of_key(key: str) -> Period | None:
    """Return the period that a partition key names, or ``None`` if it names none.

    Read are ``2026``, ``2026-Q1``, ``2026-01``, ``2026-W05``, ``2026-01-15`` (also as the start of a moment), and two
    days with a slash between.
    """
    text = key.strip()
    try:
        for form, unit, first_day in _KEY_FORMS:
            if match := form.fullmatch(text):
                return _unit_period(first_day(*map(int, match.groups())), unit)
        start, _, end = text.partition("/")
        period = Period(date.fromisoformat(start[:10]), date.fromisoformat((end or start)[:10]))
    except ValueError:
        return None
    return period if period.start <= period.end else None


def run_period(
    *,
    granularity: object,
    partition_key: str | None,
    interval_start: datetime | None,
    interval_end: datetime | None,
    moment: datetime,
    timezone: tzinfo | None,
) -> Period:
    """Return the period that a run of a DAG stands for.

    The partition key where it names one; else the data interval, its end made inclusive; else, where the schedule has
    none (Airflow 3's cron schedules have an empty one), the last full period of the granularity before the run.

    Args:
        granularity: of the export.
        partition_key: of the run, or ``None``.
        interval_start: of the run's data interval, or ``None``.
        interval_end: of the run's data interval, excluded, or ``None``.
        moment: the run's logical date, or when it was to start.
        timezone: the DAG's; days begin and end in it.
    """
    if partition_key and (named := period_of_key(partition_key)):
        return named
    if interval_start is not None and interval_end is not None and interval_start < interval_end:
        first = interval_start.astimezone(timezone).date()
        last = (interval_end.astimezone(timezone) - timedelta(microseconds=1)).date()
        return Period(first, last)
    return last_full_period(granularity, moment.astimezone(timezone).date())


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
