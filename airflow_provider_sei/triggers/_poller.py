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
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from importlib import import_module
from itertools import chain, cycle
from math import inf, sqrt
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_sei.exceptions import SEIConnectionError, SEIError, SEIRateLimitError
from airflow_provider_sei.protocol.arguments import parse_export_id
from airflow_provider_sei.protocol.exports import Export, ExportStatus, status_call
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.http import Call
from airflow_provider_sei.protocol.listing import MAX_LIMIT, Page, list_call, list_query
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome, WaitPlan

if TYPE_CHECKING:
    from airflow_provider_sei.transports.aio import AiohttpTransport

T = TypeVar("T")
jitter = random.random
log = logging.getLogger("airflow_provider_sei")

_IN_FLIGHT = 32  # calls at the same time: enough for a slow server, few enough sockets
_THROTTLED = Backoff(base=5.0)
_SLOW_SECONDS = 120.0  # after a 429
_MAX_STRIKES = 4  # a sixteenth of the rate is slow enough for any server

_FEW = 5  # waits of a group that need no list
_LIST_SECONDS = 1.0  # between two reads of the newest completions
_DEAD_SECONDS = 5.0  # between two reads of the failed, or the cancelled, alternately
_LIST_FAILED = Backoff(base=2.0, longest=600.0)
_LIST_FAILURES = 3  # in a row, after which the waits go back to their own schedules
_MAX_PAGES = 20
_OWN_FACTOR = 3.0  # a wait polls so much less often while the list works
_LAST_POLL_SECONDS = 120.0  # after its deadline, for which a wait goes on for its last poll

_OVERRIDES = ("project_identifier", "org_identifier", "auth_header", "account_id")
_LOOK_UP_FAILED = Backoff(attempts=4, base=3.0)


@dataclass(eq=False)
class RateLimit:
    """Starts calls one by one at an even rate, and a bounded number at the same time."""

    gap: float  # seconds between two calls
    held_until: float = 0.0  # in the event loop's time, as the next
    _next_at: float = 0.0
    _strikes: int = 0
    _next: asyncio.Lock = field(default_factory=asyncio.Lock)
    # The first of each kind wait for the next slot, so that kinds alternate, however many of one are queued.
    _queues: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _in_flight: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_IN_FLIGHT))

    @asynccontextmanager
    async def slot(self, kind: str) -> AsyncIterator[None]:
        """Wait until a call of this kind may start."""
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            async with self._queues[kind], self._next:
                await stack.enter_async_context(self._in_flight)
                while (pause := self._next_at - loop.time()) > 0.0:  # noqa: ASYNC110 - a 429 moves it meanwhile
                    await asyncio.sleep(pause)
                is_slow = loop.time() < self.held_until + _SLOW_SECONDS
                self._next_at = loop.time() + self.gap * (2.0**self._strikes if is_slow else 1.0)
            yield

    def throttled(self, error: SEIRateLimitError) -> None:
        """Make no call for a while after a 429, and fewer for two minutes."""
        now = asyncio.get_running_loop().time()
        if now >= self.held_until:  # calls in flight get a 429 for the same burst
            self._strikes = min(self._strikes + 1, _MAX_STRIKES) if now < self.held_until + _SLOW_SECONDS else 1
        pause = _THROTTLED.pause(error, self._strikes, jitter=jitter(), now=time.time())
        self.held_until = max(self.held_until, now + pause)
        self._next_at = max(self._next_at, self.held_until)


@dataclass(eq=False, slots=True)
class _Waiter:
    """One trigger's wait."""

    wait: ExportWait
    group: _Group
    report: Export | None = None  # how its export has ended, by a list or by another wait of the same export
    alarm: asyncio.Timeout = field(init=False)  # interrupts its pause or its poll


@dataclass(eq=False)
class _Group:
    """Waits whose exports are in the same list."""

    family: str
    settings: SEISettings
    waiters: dict[str, list[_Waiter]] = field(default_factory=dict)
    youngest: float = 0.0
    task: asyncio.Task[None] | None = None
    uses_list: bool = False

    def do_without_list(self) -> None:
        """Return to the waits' own schedules."""
        self.uses_list = False
        self.wake(dict.fromkeys(self.waiters))

    def wake(self, reports: Mapping[str, Export | None]) -> bool:
        """Interrupt the waits of exports that have ended or are given without a report; return whether any were."""
        ended = [name for name, one in reports.items() if name in self.waiters and (not one or one.status.is_terminal)]
        for waiter in chain.from_iterable(self.waiters[name] for name in ended):
            if waiter.report is None:
                waiter.report = reports[waiter.wait.plan.export_id]
                if not waiter.alarm.expired():
                    waiter.alarm.reschedule(asyncio.get_running_loop().time())
        return bool(ended)


