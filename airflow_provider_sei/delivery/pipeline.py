"""Copies the body of a response to its destination, verified: complete under its final name, or not at all.

gzip is detected by its magic bytes, never by a name or header, and decompression is always bounded.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import itertools
import logging
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowSkipException
from isal import igzip_lib

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.records import JsonCounter, RecordCounter, schema_change, snake_case
from airflow_provider_sei.delivery.remote import DeferredCommitSink, SpooledSink, TempNameSink
from airflow_provider_sei.delivery.s3 import S3Sink
from airflow_provider_sei.delivery.sinks import LocalSink, Worker
from airflow_provider_sei.exceptions import SEIArgumentError, SEIDownloadError, SEIError, SEIFileError, SEISchemaError
from airflow_provider_sei.protocol.http import excerpt, looks_like_markup, quotable

Sink = LocalSink | S3Sink | DeferredCommitSink | SpooledSink
# Scheme: how an object appears in this kind of store, and the extra with its packages. Others get a ``TempNameSink``.
_STORES: dict[str, tuple[Callable[[Any], Sink], str]] = {
    **dict.fromkeys(("s3", "s3a", "s3n"), (S3Sink, "s3")),
    **dict.fromkeys(("gs", "gcs"), (DeferredCommitSink, "gcs")),
    **dict.fromkeys(("abfs", "abfss", "adl", "az"), (SpooledSink, "azure")),
}
_LASTING = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
_S3_ADVICE = (
    "; its key needs s3:PutObject. If the bucket's policy demands encryption, a storage class or an ACL, set it in the"
    ' connection\'s extra: {"service_config": {"s3": {"extra_args": {"ServerSideEncryption": "aws:kms"}}}}'
)
_PROGRESS_SECONDS = 30.0
_MB = 1_000_000
_MIN_BLOCK = 128 * 1024  # bytes; smaller blocks cost more calls, larger ones fall out of the processor's cache
# bytes. Counting holds the interpreter lock, hashing releases it: in alternating small steps, the transfer never waits
# for longer than one step.
_STEP = 128 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
# Releases the interpreter lock, and buffers its input. Headers are read here: isal needs optional fields in one piece.
_new_member = partial(igzip_lib.IgzipDecompressor, flag=igzip_lib.DECOMP_GZIP_NO_HDR_VER)
_PIECE = 1024 * 1024  # bytes that one step may decompress to; four are held at the same time
# CSV of numbers shrinks 5 to 20 times, of zeros only some 200 times; a decompression bomb 1000 times.
_SUSPICIOUS_BYTES = 256 * 1024 * 1024
_SUSPICIOUS_RATIO = 400

_START = 1024  # bytes that contain a page's first tag, or JSON's first bracket
_BINARY = (_GZIP_MAGIC, b"%PDF-", b"PK\x03\x04")
_CODED = re.compile("[\x00-\x08\x0e-\x1f\ufffd]")  # such as brotli, whose bytes have no sign of their own
_SIGNS = {"CSV": re.compile(rb"[,;\t\r\n]"), "JSON": re.compile(rb"^\s*[\[{]")}
_JSON_START = re.compile(rb'\s*(?:\{\s*["}]|\[\s*[\[{\]])')

log = logging.getLogger("airflow_provider_sei")


@dataclass(frozen=True, kw_only=True)
class ExpectedFile:
    """What is known of a file before it arrives."""

    description: str
    """For messages: ``productivity export exp_7a8b9c0d``."""
    export_id: str | None = None
    size_bytes: int | None = None
    """Before or after compression: the vendor does not say which, so either may match."""
    may_be_empty: bool = False
    """Whether 0 bytes are documented, as for a legacy report without data."""
    min_rows: int = 0
    """Records that it must have at least, without the header."""

    def error(self, words: str, kind: type[SEIDownloadError] = SEIFileError) -> SEIDownloadError:
        """Return the error that says how the file differs, or, of another kind, why it was not delivered."""
        return kind(f"the file {words}; nothing was published of {self.description}", export_id=self.export_id)


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """What is at the destination now. ``bytes`` and ``sha256`` are of the object as it is stored."""

    uri: str
    bytes: int
    rows: int
    """Records, without a CSV's header."""
    sha256: str
    columns: tuple[str, ...] = ()
    """The names of the file's columns."""
    written: bool = True
    """False if the same content was there already."""
    path: str | None = None
    """Of a local file."""
    conn_id: str | None = None
    """The Airflow connection of its store, which ``uri`` does not have."""
    destination: str = ""
    """``uri`` with the connection: ``ObjectStoragePath`` opens it."""


