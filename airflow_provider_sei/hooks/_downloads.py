"""Deliveries for the hook: a bounded number of tries, each from the start, all within one timeout."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

from tenacity import Retrying

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.filenames import FIELDS
from airflow_provider_sei.delivery.pipeline import DeliveryResult, ExpectedFile, deliver
from airflow_provider_sei.exceptions import SEIDownloadError, SEINotFoundError
from airflow_provider_sei.protocol.export_request import fingerprint
from airflow_provider_sei.protocol.exports import (
    Export,
    check_completed,
    download_requests,
    export_period,
)
from airflow_provider_sei.protocol.report_request import ReportRequest
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.transports._common import retry_arguments
from airflow_provider_sei.transports.sync import RequestsTransport, StreamedBody

__all__ = ["Downloads"]

log = logging.getLogger("airflow_provider_sei")

_TRIES = Backoff(base=2.0)
_ONE_TRY = Backoff(attempts=1)  # opening a body is part of a try, not retried by itself


class _Interruption(BaseException):
    """Ends a delivery from within; not an ``Exception``, so that nothing handles it as an error of the delivery."""


class Downloads:
    """Deliver files that one transport fetches."""

    def __init__(
        self, transport: RequestsTransport, *, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._sleep = sleep
        self._clock = clock
        self._thread_id: int | None = None  # of the delivery in progress

    def interrupt(self) -> None:
        """End the delivery in progress in this thread, if any, by an exception; for signal handlers.

        Nothing is logged here, because the signal may have interrupted a log call.
        """
        if self._thread_id == threading.get_ident():
            self._thread_id = None
            raise _Interruption

    def export(
        self, export: Export | None, status: Callable[[], Export], destination: Destination, *, verify_size: bool
    ) -> DeliveryResult:
        """Deliver an export's file.

        :param export: its state if known, for the first try; ``status`` reads it before each other one.
        :param destination: resolved, or a folder or pattern to resolve with what the server says about the export.
        """
        known = export

        def deliver_once(timeout: float) -> DeliveryResult:
            nonlocal known
            found, known = known or status(), None
            check_completed(found)
            expected = ExpectedFile(
                description=found.description,
                export_id=found.export_id,
                size_bytes=found.size_bytes if verify_size else None,
            )
            target = self._resolve(found, destination)
            return deliver(lambda: self._open(found), replace(target, timeout=timeout), expected, clock=self._clock)

        return self._retry(deliver_once, destination.timeout, "download the export")

    def report(self, request: ReportRequest, destination: Destination) -> DeliveryResult:
        """Request a legacy report and deliver it to a destination that is resolved, or can be with the request."""
        family = f"{request.report_type}-report"
        days = {"date_start": request.date_start, "date_end": request.date_end}
        identity = {"team_id": request.collection_id, "fingerprint": fingerprint([family, request.body])}
        target = destination.resolve({"family": family, **identity, **days, **self._scope()})
        expected = ExpectedFile(description=request.description)
        description = f"get the {expected.description}"

        def open_report() -> AbstractContextManager[StreamedBody]:
            return self._transport.stream(request.http_request(), description, backoff=_ONE_TRY)

        def deliver_once(timeout: float) -> DeliveryResult:
            return deliver(open_report, replace(target, timeout=timeout), expected, clock=self._clock)

        return self._retry(deliver_once, destination.timeout, description)

    def _resolve(self, export: Export, destination: Destination) -> Destination:
        names = ("family", "export_id", "team_id", "org_tree_name")
        fields = {name: getattr(export, name) for name in names}
        if destination.needs(("date_start", "date_end", "period")):
            fields["date_start"], fields["date_end"] = export_period(export)
        return destination.resolve(dict.fromkeys(FIELDS) | fields | self._scope())

    def _scope(self) -> dict[str, str | None]:
        settings = self._transport.settings
        return {
            "account": settings.account_id,
            "project": settings.project_identifier,
            "org": settings.org_identifier,
        }

    @contextmanager
    def _open(self, export: Export) -> Iterator[StreamedBody]:
        """Open the file where its status says it is, or at the conventional path."""
        description, missing = f"download {export.description}", None
        with ExitStack() as stack:
            for request in download_requests(export):
                if missing is not None:
                    log.warning("%s; trying %s", missing, request.path)
                stream = self._transport.stream(request, description, export_id=export.export_id, backoff=_ONE_TRY)
                try:
                    body = stack.enter_context(stream)
                    break
                except SEINotFoundError as error:
                    missing = error
            else:
                # The vendor also answers 404 for a file that is not there yet.
                msg = f"{missing}; its status said completed, so the file may not be available yet"
                raise SEIDownloadError(msg, status_code=404, export_id=export.export_id) from missing
            yield body

    def _retry(
        self, deliver_once: Callable[[float], DeliveryResult], timeout: float, description: str
    ) -> DeliveryResult:
        give_up_at = self._clock() + timeout

        def seconds_left() -> float:
            return max(0.0, give_up_at - self._clock())

        retrying = Retrying(sleep=self._sleep, **retry_arguments(_TRIES, seconds_left))
        self._thread_id = threading.get_ident()
        try:
            result: DeliveryResult = retrying(lambda: deliver_once(seconds_left()))
        except _Interruption:
            # Whether it had been published already is not known here.
            msg = f"could not {description}: interrupted, because the task was told to end"
            raise SEIDownloadError(msg) from None
        finally:
            self._thread_id = None
        return result