@dataclass(eq=False)
class Poller:
    """Makes the calls of all waits of one connection on one event loop."""

    transport: AiohttpTransport
    limit: RateLimit
    users: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)  # that read lists
    _groups: dict[Hashable, _Group] = field(default_factory=dict)

    async def wait(self, plan: WaitPlan, settings: SEISettings, say: Callable[[str], None]) -> WaitOutcome:
        """Wait for one export; ``say`` is called with each line to be logged, in the caller's own context."""
        plan = replace(plan, family=get_family(plan.family).name, export_id=parse_export_id(plan.export_id))
        wait = ExportWait(plan)
        with self._joined(wait, settings) as waiter:
            _measure("incr", "waits_started", 1, plan.family)
            while True:
                answer = await self._next_answer(waiter, settings)
                now = time.time()
                if isinstance(answer, Export):
                    outcome = wait.on_status(answer, now)
                else:
                    outcome = wait.timed_out(now) if answer is None else wait.on_error(answer, now)
                with suppress(Exception):  # a log that cannot be written ends no wait
                    while wait.messages:
                        say(wait.messages.pop(0))
                if outcome is not None:
                    _measure("incr", "waits_failed" if outcome.error else "waits_succeeded", 1, plan.family)
                    _measure("timing", "wait_seconds", timedelta(seconds=max(0.0, now - plan.started_at)), plan.family)
                    return outcome

    async def call(self, call: Call[T], settings: SEISettings, family: str, kind: str = "list") -> T:
        """Make one call within the rate limit; ``kind`` is ``list``, ``poll`` or ``last poll``."""
        async with self.limit.slot(kind):
            _measure("incr", "polls", 1, family)
            if kind == "list":
                _measure("incr", "coalesced_polls", 1, family)
            try:
                return await self.transport.run(call, settings)
            except SEIError as error:
                if isinstance(error, SEIRateLimitError):
                    self.limit.throttled(error)
                    _measure("incr", "throttles", 1, family)
                raise
            except Exception as error:
                # A bug must not end a wait: it is tolerated for as long as an unreachable server is.
                log.exception("could not %s", call.description)
                msg = f"{type(error).__name__}: could not {call.description}"
                raise SEIConnectionError(msg, export_id=call.export_id) from error

    async def _next_answer(self, waiter: _Waiter, settings: SEISettings) -> Export | SEIError | None:
        """Return what the list reports of the export, or what a status call finds; ``None``: its time is over."""
        plan, group = waiter.wait.plan, waiter.group
        begun, spread, give_up, waiter.report = time.time(), jitter(), inf, None
        while True:
            now, pause, until, kind = time.time(), 0.0, plan.deadline, "last poll"
            if now >= plan.deadline:
                # Counted from here, because a process that was stopped notices the deadline late.
                until = give_up = min(give_up, now + _LAST_POLL_SECONDS)
                if now >= give_up or self.limit.held_until - asyncio.get_running_loop().time() >= give_up - now:
                    return None
            elif waiter.report is None:
                kind, at_least = "poll", 0.0
                if group.uses_list:  # together, the waits poll at half the rate, or less where several lists are read
                    size = sum(len(one.waiters) for one in self._groups.values())
                    at_least = 2.0 * self.limit.gap * size * len(self.tasks)
                factor = _OWN_FACTOR if group.uses_list else 1.0
                pause = begun + waiter.wait.pause(begun, spread, factor=factor, at_least=at_least) - now
            try:
                async with asyncio.timeout(until - now) as waiter.alarm:
                    await asyncio.sleep(pause + 0.001)  # so that the deadline comes first where it is the same moment
                    call = status_call(get_family(plan.family), plan.export_id)
                    export = waiter.report = await self.call(call, settings, plan.family, kind)
            except SEIError as error:
                return error
            except TimeoutError:
                # A list may leave out why an export has failed, which the status call has.
                report: Export | None = waiter.report
                if report is not None and not (report.status is ExportStatus.FAILED and report.error_message is None):
                    return report
            else:
                group.wake({export.export_id: export})  # another trigger may wait for the same export
                return export

    @contextmanager
    def _joined(self, wait: ExportWait, settings: SEISettings) -> Iterator[_Waiter]:
        plan = wait.plan
        key = (plan.family, *(getattr(settings, name) for name in _OVERRIDES))
        group = self._groups.setdefault(key, _Group(plan.family, settings))
        group.youngest = max(group.youngest, plan.started_at)
        waiters = group.waiters.setdefault(plan.export_id, [])
        waiters.append(waiter := _Waiter(wait, group))
        if len(group.waiters) > _FEW and group.task is None:
            # In an empty context: that of the first trigger would send the lines of this task to its log.
            group.task = asyncio.create_task(self._read_list(group), context=contextvars.Context())
            group.uses_list = True
            self.tasks.add(group.task)
            group.task.add_done_callback(self.tasks.discard)
        try:
            yield waiter
        finally:
            waiters.remove(waiter)
            if not waiters:
                del group.waiters[plan.export_id]
            if len(group.waiters) <= _FEW and group.task is not None:
                group.task.cancel()
                group.task = None
                group.do_without_list()
            if not group.waiters:
                del self._groups[key]

    async def _read_list(self, group: _Group) -> None:
        """Report what the list shows to have ended, for as long as the group has enough waits."""
        loop, known, failures = asyncio.get_running_loop(), frozenset[str](), 0
        dead, dead_at = cycle(("failed", "cancelled")), loop.time() + _DEAD_SECONDS
        while True:
            begun = loop.time()
            # The fewer and the older the waits, the rarer: not many more calls than with a poll for each.
            interval = max(_LIST_SECONDS, sqrt(max(0.0, time.time() - group.youngest)) / (3 * len(group.waiters)))
            try:
                known = await self._report_completed(group, known)
                if begun >= dead_at:
                    page = await self._page(group, next(dead), 0)
                    group.wake({export.export_id: export for export in page.items})
                    dead_at = begun + max(_DEAD_SECONDS, 4.0 * interval)
                failures, group.uses_list = 0, True
                await asyncio.sleep(begun + interval - loop.time())
            except SEIRateLimitError:
                continue  # the rate limit slows this down like any other call
            except Exception as error:
                if not isinstance(error, SEIError):
                    log.exception("could not read the list of %s exports", group.family)
                failures += 1
                is_transient = isinstance(error, SEIError) and error.retryable
                if group.uses_list and not (is_transient and failures < _LIST_FAILURES):
                    log.info("%s; polling these exports one by one meanwhile", error)
                    group.do_without_list()
                await asyncio.sleep(_LIST_FAILED.pause(error, failures, jitter=jitter(), now=time.time()))

    async def _report_completed(self, group: _Group, known: frozenset[str]) -> frozenset[str]:
        """Report the newest completions, and return the ids on the first page."""
        first = frozenset[str]()
        for number in range(_MAX_PAGES):
            page = await self._page(group, "completed", number)
            found = {export.export_id: export for export in page.items}
            first = first or frozenset(found)
            has_found = group.wake(found)
            # A further page only if this one is all new, or, at first, has ended a wait.
            if not found or page.more is False or not (known.isdisjoint(found) if known else has_found):
                break
        return first

    async def _page(self, group: _Group, status: str, number: int) -> Page[Export]:
        query = list_query(limit=MAX_LIMIT, page=number, status=status, sort_by="completedAt", sort_order="desc")
        return await self.call(list_call(get_family(group.family), query), group.settings, group.family)


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Poller]] = WeakKeyDictionary()
_identity = attrgetter("base_url", "api_key", "ca_bundle", "calls_per_minute")


