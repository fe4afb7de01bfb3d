"""What a user says about one export and the wait for it, checked: its id, its times, and what to do about a dead one.

Every DAG file loads this module for the operators' checks, so it loads nothing of what a running task needs.
"""

from __future__ import annotations

import re
from math import isfinite

from airflow_provider_sei.protocol.checks import checked_choice
from airflow_provider_sei.protocol.errors import SEIUsageError

__all__ = [
    "LAYOUTS",
    "REUSED_FAILED",
    "checked_create_jitter",
    "checked_export_id",
    "checked_reused_failed",
    "checked_seconds",
    "checked_wait",
]

LAYOUTS = ("flat", "hive")
"""How files lie in a folder: side by side, or each in its partition's folders."""
REUSED_FAILED = ("fail", "retry")
"""What can be done about an older export that is handed out again although it has failed."""

_LONGEST_JITTER = 24 * 60 * 60.0
_LONGEST_WAIT = 366 * 24 * 3600.0  # seconds; Airflow fails over moments that are no dates any more


def checked_export_id(export_id: object) -> str:
    """Return ``export_id`` as text that is safe inside a URL path.

    Ids are opaque (``exp_7a8b9c0d`` in the documents, with no pattern promised), so only what would change the meaning
    of the URL is refused.

    Raises:
        SEIUsageError: empty, not text, or with blanks, slashes and the like.
    """
    text = export_id.strip() if isinstance(export_id, str) else ""
    if not text or len(text) > 200 or not text.isprintable() or re.search(r"[\s/\\?#%]|^\.+$", text):  # noqa: PLR2004 - no id is that long
        msg = f"export_id {str(export_id)[:80]!r} is not an export id; it is the text that creating an export returned"
        raise SEIUsageError(msg, field="export_id")
    return text


def checked_reused_failed(value: object) -> str:
    """Return the word of ``REUSED_FAILED`` that ``value`` is, in any case.

    Raises:
        SEIUsageError: it is none of them.
    """
    return checked_choice(value, REUSED_FAILED, "reused_failed")


def checked_wait(timeout: object, poll_interval: object) -> tuple[float, float | None]:
    """Return both as numbers, after rendering and before anything is sent.

    Args:
        timeout: seconds to wait at most, up to a year.
        poll_interval: seconds between two looks, at least 1; ``None`` or blank takes the growing schedule.

    Raises:
        SEIUsageError: one of them is no such number.
    """
    seconds = checked_seconds(timeout, "wait_timeout", least=0.0)
    if seconds > _LONGEST_WAIT:
        msg = f"wait_timeout must be a number of seconds, at least 0 and at most a year's, not {timeout!r}"
        raise SEIUsageError(msg, field="wait_timeout")
    return seconds, None if poll_interval in (None, "") else checked_seconds(poll_interval, "poll_interval", least=1.0)


def checked_seconds(value: object, field_name: str, *, least: float) -> float:
    """Return a duration as a number, after rendering.

    Raises:
        SEIUsageError: it is no number, or less than ``least``.
    """
    try:
        seconds = float(value)  # type: ignore[arg-type]  # a TypeError for no number is caught below
    except (TypeError, ValueError, OverflowError):
        seconds = float("nan")
    if isinstance(value, bool) or not isfinite(seconds) or seconds < least:
        msg = f"{field_name} must be a number of seconds, at least {least:g}, not {value!r}"
        raise SEIUsageError(msg, field=field_name)
    return seconds


def checked_create_jitter(value: object) -> float:
    """Return the seconds within which a create is spread by chance, after rendering and before anything is sent.

    Raises:
        SEIUsageError: it is no number from 0 to a day's seconds.
    """
    seconds = checked_seconds(value, "create_jitter", least=0.0)
    if seconds > _LONGEST_JITTER:
        msg = f"create_jitter must be a day at most ({_LONGEST_JITTER:.0f} seconds), not {value!r}"
        raise SEIUsageError(msg, field="create_jitter")
    return seconds
