"""Creates an export once, however often its task is retried.

The export's id is kept in Airflow's task state store (3.3 and newer), which survives retries and deferrals. Without the
store, a retry repeats the create call, and within 30 minutes SEI responds with the same export.

A retry resumes an export that is queued, processing or completed. After a failed or deleted one it creates another, and
so does a task that a user has cleared: clearing requests a fresh result.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.exceptions import SEINotFoundError
from airflow_provider_sei.protocol.exports import Export, check_reused

if TYPE_CHECKING:
    from airflow_provider_sei.hooks.sei import SEIHook
    from airflow_provider_sei.protocol.export_request import ExportRequest

__all__ = ["StoredExport", "create_or_resume"]

_KEY = "sei_export"
_VERSION = 1

log = logging.getLogger("airflow_provider_sei")


def create_or_resume(
    hook: SEIHook, request: ExportRequest, stored: StoredExport, reused_failed: str
) -> tuple[Export, bool]:
    """Return the export that an earlier try created, or create it; and whether its status is up to date.

    :param reused_failed: what to do if SEI reuses an older, failed export: ``fail`` or ``retry``.
    """
    if export := _resume(hook, request, stored):
        return export, True
    export = hook.submit(request)
    stored.save(export)
    if not export.reused:
        hook.log.info("Created %s", export.description)
        return export, False
    current = hook.get_export(export.family, export.export_id)
    hook.log.info(
        "Reusing %s (created %s, status: %s, possibly another user's): SEI returns the same export for identical"
        " requests within 30 minutes",
        export.description,
        current.created_at or "within the last 30 minutes",
        current.status_word,
    )
    check_reused(current, reused_failed, now=time.time())
    return replace(current, reused=True), True


def _resume(hook: SEIHook, request: ExportRequest, stored: StoredExport) -> Export | None:
    if (record := stored.load()) is None:
        return None
    export_id = record["export_id"]
    try:
        export = hook.get_export(request.family.name, export_id)
    except SEINotFoundError:
        hook.log.warning("Export %s of an earlier try no longer exists; creating it again", export_id)
        return None
    if export.status.is_terminal and not export.status.is_successful:
        hook.log.warning("Export %s of an earlier try: status %s; creating it again", export_id, export.status_word)
        return None
    hook.log.info("Resuming %s of an earlier try (status: %s)", export.description, export.status_word)
    return replace(export, reused=record.get("reused"))


class StoredExport:
    """The export that the tries of one task instance share.

    :param context: of the running task.
    :param fingerprint: of the request; another request is another export.
    """

    def __init__(self, context: Mapping[str, Any], fingerprint: str) -> None:
        self._store = context.get("task_state_store")
        # Retries keep max_tries, clearing the task raises it. Airflow 3.3 keeps the store through a clear.
        max_tries = getattr(context.get("ti"), "max_tries", None)
        self._identity = {"version": _VERSION, "fingerprint": fingerprint, "max_tries": max_tries}

    def load(self) -> dict[str, Any] | None:
        """Return ``export_id`` and ``reused`` of the export that an earlier try saved for the same request."""
        if self._store is None:
            return None
        try:
            record = self._store.get(_KEY)
        except Exception:
            log.warning("Could not read the task state store; an earlier try's export is unknown", exc_info=True)
            return None
        if not isinstance(record, dict) or not isinstance(record.get("export_id"), str):
            return None
        return record if self._identity.items() <= record.items() else None

    def save(self, export: Export) -> None:
        """Save a created export."""
        if self._store is None:
            return
        try:
            self._store.set(_KEY, {**self._identity, "export_id": export.export_id, "reused": export.reused})
        except Exception:
            words = "Could not save export %s in the task state store; a retry would create it again"
            log.warning(words, export.export_id, exc_info=True)
