"""The trigger: waits for an export in the triggerer, without holding a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from math import isfinite
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_sei.protocol.errors import SEIError, SEINoAnswerError, SEIUsageError

if TYPE_CHECKING:
    from airflow_provider_sei.protocol.settings import SEISettings
    from airflow_provider_sei.protocol.waiting import WaitOutcome

__all__ = ["SEIExportTrigger"]

_PAYLOAD_VERSION = 1
_LOOK_UP_PAUSES = (1.0, 5.0, 15.0)  # seconds between the tries to look the connection up


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
        if unknown:
            self.log.warning(
                "Left aside what this release does not know of the trigger's arguments (version %s): %s",
                version,
                ", ".join(sorted(unknown)),
            )

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
        if not _prepare.cache_info().currsize:
            await asyncio.to_thread(_prepare)
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

    async def _wait(self) -> WaitOutcome:
        from airflow_provider_sei.protocol.waiting import WaitPlan
        from airflow_provider_sei.triggers.poller import wait_for_export

        if not isfinite(self.deadline):
            msg = f"deadline must be a moment in epoch seconds, not {self.deadline!r}"
            raise SEIUsageError(msg, field="deadline", export_id=self.export_id)
        plan = WaitPlan(
            family=self.family,
            export_id=self.export_id,
            started_at=time.time() if self.started_at is None else self.started_at,
            deadline=self.deadline,
            poll_interval=self.poll_interval,
        )
        settings = await self._settings()
        return await wait_for_export(plan, self.sei_conn_id, settings, lambda line: self.log.info("%s", line))

    async def _settings(self) -> SEISettings:
        from airflow_provider_sei.connection import async_settings

        for pause in (*_LOOK_UP_PAUSES, None):
            try:
                settings = await async_settings(self.sei_conn_id)
                break
            except SEIError:
                raise
            except Exception as error:
                # The worker has just used it: Airflow calls a connection undefined, too, if its source is out of order.
                if pause is None:
                    raise
                self.log.warning("Could not look up connection %r (%s); trying again", self.sei_conn_id, error)
                await asyncio.sleep(pause)
        return settings.overridden(
            project_identifier=self.project_identifier,
            org_identifier=self.org_identifier,
            auth_header=self.auth_header,
        )


@cache
def _prepare() -> None:
    """Load what waiting takes; not to be called on an event loop.

    DAG files import this module by way of the operators and need none of it, and aiohttp and Airflow's table of metrics
    would hold the loop for longer than one trigger may.
    """
    from airflow_provider_sei.triggers import stats

    for module in (
        "airflow.providers.common.compat.connection",
        "airflow_provider_sei.connection",
        "airflow_provider_sei.protocol.events",
        "airflow_provider_sei.triggers.poller",
    ):
        import_module(module)
    stats.prepare()
