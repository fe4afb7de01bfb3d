"""What the hook's two delivering methods share: a bounded number of tries, each of them from the start."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

from tenacity import Retrying

from airflow_provider_sei.delivery.deliver import Delivered, Promise, deliver
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.transfer import Body
from airflow_provider_sei.protocol.downloads import (
    check_completed,
    download_request,
    download_what,
    other_download_request,
)
from airflow_provider_sei.protocol.errors import SEIDownloadError, SEINotFoundError
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.reports import ReportSpec, report_request
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.transports.common import RetryRule
from airflow_provider_sei.transports.sync import RequestsTransport, StreamedBody

__all__ = ["Downloads"]

log = logging.getLogger("airflow_provider_sei")

_TRIES = Backoff(base=2.0)
_ONE_TRY = Backoff(attempts=1)  # a body that could not be opened counts as a try of the whole
_Source = Callable[[], tuple[Callable[[], AbstractContextManager[Body]], Promise]]


class _Interruption(BaseException):
    """Leaves a delivery from wherever it is; no ``Exception``, so that nothing on the way takes it for a fault."""


class Downloads:
    """Delivers files that one transport fetches.

    Args:
        transport: the worker's.
        sleep: used between tries.
        clock: seconds, from any origin.
    """

    def __init__(
        self, transport: RequestsTransport, *, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._sleep = sleep
        self._clock = clock
        self._delivering: int | None = None  # the thread that is at it

    def interrupt(self) -> None:
        """Leave the delivery that is under way in this thread, by raising in the midst of it; else do nothing.

        For signal handlers, which Python runs between two steps of what they interrupt. The delivery cleans up behind
        itself and ends with an error. Nothing is logged here: the handler may have come in between a line of the log.
        """
        if self._delivering == threading.get_ident():
            self._delivering = None
            raise _Interruption

    def export(
        self,
        export: Export | None,
        status: Callable[[], Export],
        destination: Destination,
        *,
        name: str | None,
        verify_size: bool,
    ) -> Delivered:
        """Deliver an export's file.

        Args:
            export: its state as already known, for the first try.
            status: reads its state, before each other try: an export can vanish, and its file can move.
            destination: where to, and in which form.
            name: stands for the request, in a folder.
            verify_size: whether the file must have the size that the state announces.
        """
        known = [export] if export else []

        def source() -> tuple[Callable[[], AbstractContextManager[Body]], Promise]:
            found = known.pop() if known else status()
            check_completed(found)
            promise = Promise(
                what=f"{found.family} export {found.export_id}",
                name=name or f"{found.family}_{found.export_id}.csv",
                export_id=found.export_id,
                server_name=found.filename,
                size_bytes=found.size_bytes if verify_size else None,
            )
            return lambda: self._open(found), promise

        return self._delivered(source, destination, "download the export")

    def report(self, spec: ReportSpec, destination: Destination, *, name: str) -> Delivered:
        """Request a legacy report and deliver the answer."""
        what = f"{spec.report_type} report of collection {spec.collection_id}"
        request = report_request(spec)

        def open_report() -> AbstractContextManager[StreamedBody]:
            return self._transport.stream(request, f"get the {what}", backoff=_ONE_TRY)

        return self._delivered(lambda: (open_report, Promise(what=what, name=name)), destination, f"get the {what}")

    @contextmanager
    def _open(self, export: Export) -> Iterator[StreamedBody]:
        what, missing = download_what(export), None
        with ExitStack() as opened:
            for request in filter(None, (download_request(export), other_download_request(export))):
                if missing is not None:
                    log.warning("%s; trying %s", missing, request.path)
                try:
                    stream = self._transport.stream(request, what, export_id=export.export_id, backoff=_ONE_TRY)
                    body = opened.enter_context(stream)
                    break
                except SEINotFoundError as error:
                    missing = error
            else:
                # The vendor answers 404 for a file that is not there yet, too.
                msg = f"{missing}; its status said completed, so the file may still be on its way"
                raise SEIDownloadError(msg, status_code=404, export_id=export.export_id) from missing
            yield body

    def _delivered(self, source: _Source, destination: Destination, what: str) -> Delivered:
        """Try until a file is delivered, all tries together within the destination's time."""
        give_up_at = self._clock() + destination.timeout

        def left() -> float:
            return max(0.0, give_up_at - self._clock())

        def once() -> Delivered:
            open_body, promise = source()
            return deliver(open_body, replace(destination, timeout=left()), promise, clock=self._clock)

        rule = RetryRule(_TRIES, what, left)
        self._delivering = threading.get_ident()
        try:
            result: Delivered = Retrying(sleep=self._sleep, **rule.arguments())(once)
        except _Interruption:
            words = "interrupted, because the task was told to end; what was not published yet is taken back"
            msg = f"could not {what}: {words}"
            raise SEIDownloadError(msg) from None
        finally:
            self._delivering = None
        return result
