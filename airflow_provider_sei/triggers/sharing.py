"""Which poller a trigger waits with: one a connection and event loop, there as long as anybody waits.

Import this module in a thread: it brings aiohttp, which takes longer than an event loop may be held.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_sei.protocol.messages import Call
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.protocol.waiting import WaitOutcome, WaitPlan
from airflow_provider_sei.triggers.poller import Poller

__all__ = ["ask", "wait_for_export", "wait_for_turn"]

T = TypeVar("T")

_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Poller]] = WeakKeyDictionary()


async def wait_for_export(
    plan: WaitPlan,
    sei_conn_id: str,
    settings: SEISettings,
    tell: Callable[[str], None],
    *,
    make_poller: Callable[[SEISettings], Poller] = Poller,
) -> WaitOutcome:
    """Wait for an export, together with all others of this connection on this event loop.

    Args:
        plan: what to wait for, and how long.
        sei_conn_id: the connection, whose waits share a poller.
        settings: the connection with this wait's own values in place.
        tell: called with each line worth logging, in the caller's own context.
        make_poller: called where there is no poller that serves these settings.

    Raises:
        SEIUsageError: there is no such family, or the id cannot be one.
    """
    async with _poller(sei_conn_id, settings, make_poller) as poller:
        return await poller.wait(plan, settings, tell)


async def wait_for_turn(
    moment: float,
    family: str,
    sei_conn_id: str,
    settings: SEISettings,
    *,
    make_poller: Callable[[SEISettings], Poller] = Poller,
) -> None:
    """Wait until a worker may create an export, among all the others of this connection on this event loop.

    Args:
        moment: epoch seconds from which on the turn is wanted; the earliest goes first.
        family: the export's, for the statistics.
        sei_conn_id: the connection, whose waits share a poller.
        settings: the connection.
        make_poller: called where there is no poller that serves these settings.

    Raises:
        SEINoAnswerError: the poller has ended.
    """
    async with _poller(sei_conn_id, settings, make_poller) as poller:
        await poller.take_turn(moment, family)


async def ask(call: Call[T], family: str, sei_conn_id: str, settings: SEISettings) -> T:
    """Make one call within the budget of this connection on this event loop.

    Args:
        call: what to ask.
        family: for the statistics.
        sei_conn_id: the connection.
        settings: the connection with this call's own values in place.

    Raises:
        SEIError: what it ended with.
    """
    async with _poller(sei_conn_id, settings, Poller) as poller:
        return await poller.ask(call, settings, family)


@asynccontextmanager
async def _poller(
    sei_conn_id: str, settings: SEISettings, make_poller: Callable[[SEISettings], Poller]
) -> AsyncIterator[Poller]:
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    poller = pollers.get(sei_conn_id)
    if poller is None or poller.ended or not poller.serves(settings):
        poller = pollers[sei_conn_id] = make_poller(settings)
    try:
        yield poller
    finally:
        if poller.idle:
            if pollers.get(sei_conn_id) is poller:
                del pollers[sei_conn_id]
            await poller.close()
