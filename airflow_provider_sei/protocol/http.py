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

from airflow_provider_sei.exceptions import (
    SEIAuthError,
    SEIBadRequestError,
    SEIDownloadError,
    SEINotFoundError,
    SEIRateLimitError,
    SEIResponseError,
    SEIServerError,
    SEIUnexpectedResponseError,
)

__all__ = [
    "Api",
    "Call",
    "HttpRequest",
    "HttpResponse",
    "check_file_status",
    "check_status",
    "encode_json",
    "excerpt",
    "json_value",
    "looks_like_markup",
    "printable",
]

T = TypeVar("T")

_EXCERPT_LENGTH = 200  # characters: enough for a sentence, too little for data
_SCANNED_LENGTH = 4000  # characters of a text that an excerpt is made from; cleaning megabytes would take minutes

_ERRORS: dict[int, type[SEIResponseError]] = {
    401: SEIAuthError,
    403: SEIAuthError,
    404: SEINotFoundError,
    429: SEIRateLimitError,
}
_ADVICE: dict[int, str] = {
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
    """Return ``body`` as UTF-8 JSON with its keys in the given order.

    :raises ValueError: ``body`` holds NaN or an infinity.
    """
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def check_status(response: HttpResponse, description: str, *, export_id: str | None = None) -> None:
    """Raise the error for a status outside 2xx.

    :param description: completes the sentence "could not ...".
    :raises SEIResponseError: a subclass for the status, with the vendor's error code and message.
    """
    status = response.status
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        error_class: type[SEIResponseError] = SEIServerError
    elif status >= HTTPStatus.BAD_REQUEST:
        error_class = _ERRORS.get(status, SEIBadRequestError)
    else:
        error_class = SEIUnexpectedResponseError
    code, message = _vendor_error(response)
    quoted = f': "{message}"' if message else ""
    advice = f"; {_ADVICE[status]}" if status in _ADVICE else ""
    msg = f"could not {description}: the server answered {status}{quoted}{advice}"
    raise error_class(
        msg,
        status_code=status,
        vendor_code=code,
        vendor_message=message or None,
        export_id=export_id,
        retry_after=response.headers.get("retry-after"),
    )


def check_file_status(response: HttpResponse, description: str, *, export_id: str | None = None) -> None:
    """Raise the error for a response that is not a whole file: for any status but 200.

    :param description: completes the sentence "could not ...".
    :raises SEIResponseError: the status is outside 2xx; see :func:`check_status`.
    :raises SEIDownloadError: another 2xx, such as 202 (accepted), 204 (no content) or 206 (partial content).
    """
    check_status(response, description, export_id=export_id)
    if response.status != HTTPStatus.OK:
        msg = f"could not {description}: the server answered {response.status}, but only 200 comes with a whole file"
        raise SEIDownloadError(msg, status_code=response.status, export_id=export_id)


def json_value(response: HttpResponse, description: str, *, export_id: str | None = None) -> Any:
    """Return the JSON value of a successful response.

    :param description: completes the sentence "could not ...".
    :raises SEIResponseError: the status is outside 2xx; see :func:`check_status`.
    :raises SEIUnexpectedResponseError: the body is not JSON, as when a login page or a proxy answers.
    """
    check_status(response, description, export_id=export_id)
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        quoted = _body_excerpt(response)
    msg = (
        f'could not {description}: the server answered {response.status} without JSON: "{quoted}";'
        " check the connection's base URL, its path included"
    )
    raise SEIUnexpectedResponseError(
        msg, status_code=response.status, vendor_message=quoted or None, export_id=export_id
    )


def _vendor_error(response: HttpResponse) -> tuple[str | None, str]:
    """Return the vendor's error code and message."""
    # Documented bodies: {"status": 400, "error": "Bad Request", "message": "...", "errorId": ...}, {"code": ...,
    # "message": ...} and a bare string. Gateways answer with HTML.
    try:
        value = json.loads(response.body)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, str):
        return None, excerpt(value)
    fields = value if isinstance(value, dict) else {}
    code = _first_scalar(fields, "code", "errorId", "error")
    message = _first_scalar(fields, "message", "error", "detail")
    return code and excerpt(code), excerpt(message) if message else _body_excerpt(response)


def _first_scalar(fields: Mapping[str, Any], *names: str) -> str | None:
    values = (fields.get(name) for name in names)
    scalars = (str(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool))
    return next(filter(None, scalars), None)


def _body_excerpt(response: HttpResponse) -> str:
    return excerpt(response.body[:_SCANNED_LENGTH].decode(errors="replace"))


def excerpt(text: str, limit: int = _EXCERPT_LENGTH) -> str:
    """Return the start of ``text`` as one printable line, markup reduced to its title or its words.

    :param limit: characters before the text is cut.
    """
    text = text[:_SCANNED_LENGTH]
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
