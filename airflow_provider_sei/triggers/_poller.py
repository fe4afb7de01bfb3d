"""Shares one HTTP session, one rate limit and the list calls among all triggers of a connection in a triggerer process.

Every wait polls its own export on its own schedule, within the rate limit. From six waits of a family and project on, a
task reads the list of exports, usually sees first what has ended, and wakes the waits concerned. The list is a hint
only: a wait never depends on it.

Airflow's shared streams would do less: they need Airflow 3.3, and one exception ends all of their triggers.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import cache
from importlib import import_module
from itertools import cycle
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_sei.exceptions import SEIConnectionError, SEIError, SEIRateLimitError
from airflow_provider_sei.protocol.arguments import parse_export_id
from airflow_provider_sei.protocol.exports import Export, ExportStatus, status_call
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.http import Call
from airflow_provider_sei.protocol.listing import Page, list_call, list_query
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome, WaitPlan, pause_seconds
from airflow_provider_sei.triggers import _metrics

__all__ = ["Poller", "RateLimit", "look_up", "prepare", "shared_poller"]

T = TypeVar("T")
log = logging.getLogger("airflow_provider_sei")

_IN_FLIGHT = 32  # calls at the same time: enough for a slow server, few enough sockets
_THROTTLED = Backoff(base=5.0)
_SLOW_SECONDS = 120.0  # after a 429
_MOST_STRIKES = 4  # a sixteenth of the rate is slow enough for any server

_FEW = 5  # waits of a group that need no list
_LIST_SECONDS = 1.0  # between two reads of the newest completions
_DEAD_SECONDS = 5.0  # between two reads of the failed, or the cancelled, alternately
_LIST_FAILED = Backoff(base=2.0, longest=600.0)
_LIST_FAILURES = 3  # in a row, after which the waits go back to their own schedules
_MOST_PAGES = 20
_OWN_FACTOR = 3.0  # a wait polls so much less often while the list works
_LAST_POLL_SECONDS = 120.0  # after its deadline, for which a wait goes on for its last poll

_LOOK_UP_FAILED = Backoff(attempts=4, base=3.0)


class _Wake(Enum):
    """Why a wait or a call goes on."""

    TIMER = auto()
    GRANTED = auto()
    LIST_STOPPED = auto()
    FAILED_WITHOUT_REASON = auto()


_Woken = asyncio.Future[Export | _Wake]


class RateLimit:
    """Starts calls one by one at an even rate, and a bounded number at the same time.

    List calls and status polls alternate while both are queued, so that neither holds up the other.

    :param per_minute: calls a minute.
    """

    def __init__(self, per_minute: float) -> None:
        self.gap = 60.0 / per_minute
        self._lists: deque[_Woken] = deque()
        self._polls: deque[_Woken] = deque()
        self._list_first = True
        self._running = self._strikes = 0
        self._next_at = self._held_until = self._slow_until = 0.0  # in the event loop's time
        self._timer: asyncio.TimerHandle | None = None

    def enqueue(self, call: _Woken, *, is_list: bool = False, urgent: bool = False) -> None:
        """Set the result of ``call`` to ``GRANTED`` when it may start; call ``done`` in any case."""
        queue = self._lists if is_list else self._polls
        (queue.appendleft if urgent else queue.append)(call)
        self._start_next()

    def done(self, call: _Woken) -> None:
        """Free the slot of a call that has ended, if it had one."""
        if call.done() and not call.cancelled() and call.result() is _Wake.GRANTED:
            self._running -= 1
            self._start_next()

    def throttled(self, error: SEIRateLimitError) -> None:
        """Make no call for a while after a 429, and fewer for two minutes."""
        now = asyncio.get_running_loop().time()
        if now >= self._held_until:  # calls in flight get a 429 for the same burst
            self._strikes = min(self._strikes + 1, _MOST_STRIKES) if now < self._slow_until else 1
        pause = _THROTTLED.pause(error, max(1, self._strikes), jitter=_random(), now=time.time())
        self._held_until = max(self._held_until, now + pause)
        self._slow_until = self._held_until + _SLOW_SECONDS

    def close(self) -> None:
        """Start no further call."""
        if self._timer is not None:
            self._timer.cancel()

    def _start_next(self) -> None:
        loop = asyncio.get_running_loop()
        while self._timer is None and self._running < _IN_FLIGHT and (queue := self._next_queue()):
            now, slot = loop.time(), max(self._next_at, self._held_until)
            if slot > now:
                self._timer = loop.call_at(slot, self._slot)
                return
            self._next_at = now + self.gap * (2.0**self._strikes if now < self._slow_until else 1.0)
            self._running += 1
            self._list_first = queue is self._polls
            queue.popleft().set_result(_Wake.GRANTED)

    def _slot(self) -> None:
        self._timer = None
        self._start_next()

    def _next_queue(self) -> deque[_Woken] | None:
        for queue in (self._lists, self._polls):
            while queue and queue[0].done():  # cancelled, or woken otherwise
                queue.popleft()
        first, second = (self._lists, self._polls) if self._list_first else (self._polls, self._lists)
        return first or second or None


@dataclass(eq=False, slots=True)
class _Group:
    """Waits whose exports are in the same list."""

    key: Hashable
    settings: SEISettings
    waiters: dict[str, list[_Waiter]] = field(default_factory=dict)
    size: int = 0
    youngest: float = 0.0
    task: asyncio.Task[None] | None = None
    list_works: bool = True

    @property
    def uses_list(self) -> bool:
        return self.list_works and self.task is not None

    def wake_all(self, reason: _Wake) -> None:
        for waiters in self.waiters.values():
            for waiter in waiters:
                waiter.wake(reason)


class _Waiter:
    """One trigger's wait."""

    __slots__ = ("group", "wait", "woken")

    def __init__(self, wait: ExportWait, group: _Group) -> None:
        self.wait = wait
        self.group = group
        self.woken: _Woken = asyncio.get_running_loop().create_future()

    def wake(self, reason: Export | _Wake) -> bool:
        if self.woken.done():
            return False
        self.woken.set_result(reason)
        return True


