"""Where a file goes, in which form, and under which name: a pattern with fields in braces, or a folder."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from importlib.util import find_spec
from typing import Any

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.periods import Period, period_label
from airflow_provider_sei.protocol.arguments import parse_choice, parse_mapping, parse_names, parse_number
from airflow_provider_sei.protocol.families import did_you_mean

FIELDS = (
    *("family", "team_id", "org_tree_name", "date_start", "date_end", "period", "export_id"),
    *("account", "project", "org", "manager", "scope", "fingerprint"),
)
# The file's name says whose data it has, but not which: a query reads every file of a partition, so a changed request
# has to replace the file that an earlier one left.
_HIVE = "family={family}/period={period}/%s/{family}_{scope}"
# As ``escapePathName`` of Hive's ``FileUtils`` and of Spark's ``ExternalCatalogUtils`` has it, read on 2026-11-23, so
# that both read the values back.
_HIVE_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{\[\]^]")
_ARROW = ("string", "int64", "float64", "bool", "date32", "timestamp[us]")
COLUMN_TYPES = dict(zip(("text", "integer", "number", "boolean", "date", "timestamp"), _ARROW, strict=True))
COLUMN_ARGUMENTS: dict[str, object] = {"output": "csv", "column_types": {}, "column_names": "keep"}
COLUMN_ARGUMENTS |= {"expect_columns": (), "on_schema_change": "fail"}
_COMPRESSIONS = {"csv": ("keep", "gzip", "none"), "parquet": ("keep", "zstd", "snappy", "gzip", "none")}
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where a file goes and in which form. Build it with :meth:`from_arguments`."""

    url: str
    """A folder, a pattern or, once resolved, a full object name."""
    layout: str = "flat"
    compression: str = "keep"
    overwrite: str = "replace"
    empty: str = "deliver"
    timeout: float = 3600.0
    file_format: str = "csv"
    output: str = "csv"
    column_types: Mapping[str, str] = field(default_factory=dict)
    column_names: str = "keep"
    expect_columns: Sequence[str] = ()
    on_schema_change: str = "fail"
    request: str = ""  # JSON without personal data, for the metadata of a Parquet file

    @classmethod
    def from_arguments(
        cls,
        url: object,
        *,
        layout: object = "flat",
        compression: object = "keep",
        overwrite: object = "replace",
        empty: object = "deliver",
        timeout: object = 3600.0,
        file_format: object = None,
        **columns: object,
    ) -> Destination:
        """Parse the arguments of a delivery, with the names and the meanings that ``SEIDeliveryOperator`` gives them.

        :param url: its ``destination``.
        :param timeout: its ``download_timeout``: seconds for the whole transfer, including retries.
        :param file_format: what the file is checked as and called after: ``csv`` (the default) or ``json``.
        :param columns: ``output``, ``column_types``, ``column_names``, ``expect_columns``, ``on_schema_change``.
        :raises SEIArgumentError: an argument is invalid; ``field`` names it.
        """
        file_format = parse_choice(file_format or "csv", ("csv", "json"), "file_format")
        columns = COLUMN_ARGUMENTS | columns
        output = parse_choice(columns["output"], _COMPRESSIONS, "output")
        text = _parse_url(url, "parquet" if output == "parquet" else file_format)
        layout = parse_choice(layout, ("flat", "hive"), "layout")
        types = parse_mapping(columns["column_types"], "column_types")
        names = parse_choice(columns["column_names"], ("keep", "snake"), "column_names")
        if file_format == "json" and (output == "parquet" or columns["expect_columns"]):
            msg = "output='parquet' and expect_columns are for exports as CSV: omit file_format"
            raise SEIArgumentError(msg, field="file_format")
        if output == "csv" and (types or names == "snake"):
            msg = "column_types and column_names are for output='parquet': a file is stored as the server sends it"
            raise SEIArgumentError(msg, field="output")
        if layout == "hive" and not text.endswith("/"):
            msg = f"layout 'hive' names the file, but destination {text!r} is a full object name: end it with a slash"
            raise SEIArgumentError(msg, field="layout")
        return cls(
            url=text,
            layout=layout,
            compression=parse_choice(compression, _COMPRESSIONS[output], "compression"),
            overwrite=parse_choice(overwrite, ("replace", "skip", "fail"), "overwrite"),
            empty=parse_choice(empty, ("deliver", "skip", "fail"), "empty"),
            timeout=parse_number(timeout, "download_timeout", least=0.001, most=366 * 24 * 3600),
            file_format=file_format,
            output=output,
            column_types={name: parse_choice(kind, COLUMN_TYPES, "column_types") for name, kind in types.items()},
            column_names=names,
            expect_columns=[*parse_names(columns["expect_columns"], "expect_columns", separator=None)],
            on_schema_change=parse_choice(columns["on_schema_change"], ("fail", "warn"), "on_schema_change"),
        )

    @property
    def fields(self) -> set[str]:
        """The fields of its name; for a folder, also those of the default name."""
        default = "{family}{period}{team_id}{org_tree_name}{scope}" if self.layout == "hive" else "{fingerprint}"
        return set(_BRACES.findall(self.url + (default if self.url.endswith("/") else "")))

    def resolve(self, fields: Mapping[str, Any]) -> Destination:
        """Return the destination with its full object name; one that has it already is returned unchanged.

        Values are percent-encoded as in Hive partitions: none adds a folder. Fields that are missing in ``fields`` stay
        in braces, to be resolved later.

        :param fields: values of :data:`FIELDS`; ``None`` and blanks mean "none". ``period`` is derived from
            ``date_start`` and ``date_end``. All of them are described by the metadata of a Parquet file.
        :raises SEIArgumentError: the name depends on a field without a value, or pyarrow is not installed.
        """
        pattern, request = self.url, self.request
        if pattern.endswith("/"):
            suffix = "parquet" if self.output == "parquet" else self.file_format
            pattern += f"{_default_name(fields, is_hive=self.layout == 'hive')}.{suffix}"
        if self.output == "parquet":
            if find_spec("pyarrow") is None:
                msg = "output 'parquet' needs pyarrow, which is not installed: install airflow-provider-sei[parquet]"
                raise SEIArgumentError(msg, field="output")
            request = request or json.dumps({key: fields[key] for key in fields if fields[key] and key != "export_id"})
        segments = []
        for segment in pattern.split("/"):
            filled = _BRACES.sub(lambda braces: _encoded(braces[1], fields, pattern), segment)
            # A value must not make a segment "." or "..", which would lead to another folder.
            is_relative = filled != segment and filled in {".", ".."}
            segments.append(filled.replace(".", "%2E") if is_relative else filled)
        return replace(self, url="/".join(segments), request=request)


