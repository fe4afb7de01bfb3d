"""The trigger: waits for an export in the triggerer, without holding a worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_sei.protocol.errors import SEIError, SEINoAnswerError, SEIUsageError
from airflow_provider_sei.triggers.common import look_up, prepare, warn_of_unknown

if TYPE_CHECKING:
    from airflow_provider_sei.protocol.waiting import WaitOutcome

__all__ = ["SEIExportTrigger"]

_PAYLOAD_VERSION = 1


class SEIExportTrigger(BaseTrigger):
    """Fire once, when an export is completed, dead, or out of time.

    It only reads. Running twice, or again from the start after the triggerer was lost, changes nothing: all times are
    absolute. Its arguments are JSON primitives without secrets; the key is looked up by the connection's id. Arguments
    outlive upgrades in Airflow's database: those of older releases load, and those that only a later one knows are
    left aside with a warning.

    :param family: the export's family.
    :param export_id: the export.
    :param deadline: epoch seconds after which the wait is over.
    :param started_at: epoch seconds when the wait began; ``None`` means when the trigger first runs.
    :param sei_conn_id: the Airflow connection.
    :param poll_interval: seconds between two looks; ``None`` takes the growing schedule.
    :param reused: whether the export existed before it was asked for; passed through to the event.
    :param project_identifier: Harness project, instead of the connection's.
    :param org_identifier: Harness organisation, instead of the connection's.
    :param auth_header: header that carries the key, instead of the connection's.
    :param version: of these arguments, for releases to come.
    """

    def __init__(
        self,
        *,
        family: str,
        export_id: str,
        deadline: float,
        started_at: float | None = None,
        sei_conn_id: str = "sei_default",
        poll_interval: float | None = None,
        reused: bool | None = None,
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        auth_header: str | None = None,
        version: int = _PAYLOAD_VERSION,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's BaseTrigger.__init__ is not annotated
        self.family = family
        self.export_id = export_id
        self.deadline = deadline
        self.started_at = started_at
        self.sei_conn_id = sei_conn_id
        self.poll_interval = poll_interval
        self.reused = reused
        self.project_identifier = project_identifier
        self.org_identifier = org_identifier
        self.auth_header = auth_header
        self.version = version
        warn_of_unknown(self.log, version, unknown)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to make this trigger again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "family": self.family,
                "export_id": self.export_id,
                "deadline": self.deadline,
                "started_at": self.started_at,
                "sei_conn_id": self.sei_conn_id,
                "poll_interval": self.poll_interval,
                "reused": self.reused,
                "project_identifier": self.project_identifier,
                "org_identifier": self.org_identifier,
                "auth_header": self.auth_header,
                "version": self.version,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the export from time to time, and yield one event at the end."""
        await prepare()
        from airflow_provider_sei.protocol.events import write_event
        from airflow_provider_sei.protocol.waiting import WaitOutcome

        try:
            outcome = await self._wait()
        except SEIError as error:
            outcome = WaitOutcome(error=error)
        except Exception as error:
            self.log.exception("Waiting for export %s has failed", self.export_id)
            msg = (
                f"could not wait for {self.family} export {self.export_id} in the triggerer"
                f" ({type(error).__name__}: {error}); the trigger's log has the details, and the export goes on"
            )
            outcome = WaitOutcome(error=SEINoAnswerError(msg, export_id=self.export_id))
        if outcome.export is not None:
            outcome = replace(outcome, export=replace(outcome.export, reused=self.reused))
        yield TriggerEvent(write_event(outcome))

    async def on_kill(self) -> None:
        """Say what goes on at the server. Airflow 3.3 and newer call this when a user ends the deferred task.

        Airflow 3.3.0 to 3.3.2 call it, too, while the task still waits, when another triggerer has taken the trigger
        over; so nothing may be ended here, even if SEI had a call to cancel an export.
        """
        self.log.warning(
            "This triggerer no longer waits for %s export %s: a user has ended the task, or else another triggerer has"
            " taken the wait over (Airflow up to 3.3.2 does not tell which). The export goes on at the server either"
            " way, for SEI has no call to cancel it. Its id is kept: a retry of the task goes on with it",
            self.family,
            self.export_id,
        )

    async def _wait(self) -> WaitOutcome:
        from airflow_provider_sei.protocol.waiting import WaitPlan
        from airflow_provider_sei.triggers.sharing import wait_for_export

        for name in ("deadline", "started_at", "poll_interval"):
            value = getattr(self, name)
            # Among the moments of all waits, one that is no number would hold up the others.
            if value is not None and not isfinite(value):
                msg = f"{name} must be a number of seconds, not {value!r}"
                raise SEIUsageError(msg, field=name, export_id=self.export_id)
        plan = WaitPlan(
            family=self.family,
            export_id=self.export_id,
            started_at=time.time() if self.started_at is None else self.started_at,
            deadline=self.deadline,
            poll_interval=self.poll_interval,
        )
        settings = (await look_up(self.sei_conn_id, self.log)).overridden(
            project_identifier=self.project_identifier,
            org_identifier=self.org_identifier,
            auth_header=self.auth_header,
        )
        return await wait_for_export(plan, self.sei_conn_id, settings, lambda line: self.log.info("%s", line))
