"""A lane: exports that one list call can answer for, when each is to be asked for, and what the pages have told.

Part of ``polling``, whose docstring has the rules.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count

from airflow_provider_sei.protocol.errors import SEIError, SEIThrottledError
from airflow_provider_sei.protocol.listing import MAX_LIMIT, ExportPage, list_query
from airflow_provider_sei.protocol.waiting import ExportWait, pause_seconds

__all__ = ["HANDFUL", "KINDS", "AskList", "AskOne", "Key", "Lane", "Shares", "Watch"]

HANDFUL = 5
"""So many exports of a lane are asked for one by one."""
KINDS = ("fresh", "failed", "cancelled", "sweep")
"""The list calls, by urgency."""

_FRESH_SECONDS = 1.0  # between two looks at the newest completions
_EAGERNESS = 4.0  # times as often as all exports of the lane would be asked for one by one, at most
_DEAD_SECONDS = 10.0  # between two looks at the failed, and at the cancelled
_SWEEP_SECONDS = 30.0  # between two sweeps
_FIRST_SWEEP = 5.0  # seconds after a lane begins to ask its list
_OWN_LOOK_SECONDS = 300.0  # between two looks at an export that the list speaks for
_LIST_PATIENCE = 15.0  # seconds of trouble that can pass, before the list is left alone
_LIST_RETRY = 3.0
_LIST_PAUSE = 30.0  # seconds before a list that was left alone is tried again; doubled each time, up to
_LIST_PAUSE_MAX = 600.0
_FRESH_PAGES = 20  # a bound for servers whose list never ends
_NOT_IMPLEMENTED = 501  # a 5xx that does not pass
_MANY_GONE = 100  # watches that may lie forgotten in a lane's heap

Key = tuple[str, Hashable]
"""A family's name, and whatever else decides which list shows an export."""


class Watch:
    """One trigger's interest in one export."""

    __slots__ = ("asking", "due", "gone", "lane", "shown", "wait")

    def __init__(self, lane: Lane, wait: ExportWait) -> None:
        self.lane = lane
        self.wait = wait
        self.due = math.inf
        """When the export is to be asked for by itself."""
        self.asking = False
        self.shown = False
        """Whether the last sweep has met the export, so that the list speaks for it."""
        self.gone = False

    @property
    def export_id(self) -> str:
        """The export waited for."""
        return self.wait.plan.export_id


@dataclass(frozen=True, slots=True)
class AskOne:
    """Ask for the state of one export."""

    watch: Watch


@dataclass(frozen=True, slots=True)
class AskList:
    """Ask for one page of a lane's list."""

    lane: Lane
    kind: str
    """One of ``KINDS``."""
    page: int = 0

    def query(self) -> tuple[tuple[str, str], ...]:
        """Return the query of the list call."""
        if self.kind == "sweep":
            return list_query(page=self.page, sort_by="createdAt", sort_order="desc")
        status = "completed" if self.kind == "fresh" else self.kind
        return list_query(page=self.page, status=status, sort_by="completedAt", sort_order="desc")


@dataclass(frozen=True, slots=True)
class Shares:
    """The least seconds between two calls of a kind that leave each lane, and single exports, their part."""

    fresh: float
    dead: float
    sweep: float
    single: float