class Poller:
    """Makes the calls of all waits of one connection on one event loop.

    :param settings: the connection.
    """

    def __init__(self, settings: SEISettings) -> None:
        from airflow_provider_sei.transports.aio import AiohttpTransport

        self.users = 0
        self._settings = settings
        # One attempt per call: the wait retries, and the rate limit has to know of every call.
        self._transport = AiohttpTransport(settings, backoff=Backoff(attempts=1))
        self._limit = RateLimit(settings.calls_per_minute)
        self._groups: dict[Hashable, _Group] = {}
        self._size = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def serves(self, settings: SEISettings) -> bool:
        """Return whether ``settings`` are those of the connection that this poller was made for."""
        names = ("base_url", "api_key", "ca_bundle", "calls_per_minute")
        return all(getattr(self._settings, name) == getattr(settings, name) for name in names)

    async def wait(self, plan: WaitPlan, settings: SEISettings, say: Callable[[str], None]) -> WaitOutcome:
        """Wait for one export. To stop, cancel the call.

        :param say: called with each line to be logged, in the caller's own context.
        :raises SEIArgumentError: there is no such family, or the id cannot be one.
        """
        plan = replace(plan, family=get_family(plan.family).name, export_id=parse_export_id(plan.export_id))
        wait = ExportWait(plan)
        waiter = self._join(wait, settings)
        _metrics.count("waits_started", plan.family)
        try:
            while True:
                answer = await self._next_answer(waiter, settings)
                now = time.time()
                if isinstance(answer, Export):
                    outcome = wait.on_status(answer, now)
                else:
                    outcome = wait.timed_out(now) if answer is None else wait.on_error(answer, now)
                with suppress(Exception):  # a log that cannot be written ends no wait
                    for line in wait.messages():
                        say(line)
                if outcome is not None:
                    _metrics.count("waits_failed" if outcome.error else "waits_succeeded", plan.family)
                    _metrics.time("wait_seconds", now - plan.started_at, plan.family)
                    return outcome
        finally:
            self._leave(waiter)

    async def call(self, call: Call[T], settings: SEISettings, family: str) -> T:
        """Make one list call within the rate limit.

        :raises SEIError: what it ended with.
        """
        granted: _Woken = asyncio.get_running_loop().create_future()
        self._limit.enqueue(granted, is_list=True)
        try:
            await granted
            _metrics.count("coalesced_polls", family)
            return await self._run(call, settings, family)
        finally:
            self._limit.done(granted)

    async def close(self) -> None:
        """End what is left, and close the connections."""
        self._limit.close()
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            await self._transport.close()

    async def _next_answer(self, waiter: _Waiter, settings: SEISettings) -> Export | SEIError | None:
        """Return what the list reports of the export, or what a status call finds; ``None``: its time is over."""
        wait, plan, loop = waiter.wait, waiter.wait.plan, asyncio.get_running_loop()
        begun, jitter, urgent, give_up = time.time(), _random(), False, float("inf")
        due = begun + wait.pause(begun, jitter, at_least=self._own_pause(waiter, begun))
        while True:
            waiter.woken, now = loop.create_future(), time.time()
            if now >= plan.deadline:
                # Counted from here, because a process that was stopped notices the deadline late.
                urgent, give_up = True, min(give_up, now + _LAST_POLL_SECONDS)
                if now >= give_up:
                    return None
            until = due
            if urgent or now >= due:
                self._limit.enqueue(waiter.woken, urgent=urgent)
                until = give_up if now >= plan.deadline else plan.deadline
            timer = loop.call_later(max(0.0, until - now), waiter.wake, _Wake.TIMER)
            try:
                reason = await waiter.woken
                if isinstance(reason, Export):
                    return reason
                if reason is _Wake.GRANTED:
                    return await self._poll(waiter, settings)
                if reason is _Wake.LIST_STOPPED:
                    due = begun + wait.pause(begun, jitter)
                urgent = urgent or reason is _Wake.FAILED_WITHOUT_REASON
            finally:
                timer.cancel()
                self._limit.done(waiter.woken)

    def _own_pause(self, waiter: _Waiter, now: float) -> float:
        # While the lists work, all polls together take at most half of the rate, and less where several lists are read.
        if not waiter.group.uses_list:
            return 0.0
        plan = waiter.wait.plan
        own = pause_seconds(now - plan.started_at, 0.5, interval=plan.poll_interval)
        return max(_OWN_FACTOR * own, 2.0 * self._limit.gap * self._size * len(self._tasks))

    async def _poll(self, waiter: _Waiter, settings: SEISettings) -> Export | SEIError | None:
        plan = waiter.wait.plan
        try:
            async with asyncio.timeout(max(0.0, plan.deadline - time.time()) + _LAST_POLL_SECONDS):
                call = status_call(get_family(plan.family), plan.export_id)
                export = await self._run(call, settings, plan.family)
        except SEIError as error:
            return error
        except TimeoutError:
            return None
        self._report(waiter.group, (export,))  # another trigger may wait for the same export
        return export

    async def _run(self, call: Call[T], settings: SEISettings, family: str) -> T:
        _metrics.count("polls", family)
        try:
            return await self._transport.run(call, settings)
        except SEIRateLimitError as error:
            self._limit.throttled(error)
            _metrics.count("throttles", family)
            raise
        except SEIError:
            raise
        except Exception as error:
            # A bug must not end a wait: it is tolerated for as long as an unreachable server is.
            log.exception("could not %s", call.description)
            msg = f"could not {call.description}: {type(error).__name__}"
            raise SEIConnectionError(msg, export_id=call.export_id) from error

    def _join(self, wait: ExportWait, settings: SEISettings) -> _Waiter:
        plan = wait.plan
        key = (plan.family, settings.project_identifier, settings.org_identifier, settings.auth_header)
        group = self._groups.get(key) or self._groups.setdefault(key, _Group(key, settings))
        waiter = _Waiter(wait, group)
        group.waiters.setdefault(plan.export_id, []).append(waiter)
        group.size += 1
        group.youngest = max(group.youngest, plan.started_at)
        self._size += 1
        if group.size > _FEW and group.task is None:
            # In an empty context: that of the first trigger would send the lines of this task to its log.
            group.task = asyncio.create_task(self._read_list(group, plan.family), context=contextvars.Context())
            group.list_works = True
            self._tasks.add(group.task)
            group.task.add_done_callback(self._tasks.discard)
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        group, export_id = waiter.group, waiter.wait.plan.export_id
        group.waiters[export_id].remove(waiter)
        if not group.waiters[export_id]:
            del group.waiters[export_id]
        group.size -= 1
        self._size -= 1
        if group.size <= _FEW and group.task is not None:
            group.task.cancel()
            group.task = None
            group.wake_all(_Wake.LIST_STOPPED)
        if not group.size:
            del self._groups[group.key]

    async def _read_list(self, group: _Group, family: str) -> None:
        """Report what the list shows to have ended, for as long as the group has enough waits."""
        loop, known, failures = asyncio.get_running_loop(), frozenset[str](), 0
        dead, dead_at = cycle(("failed", "cancelled")), loop.time() + _DEAD_SECONDS
        while True:
            begun = loop.time()
            # The fewer and the older the waits, the rarer: not many more calls than with a poll for each.
            interval = max(_LIST_SECONDS, pause_seconds(time.time() - group.youngest, 0.5) / (4 * max(1, group.size)))
            try:
                known = await self._report_completed(group, family, known)
                if begun >= dead_at:
                    self._report(group, (await self._page(group, family, next(dead), 0)).items)
                    dead_at = begun + max(_DEAD_SECONDS, 4.0 * interval)
                failures, group.list_works = 0, True
                await asyncio.sleep(begun + interval - loop.time())
            except SEIRateLimitError:
                continue  # the rate limit slows this down like any other call
            except Exception as error:
                if not isinstance(error, SEIError):
                    log.exception("could not read the list of %s exports", family)
                failures += 1
                permanent = not (isinstance(error, SEIError) and error.retryable)
                if group.list_works and (permanent or failures >= _LIST_FAILURES):
                    log.info("%s; polling these exports one by one meanwhile", error)
                    group.list_works = False
                    group.wake_all(_Wake.LIST_STOPPED)
                await asyncio.sleep(_LIST_FAILED.pause(error, failures, jitter=_random(), now=time.time()))

    async def _report_completed(self, group: _Group, family: str, known: frozenset[str]) -> frozenset[str]:
        """Report the newest completions, and return the ids on the first page."""
        first = frozenset[str]()
        for number in range(_MOST_PAGES):
            page = await self._page(group, family, "completed", number)
            ids = frozenset(export.export_id for export in page.items)
            first = first or ids
            hits = self._report(group, page.items)
            # A further page only if this one is all new, or, at first, has ended a wait.
            if not ids or page.more is False or not (ids.isdisjoint(known) if known else hits):
                break
        return first

    async def _page(self, group: _Group, family: str, status: str, number: int) -> Page[Export]:
        query = list_query(page=number, status=status, sort_by="completedAt", sort_order="desc")
        return await self.call(list_call(get_family(family), query), group.settings, family)

    def _report(self, group: _Group, exports: Iterable[Export]) -> bool:
        """Wake the waits whose exports have ended; return whether there were any."""
        hits = False
        for export in exports:
            if not export.status.is_terminal:
                continue
            # A list may leave the reason out, which the status call has.
            silent = export.summary and export.status is ExportStatus.FAILED and export.error_message is None
            for waiter in group.waiters.get(export.export_id, ()):
                hits |= waiter.wake(_Wake.FAILED_WITHOUT_REASON if silent else export)
        return hits


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_poller(sei_conn_id: str, settings: SEISettings) -> AsyncIterator[Poller]:
    """Yield the poller of this connection on this event loop; it is closed when its last user leaves.

    One whose settings have changed is replaced; whoever uses it already finishes with it.
    """
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    poller = pollers.get(sei_conn_id)
    if poller is None or not poller.serves(settings):
        poller = pollers[sei_conn_id] = Poller(settings)
    poller.users += 1
    try:
        yield poller
    finally:
        poller.users -= 1
        if not poller.users:
            if pollers.get(sei_conn_id) is poller:
                del pollers[sei_conn_id]
            await poller.close()


