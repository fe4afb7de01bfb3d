"""An export and the calls around it: create it, read its status, request its file.

Responses are read tolerantly, because the vendor's documents show several shapes of each. Personal data (``createdBy``,
and the create response's ``message``, which may end in a name) is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from airflow_provider_sei import exceptions
from airflow_provider_sei.protocol.arguments import parse_export_id, parse_period
from airflow_provider_sei.protocol.families import ExportFamily, get_family
from airflow_provider_sei.protocol.http import Call, HttpRequest, error_words, json_value, printable, unusable

_REUSE_SECONDS = 30 * 60  # in which the server responds to an identical request with the existing export


class ExportStatus(Enum):
    """The documented statuses, and ``UNKNOWN`` for any other, which is reported once and waited on.

    ``is_terminal`` says whether it will not change any more, ``is_successful`` whether there is a file.
    """

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    def __init__(self, word: object) -> None:
        self.is_successful = word == "completed"
        self.is_terminal = word in ("completed", "failed", "cancelled")

    @classmethod
    def _missing_(cls, _: object) -> ExportStatus:
        return cls.UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export, as far as a response describes it."""

    export_id: str
    family: str
    status: ExportStatus = ExportStatus.UNKNOWN
    status_word: str | None = None
    """The status as the server wrote it; ``None`` if the response had none."""
    created_at: str | None = None
    """As the server wrote it, normally ISO 8601 in UTC; so is ``completed_at``."""
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
    # The request as the server repeats it: team, organisation tree, first and last day.
    team_id: str | None = None
    org_tree_name: str | None = None
    date_start: str | None = None
    date_end: str | None = None

    @property
    def description(self) -> str:
        """For messages: ``productivity export exp_7a8b9c0d``."""
        return f"{self.family} export {self.export_id}"

    def reusable_seconds(self, now: float) -> str:
        """Return for how many more seconds after ``now`` (epoch) an identical request returns this export."""
        wait = float(_REUSE_SECONDS)
        with suppress(ValueError):
            created = datetime.fromisoformat(str(self.created_at))
            created = created if created.tzinfo else created.replace(tzinfo=UTC)
            wait = created.timestamp() + _REUSE_SECONDS - now + 1
        return str(int(max(0.0, min(wait, _REUSE_SECONDS))))

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
    return Call(
        HttpRequest(method="POST", path=family.collection_path, body=body),
        lambda response: replace(
            read_export(json_value(response, description), family, description),
            reused=response.status == HTTPStatus.OK,  # a new one is 202
        ),
        description,
    )


def status_call(family: ExportFamily, export_id: str) -> Call[Export]:
    """Return the call that reads an export's status."""
    export_id = parse_export_id(export_id)
    description = f"read the status of {family.name} export {export_id}"
    return Call(
        HttpRequest(method="GET", path=f"{family.item_path}/{quote(export_id, safe='')}"),
        lambda response: read_export(
            json_value(response, description, export_id=export_id), family, description, expected_id=export_id
        ),
        description,
        export_id,
    )


def download_requests(export: Export, file_format: str = "csv") -> list[HttpRequest]:
    """Return the requests to try for an export's file: the address from its status, then the conventional one.

    The vendor's example of a sprint export has an address that is not among the documented paths.

    :raises SEIError: the export is not completed.
    """
    if export.status.is_terminal and not export.status.is_successful:
        raise failed_export_error(export)
    if not export.status.is_successful:
        advice = "so there is no file yet; wait for it with SEIExportSensor"
        msg = f"{export.description} is not completed (status: {export.status_word}), {advice}"
        raise exceptions.SEIDownloadError(msg, export_id=export.export_id)
    conventional = f"{status_call(get_family(export.family), export.export_id).request.path}/download"
    path = export.download_url or conventional
    paths = [path] if path.strip("/") == conventional else [path, conventional]
    accept = f"{'application/json' if file_format == 'json' else 'text/csv'}, */*;q=0.5"
    return [HttpRequest(method="GET", path=each, accept=accept) for each in paths]


