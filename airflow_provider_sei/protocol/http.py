"""Requests and responses as values: what a call sends, what its response means, and how a response is quoted.

A ``Call`` holds a request and the function that reads the response, so both transports send and understand the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from airflow_provider_sei import exceptions

T = TypeVar("T")

_SCANNED_LENGTH = 4000  # characters of a text that an excerpt is made from; cleaning megabytes would take minutes

_CODES = ("code", "errorId", "error")
_MESSAGES = ("message", "error_description", "detail", "description", "reason", "error")
_CREATOR = re.compile(r"(?is)\b(created by) .*")  # how the vendor's messages about an existing export end
# Of HTML its title or heading, of an XML error its message. Any other words may be about people.
_HEADING = re.compile(r"<(title|h1|message)\b[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)

_ERRORS: dict[int, type[exceptions.SEIResponseError]] = {
    4: exceptions.SEIBadRequestError,  # 4xx
    5: exceptions.SEIServerError,
    401: exceptions.SEIAuthError,
    403: exceptions.SEIAuthError,
    404: exceptions.SEINotFoundError,
    410: exceptions.SEINotFoundError,
    **dict.fromkeys((408, 421, 425), exceptions.SEIServerError),  # RFC 9110 and 8470: the client may try again
    429: exceptions.SEIRateLimitError,
}
_ADVICE = {
    400: "correct the request's arguments",
    401: "check the connection's API key (password) and auth_header",
    403: "check the key's role (AIDI Ingestion cannot read exports) and the project and organisation identifiers",
    404: "check the base URL's path, the export id, the family and the project and organisation identifiers",
    405: "check the base URL's path",
    407: "check the proxy settings of the machine",
    429: "lower calls_per_minute or spread the exports; the vendor allows 1000 calls a minute a key, 400 by x-api-key",
    504: "ask for less: one team at a time instead of the whole organisation, or a shorter period",
}


class Api(Enum):
    """The vendor's APIs; each documents its own header for the key."""

    V2 = "v2"
    LEGACY = "legacy"


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request, before the connection adds its base URL, its identifiers and its key."""

    method: str
    path: str
    """Relative to the base URL (``v2/insights/...``), or a URL from an earlier response."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    """Sent as JSON, in UTF-8."""
    api: Api = Api.V2
    identifiers_required: bool = True
    """Whether a connection without ``projectIdentifier`` and ``orgIdentifier`` is an error, or they are left out."""
    account_parameter: str | None = None
    """The query parameter for the account id; the vendor's endpoints use three names."""
    accept: str = "application/json"
    read_timeout: float = 60.0
    """Seconds, for a connection that does not set ``read_timeout``."""


@dataclass(frozen=True)
class HttpResponse:
    """A complete response. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and the function that reads its response."""

    request: HttpRequest
    parse: Callable[[HttpResponse], T]
    """Returns a value or raises an ``SEIError``."""
    description: str
    """Completes the sentence "could not ..."."""
    export_id: str | None = None


def check_status(response: HttpResponse, description: str, *, export_id: str | None = None) -> None:
    """Raise the ``SEIResponseError`` for a status outside 2xx, with the vendor's error code and message."""
    status = response.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    default = _ERRORS.get(min(status // 100, 5), exceptions.SEIUnexpectedResponseError)
    code, message = quotable(response.body)
    quoted = f' ("{message}")' if message else ""
    advice = f"; {_ADVICE[status]}" if status in _ADVICE else ""
    msg = f"the server answered {status}{quoted}: could not {description}{advice}"
    raise _ERRORS.get(status, default)(
        msg,
        status_code=status,
        vendor_code=code,
        vendor_message=message,
        export_id=export_id,
        retry_after=response.headers.get("retry-after"),
    )


def check_file_status(response: HttpResponse, description: str, *, export_id: str | None = None) -> None:
    """Raise the error for any status but 200: another 2xx, such as 202, 204 or 206, comes without a whole file."""
    check_status(response, description, export_id=export_id)
    if response.status != HTTPStatus.OK:
        msg = f"the server answered {response.status}, but only 200 comes with a whole file: could not {description}"
        raise exceptions.SEIFileError(msg, status_code=response.status, export_id=export_id)


def json_value(response: HttpResponse, description: str, *, export_id: str | None = None) -> Any:
    """Return the JSON value of a successful response; a login page or a proxy answers without one."""
    check_status(response, description, export_id=export_id)
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        _, message = quotable(response.body)
    quoted = f' ("{message}")' if message else ""
    reason = f"the server answered {response.status} without JSON{quoted}"
    msg = f"{reason}: could not {description}; check the connection's base URL, its path included"
    error = exceptions.SEIUnexpectedResponseError
    raise error(msg, status_code=response.status, vendor_message=message, export_id=export_id)


def unusable(value: Any, description: str, problem: str, export_id: str | None = None) -> exceptions.SEIResponseError:
    """Return the error for a successful response whose JSON is not as documented; it may hold an error message."""
    code, message = error_words(value if isinstance(value, dict) else None)
    quoted, advice = (f' ("{message}")', "") if message else ("", "; check the connection's base URL")
    details: dict[str, Any] = {"vendor_code": code, "vendor_message": message, "export_id": export_id}
    return exceptions.SEIUnexpectedResponseError(f"{problem}{quoted}: could not {description}{advice}", **details)


def quotable(body: bytes) -> tuple[str | None, str | None]:
    """Return the error code and the error message in a body; the rest of it may be about people."""
    try:
        return error_words(json.loads(body))
    except (ValueError, RecursionError):
        start = body[:_SCANNED_LENGTH].strip()
    if start.startswith((b"{", b"[")):  # JSON that was cut
        return None, None
    # An error is a line of text, or a line before a stack trace; of a CSV file, the first line is its header.
    return None, excerpt(start if looks_like_markup(start) else start.partition(b"\n")[0]) or None


def error_words(value: Any) -> tuple[str | None, str | None]:
    """Return the error code and the error message in a JSON value.

    Documented are ``{"error", "message", "errorId"}``, ``{"code", "message"}``, also in ``error``, and a bare string.
    """
    fields = value if isinstance(value, dict) else {"message": value}
    inner = fields.get("error") or fields.get("errors")
    inner = inner[0] if isinstance(inner, list) and inner else inner
    fields = {**fields, **(inner if isinstance(inner, dict) else {"error": inner})}
    texts = {
        name: excerpt(_CREATOR.sub(r"\1 ***", str(fields[name])[:_SCANNED_LENGTH]))
        for name in (*_CODES, *_MESSAGES)
        if isinstance(fields.get(name), str | int) and not isinstance(fields[name], bool)
    }
    code = next((texts[name] for name in _CODES if texts.get(name)), None)
    return code, next((texts[name] for name in _MESSAGES if texts.get(name)), code)


def excerpt(text: str | bytes, limit: int = 200) -> str:
    """Return the first ``limit`` characters as one printable line, markup reduced to its title or heading."""
    text = text[:_SCANNED_LENGTH]
    text = text if isinstance(text, str) else text.decode(errors="replace")
    if looks_like_markup(text.encode(errors="replace")):
        heading = _HEADING.search(text)
        text = f"(an HTML page) {heading[2] if heading else ''}"
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else f"{line[:limit]}..."


def printable(text: str) -> str:
    """Return ``text`` with a space for each character that could forge a log line: line ends, escapes, directions."""
    return "".join(char if char.isprintable() else " " for char in text)


def looks_like_markup(body: bytes) -> bool:
    """Return whether ``body`` starts like HTML or XML, which this API never sends."""
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body"))
