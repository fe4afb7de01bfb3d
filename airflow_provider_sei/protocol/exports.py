"""An export and the calls around it: create, read its state, find its file.

Answers are read tolerantly, because the vendor's documents show several shapes for each; only the export's id is
required. Personal data (``createdBy``, and the create answer's ``message``, which may end in a name) is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow_provider_sei.protocol.answers import excerpt, json_value, printable
from airflow_provider_sei.protocol.arguments import checked_export_id
from airflow_provider_sei.protocol.errors import (
    SEIExportCancelledError,
    SEIExportError,
    SEIExportFailedError,
    SEIReusedExportFailedError,
    SEIUnreadableError,
    SEIUsageError,
)
from airflow_provider_sei.protocol.families import ExportFamily
from airflow_provider_sei.protocol.messages import Call, HttpRequest, HttpResponse
from airflow_provider_sei.protocol.status import ExportStatus, Verdict, read_status

__all__ = [
    "Export",
    "check_reused",
    "create_call",
    "dead_export_error",
    "item_path",
    "read_export",
    "status_call",
]

_REUSE_SECONDS = 30 * 60
"""For so long, an identical request is answered with the existing export."""

_REUSED = 200  # an identical export exists; 202 means a new one. The message says so too, in changing words.


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export, as far as an answer has told."""

    export_id: str
    family: str
    status: ExportStatus = ExportStatus.UNKNOWN
    status_word: str | None = None
    """The status as the server wrote it; ``None`` if the answer had none."""
    created_at: str | None = None
    """The server's own text, normally ISO 8601 in UTC."""
    completed_at: str | None = None
    reused: bool | None = None
    """Whether the create call was answered with an export that existed already. It may be somebody else's."""
    error_code: str | None = None
    error_message: str | None = None
    """The server's reason for a failed export."""
    download_url: str | None = None
    """Where the file is, as the server named it; ``None`` means the conventional path."""
    filename: str | None = None
    size_bytes: int | None = None
    """The size the server announces. It does not say whether before or after compression."""
    summary: bool = False
    """Whether this was read from a list, which tells neither the file's name nor its size."""
    level: str | None = None
    """The level the server says it exports by, to be compared with the one asked for."""
    team_id: str | None = None
    """What it is of, as far as the server echoes the request: team, organisation tree, first and last day."""
    org_tree_name: str | None = None
    date_start: str | None = None
    date_end: str | None = None


def create_call(family: ExportFamily, body: Mapping[str, Any], *, alternate: bool = False) -> Call[Export]:
    """Return the call that creates an export.

    Sending it again is harmless: within 30 minutes the server answers an identical request with the existing export.

    Args:
        body: as ``ExportSpec.body`` builds it.
        alternate: use the family's other spelling of the path.
    """
    what = f"create a {family.name} export"
    path = family.alternate_collection_path if alternate else None

    def parse(response: HttpResponse) -> Export:
        value = json_value(response, what)
        return replace(read_export(value, family, what), reused=response.status == _REUSED)

    request = HttpRequest(method="POST", path=path or family.collection_path, body=body)
    return Call(request, parse, what)


def status_call(family: ExportFamily, export_id: str) -> Call[Export]:
    """Return the call that reads an export's state.

    Raises:
        SEIUsageError: ``export_id`` cannot be an id.
    """
    export_id = checked_export_id(export_id)
    what = f"read the status of {family.name} export {export_id}"

    def parse(response: HttpResponse) -> Export:
        export = read_export(json_value(response, what, export_id=export_id), family, what, expected_id=export_id)
        if export.status_word is None:
            msg = f"could not {what}: the answer has no status; check the connection's base URL"
            raise SEIUnreadableError(msg, status_code=response.status, export_id=export_id)
        return export

    return Call(HttpRequest(method="GET", path=item_path(family, export_id)), parse, what, export_id)


def item_path(family: ExportFamily, export_id: str) -> str:
    """Return the conventional path of an export, relative to the base URL."""
    return f"{family.item_path}/{quote(export_id, safe='')}"


