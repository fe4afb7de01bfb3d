"""The server's idea of the time, which tests and simulations may move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["ManualClock", "ServerClock", "timestamp"]


class ServerClock:
    """Seconds since the epoch: starts at ``source()``, runs ``speed`` times as fast, and can be moved forward.

    Args:
        source: what is read; the wall clock by default.
        speed: seconds of this clock per second of ``source``; 0 stands still until :meth:`advance` is called.
    """

    def __init__(self, source: Callable[[], float] = time.time, *, speed: float = 1.0) -> None:
        self.speed = speed
        self._source = source
        self._start = source()
        self._advanced = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._start + (self._source() - self._start) * self.speed + self._advanced

    def advance(self, seconds: float) -> None:
        """Move the clock forward; what is due by then has happened."""
        with self._lock:
            self._advanced += seconds


class ManualClock(ServerClock):
    """A clock that moves only by :meth:`advance`. It starts on 2026-01-05, a Monday, at noon UTC."""

    def __init__(self, start: float = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()) -> None:
        super().__init__(lambda: start, speed=0.0)


def timestamp(seconds: float) -> str:
    """Write ``seconds`` since the epoch as the vendor writes times: ``2025-12-29T10:00:00Z``."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
