"""A helper of the tests with a whole Airflow."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from demo.rest import ApiError

__all__ = ["until"]


def until(reached: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Return the result of ``reached`` as soon as it is true."""
    deadline = time.monotonic() + seconds
    while True:
        # Airflow answers 500 while SQLite is locked, for example by a process that was killed.
        with suppress(ApiError):
            if found := reached():
                return found
        assert time.monotonic() < deadline
        time.sleep(0.5)
