"""How the end of a wait travels from the triggerer to the worker: as a versioned dict of JSON primitives.

Written and read here alone. Reading fails closed: whatever is not plainly a completed export is an error. The end of a
wait for a turn is the exception: the task goes on, whatever the event says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from math import inf
from typing import Any

from airflow_provider_sei.protocol import errors
from airflow_provider_sei.protocol.errors import SEIError
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.status import Verdict, read_status
from airflow_provider_sei.protocol.waiting import WaitOutcome

__all__ = ["VERSION", "read_event", "read_turn", "write_event", "write_turn"]

VERSION = 1

_KINDS: dict[str, type] = {"reused": bool, "summary": bool, "size_bytes": int}
"""Of an export's fields that are not text."""

_ERROR_FIELDS = ("status_code", "vendor_code", "vendor_message", "export_id", "retry_after")


def write_event(outcome: WaitOutcome) -> dict[str, Any]:
    """Return ``outcome`` as the payload of a trigger event."""
    event: dict[str, Any] = {"version": VERSION, "outcome": "error" if outcome.error else "ready"}
    if outcome.export is not None:
        event["export"] = asdict(outcome.export) | {"status": outcome.export.status.value}
    if outcome.error is not None:
        error = outcome.error
        event["error"] = {"type": type(error).__name__, "message": str(error), "retryable": error.retryable}
        event["error"] |= {name: getattr(error, name) for name in _ERROR_FIELDS}
    return event


def read_event(event: object) -> Export:
    """Return the completed export that ``event`` tells of.

    Raises:
        SEIError: the error it tells of, by its own type; or one that says that the event cannot be understood.
    """
    if not isinstance(event, Mapping):
        msg = f"the trigger returned {type(event).__name__} in place of an event; the export's state is unknown"
        raise SEIError(msg)
    if event.get("outcome") == "error" and isinstance(event.get("error"), Mapping):
        raise _read_error(event["error"])
    given = event.get("export")
    if event.get("outcome") != "ready" or not isinstance(given, Mapping):
        msg = f"the trigger returned an event that this release cannot read (version {event.get('version')!r})"
        raise SEIError(msg)
    known = {field.name: given[field.name] for field in fields(Export) if given.get(field.name) is not None}
    wrong = [name for name, value in known.items() if not isinstance(value, _KINDS.get(name, str))]
    if wrong or not known.get("export_id") or "family" not in known:
        msg = f"the trigger returned an event without a usable {wrong[0] if wrong else 'export id or family'}"
        raise SEIError(msg)
    export = Export(**known | {"status": read_status(known.get("status"))})
    if export.status.verdict is not Verdict.READY:
        msg = f"the trigger called export {export.export_id} ready, yet its status is {export.status.value}"
        raise SEIError(msg, export_id=export.export_id)
    return export


def write_turn(ends_at: float | None) -> dict[str, Any]:
    """Return the payload of an event that says that a task may create its export.

    Args:
        ends_at: epoch seconds when the task's time is over; ``None``: it has no end.
    """
    return {"version": VERSION, "outcome": "turn", "ends_at": ends_at}


def read_turn(event: object) -> float:
    """Return when the time of the task is over that has had its turn, in epoch seconds; ``inf`` if it has no end."""
    ends_at = event.get("ends_at") if isinstance(event, Mapping) else None
    return float(ends_at) if isinstance(ends_at, float | int) else inf


def _read_error(given: Mapping[str, Any]) -> SEIError:
    message = str(given.get("message") or "the wait ended in an error without a message")
    kind = getattr(errors, str(given["type"])) if given.get("type") in errors.__all__ else None
    details: dict[str, Any] = {
        name: value if isinstance(value := given.get(name), str | int) else None for name in _ERROR_FIELDS
    }
    if kind is None:
        # Raised by another release of the triggerer: what matters is kept, its type is not.
        kind = errors.SEINoAnswerError if given.get("retryable") else errors.SEIExportError
    if issubclass(kind, errors.SEIUsageError):
        return kind(message, export_id=details["export_id"])
    return kind(message, **details)
