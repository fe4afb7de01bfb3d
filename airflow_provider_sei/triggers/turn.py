"""The trigger that waits before an export is created, for a moment drawn by chance and for a turn among the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_sei.triggers.common import look_up, prepare, warn_of_unknown

__all__ = ["SEITurnTrigger"]

_PAYLOAD_VERSION = 1


class SEITurnTrigger(BaseTrigger):
    """Fire once, when a worker may create its export: at ``give_up_at`` at the latest, whatever happens.

    Nothing is called and nothing is created here. All times are absolute, so a trigger that begins again after the
    triggerer was lost has its old place among those that wait. Its arguments are JSON primitives without secrets, and
    outlive upgrades as those of :class:`SEIExportTrigger <airflow_provider_sei.triggers.sei.SEIExportTrigger>` do.

    :param family: the export's family, for the statistics.
    :param moment: epoch seconds before which it does not fire, drawn by chance.
    :param give_up_at: epoch seconds after which the task goes on without a turn.
    :param ends_at: epoch seconds when the task's ``execution_timeout`` is over; passed through to the event, for not
        every version of Airflow tells a resumed task when it began.
    :param sei_conn_id: the Airflow connection, whose exports take turns.
    :param version: of these arguments, for releases to come.
    """

    def __init__(
        self,
        *,
        family: str,
        moment: float,
        give_up_at: float,
        ends_at: float | None = None,
        sei_conn_id: str = "sei_default",
        version: int = _PAYLOAD_VERSION,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's BaseTrigger.__init__ is not annotated
        self.family = family
        self.moment = moment
        self.give_up_at = give_up_at
        self.ends_at = ends_at
        self.sei_conn_id = sei_conn_id
        self.version = version
        warn_of_unknown(self.log, version, unknown)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to make this trigger again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "family": self.family,
                "moment": self.moment,
                "give_up_at": self.give_up_at,
                "ends_at": self.ends_at,
                "sei_conn_id": self.sei_conn_id,
                "version": self.version,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield one event."""
        await prepare()
        from airflow_provider_sei.protocol.events import write_turn

        try:
            async with asyncio.timeout(self.give_up_at - time.time()):
                await asyncio.sleep(self.moment - time.time())
                await self._turn()
        except TimeoutError:
            self.log.warning("No turn has come for this %s export; creating it without", self.family)
        except Exception:
            # What is wrong with the connection, the create call says better.
            self.log.exception("Could not wait for a turn; creating this %s export without", self.family)
        yield TriggerEvent(write_turn(self.ends_at))

    async def _turn(self) -> None:
        from airflow_provider_sei.triggers.sharing import wait_for_turn

        settings = await look_up(self.sei_conn_id, self.log)
        await wait_for_turn(self.moment, self.family, self.sei_conn_id, settings)
