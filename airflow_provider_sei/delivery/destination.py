"""Where a file goes and in which form, as a user says it. Imports nothing but the core: DAG files get here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from airflow_provider_sei.protocol.checks import checked_choice
from airflow_provider_sei.protocol.errors import SEIUsageError

__all__ = ["Compression", "Destination", "Overwrite"]

Compression = Literal["keep", "gzip", "none"]
Overwrite = Literal["replace", "skip", "fail"]


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the file goes and in which form. Build it with ``Destination.checked``."""

    url: str
    compression: Compression = "keep"
    overwrite: Overwrite = "replace"
    use_server_name: bool = False
    timeout: float = 3600.0
    """Seconds for the whole transfer, all tries together."""

    @classmethod
    def checked(
        cls,
        url: object,
        *,
        compression: object = "keep",
        overwrite: object = "replace",
        use_server_name: object = False,
        timeout: object = 3600.0,
    ) -> Destination:
        """Check a user's words.

        Args:
            url: a folder (ending with a slash) or a full object name, as ``ObjectStoragePath`` takes it, or a local
                path.
            compression: ``keep`` what the server sends, or make it ``gzip`` or ``none``.
            overwrite: ``replace`` an older object, ``skip`` writing if its content is the same, or ``fail`` if there is
                one.
            use_server_name: in a folder, take the server's file name instead of one made of the request.
            timeout: seconds for the whole transfer, all tries together.

        Raises:
            SEIUsageError: something cannot work; ``field`` names the argument.
        """
        text = url.strip() if isinstance(url, str) else ""
        if not text or not text.isprintable():
            msg = f"destination {url!r} is not a path or URL: give a folder ending with a slash, or a full object name"
            raise SEIUsageError(msg, field="destination")
        scheme, separator, rest = text.partition("://")
        if separator and (not scheme or "/" not in rest):
            msg = f"destination {url!r} names no object: end it with a slash if it is a folder"
            raise SEIUsageError(msg, field="destination")
        try:
            seconds = float(cast("Any", timeout))
        except (TypeError, ValueError):
            seconds = 0.0
        if not seconds > 0:
            msg = f"download_timeout must be a number of seconds above 0, not {timeout!r}"
            raise SEIUsageError(msg, field="download_timeout")
        return cls(
            url=text,
            compression=cast("Compression", checked_choice(compression, get_args(Compression), "compression")),
            overwrite=cast("Overwrite", checked_choice(overwrite, get_args(Overwrite), "overwrite")),
            use_server_name=str(use_server_name).strip().casefold() == "true",
            timeout=seconds,
        )

    @property
    def is_folder(self) -> bool:
        """Whether the file's name is ours to choose."""
        return self.url.endswith("/")
