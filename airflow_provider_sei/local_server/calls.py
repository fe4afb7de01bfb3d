"""A call and its answer as values, so that everything between them needs no HTTP library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.organisation import User
from airflow_provider_sei.protocol.families import ExportFamily

__all__ = ["Call", "RefusedCallError", "Reply", "Route", "json_reply", "refusal_reply", "text_reply"]


@dataclass(frozen=True, kw_only=True)
class Route:
    """What a method and path mean."""

    operation: str
    family: ExportFamily | None = None
    item: str | None = None
    """The export id, or the id of an org tree."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request that has reached the API."""

    route: Route
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    user: User

    def parameter(self, name: str, default: str = "") -> str:
        """Return the query parameter ``name``."""
        return next((value for key, value in self.query if key == name), default)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer. Its ``Content-Length`` follows from the body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Body)


class RefusedCallError(Exception):
    """The API does not take this call; ``message`` says why in the vendor's place."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def json_reply(value: Any, status: int = 200) -> Reply:
    """Return ``value`` as a JSON answer."""
    body = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    return Reply(status=status, headers={"Content-Type": "application/json"}, body=Body.of(body))


def text_reply(text: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Reply:
    """Return ``text`` as an answer."""
    return Reply(status=status, headers={"Content-Type": content_type}, body=Body.of(text.encode()))


def refusal_reply(operation: str, status: int, message: str) -> Reply:
    """Return an error in the shape of its endpoint: plain text for legacy reports, otherwise JSON.

    Source: the vendor's OpenAPI document; errors about org trees and teams carry an ``errorId`` too.
    """
    if operation == "legacy":
        return text_reply(message, status)
    answer: dict[str, Any] = {"status": status, "error": HTTPStatus(status).phrase, "message": message}
    if "team" in operation or "tree" in operation:
        answer["errorId"] = "e38c1f02-936d-4cf7-a63b-cc93189dbe60"
    return json_reply(answer, status)
