"""Who goes next: a look at exports in flight, or a worker that is to create one more.

What workers call, they call in processes of their own, where nobody can count it in time. So a worker may wait for its
turn: with the turn, all that its export will make it call is taken from the budget of the connection's looks.

The rules of this file:

1. Looks go first: an export that is in flight is not to wait longer because others begin.
2. Turns get what looks leave; and while anybody waits for one, a quarter of the budget at least. Neither starves.
3. A 429 to a look slows turns down as it slows looks down, because both live on one budget. One that a worker meets
   cannot be told to the triggerer; the worker bears it by ``retry``, and the next look meets the same.
4. Turns come in the order of the moments from which on they are wanted.

What this comes to: of a budget B, looks take p and g turns 4g calls a minute, so p + 4g <= B. Half of a turn's calls
are made at once, the others when its export is completed. Where exports end as evenly as they began, a minute has
p + 2g calls, and 2g' for exports that began earlier; g' is B/4 at most. So it has 1.5 B at most: 360 by the default
budget of 240. The vendor allows a key 1000 calls a minute, and 400 where it is sent as x-api-key (platform page).

No clock, no sockets: every call is told what time it is, in epoch seconds.
"""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_sei.protocol.budget import RateBudget
    from airflow_provider_sei.protocol.lanes import AskList, AskOne
    from airflow_provider_sei.protocol.polling import PollPlanner

__all__ = ["CALLS_PER_EXPORT", "TURN_PATIENCE", "Pacer", "Turn"]

CALLS_PER_EXPORT = 4
"""Calls that a worker makes for one export: create, a look before it defers, one more look for what a list has not told
(where the file is), and the download."""
TURN_PATIENCE = 24 * 60 * 60.0
"""Seconds to wait for a turn, from the moment drawn by chance; then the task goes on without one.

Twelve thousand exports (500 teams, two years by months) take some eight hours at the default budget. A turn is a
courtesy to the server: no task fails, and none waits for ever, for want of one.
"""

_TURN_SHARE = 0.25  # of the budget, while anybody waits for a turn


class Turn:
    """One worker's wish to create an export."""

    __slots__ = ("gone",)

    def __init__(self) -> None:
        self.gone = False
        """Whether it was given, or is no longer wanted."""


class Pacer:
    """Shares a budget between the looks that a planner wants to make and the turns that workers wait for.

    Args:
        planner: decides on the looks.
        budget: what both live on.
    """

    def __init__(self, planner: PollPlanner, budget: RateBudget) -> None:
        self._planner = planner
        self._budget = budget
        self._turns: list[tuple[float, int, Turn]] = []
        self._order = count()
        self._counts_from = -math.inf

    def add_turn(self, moment: float) -> Turn:
        """Begin to wait for a turn.

        Args:
            moment: from which on it is wanted; who came first goes first.
        """
        turn = Turn()
        heapq.heappush(self._turns, (moment, next(self._order), turn))
        return turn

    def discard(self, turn: Turn) -> None:
        """Forget a turn; harmless when called again."""
        turn.gone = True

    def next(self, now: float) -> AskOne | AskList | Turn | float:
        """Return the call to make or the turn to give now, or else the moment at which to ask again (``inf``: never).

        What is returned is paid for.
        """
        turn_due = self._turn_due(now)
        look_at = math.inf
        if now < turn_due:
            look_at = now + self._budget.pause(now)
            if look_at <= now:
                step = self._planner.next(now)
                if not isinstance(step, float):
                    self._budget.take()
                    return step
                look_at = step
        if turn_due == math.inf:
            return look_at
        turn_at = now + self._budget.pause(now, CALLS_PER_EXPORT)
        if turn_at > now:
            return min(look_at, turn_at)
        self._budget.take(CALLS_PER_EXPORT)
        # A turn that had to save up its calls first is not to make the next one later: else the share would be smaller.
        saving_up = CALLS_PER_EXPORT / self._budget.rate(now)
        self._counts_from = now if now < turn_due else max(turn_due, now - saving_up)
        turn = heapq.heappop(self._turns)[2]
        turn.gone = True
        return turn

    def _turn_due(self, now: float) -> float:
        """Return the moment from which on the next turn goes before all looks; ``inf`` where nobody waits for one."""
        while self._turns and self._turns[0][2].gone:
            heapq.heappop(self._turns)
        if not self._turns:
            return math.inf
        return self._counts_from + CALLS_PER_EXPORT / (_TURN_SHARE * self._budget.rate(now))
