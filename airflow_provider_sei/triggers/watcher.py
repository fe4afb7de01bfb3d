"""The trigger of an asset watcher: fires whenever an export is completed, whoever started it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.protocol.arguments import checked_seconds
from airflow_provider_sei.protocol.checks import checked_text
from airflow_provider_sei.protocol.errors import SEIResponseError
from airflow_provider_sei.protocol.families import ExportFamily, get_family
from airflow_provider_sei.triggers.common import look_up, prepare

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:
    BaseEventTrigger = BaseTrigger  # type: ignore[assignment,misc]  # Airflow 2 has none; refused below

if TYPE_CHECKING:
    from airflow_provider_sei.protocol.settings import SEISettings
    from airflow_provider_sei.protocol.watching import CompletionLook, Watermark

__all__ = ["SEIExportCompletedTrigger"]

_LEAST_INTERVAL = 5.0  # seconds
_SETTLED_AFTER = 5.0  # seconds; the triggerer hands events over once a second
_WRONG_PATH = (404, 405)


class SEIExportCompletedTrigger(BaseEventTrigger):
    """Fire for every export that is completed, also one that somebody has started in the vendor's UI.

    For an ``AssetWatcher`` of Airflow 3.0 and newer. Each event's payload has ``export_id``, ``family``, ``status``,
    ``created_at``, ``completed_at``, the scope and period as far as the list tells them (``team_id``,
    ``org_tree_name``, ``date_start``, ``date_end``, ``level``), ``project_identifier``, ``org_identifier`` and
    ``sei_conn_id``. Airflow may start one run for several events.

    An export is told once. From Airflow 3.3 on, what was told is kept with the watched asset: exports that are
    completed while the triggerer is down, or the DAG paused, are told afterwards. For that the asset must be the only
    one with a watcher of these same arguments. A triggerer that dies within seconds of an event may tell it again.
    Before Airflow 3.3, and where nothing is kept yet, it begins with ``since``, or else with what is completed after
    its own start.

    It never ends by itself: an error is logged, and the list asked again after pauses that grow to a quarter of an
    hour.

    :param family: the exports' family.
    :param team_id: only exports of this team.
    :param org_tree_name: only exports of this organisation tree, as the list names it.
    :param since: moment (``2024-01-31T12:00:00Z``) from which on completed exports are told. Another moment makes
        another trigger, which begins there; so it must not change from one parse of the DAG file to the next.
    :param poll_interval: seconds between two looks at the list, at least 5.
    :param sei_conn_id: the Airflow connection.
    :param project_identifier: Harness project, instead of the connection's.
    :param org_identifier: Harness organisation, instead of the connection's.
    :param auth_header: header that carries the key, instead of the connection's.
    """

    def __init__(
        self,
        *,
        family: str,
        team_id: str | None = None,
        org_tree_name: str | None = None,
        since: str | None = None,
        poll_interval: float = 60.0,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        auth_header: str | None = None,
    ) -> None:
        if BaseEventTrigger is BaseTrigger:  # on Airflow 2, where nothing would ever run this trigger
            msg = "SEIExportCompletedTrigger is for asset watchers, which Airflow has from 3.0 on"
            raise NotImplementedError(msg)
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's BaseTrigger.__init__ is not annotated
        self.family = family
        self.team_id = team_id
        self.org_tree_name = org_tree_name
        self.since = since
        self.poll_interval = poll_interval
        self.sei_conn_id = sei_conn_id
        self.project_identifier = project_identifier
        self.org_identifier = org_identifier
        self.auth_header = auth_header

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to make this trigger again.

        :raises SEIUsageError: one of them cannot work. Airflow asks when it parses the DAG; the constructor, which the
            triggerer calls too, must not raise, for that would end the triggerer.
        """
        from airflow_provider_sei.protocol.watching import checked_since

        with airflow_errors():
            checked = {
                "family": get_family(self.family).name,
                "team_id": checked_text(self.team_id, "team_id"),
                "org_tree_name": checked_text(self.org_tree_name, "org_tree_name"),
                "poll_interval": checked_seconds(self.poll_interval, "poll_interval", least=_LEAST_INTERVAL),
            }
            checked_since(self.since)
        return f"{type(self).__module__}.{type(self).__qualname__}", {**self._arguments, **checked}

    @property
    def _arguments(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "team_id": self.team_id,
            "org_tree_name": self.org_tree_name,
            "since": self.since,
            "poll_interval": self.poll_interval,
            "sei_conn_id": self.sei_conn_id,
            "project_identifier": self.project_identifier,
            "org_identifier": self.org_identifier,
            "auth_header": self.auth_header,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the list from time to time, and yield an event for each export that is new."""
        await prepare()
        from airflow_provider_sei.protocol.watching import pause_after

        failures, watermark, kept = 0, None, None
        while True:
            try:
                if watermark is None:
                    watermark = kept = await self._kept()
                events, watermark = await self._look(watermark)
                failures, pause = 0, self.poll_interval
            except Exception as error:  # noqa: BLE001 - none ends the watch: Airflow would begin it again at once
                failures += 1
                pause = pause_after(failures, self.poll_interval, error, now=time.time(), chance=_chance())
                self.log.warning("Looking for completed %s exports: %s; again in %.0f s", self.family, error, pause)
                events = []
            for event in events:
                yield TriggerEvent(event)
            if watermark is not None and watermark != kept:
                if events:
                    # What is kept has been told: it is written once Airflow has taken the events over.
                    await asyncio.sleep(_SETTLED_AFTER)
                if await self._keep(watermark):
                    kept = watermark
            await asyncio.sleep(pause)

    async def _look(self, watermark: Watermark | None) -> tuple[list[dict[str, Any]], Watermark]:
        """Walk over the list once; return what is to be told, and the watermark after it."""
        from airflow_provider_sei.protocol.watching import CompletionLook, completion_event

        # Looked up each time, for a trigger of this kind outlives its key.
        settings = (await look_up(self.sei_conn_id, self.log)).overridden(
            project_identifier=self.project_identifier,
            org_identifier=self.org_identifier,
            auth_header=self.auth_header,
        )
        family, look = get_family(self.family), CompletionLook(watermark, now=time.time())
        try:
            await self._walk(look, family, settings)
        except SEIResponseError as error:
            if look.page or error.status_code not in _WRONG_PATH or family.alternate_collection_path is None:
                raise
            await self._walk(look, replace(family, collection_path=family.alternate_collection_path), settings)
        if look.undated:
            self.log.warning("%d completed %s exports have no readable completedAt", look.undated, family.name)
        exports, after = look.result(self.org_tree_name)
        place = {
            "project_identifier": settings.project_identifier,
            "org_identifier": settings.org_identifier,
            "sei_conn_id": self.sei_conn_id,
        }
        return [completion_event(export, family, **place) for export in exports], after

    async def _walk(self, look: CompletionLook, family: ExportFamily, settings: SEISettings) -> None:
        from airflow_provider_sei.protocol.listing import list_call, on_page
        from airflow_provider_sei.protocol.watching import completions_query
        from airflow_provider_sei.triggers.sharing import ask

        query = completions_query(self.team_id)
        while not look.done:
            call = list_call(family, on_page(query, look.page))
            look.take(await ask(call, family.name, self.sei_conn_id, settings))

    async def _kept(self) -> Watermark | None:
        """Return what an earlier run of this trigger has kept, or else where ``since`` begins."""
        from airflow_provider_sei.protocol.watching import Watermark, checked_since

        store, value = getattr(self, "asset_state_store", None), None
        if store is not None:
            try:
                value = await _of(store, "get")(self._key)
            except ValueError as error:
                self.log.warning("Nothing is kept between restarts (%s)", error)
        if (watermark := Watermark.read(value)) is not None:
            return watermark
        since = checked_since(self.since)
        return None if since is None else Watermark(since)

    async def _keep(self, watermark: Watermark) -> bool:
        """Keep what was told with the asset; return whether there is nothing left to do about it."""
        store = getattr(self, "asset_state_store", None)
        if store is not None:
            try:
                await _of(store, "set")(self._key, watermark.written())
            except ValueError:  # several assets share this trigger, and it cannot know whose state it is
                return True
            except Exception as error:  # noqa: BLE001 - tried again after the next look
                self.log.warning("Could not keep which exports were told (%s)", error)
                return False
        return True

    @property
    def _key(self) -> str:
        # How often it looks changes nothing about what was told.
        identity = {name: value for name, value in self._arguments.items() if name != "poll_interval"}
        return "sei_exports_told:" + hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _of(store: Any, name: str) -> Any:
    # Airflow 3.3.0 and 3.3.1 have the blocking form alone.
    asynchronous = getattr(store, f"a{name}", None)

    async def in_a_thread(*arguments: Any) -> Any:
        return await asyncio.to_thread(getattr(store, name), *arguments)

    return asynchronous or in_a_thread


def _chance() -> float:
    return random.random()  # noqa: S311 - jitter, not a secret
