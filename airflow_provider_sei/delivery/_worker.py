"""A thread for work that need not hold up the transfer: hashing, counting and uploading."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["Worker"]


class Worker:
    """Run calls in order in one thread, with a bounded queue.

    :param name: of the thread, for stack dumps.
    :param max_pending: calls that may run or wait while the caller continues; it bounds the memory they hold.
    """

    def __init__(self, name: str, *, max_pending: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._max_pending = max_pending
        self._pending: deque[Future[Any]] = deque()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Queue a call; block while the queue is full. Raises what an earlier call raised."""
        while len(self._pending) >= self._max_pending:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(function, *arguments))

    def finish(self) -> None:
        """Wait for all calls and end the thread. Raises what one of them raised."""
        while self._pending:
            self._pending.popleft().result()
        self._thread.shutdown()

    def abandon(self) -> None:
        """Drop queued calls, let the running one end, and end the thread. Harmless if called again."""
        self._thread.shutdown(cancel_futures=True)
        self._pending.clear()
