"""HTTP: requests become calls, answers are sent, everything is noted in the journal."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import replace
from http import HTTPStatus

from aiohttp import web

from airflow_provider_sei.local_server.admin import admin_app
from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.calls import Call, RefusedCallError, Reply, Route, refusal_reply
from airflow_provider_sei.local_server.delivery import close_connection, pause, send
from airflow_provider_sei.local_server.faults import Hits
from airflow_provider_sei.local_server.journal import RequestRecord
from airflow_provider_sei.local_server.service import reply_instead
from airflow_provider_sei.local_server.strictness import authenticate, check_query, find_key
from airflow_provider_sei.local_server.world import World

__all__ = ["LocalServer"]

_LARGEST_REQUEST = 16 << 20
_ORIGIN = b"{origin}"


class LocalServer:
    """The HTTP face of a :class:`~airflow_provider_sei.local_server.world.World`, which may be replaced at any time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.closing = asyncio.Event()
        self.connections = 0
        self._seen: weakref.WeakSet[object] = weakref.WeakSet()

    async def start(self, host: str, port: int) -> tuple[web.AppRunner, int]:
        """Listen on ``host`` and ``port`` (0: any free one); return what has to be cleaned up and the port."""
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.add_subapp("/_local/", admin_app(self))
        app.router.add_route("*", "/{path:.*}", self._handle)
        # Cancelling the handler of a client that has gone ends stalls early.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        return runner, int(runner.addresses[0][1])

    async def stop(self, runner: web.AppRunner) -> None:
        """End what is being sent and close all connections."""
        self.closing.set()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        world = self.world
        if request.transport is not None and request.transport not in self._seen:
            self._seen.add(request.transport)
            self.connections += 1
        body = await request.read()
        route, hits = Route(operation="unknown"), Hits([])
        status: int | None = None
        try:
            try:
                route = world.routes.resolve(request.method, request.rel_url.raw_path)
                user, header, key = authenticate(world.settings, route, request.headers)
                world.limiter.take(header, key)
                hits = world.faults.hits(route.operation, route.family.name if route.family else None, route.item)
                query = list(request.query.items())
                call = Call(route=route, query=query, headers=request.headers, body=body, user=user)
                reply = await self._reply(world, request, call, hits)
            except RefusedCallError as refusal:
                reply = refusal_reply(route.operation, refusal.status, refusal.message)
                reply = replace(reply, headers=reply.headers | refusal.headers)
            if reply is None:
                close_connection(request)
                return web.Response()
            status = reply.status
        finally:
            world.journal.add(_record(world, request, route, status, hits))
        return await send(request, reply, hits, self.closing)

    async def _reply(self, world: World, request: web.Request, call: Call, hits: Hits) -> Reply | None:
        """Return the answer, or ``None`` when a fault closes the connection instead."""
        if delay := hits.get("delay"):
            await pause(delay["seconds"], self.closing)
        close = hits.get("close")
        if close is not None and not close["after_work"]:
            return None
        fault = hits.get("answer") or {"status": 500}
        status = HTTPStatus(fault["status"])
        usual = refusal_reply(call.route.operation, status, status.description or status.phrase)
        instead = reply_instead(hits, usual, str(request.url))
        if instead is not None:
            return instead
        check_query(world.settings, call.route, call.query)
        if world.service.takes_long(call.route):
            reply = await asyncio.to_thread(world.service.answer, call, hits)
        else:
            reply = world.service.answer(call, hits)
        if close is not None:
            return None
        if hits.get("download_url"):
            text = reply.body.content().replace(_ORIGIN, str(request.url.origin()).encode())
            reply = replace(reply, body=Body.of(text))
        return reply


def _record(world: World, request: web.Request, route: Route, status: int | None, hits: Hits) -> RequestRecord:
    return RequestRecord(
        at=world.clock(),
        method=request.method,
        path=request.path,
        query=tuple(request.query.items()),
        header_names=tuple(request.headers),
        auth=next(iter(find_key(request.headers)), None),
        user_agent=request.headers.get("User-Agent", ""),
        operation=route.operation,
        family=route.family.name if route.family else None,
        status=status,
        faults=tuple(hits.names()),
    )
