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
_AHEAD = 2  # blocks


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
        # Hashing, storing and unpacking let go of the interpreter; counting, which does not, goes on meanwhile.
        self._keeping = Background("sei-keep", ahead=_AHEAD)
        self._unpacking = Background("sei-unpack", ahead=1)
        self._sink = sink
        self._what = what
        self._unpacker = Gunzip(what) if gzipped else None
        self._packer = Gzip() if store_gzipped and not gzipped else None
        self._store_as_taken = gzipped == store_gzipped
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
            self._unpacking.abandon()
            self._keeping.abandon()

    def _take(self, block: bytes) -> None:
        self.taken += len(block)
        if self._store_as_taken:
            self._store(block)
        for piece in self._unpacking.one_ahead(self._unpacker.feed(block)) if self._unpacker else (block,):
            if not self._store_as_taken:
                self._store(self._packer.feed(piece) if self._packer else piece)
            self._inspect(piece)

    def _close(self) -> None:
        if self._unpacker:
            self._unpacker.close()
        if self._packer:
            self._store(self._packer.close())
        if self._start:
            check_is_csv(self._start, self._what)
        check_end_is_csv(self._end, self._what)
        self._keeping.finish()
        self.counter.close()

    def _inspect(self, piece: bytes) -> None:
        if self._start is not None:
            self._start += piece[:_START]
            if len(self._start) >= _START:
                check_is_csv(self._start, self._what)
                self._start = None
        self._end = (self._end + piece[-_END:])[-_END:]
        self.unpacked += len(piece)
        self.counter.feed(piece)

    def _store(self, data: bytes) -> None:
        if data:
            self.stored += len(data)
            self._keeping.submit(self._keep, data)

    def _keep(self, data: bytes) -> None:
        self._sha256.update(data)
        self._sink.write(data)
