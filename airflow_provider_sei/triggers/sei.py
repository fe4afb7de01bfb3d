"""The trigger: waits for an export in the triggerer, without holding a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_sei.protocol.errors import SEIError
from airflow_provider_sei.protocol.events import write_event
from airflow_provider_sei.protocol.waiting import WaitOutcome, WaitPlan

_PAYLOAD_VERSION = 1


class SEIExportTrigger(BaseTrigger):
    """Fire once, when an export is completed, dead, or out of time.

    It only reads. Running twice, or again from the start after the triggerer was lost, changes nothing: all times are
    absolute. Its arguments are JSON primitives without secrets; the key is looked up by the connection's id.

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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # not annotated in Airflow
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
        try:
            outcome = await self._wait()
        except SEIError as error:
            outcome = WaitOutcome(error=error)
        if outcome.export is not None:
            outcome = replace(outcome, export=replace(outcome.export, reused=self.reused))
        yield TriggerEvent(write_event(outcome))

    async def _wait(self) -> WaitOutcome:
        plan = WaitPlan(
            family=self.family,
            export_id=self.export_id,
            started_at=time.time() if self.started_at is None else self.started_at,
            deadline=self.deadline,
            poll_interval=self.poll_interval,
        )
        # Imported here, in a thread: DAG files import this module by way of the operators and need none of it, and
        # importing aiohttp would hold the event loop for longer than one trigger may.
        poller, connection = await asyncio.to_thread(_import_poller)
        settings = (await connection.async_settings(self.sei_conn_id)).overridden(
            project_identifier=self.project_identifier,
            org_identifier=self.org_identifier,
            auth_header=self.auth_header,
        )
        outcome: WaitOutcome = await poller.wait_for_export(
            plan, self.sei_conn_id, settings, lambda line: self.log.info("%s", line)
        )
        return outcome


def _import_poller() -> tuple[Any, Any]:

    import airflow_provider_sei.connection
    import airflow_provider_sei.transports.aio
    import airflow_provider_sei.triggers.poller

    return airflow_provider_sei.triggers.poller, airflow_provider_sei.connection
