"""Metrics of the waits in a triggerer, sent through Airflow's own metrics.

=======================  ========  ==================================================================
``sei.waits_started``    counter   a trigger has begun to wait
``sei.waits_succeeded``  counter   its export is completed
``sei.waits_failed``     counter   it has ended with an error
``sei.wait_seconds``     timer     from the start of the wait to its end
``sei.polls``            counter   status and list calls
``sei.coalesced_polls``  counter   the list calls among them, each in place of up to 100 status calls
``sei.throttles``        counter   answers 429
=======================  ========  ==================================================================

All are tagged with the export's ``family``. A metrics backend that fails never affects a wait.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cache
from typing import Any

__all__ = ["count", "time"]

log = logging.getLogger("airflow_provider_sei")


def count(name: str, family: str, *, by: int = 1) -> None:
    """Increment the counter ``sei.<name>``."""
    try:
        _stats().incr(f"sei.{name}", by, tags={"family": family})
    except Exception:
        log.debug("could not count sei.%s", name, exc_info=True)


def time(name: str, seconds: float, family: str) -> None:
    """Record the timer ``sei.<name>``."""
    try:
        _stats().timing(f"sei.{name}", timedelta(seconds=max(0.0, seconds)), tags={"family": family})
    except Exception:
        log.debug("could not time sei.%s", name, exc_info=True)


@cache
def _stats() -> Any:
    from airflow.providers.common.compat.sdk import Stats

    return Stats
