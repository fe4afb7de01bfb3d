"""Work on data that need not hold up the transfer: hashing, counting and uploading, in threads of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["Background"]


class Background:
    """Runs calls one after the other in one thread, and lets its caller get only so far ahead of them.

    Args:
        name: of the thread, for stack dumps.
        ahead: calls that may be under way or waiting while the caller goes on; it bounds the memory they hold.
    """

    def __init__(self, name: str, *, ahead: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._ahead = ahead
        self._pending: deque[Future[Any]] = deque()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call ``function`` when its turn comes; wait first while too many calls are pending.

        Raises:
            Exception: what an earlier call has raised.
        """
        while len(self._pending) >= self._ahead:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(function, *arguments))

    def finish(self) -> None:
        """Wait for all calls, and end the thread.

        Raises:
            Exception: what one of them has raised.
        """
        while self._pending:
            self._pending.popleft().result()
        self._thread.shutdown()

    def abandon(self) -> None:
        """Drop the calls that wait, let the one under way end, and end the thread. Harmless when called again."""
        self._thread.shutdown(cancel_futures=True)
        self._pending.clear()
