"""What a delivered file is called.

The rules of this file: a name from the server is data, never a path; a name of our own depends on the request alone, so
that a repeated run writes the same object; and the ending always says what is inside (``.csv`` or ``.csv.gz``).
"""

from __future__ import annotations

import re
import unicodedata
from email.message import Message
from email.utils import collapse_rfc2231_value

__all__ = [
    "content_disposition_filename",
    "hive_folder",
    "hive_name",
    "request_name",
    "safe_filename",
    "with_matching_suffix",
]

_LONGEST = 150  # bytes of UTF-8; file systems and stores allow 255 a segment, and temporary names add to it
_GZIP_SUFFIX = ".gz"
_CSV_SUFFIX = ".csv"
_HIVE_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{\[\]^]")
_HIVE_NOTHING = "__HIVE_DEFAULT_PARTITION__"
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def safe_filename(name: object) -> str | None:
    """Return one path segment made of ``name``, or ``None`` if nothing usable is left of it.

    Only the last segment is kept, whichever slash divides it; control characters, wildcards and template braces become
    ``_``; leading dots and anything over 150 bytes go.
    """
    if not isinstance(name, str):
        return None
    text = unicodedata.normalize("NFC", name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    text = "".join(char if char.isprintable() and char not in '<>:"|?*{}%#[]$`;&~!' else "_" for char in text)
    text = re.sub(r"_{2,}", "_", text).strip(" .")
    if not text.strip("_") or _RESERVED.match(text):
        return None
    stem, suffix = _split_suffix(text)
    stem = stem[:_LONGEST]
    while len((stem + suffix).encode("utf-8", "replace")) > _LONGEST:
        stem = stem[:-1]
    return stem + suffix


def content_disposition_filename(header: str | None) -> str | None:
    """Return the file name of a ``Content-Disposition`` header, in its RFC 5987 or else its plain form, as sent."""
    if not header:
        return None
    message = Message()
    try:
        message["Content-Disposition"] = " ".join(header.splitlines())
        parameters = message.get_params([], "content-disposition")
        names = [value for name, value in parameters if name.casefold() == "filename"]
        # Where both forms are given, the encoded one is preferred (RFC 6266, 4.3). It is a tuple here.
        return next((collapse_rfc2231_value(name) for name in sorted(names, key=_is_plain)), None)
    except (ValueError, LookupError, UnicodeError):
        return None


def request_name(
    kind: str,
    *,
    date_start: str,
    date_end: str,
    fingerprint: str,
    org_tree_name: str | None = None,
    team_id: str | None = None,
) -> str:
    """Return the name that stands for a request: ``productivity_team-456_2024-01-01_2024-12-31_3f9a1c2e.csv``.

    Args:
        kind: the family's name, or ``team-report`` and the like.
        fingerprint: of the whole request. Its first eight characters keep two requests apart that differ in less
            visible ways, such as their metrics.
    """
    parts = [kind]
    if org_tree_name:
        parts.append(_word(org_tree_name))
    if team_id:
        parts.append(f"team-{_word(team_id)}")
    return "_".join([*parts, date_start, date_end, fingerprint[:8]]) + _CSV_SUFFIX


def hive_folder(kind: str, *, period: str, org_tree_name: str | None = None, team_id: str | None = None) -> str:
    """Return the folder of a request's partition: ``family=productivity/period=2024-01/team=456/``.

    An organisation tree has ``org_tree=<name>`` in the team's place, and any other scope the null partition of Hive.
    Special characters are percent-encoded as Hive and Spark do, so that these read the very names back. Source:
    ``escapePathName`` and its tests in Apache Hive's ``FileUtils`` and Spark's ``ExternalCatalogUtils``, read on
    2026-11-23.

    Args:
        kind: the family's name, or ``team-report`` and the like.
        period: its label.
        org_tree_name: left out where there is a team.
    """
    whose = ("org_tree", org_tree_name) if org_tree_name and not team_id else ("team", team_id)
    parts = (("family", kind), ("period", period), whose)
    return "".join(f"{key}={_hive_escaped(value or _HIVE_NOTHING)}/" for key, value in parts)


def hive_name(kind: str) -> str:
    """Return the name of the file in its Hive folder: ``productivity.csv``.

    It says nothing of the request. A query reads every file of a partition, and one that a changed request had left
    there would be counted a second time.
    """
    return kind + _CSV_SUFFIX


def with_matching_suffix(name: str, *, gzipped: bool) -> str:
    """Return ``name`` with an ending that tells the truth: ``.gz`` exactly when the content is gzip."""
    is_named_gzip = name.casefold().endswith(_GZIP_SUFFIX)
    if gzipped and not is_named_gzip:
        return f"{name}{_GZIP_SUFFIX}"
    if not gzipped and is_named_gzip:
        return name[: -len(_GZIP_SUFFIX)]
    return name


def _hive_escaped(text: str) -> str:
    return _HIVE_ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", text)


def _is_plain(value: str | tuple[str | None, str | None, str]) -> bool:
    return isinstance(value, str)


def _word(text: str) -> str:
    word = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", text)).strip("-.")
    return word.encode()[:40].decode(errors="ignore") or "unnamed"


def _split_suffix(name: str) -> tuple[str, str]:
    stem = re.sub(r"(?i)(\.csv)?(\.gz)?$", "", name)
    return stem, name[len(stem) :]
