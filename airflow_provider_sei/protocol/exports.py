"""An export and the calls around it: create it, read its status, request its file.

Responses are read tolerantly, because the vendor's documents show several shapes of each; only the export's id is
required. Personal data (``createdBy``, and the create response's ``message``, which may end in a name) is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from airflow_provider_sei.exceptions import (
    SEIArgumentError,
    SEIDownloadError,
    SEIExportCancelledError,
    SEIExportError,
    SEIExportFailedError,
    SEIReusedExportFailedError,
    SEIUnexpectedResponseError,
)
from airflow_provider_sei.protocol.arguments import parse_export_id, parse_period
from airflow_provider_sei.protocol.families import ExportFamily, get_family
from airflow_provider_sei.protocol.http import Call, HttpRequest, HttpResponse, excerpt, json_value, printable

_REUSE_SECONDS = 30 * 60
"""How long the server responds to an identical request with the existing export."""
# Both of the vendor's forms: .../exports/{id}/download and .../export/{id}/download.
_DOWNLOAD_PATH = re.compile(r"/exports?/([^/]+)/download/?$")


class ExportStatus(Enum):
    """The documented statuses, compared without regard to case, and ``UNKNOWN`` for any other.

    An unknown status is reported once and waited on until the deadline.
    """

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> ExportStatus:
        word = value.strip().casefold() if isinstance(value, str) else None
        return next((status for status in cls if status.value == word), cls.UNKNOWN)

    @property
    def is_terminal(self) -> bool:
        """Whether it will not change any more."""
        return self in (ExportStatus.COMPLETED, ExportStatus.FAILED, ExportStatus.CANCELLED)

    @property
    def is_successful(self) -> bool:
        """Whether there is a file."""
        return self is ExportStatus.COMPLETED


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export, as far as a response describes it."""

    export_id: str
    family: str
    status: ExportStatus = ExportStatus.UNKNOWN
    status_word: str | None = None
    """The status as the server wrote it; ``None`` if the response had none."""
    created_at: str | None = None
    """As the server wrote it, normally ISO 8601 in UTC."""
    completed_at: str | None = None
    reused: bool | None = None
    """Whether the create call returned an existing export, possibly another user's."""
    error_code: str | None = None
    error_message: str | None = None
    """The server's reason for a failed export."""
    download_url: str | None = None
    """The file's address; ``None`` means the conventional path."""
    size_bytes: int | None = None
    """The announced size, without saying whether before or after compression."""
    summary: bool = False
    """Whether this was read from a list, which does not have the file's size."""
    level: str | None = None
    """The level that the server exports by, to compare with the requested one."""
    team_id: str | None = None
    """The request as the server repeats it: team, organisation tree, first and last day."""
    org_tree_name: str | None = None
    date_start: str | None = None
    date_end: str | None = None

    @property
    def description(self) -> str:
        """For messages: ``productivity export exp_7a8b9c0d``."""
        return f"{self.family} export {self.export_id}"

    def mismatches(self, requested: Mapping[str, str | None]) -> list[str]:
        """Return a warning for each field that the server repeats differently from what was requested."""
        return [
            f"{self.description}: the server reports {name} {reported!r}, but {wanted!r} was requested"
            for name in ("team_id", "org_tree_name", "date_start", "date_end")
            if (reported := getattr(self, name))
            and (wanted := requested.get(name))
            and (reported[:10] if name.startswith("date") else reported) != wanted
        ]


def create_call(family: ExportFamily, body: Mapping[str, Any]) -> Call[Export]:
    """Return the call that creates an export. Repeated within 30 minutes, it returns the existing export."""
    description = f"create the {family.name} export"

    def parse(response: HttpResponse) -> Export:
        value = json_value(response, description)
        return replace(
            read_export(value, family, description), reused=response.status == HTTPStatus.OK
        )  # a new one is 202

    return Call(HttpRequest(method="POST", path=family.collection_path, body=body), parse, description)


def status_call(family: ExportFamily, export_id: str) -> Call[Export]:
    """Return the call that reads an export's status."""
    export_id = parse_export_id(export_id)
    description = f"read the status of {family.name} export {export_id}"

    def parse(response: HttpResponse) -> Export:
        value = json_value(response, description, export_id=export_id)
        export = read_export(value, family, description, expected_id=export_id)
        if export.status_word is None:
            msg = f"could not {description}: the response has no status; check the connection's base URL"
            raise SEIUnexpectedResponseError(msg, status_code=response.status, export_id=export_id)
        return export

    return Call(HttpRequest(method="GET", path=family.export_path(export_id)), parse, description, export_id)


def download_requests(export: Export) -> list[HttpRequest]:
    """Return the requests to try for a completed export's file: the address from its status, then the conventional one.

    The vendor's example of a sprint export has an address that is not among the documented paths.
    """
    conventional = f"{get_family(export.family).export_path(export.export_id)}/download"
    path = export.download_url or conventional
    match = _DOWNLOAD_PATH.search(re.split(r"[?#]", path)[0])
    if match and unquote(match.group(1)) != export.export_id:
        other = unquote(match.group(1))[:80]
        msg = f"could not download {export.description}: its status has the address of another export's file, {other!r}"
        raise SEIUnexpectedResponseError(msg, export_id=export.export_id)
    paths = [path] if path.strip("/") == conventional else [path, conventional]
    return [HttpRequest(method="GET", path=each, accept="text/csv, */*;q=0.5") for each in paths]


