"""Which completed exports are new since the last look at the list.

The rule of this file: an export is new if it was completed at or after the watermark's floor and its id has not been
told yet. The floor stays ten minutes behind the newest completion, so an export that shows up late, with the time of
another one, or with that of a server whose clock is slow, is told too; and the ids since the floor are kept, so none is
told twice. The server's times are compared with each other; our own clock only keeps a server's from running ahead, and
stands in for it while the list is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_sei.protocol.answers import printable
from airflow_provider_sei.protocol.errors import SEIError, SEIUsageError
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.families import ExportFamily
from airflow_provider_sei.protocol.listing import MAX_LIMIT, ExportPage, PageWalk, list_query
from airflow_provider_sei.protocol.retry import retry_after_seconds
from airflow_provider_sei.protocol.status import Verdict

__all__ = ["CompletionLook", "Watermark", "checked_since", "completion_event", "completions_query", "pause_after"]

VERSION = 1

_OVERLAP = 600.0  # seconds; for so long after its completion an export may turn up in the list for the first time
_EMPTY_OVERLAP = 24 * 3600.0  # seconds; of an empty list, our own clock is all there is to go by, and it may be wrong
_LONGEST_PAUSE = 900.0  # seconds; whatever is wrong with the connection, somebody may mend it meanwhile
_LONGEST_ASKED = 3600.0
_TOLD = ("created_at", "completed_at", "team_id", "org_tree_name", "date_start", "date_end", "level")


@dataclass(frozen=True)
class Watermark:
    """Up to where the list is known."""

    floor: float
    """Epoch seconds: what was completed before is not looked at."""
    told: Mapping[str, float] = field(default_factory=dict)
    """Ids of exports that were completed since, each with its time."""

    def written(self) -> dict[str, Any]:
        """Return it as JSON primitives."""
        return {"version": VERSION, "floor": self.floor, "told": dict(self.told)}

    @classmethod
    def read(cls, value: object) -> Watermark | None:
        """Return what ``written`` has made, or ``None`` where it cannot be read."""
        if not isinstance(value, Mapping) or not isinstance(told := value.get("told"), Mapping):
            return None
        floor, times = value.get("floor"), list(told.values())
        if any(isinstance(time, bool) or not isinstance(time, int | float) for time in (floor, *times)):
            return None
        return cls(float(floor or 0.0), {str(name): float(time) for name, time in told.items()})


class CompletionLook:
    """One walk over the list of completed exports, newest completion first.

    Args:
        watermark: up to where the list is known; ``None``: nothing is, and whatever is there already is not new.
        now: epoch seconds.
    """

    def __init__(self, watermark: Watermark | None, *, now: float) -> None:
        self._watermark = watermark
        self._now = now
        self._walk = PageWalk(MAX_LIMIT)
        self._found: dict[str, tuple[float, Export]] = {}
        self.done = False
        """Whether no further page is to be asked for."""
        self.undated = 0
        """How many exports had no time of completion that can be read; they are passed over."""

    @property
    def page(self) -> int:
        """Number of the page to ask for."""
        return self._walk.page

    def take(self, page: ExportPage) -> None:
        """Take in that page."""
        times = []
        # A server that leaves the filter aside lists failed ones too, which may well have a time.
        for export in (one for one in self._walk.take(page) if one.status.verdict is Verdict.READY):
            at = _epoch_seconds(export.completed_at)
            if at is None:
                self.undated += 1
                continue
            times.append(at)
            self._found[export.export_id] = (at, export)
        # Sorted as asked, nothing newer follows its last; of a list in any other order, a whole page has to be old.
        oldest = min(times, default=0.0)
        latest_to_come = oldest if times == sorted(times, reverse=True) else max(times)
        self.done = self._walk.done or (bool(times) and latest_to_come < self._floor())

    def result(self, org_tree_name: str | None = None) -> tuple[list[Export], Watermark]:
        """Return the exports that are new, oldest first, and the watermark after them.

        Args:
            org_tree_name: only exports of this tree, as far as the list tells: it has no filter for that.
        """
        floor = self._floor()
        known = self._watermark.told if self._watermark else {}
        recent = sorted((at, name) for name, (at, _) in self._found.items() if at >= floor)
        raised = max(floor, self._newest() - _OVERLAP) if self._found else floor
        told = {**known, **{name: at for at, name in recent}}
        after = Watermark(raised, {name: at for name, at in told.items() if at >= raised})
        if self._watermark is None:
            return [], after
        new = [self._found[name][1] for _, name in recent if name not in known]
        return [one for one in new if org_tree_name in (None, one.org_tree_name)], after

    def _newest(self) -> float:
        # A time in the future would hide all that is completed until then.
        return min(max(at for at, _ in self._found.values()), self._now)

    def _floor(self) -> float:
        if self._watermark is not None:
            return self._watermark.floor
        return self._newest() - _OVERLAP if self._found else self._now - _EMPTY_OVERLAP


def completions_query(team_id: str | None) -> tuple[tuple[str, str], ...]:
    """Return the query for the completed exports (of one team), newest completion first.

    Source: the vendor's OpenAPI document, ``ListExports`` (read 2026-11-23); ``completedAt`` is one of its sort keys.
    """
    return list_query(status="completed", team_id=team_id, sort_by="completedAt", sort_order="desc")


def completion_event(export: Export, family: ExportFamily, **place: str | None) -> dict[str, Any]:
    """Return what to tell of a completed export: JSON primitives, no person and no URL.

    Args:
        place: where it can be read, such as ``project_identifier``.
    """
    event: dict[str, Any] = {"version": VERSION, "status": export.status.value, "family": family.name}
    event |= {name: printable(value) for name in _TOLD if (value := getattr(export, name)) is not None}
    event |= {"export_id": export.export_id} | place
    return {name: value for name, value in event.items() if value is not None}


def pause_after(failures: int, poll_interval: float, error: Exception, *, now: float, chance: float) -> float:
    """Return the seconds to wait after so many looks in a row that have failed.

    No error ends the watch, for Airflow would begin it again at once. The pauses grow to a quarter of an hour.

    Args:
        error: what the last one ended with; a ``Retry-After`` is obeyed.
        now: epoch seconds.
        chance: drawn evenly from [0, 1), for the jitter.
    """
    longest = max(_LONGEST_PAUSE, poll_interval)
    pause = min(longest, poll_interval * 2.0 ** min(failures - 1, 16)) * (0.75 + 0.5 * chance)
    asked = retry_after_seconds(error.retry_after, now) if isinstance(error, SEIError) else None
    return max(pause, min(asked or 0.0, _LONGEST_ASKED))


def checked_since(value: object) -> float | None:
    """Return the moment from which on exports are told, in epoch seconds; ``None`` where none is given.

    Raises:
        SEIUsageError: it is not an ISO 8601 moment; one without an offset is in UTC.
    """
    if value is None:
        return None
    moment = _epoch_seconds(value if isinstance(value, str) else None)
    if moment is None:
        msg = f"since must be a moment written 2024-01-31T12:00:00Z, not {value!r}"
        raise SEIUsageError(msg, field="since")
    return moment


def _epoch_seconds(text: str | None) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip()) if text else None
    except ValueError:
        return None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