def read_export(value: Any, family: ExportFamily, description: str, *, expected_id: str | None = None) -> Export:
    """Read one export record, of any shape, from a create, status or list response."""
    record, export_id, problem = value if isinstance(value, dict) else {}, "", ""
    given, status_word, error = record.get("exportId"), _text(record, "status", limit=40), record.get("error")
    with suppress(exceptions.SEIArgumentError):
        export_id = parse_export_id(expected_id if given is None else given)
    if record is not value:
        problem = "the response is not a JSON object"
    elif not export_id:
        problem = "the response has no usable exportId"
    elif expected_id not in (None, export_id):
        problem = f"the response is about another export, {export_id}"
    elif expected_id and (status_word is None or not isinstance(record["status"], str)):  # in an error, it is a number
        problem = "the response has no status"
    if problem:
        raise unusable(value, description, problem, expected_id)
    code, message = error_words(error[0] if isinstance(error, list) else error) if error else (None, None)
    size = record["download"].get("sizeBytes") if isinstance(record.get("download"), dict) else None
    level = _text(record, "metadata", "options", "metricLevel")
    return Export(
        export_id=export_id,
        family=family.name,
        status=ExportStatus((status_word or "unknown").casefold()),
        status_word=status_word,
        created_at=_text(record, "createdAt"),
        completed_at=_text(record, "completedAt"),
        error_code=code,
        error_message=message,
        download_url=_text(record, "download", "url", limit=None, exact=True)
        or _text(record, "downloadUrl", limit=None, exact=True),
        size_bytes=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        level=level or _text(record, "metadata", "options", "aggregationLevel"),
        team_id=_text(record, "scope", "teamId", limit=200, exact=True),
        org_tree_name=_text(record, "scope", "orgTreeName", limit=200, exact=True),
        date_start=_text(record, "metadata", "dateRange", "start"),
        date_end=_text(record, "metadata", "dateRange", "end"),
    )


def failed_export_error(export: Export) -> exceptions.SEIExportError:
    """Return the error for a failed or cancelled export, with the server's reason."""
    details: dict[str, Any] = {"export_id": export.export_id, "vendor_code": export.error_code}
    details["vendor_message"] = export.error_message
    if export.status is ExportStatus.CANCELLED:
        msg = f"cancelled at the server: {export.description}; create it again if it is needed"
        return exceptions.SEIExportCancelledError(msg, **details)
    advice = "correct the request, or create it again if the cause has passed"
    if export.reused:
        advice += "; within 30 minutes of its creation, an identical request returns this same failed export"
    reason = export.error_message or "the server gave no reason"
    return exceptions.SEIExportFailedError(f"{reason}: {export.description} failed at the server; {advice}", **details)


def check_reused(export: Export, policy: str, *, now: float) -> None:
    """Raise an error if a reused export has failed; ``retry`` says when a new one can be created.

    :param policy: ``fail``, or ``retry`` for a retryable error with ``retry_after``.
    :param now: epoch seconds.
    """
    if export.status.is_successful or not export.status.is_terminal:
        return
    error = failed_export_error(replace(export, reused=True))
    if policy == "fail":
        raise error
    details = {name: getattr(error, name) for name in ("export_id", "vendor_code", "vendor_message")}
    raise exceptions.SEIReusedExportFailedError(str(error), retry_after=export.reusable_seconds(now), **details)


def export_period(export: Export) -> tuple[str, str]:
    """Return the first and the last day, yyyy-MM-dd, that the server reports for an export."""
    try:
        start, end = (day and day[:10] for day in (export.date_start, export.date_end))
        return parse_period(start, end)
    except exceptions.SEIArgumentError:
        reported = f"{export.date_start or 'nothing'} to {export.date_end or 'nothing'}"
        msg = f"{export.description} has no known period: its status reports {reported}, not two days as yyyy-MM-dd"
        raise exceptions.SEIUnexpectedResponseError(msg, export_id=export.export_id) from None


def _text(value: Any, *keys: str, limit: int | None = 64, exact: bool = False) -> str | None:
    # Cleaned for logs, except what is requested or compared with an argument.
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()[:limit]
    return (text if exact or text.isprintable() else printable(text).strip()) or None
