"""Where an export's file is asked for, whether it can be asked for yet, and which period it is of."""

from __future__ import annotations

import re
from urllib.parse import unquote

from airflow_provider_sei.protocol.checks import checked_period
from airflow_provider_sei.protocol.errors import SEIDownloadError, SEIUnreadableError, SEIUsageError
from airflow_provider_sei.protocol.exports import Export, dead_export_error, item_path
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.messages import HttpRequest
from airflow_provider_sei.protocol.status import Verdict

__all__ = ["check_completed", "download_request", "download_what", "other_download_request", "told_period"]

# Both spellings of the vendor's: .../exports/{id}/download and .../export/{id}/download.
_NAMES_AN_EXPORT = re.compile(r"/exports?/([^/]+)/download/?$")


def check_completed(export: Export) -> None:
    """Pass a completed export.

    Raises:
        SEIExportFailedError, SEIExportCancelledError: it never will be.
        SEIDownloadError: it is not yet.
    """
    verdict = export.status.verdict
    if verdict is Verdict.DEAD:
        raise dead_export_error(export)
    if verdict is not Verdict.READY:
        msg = (
            f"{export.family} export {export.export_id} is {export.status_word!r}, not completed: there is no file yet."
            " Wait for it first, with SEIExportSensor"
        )
        raise SEIDownloadError(msg, export_id=export.export_id)


def download_request(export: Export) -> HttpRequest:
    """Return the request for the file: at the place that the server has named, or at the conventional one.

    Raises:
        SEIUnreadableError: the server has named the file of another export.
    """
    path = export.download_url or _conventional_path(export)
    named = _NAMES_AN_EXPORT.search(re.split(r"[?#]", path)[0])
    if named and unquote(named.group(1)) != export.export_id:
        msg = (
            f"could not {download_what(export)}: its status names the file of another export,"
            f" {unquote(named.group(1))[:80]!r}"
        )
        raise SEIUnreadableError(msg, export_id=export.export_id)
    return _request(path)


def other_download_request(export: Export) -> HttpRequest | None:
    """Return the request to try where the file is not at the place that the server has named, if there is another one.

    The vendor's example of a sprint export names a place that is not among the documented paths.
    """
    path = _conventional_path(export)
    named = (export.download_url or path).strip("/")
    return None if named == path else _request(path)


def download_what(export: Export) -> str:
    """Return the words that complete "could not ..."."""
    return f"download {export.family} export {export.export_id}"


def told_period(export: Export) -> tuple[str, str]:
    """Return the first and the last day, yyyy-MM-dd, that the server says an export is of.

    Raises:
        SEIUnreadableError: it says none, or not in this form.
    """
    try:
        # As in ExportSpec.contradictions, a time of day behind a day says nothing.
        return checked_period(*(day and day[:10] for day in (export.date_start, export.date_end)))
    except SEIUsageError:
        msg = (
            f"could not tell the period of {export.family} export {export.export_id}: its status says"
            f" {export.date_start or 'nothing'} to {export.date_end or 'nothing'}, not two days as yyyy-MM-dd;"
            " deliver it with layout='flat'"
        )
        raise SEIUnreadableError(msg, export_id=export.export_id) from None


def _conventional_path(export: Export) -> str:
    return f"{item_path(get_family(export.family), export.export_id)}/download"


def _request(path: str) -> HttpRequest:
    return HttpRequest(method="GET", path=path, accept="text/csv, */*;q=0.5")
