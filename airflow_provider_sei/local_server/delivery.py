"""How an answer goes over the wire, and how a fault keeps it from arriving."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from aiohttp import web

from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.calls import Reply
from airflow_provider_sei.local_server.faults import Hits

__all__ = ["close_connection", "pause", "send"]

_SMALL = 1 << 16
_SENDING_FAULTS = ("cut", "stall", "drip", "content_length")


async def pause(seconds: float, closing: asyncio.Event) -> None:
    """Wait ``seconds`` of real time, or until the server closes."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(closing.wait(), seconds)


def close_connection(request: web.Request, *, reset: bool = False) -> None:
    """Close the connection: what was written still goes out, unless ``reset``."""
    if request.transport is not None:
        if reset:
            request.transport.abort()
        else:
            request.transport.close()


async def send(request: web.Request, reply: Reply, hits: Hits, closing: asyncio.Event) -> web.StreamResponse:
    """Send ``reply`` as the faults ``hits`` let it be sent."""
    if len(reply.body) <= _SMALL and not any(hits.get(name) is not None for name in _SENDING_FAULTS):
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body.content())
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    length = hits.get("content_length") or {"delta": 0}
    if length["delta"] is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = max(0, len(reply.body) + length["delta"])
    if length["delta"]:
        response.force_close()
    await response.prepare(request)
    cut = hits.get("cut")
    body = reply.body.split(cut["after_bytes"])[0] if cut else reply.body
    await _write(response, body, hits, closing)
    if cut:
        # An empty write sends the headers, which otherwise wait for the first byte of the body.
        await response.write(b"")
        response.force_close()
        close_connection(request, reset=cut["reset"])
    else:
        await response.write_eof()
        if length["delta"]:
            close_connection(request)
    return response


async def _write(response: web.StreamResponse, body: Body, hits: Hits, closing: asyncio.Event) -> None:
    stall, drip = hits.get("stall"), hits.get("drip")
    if stall:
        before, body = body.split(stall["after_bytes"])
        for chunk in _pieces(before, drip["chunk_bytes"] if drip else None):
            await response.write(chunk)
        await pause(stall["seconds"], closing)
    for chunk in _pieces(body, drip["chunk_bytes"] if drip else None):
        await response.write(chunk)
        if drip:
            await pause(drip["seconds"], closing)


def _pieces(body: Body, size: int | None) -> Iterator[bytes]:
    for chunk in body.chunks():
        yield from [chunk] if size is None else (chunk[at : at + size] for at in range(0, len(chunk), size))
