"""A process in which time passes faster: ``time.time``, ``time.monotonic``, ``time.sleep`` and asyncio's waits.

Call ``speed_up`` before anything is imported that reads a clock. Sockets keep the real time: what a call takes seems as
many times longer.
"""

from __future__ import annotations

import asyncio
import selectors
import time

__all__ = ["new_event_loop", "speed_up"]

_real = (time.time, time.monotonic, time.sleep)


def speed_up(speed: float, epoch: float) -> None:
    """Let ``speed`` seconds pass in each real one.

    Args:
        speed: how many.
        epoch: what the time is now, in seconds since the epoch.
    """
    real_time, real_monotonic, real_sleep = _real
    begun, monotonic_begun = real_time(), real_monotonic()
    time.time = lambda: epoch + (real_time() - begun) * speed
    time.monotonic = lambda: monotonic_begun + (real_monotonic() - monotonic_begun) * speed
    time.sleep = lambda seconds: real_sleep(seconds / speed)


def new_event_loop(speed: float) -> asyncio.AbstractEventLoop:
    """Return an event loop whose clock is the fast one, and which waits accordingly."""

    class Selector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            return super().select(timeout / speed if timeout else timeout)

    return asyncio.SelectorEventLoop(Selector())
