"""Where a file goes and in which form, as a user configures it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from airflow_provider_sei.delivery.filenames import check_pattern, fill_pattern, full_pattern, pattern_fields
from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.arguments import parse_choice, parse_number

__all__ = ["Compression", "Destination", "Layout", "Overwrite"]

Layout = Literal["flat", "hive"]
Compression = Literal["keep", "gzip", "none"]
Overwrite = Literal["replace", "skip", "fail"]


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where a file goes and in which form. Build it with :meth:`from_arguments`."""

    url: str
    """A folder, a pattern or, once resolved, a full object name."""
    layout: Layout = "flat"
    compression: Compression = "keep"
    overwrite: Overwrite = "replace"
    timeout: float = 3600.0
    """Seconds for the whole transfer, including retries."""

    @classmethod
    def from_arguments(
        cls,
        url: object,
        *,
        layout: object = "flat",
        compression: object = "keep",
        overwrite: object = "replace",
        timeout: object = 3600.0,
    ) -> Destination:
        """Parse an operator's arguments.

        :param url: a folder (ending with a slash) or a full object name, as ``ObjectStoragePath`` takes it, or a local
            path. It may hold fields of the request in braces, such as ``{family}`` and ``{period}``.
        :param layout: of a folder: ``flat``, or ``hive`` with a folder for each family, period and team.
        :param compression: ``keep`` what the server sends, or store it as ``gzip`` or ``none``.
        :param overwrite: ``replace`` an older object, ``skip`` writing if its content is the same, or ``fail`` if there
            is one.
        :param timeout: seconds for the whole transfer, including retries.
        :raises SEIArgumentError: an argument is invalid; ``field`` names it.
        """
        text = url.strip() if isinstance(url, str) else ""
        if not text or not text.isprintable():
            msg = f"destination {url!r} is not a path or URL: give a folder ending with a slash, or a full object name"
            raise SEIArgumentError(msg, field="destination")
        scheme, separator, rest = text.partition("://")
        if separator and (not scheme or "/" not in rest):
            msg = f"destination {url!r} names no object: end it with a slash if it is a folder"
            raise SEIArgumentError(msg, field="destination")
        check_pattern(text)
        known_layout = parse_choice(layout, get_args(Layout), "layout")
        if known_layout == "hive" and not text.endswith("/"):
            msg = (
                f"layout 'hive' makes folders and a name of its own, but destination {text!r} is a full object name:"
                " end it with a slash if it is a folder, or leave layout out"
            )
            raise SEIArgumentError(msg, field="layout")
        return cls(
            url=text,
            layout=cast("Layout", known_layout),
            compression=cast("Compression", parse_choice(compression, get_args(Compression), "compression")),
            overwrite=cast("Overwrite", parse_choice(overwrite, get_args(Overwrite), "overwrite")),
            timeout=parse_number(timeout, "download_timeout", least=0.001, most=366 * 24 * 3600),
        )

    def needs(self, fields: Collection[str]) -> bool:
        """Return whether the object's name depends on one of these fields of an export."""
        return not pattern_fields(full_pattern(self.url, {}, hive=self.layout == "hive")).isdisjoint(fields)

    def resolve(self, fields: Mapping[str, str | None]) -> Destination:
        """Return the destination with its full object name; one that has it already is returned unchanged.

        :param fields: values of the request, as far as they are known. ``period`` is derived from ``date_start`` and
            ``date_end``.
        :raises SEIArgumentError: the name depends on a field without a value.
        """
        pattern = full_pattern(self.url, fields, hive=self.layout == "hive")
        return replace(self, url=fill_pattern(pattern, fields))
