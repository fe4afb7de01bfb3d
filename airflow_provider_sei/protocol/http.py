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

_ERRORS: dict[int, type[exceptions.SEIResponseError]] = {
    4: exceptions.SEIBadRequestError,  # 4xx
    5: exceptions.SEIServerError,
    401: exceptions.SEIAuthError,
    403: exceptions.SEIAuthError,
    404: exceptions.SEINotFoundError,
    429: exceptions.SEIRateLimitError,
}
_ADVICE = {
    400: "correct the request's arguments",
    401: "check the connection's API key (password) and auth_header",
    403: "check the key's role (an Ingestion key cannot read exports) and the project and organisation identifiers",
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
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None
    """Sent as JSON."""
    api: Api = Api.V2
    identifiers_required: bool = True
    """Whether a connection without ``projectIdentifier`` and ``orgIdentifier`` is an error, or they are left out."""
    account_parameter: str | None = None
    """The query parameter for the account id; the vendor's endpoints use three names."""
    accept: str = "application/json"
    timeout: float | None = None
    """Read timeout in seconds, where this call needs longer than the connection's ``read_timeout``."""


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


def encode_json(body: Mapping[str, Any]) -> bytes:
    """Return ``body`` as UTF-8 JSON with its keys in the given order; NaN and infinities are a ``ValueError``."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def check_status(response: HttpResponse, description: str, *, export_id: str | None = None) -> None:
    """Raise the ``SEIResponseError`` for a status outside 2xx, with the vendor's error code and message."""
    status = response.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    default = _ERRORS.get(min(status // 100, 5), exceptions.SEIUnexpectedResponseError)
    code, message = _vendor_error(response)
    quoted = f': "{message}"' if message else ""
    advice = f"; {_ADVICE[status]}" if status in _ADVICE else ""
    msg = f"could not {description}: the server answered {status}{quoted}{advice}"
    raise _ERRORS.get(status, default)(
        msg,
        status_code=status,
        vendor_code=code,
        vendor_message=message or None,
        export_id=export_id,
        retry_after=response.headers.get("retry-after"),
    )


def check_file_status(response: HttpResponse, description: str, *, export_id: str | None = None) -> None:
    """Raise the error for any status but 200: another 2xx, such as 202, 204 or 206, comes without a whole file."""
    check_status(response, description, export_id=export_id)
    if response.status != HTTPStatus.OK:
        msg = f"could not {description}: the server answered {response.status}, but only 200 comes with a whole file"
        raise exceptions.SEIDownloadError(msg, status_code=response.status, export_id=export_id)


def json_value(response: HttpResponse, description: str, *, export_id: str | None = None) -> Any:
    """Return the JSON value of a successful response; a login page or a proxy answers without one."""
    check_status(response, description, export_id=export_id)
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        quoted, status = excerpt(response.body), response.status
    reason = f'the server answered {status} without JSON: "{quoted}"'
    msg = f"could not {description}: {reason}; check the connection's base URL, its path included"
    error = exceptions.SEIUnexpectedResponseError
    raise error(msg, status_code=status, vendor_message=quoted or None, export_id=export_id)


def _vendor_error(response: HttpResponse) -> tuple[str | None, str]:
    # Documented bodies: {"status": 400, "error": "Bad Request", "message": "...", "errorId": ...}, {"code": ...,
    # "message": ...} and a bare string. Gateways answer with HTML.
    try:
        value = json.loads(response.body)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, str):
        return None, excerpt(value)
    fields = value if isinstance(value, dict) else {}
    texts = {
        name: excerpt(str(fields[name]))
        for name in ("code", "errorId", "error", "message", "detail")
        if isinstance(fields.get(name), str | int) and not isinstance(fields[name], bool)
    }
    code = texts.get("code") or texts.get("errorId") or texts.get("error")
    message = texts.get("message") or texts.get("error") or texts.get("detail")
    return code or None, message or excerpt(response.body)


def excerpt(text: str | bytes, limit: int = 200) -> str:
    """Return the first ``limit`` characters as one printable line, markup reduced to its title or its words."""
    text = text[:_SCANNED_LENGTH]
    text = text if isinstance(text, str) else text.decode(errors="replace")
    if looks_like_markup(text.encode(errors="replace")):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = title.group(1) if title else re.sub(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", " ", text, flags=re.DOTALL)
        text = f"(an HTML page) {text}"
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else f"{line[:limit]}..."


def printable(text: str) -> str:
    """Return ``text`` with a space for each character that could forge a log line: line ends, escapes, directions."""
    return "".join(char if char.isprintable() else " " for char in text)


def looks_like_markup(body: bytes) -> bool:
    """Return whether ``body`` starts like HTML or XML, which this API never sends."""
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body"))
