"""The sensor: succeeds when an export is completed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_sei.deferral import completed, deadline, defer_until_completed, look_once
from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.operators.base import SEIBaseOperator, checked_flag, is_constant
from airflow_provider_sei.protocol.arguments import checked_export_id, checked_wait
from airflow_provider_sei.protocol.errors import SEIError, SEIExportTimeoutError, SEINotFoundError
from airflow_provider_sei.protocol.families import get_family

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_sei.protocol.waiting import ExportWait, WaitPlan

__all__ = ["SEIExportSensor"]


class SEIExportSensor(SEIBaseOperator, BaseSensorOperator):
    """Wait until an export is completed; the export's id is the task's result.

    An export that fails, is cancelled or vanishes fails the sensor at once, with the reason (with ``soft_fail``
    it is skipped). ``timeout``, ``poke_interval``, ``mode`` and ``soft_fail`` are those of every Airflow sensor.

    :param family: the export's family.
    :param export_id: the export, as ``SEICreateExportOperator`` returns it.
    :param deferrable: whether to wait in the triggerer; ``False`` pokes, by ``mode`` and ``poke_interval``.
    :param poll_interval: when deferred, seconds between two looks; by default they grow with the time waited.

    All other arguments: :class:`SEIBaseOperator <airflow_provider_sei.operators.base.SEIBaseOperator>`.
    """

    template_fields: Sequence[str] = ("family", "export_id", "poll_interval", *SEIBaseOperator.template_fields)

    def __init__(
        self,
        *,
        family: str,
        export_id: str,
        deferrable: bool = True,
        poll_interval: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.family = family
        self.export_id = export_id
        self.poll_interval = poll_interval
        with airflow_errors():
            self.deferrable = checked_flag(deferrable, "deferrable")
            if is_constant(family):
                get_family(family)
            if is_constant(export_id):
                checked_export_id(export_id)
            if is_constant(poll_interval):
                checked_wait(0.0, poll_interval)

    def execute(self, context: Context) -> Any:
        """Look once and defer, or poke."""
        if not self.deferrable:
            return super().execute(context)
        try:
            plan = self._plan(context)
            outcome = look_once(self.hook, plan)
            if outcome is None:
                defer_until_completed(self, self.hook, plan)
            with _sensor_timeout():
                return completed(outcome).export_id
        except AirflowException as error:
            # Airflow does this around poke and around execute_complete, but not here.
            if self.never_fail or (self.soft_fail and isinstance(error, AirflowFailException | AirflowSensorTimeout)):
                raise AirflowSkipException(str(error)) from error
            raise

    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """Take in what the trigger has seen."""
        from airflow_provider_sei.protocol.events import read_event

        with _sensor_timeout(), airflow_errors():
            return read_event(event).export_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the export; trouble that can pass is reported and borne."""
        wait = self._wait
        try:
            # One try each: the next poke is the retry, and Airflow's own loop knows the timeout.
            seen = self.hook.get_export(wait.plan.family, wait.plan.export_id, retry=False)
            outcome = wait.saw(seen, time.time())
        except SEIError as error:
            if self.reschedule and isinstance(error, SEINotFoundError):
                # Each poke is a new process here, which has not seen how long the export has been missing.
                first_poke = context["ti"].get_first_reschedule_date(context)
                wait.failed(error, first_poke.timestamp() if first_poke else time.time())
            outcome = wait.failed(error, time.time())
        for line in wait.news():
            self.log.info("%s", line)
        if outcome is None:
            return PokeReturnValue(is_done=False)
        with _sensor_timeout():
            return PokeReturnValue(is_done=True, xcom_value=completed(outcome).export_id)

    @cached_property
    def _wait(self) -> ExportWait:
        from airflow_provider_sei.protocol.waiting import ExportWait

        # Airflow's own loop keeps the time here; one that pokes in a new process each time starts anew.
        return ExportWait(self._plan({}))

    def _plan(self, context: Mapping[str, Any]) -> WaitPlan:
        from airflow_provider_sei.protocol.waiting import WaitPlan

        with airflow_errors():
            seconds, poll_interval = checked_wait(self.timeout, self.poll_interval)
            now = time.time()
            return WaitPlan(
                family=get_family(self.family).name,
                export_id=checked_export_id(self.export_id),
                started_at=now,
                deadline=deadline(self, now, seconds, context),
                poll_interval=poll_interval,
            )


@contextmanager
def _sensor_timeout() -> Iterator[None]:
    # Airflow's own exception, which ends a sensor without a retry and which soft_fail knows.
    try:
        yield
    except SEIExportTimeoutError as error:
        raise AirflowSensorTimeout(str(error)) from error
