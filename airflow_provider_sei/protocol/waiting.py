"""Waiting for an export: when to ask again, when it is over, what trouble to bear.

The rules of this file, the same for a worker that sleeps and a triggerer that awaits:

1. The deadline is an absolute moment, so a restart does not restart it, and there is one last look when it is reached.
2. Trouble that can pass is borne by time, not by count: any good answer ends it, ``trouble_tolerance`` seconds of
   nothing but trouble end the wait. Trouble that cannot pass ends it at once.
3. A 404 is borne for a short while, in case a replica lags behind the create call; then the export has vanished.
4. Left alone, the pause between two looks grows with the root of the time waited: ``max(5 s, 1.5 * sqrt(elapsed))``,
   which needs the fewest calls for a given mean delay when most exports are short and some are long.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from airflow_provider_sei.protocol.errors import (
    SEIError,
    SEIExportTimeoutError,
    SEIExportVanishedError,
    SEINotFoundError,
    SEIUnreadableError,
)
from airflow_provider_sei.protocol.exports import Export, dead_export_error
from airflow_provider_sei.protocol.retry import retry_after_seconds
from airflow_provider_sei.protocol.status import ExportStatus, Verdict

__all__ = ["ExportWait", "WaitOutcome", "WaitPlan", "pause_seconds"]

_SHORTEST_PAUSE = 5.0  # seconds
_GROWTH = 1.5
_JITTER = 0.1  # of a pause, either way, so that exports created together are not asked for together
_MISSING_TOLERANCE = 30.0  # seconds for which a 404 is borne


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitPlan:
    """Which export to wait for, and for how long. Times are epoch seconds, because they cross processes."""

    family: str
    export_id: str
    started_at: float
    deadline: float
    poll_interval: float | None = None
    """Seconds between two looks; ``None`` takes the growing schedule."""
    trouble_tolerance: float = 900.0
    """Seconds of nothing but trouble that are borne."""


@dataclass(frozen=True, kw_only=True)
class WaitOutcome:
    """How a wait has ended: with a completed export, or with an error."""

    export: Export | None = None
    error: SEIError | None = None


class ExportWait:
    """Follows one export from look to look. It holds no clock: every call is told what time it is."""

    __slots__ = ("_last", "_missing_since", "_news", "_seen_at", "_trouble", "_trouble_since", "plan", "seconds_in")

    def __init__(self, plan: WaitPlan) -> None:
        self.plan = plan
        self.seconds_in: dict[ExportStatus, float] | None = None
        """Seconds that the export has spent in each status, as far as the looks at it tell; ``None``: no look yet."""
        self._seen_at = plan.started_at
        self._last: Export | None = None
        self._trouble_since: float | None = None
        self._missing_since: float | None = None
        self._trouble: SEIError | None = None
        self._news: list[str] = []

    def saw(self, export: Export, now: float) -> WaitOutcome | None:
        """Take in a good answer; return how the wait ends, or ``None`` to go on."""
        if self._trouble is not None:
            self._news.append(f"{self._name} answers again after {now - (self._trouble_since or now):.0f} s of trouble")
        self._trouble = self._trouble_since = self._missing_since = None
        if self._last is None or self._last.status_word != export.status_word:
            self._news.append(self._describe(export, now))
        self._account(export, now)
        self._last = export
        verdict = export.status.verdict
        if verdict is Verdict.READY:
            return WaitOutcome(export=export)
        if verdict is Verdict.DEAD:
            return WaitOutcome(export=export, error=dead_export_error(export))
        return self.over(now) if now >= self.plan.deadline else None

    def failed(self, error: SEIError, now: float) -> WaitOutcome | None:
        """Take in a look that ended in ``error``; return how the wait ends, or ``None`` to go on."""
        if self._trouble_since is None:
            self._trouble_since = now
            self._news.append(f"{self._name}: {error}")
        self._trouble = error
        if isinstance(error, SEINotFoundError):
            self._missing_since = now if self._missing_since is None else self._missing_since
            if now - self._missing_since < _MISSING_TOLERANCE and now < self.plan.deadline:
                return None
            return WaitOutcome(error=self._vanished(error))
        self._missing_since = None
        # A page in place of JSON is a proxy's or a gateway's bad minute more often than a wrong base URL, here where
        # the same URL has worked for the create call.
        if not (error.retryable or isinstance(error, SEIUnreadableError)):
            return WaitOutcome(error=error)
        if now >= self.plan.deadline:
            return self.over(now)
        return WaitOutcome(error=error) if now - self._trouble_since >= self.plan.trouble_tolerance else None

    def over(self, now: float) -> WaitOutcome:
        """Return how the wait ends when its time is up."""
        state = f"still {self._last.status_word!r}" if self._last else "never seen"
        trouble = f" (last trouble: {self._trouble})" if self._trouble else ""
        msg = (
            f"{self._name} was {state} after {max(0.0, now - self.plan.started_at):.0f} s{trouble}. It goes on at the"
            " server: wait for the same id again, or allow more time"
        )
        return WaitOutcome(export=self._last, error=SEIExportTimeoutError(msg, export_id=self.plan.export_id))

    def pause(self, now: float, chance: float) -> float:
        """Return the seconds until the next look.

        Args:
            chance: drawn evenly from [0, 1), for the jitter.
        """
        wait = pause_seconds(now - self.plan.started_at, chance, interval=self.plan.poll_interval)
        asked = retry_after_seconds(self._trouble.retry_after, now) if self._trouble else None
        return max(0.0, min(max(wait, asked or 0.0), self.plan.deadline - now))

    @property
    def has_news(self) -> bool:
        """Whether ``news`` has a line to return."""
        return bool(self._news)

    def news(self) -> list[str]:
        """Return what is worth a log line since the last call: changes of state, the start and the end of trouble."""
        news, self._news = self._news, []
        return news

    def _account(self, export: Export, now: float) -> None:
        status = (self._last or export).status
        if self.seconds_in is None:
            self.seconds_in = {}
        self.seconds_in[status] = self.seconds_in.get(status, 0.0) + max(0.0, now - self._seen_at)
        self._seen_at = now

    @property
    def _name(self) -> str:
        return f"{self.plan.family} export {self.plan.export_id}"

    def _describe(self, export: Export, now: float) -> str:
        word = export.status_word or "without a status"
        if export.status is ExportStatus.UNKNOWN:
            return f"{self._name} is {word!r}, a status that is not documented; waiting on until the deadline"
        return f"{self._name} is {word} after {max(0.0, now - self.plan.started_at):.0f} s"

    def _vanished(self, error: SEINotFoundError) -> SEIError:
        if self._last is None:
            return error
        msg = (
            f"{self._name} has vanished: the server answered 404 after it had answered {self._last.status_word!r};"
            " create it again"
        )
        return SEIExportVanishedError(
            msg,
            status_code=error.status_code,
            vendor_code=error.vendor_code,
            vendor_message=error.vendor_message,
            export_id=self.plan.export_id,
        )


def pause_seconds(elapsed: float, chance: float, *, interval: float | None = None) -> float:
    """Return the pause before the next look at an export that has been waited for ``elapsed`` seconds."""
    wait = interval if interval is not None else max(_SHORTEST_PAUSE, _GROWTH * sqrt(max(0.0, elapsed)))
    return wait * (1.0 - _JITTER + 2.0 * _JITTER * chance)