def read_export(value: Any, family: ExportFamily, what: str, *, expected_id: str | None = None) -> Export:
    """Read one export record from a create, status or list answer.

    Args:
        value: the JSON value, of any shape.
        what: completes the sentence "could not ...".
        expected_id: the export that was asked for, where one was.

    Raises:
        SEIUnreadableError: no object, no usable ``exportId``, or another export than the one asked for.
    """
    if not isinstance(value, dict):
        msg = f"could not {what}: the answer is not a JSON object; check the connection's base URL"
        raise SEIUnreadableError(msg, export_id=expected_id)
    given = value.get("exportId")
    if given is None and expected_id is not None:
        given = expected_id
    try:
        export_id = checked_export_id(given)
    except SEIUsageError:
        msg = f"could not {what}: the answer has no usable exportId"
        raise SEIUnreadableError(msg, export_id=expected_id) from None
    if expected_id is not None and export_id != expected_id:
        msg = f"could not {what}: the server answered for another export, {export_id}"
        raise SEIUnreadableError(msg, export_id=expected_id)
    download = _object(value.get("download"))
    code, message = _read_error(value.get("error"))
    status_word = value.get("status")
    scope, period = _object(value.get("scope")), _object(_object(value.get("metadata")).get("dateRange"))
    return Export(
        export_id=export_id,
        family=family.name,
        status=read_status(status_word),
        status_word=_word(status_word, 40),
        created_at=_word(value.get("createdAt"), 64),
        completed_at=_word(value.get("completedAt"), 64),
        error_code=code,
        error_message=message,
        download_url=_text(download.get("url")) or _text(value.get("downloadUrl")),
        filename=_text(download.get("filename")),
        size_bytes=_size(download.get("sizeBytes")),
        level=_read_level(value.get("metadata")),
        team_id=_text(scope.get("teamId"), 200),
        org_tree_name=_text(scope.get("orgTreeName"), 200),
        date_start=_word(period.get("start"), 64),
        date_end=_word(period.get("end"), 64),
    )


def dead_export_error(export: Export) -> SEIExportError:
    """Return the error for an export that will never be ready, with the server's reason."""
    reason = export.error_message or "the server gave no reason"
    if export.status is ExportStatus.CANCELLED:
        return SEIExportCancelledError(
            f"{export.family} export {export.export_id} was cancelled at the server; create it again if it is needed",
            export_id=export.export_id,
            vendor_code=export.error_code,
            vendor_message=export.error_message,
        )
    advice = "correct the request, or create it again if the cause has passed"
    if export.reused:
        advice += "; an identical request within 30 minutes of that one is answered with this same failed export"
    return SEIExportFailedError(
        f"{export.family} export {export.export_id} failed at the server: {reason}; {advice}",
        export_id=export.export_id,
        vendor_code=export.error_code,
        vendor_message=export.error_message,
    )


def check_reused(export: Export, policy: str, *, now: float) -> None:
    """Pass an older export that can still be delivered.

    Args:
        export: its present state.
        policy: one of ``arguments.REUSED_FAILED``.
        now: epoch seconds.

    Raises:
        SEIExportFailedError, SEIExportCancelledError: it is dead, and the policy is to fail.
        SEIReusedExportFailedError: it is dead, and the policy is to try again; ``retry_after`` says when.
    """
    if export.status.verdict is not Verdict.DEAD:
        return
    error = dead_export_error(replace(export, reused=True))
    if policy == "fail":
        raise error
    wait = _REUSE_SECONDS
    with suppress(ValueError):
        created = datetime.fromisoformat(str(export.created_at))
        created = created if created.tzinfo else created.replace(tzinfo=UTC)
        wait = int(created.timestamp() + _REUSE_SECONDS - now) + 1
    raise SEIReusedExportFailedError(
        str(error),
        export_id=export.export_id,
        vendor_code=error.vendor_code,
        vendor_message=error.vendor_message,
        retry_after=str(max(0, min(wait, _REUSE_SECONDS))),
    )


def _read_error(error: object) -> tuple[str | None, str | None]:
    # The prose shows a sentence, the OpenAPI document an object {code, message}.
    if error is None or error == "" or isinstance(error, bool):
        return None, None
    if isinstance(error, dict):
        code, message = _text(error.get("code")), _text(error.get("message"))
        if code or message:
            return (excerpt(code) if code else None), excerpt(message or code or "")
    return None, excerpt(str(error))


def _read_level(metadata: object) -> str | None:
    options = _object(_object(metadata).get("options"))
    return _word(options.get("metricLevel"), 40) or _word(options.get("aggregationLevel"), 40)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, limit: int | None = None) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    return text[:limit] or None


def _word(value: object, limit: int) -> str | None:
    # For people to read, in logs too; what is compared with an argument (ids, names) is kept as it was sent.
    return printable(_text(value, limit) or "").strip() or None


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
