"""Copies the body of a response to its destination, verified: complete under its final name, or not at all.

Four stages, in the order of this file: receive the bytes, undo the compression, store them, inspect the CSV inside.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_sei.delivery import content
from airflow_provider_sei.delivery._worker import Worker
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.filenames import with_matching_suffix
from airflow_provider_sei.delivery.records import RecordCounter
from airflow_provider_sei.delivery.sinks import Sink, open_folder
from airflow_provider_sei.exceptions import SEIArgumentError, SEIDownloadError, SEIError

__all__ = ["Body", "BodyReader", "ContentPipeline", "DeliveryResult", "ExpectedFile", "deliver", "rechunk"]

_PROGRESS_SECONDS = 30.0
_MIN_BLOCK = 128 * 1024  # bytes; smaller blocks cost more calls, larger ones fall out of the processor's cache
_START = 1024  # bytes that contain a page's first tag, or JSON's first bracket
_END = 256  # bytes that contain a page's last tag
# bytes. Counting holds the interpreter lock, hashing releases it: in alternating small steps, the transfer never waits
# for longer than one step.
_STEP = 128 * 1024
_MB = 1_000_000

log = logging.getLogger("airflow_provider_sei")


class Body(Protocol):
    """The body of a response: its headers (lower-case names) and its undecoded bytes."""

    headers: Mapping[str, str]

    def chunks(self) -> Iterator[bytes]:
        """Return the bytes as they arrive."""


@dataclass(frozen=True, kw_only=True)
class ExpectedFile:
    """What is known of a file before it arrives."""

    description: str
    """For messages: ``productivity export exp_7a8b9c0d``."""
    export_id: str | None = None
    size_bytes: int | None = None
    """Before or after compression: the vendor does not say which, so either may match."""

    def error(self, words: str) -> SEIDownloadError:
        """Return the error that says how the file differs."""
        return SEIDownloadError(f"{self.description} {words}; nothing was published", export_id=self.export_id)


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """What is at the destination now. ``bytes`` and ``sha256`` are of the object as it is stored."""

    uri: str
    bytes: int
    rows: int
    """CSV records without the header."""
    sha256: str
    header: str = ""
    """The CSV's first record."""
    written: bool = True
    """False if the same content was there already."""