@dataclass(eq=False, slots=True)
class Lane:
    """Exports that one list call can answer for."""

    key: Key
    watches: dict[str, list[Watch]] = field(default_factory=dict)
    """By export id: two triggers may wait for one export."""
    size: int = 0
    youngest: float = 0.0
    """When the youngest wait began."""
    singles: list[tuple[float, int, Watch]] = field(default_factory=list)
    """A heap; an entry whose moment is no longer its watch's is void."""
    order: count[int] = field(default_factory=count)
    gone: int = 0
    due: dict[str, float] = field(default_factory=dict)
    """When each kind of list call is due; ``inf`` while it is being made."""
    page: dict[str, int] = field(default_factory=dict)
    trouble: dict[str, float] = field(default_factory=dict)
    """Since when each kind of list call has had nothing but trouble."""
    left_alone: int = 0
    """How often in a row the list has been left alone."""
    list_again_at: float = 0.0
    newest: frozenset[str] = frozenset()
    """Ids on the first page of completions when they were last looked at to the end."""
    first_page: frozenset[str] = frozenset()
    unmet: set[str] = field(default_factory=set)
    """Exports that the running sweep has not met yet."""
    swept: set[str] = field(default_factory=set)
    """Ids that the running sweep has met, ours or not."""

    @property
    def family(self) -> str:
        """The family's name."""
        return self.key[0]

    def schedule(self, watch: Watch, due: float) -> None:
        """Ask for ``watch`` by itself at ``due``, and not before; a call that is being made decides for itself."""
        if not watch.asking:
            watch.due = due
            heapq.heappush(self.singles, (due, next(self.order), watch))

    def single_due(self) -> float:
        """Return when the next export is to be asked for by itself, or ``inf``."""
        while self.singles:
            due, _, watch = self.singles[0]
            if not (watch.gone or watch.asking or due != watch.due):
                return due
            heapq.heappop(self.singles)
        return math.inf

    def list_due(self, kind: str) -> float:
        """Return when the next list call of that kind is to be made, or ``inf``."""
        return self.due[kind] if self.size > HANDFUL else math.inf

    def forget(self, watch: Watch) -> None:
        """Take a watch out."""
        watch.gone = True
        self.size -= 1
        others = self.watches[watch.export_id]
        others.remove(watch)
        if not others:
            del self.watches[watch.export_id]
            self.unmet.discard(watch.export_id)
        if self.size == HANDFUL:
            self.ask_for_each(0.0)
        self.gone += 1
        if self.gone > max(_MANY_GONE, self.size):
            self.singles = [item for item in self.singles if not item[2].gone]
            heapq.heapify(self.singles)
            self.gone = 0

    def begin_listing(self, at: float) -> None:
        """Ask the list from the moment ``at`` on."""
        self.due = dict.fromkeys(KINDS, at + _DEAD_SECONDS) | {"fresh": at, "sweep": at + _FIRST_SWEEP}
        self.page = {}
        self.trouble = {}

    def own_look(self, watch: Watch, now: float, shares: Shares) -> float:
        """Return when to ask for an export by itself although the list speaks for it: a list can be stale."""
        rest = max(_OWN_LOOK_SECONDS, self.size * shares.single)
        return max(now, min(now + rest, watch.wait.plan.deadline))

    def after_news_page(self, ask: AskList, answer: ExportPage, now: float, shares: Shares, *, hits: bool) -> None:
        """Take in a page of newly ended exports.

        Args:
            hits: whether the page has ended a wait.
        """
        fresh = self._fresh_interval(now, shares)
        if ask.kind != "fresh":
            self.due[ask.kind] = now + max(_DEAD_SECONDS, 4.0 * fresh, shares.dead)
            return
        ids = frozenset(export.export_id for export in answer.exports)
        if ask.page == 0:
            self.first_page = ids
        unseen = not ids & self.newest if self.newest else hits
        if ids and unseen and _goes_on(answer) and ask.page + 1 < _FRESH_PAGES:
            # More has been completed since the last look than one page holds.
            self.page["fresh"], self.due["fresh"] = ask.page + 1, now
            return
        self.page["fresh"] = 0
        self.newest = self.first_page
        self.due["fresh"] = now + max(fresh, ask.page * shares.fresh)  # further pages are paid for afterwards

    def after_sweep_page(self, ask: AskList, answer: ExportPage, now: float, shares: Shares) -> None:
        """Take in a page of the sweep: the exports it meets are left to the list, those it has missed are not."""
        ids = {export.export_id for export in answer.exports}
        if ask.page == 0:
            self.unmet, self.swept = set(self.watches), set()
        new = ids - self.swept
        self.swept |= ids
        for export_id in ids & self.unmet:
            self.unmet.discard(export_id)
            for watch in self.watches[export_id]:
                if not watch.shown:
                    watch.shown = True
                    self.schedule(watch, self.own_look(watch, now, shares))
        pages = 10 + 3 * self.size // MAX_LIMIT  # the newest come first, so ours are near the front
        if self.unmet and new and _goes_on(answer) and ask.page + 1 < pages:
            self.page["sweep"], self.due["sweep"] = ask.page + 1, now + shares.sweep
            return
        for export_id in self.unmet:
            for watch in self.watches[export_id]:
                if watch.shown:
                    watch.shown = False
                    self.schedule(watch, now)
        self.unmet, self.swept = set(), set()
        pause = max(_SWEEP_SECONDS, 8.0 * self._fresh_interval(now, shares), (ask.page + 1) * shares.sweep)
        self.page["sweep"], self.due["sweep"] = 0, now + pause

    def list_failed(self, kind: str, error: SEIError, now: float) -> bool:
        """Take in a list call that ended in ``error``; return whether the list is left alone from now on."""
        if now < self.list_again_at:
            return False  # another call of the same bad moment
        if isinstance(error, SEIThrottledError):
            self.due[kind] = now  # the budget slows all calls down; asking one by one would only need more of them
            return False
        since = self.trouble.setdefault(kind, now)
        if error.retryable and error.status_code != _NOT_IMPLEMENTED and now - since < _LIST_PATIENCE:
            self.due[kind] = now + _LIST_RETRY
            return False
        self.list_again_at = now + min(_LIST_PAUSE_MAX, _LIST_PAUSE * 2.0**self.left_alone)
        self.left_alone += 1
        self.begin_listing(self.list_again_at)
        self.ask_for_each(now)
        return True

    def list_served(self, kind: str) -> None:
        """Take note that a list call was answered."""
        self.trouble.pop(kind, None)
        if not self.trouble:
            self.left_alone = 0

    def ask_for_each(self, due: float) -> None:
        """No longer leave any export to the list."""
        self.unmet, self.swept = set(), set()
        for watches in self.watches.values():
            for watch in watches:
                if watch.shown:
                    watch.shown = False
                    self.schedule(watch, due)

    def _fresh_interval(self, now: float, shares: Shares) -> float:
        # The fewer and the older the exports, the rarer: not many more calls than by asking for each.
        alone = pause_seconds(now - self.youngest, 0.5) / max(1, self.size)
        return max(_FRESH_SECONDS, alone / _EAGERNESS, shares.fresh)


def _goes_on(page: ExportPage) -> bool:
    return len(page.exports) >= MAX_LIMIT if page.more is None else page.more
