"""What became of many teams' exports, told in one dict, some log lines and one error.

How a task ended is Airflow's to say, and comes as the name of its state. What a successful task has delivered is its
result. Nothing is taken for delivered that no result tells of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["OUTCOMES", "TeamExport", "failure", "news", "overwritten", "summary"]

OUTCOMES = ("delivered", "empty", "failed", "skipped", "unknown")
"""``empty``: delivered, with a header at most. ``failed``: every end but success and skipped. ``unknown``: a success
without a result, such as one that a user has marked."""
MOST_NAMED = 1024
"""Teams that the dict names for one outcome: as many as Airflow maps over by default (``[core] max_map_length``)."""
_MOST_IN_ERROR = 20
_LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class TeamExport:
    """One team's export, as it ended."""

    map_index: int
    """Of the export's task, which Airflow's UI and logs go by."""
    state: str | None
    """Airflow's word; ``None`` for a task that has not begun."""
    team_id: str | None = None
    """``None`` where it is not known which team the task was for."""
    name: str | None = None
    result: Mapping[str, Any] | None = None
    """What the task returned: ``rows`` and ``bytes`` count here."""

    @property
    def outcome(self) -> str:
        """One of ``OUTCOMES``."""
        if self.state == "skipped":
            return "skipped"
        if self.state != "success":
            return "failed"
        rows = _number(self.result, "rows")
        if rows is None:
            return "unknown"
        return "delivered" if rows else "empty"

    @property
    def title(self) -> str:
        """The team in words, on one line."""
        if self.team_id is None:
            return f"map index {self.map_index}"
        name = _line(self.name or "")
        return f"{name} ({self.team_id})" if name and name != self.team_id else f"team {self.team_id}"


def summary(exports: Sequence[TeamExport], problem: str | None = None) -> dict[str, Any]:
    """Return what became of ``exports``, as plain JSON of bounded size.

    Args:
        exports: one for each team.
        problem: why there are none, or why some of them are lost.

    Returns:
        ``counts`` (``teams`` and each outcome), ``rows`` and ``bytes`` in total, ``problem``, and under each outcome a
        list of its first 1,024 teams: ``team_id``, ``name``, ``map_index``, and ``rows`` and ``bytes`` (delivered) or
        ``state`` (failed).
    """
    sorted_out = _by_outcome(exports)
    counts = {outcome: len(found) for outcome, found in sorted_out.items()}
    return {
        "counts": {"teams": len(exports), **counts},
        "rows": sum(_number(export.result, "rows") or 0 for export in exports),
        "bytes": sum(_number(export.result, "bytes") or 0 for export in exports),
        "problem": problem,
        **{outcome: [_entry(export) for export in found[:MOST_NAMED]] for outcome, found in sorted_out.items()},
    }


def news(exports: Sequence[TeamExport], task_id: str) -> Iterator[tuple[str, str]]:
    """Yield the log's lines, each with its outcome: the totals, then one for each team that was not delivered.

    The failed ones come first.

    Args:
        exports: one for each team.
        task_id: of the exports, where the reader goes on.
    """
    told = summary(exports)
    counts = told["counts"]
    parts = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome] or outcome == "failed")
    yield "delivered", f"{counts['teams']} teams: {parts}; {told['rows']:,} rows, {told['bytes']:,} bytes"
    for outcome in ("failed", *(each for each in OUTCOMES[1:] if each != "failed")):
        for export in _by_outcome(exports)[outcome]:
            yield outcome, f"{outcome}: {export.title}{_remark(export, task_id)}"


def failure(exports: Sequence[TeamExport], task_id: str) -> str | None:
    """Return the words of the error for teams that failed, or ``None`` if none did."""
    failed = _by_outcome(exports)["failed"]
    if not failed:
        return None
    titles = ", ".join(export.title for export in failed[:_MOST_IN_ERROR])
    more = f" and {len(failed) - _MOST_IN_ERROR} more" if len(failed) > _MOST_IN_ERROR else ""
    return (
        f"{len(failed)} of {len(exports)} teams not exported: {titles}{more}. Read why in the logs of {task_id}; "
        "clear its failed tasks, with those downstream, to export these teams again"
    )


def overwritten(exports: Sequence[TeamExport]) -> str | None:
    """Return the words of the error for teams whose files took each other's place, or ``None`` if all are there."""
    by_uri: dict[str, dict[object, TeamExport]] = {}
    for export in exports:
        uri = export.result.get("uri") if export.result else None
        if isinstance(uri, str):
            by_uri.setdefault(uri, {})[export.team_id or export.map_index] = export
    lost = next(((uri, list(found.values())) for uri, found in by_uri.items() if len(found) > 1), None)
    if lost is None:
        return None
    titles = ", ".join(export.title for export in lost[1][:_MOST_IN_ERROR])
    return (
        f"{len(lost[1])} teams were delivered to one object, {lost[0]}, and only one of them can be there: {titles}."
        " Let destination be a folder, or name the team in it, and leave use_server_name out"
    )


def _by_outcome(exports: Sequence[TeamExport]) -> dict[str, list[TeamExport]]:
    return {outcome: [export for export in exports if export.outcome == outcome] for outcome in OUTCOMES}


def _entry(export: TeamExport) -> dict[str, Any]:
    entry: dict[str, Any] = {"team_id": export.team_id, "name": export.name and _line(export.name)}
    entry["map_index"] = export.map_index
    if export.outcome == "delivered":
        entry |= {key: _number(export.result, key) for key in ("rows", "bytes")}
    elif export.outcome == "failed":
        entry["state"] = export.state
    return entry


def _remark(export: TeamExport, task_id: str) -> str:
    place = f"{task_id}, map index {export.map_index}"
    if export.outcome == "failed":
        ended = "" if export.state == "failed" else f" is {export.state or 'not begun'}:"
        return f" -{ended} see the log of {place}"
    if export.outcome == "unknown":
        return f" - {place} succeeded without a result"
    return ""


def _number(result: Mapping[str, Any] | None, key: str) -> int | None:
    value = result.get(key) if isinstance(result, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"
