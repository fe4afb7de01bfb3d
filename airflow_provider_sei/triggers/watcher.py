"""The trigger of an asset watcher: fires for every export that is completed, whoever created it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_sei.exceptions import SEIArgumentError, SEIResponseError
from airflow_provider_sei.protocol.arguments import parse_number, parse_text
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.http import printable
from airflow_provider_sei.protocol.listing import MAX_LIMIT, Page, Pager, list_call, list_query
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.triggers._poller import jitter, look_up, shared_poller

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:
    BaseEventTrigger = BaseTrigger  # type: ignore[assignment,misc]  # Airflow 2 has none; refused below

__all__ = ["SEIExportCompletedTrigger"]

_SHORTEST, _LONGEST = 5.0, 24 * 3600.0  # seconds between two reads of the list
_SETTLED_AFTER = 5.0  # seconds; the triggerer hands events over once a second
_LONGEST_PAUSE = 900.0  # seconds; somebody may repair the connection meanwhile
_OVERLAP = 600.0  # seconds after its completion for which an export may appear in the list for the first time
_EMPTY_OVERLAP = 24 * 3600.0  # seconds; with an empty list, only our own clock is known, and it may be wrong
_ARGUMENTS = (
    *("family", "team_id", "org_tree_name", "since", "poll_interval", "sei_conn_id"),
    *("project_identifier", "org_identifier", "auth_header"),
)
_EVENT_FIELDS = (
    *("family", "export_id", "created_at", "completed_at", "team_id", "org_tree_name"),
    *("date_start", "date_end", "level"),
)


class SEIExportCompletedTrigger(BaseEventTrigger):
    """Fire for every export that is completed, also one that was created in the vendor's UI.

    For an ``AssetWatcher`` of Airflow 3.0 and newer. Each event's payload has ``export_id``, ``family``, ``status``,
    ``created_at``, ``completed_at``, the scope and period as far as the list has them (``team_id``, ``org_tree_name``,
    ``date_start``, ``date_end``, ``level``), ``project_identifier``, ``org_identifier`` and ``sei_conn_id``. Airflow
    may start one run for several events.

    Each export is reported once. From Airflow 3.3 on, a watermark is stored with the watched asset: exports that are
    completed while the triggerer is down, or the DAG paused, are reported afterwards. For that, the asset must be the
    only one with a watcher of these same arguments. A triggerer that dies within seconds of an event may report it
    again. Before Airflow 3.3, and where nothing is stored yet, it begins with ``since``, or with its own start.

    It never ends by itself: after an error, the list is read again, with pauses that grow to a quarter of an hour.

    :param family: the exports' family.
    :param team_id: only exports of this team.
    :param org_tree_name: only exports of this organisation tree, as the list names it.
    :param since: time (``2024-01-31T12:00:00Z``) from which on completed exports are reported. It must not change from
        one parse of the DAG file to the next: with another value it is another trigger, which begins there.
    :param poll_interval: seconds between two reads of the list, at least 5.
    :param sei_conn_id: the Airflow connection.
    :param project_identifier: Harness project, instead of the connection's.
    :param org_identifier: Harness organisation, instead of the connection's.
    :param auth_header: header that carries the key, instead of the connection's.
    :param queue: the triggerer queue that it runs on (Airflow 3.4 and newer).
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
        queue: str | None = None,
    ) -> None:
        if BaseEventTrigger is BaseTrigger:  # on Airflow 2, where nothing would ever run this trigger
            msg = "SEIExportCompletedTrigger is for asset watchers, which Airflow has from 3.0 on"
            raise NotImplementedError(msg)
        arguments = {} if queue is None else {"queue": queue}
        super().__init__(**arguments)  # type: ignore[no-untyped-call]  # Airflow's BaseTrigger.__init__ is not annotated
        if queue is not None and getattr(self, "queue", None) != queue:
            msg = f"only Airflow 3.4 and newer can put a watcher on a triggerer queue; leave out {queue=}"
            raise NotImplementedError(msg)
        self.family, self.team_id, self.org_tree_name = family, team_id, org_tree_name
        self.since, self.poll_interval, self.sei_conn_id = since, poll_interval, sei_conn_id
        self.project_identifier, self.org_identifier = project_identifier, org_identifier
        self.auth_header = auth_header

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to make this trigger again.

        :raises SEIArgumentError: one of them cannot work. Airflow calls this when it parses the DAG; an error of the
            constructor would end the triggerer.
        """
        parse_since(self.since)
        arguments = {name: getattr(self, name) for name in _ARGUMENTS} | {
            "family": get_family(self.family).name,
            "team_id": parse_text(self.team_id, "team_id"),
            "org_tree_name": parse_text(self.org_tree_name, "org_tree_name"),
            "poll_interval": parse_number(self.poll_interval, "poll_interval", least=_SHORTEST, most=_LONGEST),
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Read the list from time to time, and yield an event for each export that is new."""
        backoff = Backoff(base=self.poll_interval, longest=max(_LONGEST_PAUSE, self.poll_interval))
        failures, watermark, stored = 0, None, None
        while True:
            events: list[dict[str, Any]] = []
            try:
                if watermark is None:
                    since = parse_since(self.since)
                    begin = None if since is None else Watermark(since)
                    watermark = stored = Watermark.from_dict(await self._state("get")) or begin
                events, watermark = await self._scan(watermark)
                failures, pause = 0, self.poll_interval
            except Exception as error:  # noqa: BLE001 - Airflow would restart the trigger immediately
                failures += 1
                pause = backoff.pause(error, failures, jitter=jitter(), now=time.time())
                self.log.warning("Could not list completed %s exports (%s); again in %.0f s", self.family, error, pause)
            for event in events:
                yield TriggerEvent(event)
            if watermark is not None and watermark != stored:
                if events:
                    # Stored only once Airflow has taken the events over: an event may be repeated, but not lost.
                    await asyncio.sleep(_SETTLED_AFTER)
                try:
                    await self._state("set", asdict(watermark))
                    stored = watermark
                except Exception as error:  # noqa: BLE001 - tried again after the next read
                    self.log.warning("Could not store the watermark (%s)", error)
            await asyncio.sleep(pause)

    async def _scan(self, watermark: Watermark | None) -> tuple[list[dict[str, Any]], Watermark]:
        """Read the list; return the payloads of what is new, and the watermark after it."""
        settings = await look_up(self)  # each time, because this trigger may outlive its key
        family, scan = get_family(self.family), CompletionScan(watermark, now=time.time())
        # ``completedAt`` is a documented sort key: the vendor's OpenAPI document, ``ListExports`` (read 2026-11-23).
        order = {"sort_by": "completedAt", "sort_order": "desc"}
        query = list_query(limit=MAX_LIMIT, status="completed", team_id=self.team_id, **order)
        async with shared_poller(self.sei_conn_id, settings) as poller:
            while not scan.done:
                call = list_call(family, query, scan.pager.page)
                try:
                    scan.take(await poller.call(call, settings, family.name))
                except SEIResponseError as error:
                    other = family.alternate(error.status_code)
                    if scan.pager.page or other is None:
                        raise
                    family = other
        if scan.undated or scan.pager.unreadable:
            words = "%d completed %s exports have no readable completedAt, %d records have no usable exportId"
            self.log.warning(words, scan.undated, family.name, scan.pager.unreadable)
        exports, after = scan.result(self.org_tree_name)
        source = {name: getattr(settings, name) for name in ("project_identifier", "org_identifier")}
        return [_payload(export) | source | {"sei_conn_id": self.sei_conn_id} for export in exports], after

    async def _state(self, method: str, *value: Any) -> Any:
        """Get or set the watermark that Airflow 3.3 and newer store with the asset."""
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return None
        # Another poll_interval is still the same watcher.
        identity = {name: getattr(self, name) for name in _ARGUMENTS if name != "poll_interval"}
        key = "sei_exports_seen:" + hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        call = getattr(store, f"a{method}", None)
        try:
            # Airflow 3.3.0 and 3.3.1 have only the blocking form.
            return await (call(key, *value) if call else asyncio.to_thread(getattr(store, method), key, *value))
        except ValueError as error:  # several assets share this trigger, so that Airflow has no store for it
            self.log.warning("No watermark is stored between restarts (%s)", error)
            self.asset_state_store = None
            return None


