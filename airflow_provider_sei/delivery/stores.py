"""Where a file goes, and how it appears there: whole under its final name, or not at all.

Every store has its own way to that, chosen by the table below. Plain ``with path.open("wb")`` is none of them: fsspec
publishes a torso when the block raises.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from airflow_provider_sei.delivery.local_disk import LocalSink
from airflow_provider_sei.delivery.remote import HeldBackSink, RenamingSink, SpooledSink
from airflow_provider_sei.delivery.s3 import S3Sink
from airflow_provider_sei.protocol.errors import SEIUsageError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["Sink", "sinks"]

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "adl": "azure"}


class Sink(Protocol):
    """An object being written; invisible until ``commit``, gone with ``close`` before that."""

    uri: str

    def write(self, data: bytes) -> None:
        """Take in the next bytes."""

    def commit(self, *, replace: bool) -> None:
        """Publish everything written under the final name.

        Args:
            replace: whether an object of that name may be replaced.

        Raises:
            FileExistsError: there is one, and it may not.
        """

    def close(self) -> None:
        """Leave no trace of anything that was not committed. Harmless when called again."""

    def existing_size(self) -> int | None:
        """Return the size in bytes of the object that has the final name now, or ``None`` if none has."""

    def existing_sha256(self) -> str:
        """Return the sha256 of the object that has the final name now, in hexadecimal."""


def sinks(folder: str) -> Callable[[str], Sink]:
    """Return the function that opens a sink for an object of a given name in ``folder``.

    Args:
        folder: a URL as ``ObjectStoragePath`` takes it, or a local path; it ends with a slash.

    Raises:
        SEIUsageError: the store's packages are not installed, or it is no URL that Airflow understands.
    """
    if "://" not in folder:
        return lambda name: LocalSink(Path(folder).absolute() / name)
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        path = ObjectStoragePath(folder)
        path.fs  # noqa: B018 - made on first use: here it can still be refused in good order
    except (ImportError, ValueError) as error:
        extra = _EXTRAS.get(folder.partition("://")[0])
        advice = f"; install airflow-provider-sei[{extra}]" if extra else ""
        msg = f"destination {folder!r} cannot be written to: {error}{advice}"
        raise SEIUsageError(msg, field="destination") from error
    return lambda name: _open_sink(path / name)


def _open_sink(path: ObjectStoragePath) -> Sink:
    match path.protocol:
        case "file" | "local" | "":
            return LocalSink(Path(path.path))
        case "s3" | "s3a" | "s3n":
            return S3Sink(path)
        case "gs" | "gcs":
            return HeldBackSink(path)
        case "abfs" | "abfss" | "adl" | "az":
            return SpooledSink(path)
        case _:
            return RenamingSink(path)
