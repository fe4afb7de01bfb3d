"""Streams one file to its destination and verifies it on the way."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass

from airflow_provider_sei.delivery.content import GZIP_MAGIC, undo_content_encoding
from airflow_provider_sei.delivery.destination import Destination, Overwrite
from airflow_provider_sei.delivery.inspection import Inspection
from airflow_provider_sei.delivery.stores import Sink, sinks
from airflow_provider_sei.delivery.transfer import Body, Promise, Transfer, gathered
from airflow_provider_sei.protocol.errors import SEIError, SEIUsageError
from airflow_provider_sei.protocol.naming import content_disposition_filename, safe_filename, with_matching_suffix

__all__ = ["Body", "Delivered", "Promise", "deliver"]

log = logging.getLogger("airflow_provider_sei")


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
        SEIDownloadError: what arrived is not what was promised, or could not be stored.
        SEIUsageError: the destination cannot be used.
        SEIError: whatever opening and reading the body raises.
    """
    folder_url, slash, name = destination.url.rpartition("/")
    open_sink = sinks(folder_url + slash or "./")
    with open_body() as body:
        transfer = Transfer(body, promise, destination.timeout, clock)
        payload = gathered(undo_content_encoding(transfer.chunks(), body.headers.get("content-encoding"), promise.what))
        first = next(payload, b"")
        gzipped = first.startswith(GZIP_MAGIC)
        store_gzipped = {"keep": gzipped, "gzip": True, "none": False}[destination.compression]
        name = with_matching_suffix(name or _file_name(body, destination, promise), gzipped=store_gzipped)
        with _storing(promise, destination), closing(open_sink(name)) as sink:
            if destination.overwrite == "fail" and sink.existing_size() is not None:
                raise _exists(sink)
            inspection = Inspection(sink, promise.what, gzipped=gzipped, store_gzipped=store_gzipped)
            inspection.run(_no_larger(itertools.chain((first,), payload), promise, transfer, inspection))
            _check_size(promise, _sizes(transfer, inspection))
            if inspection.counter.ends_in_quotes:
                # Not an error: where the server writes such a file, it would never be delivered.
                log.warning("%s ends within quotes: it may be cut at the server, or be no valid CSV", promise.what)
            written = _publish(sink, inspection, destination.overwrite)
    return Delivered(
        uri=sink.uri,
        bytes=inspection.stored,
        rows=max(0, inspection.counter.records - 1),
        sha256=inspection.sha256,
        header=inspection.counter.header.decode("utf-8", "replace"),
        written=written,
    )


def _file_name(body: Body, destination: Destination, promise: Promise) -> str:
    """Return the file's name in a folder."""
    header_name = content_disposition_filename(body.headers.get("content-disposition"))
    server_name = safe_filename(header_name) or safe_filename(promise.server_name)
    return (server_name if destination.use_server_name else None) or promise.name


@contextmanager
def _storing(promise: Promise, destination: Destination) -> Iterator[None]:
    """Let a store's own errors leave this block as ours: each client library has a family of its own."""
    try:
        yield
    except SEIError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        words = f"could not be stored at {destination.url}: {reason}"
        raise promise.broken(words) from error


def _sizes(transfer: Transfer, inspection: Inspection) -> set[int]:
    return {transfer.received, inspection.taken, inspection.unpacked}


def _no_larger(
    payload: Iterable[bytes], promise: Promise, transfer: Transfer, inspection: Inspection
) -> Iterator[bytes]:
    """Return the payload, and end as soon as it can only become larger than promised: there are bodies without end."""
    for block in payload:
        yield block
        sizes = _sizes(transfer, inspection)
        if promise.size_bytes is not None and min(sizes) > promise.size_bytes:
            _check_size(promise, sizes)


def _check_size(promise: Promise, counts: set[int]) -> None:
    if promise.size_bytes is not None and promise.size_bytes not in counts:
        received = " or ".join(str(count) for count in sorted(counts))
        words = f"its status said sizeBytes {promise.size_bytes}, received were {received} bytes"
        raise promise.broken("is not the file that was promised: " + words)


def _publish(sink: Sink, inspection: Inspection, overwrite: Overwrite) -> bool:
    if (
        overwrite == "skip"
        and sink.existing_size() == inspection.stored
        and sink.existing_sha256() == inspection.sha256
    ):
        log.info("%s has the same content already; nothing written", sink.uri)
        return False
    try:
        sink.commit(replace=overwrite != "fail")
    except FileExistsError as error:
        raise _exists(sink) from error
    return True


def _exists(sink: Sink) -> SEIUsageError:
    return SEIUsageError(f'{sink.uri} exists already, and overwrite="fail" does not replace it', field="overwrite")
