"""Whom to ask next, when many exports are waited for at once.

The rules of this file:

1. Exports that share family, project, organisation and key header are a lane. A lane of no more than a handful asks for
   each export by itself, on the export's own schedule.
2. A larger lane asks the list instead: for the newest completions about once a second, for failed and cancelled ones
   now and then, and, by a sweep over all that the server lists, for everything. One answer serves a hundred exports.
3. A sweep shows which exports the list does not know. Those keep their own schedule, and so does a whole lane whose
   list does not serve. Nobody is forgotten: each is asked for by itself at its deadline, whatever the list said.
4. Calls are made in order of urgency: deadlines, fresh completions, sweeps, then single exports by how long they are
   due. List calls keep within a share of the budget, so that single exports are never starved.

No clock, no sockets: every call is told what time it is, in epoch seconds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterator
from itertools import count

from airflow_provider_sei.protocol.errors import SEIError
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.lanes import HANDFUL, KINDS, AskList, AskOne, Key, Lane, Watch
from airflow_provider_sei.protocol.listing import ExportPage
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome, WaitPlan, pause_seconds

__all__ = ["PollPlanner"]

_FRESH_SHARE = 0.5  # of the budget, for the newest completions of all lanes
_SWEEP_SHARE = 0.25  # of the budget, for a lane's sweep
_MANY_GONE = 1000  # watches that may lie forgotten in the heaps

Ended = list[tuple[Watch, WaitOutcome]]


class PollPlanner:
    """Decides on the next call, and takes the answers in.

    Args:
        calls_per_second: the budget that the shares are of.
    """

    def __init__(self, calls_per_second: float) -> None:
        self._calls_per_second = calls_per_second
        self._lanes: dict[Key, Lane] = {}
        self._single: list[tuple[float, int, Watch]] = []
        self._deadlines: list[tuple[float, int, Watch]] = []
        self._order = count()
        self._heard: list[Watch] = []
        self._gone = 0

    def __len__(self) -> int:
        return sum(lane.size for lane in self._lanes.values())

    def watches(self) -> Iterator[Watch]:
        """Return all watches."""
        for lane in self._lanes.values():
            for watches in lane.watches.values():
                yield from watches

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
        lane = self._lanes.setdefault((plan.family, group), Lane((plan.family, group)))
        pause = pause_seconds(now - plan.started_at, chance, interval=plan.poll_interval)
        watch = Watch(lane, ExportWait(plan), now + pause)
        lane.watches.setdefault(plan.export_id, []).append(watch)
        lane.size += 1
        if lane.size == HANDFUL + 1:
            lane.begin_listing(max(now, lane.list_again_at))
        self._schedule(watch)
        self._watch_deadline(watch)
        return watch

    def discard(self, watch: Watch) -> None:
        """Forget a watch; harmless when called again."""
        if watch.gone:
            return
        watch.gone = True
        lane = watch.lane
        lane.size -= 1
        others = lane.watches[watch.export_id]
        others.remove(watch)
        if not others:
            del lane.watches[watch.export_id]
            lane.unmet.discard(watch.export_id)
        if not lane.size:
            self._lanes.pop(lane.key, None)
        elif lane.size == HANDFUL:
            self._ask_for_each(lane)
        self._gone += 1
        if self._gone > max(_MANY_GONE, len(self)):
            self._tidy()

    def next(self, now: float) -> AskOne | AskList | None:
        """Return the most urgent call that is due, if any. It counts as being made until its answer is taken in."""
        while self._deadlines and self._deadlines[0][0] <= now:
            watch = heapq.heappop(self._deadlines)[2]
            if not watch.gone and not watch.asking:
                watch.asking = True
                return AskOne(watch)
        for kind in KINDS:
            for lane in self._lanes.values():
                if lane.listed(now) and lane.due[kind] <= now:
                    lane.due[kind] = math.inf
                    return AskList(lane, kind, lane.page.get(kind, 0))
        while self._single and self._single[0][0] <= now:
            due, _, watch = heapq.heappop(self._single)
            if watch.gone or watch.asking or due != watch.due or (watch.shown and watch.lane.listed(now)):
                continue  # the list speaks for it; a sweep that misses it puts it back
            watch.asking = True
            return AskOne(watch)
        return None

    def wake_at(self, now: float) -> float:
        """Return the moment at which something falls due next, or ``inf``."""
        while self._single and (self._single[0][2].gone or self._single[0][0] != self._single[0][2].due):
            heapq.heappop(self._single)
        while self._deadlines and self._deadlines[0][2].gone:
            heapq.heappop(self._deadlines)
        moments = [heap[0][0] for heap in (self._single, self._deadlines) if heap]
        for lane in self._lanes.values():
            if lane.size > HANDFUL:
                moments += lane.due.values() if lane.listed(now) else (lane.list_again_at,)
        return min(moments, default=math.inf)

    def saw(self, watch: Watch, answer: Export | SEIError, now: float, chance: float) -> Ended:
        """Take in the answer about one export; return the waits that it ends."""
        watch.asking = False
        if watch.gone:
            return []
        if isinstance(answer, SEIError):
            ended = self._ended([(watch, watch.wait.failed(answer, now))])
        else:
            ended = self._tell(watch.lane, answer, now)
        if not watch.gone:
            watch.due = now + watch.wait.pause(now, chance)
            self._schedule(watch)
        return ended

    def listed(self, ask: AskList, answer: ExportPage | SEIError, now: float) -> Ended:
        """Take in one page of a list; return the waits that it ends."""
        lane = ask.lane
        if isinstance(answer, SEIError):
            lane.list_failed(now)
            self._ask_for_each(lane)
            return []
        lane.list_fails = 0
        ours = [export for export in answer.exports if export.export_id in lane.watches]
        ended = [end for export in ours for end in self._tell(lane, export, now)]
        if ask.kind == "sweep":
            interval = 1.0 / (_SWEEP_SHARE * self._calls_per_second)
            for watch in lane.after_sweep_page(ask, answer, now, interval):
                self._schedule(watch)
        else:
            lanes = sum(other.listed(now) for other in self._lanes.values())
            lane.after_news_page(ask, answer, now, lanes / (_FRESH_SHARE * self._calls_per_second), hits=bool(ended))
        return ended

    def dropped(self, ask: AskOne | AskList, now: float) -> None:
        """Take back a call that was never made; it is due again at ``now``."""
        if isinstance(ask, AskOne):
            ask.watch.asking = False
            ask.watch.due = now
            self._schedule(ask.watch)
            self._watch_deadline(ask.watch)
        else:
            ask.lane.due[ask.kind] = now

    def _schedule(self, watch: Watch) -> None:
        heapq.heappush(self._single, (watch.due, next(self._order), watch))

    def _watch_deadline(self, watch: Watch) -> None:
        heapq.heappush(self._deadlines, (watch.wait.plan.deadline, next(self._order), watch))

    def _ask_for_each(self, lane: Lane) -> None:
        for watch in lane.forget_list():
            self._schedule(watch)

    def _tell(self, lane: Lane, export: Export, now: float) -> Ended:
        watches = lane.watches.get(export.export_id, ())
        return self._ended([(watch, watch.wait.saw(export, now)) for watch in watches])

    def _ended(self, looks: list[tuple[Watch, WaitOutcome | None]]) -> Ended:
        self._heard += [watch for watch, _ in looks if watch.wait.has_news]
        ended = [(watch, outcome) for watch, outcome in looks if outcome is not None]
        for watch, _ in ended:
            self.discard(watch)
        return ended

    def _tidy(self) -> None:
        self._single = [item for item in self._single if not item[2].gone]
        self._deadlines = [item for item in self._deadlines if not item[2].gone]
        heapq.heapify(self._single)
        heapq.heapify(self._deadlines)
        self._gone = 0
