"""From an Airflow connection to checked settings, on the worker and on an event loop.

Only the fields that ``protocol.settings`` names are taken from the connection's extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.settings import SEISettings

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

__all__ = ["async_settings", "sync_settings"]


def sync_settings(sei_conn_id: str) -> SEISettings:
    """Return the settings of a connection, looked up on the worker.

    Raises:
        AirflowNotFoundException: there is no such connection.
        SEIUsageError: one of its fields is missing or cannot be used.
    """
    connection = BaseHook.get_connection(sei_conn_id)
    return _settings(connection, connection.extra_dejson, sei_conn_id)


async def async_settings(sei_conn_id: str) -> SEISettings:
    """Return the settings of a connection without holding up the event loop.

    Raises:
        AirflowNotFoundException: there is no such connection.
        SEIUsageError: one of its fields is missing or cannot be used.
    """
    # Imported here: DAG files import this module's users and need neither.
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    connection = await get_async_connection(sei_conn_id)
    return _settings(connection, await get_async_extra_dejson(connection), sei_conn_id)


def _settings(connection: Connection, extra: Mapping[str, Any], sei_conn_id: str) -> SEISettings:
    try:
        return SEISettings.from_fields(
            host=connection.host,
            password=connection.password,
            schema=connection.schema,
            port=connection.port,
            extra=extra,
        )
    except SEIUsageError as error:
        msg = f"connection {sei_conn_id!r}: {error}"
        raise SEIUsageError(msg, field=error.field) from None
