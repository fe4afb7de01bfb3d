"""One poller a connection in a triggerer process: its triggers share a session, a budget and the list calls.

The poller makes the calls that ``protocol.polling`` decides on, and hands each trigger its outcome. It runs as a task
of the event loop that its first trigger runs on, and ends when its last trigger leaves.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

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
from airflow_provider_sei.protocol.waiting import WaitOutcome, WaitPlan

if TYPE_CHECKING:
    from airflow_provider_sei.transports.aio import AiohttpTransport

__all__ = ["Poller", "wait_for_export"]

T = TypeVar("T")

_IN_FLIGHT = 8  # calls at once: enough for a slow server, few enough sockets
_CRASHES = 3  # in a row, before the waiting triggers are told
_CRASH_PAUSE = 5.0  # seconds

log = logging.getLogger("airflow_provider_sei")

_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


async def wait_for_export(
    plan: WaitPlan, sei_conn_id: str, settings: SEISettings, tell: Callable[[str], None]
) -> WaitOutcome:
    """Wait for an export, together with all others of this connection on this event loop.

    Args:
        plan: what to wait for, and how long.
        sei_conn_id: the connection, whose waits share a poller.
        settings: the connection with this wait's own values in place.
        tell: called with each line worth logging, in the caller's own context.
    """
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    poller = pollers.get(sei_conn_id)
    if poller is None or poller.ended or not poller.serves(settings):
        poller = pollers[sei_conn_id] = Poller(settings)
    try:
        return await poller.wait(plan, settings, tell)
    finally:
        if poller.idle:
            if pollers.get(sei_conn_id) is poller:
                del pollers[sei_conn_id]
            await poller.close()


@dataclass(eq=False, slots=True)
class _Waiter:
    future: asyncio.Future[WaitOutcome]
    context: contextvars.Context
    tell: Callable[[str], None]


class Poller:
    """Makes the calls for the waits of one connection.

    Args:
        settings: the connection.
        clock: epoch seconds.
        transport: makes the calls; by default an aiohttp transport of its own.
    """

    def __init__(
        self,
        settings: SEISettings,
        *,
        clock: Callable[[], float] = time.time,
        transport: AiohttpTransport | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._transport = transport
        self._budget = RateBudget(settings.calls_per_minute)
        self._planner = PollPlanner(self._budget.calls_per_second)
        self._waiters: dict[Watch, _Waiter] = {}
        self._group_settings: dict[Hashable, SEISettings] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._crash: BaseException | None = None
        self.ended = False

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return not self._waiters

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
        """Wait for one export; cancelling the call is the way to stop."""
        group = (settings.project_identifier, settings.org_identifier, settings.auth_header)
        self._group_settings[group] = settings
        watch = self._planner.add(plan, group, self._clock(), _chance())
        waiter = _Waiter(asyncio.get_running_loop().create_future(), contextvars.copy_context(), tell)
        self._waiters[watch] = waiter
        if self._task is None:
            # In a context of its own: the first trigger's would send the lines of all others to its log.
            self._task = asyncio.create_task(self._supervise(), context=contextvars.Context())
        self._changed.set()
        try:
            return await waiter.future
        finally:
            self._planner.discard(watch)
            self._waiters.pop(watch, None)
            self._changed.set()

    async def close(self) -> None:
        """End the polling and close the connections. Whoever still waits would wait for ever: close an idle poller."""
        self.ended = True
        tasks = [task for task in (self._task, *self._calls) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._transport is not None:
            await self._transport.close()

    async def _supervise(self) -> None:
        crashes = 0
        while True:
            try:
                await self._poll()
            except Exception:
                crashes += 1
                log.exception("the poller of %s has crashed (%d)", self._settings.endpoint.base_url, crashes)
                if crashes >= _CRASHES:
                    break
                await asyncio.sleep(_CRASH_PAUSE)
        self.ended = True
        msg = "the poller in the triggerer has crashed repeatedly; its log has the details. The export goes on"
        for watch, waiter in list(self._waiters.items()):
            if not waiter.future.done():
                error = SEINoAnswerError(msg, export_id=watch.export_id)
                waiter.future.set_result(WaitOutcome(error=error))

    async def _poll(self) -> None:
        while True:
            crash, self._crash = self._crash, None
            if crash is not None:
                raise crash
            self._changed.clear()
            now = self._clock()
            ask = self._planner.next(now) if len(self._calls) < _IN_FLIGHT else None
            if ask is None:
                # Either something falls due, or somebody comes or goes, or a call ends.
                await self._until(self._planner.wake_at(now) if len(self._calls) < _IN_FLIGHT else float("inf"))
                continue
            try:
                await self._afford()
            except asyncio.CancelledError:
                self._planner.dropped(ask, now)
                raise
            call = asyncio.create_task(self._make(ask))
            self._calls.add(call)
            call.add_done_callback(self._call_ended)

    async def _afford(self) -> None:
        pause = self._budget.take(self._clock())
        while pause > 0.0:
            await asyncio.sleep(pause)
            pause = self._budget.take(self._clock())

    async def _until(self, moment: float) -> None:
        timeout = None if moment == float("inf") else max(0.001, moment - self._clock())
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            pass

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
        for watch in self._planner.heard():
            waiter = self._waiters.get(watch)
            for line in watch.wait.news():
                if waiter is not None:
                    waiter.context.run(waiter.tell, line)
        for watch, outcome in ended:
            waiter = self._waiters.get(watch)
            if waiter is not None and not waiter.future.done():
                waiter.future.set_result(outcome)

    async def _ask(self, ask: AskOne | AskList) -> list[tuple[Watch, WaitOutcome]]:
        lane = ask.watch.lane if isinstance(ask, AskOne) else ask.lane
        family, settings = get_family(lane.family), self._group_settings[lane.key[1]]
        if isinstance(ask, AskOne):
            answer = await self._answer(status_call(family, ask.watch.export_id), settings)
            return self._planner.saw(ask.watch, answer, self._clock(), _chance())
        page = await self._answer(list_call(family, ask.query()), settings)
        if isinstance(page, SEIError):
            log.info("%s; asking for each export by itself for a while", page)
        return self._planner.listed(ask, page, self._clock())

    async def _answer(self, call: Call[T], settings: SEISettings) -> T | SEIError:
        if self._transport is None:
            from airflow_provider_sei.transports.aio import AiohttpTransport

            self._transport = AiohttpTransport(self._settings, backoff=Backoff(attempts=1))
        try:
            return await self._transport.run(call, settings)
        except SEIThrottledError as error:
            now = self._clock()
            self._budget.throttled(now, retry_after_seconds(error.retry_after, now), _chance())
            return error
        except SEIError as error:
            return error
        except Exception as error:
            # A fault of our own must not leave anybody waiting: it is borne as long as an unreachable server is.
            log.exception("could not %s", call.what)
            return SEINoAnswerError(f"could not {call.what}: {type(error).__name__}", export_id=call.export_id)


def _chance() -> float:
    return random.random()  # noqa: S311 - jitter, not a secret
