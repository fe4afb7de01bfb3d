"""Deadlines for reading responses with requests.

A socket timeout only limits the time between two bytes: a server that keeps sending single bytes or interim responses
would block a worker forever.
"""

from __future__ import annotations

import http.client
import io
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["DeadlineAdapter", "deadline"]

_deadline: ContextVar[float] = ContextVar("_deadline", default=math.inf)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` from reads within the block that end after ``seconds``."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


class _DeadlineIO(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        count: int | None = self._raw.readinto(buffer)
        if time.monotonic() > _deadline.get():
            msg = "the response takes too long"
            raise TimeoutError(msg)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineIO(self.fp.detach()))


class DeadlineAdapter(HTTPAdapter):
    """An adapter whose connections respect ``deadline``, direct ones as well as those by a proxy."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return a connection pool."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if pool.ConnectionCls.response_class is not _DeadlineResponse:
            pool.ConnectionCls = type("Connection", (pool.ConnectionCls,), {"response_class": _DeadlineResponse})
        return pool
