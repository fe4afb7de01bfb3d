"""The content on its way through: stored in the wanted form, hashed, unpacked and counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from airflow_provider_sei.delivery.background import Background
from airflow_provider_sei.delivery.content import Gunzip, Gzip, check_end_is_csv, check_is_csv
from airflow_provider_sei.delivery.records import RecordCounter
from airflow_provider_sei.delivery.stores import Sink

__all__ = ["Inspection"]

_START = 1024  # bytes in which a page's first tag, or JSON's first bracket, is found
_END = 256  # bytes in which a page's last tag is found
_AHEAD = 2  # pieces
# bytes. Counting holds the interpreter, hashing lets go of it: taken by turns in small steps, they keep the transfer
# waiting for it no longer than one step takes.
_STEP = 128 * 1024


class Inspection:
    """Takes the payload in, stores it, and inspects the CSV inside.

    Args:
        sink: where the bytes are stored.
        what: the file, for messages.
        gzipped: whether the payload is gzip.
        store_gzipped: whether it is to be stored as gzip.
    """

    def __init__(self, sink: Sink, what: str, *, gzipped: bool, store_gzipped: bool) -> None:
        self.taken = 0
        """Bytes of the payload."""
        self.unpacked = 0
        """Bytes of the CSV."""
        self.stored = 0
        """Bytes of the object."""
        self.counter = RecordCounter()
        self._sha256 = hashlib.sha256()
        self._reading = Background("sei-inspect", ahead=_AHEAD)
        self._sink = sink
        self._what = what
        self._unpacker = Gunzip(what) if gzipped else None
        self._packer = Gzip() if store_gzipped and not gzipped else None
        self._store_gzipped = store_gzipped
        self._start: bytes | None = b""
        self._end = b""

    @property
    def sha256(self) -> str:
        """Of the object, in hexadecimal; final after ``close``."""
        return self._sha256.hexdigest()

    def run(self, payload: Iterable[bytes]) -> None:
        """Take in the whole payload, and check that it is a whole CSV file.

        Raises:
            SEIDownloadError: it is not.
        """
        try:
            for block in payload:
                self._take(block)
            self._close()
        finally:
            self._reading.abandon()

    def _take(self, block: bytes) -> None:
        self.taken += len(block)
        if self._unpacker and self._store_gzipped:
            self._store(block)
        for piece in self._unpacker.feed(block) if self._unpacker else (block,):
            if self._packer:
                self._store(self._packer.feed(piece))
            elif not self._store_gzipped:
                self._store(piece)
            self._inspect(piece)

    def _close(self) -> None:
        if self._unpacker:
            self._unpacker.close()
        if self._packer:
            self._store(self._packer.close())
        if self._start:
            check_is_csv(self._start, self._what)
        check_end_is_csv(self._end, self._what)
        self._reading.finish()
        self.counter.close()

    def _inspect(self, piece: bytes) -> None:
        if self._start is not None:
            self._start += piece[:_START]
            if len(self._start) >= _START:
                check_is_csv(self._start, self._what)
                self._start = None
        self._end = (self._end + piece[-_END:])[-_END:]
        self.unpacked += len(piece)
        self._reading.submit(self._read, piece)

    def _store(self, data: bytes) -> None:
        if data:
            self.stored += len(data)
            self._sink.write(data)
            if self._store_gzipped:
                self._reading.submit(self._sha256.update, data)

    def _read(self, piece: bytes) -> None:
        for start in range(0, len(piece), _STEP):
            part = piece[start : start + _STEP]
            if not self._store_gzipped:
                self._sha256.update(part)
            self.counter.feed(part)
