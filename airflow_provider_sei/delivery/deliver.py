"""Streams one file to its destination and verifies it on the way."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_sei.delivery.content import GZIP_MAGIC, Gunzip, Gzip, check_is_csv, undo_content_encoding
from airflow_provider_sei.delivery.destination import Destination, Overwrite
from airflow_provider_sei.delivery.records import RecordCounter
from airflow_provider_sei.delivery.stores import Sink, open_sink, resolve
from airflow_provider_sei.protocol.errors import SEIDownloadError, SEIUsageError
from airflow_provider_sei.protocol.naming import content_disposition_filename, safe_filename, with_matching_suffix

__all__ = ["Body", "Delivered", "Promise", "deliver"]

_PROGRESS_SECONDS = 30.0

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


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What lies at the destination now."""

    uri: str
    bytes: int
    """Size of the object as it is stored."""
    rows: int
    """CSV records without the header."""
    sha256: str
    """Of the object as it is stored, in hexadecimal."""
    header: str = ""
    """The CSV's first record."""
    written: bool = True
    """False if the same content was there already."""


def deliver(
    open_body: Callable[[], AbstractContextManager[Body]],
    destination: Destination,
    promise: Promise,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Delivered:
    """Write one body to its destination, verified: whole under the final name, or not at all.

    Raises:
        SEIDownloadError: what arrived is not what was promised. Nothing was published.
        SEIUsageError: the destination cannot be used.
        SEIError: whatever opening and reading the body raises.
    """
    folder_url, _, name = destination.url.rpartition("/") if not destination.is_folder else (destination.url, "", "")
    folder = resolve(folder_url or ".")
    with open_body() as body:
        transfer = _Transfer(body, promise, destination.timeout, clock)
        payload = undo_content_encoding(transfer.chunks(), body.headers.get("content-encoding"), promise.what)
        start, payload = _peek(payload)
        gzipped = start.startswith(GZIP_MAGIC)
        store_gzipped = {"keep": gzipped, "gzip": True, "none": False}[destination.compression]
        if not name:
            header_name = content_disposition_filename(body.headers.get("content-disposition"))
            server_name = safe_filename(header_name) or safe_filename(promise.server_name)
            name = (server_name if destination.use_server_name else None) or promise.name
        sink = open_sink(folder, with_matching_suffix(name, gzipped=store_gzipped))
        try:
            writer = _Writer(sink, promise.what, gzipped=gzipped, store_gzipped=store_gzipped)
            for chunk in payload:
                writer.take(chunk)
            writer.close()
            transfer.check_length()
            _check_size(promise, {transfer.received, writer.taken, writer.unpacked})
            written = _publish(sink, writer, destination.overwrite)
        except BaseException:
            sink.discard()
            raise
    return Delivered(
        uri=sink.uri,
        bytes=writer.stored,
        rows=max(0, writer.counter.records - 1),
        sha256=writer.sha256.hexdigest(),
        header=writer.counter.header.decode("utf-8", "replace"),
        written=written,
    )


class _Transfer:
    """Watches the bytes come in: how many, for how long, and whether it is as many as announced."""

    def __init__(self, body: Body, promise: Promise, timeout: float, clock: Callable[[], float]) -> None:
        self.received = 0
        self._body = body
        self._promise = promise
        self._timeout = timeout
        self._clock = clock
        announced = body.headers.get("content-length", "").strip()
        self._announced = int(announced) if announced.isascii() and announced.isdigit() else None
        self._chunked = "chunked" in body.headers.get("transfer-encoding", "").casefold()

    def chunks(self) -> Iterator[bytes]:
        started = reported = self._clock()
        for chunk in self._body.chunks():
            self.received += len(chunk)
            now = self._clock()
            if now - started > self._timeout:
                msg = (
                    f"{self._promise.what} was not whole after {self._timeout:.0f} s: {self._progress()};"
                    " nothing was published; raise download_timeout if the server is that slow"
                )
                raise SEIDownloadError(msg, export_id=self._promise.export_id)
            if now - reported >= _PROGRESS_SECONDS:
                reported = now
                log.info("%s: %s", self._promise.what, self._progress())
            yield chunk

    def _progress(self) -> str:
        if self._announced:
            return f"{self.received} of {self._announced} bytes received ({100 * self.received // self._announced} %)"
        return f"{self.received} bytes received"

    def check_length(self) -> None:
        if self._announced is not None and self.received != self._announced:
            msg = (
                f"{self._promise.what} is cut off: Content-Length announced {self._announced} bytes,"
                f" {self.received} were received; nothing was published"
            )
            raise SEIDownloadError(msg, export_id=self._promise.export_id)
        if self._announced is None and not self._chunked and self._promise.size_bytes is None:
            msg = (
                f"{self._promise.what} cannot be verified: the server announced no length in any form, so"
                f" {self.received} bytes may be all or not; nothing was published"
            )
            raise SEIDownloadError(msg, export_id=self._promise.export_id)


class _Writer:
    """Takes the payload in, stores it in the wanted form, and inspects the CSV inside."""

    def __init__(self, sink: Sink, what: str, *, gzipped: bool, store_gzipped: bool) -> None:
        self.taken = 0
        self.unpacked = 0
        self.stored = 0
        self.sha256 = hashlib.sha256()
        self.counter = RecordCounter()
        self._sink = sink
        self._what = what
        self._unpacker = Gunzip(what) if gzipped else None
        self._packer = Gzip() if store_gzipped and not gzipped else None
        self._store_as_taken = gzipped == store_gzipped
        self._checked = False

    def take(self, chunk: bytes) -> None:
        self.taken += len(chunk)
        if self._store_as_taken:
            self._store(chunk)
        for piece in self._unpacker.feed(chunk) if self._unpacker else (chunk,):
            self._inspect(piece)
            if not self._store_as_taken:
                self._store(self._packer.feed(piece) if self._packer else piece)

    def close(self) -> None:
        if self._unpacker:
            self._unpacker.close()
        if self._packer:
            self._store(self._packer.close())
        self.counter.close()

    def _inspect(self, piece: bytes) -> None:
        if not self._checked:
            check_is_csv(piece, self._what)
            self._checked = True
        self.unpacked += len(piece)
        self.counter.feed(piece)

    def _store(self, data: bytes) -> None:
        if data:
            self.stored += len(data)
            self.sha256.update(data)
            self._sink.write(data)


def _peek(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return enough of the start to tell gzip and HTML by, and an iterator over everything, the start included."""
    iterator = iter(chunks)
    start = b""
    for chunk in iterator:
        start += chunk
        if len(start) >= 1024:  # noqa: PLR2004 - a page's first tag is within it
            break

    def everything() -> Iterator[bytes]:
        if start:
            yield start
        yield from iterator

    return start, everything()


def _check_size(promise: Promise, counts: set[int]) -> None:
    if promise.size_bytes is not None and promise.size_bytes not in counts:
        msg = (
            f"{promise.what} is not the file that was promised: its status said sizeBytes {promise.size_bytes},"
            f" received were {' or '.join(str(count) for count in sorted(counts))} bytes; nothing was published"
        )
        raise SEIDownloadError(msg, export_id=promise.export_id)


def _publish(sink: Sink, writer: _Writer, overwrite: Overwrite) -> bool:
    if (
        overwrite == "skip"
        and sink.existing_size() == writer.stored
        and sink.existing_sha256() == writer.sha256.hexdigest()
    ):
        log.info("%s has the same content already; nothing written", sink.uri)
        sink.discard()
        return False
    try:
        sink.commit(replace=overwrite != "fail")
    except FileExistsError as error:
        msg = f'{sink.uri} exists already, and overwrite="fail" does not replace it'
        raise SEIUsageError(msg, field="overwrite") from error
    return True
