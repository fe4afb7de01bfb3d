"""The sensor: succeeds when an export is completed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_sei.exceptions import SEIError, SEIExportTimeoutError
from airflow_provider_sei.operators._base import OPTIONS, SEIBaseOperator, complete
from airflow_provider_sei.protocol.arguments import parse_export_id
from airflow_provider_sei.protocol.families import get_family

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_sei.protocol.waiting import ExportWait, WaitPlan


@complete
class SEIExportSensor(SEIBaseOperator, BaseSensorOperator):
    """Wait until an export is completed; the export's id is the task's result.

    An export that fails, is cancelled or deleted fails the sensor immediately, with the reason (with ``soft_fail`` it
    is skipped). ``timeout``, ``poke_interval``, ``mode`` and ``soft_fail`` are those of every Airflow sensor.

    :param family: the export's family.
    :param export_id: the export, as returned by ``SEICreateExportOperator``.
    :param deferrable: whether to wait in the triggerer; ``False`` pokes, by ``mode`` and ``poke_interval``.
    :param poll_interval: when deferred, seconds between two status polls; by default it grows with the elapsed time.
    """

    def __init__(
        self,
        *,
        family: str,
        export_id: str,
        deferrable: bool = True,
        poll_interval: float | None = None,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._accept(locals())
        self._wait: ExportWait | None = None

    def execute(self, context: Context) -> Any:
        """Poll the status once and defer, or poke."""
        if not self.deferrable:
            return super().execute(context)
        try:
            from airflow_provider_sei.protocol.waiting import ExportWait

            plan = self._plan(context)
            if (outcome := self.hook.poll_export(ExportWait(plan))) is None:
                self._defer_until_completed(plan)
            with self._errors(outcome.export):
                return outcome.export_or_raise().export_id
        except AirflowException as error:
            # Airflow does this around poke and around execute_complete, but not here.
            if self.never_fail or (self.soft_fail and isinstance(error, AirflowFailException | AirflowSensorTimeout)):
                raise AirflowSkipException(str(error)) from error
            raise

    def execute_complete(self, context: Context, event: Any) -> str:
        """Return the id of the export that the trigger has seen completed."""
        from airflow_provider_sei.protocol.waiting import read_event

        with self._errors(event.get("export") if isinstance(event, Mapping) else None):
            return read_event(event).export_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll the status; errors that can pass are logged and tolerated."""
        if self._wait is None:
            from airflow_provider_sei.protocol.waiting import ExportWait

            # Rescheduled pokes are new processes, which do not know how long the export has been missing.
            first_poke = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
            self._wait = ExportWait(self._plan({}), missing_since=first_poke.timestamp() if first_poke else None)
        if (outcome := self.hook.poll_export(self._wait)) is None:
            return PokeReturnValue(is_done=False)
        with self._errors(outcome.export):
            return PokeReturnValue(is_done=True, xcom_value=outcome.export_or_raise().export_id)

    def _plan(self, context: Mapping[str, Any]) -> WaitPlan:
        from airflow_provider_sei.protocol.waiting import WaitPlan

        timeout, now = OPTIONS["wait_timeout"](self.timeout, field="wait_timeout"), time.time()
        return WaitPlan(
            family=get_family(self.family).name,
            export_id=parse_export_id(self.export_id),
            started_at=now,
            deadline=min(now + timeout, self._execution_deadline(context)),
            poll_interval=self.poll_interval,
        )

    @contextmanager
    def _errors(self, export: Any) -> Iterator[None]:
        """Translate a timeout, and let the error about a failed export name its scope, as its status repeats it."""
        try:
            yield
        except SEIExportTimeoutError as error:
            raise AirflowSensorTimeout(str(error)) from error  # without a retry, and covered by soft_fail
        except SEIError as error:
            self.hook.explain(error, export if isinstance(export, Mapping) else vars(export) if export else {})
            raise