@asynccontextmanager
async def shared_poller(sei_conn_id: str, settings: SEISettings) -> AsyncIterator[Poller]:
    """Yield the poller of this connection on this event loop; it is closed when its last user leaves.

    One whose settings have changed is replaced; whoever uses it already finishes with it.
    """
    from airflow_provider_sei.transports.aio import AiohttpTransport

    pollers, key = _pollers.setdefault(asyncio.get_running_loop(), {}), (sei_conn_id, _identity(settings))
    poller = pollers.get(key) or Poller(AiohttpTransport(), RateLimit(60.0 / settings.calls_per_minute))
    pollers[key] = poller
    poller.users += 1
    try:
        yield poller
    finally:
        poller.users -= 1
        if not poller.users:
            del pollers[key]
            for task in poller.tasks:
                task.cancel()
            try:
                await asyncio.gather(*poller.tasks, return_exceptions=True)
            finally:
                await poller.transport.close()


async def look_up(trigger: Any) -> SEISettings:
    """Return the settings of a trigger's connection; retry a few times if the secrets backend fails."""
    if not load_modules.cache_info().currsize:
        await asyncio.to_thread(load_modules)  # on the event loop, it would hold up every trigger
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    from airflow_provider_sei.connection import read_settings

    overrides = {name: getattr(trigger, name, None) for name in _OVERRIDES}  # an asset's watcher has no account_id
    attempt = 0
    while True:
        try:
            connection = await get_async_connection(trigger.sei_conn_id)
            return read_settings(connection, await get_async_extra_dejson(connection), **overrides)
        except Exception as error:
            # Airflow calls a connection undefined, too, if its secrets backend fails; and the worker has just used it.
            attempt += 1
            if isinstance(error, SEIError) or attempt == _LOOK_UP_FAILED.attempts:
                raise
            trigger.log.warning("Could not look up connection %r (%s); retrying", trigger.sei_conn_id, error)
            await asyncio.sleep(_LOOK_UP_FAILED.pause(error, attempt, jitter=jitter(), now=time.time()))


@cache
def load_modules() -> None:
    """Import what is slow to import, and let Airflow read its table of metric names and look up the backend's host."""
    import_module("airflow.providers.common.compat.connection")
    import_module("airflow_provider_sei.connection")
    import_module("airflow_provider_sei.transports.aio")
    _measure("incr", "polls", 0, "productivity")


def _measure(method: str, name: str, value: Any, family: str) -> None:
    """Send one of Airflow's metrics; a backend that fails never affects a wait."""
    try:
        from airflow.providers.common.compat.sdk import Stats

        getattr(Stats, method)(f"sei.{name}", value, tags={"family": family})
    except Exception:
        log.debug("could not send the metric sei.%s", name, exc_info=True)
