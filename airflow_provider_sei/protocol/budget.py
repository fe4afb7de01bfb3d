"""How many calls a connection may make: a token bucket that slows down when the server says so."""

from __future__ import annotations

__all__ = ["RateBudget"]

_BURST_SECONDS = 2.0  # worth of calls that may be saved up
_SLOWED_SECONDS = 120.0  # for which the rate stays reduced after a 429
_SLOWED_TO = 0.5
_LEAST_PAUSE = 5.0  # seconds without a call after a 429 that does not say how long


class RateBudget:
    """Hands out calls at a steady rate. It holds no clock: every call is told what time it is (epoch seconds).

    Args:
        calls_per_minute: the rate.
    """

    def __init__(self, calls_per_minute: float) -> None:
        self.calls_per_second = calls_per_minute / 60.0
        self._tokens = 1.0
        self._counted_at: float | None = None
        self._closed_until = 0.0
        self._slowed_until = 0.0
        self._strikes = 0

    def rate(self, now: float) -> float:
        """Return the calls a second that are allowed at present."""
        if now >= self._slowed_until:
            self._strikes = 0
        return self.calls_per_second * _SLOWED_TO**self._strikes

    def take(self, now: float) -> float:
        """Take one call: return 0.0 if it may be made now, else the seconds to wait before asking again."""
        if now < self._closed_until:
            return self._closed_until - now
        rate = self.rate(now)
        elapsed = max(0.0, now - self._counted_at) if self._counted_at is not None else 0.0
        self._counted_at = now
        self._tokens = min(max(1.0, rate * _BURST_SECONDS), self._tokens + elapsed * rate)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / rate

    def throttled(self, now: float, seconds: float | None, chance: float) -> None:
        """Take in a 429: make no call for a while, and fewer for some time after.

        Args:
            seconds: what the answer's ``Retry-After`` asked for; the vendor sends none.
            chance: drawn evenly from [0, 1), for the jitter.
        """
        if now >= self._closed_until:  # several calls in flight are told off for the same burst
            self._strikes = min(self._strikes + 1, 4) if now < self._slowed_until else 1
        pause = _LEAST_PAUSE * 2.0 ** (self._strikes - 1) * (0.75 + 0.5 * chance)
        self._closed_until = max(self._closed_until, now + max(pause, seconds or 0.0))
        self._slowed_until = self._closed_until + _SLOWED_SECONDS
        self._tokens = 0.0
