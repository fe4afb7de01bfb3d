"""What a user has written, read into the one form that is sent: days, names, choices and objects.

The rule of this file: text is what templates render to, so a list or an object may arrive as its text. What cannot be
understood is refused with the argument's name, before anything is sent; so is the text None, which a template renders
where it has nothing to say.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime
from typing import Any

from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.suggestions import did_you_mean

__all__ = [
    "checked_choice",
    "checked_date",
    "checked_mapping",
    "checked_names",
    "checked_period",
    "checked_text",
    "is_missing",
    "merged",
    "undocumented",
]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def checked_period(start: object, end: object) -> tuple[str, str]:
    """Return both days as yyyy-MM-dd.

    Raises:
        SEIUsageError: a day is missing or not yyyy-MM-dd, or the first comes after the last.
    """
    first, last = checked_date(start, "date_start"), checked_date(end, "date_end")
    if first > last:
        msg = f"date_start {first} comes after date_end {last}: swap or correct them"
        raise SEIUsageError(msg, field="date_start")
    return first, last


def checked_date(value: object, field_name: str) -> str:
    """Return ``value`` as yyyy-MM-dd, the only form that the vendor takes.

    Raises:
        SEIUsageError: missing, or no such day, or written in another way.
    """
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    text = value.strip() if isinstance(value, str) else value
    if text is None or text == "":
        msg = f"{field_name} is missing: give a day as yyyy-MM-dd"
        raise SEIUsageError(msg, field=field_name)
    _refuse_rendered_none(text, field_name)
    try:
        if not isinstance(text, str) or not _DATE.fullmatch(text):
            raise ValueError  # noqa: TRY301 - one message for both
        date.fromisoformat(text)
    except ValueError:
        msg = f"{field_name} {value!r} is not a day written yyyy-MM-dd (2024-01-31)"
        raise SEIUsageError(msg, field=field_name) from None
    return text


def checked_text(value: object, field_name: str) -> str | None:
    """Return text, or a number as text; ``None`` and blanks mean "not given".

    Raises:
        SEIUsageError: neither text nor a whole number, text that no encoding can carry, or the text None.
    """
    if value is None:
        return None
    text = _sendable(value, field_name)
    _refuse_rendered_none(text, field_name)
    return text or None


def is_missing(value: object) -> bool:
    """Return whether ``value`` is ``None`` or blank text, which both mean "not given"."""
    return value is None or (isinstance(value, str) and not value.strip())


def _refuse_rendered_none(text: object, field_name: str) -> None:
    # Airflow renders a template whose value is None to this word. Sent, it would ask for a team of that name.
    if text == "None":
        msg = (
            f"{field_name} is the text 'None', which a template renders to where its value is None: give it a value,"
            " or let the template say nothing ({{ ... or '' }})"
        )
        raise SEIUsageError(msg, field=field_name)


def _sendable(value: object, field_name: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        msg = f"{field_name} must be text, not {type(value).__name__}: {value!r}"
        raise SEIUsageError(msg, field=field_name)
    text = str(value).strip()
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = f"{field_name} {value!r} has half a character in it, which cannot be sent"
        raise SEIUsageError(msg, field=field_name) from None
    return text


def checked_names(value: object, field_name: str, *, separator: str | None = ",") -> tuple[str, ...]:
    """Return a name, or a list of names, as a tuple without repeats; ``None`` and blanks mean none.

    Args:
        value: a list, or text: one name, several with commas between, or a list as a template renders it
            (``"['PR_MERGED', 'CFR']"``).
        field_name: the argument, for messages.
        separator: what stands between names in text; ``None`` where a name may hold anything.

    Raises:
        SEIUsageError: neither text nor a list of texts.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        read = _unrendered(value) if value.lstrip().startswith("[") else None
        value = read if isinstance(read, list) else value.split(separator) if separator else [value]
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        msg = f"{field_name} must be a list of names, not {type(value).__name__}"
        raise SEIUsageError(msg, field=field_name)
    names: dict[str, None] = {}
    for name in value:
        if not isinstance(name, str):
            msg = f"{field_name} must be a list of names; {name!r} is not text"
            raise SEIUsageError(msg, field=field_name)
        text = _sendable(name, field_name)  # a workflow status may be called None
        if text:
            names[text] = None
    return tuple(names)


def checked_choice(value: object, known: tuple[str, ...], field_name: str) -> str:
    """Return the word of ``known`` that ``value`` is, in any case.

    Raises:
        SEIUsageError: it is none of them.
    """
    folded = value.strip().casefold() if isinstance(value, str) else None
    match = next((word for word in known if word.casefold() == folded), None)
    if match is None:
        msg = f"{field_name} {value!r} is not one of {', '.join(known)}{did_you_mean(value, known)}"
        raise SEIUsageError(msg, field=field_name)
    return match


def checked_mapping(value: object, field_name: str) -> dict[str, Any]:
    """Return a JSON object as a copy of our own; ``None`` and blanks mean an empty one.

    Args:
        value: a mapping, or its text as a template renders it.
        field_name: the argument, for messages.

    Raises:
        SEIUsageError: something else, or with a value in it that JSON has no form for (a date, NaN).
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    # Imported here: few DAG files have a mapping to check.
    from airflow_provider_sei.protocol.messages import encode_json

    read = _unrendered(value) if isinstance(value, str) else value
    if not isinstance(read, Mapping):
        msg = f"{field_name} must be a mapping, not {type(read).__name__}"
        raise SEIUsageError(msg, field=field_name)
    try:
        copy: dict[str, Any] = json.loads(encode_json(dict(read)))
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{field_name} cannot be sent as JSON ({error}): use text, numbers, booleans, lists and mappings in it"
        raise SEIUsageError(msg, field=field_name) from None
    return copy


def _unrendered(text: str) -> object:
    # Airflow renders a list or a dict to its Python text, "| tojson" renders it to JSON.
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return ast.literal_eval(text.strip())
    return text


def undocumented(names: Iterable[str], known: tuple[str, ...], field_name: str, what: str) -> list[str]:
    """Return a warning for each of ``names`` that is not among ``known``; the vendor may have added it since.

    Args:
        names: as the user gave them.
        known: the documented names; case does not matter.
        field_name: the argument, for the message.
        what: the exports concerned, in the plural.
    """
    folded = {name.casefold() for name in known}
    return [
        f"{field_name} has {name!r}, which is not documented for {what}{did_you_mean(name, known)}"
        for name in names
        if name.casefold() not in folded
    ]


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``body`` with ``extra`` laid over it: objects key by key, everything else replaced."""
    result = dict(body)
    for key, value in extra.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result
