"""``/_local/``: what a test or a demonstration in another process may ask of the server, and tell it.

======  ====================  =====================================================================================
GET     /_local/health        the clock, how many exports, requests by operation and by answer, connections
GET     /_local/requests      what was asked (``?last=N``: the newest N)
GET     /_local/exports       every export with status, reuse, size and sha256 of its CSV and of the file
POST    /_local/exports/{id}  change how an export ends: ``{"status": "failed", "error": "..."}``
GET     /_local/legacy        every legacy report handed out
GET     /_local/effects       the faults that can be armed
GET     /_local/faults        the faults that are
POST    /_local/faults        arm one: ``{"operation": "status", "effect": "answer", "status": 503, "times": 2}``
DELETE  /_local/faults        disarm all
POST    /_local/clock         move the clock: ``{"advance": 60}``
POST    /_local/reset         forget everything; ``{"settings": {...}}`` changes settings too
======  ====================  =====================================================================================
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from airflow_provider_sei.local_server.exports import Outcome
from airflow_provider_sei.local_server.fault_table import EFFECTS
from airflow_provider_sei.local_server.journal import ExportRecord, LegacyRecord, export_record
from airflow_provider_sei.local_server.world import World

if TYPE_CHECKING:
    from airflow_provider_sei.local_server.app import LocalServer

__all__ = ["admin_app"]


def admin_app(server: LocalServer) -> web.Application:
    """Return the application behind ``/_local/``."""
    admin = _Admin(server)
    app = web.Application()
    app.add_routes(
        [
            web.get("/health", admin.health),
            web.get("/requests", admin.requests),
            web.get("/exports", admin.exports),
            web.post("/exports/{export_id}", admin.change_export),
            web.get("/legacy", admin.legacy),
            web.get("/effects", admin.effects),
            web.get("/faults", admin.faults),
            web.post("/faults", admin.add_fault),
            web.delete("/faults", admin.clear_faults),
            web.post("/clock", admin.clock),
            web.post("/reset", admin.reset),
        ]
    )
    return app


class _Admin:
    def __init__(self, server: LocalServer) -> None:
        self._server = server

    async def health(self, _request: web.Request) -> web.Response:
        world = self._server.world
        answer = {"status": "ok", "now": world.clock(), "exports": len(world.store.all())}
        return web.json_response(answer | {"connections": self._server.connections, **world.journal.counts()})

    async def requests(self, request: web.Request) -> web.Response:
        records = self._server.world.journal.requests()
        last = int(request.query.get("last", len(records)))
        return web.json_response([dataclasses.asdict(record) for record in records[max(0, len(records) - last) :]])

    async def exports(self, _request: web.Request) -> web.Response:
        world = self._server.world
        now = world.clock()

        def records() -> list[dict[str, Any]]:
            return [_plain(export_record(world.store, export, now)) for export in world.store.all()]

        return web.json_response(await asyncio.to_thread(records))

    async def change_export(self, request: web.Request) -> web.Response:
        export = self._server.world.store.get(None, request.match_info["export_id"])
        if export is None:
            raise web.HTTPNotFound(text="no such export")
        try:
            export.outcome = Outcome(**await _json(request))
        except TypeError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.json_response(dataclasses.asdict(export.outcome))

    async def legacy(self, _request: web.Request) -> web.Response:
        return web.json_response([_plain(record) for record in self._server.world.journal.legacy_reports()])

    async def effects(self, _request: web.Request) -> web.Response:
        return web.json_response({name: dataclasses.asdict(effect) for name, effect in EFFECTS.items()})

    async def faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self._server.world.faults.armed())

    async def add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = self._server.world.faults.add(**await _json(request))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.json_response(dataclasses.asdict(fault), status=201)

    async def clear_faults(self, _request: web.Request) -> web.Response:
        self._server.world.faults.clear()
        return web.json_response([])

    async def clock(self, request: web.Request) -> web.Response:
        clock = self._server.world.clock
        try:
            clock.advance(float((await _json(request)).get("advance", 0)))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text="advance must be a number of seconds") from error
        return web.json_response({"now": clock()})

    async def reset(self, request: web.Request) -> web.Response:
        try:
            settings = self._server.world.settings.changed((await _json(request)).get("settings", {}))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        self._server.world = World(settings)
        return web.json_response({"settings": sorted(field.name for field in dataclasses.fields(settings))})


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body


def _plain(record: ExportRecord | LegacyRecord) -> dict[str, Any]:
    """Return a record as JSON values, without the content of its file."""
    fields = [field.name for field in dataclasses.fields(record)]
    return {name: getattr(record, name) for name in fields if name not in {"csv", "body"}}