@dataclass(frozen=True)
class Watermark:
    """Which exports were reported. Times are epoch seconds."""

    low: float
    """What was completed before is ignored."""
    seen: Mapping[str, float] = field(default_factory=dict)
    """Ids of exports that were completed since, each with its time."""

    @classmethod
    def from_dict(cls, value: Any) -> Watermark | None:
        """Return what ``asdict`` has made, or ``None`` where it cannot be read."""
        try:
            return cls(float(value["low"]), {str(name): float(at) for name, at in value["seen"].items()})
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


class CompletionScan:
    """One walk over the list of completed exports, newest completion first.

    An export is new if it was completed after the watermark's ``low`` and its id was not seen. ``low`` stays ten
    minutes behind the newest completion, so that an export that appears late is found too. The server's times are
    compared with each other; our own clock only bounds a server's that runs ahead, and serves while the list is empty.

    :param watermark: ``None``: nothing is known, and whatever is in the list already is not new.
    :param now: epoch seconds.
    """

    def __init__(self, watermark: Watermark | None, *, now: float) -> None:
        self._watermark, self._now = watermark, now
        self._found: dict[str, tuple[float, Export]] = {}
        self.pager: Pager[Export] = Pager("list all completed exports")
        self.done = False
        self.undated = 0
        """How many exports without a readable time of completion were ignored."""

    def take(self, page: Page[Export]) -> None:
        """Record that page, and set ``done`` if no further one is needed."""
        times = []
        # A server that ignores the filter lists failed ones too, which may well have a time.
        for export in (one for one in self.pager.take(page) if one.status.is_successful):
            at = _epoch_seconds(export.completed_at)
            if at is None:
                self.undated += 1
                continue
            times.append(at)
            self._found[export.export_id] = (at, export)
        # In the requested order, nothing newer follows the last one; in any other order, a whole page has to be old.
        oldest = min(times, default=0.0)
        latest_to_come = oldest if times == sorted(times, reverse=True) else max(times)
        self.done = self.pager.done or (bool(times) and latest_to_come < self._low)

    def result(self, org_tree_name: str | None = None) -> tuple[list[Export], Watermark]:
        """Return the exports of that tree that are new, oldest first, and the watermark after them."""
        low, seen = self._low, self._watermark.seen if self._watermark else {}
        recent = sorted((at, name) for name, (at, _) in self._found.items() if at >= low)
        raised = max(low, self._start())
        all_seen = {**seen, **{name: at for at, name in recent}}
        after = Watermark(raised, {name: at for name, at in all_seen.items() if at >= raised})
        new = [self._found[name][1] for _, name in recent if self._watermark and name not in seen]
        return [export for export in new if org_tree_name in (None, export.org_tree_name)], after

    @property
    def _low(self) -> float:
        return self._watermark.low if self._watermark else self._start()

    def _start(self) -> float:
        if not self._found:
            return self._watermark.low if self._watermark else self._now - _EMPTY_OVERLAP
        # A time in the future would hide all that is completed until then.
        return min(max(at for at, _ in self._found.values()), self._now) - _OVERLAP


def parse_since(value: object) -> float | None:
    """Return the time from which on exports are reported, in epoch seconds; without an offset it is in UTC."""
    moment = _epoch_seconds(value)
    if moment is None and value is not None:
        msg = f"since must be a time written 2024-01-31T12:00:00Z, not {value!r}"
        raise SEIArgumentError(msg, field="since")
    return moment


def _payload(export: Export) -> dict[str, Any]:
    # No person and no URL: it goes to Airflow's database and to other people's DAGs.
    fields = {name: printable(value) for name in _EVENT_FIELDS if (value := getattr(export, name)) is not None}
    return {"version": 1, "status": export.status.value, **fields}


def _epoch_seconds(text: object) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip() if isinstance(text, str) else "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
