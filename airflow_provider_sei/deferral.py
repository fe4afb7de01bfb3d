"""How a task waits: before it creates an export, the look before it defers, the deferral, and what comes back.

Shared by the operators and the sensor, so that all wait by the same rules. DAG files load this module with them, so it
loads those rules only when a task runs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import timedelta
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.protocol.errors import SEIError, SEIExportTimeoutError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    from airflow_provider_sei.hooks.sei import SEIHook
    from airflow_provider_sei.protocol.exports import Export
    from airflow_provider_sei.protocol.waiting import WaitOutcome, WaitPlan

_GRACE = 300.0  # seconds beyond the deadline after which Airflow ends a deferral whose triggerer never answered


def deadline(operator: BaseOperator, started_at: float, wait_seconds: float, context: Mapping[str, Any]) -> float:
    """Return the moment, in epoch seconds, at which a wait is over."""
    return min(started_at + wait_seconds, _time_is_over(operator, started_at, context))


def _time_is_over(operator: BaseOperator, now: float, context: Mapping[str, Any]) -> float:
    # execution_timeout counts from the start of the try; Airflow does not enforce it while a task is deferred.
    if operator.execution_timeout is None:
        return inf
    begun = getattr(context.get("ti"), "start_date", None)
    return (begun.timestamp() if begun else now) + operator.execution_timeout.total_seconds()


def pause_by_chance(operator: BaseOperator, jitter: float) -> None:
    """Hold this process for a while drawn by chance.

    :param jitter: seconds, at most.
    """
    seconds = random.random() * jitter  # noqa: S311 - jitter, not a secret
    operator.log.info("Creating the export in %.0f s (create_jitter)", seconds)
    time.sleep(seconds)


def defer_until_turn(
    operator: BaseOperator, sei_conn_id: str, family: str, jitter: float, context: Mapping[str, Any]
) -> NoReturn:
    """Wait in the triggerer for a moment drawn by chance and for a turn; ``execute_turn`` goes on then.

    :param jitter: seconds within which the moment is.
    :raises TaskDeferred: always.
    """
    from airflow_provider_sei.protocol.turns import TURN_PATIENCE
    from airflow_provider_sei.triggers.turn import SEITurnTrigger

    now = time.time()
    moment = now + random.random() * jitter  # noqa: S311 - jitter, not a secret
    time_is_over = _time_is_over(operator, now, context)
    give_up_at = min(moment + TURN_PATIENCE, time_is_over)
    operator.log.info("Waiting in the triggerer for a turn to create the export, for %.0f s at least", moment - now)
    operator.defer(
        trigger=SEITurnTrigger(
            family=family,
            moment=moment,
            give_up_at=give_up_at,
            ends_at=time_is_over if isfinite(time_is_over) else None,
            sei_conn_id=sei_conn_id,
        ),
        method_name="execute_turn",
        timeout=timedelta(seconds=max(0.0, give_up_at - now) + _GRACE),
    )


def check_time_left(time_is_over: float) -> None:
    """Refuse to create an export for a task whose time is over.

    :param time_is_over: epoch seconds.
    :raises SEIExportTimeoutError: it is.
    """
    if time.time() >= time_is_over:
        msg = (
            "the task's execution_timeout was over before its turn to create the export came; nothing was created."
            " Allow more time, or let fewer exports begin at once"
        )
        with airflow_errors():
            raise SEIExportTimeoutError(msg)


def look_once(hook: SEIHook, plan: WaitPlan) -> WaitOutcome | None:
    """Look at the export before deferring: one that is ready at once needs no deferral, one that is dead no wait."""
    from airflow_provider_sei.protocol.waiting import ExportWait

    wait = ExportWait(plan)
    try:
        outcome = wait.saw(hook.get_export(plan.family, plan.export_id), plan.started_at)
    except SEIError as error:
        outcome = wait.failed(error, plan.started_at)
    for line in wait.news():
        hook.log.info("%s", line)
    return outcome


def defer_until_completed(
    operator: BaseOperator, hook: SEIHook, plan: WaitPlan, *, reused: bool | None = None
) -> NoReturn:
    """Hand the wait to the triggerer; the operator's ``execute_complete`` goes on with the event.

    :raises TaskDeferred: always.
    """
    from airflow_provider_sei.triggers.sei import SEIExportTrigger

    operator.log.info("Waiting for %s export %s in the triggerer", plan.family, plan.export_id)
    operator.defer(
        trigger=SEIExportTrigger(
            family=plan.family,
            export_id=plan.export_id,
            started_at=plan.started_at,
            deadline=plan.deadline,
            poll_interval=plan.poll_interval,
            reused=reused,
            sei_conn_id=hook.sei_conn_id,
            project_identifier=hook.settings.project_identifier,
            org_identifier=hook.settings.org_identifier,
            auth_header=hook.settings.auth_header,
        ),
        method_name="execute_complete",
        timeout=timedelta(seconds=max(0.0, plan.deadline - time.time()) + _GRACE),
    )


def completed(outcome: WaitOutcome) -> Export:
    """Return the export that a wait has ended with.

    :raises SEIError: the wait has ended otherwise.
    """
    with airflow_errors():
        if outcome.error is not None:
            raise outcome.error
        if outcome.export is None:
            msg = "the wait has ended without an export"
            raise SEIError(msg)
    return outcome.export