def read_export(value: Any, family: ExportFamily, description: str, *, expected_id: str | None = None) -> Export:
    """Read one export record, of any shape, from a create, status or list response.

    :param expected_id: the export that was asked for, if one was.
    """
    if not isinstance(value, dict):
        msg = f"could not {description}: the response is not a JSON object; check the connection's base URL"
        raise SEIUnexpectedResponseError(msg, export_id=expected_id)
    given = value.get("exportId")
    try:
        export_id = parse_export_id(expected_id if given is None and expected_id else given)
    except SEIArgumentError:
        msg = f"could not {description}: the response has no usable exportId"
        raise SEIUnexpectedResponseError(msg, export_id=expected_id) from None
    if expected_id is not None and export_id != expected_id:
        msg = f"could not {description}: the response is about another export, {export_id}"
        raise SEIUnexpectedResponseError(msg, export_id=expected_id)
    download, scope, metadata = (_object(value.get(key)) for key in ("download", "scope", "metadata"))
    period, options = (_object(metadata.get(key)) for key in ("dateRange", "options"))
    code, message = _read_error(value.get("error"))
    size = download.get("sizeBytes")
    return Export(
        export_id=export_id,
        family=family.name,
        status=ExportStatus(value.get("status")),
        status_word=_text(value.get("status"), 40, clean=True),
        created_at=_text(value.get("createdAt"), 64, clean=True),
        completed_at=_text(value.get("completedAt"), 64, clean=True),
        error_code=code,
        error_message=message,
        download_url=_text(download.get("url")) or _text(value.get("downloadUrl")),
        size_bytes=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        level=_text(options.get("metricLevel") or options.get("aggregationLevel"), 40, clean=True),
        team_id=_text(scope.get("teamId"), 200),
        org_tree_name=_text(scope.get("orgTreeName"), 200),
        date_start=_text(period.get("start"), 64, clean=True),
        date_end=_text(period.get("end"), 64, clean=True),
    )


def failed_export_error(export: Export) -> SEIExportError:
    """Return the error for a failed or cancelled export, with the server's reason."""
    details: dict[str, Any] = {
        "export_id": export.export_id,
        "vendor_code": export.error_code,
        "vendor_message": export.error_message,
    }
    if export.status is ExportStatus.CANCELLED:
        msg = f"{export.description} was cancelled at the server; create it again if it is needed"
        return SEIExportCancelledError(msg, **details)
    advice = "correct the request, or create it again if the cause has passed"
    if export.reused:
        advice += "; within 30 minutes of its creation, an identical request returns this same failed export"
    reason = export.error_message or "the server gave no reason"
    return SEIExportFailedError(f"{export.description} failed at the server: {reason}; {advice}", **details)


def check_completed(export: Export) -> None:
    """Raise an error unless the export is completed."""
    if export.status.is_successful:
        return
    if export.status.is_terminal:
        raise failed_export_error(export)
    msg = (
        f"{export.description} is not completed (status: {export.status_word}), so there is no file yet;"
        " wait for it with SEIExportSensor"
    )
    raise SEIDownloadError(msg, export_id=export.export_id)


def check_reused(export: Export, policy: str, *, now: float) -> None:
    """Raise an error if an export that the server reused has failed.

    :param policy: ``fail``, or ``retry`` with a retryable error whose ``retry_after`` is when a new one can be created.
    :param now: epoch seconds.
    """
    if export.status.is_successful or not export.status.is_terminal:
        return
    error = failed_export_error(replace(export, reused=True))
    if policy == "fail":
        raise error
    wait = float(_REUSE_SECONDS)
    with suppress(ValueError):
        created = datetime.fromisoformat(str(export.created_at))
        created = created if created.tzinfo else created.replace(tzinfo=UTC)
        wait = created.timestamp() + _REUSE_SECONDS - now + 1
    raise SEIReusedExportFailedError(
        str(error),
        export_id=export.export_id,
        vendor_code=error.vendor_code,
        vendor_message=error.vendor_message,
        retry_after=str(int(max(0.0, min(wait, _REUSE_SECONDS)))),
    )


def export_period(export: Export) -> tuple[str, str]:
    """Return the first and the last day, yyyy-MM-dd, that the server reports for an export."""
    try:
        return parse_period(*(day and day[:10] for day in (export.date_start, export.date_end)))
    except SEIArgumentError:
        reported = f"{export.date_start or 'nothing'} to {export.date_end or 'nothing'}"
        msg = f"{export.description} has no known period: its status reports {reported}, not two days as yyyy-MM-dd"
        raise SEIUnexpectedResponseError(msg, export_id=export.export_id) from None


def _read_error(error: object) -> tuple[str | None, str | None]:
    # The prose shows a sentence, the OpenAPI document an object {code, message}.
    if error is None or error == "" or isinstance(error, bool):
        return None, None
    if isinstance(error, dict):
        code, message = _text(error.get("code")), _text(error.get("message"))
        if code or message:
            return (excerpt(code) if code else None), excerpt(message or code or "")
    return None, excerpt(str(error))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, limit: int | None = None, *, clean: bool = False) -> str | None:
    # Cleaned for logs, except what is compared with an argument (ids, names).
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()[:limit]
    return (printable(text).strip() if clean else text) or None
