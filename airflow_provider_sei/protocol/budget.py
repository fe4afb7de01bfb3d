"""How many calls a connection may make: a token bucket that slows down when the server says so."""

from __future__ import annotations

__all__ = ["RateBudget"]

_MINUTE = 60.0
_BURST_SECONDS = 2.0  # worth of calls that may be saved up
_SLOWED_SECONDS = 120.0  # for which the rate stays reduced after a 429
_SLOWED_TO = 0.5
_MOST_STRIKES = 4  # a sixteenth of the rate is slow enough for any server
_LEAST_PAUSE = 5.0  # seconds without a call after a 429 that does not say how long


class RateBudget:
    """Hands out calls at a steady rate. It holds no clock: every call is told what time it is (epoch seconds).

    Args:
        calls_per_minute: no minute, wherever it begins, has more calls than this. Several calls that are taken at once
            can be more than a small budget saves up: the difference is owed, and such a minute has that many more.
    """

    def __init__(self, calls_per_minute: float) -> None:
        self._burst = max(1.0, calls_per_minute * _BURST_SECONDS / _MINUTE)
        # What is saved up can be spent within the same minute as what comes in.
        self._full_rate = (calls_per_minute - self._burst + 1.0) / _MINUTE
        self._tokens = 1.0
        self._counted_at: float | None = None
        self._closed_until = 0.0
        self._slowed_until = 0.0
        self._strikes = 0

    def rate(self, now: float) -> float:
        """Return the calls a second that are allowed at present."""
        return self._full_rate * (_SLOWED_TO**self._strikes if now < self._slowed_until else 1.0)

    def pause(self, now: float, calls: int = 1) -> float:
        """Return the seconds until so many calls may be made at once; 0.0 means now."""
        rate = self.rate(now)
        if self._counted_at is not None:
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._counted_at) * rate)
        self._counted_at = now
        wanted = min(float(calls), self._burst)
        # A token that lacks a billionth for want of precision is a whole one.
        missing = 0.0 if self._tokens > wanted - 1e-9 else (wanted - self._tokens) / rate
        return max(missing, self._closed_until - now)

    def take(self, calls: int = 1) -> None:
        """Spend calls that ``pause`` has allowed."""
        self._tokens -= calls

    def throttled(self, now: float, seconds: float | None, chance: float) -> None:
        """Take in a 429: make no call for a while, and fewer for some time after.

        Args:
            seconds: what the answer's ``Retry-After`` asked for; the vendor sends none.
            chance: drawn evenly from [0, 1), for the jitter.
        """
        if now >= self._closed_until:  # several calls in flight are told off for the same burst
            self._strikes = min(self._strikes + 1, _MOST_STRIKES) if now < self._slowed_until else 1
        pause = _LEAST_PAUSE * 2.0 ** (self._strikes - 1) * (0.75 + 0.5 * chance)
        self._closed_until = max(self._closed_until, now + max(pause, seconds or 0.0))
        self._slowed_until = self._closed_until + _SLOWED_SECONDS
        self._tokens = 0.0
