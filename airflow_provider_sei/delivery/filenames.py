"""Names of delivered objects: a pattern with fields in braces, or a default name in a folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.periods import Period, period_label
from airflow_provider_sei.protocol.families import did_you_mean

__all__ = ["FIELDS", "check_pattern", "fill_pattern", "full_pattern", "pattern_fields", "with_matching_suffix"]

FIELDS = (
    *("family", "team_id", "org_tree_name", "date_start", "date_end", "period", "export_id"),
    *("account", "project", "org", "fingerprint"),
)
_FLAT = "{date_start}_{date_end}_{fingerprint}.csv"
_FLAT_BY_ID = "{family}_{export_id}.csv"
# The file's name says nothing else about the request: a query reads every file of a partition, so a changed request has
# to replace the file that an earlier one left.
_HIVE = "family={family}/period={period}/%s/{family}.csv"
# As ``escapePathName`` of Hive's ``FileUtils`` and of Spark's ``ExternalCatalogUtils`` has it, read on 2026-11-23, so
# that both read the values back.
_HIVE_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{\[\]^]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_FINGERPRINT_LENGTH = 8


def check_pattern(pattern: str) -> None:
    """Check the fields in a destination.

    :raises SEIArgumentError: an unknown field, a format, an unbalanced brace, or a field in the host or bucket.
    """
    for name in _BRACES.findall(pattern):
        if name not in FIELDS:
            hint = did_you_mean(name, FIELDS) or f": it is not one of {', '.join(FIELDS)}"
            msg = f"destination {pattern!r} has an unknown field {{{name}}}{hint}"
            raise SEIArgumentError(msg, field="destination")
    if set(_BRACES.sub("", pattern)) & set("{}"):
        msg = f"destination {pattern!r} has a brace without its counterpart: braces are for fields, such as {{family}}"
        raise SEIArgumentError(msg, field="destination")
    scheme, _, rest = pattern.rpartition("://")
    if scheme and "{" in scheme + rest.partition("/")[0]:
        msg = f"destination {pattern!r} has a field before its first folder: connection and bucket must be constant"
        raise SEIArgumentError(msg, field="destination")


def full_pattern(pattern: str, fields: Mapping[str, str | None], *, hive: bool) -> str:
    """Return ``pattern`` with the default name appended if it is a folder.

    The fingerprint in a flat name keeps requests apart that differ in less visible ways, such as their metrics:
    ``productivity_Engineering_team-456_2024-01-01_2024-12-31_3f9a1c2e.csv``.
    """
    if not pattern.endswith("/"):
        return pattern
    tree, team = fields.get("org_tree_name"), fields.get("team_id")
    if hive:
        scope = "team={team_id}" if team else "org_tree={org_tree_name}" if tree else "team=__HIVE_DEFAULT_PARTITION__"
        return pattern + _HIVE % scope
    if not fields.get("fingerprint"):
        return pattern + _FLAT_BY_ID
    words = ["{family}", _word(tree) if tree else "", f"team-{_word(team)}" if team else "", _FLAT]
    return pattern + "_".join(filter(None, words))


def fill_pattern(pattern: str, fields: Mapping[str, str | None]) -> str:
    """Return ``pattern`` with its fields replaced, percent-encoded like Hive partitions: no value adds a folder.

    :param fields: values for ``FIELDS``; ``None`` and blanks mean "none".
    :raises SEIArgumentError: there is no value for one of the fields.
    """

    def value_of(braces: re.Match[str]) -> str:
        name, value = braces[1], fields.get(braces[1])
        if name == "period" and not value and (start := fields.get("date_start")) and (end := fields.get("date_end")):
            value = period_label(Period(date.fromisoformat(start), date.fromisoformat(end)))
        if not value and name not in fields:
            return braces[0]  # resolved later
        if not value:
            msg = f"destination {pattern!r} needs {braces[0]}, but this request has none"
            raise SEIArgumentError(msg, field="destination")
        if name == "fingerprint":
            value = value[:_FINGERPRINT_LENGTH]
        return _HIVE_ESCAPED.sub(lambda char: f"%{ord(char[0]):02X}", value)

    segments = [(segment, _BRACES.sub(value_of, segment)) for segment in pattern.split("/")]
    # A value must not make a segment "." or "..", which would lead to another folder.
    return "/".join(
        filled.replace(".", "%2E") if filled != segment and filled in {".", ".."} else filled
        for segment, filled in segments
    )


def pattern_fields(pattern: str) -> frozenset[str]:
    """Return the names of the fields in a valid pattern."""
    return frozenset(_BRACES.findall(pattern))


def with_matching_suffix(name: str, *, gzipped: bool) -> str:
    """Return ``name`` ending with ``.gz`` exactly if the content is gzip."""
    is_named_gzip = name.casefold().endswith(".gz")
    if gzipped:
        return name if is_named_gzip else f"{name}.gz"
    return name[:-3] if is_named_gzip else name


def _word(text: str) -> str:
    word = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", text)).strip("-.")
    return word.encode()[:40].decode(errors="ignore") or "unnamed"