def _parse_url(url: object, file_format: str) -> str:
    text = url.strip() if isinstance(url, str) else ""
    scheme, separator, rest = text.partition("://")
    last = text.rpartition("/")[2]
    unknown = next((name for name in _BRACES.findall(text) if name not in FIELDS), None)
    if not text or not text.isprintable():
        words = "is not a path or URL: give a folder ending with a slash, or a full object name"
    elif separator and (not scheme or "/" not in rest):
        words = "names no object: end it with a slash if it is a folder"
    elif local := re.match("(?:file|local):(?!///)/*", text, re.IGNORECASE):
        words = f"would be below the worker's working directory: write file:///{text[local.end() :]}"
    elif text.startswith("~"):
        words = "would be below the worker's working directory: write the home folder as an absolute path"
    elif unknown is not None:
        hint = did_you_mean(unknown, FIELDS) or f": it is not one of {', '.join(FIELDS)}"
        words = f"has an unknown field {{{unknown}}}{hint}"
    elif set(_BRACES.sub("", text)) & set("{}"):
        words = "has a brace without its counterpart: braces are for fields, such as {family}"
    elif separator and "{" in scheme + rest.partition("/")[0]:
        words = "has a field before its first folder: connection and bucket must be constant"
    elif last and (not last.strip(".") or "." not in _BRACES.sub("", last)):
        words = f"is neither a folder nor a file: end it with a slash ({text}/), or with the file's suffix ({text}.csv)"
    elif (suffix := re.search(r"\.(csv|json|parquet(?:\.gz)?)(?:\.gz)?$", text.lower())) and suffix[1] != file_format:
        words = f"ends like a {suffix[1].upper()} file, but the file is {file_format.upper()}"
    else:
        return text
    msg = f"destination {url!r} {words}"
    raise SEIArgumentError(msg, field="destination")


def _default_name(fields: Mapping[str, str | None], *, is_hive: bool) -> str:
    tree, team, manager = (fields.get(name) for name in ("org_tree_name", "team_id", "manager"))
    has_period = fields.get("date_start", "unknown")  # reference data have none
    if is_hive:
        levels = ["team={team_id}"] if team else ["org_tree={org_tree_name}"] if tree else []
        levels += ["manager={manager}"] if manager else []
        pattern = _HIVE % ("/".join(levels) or "team=__HIVE_DEFAULT_PARTITION__")
        return pattern if has_period else pattern.replace("period={period}/", "")
    if not fields.get("fingerprint"):
        return "{family}_{export_id}"
    # The fingerprint keeps requests apart that differ in less visible ways, such as their metrics.
    words = ["{family}"]
    for prefix, name in (("", tree), ("team-", team), ("manager-", manager)):
        if name:
            word = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name)).strip("-.")
            words.append(prefix + (word.encode()[:40].decode(errors="ignore") or "unnamed"))
    return "_".join((*words, ("{date_start}_{date_end}_" if has_period else "") + "{fingerprint}"))


def _encoded(name: str, fields: Mapping[str, str | None], pattern: str) -> str:
    value = fields.get(name)
    if name == "period" and not value and (start := fields.get("date_start")) and (end := fields.get("date_end")):
        value = period_label(Period(date.fromisoformat(start), date.fromisoformat(end)))
    if not value and name not in fields:
        return f"{{{name}}}"
    if not value:
        msg = f"destination {pattern!r} needs {{{name}}}, but this request has none"
        raise SEIArgumentError(msg, field="destination")
    value = value[:8] if name in ("scope", "fingerprint") else value
    return _HIVE_ESCAPED.sub(lambda char: f"%{ord(char[0]):02X}", value)