def deliver(
    body: Any,
    destination: Destination,
    expected: ExpectedFile,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> DeliveryResult:
    """Write an open body (``headers`` with lower-case names, ``chunks()`` of raw bytes) to a resolved destination."""
    folder, slash, name = destination.url.rpartition("/")
    kind, path = find_store(folder + slash or "./")
    make = ContentPipeline
    if destination.output == "parquet":
        from airflow_provider_sei.delivery.parquet import ParquetPipeline as make  # noqa: N813 - one or the other
    pipeline = make(body, destination, expected, clock)
    plain = re.sub(r"(?<=.)\.gz$", "", name, flags=re.IGNORECASE)
    names = plain, (f"{name}.gz" if plain == name else name)
    try:
        with closing(kind(path / names[pipeline.stores_gzip])) as sink:
            written = _write(pipeline, sink, names[not pipeline.stores_gzip], destination.overwrite)
    except (SEIError, AirflowSkipException):
        raise
    except Exception as error:  # each client library has its own classes
        if isinstance(error, FileNotFoundError):
            check_destination(destination)  # says so if it is the bucket that was not found
        if _lasts(error):
            raise _refusal(destination.url, error) from error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        words = f"could not be stored at {destination.url}: {reason}"
        raise expected.error(words, SEIDownloadError) from error
    scheme, _, place = sink.uri.partition("://")
    conn_id = urlsplit(destination.url).netloc.rpartition("@")[0] or None
    return DeliveryResult(
        uri=sink.uri,
        path=place if scheme == "file" else None,
        conn_id=conn_id,
        destination=f"{scheme}://{conn_id}@{place}" if conn_id else sink.uri,
        bytes=pipeline.stored,
        rows=pipeline.counter.rows,
        sha256=pipeline.sha256.hexdigest(),
        columns=pipeline.columns,
        written=written,
    )


def check_destination(destination: Destination) -> None:
    """Refuse a destination that cannot be written to, as far as that shows without writing; doubts do not count."""
    known, brace, _ = destination.url.partition("{")  # the rest is not known yet
    folder, slash, name = (known + brace).rpartition("/")
    kind, path = find_store(folder + slash or "./")
    try:
        if kind is LocalSink:
            LocalSink.check(path / (name or "{"))
        elif kind is not TempNameSink:
            bucket = path.path.lstrip("/").partition("/")[0]  # gcsfs's info() says of an empty one that there is none
            path.fs.call("GET", f"b/{bucket}") if kind is DeferredCommitSink else path.fs.info(bucket)
    except Exception as error:  # noqa: BLE001 - each client library has its own classes
        if kind is not LocalSink and isinstance(error, FileNotFoundError):
            error = FileNotFoundError(f"there is no bucket or container {bucket!r}")
        # A bucket that may not be inspected can perhaps be written to.
        if isinstance(error, FileNotFoundError) or (kind is LocalSink and _lasts(error)):
            raise _refusal(destination.url, error) from None  # a log ends with the last cause, which has no advice


def find_store(folder: str) -> tuple[Callable[[Any], Sink], Any]:
    """Return the sink for a folder's objects, and the path of the folder (which has a slash at its end)."""
    if "://" not in folder:
        return LocalSink, Path(folder).absolute()
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath

    sink, extra = _STORES.get(folder.partition("://")[0], (TempNameSink, ""))
    try:
        path = ObjectStoragePath(folder)
        if sink is S3Sink and (conn_id := urlsplit(folder).username or "aws_default") != "aws_default":
            BaseHook.get_connection(conn_id)  # Airflow's AWS hook would take the worker's own credentials in its place
        path.fs  # noqa: B018 - created on first use, which may fail
    except AirflowNotFoundException as error:
        raise _refusal(folder, error) from None
    except (ImportError, ValueError) as error:
        raise _refusal(folder, error, f"; install airflow-provider-sei[{extra}]" if extra else "") from error
    return (LocalSink, Path(path.path)) if path.protocol in {"file", "local", ""} else (sink, path)


def _lasts(error: Exception) -> bool:
    """Return whether a store refuses for good, in the words of the operating system, s3fs, Azure or gcsfs."""
    is_denied = isinstance(error, PermissionError) or getattr(error, "status_code", 0) in {401, 403}
    is_denied = is_denied or str(error).startswith("Forbidden: ")
    return (is_denied and "expired" not in str(error)) or getattr(error, "errno", 0) in _LASTING


def _refusal(url: str, error: Exception, advice: str = "") -> SEIArgumentError:
    advice = _S3_ADVICE if url.startswith("s3") and isinstance(error, PermissionError) else advice
    msg = f"{' '.join(str(error).split())[:300]}: destination {url!r} cannot be written to{advice}"
    return SEIArgumentError(msg, field="destination")


def _write(pipeline: ContentPipeline, sink: Sink, other: str, overwrite: str) -> bool:
    """Write and publish an object; return whether it was necessary. ``other`` is its name in the other compression."""
    if overwrite == "fail":
        _check_absent(sink, other)
    pipeline.run(sink)
    is_same = overwrite == "skip" and sink.existing_size() == pipeline.stored and _has_sha256(pipeline, sink)
    if overwrite == "fail":
        _check_absent(sink, other)
    # Before publishing: one that appears later is newer. Two deliveries at a time must not remove each other's object.
    is_replaced = overwrite != "fail" and _tolerate(sink.existing_size, other) is not None
    if is_same:
        log.info("%s has the same content already; nothing written", sink.uri)
    else:
        try:  # some stores refuse by themselves if another writer was faster
            sink.commit(replace=overwrite != "fail")
        except FileExistsError:
            _check_absent(sink, other)
            raise
    if is_replaced:
        _tolerate(sink.remove, other)
    return not is_same


def _has_sha256(pipeline: ContentPipeline, sink: Sink) -> bool:
    """Return whether the object that has the name now has the sha256 of the new one."""
    sha256 = hashlib.sha256()
    with sink.open_existing() as file:
        while block := file.read(_PIECE):
            pipeline.check_time()
            sha256.update(block)
    return sha256.digest() == pipeline.sha256.digest()


def _check_absent(sink: Sink, other: str) -> None:
    for name in (None, other):
        if sink.existing_size(name) is not None:
            uri = f"{sink.uri.rpartition('/')[0]}/{name}" if name else sink.uri
            msg = f'{uri} exists already, and overwrite="fail" does not replace it'
            raise SEIArgumentError(msg, field="overwrite")


def _tolerate(call: Callable[[str], int | None], name: str) -> int | None:
    """Look for, or remove, an object that a delivery replaces; the delivery does not depend on it."""
    try:
        return call(name)
    except Exception as error:  # noqa: BLE001 - each client library has its own classes
        words = "%s, of an earlier delivery of this file, may still be there: it could not be checked or removed (%s)"
        log.warning(words, name, error)
        return None


class ContentPipeline:
    """Receive a body, store it in the wanted form, hash and count it in a thread, and check the file inside."""

    def __init__(self, body: Any, destination: Destination, expected: ExpectedFile, clock: Callable[[], float]) -> None:
        self.stored = 0  # bytes of the object
        self.sha256 = hashlib.sha256()  # of the object
        self.counter = JsonCounter() if destination.file_format == "json" else RecordCounter()
        self.columns: tuple[str, ...] = ()  # of the object
        self._destination = destination
        self._sizes = {"received": 0, "decoded": 0, "unpacked": 0}  # bytes
        self._start: bytes | None = b""
        self._expected, self._kind = expected, destination.file_format.upper()
        self._worker = Worker("sei-inspect", max_pending=2)
        self._clock, self._timeout, self._empty = clock, destination.timeout, destination.empty
        self._started = self._reported = clock()
        length = body.headers.get("content-length", "").strip()
        self._announced = int(length) if length.isascii() and length.isdigit() else None
        encoding = body.headers.get("content-encoding", "")
        labels = set(re.findall(r"[\w-]+", encoding.casefold())) - {"identity"}
        self._encoding = excerpt(encoding) if labels - {"gzip", "x-gzip"} else ""
        self._blocks = rechunk(self._receive(body))
        self._first = next(self._blocks, b"")
        # gzip by a label belongs to the transport, not to the file; but labels are hints, and the bytes decide.
        if self._first.startswith(_GZIP_MAGIC) and labels & {"gzip", "x-gzip"}:
            self._blocks = rechunk(self._unwrap(itertools.chain((self._first,), self._blocks)))
            self._first = next(self._blocks, b"")
        gzipped = self._first.startswith(_GZIP_MAGIC)
        stores_gzip = {"keep": gzipped, "gzip": True}.get(destination.compression, False)
        self.stores_gzip = stores_gzip and destination.output == "csv"
        self._decompressor = Gunzip(expected.description, self.check_time) if gzipped else None
        # Its output depends on the input alone: the header carries no time. 31: gzip, with header and checksum.
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, 31) if self.stores_gzip and not gzipped else None

    def run(self, sink: Sink) -> None:
        """Write the whole body, and check that it is a complete file of the expected size."""
        expected = self._expected
        try:
            for block in itertools.chain((self._first,), self._blocks):
                self._process(block, sink)
                # Some bodies never end: stop as soon as this one is too large in every form.
                if expected.size_bytes is not None and min(self._sizes.values()) > expected.size_bytes:
                    break
            else:
                if self._decompressor:
                    self._decompressor.close()
                if self._compressor:
                    self._store(self._compressor.flush(), sink)
                if self._start:
                    check_start(self._start, expected.description, self._encoding, self._kind)
                self._worker.finish()
        finally:
            self._worker.shutdown(cancel_futures=True)
        if expected.size_bytes not in {None, *self._sizes.values()}:
            received = " or ".join(map(str, sorted(set(self._sizes.values()))))
            words = f"its status says sizeBytes {expected.size_bytes}, received were {received} bytes"
            raise expected.error("is not the expected file: " + words)
        if words := self.counter.finish(expected.min_rows):
            raise expected.error("is not a complete " + self._kind + " file: " + words)
        self._check_columns()
        if self.counter.ends_in_quotes:
            # Not an error: if the server always writes such a file, it could never be delivered.
            words = "%s ends within quotes: it may be cut at the server, or be no valid CSV"
            log.warning(words, expected.description)
        if not self.counter.rows:
            self._check_empty()

    def _check_columns(self) -> None:
        """Compare the header with the expected columns, in any order; a file without a header is only empty."""
        given, columns = self._destination, self.counter.columns
        columns = tuple(map(snake_case, columns)) if given.column_names == "snake" else columns
        self.columns = columns if self.counter.header else tuple(given.expect_columns)
        if words := schema_change(given.expect_columns, self.columns) if given.expect_columns else "":
            if given.on_schema_change == "fail":
                raise self._expected.error(words, SEISchemaError)
            log.warning("The file %s, in %s", words, self._expected.description)

    def _check_empty(self) -> None:
        """Treat a file without rows as the user says."""
        expected, has_header = self._expected, bool(self.counter.header)
        words = "has a header, but no rows" if has_header else "is empty"
        if self._empty != "deliver":
            error = expected.error(words)
            raise error if self._empty == "fail" else AirflowSkipException(str(error))
        is_documented = expected.may_be_empty and not has_header
        words += ", as documented if there are no data; so it is for an unknown collection" if is_documented else ""
        log.log(logging.INFO if is_documented else logging.WARNING, "%s %s", expected.description, words)

    def check_time(self) -> None:
        """Check that the time is not over, and log the progress now and then; for every loop over bytes."""
        now = self._clock()
        if (is_late := now - self._started > self._timeout) or now - self._reported >= _PROGRESS_SECONDS:
            self._reported, received, announced = now, self._sizes["received"], self._announced
            total = f" of {announced / _MB:.1f}" if announced else ""
            percent = f" ({100 * received // announced} %)" if announced else ""
            progress = f"{received / _MB:.1f}{total} MB received{percent}"
            if is_late:
                words = f"was not complete in time: {progress} in {now - self._started:.0f} s"
                raise self._expected.error(words + "; raise download_timeout if the server is slow", SEIDownloadError)
            log.info("%s: %s", self._expected.description, progress)

    def _receive(self, body: Any) -> Iterator[bytes]:
        """Yield the bytes as they arrive: within the timeout, and as many as announced."""
        expected, announced, received = self._expected, self._announced, 0
        for chunk in body.chunks():
            self._sizes["received"] = received = received + len(chunk)
            self.check_time()
            yield chunk
        if announced not in {None, received}:
            words = f"is cut off: Content-Length announced {announced} bytes, {received} were received"
            raise expected.error(words, SEIDownloadError)
        # The transport notices if the last chunk of a chunked body is missing.
        is_chunked = "chunked" in body.headers.get("transfer-encoding", "").casefold()
        if announced is None and not is_chunked and expected.size_bytes is None:
            words = f"the server announced no length in any form, {received} bytes were received"
            raise expected.error("cannot be verified: " + words)

    def _unwrap(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        decoder = Gunzip(self._expected.description, self.check_time)
        for block in blocks:
            yield from decoder.feed(block)
        decoder.close()

    def _process(self, block: bytes, sink: Sink) -> None:
        self._sizes["decoded"] += len(block)
        if self._decompressor and self.stores_gzip:
            self._store(block, sink)
        for piece in self._decompressor.feed(block) if self._decompressor else (block,):
            if self._compressor:
                self._store(self._compressor.compress(piece), sink)
            elif not self.stores_gzip:
                self._store(piece, sink)
            if self._start is not None:
                self._start += piece[:_START]
                if len(self._start) >= _START:
                    check_start(self._start, self._expected.description, self._encoding, self._kind)
                    self._start = None
            self._sizes["unpacked"] += len(piece)
            self._worker.add(self._hash_and_count, piece)

    def _store(self, data: bytes, sink: Sink) -> None:
        if data:
            self.stored += len(data)
            sink.write(data)
            if self.stores_gzip:
                self._worker.add(self.sha256.update, data)

    def _hash_and_count(self, piece: bytes) -> None:
        for start in range(0, len(piece), _STEP):
            part = piece[start : start + _STEP]
            if not self.stores_gzip:
                self.sha256.update(part)
            self.counter.feed(part)


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


class Gunzip:
    """Decompress gzip with all of its members, and verify their checksums; call ``check`` before each piece."""

    def __init__(self, name: str, check: Callable[[], object] = lambda: None) -> None:
        self._name, self._check = name, check
        self._member: igzip_lib.IgzipDecompressor | None = None
        self._header = b""  # of the next member, as far as it has arrived
        self._taken = self._given = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what ``chunk`` decompresses to, in pieces of at most 1 MiB."""
        self._taken += len(chunk)
        rest, self._header = self._header + chunk, b""
        while rest or (self._member and not self._member.needs_input):
            self._check()
            try:
                if self._member is None:
                    rest = rest.lstrip(b"\0")  # padding after the last one (RFC 1952)
                    if not (end := _gzip_header_end(rest)):
                        self._header = rest
                        return
                    rest, self._member = rest[end:], _new_member()
                piece = self._member.decompress(rest, _PIECE)
            except (igzip_lib.error, ValueError) as error:  # type: ignore[misc]  # isal's stub declares an instance
                msg = f"the gzip data do not unpack after {self._given} bytes ({error}): {self._name} is damaged"
                raise SEIFileError(msg) from error
            self._given += len(piece)
            if self._given > max(_SUSPICIOUS_BYTES, _SUSPICIOUS_RATIO * self._taken):
                msg = (
                    f"{self._taken} bytes of gzip decompressed to {self._given} so far, more than {_SUSPICIOUS_RATIO}"
                    f" times as many: {self._name} may be a decompression bomb"
                )
                raise SEIFileError(msg)
            if piece:
                yield piece
            rest = b""
            if self._member.eof:
                rest, self._member = self._member.unused_data, None

    def close(self) -> None:
        """Check that the last member is complete."""
        if self._member or self._header:
            msg = f"the gzip data end in the middle, after {self._taken} bytes: {self._name} is cut off"
            raise SEIFileError(msg)


def _gzip_header_end(data: bytes) -> int:
    """Return the length of a member's header (RFC 1952), or 0 if more of it is needed; checked as ``gzip`` does."""
    end = 0
    if data[12:13]:  # a member is longer
        end = 10 + (2 + int.from_bytes(data[10:12], "little") if data[3] & 4 else 0)  # FEXTRA
        for _ in range(bool(data[3] & 8) + bool(data[3] & 16)):  # FNAME, FCOMMENT
            end = data.find(b"\0", end) + 1 or len(data) + 1
        end += data[3] & 2  # FHCRC, two bytes
    if not (_GZIP_MAGIC + b"\x08").startswith(data[:3]) or end > len(data) > _PIECE:
        msg = "no valid gzip header"
        raise ValueError(msg)
    return end if end <= len(data) else 0


def check_start(start: bytes, name: str, encoding: str = "", kind: str = "CSV") -> None:
    """Check the first bytes of a file; a page, another format or a few words as ``Internal Server Error`` are none."""
    found = None
    if looks_like_markup(start):
        found = "an HTML page"
    elif kind == "CSV" and _JSON_START.match(start):
        found = "JSON"
    elif b"\0" in start[:4096] or start.startswith(_BINARY):
        found = "binary data"
    elif encoding and _CODED.search(codecs.utf_8_decode(start, "replace")[0]):
        found = f"binary data (Content-Encoding: {encoding})"
    elif not _SIGNS[kind].search(start) and start.strip():
        found = "a short text"
    if found:
        _, message = (None, None) if found.startswith("binary") else quotable(start)
        quoted = f' ("{message}")' if message else ""
        msg = f"the server sent {found}{quoted}: {name} is not a {kind} file"
        raise (SEIDownloadError if found == "an HTML page" else SEIFileError)(msg)  # a page is a gateway's
