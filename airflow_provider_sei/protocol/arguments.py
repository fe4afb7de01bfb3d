"""Parsers for what users write. A rendered template is text, so lists and mappings may arrive as their text.

Each raises :class:`~airflow_provider_sei.exceptions.SEIArgumentError` with the argument's name.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime
from typing import Any

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.families import did_you_mean

REUSED_FAILED = ("fail", "retry")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def is_missing(value: object) -> bool:
    """Return whether ``value`` is ``None`` or blank text, which both mean "not given"."""
    return value is None or (isinstance(value, str) and not value.strip())


def parse_text(value: object, field: str, *, may_be_none: bool = False) -> str | None:
    """Return text, or an integer as text; ``None`` if it is missing."""
    if value is None:
        return None
    msg, text = "", str(value).strip()
    if isinstance(value, bool) or not isinstance(value, str | int):
        msg = f"{field} must be text, not {type(value).__name__}"  # without the value: it may be an e-mail address
    elif re.search("[\ud800-\udfff]", text):
        msg = f"{field} has a lone surrogate, which cannot be encoded"
    elif text == "None" and not may_be_none:
        # Airflow renders a template whose value is None to this text, which would request a team of that name.
        msg = (
            f"{field} is the text 'None', which a template renders to if its value is None: give it a value,"
            " or render it to nothing ({{ ... or '' }})"
        )
    if msg:
        raise SEIArgumentError(msg, field=field)
    return text or None


def parse_date(value: object, field: str) -> str:
    """Return a day as yyyy-MM-dd, the only form that the vendor accepts."""
    if isinstance(value, date):
        return (value.date() if isinstance(value, datetime) else value).isoformat()
    text = parse_text(value, field)
    with suppress(ValueError):
        if text and _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    wrong = (
        f"{value!r} is not a day written yyyy-MM-dd (2024-01-31)" if text else "is missing: give a day as yyyy-MM-dd"
    )
    msg = f"{field} {wrong}"
    raise SEIArgumentError(msg, field=field)


def parse_period(start: object, end: object, is_known: Callable[[object], bool] | None = None) -> tuple[str, str]:
    """Return the first and the last day as yyyy-MM-dd.

    :param is_known: when a DAG is parsed; days that are not known yet, or both missing (the run's own period), are "".
    """
    days = {name: day for name, day in (("date_start", start), ("date_end", end)) if not is_known or is_known(day)}
    missing = [name for name, day in days.items() if is_missing(day)]
    if len(missing) == 1 and len(days) > 1:
        msg = f"{missing[0]} is missing: give both days as yyyy-MM-dd, or neither, to export the run's own period"
        raise SEIArgumentError(msg, field=missing[0])
    parsed = {name: parse_date(day, name) for name, day in days.items() if not is_known or name not in missing}
    first, last = parsed.get("date_start", ""), parsed.get("date_end", "")
    if last and first > last:
        msg = f"date_start {first} is after date_end {last}: swap or correct them"
        raise SEIArgumentError(msg, field="date_start")
    return first, last


def parse_names(value: object, field: str, *, separator: str | None = ",", positional: bool = False) -> tuple[str, ...]:
    """Return a name or a list of names as a tuple without duplicates; empty if it is missing.

    :param value: a list, or text: one name, several separated by commas, or a rendered list (``"['CFR']"``).
    :param separator: ``None`` if a name may contain commas.
    :param positional: keep duplicates and blanks, because positions count, and accept integers.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        rendered = _unrendered(value) if value.lstrip().startswith("[") else None
        value = rendered if isinstance(rendered, list) else value.split(separator) if separator else [value]
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        msg = f"{field} must be a list of names, not {type(value).__name__}"
        raise SEIArgumentError(msg, field=field)
    names = list(value)
    if wrong := [name for name in names if not isinstance(name, (str, int) if positional else str)]:
        msg = f"{field} must be a list of names; {wrong[0]!r} is not text"
        raise SEIArgumentError(msg, field=field)
    # A workflow status may be called None.
    texts = [parse_text(name, field, may_be_none=True) or "" for name in names]
    return tuple(texts if positional else dict.fromkeys(filter(None, texts)))


def parse_choice(value: object, choices: Iterable[str], field: str) -> str:
    """Return the choice that ``value`` is, in any case."""
    known = tuple(choices)
    folded = value.strip().casefold() if isinstance(value, str) else None
    match = next((choice for choice in known if choice.casefold() == folded), None)
    if match is None:
        msg = f"{field} {value!r} is not one of {', '.join(known)}{did_you_mean(value, known)}"
        raise SEIArgumentError(msg, field=field)
    return match


def parse_boolean(value: object, field: str) -> bool:
    """Return a boolean; ``"true"`` and ``"false"`` are accepted in any case."""
    word = str(value).strip().casefold()
    if word not in ("true", "false"):
        msg = f"{field} must be true or false, not {value!r}"
        raise SEIArgumentError(msg, field=field)
    return word == "true"


def parse_number(
    value: Any, field: str, *, least: float, most: float, unit: str = "seconds", whole: bool = False
) -> float:
    """Return a number from ``least`` to ``most``; a ``whole`` one is an integer."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(value, bool) or not least <= number <= most or (whole and not number.is_integer()):
        kind = "whole number" if whole else f"number of {unit}"
        msg = f"{field} must be a {kind} from {least:g} to {most:,.0f}, not {value!r:.60}"
        raise SEIArgumentError(msg, field=field)
    return int(number) if whole else number


def parse_mapping(value: object, field: str) -> dict[str, Any]:
    """Return a copy of a mapping, or of its text as a template renders it; empty if it is missing."""
    if is_missing(value):
        return {}
    read = _unrendered(value) if isinstance(value, str) else value
    if not isinstance(read, Mapping):
        msg = f"{field} must be a mapping, not {type(read).__name__}"
        raise SEIArgumentError(msg, field=field)
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(read), ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{field} cannot be sent as JSON ({error}): use text, numbers, booleans, lists and mappings in it"
        raise SEIArgumentError(msg, field=field) from None
    return copy


def parse_export_id(export_id: object) -> str:
    """Return an export id. Ids are opaque, so only what would change the meaning of a URL is rejected."""
    text = export_id.strip() if isinstance(export_id, str) else ""
    if not text or len(text) > 200 or not text.isprintable() or re.search(r"[\s/\\?#%]|^\.+$", text):  # noqa: PLR2004 - no id is that long
        msg = f"export_id {str(export_id)[:80]!r} is not an export id; use the text that creating an export returned"
        raise SEIArgumentError(msg, field="export_id")
    return text


def parse_reference_data(kind: object, org_tree_name: object) -> tuple[str, str | None]:
    """Return the kind of a table, and the organisation tree that it is limited to."""
    kind = parse_choice(kind, ("developers", "identities", "teams"), "kind")
    tree = parse_text(org_tree_name, "org_tree_name")
    if tree and kind != "teams":
        msg = f"org_tree_name is for teams only: SEI lists the {kind} of all trees together"
        raise SEIArgumentError(msg, field="org_tree_name")
    return kind, tree


def undocumented(names: Iterable[str], known: Iterable[str], field: str, exports: str) -> list[str]:
    """Return a warning for each name that is not documented: the vendor may have added it since."""
    documented = {name.casefold(): name for name in known}
    return [
        f"{field} has {name!r}, which is not documented for {exports}{did_you_mean(name, documented.values())}"
        for name in names
        if name.casefold() not in documented
    ]


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``body`` updated with ``extra``: mappings recursively, other values replaced."""
    result = dict(body)
    for key, value in extra.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _unrendered(text: str) -> object:
    # Airflow renders a list or a dict to its Python text, "| tojson" renders it to JSON.
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return ast.literal_eval(text.strip())
    return text
