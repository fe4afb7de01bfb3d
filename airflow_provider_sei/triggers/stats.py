"""Statistics of the waits in a triggerer, through Airflow's own metrics.

==========================  ========  ==============================================================================
``sei.waits_started``       counter   a trigger has begun to wait
``sei.waits_succeeded``     counter   its export is completed
``sei.waits_failed``        counter   it has ended with an error
``sei.wait_seconds``        timer     from the start of the wait to its end
``sei.queued_seconds``      timer     how much of it the export was queued, as far as the looks at it tell
``sei.processing_seconds``  timer     how much of it the export was being processed
``sei.polls``               counter   status and list calls
``sei.coalesced_polls``     counter   the list calls among them, each in place of up to a hundred status calls
``sei.throttles``           counter   answers 429
``sei.turns_given``         counter   a worker may create its export (``create_jitter``)
``sei.turn_seconds``        timer     how long it has waited for that, from the moment that was drawn for it
==========================  ========  ==============================================================================

All are tagged with the export's ``family``. Nothing here can end a wait or hold it up: trouble with a metrics backend
is logged where debugging is on.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cache
from typing import Any

from airflow_provider_sei.protocol.status import ExportStatus
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome

__all__ = ["count", "prepare", "turn_given", "wait_ended"]

log = logging.getLogger("airflow_provider_sei")


def prepare() -> None:
    """Do what takes long the first time: Airflow reads its table of metric names, a backend looks up its host.

    Not to be called on an event loop.
    """
    count("polls", "productivity", by=0)


def count(name: str, family: str, *, by: int = 1) -> None:
    """Count ``sei.<name>`` up."""
    try:
        _stats().incr(f"sei.{name}", by, tags={"family": family})
    except Exception:
        log.debug("could not count sei.%s", name, exc_info=True)


def wait_ended(wait: ExportWait, outcome: WaitOutcome, now: float) -> None:
    """Count a wait that has ended, and say how long it took."""
    family = wait.plan.family
    count("waits_failed" if outcome.error else "waits_succeeded", family)
    spent = wait.seconds_in or {}
    _time("wait_seconds", now - wait.plan.started_at, family)
    for name, status in (("queued_seconds", ExportStatus.QUEUED), ("processing_seconds", ExportStatus.PROCESSING)):
        if status in spent:
            _time(name, spent[status], family)


def turn_given(family: str, seconds: float) -> None:
    """Count a turn that was given, and say how long it took."""
    count("turns_given", family)
    _time("turn_seconds", seconds, family)


def _time(name: str, seconds: float, family: str) -> None:
    try:
        _stats().timing(f"sei.{name}", timedelta(seconds=max(0.0, seconds)), tags={"family": family})
    except Exception:
        log.debug("could not time sei.%s", name, exc_info=True)


@cache
def _stats() -> Any:
    from airflow.providers.common.compat.sdk import Stats

    return Stats
