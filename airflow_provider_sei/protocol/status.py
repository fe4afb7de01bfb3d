"""What an export's status means. Every decision about a status is taken here.

1. The word is compared without regard to case: some families answer ``completed``, others ``COMPLETED``.
2. A word we do not know means "wait": it is reported once, it is never a success, and the deadline bounds it.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["ExportStatus", "Verdict", "read_status"]


class Verdict(Enum):
    """What to do about an export."""

    WAIT = "wait"
    READY = "ready"
    DEAD = "dead"


class ExportStatus(Enum):
    """The documented statuses, and one for every word that is not documented."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def verdict(self) -> Verdict:
        """Whether to wait on, to download, or to give up."""
        return _VERDICTS[self]


_VERDICTS = {
    ExportStatus.QUEUED: Verdict.WAIT,
    ExportStatus.PROCESSING: Verdict.WAIT,
    ExportStatus.UNKNOWN: Verdict.WAIT,
    ExportStatus.COMPLETED: Verdict.READY,
    ExportStatus.FAILED: Verdict.DEAD,
    ExportStatus.CANCELLED: Verdict.DEAD,
}


def read_status(word: object) -> ExportStatus:
    """Return the status that ``word`` stands for; anything undocumented, missing or no text is ``UNKNOWN``."""
    if isinstance(word, str):
        try:
            return ExportStatus(word.strip().casefold())
        except ValueError:
            pass
    return ExportStatus.UNKNOWN
