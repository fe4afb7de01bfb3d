"""What the tests with a whole Airflow share."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from demo.rest import ApiError

__all__ = ["until"]

PATIENCE_SECONDS = 90.0


def until(what: Callable[[], Any]) -> Any:
    """Return what ``what`` returns as soon as it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        # SQLite may be locked for a moment, above all by a process that was killed: Airflow answers 500 then.
        with suppress(ApiError):
            if found := what():
                return found
        assert time.monotonic() < deadline
        time.sleep(0.5)
