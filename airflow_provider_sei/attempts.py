"""Creates an export once, however often its task is tried.

The export's id is kept in Airflow's task state store (3.3 and newer), which survives retries and deferrals. Without
the store, a retry creates the export again, and within 30 minutes SEI answers with the same one.

A retry goes on with an export that is queued, processing or completed. After a failed or vanished one it creates anew,
and so does a task that a user has cleared, for whoever clears wants a fresh result.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.protocol.arguments import checked_reused_failed
from airflow_provider_sei.protocol.errors import SEINotFoundError
from airflow_provider_sei.protocol.exports import check_reused
from airflow_provider_sei.protocol.status import Verdict

if TYPE_CHECKING:
    from airflow_provider_sei.hooks.sei import SEIHook
    from airflow_provider_sei.protocol.exports import Export
    from airflow_provider_sei.protocol.specs import ExportSpec

__all__ = ["ExportMemory", "Memory", "create_or_go_on", "has_earlier"]

_KEY = "sei_export"
_VERSION = 1

log = logging.getLogger("airflow_provider_sei")


def create_or_go_on(hook: SEIHook, spec: ExportSpec, context: Mapping[str, Any], reused_failed: object) -> Export:
    """Return the export that an earlier try has created, or create it.

    :param reused_failed: what to do about an older, failed export that the server answers with: ``fail`` or ``retry``.
    """
    with airflow_errors():
        policy = checked_reused_failed(reused_failed)
    memory = _memory(hook, spec, context)
    earlier = memory.recall()
    if earlier is not None:
        export = _usable(hook, spec, earlier)
        if export is not None:
            return export
    export = hook.submit(spec)
    memory.keep(export.export_id, reused=export.reused)
    if not export.reused:
        hook.log.info("Created %s export %s", export.family, export.export_id)
        return export
    current = hook.get_export(export.family, export.export_id)
    hook.log.info(
        "The server has an identical %s export from %s and answers with it: %s (%s). It may be somebody else's",
        export.family,
        export.created_at or "the last 30 minutes",
        export.export_id,
        current.status_word,
    )
    with airflow_errors():
        check_reused(current, policy, now=time.time())
    return export


def has_earlier(hook: SEIHook, spec: ExportSpec, context: Mapping[str, Any]) -> bool:
    """Return whether an earlier try has left an export to go on with, as far as is known without asking for it."""
    return _memory(hook, spec, context).recall() is not None


def _memory(hook: SEIHook, spec: ExportSpec, context: Mapping[str, Any]) -> ExportMemory:
    settings = hook.settings
    fingerprint = spec.fingerprint(
        org_identifier=settings.org_identifier, project_identifier=settings.project_identifier
    )
    return ExportMemory(context, fingerprint)


def _usable(hook: SEIHook, spec: ExportSpec, earlier: Memory) -> Export | None:
    try:
        export = hook.get_export(spec.family.name, earlier.export_id)
    except SEINotFoundError:
        hook.log.warning("Export %s of an earlier try has vanished; creating it again", earlier.export_id)
        return None
    if export.status.verdict is Verdict.DEAD:
        hook.log.warning("Export %s of an earlier try is %s; creating it again", earlier.export_id, export.status_word)
        return None
    hook.log.info(
        "Going on with %s export %s (%s) of an earlier try", export.family, export.export_id, export.status_word
    )
    return replace(export, reused=earlier.reused)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What an earlier try has left."""

    export_id: str
    reused: bool | None
    """Whether the export existed before that try asked for it."""


@dataclass(frozen=True, kw_only=True)
class _Record:
    export_id: str
    reused: bool | None
    fingerprint: str
    """Of the request: another request is another export."""
    chain: int | None
    """Marks the tries that follow each other without a user's clear in between."""
    version: int = _VERSION


class ExportMemory:
    """The memory of one task instance.

    Args:
        context: of the running task.
        fingerprint: of the request.
    """

    def __init__(self, context: Mapping[str, Any], fingerprint: str) -> None:
        self._store = context.get("task_state_store")
        self._fingerprint = fingerprint
        # A retry leaves max_tries as it is; clearing the task raises it. Airflow 3.3 keeps the store through a clear,
        # but a user who clears wants a fresh result.
        self._chain = getattr(context.get("ti"), "max_tries", None)

    def recall(self) -> Memory | None:
        """Return what an earlier try of the same chain and the same request has left."""
        if self._store is None:
            return None
        try:
            given = self._store.get(_KEY)
        except Exception:  # the task can do without
            log.warning("the task state store cannot be read; an earlier try's export is unknown", exc_info=True)
            return None
        if not isinstance(given, dict) or given.get("version") != _VERSION:
            return None
        if given.get("fingerprint") != self._fingerprint or given.get("chain") != self._chain:
            return None
        export_id = given.get("export_id")
        return Memory(export_id=export_id, reused=given.get("reused")) if isinstance(export_id, str) else None

    def keep(self, export_id: str, *, reused: bool | None) -> None:
        """Remember an export, at once after it was created."""
        if self._store is None:
            return
        record = _Record(export_id=export_id, reused=reused, fingerprint=self._fingerprint, chain=self._chain)
        try:
            self._store.set(_KEY, asdict(record))
        except Exception:  # the export goes on, and so does the task
            log.warning(
                "export %s cannot be kept in the task state store; a retry would create it again",
                export_id,
                exc_info=True,
            )
