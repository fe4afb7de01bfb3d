"""When a call is made again, and how long to wait before.

One rule for both transports: an error that can pass (no answer, 429, 5xx) is tried again a bounded number of times,
after an exponential wait with jitter or after what ``Retry-After`` asks for, and never beyond the time left. Creating
an export may be repeated too: the repeat is answered with the existing export.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_sei.protocol.errors import SEIError

__all__ = ["Backoff", "retry_after_seconds"]


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Decides about one call. All times in seconds."""

    attempts: int = 5
    """Tries in all, the first included."""
    base: float = 1.0
    """Wait before the second try; doubled for each one after."""
    longest: float = 60.0
    """No wait of our own is longer."""
    longest_asked: float = 300.0
    """No ``Retry-After`` is obeyed beyond this."""

    def delay(
        self, error: SEIError, attempt: int, *, chance: float, now: float, left: float | None = None
    ) -> float | None:
        """Return the seconds to wait before trying again, or ``None`` to give up.

        Args:
            error: what the try ended with.
            attempt: number of tries made so far, at least 1.
            chance: drawn evenly from [0, 1), for the jitter.
            now: epoch seconds, to read a ``Retry-After`` date.
            left: seconds until the caller's own deadline; ``None`` means there is none.
        """
        if not error.retryable or attempt >= self.attempts:
            return None
        wait = min(self.longest, self.base * 2.0 ** (attempt - 1)) * (0.5 + chance)
        asked = retry_after_seconds(error.retry_after, now)
        if asked is not None:
            wait = max(wait, min(asked, self.longest_asked))
        if left is not None and wait >= left:
            return None
        return wait


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Return what a ``Retry-After`` header asks for in seconds, or ``None`` if it is absent or unreadable.

    Both documented forms are read: seconds, and an HTTP date (RFC 9110, 10.2.3).
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
