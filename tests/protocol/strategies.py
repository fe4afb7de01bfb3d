"""Hypothesis strategies for responses: any JSON, any bytes, and both often with the vendor's own field names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.protocol.http import HttpRequest, HttpResponse
from airflow_provider_sei.protocol.settings import SEISettings

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

ANYTHING = settings(deadline=None, max_examples=75)
"""For properties of parsers. A slow machine is not a failure."""

_FIELDS = (
    *("exportId", "status", "createdAt", "completedAt", "createdBy", "message", "error", "code", "errorId", "detail"),
    *("download", "downloadUrl", "url", "filename", "sizeBytes", "metadata", "options", "metricLevel", "exports"),
    *("pagination", "hasMore", "page", "totalPages", "_metadata", "has_next", "items", "records", "content", "teams"),
    *("refId", "parentRefId", "name", "leaf", "children", "orgTree", "id", "totalCount", "totalItems", "hasNext"),
)
_WORDS = (
    *("exp_7a8b9c0d", "completed", "COMPLETED", "failed", "queued", "2025-12-29T10:00:00Z", "0001-01-01", "developer"),
    *("/v2/insights/productivity/exports/exp_7a8b9c0d/download", "//[", "https://evil.example/x", "http://[::1"),
    *("\ud800", "https://app.harness.io:99999/", "/a?b=%", "../../x", "<html>", "<script", "9" * 40),
)

texts = st.sampled_from(_WORDS) | st.text(st.characters(), max_size=20)
"""Any text, lone surrogates included: JSON can contain them."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_FIELDS) | texts, inner, max_size=6),
    max_leaves=25,
)

bodies = st.one_of(
    json_values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"[" * 100_000, b"9" * 5_000, b"\xff\xfe{", b"<html><title>Sign in</title>", b'{"a":1}{"a":1}']
    ),
)

families = st.sampled_from(list(FAMILIES.values()))


@st.composite
def responses(draw: st.DrawFn, *, successful: bool = False) -> HttpResponse:
    """Return a response with any status, any body, and the headers that are read."""
    statuses: st.SearchStrategy[int] = st.sampled_from([200, 202]) if successful else st.integers(100, 599)
    headers: dict[str, Any] = draw(st.dictionaries(st.just("retry-after"), st.text(max_size=12), max_size=1))
    return HttpResponse(draw(statuses), headers, draw(bodies))


def sent(body: Any) -> bytes:
    """Return a request's body as it is sent."""
    request = HttpRequest(method="POST", path="x", body=body, identifiers_required=False)
    data = SEISettings.from_fields(host="eu", password="KEY").prepare(request, "agent/1")[2]
    assert data is not None
    return data


def outcome(kind: type[E], function: Callable[..., T], *arguments: Any, **named: Any) -> T | E:
    """Return what ``function`` returns or raises; an error of any other kind is a failure."""
    try:
        return function(*arguments, **named)
    except kind as error:
        return error
