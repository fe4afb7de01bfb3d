"""A lane: exports that one list call can answer for, and what its pages have told so far.

Part of ``polling``, whose docstring has the rules.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from airflow_provider_sei.protocol.listing import MAX_LIMIT, ExportPage, list_query
from airflow_provider_sei.protocol.waiting import ExportWait

__all__ = ["HANDFUL", "KINDS", "AskList", "AskOne", "Key", "Lane", "Watch"]

HANDFUL = 5
"""So many exports of a lane are asked for one by one."""
KINDS = ("fresh", "failed", "cancelled", "sweep")
"""The list calls, by urgency."""

_FRESH_SECONDS = 1.0  # between two looks at the newest completions
_DEAD_SECONDS = 10.0  # between two looks at the failed, and at the cancelled
_SWEEP_SECONDS = 30.0  # between two sweeps
_FIRST_SWEEP = 5.0  # seconds after a lane begins to ask its list
_LIST_PAUSE = 30.0  # seconds before a list that failed is tried again; doubled each time, up to
_LIST_PAUSE_MAX = 600.0
_FRESH_PAGES = 20  # a bound for servers whose list never ends

Key = tuple[str, Hashable]
"""A family's name, and whatever else decides which list shows an export."""


class Watch:
    """One trigger's interest in one export."""

    __slots__ = ("asking", "due", "gone", "lane", "shown", "wait")

    def __init__(self, lane: Lane, wait: ExportWait, due: float) -> None:
        self.lane = lane
        self.wait = wait
        self.due = due
        """When the export is to be asked for by itself."""
        self.asking = False
        self.shown = False
        """Whether the last sweep has met the export, so that the list speaks for it."""
        self.gone = False

    @property
    def export_id(self) -> str:
        """The export waited for."""
        return self.wait.plan.export_id


@dataclass(frozen=True)
class AskOne:
    """Ask for the state of one export."""

    watch: Watch


@dataclass(frozen=True)
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


@dataclass(eq=False)
class Lane:
    """Exports that one list call can answer for."""

    key: Key
    watches: dict[str, list[Watch]] = field(default_factory=dict)
    """By export id: two triggers may wait for one export."""
    size: int = 0
    due: dict[str, float] = field(default_factory=dict)
    """When each kind of list call is due; ``inf`` while it is being made."""
    page: dict[str, int] = field(default_factory=dict)
    newest: frozenset[str] = frozenset()
    """Ids on the first page of completions when they were last looked at to the end."""
    first_page: frozenset[str] = frozenset()
    unmet: set[str] = field(default_factory=set)
    """Exports that the running sweep has not met yet."""
    swept: set[str] = field(default_factory=set)
    """Ids that the running sweep has met, ours or not."""
    list_fails: int = 0
    list_again_at: float = 0.0

    @property
    def family(self) -> str:
        """The family's name."""
        return self.key[0]

    def listed(self, now: float) -> bool:
        """Return whether the list is asked for at present."""
        return self.size > HANDFUL and now >= self.list_again_at

    def begin_listing(self, at: float) -> None:
        """Ask the list from the moment ``at`` on."""
        self.due = dict.fromkeys(KINDS, at + _DEAD_SECONDS) | {"fresh": at, "sweep": at + _FIRST_SWEEP}
        self.page = {}

    def after_news_page(self, ask: AskList, answer: ExportPage, now: float, share: float, *, hits: bool) -> None:
        """Take in a page of newly ended exports.

        Args:
            share: seconds between two looks at completions that the budget allows.
            hits: whether the page has ended a wait.
        """
        interval = _DEAD_SECONDS
        if ask.kind == "fresh":
            interval = max(_FRESH_SECONDS, share)
            ids = frozenset(export.export_id for export in answer.exports)
            if ask.page == 0:
                self.first_page = ids
            full = len(answer.exports) >= MAX_LIMIT and answer.more is not False
            unseen = not ids & self.newest if self.newest else hits
            if full and unseen and ask.page + 1 < _FRESH_PAGES:
                # More has been completed since the last look than one page holds.
                self.page["fresh"], self.due["fresh"] = ask.page + 1, now
                return
            self.page["fresh"] = 0
            self.newest = self.first_page
        self.due[ask.kind] = now + interval

    def after_sweep_page(self, ask: AskList, answer: ExportPage, now: float, interval: float) -> list[Watch]:
        """Take in a page of the sweep; return the watches that the list has stopped speaking for.

        Args:
            interval: seconds between two pages.
        """
        ids = {export.export_id for export in answer.exports}
        if ask.page == 0:
            self.unmet, self.swept = set(self.watches), set()
        new = ids - self.swept
        self.swept |= ids
        for export_id in ids & self.unmet:
            self.unmet.discard(export_id)
            for watch in self.watches.get(export_id, ()):
                watch.shown = True
        pages = 10 + 3 * self.size // MAX_LIMIT  # the newest come first, so ours are near the front
        over = answer.more is False or (len(answer.exports) < MAX_LIMIT and answer.more is not True)
        if self.unmet and new and not over and ask.page + 1 < pages:
            self.page["sweep"], self.due["sweep"] = ask.page + 1, now + interval
            return []
        lost = [watch for export_id in self.unmet for watch in self.watches.get(export_id, ()) if watch.shown]
        for watch in lost:
            watch.shown = False
        self.unmet, self.swept = set(), set()
        self.page["sweep"], self.due["sweep"] = 0, now + max(_SWEEP_SECONDS, (ask.page + 1) * interval)
        return lost

    def list_failed(self, now: float) -> None:
        """Leave the list alone for a while, longer each time."""
        self.list_again_at = now + min(_LIST_PAUSE_MAX, _LIST_PAUSE * 2.0**self.list_fails)
        self.list_fails += 1
        self.begin_listing(self.list_again_at)

    def forget_list(self) -> list[Watch]:
        """Return the watches that the list has spoken for so far; from now on each is asked for by itself."""
        self.unmet, self.swept = set(), set()
        lost = [watch for watches in self.watches.values() for watch in watches if watch.shown]
        for watch in lost:
            watch.shown = False
        return lost
