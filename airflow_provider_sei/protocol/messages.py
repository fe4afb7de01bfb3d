"""The shape of a call: what is asked, what comes back, and how the answer is read.

A ``Call`` holds both halves, so the worker's transport and the triggerer's cannot differ in what they send or in how
they understand the answer. Nothing here opens a socket.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

__all__ = ["Api", "Call", "HttpRequest", "HttpResponse", "encode_json"]

T = TypeVar("T")

REDACTED = "***"
_SHORTEST_SECRET = 8  # characters; starring shorter ones would tear up answers that merely contain the letters


class Api(Enum):
    """Which of the vendor's APIs a call belongs to: it decides the header that the key travels in."""

    V2 = "v2"
    LEGACY = "legacy"


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """One request, before the connection adds its base URL, its identifiers and its key."""

    method: str
    path: str
    """Relative to the base URL (``v2/insights/...``), or a URL that the server itself has named."""
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None
    """Sent as JSON."""
    api: Api = Api.V2
    identifiers_required: bool = True
    """Whether ``projectIdentifier`` and ``orgIdentifier`` must be sent, or only are when the connection has them."""
    account_parameter: str | None = None
    """The name under which this endpoint takes the account id; the vendor has three."""
    accept: str = "application/json"
    timeout: float | None = None
    """Seconds to wait for an answer where this call needs longer than the connection's ``read_timeout``."""


@dataclass(frozen=True)
class HttpResponse:
    """One answer, whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def redacted(self, secret: str) -> HttpResponse:
        """Return the answer with every occurrence of ``secret`` starred, so that no error text can quote it."""
        if len(secret) < _SHORTEST_SECRET:
            return self
        return HttpResponse(
            self.status,
            {name: value.replace(secret, REDACTED) for name, value in self.headers.items()},
            _starred(self.body, secret),
        )


def _starred(body: bytes, secret: str) -> bytes:
    starred = body.replace(secret.encode(), REDACTED.encode())
    if b"\\" not in starred and b"\0" not in starred:
        return starred
    # JSON has other ways to write the same text: escapes, and UTF-16 or UTF-32.
    try:
        text = json.dumps(json.loads(starred), ensure_ascii=False)
    except (ValueError, RecursionError):
        return starred
    written = json.dumps(secret)[1:-1]
    return text.replace(written, REDACTED).encode(errors="surrogatepass") if written in text else starred


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and the function that reads its answer.

    ``parse`` returns a value or raises one of our errors; ``what`` completes the sentence "could not ...".
    """

    request: HttpRequest
    parse: Callable[[HttpResponse], T]
    what: str
    export_id: str | None = None


def encode_json(body: Mapping[str, Any]) -> bytes:
    """Return ``body`` as it travels: UTF-8, keys in the order given, so that both transports send the same bytes."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
