"""Waiting for an export: when to poll next, when the wait ends, and how its outcome travels to the worker.

The same rules hold for a worker that sleeps and for a triggerer that awaits:

1. The deadline is a point in time, so a restart does not extend it. One last poll is made when it is reached.
2. Transient errors are tolerated for ``error_tolerance`` seconds without a good answer; others end it at the first.
3. A 401 or 403 after good answers ends it at the third without a good answer between: a gateway may be restarting.
4. A 404 is tolerated for 30 s, in case a replica lags behind the create call.
5. The interval between two polls is ``max(5 s, 1.5 * sqrt(elapsed))``, 10 % more or less, unless the user sets one.
   That takes the fewest calls for a given mean delay when most exports are short and some are long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import sqrt
from typing import Any

from airflow_provider_sei import exceptions
from airflow_provider_sei.exceptions import SEIError
from airflow_provider_sei.protocol.exports import Export, ExportStatus, failed_export_error
from airflow_provider_sei.protocol.retry import retry_after_seconds

_SHORTEST_PAUSE = 5.0  # seconds
_GROWTH = 1.5
_JITTER = 0.1  # of a pause, either way, so that exports created together are not polled together
_NOT_FOUND_TOLERANCE = 30.0  # seconds
_MAX_REFUSALS = 3
_RESUMED_AFTER = 60.0  # seconds; a wait that is older has had good answers, if only before a restart

_TYPES: dict[str, type] = {"reused": bool, "summary": bool, "size_bytes": int}  # of an export's fields; others are str
_ERROR_FIELDS = ("status_code", "vendor_code", "vendor_message", "export_id", "retry_after")


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitPlan:
    """Which export to wait for, and for how long. Times are epoch seconds, because they cross processes."""

    family: str
    export_id: str
    started_at: float
    deadline: float
    poll_interval: float | None = None
    """Seconds between two polls; ``None`` takes the growing interval."""
    error_tolerance: float = 900.0
    """Seconds of consecutive transient errors after which the wait fails."""

    @property
    def description(self) -> str:
        """For messages: ``productivity export exp_7a8b9c0d``."""
        return f"{self.family} export {self.export_id}"


@dataclass(frozen=True, kw_only=True)
class WaitOutcome:
    """How a wait has ended: with a completed export, or with an error."""

    export: Export | None = None
    error: SEIError | None = None

    def export_or_raise(self) -> Export:
        """Return the completed export.

        :raises SEIError: the wait has ended otherwise.
        """
        if self.error is not None:
            raise self.error
        if self.export is None:
            msg = "the wait has ended without an export"
            raise SEIError(msg)
        return self.export

    def to_event(self) -> dict[str, Any]:
        """Return the payload of a trigger event, as JSON primitives; :func:`read_event` reads it."""
        event: dict[str, Any] = {"version": 1, "outcome": "error" if self.error else "ready"}
        if self.export is not None:
            event["export"] = asdict(self.export) | {"status": self.export.status.value}
        if self.error is not None:
            event["error"] = {name: getattr(self.error, name) for name in (*_ERROR_FIELDS, "retryable")}
            event["error"] |= {"type": type(self.error).__name__, "message": str(self.error)}
        return event


@dataclass(eq=False, slots=True)
class ExportWait:
    """Follows one export from poll to poll. It has no clock: every method is given the time, in epoch seconds."""

    plan: WaitPlan
    missing_since: float | None = None
    """Since when the server has answered 404."""
    messages: list[str] = field(default_factory=list)
    """For the caller to log and clear: changes of status, the first error, recovery."""
    _last: Export | None = None
    _error: SEIError | None = None
    _error_since: float | None = None
    _refusals: int = 0

    def on_status(self, export: Export, now: float) -> WaitOutcome | None:
        """Record a good answer; return how the wait ends, or ``None`` to go on."""
        if self._error_since is not None:
            self.messages.append(f"{export.description} answers again after {now - self._error_since:.0f} s of errors")
        self._error = self._error_since = self.missing_since = None
        self._refusals = 0
        if self._last is None or self._last.status_word != export.status_word:
            word = export.status_word or "without a status"
            status = f"{word} ({max(0.0, now - self.plan.started_at):.0f} s)"
            if export.status is ExportStatus.UNKNOWN:
                status = f"{word!r} is not a documented status; waiting until the deadline"
            self.messages.append(f"{export.description}: {status}")
        self._last = export
        if export.status.is_successful:
            return WaitOutcome(export=export)
        if export.status.is_terminal:
            return WaitOutcome(export=export, error=failed_export_error(export))
        return self.timed_out(now) if now >= self.plan.deadline else None

    def on_error(self, error: SEIError, now: float) -> WaitOutcome | None:
        """Record a poll that failed; return how the wait ends, or ``None`` to go on."""
        if self._error_since is None:
            self._error_since = now
            self.messages.append(f"{self.plan.description}: {error}")
        self._error = error
        if isinstance(error, exceptions.SEINotFoundError):
            self.missing_since = now if self.missing_since is None else self.missing_since
            if now - self.missing_since < _NOT_FOUND_TOLERANCE and now < self.plan.deadline:
                return None
            if self._last is not None:
                before = f"the server answered 404 after it had answered {self._last.status_word!r}"
                msg = f"{before}: {self.plan.description} is gone; create it again"
                details = {name: getattr(error, name) for name in _ERROR_FIELDS} | {"export_id": self.plan.export_id}
                error = exceptions.SEIExportNotFoundError(msg, **details)
            return WaitOutcome(error=error)
        self.missing_since = None
        may_pass = error.retryable
        if isinstance(error, exceptions.SEIAuthError):
            self._refusals += 1
            had_answers = self._last is not None or now - self.plan.started_at >= _RESUMED_AFTER
            may_pass = had_answers and self._refusals < _MAX_REFUSALS
        # HTML in place of JSON is a failing gateway here, rather than a wrong base URL: the create call has worked.
        if not (may_pass or isinstance(error, exceptions.SEIUnexpectedResponseError)):
            return WaitOutcome(error=error)
        if now >= self.plan.deadline:
            return self.timed_out(now)
        return WaitOutcome(error=error) if now - self._error_since >= self.plan.error_tolerance else None

    def timed_out(self, now: float) -> WaitOutcome:
        """Return how the wait ends when its time is over."""
        state = f"still {self._last.status_word!r}" if self._last else "never seen"
        last_error = f" (last error: {self._error})" if self._error else ""
        msg = (
            f"{state} after {max(0.0, now - self.plan.started_at):.0f} s{last_error}: {self.plan.description} continues"
            " at the server; wait for the same id again, or allow more time"
        )
        return WaitOutcome(
            export=self._last, error=exceptions.SEIExportTimeoutError(msg, export_id=self.plan.export_id)
        )

    def pause(self, now: float, jitter: float, *, factor: float = 1.0, at_least: float = 0.0) -> float:
        """Return the seconds until the next poll, which is at the deadline at the latest.

        :param jitter: random number in [0, 1).
        :param factor: of the usual pause, which is longer for a caller that learns of changes otherwise, too.
        """
        usual = self.plan.poll_interval
        if usual is None:
            usual = max(_SHORTEST_PAUSE, _GROWTH * sqrt(max(0.0, now - self.plan.started_at)))
        asked = retry_after_seconds(self._error.retry_after, now) if self._error else None
        wait = max(factor * usual * (1.0 - _JITTER + 2.0 * _JITTER * jitter), at_least, asked or 0.0)
        return max(0.0, min(wait, self.plan.deadline - now))


def read_event(event: object) -> Export:
    """Return the completed export of a trigger event.

    It fails closed: whatever is not clearly a completed export is an error.

    :raises SEIError: the error in the event, as its own class; or one that says that the event cannot be read.
    """
    if not isinstance(event, Mapping):
        msg = f"the trigger returned {type(event).__name__} in place of an event; the export's status is unknown"
        raise SEIError(msg)
    if event.get("outcome") == "error" and isinstance(event.get("error"), Mapping):
        raise _read_error(event["error"])
    given = event.get("export")
    if event.get("outcome") != "ready" or not isinstance(given, Mapping):
        msg = f"the trigger returned an event that this release cannot read (version {event.get('version')!r})"
        raise SEIError(msg)
    known = {field.name: given[field.name] for field in fields(Export) if given.get(field.name) is not None}
    wrong = [name for name, value in known.items() if not isinstance(value, _TYPES.get(name, str))]
    if wrong or not known.get("export_id") or "family" not in known:
        msg = f"the trigger returned an event without a usable {wrong[0] if wrong else 'export id or family'}"
        raise SEIError(msg)
    export = Export(**known | {"status": ExportStatus(known.get("status"))})
    if not export.status.is_successful:
        msg = f"the trigger reported export {export.export_id} as ready, but its status is {export.status.value}"
        raise SEIError(msg, export_id=export.export_id)
    return export


def _read_error(given: Mapping[str, Any]) -> SEIError:
    message = str(given.get("message") or "the wait ended in an error without a message")
    details: dict[str, Any] = {name: given[name] for name in _ERROR_FIELDS if isinstance(given.get(name), str | int)}
    kind = vars(exceptions).get(str(given.get("type")))
    if not (isinstance(kind, type) and issubclass(kind, SEIError)):
        # Written by another release: keep what matters, which is whether to retry.
        kind = exceptions.SEIConnectionError if given.get("retryable") else exceptions.SEIExportError
    if issubclass(kind, exceptions.SEIArgumentError):
        return kind(message, export_id=details.get("export_id"))
    return kind(message, **details)
