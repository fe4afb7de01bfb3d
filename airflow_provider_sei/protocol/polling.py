"""Whom to ask next, when many exports are waited for at once.

The rules of this file:

1. Exports that share family, project, organisation and key header are a lane. A lane of no more than a handful asks for
   each export by itself, on the export's own schedule.
2. A larger lane asks the list instead: for the newest completions up to once a second, for failed and cancelled ones
   now and then, and, by a sweep over all that the server lists, for everything. One answer serves a hundred exports.
3. A sweep shows which exports the list does not know. Those keep their own schedule, and so does a whole lane whose
   list does not serve. What the list speaks for is still asked for by itself at times, and at its deadline: a list may
   be stale. A failure that the list gives no reason for is asked for too, for the server's words.
4. Nobody is forgotten: a wait whose last look cannot be had within two minutes ends without one. These begin when its
   deadline is noticed, which a process that was stopped does late.
5. Lists go before single exports, within shares of the budget that leave each lane its part; lanes take turns.

No clock, no sockets: every call is told what time it is, in epoch seconds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterable
from itertools import count

from airflow_provider_sei.protocol.budget import RateBudget
from airflow_provider_sei.protocol.errors import SEIError
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.lanes import HANDFUL, KINDS, AskList, AskOne, Key, Lane, Shares, Watch
from airflow_provider_sei.protocol.listing import ExportPage
from airflow_provider_sei.protocol.status import ExportStatus, Verdict
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome, WaitPlan, pause_seconds

__all__ = ["PollPlanner"]

# Of the budget, for all lanes together; what they leave, or do not use, is for single exports.
_FRESH_SHARE = 0.5
_DEAD_SHARE = 0.1
_SWEEP_SHARE = 0.2
_OWN_LOOK_SHARE = 0.1
_LAST_LOOK_SECONDS = 120.0  # after its deadline, for which a wait goes on without its last look
_OTHERS_PATIENCE = 1.25  # times as long as an export's own pause
_MANY_GONE = 1000  # watches that may lie forgotten in the heap of deadlines

Ended = list[tuple[Watch, WaitOutcome]]


class PollPlanner:
    """Decides on the next call, and takes the answers in.

    Args:
        budget: the calls that can be made, of which lists get their shares.
    """

    def __init__(self, budget: RateBudget) -> None:
        self._budget = budget
        self._lanes: dict[Key, Lane] = {}
        self._ends: list[tuple[float, int, Watch, bool]] = []
        self._order = count()
        self._heard: list[Watch] = []
        self._gone = 0

    def __len__(self) -> int:
        return sum(lane.size for lane in self._lanes.values())

    def heard(self) -> list[Watch]:
        """Return the watches that have news since the last call."""
        heard, self._heard = self._heard, []
        return heard

    def add(self, plan: WaitPlan, group: Hashable, now: float, chance: float) -> Watch:
        """Begin to wait for an export.

        Args:
            plan: what to wait for, and how long.
            group: whatever beside the family decides which list shows the export.
            chance: drawn evenly from [0, 1), for the jitter of the first look.
        """
        pause = pause_seconds(now - plan.started_at, chance, interval=plan.poll_interval)
        due = min(now + pause, plan.deadline)
        key = (plan.family, group)
        lane = self._lanes.get(key) or self._lanes.setdefault(key, Lane(key))
        watch = Watch(lane, ExportWait(plan))
        lane.watches.setdefault(plan.export_id, []).append(watch)
        lane.size += 1
        lane.youngest = max(lane.youngest, plan.started_at)
        if lane.size == HANDFUL + 1:
            lane.begin_listing(max(now, lane.list_again_at))
        lane.schedule(watch, due)
        self._push_end(plan.deadline, watch, final=False)
        return watch

    def discard(self, watch: Watch) -> None:
        """Forget a watch; harmless when called again."""
        if watch.gone:
            return
        watch.lane.forget(watch)
        if not watch.lane.size:
            del self._lanes[watch.lane.key]
        self._gone += 1
        if self._gone > max(_MANY_GONE, len(self)):
            self._ends = [item for item in self._ends if not item[2].gone]
            heapq.heapify(self._ends)
            self._gone = 0

    def next(self, now: float) -> AskOne | AskList | float:
        """Return the most urgent call that is due, or else the moment at which one falls due (``inf``: none).

        A call that is returned counts as being made until its answer is taken in.
        """
        soonest = math.inf
        for kind in KINDS:
            for lane in self._lanes.values():
                due = lane.list_due(kind)
                if due <= now:
                    lane.due[kind] = math.inf
                    self._let_others_first(lane)
                    return AskList(lane, kind, lane.page.get(kind, 0))
                soonest = min(soonest, due)
        for lane in self._lanes.values():
            due = lane.single_due()
            if due <= now:
                watch = heapq.heappop(lane.singles)[2]
                watch.asking = True
                self._let_others_first(lane)
                return AskOne(watch)
            soonest = min(soonest, due)
        return soonest

    def expires_at(self) -> float:
        """Return the moment at which ``expired`` is to be called next, or ``inf``."""
        while self._ends and self._ends[0][2].gone:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else math.inf

    def expired(self, now: float) -> Ended:
        """Return the waits that end because not even their last look could be had in time."""
        looks: list[tuple[Watch, WaitOutcome | None]] = []
        while self.expires_at() <= now:
            _, _, watch, final = heapq.heappop(self._ends)
            if final:
                looks.append((watch, watch.wait.over(now)))
            else:
                self._push_end(now + _LAST_LOOK_SECONDS, watch, final=True)
        return self._ended(looks)

    def saw(self, watch: Watch, answer: Export | SEIError, now: float, chance: float) -> Ended:
        """Take in the answer about one export; return the waits that it ends.

        Args:
            chance: drawn evenly from [0, 1), for the jitter of the next look.
        """
        watch.asking = False
        if watch.gone:
            return []
        lane = watch.lane
        if isinstance(answer, SEIError):
            told = [watch]
            ended = self._ended([(watch, watch.wait.failed(answer, now))])
        else:
            told = list(lane.watches[watch.export_id])
            ended = self._tell(told, answer, now)
        for one in told:
            if one.gone:
                continue
            if one.shown and not isinstance(answer, SEIError):
                due = lane.own_look(one, now, self._shares(now))
            else:
                # The others wait for the same export: this one's next answer will be theirs, too.
                patience = 1.0 if one is watch else _OTHERS_PATIENCE
                due = min(now + one.wait.pause(now, chance) * patience, max(now, one.wait.plan.deadline))
            lane.schedule(one, due)
        return ended

    def listed(self, ask: AskList, answer: ExportPage | SEIError, now: float) -> Ended:
        """Take in one page of a list; return the waits that it ends."""
        lane = ask.lane
        if isinstance(answer, SEIError):
            lane.list_failed(ask.kind, answer, now)
            return []
        ended: Ended = []
        for export in answer.exports:
            watches = lane.watches.get(export.export_id, ())
            if export.status is ExportStatus.FAILED and export.error_message is None:
                for watch in watches:
                    lane.schedule(watch, now)
                continue
            if export.status.verdict is Verdict.WAIT:  # no list has the last word
                watches = [watch for watch in watches if now < watch.wait.plan.deadline]
            ended += self._tell(watches, export, now)
        if now < lane.list_again_at:
            return ended  # asked for before the list was left alone
        lane.list_served(ask.kind)
        if ask.kind == "sweep":
            lane.after_sweep_page(ask, answer, now, self._shares(now))
        else:
            lane.after_news_page(ask, answer, now, self._shares(now), hits=bool(ended))
        return ended

    def dropped(self, ask: AskOne | AskList, now: float) -> None:
        """Take back a call that has no answer to take in; it is due again at ``now``."""
        if isinstance(ask, AskList):
            ask.lane.due[ask.kind] = max(now, ask.lane.list_again_at)
            return
        ask.watch.asking = False
        if not ask.watch.gone:
            ask.watch.lane.schedule(ask.watch, now)

    def _push_end(self, moment: float, watch: Watch, *, final: bool) -> None:
        heapq.heappush(self._ends, (moment, next(self._order), watch, final))

    def _shares(self, now: float) -> Shares:
        lanes = sum(lane.size > HANDFUL for lane in self._lanes.values())
        rate = self._budget.rate(now)
        return Shares(
            fresh=lanes / (_FRESH_SHARE * rate),
            dead=2.0 * lanes / (_DEAD_SHARE * rate),
            sweep=lanes / (_SWEEP_SHARE * rate),
            single=lanes / (_OWN_LOOK_SHARE * rate),
        )

    def _let_others_first(self, lane: Lane) -> None:
        self._lanes[lane.key] = self._lanes.pop(lane.key)

    def _tell(self, watches: Iterable[Watch], export: Export, now: float) -> Ended:
        return self._ended([(watch, watch.wait.saw(export, now)) for watch in watches])

    def _ended(self, looks: list[tuple[Watch, WaitOutcome | None]]) -> Ended:
        self._heard += [watch for watch, _ in looks if watch.wait.has_news]
        ended = [(watch, outcome) for watch, outcome in looks if outcome is not None]
        for watch, _ in ended:
            self.discard(watch)
        return ended
