"""The trigger that waits for one export, without holding a worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from math import isfinite
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_sei.exceptions import SEIArgumentError, SEIConnectionError, SEIError
from airflow_provider_sei.protocol.waiting import WaitOutcome, WaitPlan
from airflow_provider_sei.triggers._poller import look_up, shared_poller

__all__ = ["SEIExportTrigger"]

_ARGUMENTS = (
    *("family", "export_id", "deadline", "started_at", "sei_conn_id", "poll_interval", "passthrough"),
    *("project_identifier", "org_identifier", "auth_header", "account_id", "version"),
)


class SEIExportTrigger(BaseTrigger):
    """Fire once, when an export is completed, failed or cancelled, or when the time is over.

    It only reads, and its times are absolute, so running it twice or again after a restart is harmless. Its arguments
    are JSON primitives without secrets, kept in Airflow's database across upgrades: those of older releases load, and
    unknown ones of later releases are ignored with a warning.

    :param family: the export's family.
    :param export_id: the export.
    :param deadline: epoch seconds at which the wait ends.
    :param started_at: epoch seconds when the wait began; ``None`` means when the trigger first runs.
    :param sei_conn_id: the Airflow connection.
    :param poll_interval: seconds between two polls; ``None`` takes the growing interval.
    :param passthrough: JSON that is returned unchanged as the event's ``passthrough``.
    :param project_identifier: Harness project, instead of the connection's.
    :param org_identifier: Harness organisation, instead of the connection's.
    :param auth_header: header that carries the key, instead of the connection's.
    :param account_id: Harness account, instead of the connection's; sent if the connection has an ``account_header``.
    :param version: of these arguments.
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
        passthrough: dict[str, Any] | None = None,
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        auth_header: str | None = None,
        account_id: str | None = None,
        version: int = 1,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's BaseTrigger.__init__ is not annotated
        self.family, self.export_id, self.sei_conn_id = family, export_id, sei_conn_id
        self.deadline, self.started_at, self.poll_interval = deadline, started_at, poll_interval
        self.project_identifier, self.org_identifier = project_identifier, org_identifier
        self.auth_header, self.account_id = auth_header, account_id
        self.passthrough, self.version = passthrough, version
        if unknown:
            names = ", ".join(sorted(unknown))
            self.log.warning("Ignored unknown arguments of the trigger (version %s): %s", version, names)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to make this trigger again."""
        # An earlier release, on a triggerer that is not upgraded yet, would warn of an argument that it does not know.
        arguments = {name: getattr(self, name) for name in _ARGUMENTS if name != "account_id" or self.account_id}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield one event."""
        try:
            for name in ("deadline", "started_at", "poll_interval"):
                if not isfinite(getattr(self, name) or 0.0):
                    msg = f"{name} must be a number of seconds, not {getattr(self, name)!r}"
                    raise SEIArgumentError(msg, field=name, export_id=self.export_id)  # noqa: TRY301 - it ends the wait
            plan = WaitPlan(
                family=self.family,
                export_id=self.export_id,
                started_at=time.time() if self.started_at is None else self.started_at,
                deadline=self.deadline,
                poll_interval=self.poll_interval,
            )
            settings = await look_up(self)
            async with shared_poller(self.sei_conn_id, settings) as poller:
                outcome = await poller.wait(plan, settings, lambda line: self.log.info("%s", line))
        except SEIError as error:
            outcome = WaitOutcome(error=error)
        except Exception as error:
            self.log.exception("Waiting for export %s has failed", self.export_id)
            msg = (
                f"{type(error).__name__}: {error}: could not wait for {self.family} export {self.export_id} in the"
                " triggerer; see the trigger's log. The export continues at the server"
            )
            outcome = WaitOutcome(error=SEIConnectionError(msg, export_id=self.export_id))
        yield TriggerEvent(outcome.to_event() | {"passthrough": self.passthrough})

    async def on_kill(self) -> None:
        """Log what continues at the server. Airflow 3.3 and newer call this when a user ends the deferred task.

        Airflow 3.3.0 to 3.3.2 also call it when another triggerer has taken the trigger over, while the task still
        waits; so nothing may be ended here.
        """
        self.log.warning(
            "This triggerer no longer waits for %s export %s: a user has ended the task, or another triggerer has taken"
            " the trigger over (Airflow up to 3.3.2 does not say which). Either way the export continues at the"
            " server: SEI has no call to cancel it. Its id is stored, so a retry of the task resumes it",
            self.family,
            self.export_id,
        )