async def prepare() -> None:
    """Import what is slow to import in a thread: on the event loop, it would hold up every trigger."""
    if not _load.cache_info().currsize:
        await asyncio.to_thread(_load)


@cache
def _load() -> None:
    for module in (
        "airflow.providers.common.compat.connection",
        "airflow_provider_sei.connection",
        "airflow_provider_sei.transports.aio",
    ):
        import_module(module)
    # Airflow reads its table of metric names now, and a backend looks up its host.
    _metrics.count("polls", "productivity", by=0)


async def look_up(sei_conn_id: str, overrides: Mapping[str, str | None], logger: Any) -> SEISettings:
    """Return the connection's settings; a secrets backend that fails is asked a few times.

    :param overrides: the trigger's own ``project_identifier`` and so on.
    :raises SEIError: the connection cannot be used.
    """
    from airflow_provider_sei.connection import async_settings

    for attempt in range(1, _LOOK_UP_FAILED.attempts + 1):
        try:
            return (await async_settings(sei_conn_id)).with_overrides(**overrides)
        except SEIError:
            raise
        except Exception as error:
            # Airflow calls a connection undefined, too, if its secrets backend fails; and the worker has just used it.
            if attempt == _LOOK_UP_FAILED.attempts:
                raise
            logger.warning("Could not look up connection %r (%s); retrying", sei_conn_id, error)
            await asyncio.sleep(_LOOK_UP_FAILED.pause(error, attempt, jitter=_random(), now=time.time()))
    raise AssertionError  # the last attempt returns or raises


def _random() -> float:
    return random.random()  # noqa: S311 - jitter, not a secret