def deliver(
    open_body: Callable[[], AbstractContextManager[Body]],
    destination: Destination,
    expected: ExpectedFile,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> DeliveryResult:
    """Write one body to a resolved destination, verified.

    :raises SEIDownloadError: the body is not what was expected, or could not be stored.
    :raises SEIArgumentError: the destination cannot be used.
    :raises SEIError: whatever opening and reading the body raises.
    """
    folder, slash, name = destination.url.rpartition("/")
    open_sink = open_folder(folder + slash or "./")
    with open_body() as body:
        reader = BodyReader(body, expected, destination.timeout, clock)
        encoding = body.headers.get("content-encoding")
        payload = rechunk(content.undo_content_encoding(reader.chunks(), encoding, expected.description))
        first = next(payload, b"")
        gzipped = first.startswith(content.GZIP_MAGIC)
        store_gzipped = {"keep": gzipped, "gzip": True, "none": False}[destination.compression]
        name = with_matching_suffix(name, gzipped=store_gzipped)
        with _storage_errors(expected, destination), closing(open_sink(name)) as sink:
            exists = SEIArgumentError(
                f'{sink.uri} exists already, and overwrite="fail" does not replace it', field="overwrite"
            )
            if destination.overwrite == "fail" and sink.existing_size() is not None:
                raise exists
            pipeline = ContentPipeline(sink, expected, reader, gzipped=gzipped, store_gzipped=store_gzipped)
            pipeline.run(itertools.chain((first,), payload))
            written = destination.overwrite != "skip" or not pipeline.is_stored_already()
            if written:
                try:
                    sink.commit(replace=destination.overwrite != "fail")
                except FileExistsError as error:
                    raise exists from error
            else:
                log.info("%s has the same content already; nothing written", sink.uri)
    return DeliveryResult(
        uri=sink.uri,
        bytes=pipeline.stored,
        rows=max(0, pipeline.counter.records - 1),
        sha256=pipeline.sha256,
        header=pipeline.counter.header.decode("utf-8", "replace"),
        written=written,
    )


class BodyReader:
    """Receive a body: within ``timeout`` seconds, and with all the bytes that were announced."""

    def __init__(self, body: Body, expected: ExpectedFile, timeout: float, clock: Callable[[], float]) -> None:
        self.received = 0  # bytes, as they came over the wire
        self._body = body
        self._expected = expected
        self._timeout = timeout
        self._clock = clock
        length = body.headers.get("content-length", "").strip()
        self._announced = int(length) if length.isascii() and length.isdigit() else None
        # The transport notices if the last chunk of a chunked body is missing.
        self._is_chunked = "chunked" in body.headers.get("transfer-encoding", "").casefold()

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive, and log the progress at intervals.

        :raises SEIDownloadError: they take too long, are not as many as announced, or nothing announces their end.
        """
        started = reported = self._clock()
        for chunk in self._body.chunks():
            self.received += len(chunk)
            now = self._clock()
            if now - started > self._timeout:
                words = f"was not complete in time: {self._progress()} in {now - started:.0f} s"
                raise self._expected.error(words + "; raise download_timeout if the server is that slow")
            if now - reported >= _PROGRESS_SECONDS:
                reported = now
                log.info("%s: %s", self._expected.description, self._progress())
            yield chunk
        if self._announced is not None and self.received != self._announced:
            words = f"is cut off: Content-Length announced {self._announced} bytes, {self.received} were received"
            raise self._expected.error(words)
        if self._announced is None and not self._is_chunked and self._expected.size_bytes is None:
            words = f"the server announced no length in any form, {self.received} bytes were received"
            raise self._expected.error("cannot be verified: " + words)

    def _progress(self) -> str:
        if self._announced:
            percent = 100 * self.received // self._announced
            return f"{self.received / _MB:.1f} of {self._announced / _MB:.1f} MB received ({percent} %)"
        return f"{self.received / _MB:.1f} MB received"


def rechunk(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in blocks of at least 128 KiB, except for the last."""
    # glibc returns each freed block to the system until it has seen a larger one freed. This one is never touched, so
    # it takes no memory; it saves 7 % of the CPU time of "deliver_unpacked" in benchmarks/download_workers.py.
    bytes(4 * 1024 * 1024)
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= _MIN_BLOCK:
            yield held[0] if len(held) == 1 else b"".join(held)
            held.clear()
            size = 0
    if size:
        yield b"".join(held)


class ContentPipeline:
    """Store the payload, gzip or not, in the wanted form; hash and count it in a thread, and check the CSV inside."""

    def __init__(
        self, sink: Sink, expected: ExpectedFile, reader: BodyReader, *, gzipped: bool, store_gzipped: bool
    ) -> None:
        self.stored = 0  # bytes of the object
        self.counter = RecordCounter()
        self._taken = 0  # bytes of the payload
        self._unpacked = 0  # bytes of the CSV
        self._sink = sink
        self._expected = expected
        self._reader = reader
        self._sha256 = hashlib.sha256()
        self._worker = Worker("sei-inspect", max_pending=2)
        self._decompressor = content.Gunzip(expected.description) if gzipped else None
        self._compressor = content.gzip_compressor() if store_gzipped and not gzipped else None
        self._store_gzipped = store_gzipped
        self._start: bytes | None = b""
        self._end = b""

    @property
    def sha256(self) -> str:
        """Of the object, in hexadecimal; final after ``run``."""
        return self._sha256.hexdigest()

    def run(self, payload: Iterable[bytes]) -> None:
        """Process the whole payload, and check that it is a complete CSV file of the expected size.

        :raises SEIDownloadError: it is not.
        """
        try:
            for block in payload:
                self._unpack(block)
                # Some bodies never end: stop as soon as this one is too large in every form.
                if self._expected.size_bytes is not None and min(self._sizes()) > self._expected.size_bytes:
                    raise self._wrong_size()
            if self._decompressor:
                self._decompressor.close()
            if self._compressor:
                self._store(self._compressor.flush())
            if self._start:
                content.check_is_csv(self._start, self._expected.description)
            content.check_end_is_csv(self._end, self._expected.description)
            self._worker.finish()
        finally:
            self._worker.abandon()
        self.counter.close()
        if self._expected.size_bytes not in {None, *self._sizes()}:
            raise self._wrong_size()
        if self.counter.ends_in_quotes:
            # Not an error: if the server always writes such a file, it could never be delivered.
            words = "%s ends within quotes: it may be cut at the server, or be no valid CSV"
            log.warning(words, self._expected.description)

    def is_stored_already(self) -> bool:
        """Return whether the destination has the same content now."""
        return self._sink.existing_size() == self.stored and self._sink.existing_sha256() == self.sha256

    def _unpack(self, block: bytes) -> None:
        self._taken += len(block)
        if self._decompressor and self._store_gzipped:
            self._store(block)
        for piece in self._decompressor.feed(block) if self._decompressor else (block,):
            if self._compressor:
                self._store(self._compressor.compress(piece))
            elif not self._store_gzipped:
                self._store(piece)
            self._inspect(piece)

    def _store(self, data: bytes) -> None:
        if data:
            self.stored += len(data)
            self._sink.write(data)
            if self._store_gzipped:
                self._worker.submit(self._sha256.update, data)

    def _inspect(self, piece: bytes) -> None:
        if self._start is not None:
            self._start += piece[:_START]
            if len(self._start) >= _START:
                content.check_is_csv(self._start, self._expected.description)
                self._start = None
        self._end = (self._end + piece[-_END:])[-_END:]
        self._unpacked += len(piece)
        self._worker.submit(self._hash_and_count, piece)

    def _hash_and_count(self, piece: bytes) -> None:
        for start in range(0, len(piece), _STEP):
            part = piece[start : start + _STEP]
            if not self._store_gzipped:
                self._sha256.update(part)
            self.counter.feed(part)

    def _sizes(self) -> set[int]:
        return {self._reader.received, self._taken, self._unpacked}

    def _wrong_size(self) -> SEIDownloadError:
        received = " or ".join(map(str, sorted(self._sizes())))
        words = f"its status says sizeBytes {self._expected.size_bytes}, received were {received} bytes"
        return self._expected.error("is not the expected file: " + words)


@contextmanager
def _storage_errors(expected: ExpectedFile, destination: Destination) -> Iterator[None]:
    """Raise a store's own errors as ``SEIDownloadError``: each client library has its own classes."""
    try:
        yield
    except SEIError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        words = f"could not be stored at {destination.url}: {reason}"
        raise expected.error(words) from error
