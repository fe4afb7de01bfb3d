"""Bounds one step of reading an answer, however a server spins it out: its head, or one piece of its body.

Socket timeouts bound each silence, and no more: a server that sends a byte now and then, or one interim answer after
the other, would hold a worker for ever.
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

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["PatientAdapter", "step"]

_ends_at: ContextVar[float] = ContextVar("_ends_at", default=math.inf)


@contextmanager
def step(seconds: float) -> Iterator[None]:
    """Let what is read within take ``seconds`` at most; beyond them, reading raises ``TimeoutError``."""
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


class _Timed(io.RawIOBase):
    """Looks at the clock whenever bytes arrive."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        count: int | None = self._raw.readinto(buffer)
        if time.monotonic() > _ends_at.get():
            msg = "the answer is spun out"
            raise TimeoutError(msg)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = io.BufferedReader(_Timed(self.fp.detach()))


class _HTTPConnection(HTTPConnection):
    response_class = _Response


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class PatientAdapter(HTTPAdapter):
    """Requests' own adapter, with connections that heed ``step``."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pools of a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager
