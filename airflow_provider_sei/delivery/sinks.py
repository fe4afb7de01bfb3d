"""How an object appears at its destination: complete under its final name, or not at all.

Each store has its own way, chosen by the table in ``_open_sink``. A plain ``with path.open("wb")`` is not enough:
fsspec commits a partial object if the block raises.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from airflow_provider_sei.delivery.remote import DeferredCommitSink, SpooledSink, TempNameSink
from airflow_provider_sei.delivery.s3 import S3Sink
from airflow_provider_sei.exceptions import SEIArgumentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["LocalSink", "Sink", "open_folder"]

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "adl": "azure"}


class Sink(Protocol):
    """An object being written; invisible until ``commit``, gone with ``close`` before that."""

    uri: str

    def write(self, data: bytes) -> None:
        """Write the next bytes."""

    def commit(self, *, replace: bool) -> None:
        """Publish what was written under the final name.

        :raises FileExistsError: there is such an object, and ``replace`` is false.
        """

    def close(self) -> None:
        """Remove everything that was not committed. Harmless if called again."""

    def existing_size(self) -> int | None:
        """Return the size in bytes of the object that has the final name now, if any."""

    def existing_sha256(self) -> str:
        """Return the sha256 of the object that has the final name now, in hexadecimal."""


def open_folder(folder: str) -> Callable[[str], Sink]:
    """Return the function that opens a sink for an object of a given name.

    :param folder: a URL as ``ObjectStoragePath`` takes it, or a local path; it ends with a slash.
    :raises SEIArgumentError: the store's packages are not installed, or Airflow does not understand the URL.
    """
    if "://" not in folder:
        return lambda name: LocalSink(Path(folder).absolute() / name)
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        path = ObjectStoragePath(folder)
        path.fs  # noqa: B018 - created on first use, which may fail
    except (ImportError, ValueError) as error:
        extra = _EXTRAS.get(folder.partition("://")[0])
        advice = f"; install airflow-provider-sei[{extra}]" if extra else ""
        msg = f"destination {folder!r} cannot be written to: {error}{advice}"
        raise SEIArgumentError(msg, field="destination") from error
    return lambda name: _open_sink(path / name)


def _open_sink(path: ObjectStoragePath) -> Sink:
    match path.protocol:
        case "file" | "local" | "":
            return LocalSink(Path(path.path))
        case "s3" | "s3a" | "s3n":
            return S3Sink(path)
        case "gs" | "gcs":
            return DeferredCommitSink(path)
        case "abfs" | "abfss" | "adl" | "az":
            return SpooledSink(path)
        case _:
            return TempNameSink(path)


class LocalSink:
    """Write a file without a name, sync it, and link it to its name in one step.

    Such a file is gone with its process, even after ``kill -9``. File systems without them (NFS, some overlays) get a
    hidden file beside the target; a lock that ends with its writer lets the next delivery remove it.

    :raises SEIArgumentError: the target is a folder, or a device or the like.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self.uri = f"file://{target}"
        if target.is_dir():
            msg = f"destination {str(target)!r} is a folder: end it with a slash, or name a file"
            raise SEIArgumentError(msg, field="destination")
        if target.exists() and not target.is_file():
            # Linking would replace the device: /dev/null, for every process on this machine.
            msg = f"destination {str(target)!r} is a device, a pipe or a socket: name a file"
            raise SEIArgumentError(msg, field="destination")
        target.parent.mkdir(parents=True, exist_ok=True)
        # A hash, because the name itself may be too long to add to.
        prefix = f".sei-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"
        self._temporary = target.with_name(f"{prefix}{secrets.token_hex(8)}.part")
        for abandoned in target.parent.glob(f"{prefix}*.part"):
            with suppress(OSError), abandoned.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
                abandoned.unlink()
        self._is_named = False
        try:
            self._fd = _open_unnamed(target.parent)
        except OSError:
            self._fd = os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
            self._is_named = True
        with suppress(OSError):  # without locks, nothing is ever considered abandoned
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def commit(self, *, replace: bool) -> None:
        """Link the file to its name, once its bytes are on the disk."""
        os.fsync(self._fd)
        folder = os.open(self._target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not replace:
                self._link(self._target, folder)
            else:
                if not self._is_named:
                    self._link(self._temporary, folder)
                    self._is_named = True
                self._temporary.replace(self._target)
                self._is_named = False
            os.fsync(folder)
        finally:
            os.close(folder)
            self.close()

    def _link(self, name: Path, folder: int) -> None:
        # A folder's descriptor makes Python call linkat, which follows the link in /proc to the unnamed file.
        source = str(self._temporary) if self._is_named else f"/proc/self/fd/{self._fd}"
        os.link(source, name.name, src_dir_fd=folder, dst_dir_fd=folder)

    def close(self) -> None:
        """Remove what was not committed."""
        if self._fd < 0:
            return
        if self._is_named:
            self._temporary.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1

    def existing_size(self) -> int | None:
        """Return the size of the file that has the name now, if any."""
        return self._target.stat().st_size if self._target.exists() else None

    def existing_sha256(self) -> str:
        """Return the sha256 of the file that has the name now."""
        with self._target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _open_unnamed(folder: Path) -> int:
    if not hasattr(os, "O_TMPFILE") or not Path("/proc/self/fd").is_dir():
        msg = "no unnamed files here"
        raise OSError(msg)
    return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
