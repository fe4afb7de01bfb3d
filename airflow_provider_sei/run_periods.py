"""The period of a run, from what Airflow says about it, for tasks that are given none.

Everything that is read here is kept with the run in Airflow's database: a retry and a task that comes back from a
deferral find the very same period, and so make the very same request.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.periods import both_missing, run_period

__all__ = ["with_run_period"]

log = logging.getLogger("airflow_provider_sei")


def with_run_period(
    request: Mapping[str, Any], context: Mapping[str, Any], *, granularity: object = None
) -> dict[str, Any]:
    """Return ``request`` with its ``date_start`` and ``date_end``, or with those of the run if it has neither.

    :param request: a request's arguments, rendered.
    :param context: of the running task.
    :param granularity: which full period is the last, where the run has neither a partition nor a data interval.
    :raises SEIUsageError: only one day is given, or there is no run to take a period from.
    """
    if not both_missing(request["date_start"], request["date_end"]):
        return dict(request)
    dag_run = context.get("dag_run")
    # Runs that an asset or a partition has started have no logical date, and so has any run that is triggered without.
    moment = context.get("logical_date") or getattr(dag_run, "run_after", None)
    if moment is None:
        msg = "date_start and date_end are missing, and there is no run of a DAG to take a period from: give both"
        raise SEIUsageError(msg, field="date_start")
    period, reason = run_period(
        granularity=granularity,
        partition_key=getattr(dag_run, "partition_key", None),
        interval_start=context.get("data_interval_start"),
        interval_end=context.get("data_interval_end"),
        moment=moment,
        timezone=_timezone(context.get("dag")),
    )
    log.info("No dates are given. Exporting %s to %s: %s", period.start, period.end, reason)
    return {**request, **period.arguments()}


def _timezone(dag: Any) -> tzinfo:
    """Return the zone of the schedule: the timetable's own where it has one, else the DAG's."""
    zones = [*_zones(getattr(dag, "timetable", None)), getattr(dag, "timezone", None)]
    zone = next((zone for zone in zones if zone), UTC)
    return ZoneInfo(zone) if isinstance(zone, str) else zone


def _zones(timetable: Any) -> Iterator[Any]:
    # A timetable can be made of others. Those of Airflow's core, all there are before 3.1, keep their zone private.
    inner = [getattr(timetable, name, None) for name in ("timetable", "timetables", "_timetables")]
    for one in (timetable, *(each for found in inner for each in (found if isinstance(found, list) else [found]))):
        yield from (getattr(one, name, None) for name in ("timezone", "_timezone"))
