"""The bytes on their way in: how many, for how long, and whether they are as many as announced."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_sei.protocol.errors import SEIDownloadError

__all__ = ["Body", "Promise", "Transfer", "gathered"]

_PROGRESS_SECONDS = 30.0
_LEAST = 128 * 1024  # bytes of a block: smaller ones cost more calls, larger ones fall out of the processor's cache
_HEAP_BLOCK = 4 * 1024 * 1024
_MB = 1_000_000

log = logging.getLogger("airflow_provider_sei")


class Body(Protocol):
    """A file on its way: the answer's headers (lower-case names) and its undecoded bytes."""

    headers: Mapping[str, str]

    def chunks(self) -> Iterator[bytes]:
        """Return the bytes as they arrive."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What the file is announced to be."""

    what: str
    """For messages: ``productivity export exp_7a8b9c0d``."""
    name: str
    """The name that stands for the request, for a destination that is a folder."""
    export_id: str | None = None
    server_name: str | None = None
    """The file name in the status answer; the download's own header goes first."""
    size_bytes: int | None = None
    """The announced size. The vendor does not say whether before or after compression, so either may match."""

    def broken(self, words: str) -> SEIDownloadError:
        """Return the error that says how the file is not what was promised."""
        return SEIDownloadError(f"{self.what} {words}; nothing was published", export_id=self.export_id)


class Transfer:
    """Watches one body come in.

    Args:
        body: where the bytes come from.
        promise: what they are announced to be.
        timeout: seconds for all of them.
        clock: seconds, from any origin.
    """

    def __init__(
        self, body: Body, promise: Promise, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.received = 0
        """Bytes so far, as they came over the wire."""
        self._body = body
        self._promise = promise
        self._timeout = timeout
        self._clock = clock
        announced = body.headers.get("content-length", "").strip()
        self._announced = int(announced) if announced.isascii() and announced.isdigit() else None
        # The last chunk of a chunked body says that it is the last: the transport misses it if it does not come.
        self._says_its_end = "chunked" in body.headers.get("transfer-encoding", "").casefold()

    def chunks(self) -> Iterator[bytes]:
        """Return the bytes as they arrive, and log from time to time how far they are.

        Raises:
            SEIDownloadError: they take too long, are not as many as announced, or nothing announces where they end.
        """
        started = reported = self._clock()
        for chunk in self._body.chunks():
            self.received += len(chunk)
            now = self._clock()
            if now - started > self._timeout:
                raise self._late(now - started)
            if now - reported >= _PROGRESS_SECONDS:
                reported = now
                log.info("%s: %s", self._promise.what, self._progress())
            yield chunk
        self._check_length()

    def _late(self, seconds: float) -> SEIDownloadError:
        words = f"was not whole in time: {self._progress()} in {seconds:.0f} s"
        return self._promise.broken(words + "; raise download_timeout if the server is that slow")

    def _progress(self) -> str:
        if self._announced:
            share = 100 * self.received // self._announced
            return f"{self.received / _MB:.1f} of {self._announced / _MB:.1f} MB received ({share} %)"
        return f"{self.received / _MB:.1f} MB received"

    def _check_length(self) -> None:
        if self._announced is not None and self.received != self._announced:
            words = f"Content-Length announced {self._announced} bytes, {self.received} were received"
            raise self._promise.broken("is cut off: " + words)
        if self._announced is None and not self._says_its_end and self._promise.size_bytes is None:
            words = f"the server announced no length in any form, {self.received} bytes were received"
            raise self._promise.broken("cannot be verified: " + words)


def gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Return the same bytes in blocks that are worth a call each; the first one holds enough to tell its kind by."""
    _keep_blocks_on_the_heap()
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _LEAST:
            yield held[0] if len(held) == 1 else b"".join(held)
            held.clear()
            size = 0
    if size:
        yield b"".join(held)


def _keep_blocks_on_the_heap() -> None:
    # Until glibc has seen a larger block freed, it gives each one of our size back to the system at once, to fetch it
    # again for the next: half of a delivery's time. This one is never touched (a bytearray would be), so it takes no
    # memory.
    bytes(_HEAP_BLOCK)
