"""After how many seconds to repeat what failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_sei.exceptions import SEIError

MAX_RETRY_AFTER = 300.0
"""Seconds. A ``Retry-After`` that asks for more is cut to this, and so are all pauses between the tries of one call."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential back-off with jitter. All times in seconds."""

    attempts: int = 5  # in total, the first one included
    base: float = 1.0  # mean pause after the first failure, doubled after each further one
    longest: float = 60.0  # cap of the mean pause; a ``Retry-After`` may ask for more

    def pause(self, error: BaseException, failures: int, *, jitter: float, now: float) -> float:
        """Return the seconds to wait after that many failures in a row.

        :param error: what the last attempt ended with; its ``retry_after`` is respected, up to ``MAX_RETRY_AFTER``.
        :param jitter: random number in [0, 1); the pause is between half and one and a half times its mean.
        :param now: epoch seconds.
        """
        asked = retry_after_seconds(error.retry_after, now) if isinstance(error, SEIError) else None
        mean = min(self.longest, self.base * 2.0 ** min(failures - 1, 32))
        return max(mean * (0.5 + jitter), asked or 0.0)


def retry_after_seconds(value: str | None, now: float, *, cap: float = MAX_RETRY_AFTER) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, or ``None`` if it is absent or unreadable.

    Both forms of RFC 9110, 10.2.3 are read: seconds, and an HTTP date.

    :param now: epoch seconds.
    :param cap: the result is never more.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(cap, float(text[:9]))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(cap, max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds()))
