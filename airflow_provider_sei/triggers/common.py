"""What the triggers share: how they load what they need, find their connection, and bear arguments of other releases.

DAG files with an asset watcher import this module, so it imports little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.protocol.errors import SEIError

if TYPE_CHECKING:
    from airflow_provider_sei.protocol.settings import SEISettings

__all__ = ["look_up", "prepare", "warn_of_unknown"]

_LOOK_UP_PAUSES = (1.0, 5.0, 15.0)  # seconds between the tries to look the connection up


async def prepare() -> None:
    """Load what waiting takes, in a thread: aiohttp and Airflow's table of metrics would hold the loop for too long."""
    if not _load.cache_info().currsize:
        await asyncio.to_thread(_load)


@cache
def _load() -> None:
    from airflow_provider_sei.triggers import stats

    for module in (
        "airflow.providers.common.compat.connection",
        "airflow_provider_sei.connection",
        "airflow_provider_sei.protocol.events",
        "airflow_provider_sei.triggers.sharing",
    ):
        import_module(module)
    stats.prepare()


async def look_up(sei_conn_id: str, log: Any) -> SEISettings:
    """Return the connection, checked; a source of connections that is out of order is asked again for a while.

    Args:
        sei_conn_id: the connection.
        log: the trigger's logger, whose class is another one in each version of Airflow.

    Raises:
        SEIError: the connection cannot be used.
        Exception: Airflow's, if it has none by that id.
    """
    from airflow_provider_sei.connection import async_settings

    for pause in (*_LOOK_UP_PAUSES, None):
        try:
            return await async_settings(sei_conn_id)
        except SEIError:
            raise
        except Exception as error:
            # The worker has just used it: Airflow calls a connection undefined, too, if its source is out of order.
            if pause is None:
                raise
            log.warning("Could not look up connection %r (%s); trying again", sei_conn_id, error)
            await asyncio.sleep(pause)
    raise AssertionError  # the last try returns or raises


def warn_of_unknown(log: Any, version: int, unknown: Mapping[str, Any]) -> None:
    """Say which arguments a later release has written that this one does not know."""
    if unknown:
        log.warning(
            "Left aside what this release does not know of the trigger's arguments (version %s): %s",
            version,
            ", ".join(sorted(unknown)),
        )
