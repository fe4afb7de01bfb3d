"""One poller a connection in a triggerer process: its triggers share a session, a budget and the list calls.

The poller makes the calls that ``protocol.polling`` decides on, and hands each trigger its outcome; and it gives the
turns of ``protocol.turns`` to those that wait to create an export. It runs as a task of the event loop that its first
trigger runs on, and ends when its last trigger leaves (``sharing`` sees to that). Airflow's shared streams would do
less: they are of Airflow 3.3 alone, end all their triggers by one exception, and have no end of a single wait.

Import this module in a thread: it brings aiohttp, which takes longer than an event loop may be held.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
from typing import TypeVar

from airflow_provider_sei.protocol.arguments import checked_export_id
from airflow_provider_sei.protocol.budget import RateBudget
from airflow_provider_sei.protocol.errors import SEIError, SEINoAnswerError, SEIThrottledError
from airflow_provider_sei.protocol.exports import status_call
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.lanes import AskList, AskOne, Watch
from airflow_provider_sei.protocol.listing import list_call
from airflow_provider_sei.protocol.messages import Call
from airflow_provider_sei.protocol.polling import PollPlanner
from airflow_provider_sei.protocol.retry import Backoff, retry_after_seconds
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.protocol.turns import Pacer, Turn
from airflow_provider_sei.protocol.waiting import WaitOutcome, WaitPlan
from airflow_provider_sei.transports.aio import AiohttpTransport
from airflow_provider_sei.triggers import stats

__all__ = ["Poller"]

T = TypeVar("T")
Pause = Callable[[asyncio.Event, float], Awaitable[None]]
"""Waits until the event is set, or for that many seconds (``inf``: no limit)."""

_IN_FLIGHT = 32  # calls at once: enough for a slow server, few enough sockets
_CRASHES = 3  # in a row, before the waiting triggers are told
_CRASH_PAUSE = 5.0  # seconds
_SOUND_SECONDS = 60.0  # without a crash, after which earlier ones no longer count

log = logging.getLogger("airflow_provider_sei")


@dataclass(eq=False, slots=True)
class _Waiter:
    future: asyncio.Future[WaitOutcome]
    context: contextvars.Context
    tell: Callable[[str], None]


class Poller:
    """Makes the calls for the waits of one connection, and gives its turns.

    Args:
        settings: the connection.
        clock: epoch seconds.
        pause: how to wait; by default, as time passes.
    """

    def __init__(
        self, settings: SEISettings, *, clock: Callable[[], float] = time.time, pause: Pause | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._pause = pause or _pause
        # One try a call: the planner decides on the next one, and the budget has to know of each.
        self._transport = AiohttpTransport(settings, backoff=Backoff(attempts=1))
        self._budget = RateBudget(settings.calls_per_minute)
        self._planner = PollPlanner(self._budget)
        self._pacer = Pacer(self._planner, self._budget)
        self._waiters: dict[Watch, _Waiter] = {}
        self._turns: dict[Turn, asyncio.Future[None]] = {}
        self._asking = 0
        self._group_settings: dict[Hashable, SEISettings] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._crash: BaseException | None = None
        self.ended = False

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return not self._waiters and not self._turns and not self._asking

    def serves(self, settings: SEISettings) -> bool:
        """Return whether ``settings`` are of the connection that this poller was made for, unchanged since."""
        mine = self._settings
        return (mine.endpoint, mine.api_key, mine.ca_bundle, mine.calls_per_minute) == (
            settings.endpoint,
            settings.api_key,
            settings.ca_bundle,
            settings.calls_per_minute,
        )

    async def wait(self, plan: WaitPlan, settings: SEISettings, tell: Callable[[str], None]) -> WaitOutcome:
        """Wait for one export; cancelling the call is the way to stop.

        Raises:
            SEIUsageError: there is no such family, or the id cannot be one.
        """
        # Refused here: among the calls, it would be everybody's trouble.
        plan = replace(plan, family=get_family(plan.family).name, export_id=checked_export_id(plan.export_id))
        group = (settings.project_identifier, settings.org_identifier, settings.auth_header)
        self._group_settings[group] = settings
        watch = self._planner.add(plan, group, self._clock(), _chance())
        waiter = _Waiter(asyncio.get_running_loop().create_future(), contextvars.copy_context(), tell)
        self._waiters[watch] = waiter
        stats.count("waits_started", plan.family)
        self._wake()
        try:
            outcome = await waiter.future
        finally:
            self._planner.discard(watch)
            self._waiters.pop(watch, None)
            self._changed.set()
        stats.wait_ended(watch.wait, outcome, self._clock())
        return outcome

    async def take_turn(self, moment: float, family: str) -> None:
        """Wait until a worker may create an export; cancelling the call is the way to stop.

        Args:
            moment: epoch seconds from which on the turn is wanted; the earliest goes first.
            family: the export's, for the statistics.

        Raises:
            SEINoAnswerError: the poller has ended.
        """
        turn = self._pacer.add_turn(moment)
        given = self._turns[turn] = asyncio.get_running_loop().create_future()
        self._wake()
        try:
            await given
        finally:
            self._pacer.discard(turn)
            del self._turns[turn]
            self._changed.set()
        stats.turn_given(family, self._clock() - moment)

    async def ask(self, call: Call[T], settings: SEISettings, family: str) -> T:
        """Make one call for somebody who looks on their own account, once the budget allows it.

        Raises:
            SEIError: what it ended with.
        """
        self._asking += 1
        try:
            # Paid for at once: whoever waits longest must not have to compete with thousands of waits.
            seconds = self._budget.pause(self._clock())
            self._budget.take()
            await self._pause(asyncio.Event(), seconds)
            stats.count("polls", family)
            answer = await self._answer(call, settings, family)
        finally:
            self._asking -= 1
        if isinstance(answer, SEIError):
            raise answer
        return answer

    async def close(self) -> None:
        """End the polling and close the connections; whoever still waits is told that the poller has ended."""
        self.ended = True
        tasks = [task for task in (self._task, *self._calls) if task is not None]
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._transport.close()

    def _wake(self) -> None:
        if self._task is None:
            # In a context of its own: the first trigger's would send the lines of all others to its log.
            self._task = asyncio.create_task(self._supervise(), context=contextvars.Context())
        self._changed.set()

    async def _supervise(self) -> None:
        crashes, begun = 0, self._clock()
        try:
            while crashes < _CRASHES:
                try:
                    await self._poll()
                except Exception:
                    crashes = crashes + 1 if self._clock() - begun < _SOUND_SECONDS else 1
                    log.exception("the poller of %s has crashed (%d)", self._settings.endpoint.base_url, crashes)
                    await self._pause(asyncio.Event(), _CRASH_PAUSE)
                    begun = self._clock()
        finally:
            self.ended = True
            error = SEINoAnswerError("the triggerer's poller has ended unexpectedly (see its log); the export goes on")
            self._deliver([(watch, WaitOutcome(error=error)) for watch in self._waiters])
            for given in self._turns.values():
                if not given.done():
                    given.set_exception(error)

    async def _poll(self) -> None:
        while True:
            crash, self._crash = self._crash, None
            if crash is not None:
                raise crash
            self._changed.clear()
            now = self._clock()
            self._deliver(self._planner.expired(now))
            wake_at = float("inf")
            if len(self._calls) < _IN_FLIGHT:
                step = self._pacer.next(now)
                if isinstance(step, Turn):
                    given = self._turns.get(step)
                    if given is not None and not given.done():
                        given.set_result(None)
                    continue
                if not isinstance(step, float):
                    self._begin(step)
                    continue
                wake_at = step
            # Until then nothing falls due, unless somebody comes or goes, or a call ends.
            await self._pause(self._changed, min(wake_at, self._planner.expires_at()) - now)

    def _begin(self, ask: AskOne | AskList) -> None:
        call = asyncio.create_task(self._make(ask))
        self._calls.add(call)
        call.add_done_callback(self._call_ended)

    def _call_ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._changed.set()
        if not call.cancelled() and (error := call.exception()) is not None:
            self._crash = error

    async def _make(self, ask: AskOne | AskList) -> None:
        try:
            ended = await self._ask(ask)
        except BaseException:
            self._planner.dropped(ask, self._clock() + _CRASH_PAUSE)
            raise
        self._deliver(ended)

    async def _ask(self, ask: AskOne | AskList) -> list[tuple[Watch, WaitOutcome]]:
        lane = ask.watch.lane if isinstance(ask, AskOne) else ask.lane
        family, settings = get_family(lane.family), self._group_settings[lane.key[1]]
        stats.count("polls", lane.family)
        if isinstance(ask, AskOne):
            answer = await self._answer(status_call(family, ask.watch.export_id), settings, lane.family)
            return self._planner.saw(ask.watch, answer, self._clock(), _chance())
        stats.count("coalesced_polls", lane.family)
        page = await self._answer(list_call(family, ask.query()), settings, lane.family)
        if isinstance(page, SEIError):
            log.info("%s; its exports are asked for one by one if that lasts", page)
        return self._planner.listed(ask, page, self._clock())

    async def _answer(self, call: Call[T], settings: SEISettings, family: str) -> T | SEIError:
        try:
            return await self._transport.run(call, settings)
        except SEIThrottledError as error:
            now = self._clock()
            self._budget.throttled(now, retry_after_seconds(error.retry_after, now), _chance())
            stats.count("throttles", family)
            return error
        except SEIError as error:
            return error
        except Exception as error:
            # A fault of our own must not leave anybody waiting: it is borne as long as an unreachable server is.
            log.exception("could not %s", call.what)
            return SEINoAnswerError(f"could not {call.what}: {type(error).__name__}", export_id=call.export_id)

    def _deliver(self, ended: list[tuple[Watch, WaitOutcome]]) -> None:
        for watch, outcome in ended:
            waiter = self._waiters.get(watch)
            if waiter is not None and not waiter.future.done():
                waiter.future.set_result(outcome)
        for watch in self._planner.heard():
            waiter = self._waiters.get(watch)
            for line in watch.wait.news():
                if waiter is not None:
                    try:
                        waiter.context.run(waiter.tell, line)
                    except Exception:
                        log.exception("could not log for export %s", watch.export_id)


async def _pause(wake_up: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(None if seconds == float("inf") else max(0.001, seconds)):
            await wake_up.wait()
    except TimeoutError:
        pass


def _chance() -> float:
    return random.random()  # noqa: S311 - jitter, not a secret
