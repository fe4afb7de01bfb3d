"""How a task waits for an export: the look before it defers, the deferral, and what comes back.

Shared by the operator and the sensor, so that both wait by the same rules.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.protocol.errors import SEIError
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome, WaitPlan
from airflow_provider_sei.triggers.sei import SEIExportTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    from airflow_provider_sei.hooks.sei import SEIHook
    from airflow_provider_sei.protocol.exports import Export

_GRACE = 300.0  # seconds beyond the deadline after which Airflow ends a deferral whose triggerer never answered


def deadline(operator: BaseOperator, started_at: float, wait_seconds: float, context: Mapping[str, Any]) -> float:
    """Return the moment, in epoch seconds, at which a wait is over.

    ``execution_timeout`` counts from the start of the try; Airflow itself does not enforce it while a task is deferred.
    """
    end = started_at + wait_seconds
    if operator.execution_timeout is not None:
        begun = getattr(context.get("ti"), "start_date", None)
        end = min(end, (begun.timestamp() if begun else started_at) + operator.execution_timeout.total_seconds())
    return end


def look_once(hook: SEIHook, plan: WaitPlan) -> WaitOutcome | None:
    """Look at the export before deferring: one that is ready at once needs no deferral, one that is dead no wait."""
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
