"""From an HTTP answer to a value or one of our errors: what a status code means, and how bodies are quoted.

The rule of this file: the HTTP status is looked at first, the body second, and a body is only ever quoted in short.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow_provider_sei.protocol.errors import (
    SEIAuthError,
    SEIDownloadError,
    SEINotFoundError,
    SEIRejectedError,
    SEIResponseError,
    SEIServerError,
    SEIThrottledError,
    SEIUnreadableError,
)
from airflow_provider_sei.protocol.messages import HttpResponse

__all__ = [
    "check_file_status",
    "check_status",
    "excerpt",
    "json_value",
    "looks_like_markup",
    "printable",
    "status_error",
]

_EXCERPT = 200  # characters of a body that an error may quote: enough for a sentence, too little for data
_LOOKED_AT = 20 * _EXCERPT  # of a body, for these: more takes time by the length, which is the server's to choose

_REMEDIES: dict[int, str] = {
    400: "correct the request's arguments",
    401: "check the connection's API key (password) and auth_header",
    403: "check the key's role (an Ingestion key cannot read exports) and the project and organisation identifiers",
    404: "check the base URL's path, the export id, the family and the project and organisation identifiers",
    405: "check the base URL's path",
    407: "check the proxy settings of the machine",
    429: "lower calls_per_minute or spread the exports; the vendor allows 1000 calls a minute a key, 400 by x-api-key",
    504: "ask for less: one team at a time instead of the whole organisation, or a shorter period",
}


def check_status(response: HttpResponse, what: str, *, export_id: str | None = None) -> None:
    """Raise the error that the answer's status stands for; 2xx passes.

    Args:
        what: completes the sentence "could not ...".

    Raises:
        SEIResponseError: one of its children, with the vendor's code and words.
    """
    if not 200 <= response.status < 300:  # noqa: PLR2004 - the HTTP success class
        raise status_error(response, what, export_id=export_id)


def check_file_status(response: HttpResponse, what: str, *, export_id: str | None = None) -> None:
    """Raise the error for an answer that is no whole file; only 200 passes.

    Args:
        what: completes the sentence "could not ...".

    Raises:
        SEIResponseError: the status is no success; one of its children, as of ``check_status``.
        SEIDownloadError: a success without a whole file: accepted only (202), without content (204), a part (206).
    """
    check_status(response, what, export_id=export_id)
    if response.status != 200:  # noqa: PLR2004 - the only one that means all of it
        msg = f"could not {what}: the server answered {response.status}, which brings no whole file; only 200 does"
        raise SEIDownloadError(msg, status_code=response.status, export_id=export_id)


def status_error(response: HttpResponse, what: str, *, export_id: str | None = None) -> SEIResponseError:
    """Return the error for an answer that is no success."""
    status = response.status
    code, words = vendor_words(response)
    said = f': "{words}"' if words else ""
    remedy = _REMEDIES.get(status)
    advice = f"; {remedy}" if remedy else ""
    return _error_class(status)(
        f"could not {what}: the server answered {status}{said}{advice}",
        status_code=status,
        vendor_code=code,
        vendor_message=words or None,
        export_id=export_id,
        retry_after=response.headers.get("retry-after"),
    )


def _error_class(status: int) -> type[SEIResponseError]:
    if status in (401, 403):
        return SEIAuthError
    if status == 404:  # noqa: PLR2004 - HTTP's own number
        return SEINotFoundError
    if status == 429:  # noqa: PLR2004 - HTTP's own number
        return SEIThrottledError
    if status >= 500:  # noqa: PLR2004 - HTTP's own number
        return SEIServerError
    return SEIRejectedError if status >= 400 else SEIUnreadableError  # noqa: PLR2004 - HTTP's own number


def vendor_words(response: HttpResponse) -> tuple[str | None, str]:
    """Return the vendor's error code and its words from a JSON, plain text or HTML body, both cut short.

    The documents show ``{"status": 400, "error": "Bad Request", "message": "...", "errorId": ...}``, a bare string, and
    ``{"code": ..., "message": ...}``; gateways answer HTML.
    """
    text = response.body[:_LOOKED_AT].decode(errors="replace").strip()
    try:
        value = json.loads(response.body)
    except (ValueError, RecursionError):
        return None, excerpt(text)
    if isinstance(value, str):
        return None, excerpt(value)
    if not isinstance(value, dict):
        return None, excerpt(text)
    code = next((str(value[key]) for key in ("code", "errorId", "error") if _is_scalar(value.get(key))), None)
    words = next((str(value[key]) for key in ("message", "error", "detail") if _is_scalar(value.get(key))), text)
    return (excerpt(code) if code else None), excerpt(words)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def excerpt(text: str) -> str:
    """Return the start of ``text`` on one line, markup reduced to its words."""
    text = text[:_LOOKED_AT]
    if looks_like_markup(text.encode(errors="replace")):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = title.group(1) if title else re.sub(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", " ", text, flags=re.DOTALL)
        text = f"(an HTML page) {text}"
    words = " ".join(printable(text).split())
    return words if len(words) <= _EXCERPT else f"{words[:_EXCERPT]}..."


def printable(text: str) -> str:
    """Return ``text`` with a blank for whatever a log or a terminal would obey: line ends, escapes, directions."""
    return "".join(char if char.isprintable() else " " for char in text)


def looks_like_markup(body: bytes) -> bool:
    """Return whether ``body`` starts like HTML or XML, which no answer of this API does."""
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body"))


def json_value(response: HttpResponse, what: str, *, export_id: str | None = None) -> Any:
    """Return the JSON value of a successful answer.

    Raises:
        SEIResponseError: the status is no success.
        SEIUnreadableError: the body is not JSON, as when a login page or a proxy answers.
    """
    check_status(response, what, export_id=export_id)
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        words = excerpt(response.body[:_LOOKED_AT].decode(errors="replace"))
        msg = (
            f'could not {what}: the server answered {response.status} without JSON: "{words}";'
            " check the connection's base URL, its path included"
        )
        raise SEIUnreadableError(
            msg, status_code=response.status, vendor_message=words or None, export_id=export_id
        ) from None
