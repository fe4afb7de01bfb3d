"""The HTTP server: it turns requests into calls, sends the responses, and logs every request."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from dataclasses import replace

from aiohttp import web

from airflow_provider_sei.local_server import service
from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.control import control_app
from airflow_provider_sei.local_server.faults import ActiveFaults
from airflow_provider_sei.local_server.request_log import RequestRecord
from airflow_provider_sei.local_server.routing import ApiError, Call, Response, Route
from airflow_provider_sei.local_server.state import ServerState
from airflow_provider_sei.local_server.validation import authenticate, check_query, find_keys

_LARGEST_REQUEST = 16 << 20
_SMALL_BODY = 1 << 16
_TRANSFER_FAULTS = ("cut", "stall", "drip", "content_length")


class LocalServer:
    """An HTTP server for a :class:`~airflow_provider_sei.local_server.state.ServerState`, which may be replaced."""

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.connections = 0
        self._closing = asyncio.Event()
        self._seen: weakref.WeakSet[object] = weakref.WeakSet()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen on ``host`` and ``port`` (0: any free one) and return the port."""
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.add_subapp("/_local/", control_app(self))
        app.router.add_get("/ng/{path:.*}", _insights_page)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # Cancelling the handler of a disconnected client ends stalls early.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Abort what is being sent and close all connections."""
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        state = self.state
        if request.transport is not None and request.transport not in self._seen:
            self._seen.add(request.transport)
            self.connections += 1
        body = await request.read()
        route, faults = Route(operation="unknown"), ActiveFaults([])
        status: int | None = None
        try:
            try:
                route = state.routes.resolve(request.method, request.rel_url.raw_path)
                user, header, key = authenticate(state.settings, route, request.headers)
                state.limiter.take(header, key)
                faults = state.faults.active(route.operation, route.family.name if route.family else None, route.item)
                query = list(request.query.items())
                call = Call(route=route, query=query, headers=request.headers, body=body, user=user)
                response = await self._reply(request, state, call, faults)
            except ApiError as error:
                response = service.error_response(route.operation, error.status, error.message)
                response = replace(response, headers=response.headers | error.headers)
            if response is None:
                _close(request)
                return web.Response()
            status = response.status
        finally:
            record = RequestRecord(
                at=state.clock(),
                method=request.method,
                path=request.path,
                query=tuple(request.query.items()),
                header_names=tuple(request.headers),
                auth=next(iter(find_keys(request.headers)), None),
                user_agent=request.headers.get("User-Agent", ""),
                operation=route.operation,
                family=route.family.name if route.family else None,
                status=status,
                faults=faults.effects,
            )
            state.request_log.add(record)
        return await self._send(request, response, faults)

    async def _reply(
        self, request: web.Request, state: ServerState, call: Call, faults: ActiveFaults
    ) -> Response | None:
        """Return the response, or ``None`` if a fault closes the connection instead."""
        if "delay" in faults:
            await self._pause(faults.value("delay", "seconds"))
        if "close" in faults and not faults.value("close", "after_work"):
            return None
        instead = service.fault_response(call.route.operation, str(request.url), faults)
        if instead is not None:
            return instead
        check_query(state.settings, call.route, call.query)
        if service.is_slow(state, call.route):
            response = await asyncio.to_thread(service.answer, state, call, faults)
        else:
            response = service.answer(state, call, faults)
        if "close" in faults:
            return None
        if "download_url" in faults:
            text = response.body.content().replace(b"{origin}", str(request.url.origin()).encode())
            response = replace(response, body=Body.of(text))
        return response

    async def _send(self, request: web.Request, response: Response, faults: ActiveFaults) -> web.StreamResponse:
        body = response.body
        if len(body) <= _SMALL_BODY and not any(name in faults for name in _TRANSFER_FAULTS):
            return web.Response(status=response.status, headers=response.headers, body=body.content())
        stream = web.StreamResponse(status=response.status, headers=response.headers)
        delta = faults.value("content_length", "delta", 0)
        if delta is None:
            stream.enable_chunked_encoding()
        else:
            stream.content_length = max(0, len(body) + delta)
        if delta:
            stream.force_close()
        await stream.prepare(request)
        if "cut" in faults:
            await self._write(stream, body.split(faults.value("cut", "after_bytes"))[0], faults)
            # An empty write sends the headers, which otherwise wait for the first byte of the body.
            await stream.write(b"")
            stream.force_close()
            _close(request, reset=faults.value("cut", "reset"))
        else:
            await self._write(stream, body, faults)
            await stream.write_eof()
            if delta:
                _close(request)
        return stream

    async def _write(self, stream: web.StreamResponse, body: Body, faults: ActiveFaults) -> None:
        if "stall" in faults:
            before, body = body.split(faults.value("stall", "after_bytes"))
            for chunk in before.chunks():
                await stream.write(chunk)
            await self._pause(faults.value("stall", "seconds"))
        for chunk in body.chunks(faults.value("drip", "chunk_bytes", 1 << 20)):
            await stream.write(chunk)
            if "drip" in faults:
                await self._pause(faults.value("drip", "seconds"))

    async def _pause(self, seconds: float) -> None:
        """Wait ``seconds`` of real time, or until the server stops."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)


async def _insights_page(request: web.Request) -> web.Response:
    """Respond in place of the page of SEI's UI that a task's link leads to."""
    return web.Response(text=f"A local server has no UI. At SEI, this is the Insights page {request.path_qs}")


def _close(request: web.Request, *, reset: bool = False) -> None:
    """Close the connection; without ``reset``, what was written is still sent."""
    if (transport := request.transport) is not None:
        (transport.abort if reset else transport.close)()
