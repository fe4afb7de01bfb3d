"""A file on a local disk: written without a name, synced, and then given its name in one step.

A file without a name is gone with its process, even after ``kill -9``. File systems that know none (NFS, some overlays)
get a hidden one beside the target; a lock that dies with its writer tells the next delivery that it may be removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from airflow_provider_sei.protocol.errors import SEIUsageError

__all__ = ["LocalSink"]


class LocalSink:
    """Writes one file; see :class:`airflow_provider_sei.delivery.stores.Sink`.

    Raises:
        SEIUsageError: the target is a folder, or a device or the like.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self.uri = f"file://{target}"
        if target.is_dir():
            msg = f"destination {str(target)!r} is a folder: end it with a slash, or name a file"
            raise SEIUsageError(msg, field="destination")
        if target.exists() and not target.is_file():
            # Giving the file its name would put it in the device's place: of /dev/null, for every process here.
            msg = f"destination {str(target)!r} is a device, a pipe or a socket: name a file"
            raise SEIUsageError(msg, field="destination")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = target.with_name(f"{self._temporary_start()}{secrets.token_hex(8)}.part")
        self._remove_abandoned()
        self._named = False
        try:
            self._fd = _open_unnamed(target.parent)
        except OSError:
            self._fd = os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
            self._named = True
        with suppress(OSError):  # a file system without locks: then nothing is ever taken for abandoned
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes) -> None:
        """Take in the next bytes."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def commit(self, *, replace: bool) -> None:
        """Give the file its name, once its bytes are on the disk."""
        os.fsync(self._fd)
        folder = os.open(self._target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if replace:
                self._link(self._temporary.name, folder)
                self._temporary.replace(self._target)
                self._named = False
            else:
                self._link(self._target.name, folder)
            os.fsync(folder)
        finally:
            os.close(folder)
            self.close()

    def _link(self, name: str, folder: int) -> None:
        # A folder's descriptor makes Python call linkat, which follows the link in /proc to the unnamed file.
        if self._named and name == self._temporary.name:
            return
        source = str(self._temporary) if self._named else f"/proc/self/fd/{self._fd}"
        os.link(source, name, src_dir_fd=folder, dst_dir_fd=folder)
        self._named = self._named or name == self._temporary.name

    def close(self) -> None:
        """Leave no trace."""
        if self._fd < 0:
            return
        if self._named:
            self._temporary.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1

    def existing_size(self) -> int | None:
        """Return the size of the file that has the name now."""
        return self._target.stat().st_size if self._target.exists() else None

    def existing_sha256(self) -> str:
        """Return the sha256 of the file that has the name now."""
        with self._target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _temporary_start(self) -> str:
        # Of the target's own, so that a delivery touches no other one's; the name itself may be too long to add to.
        return f".sei-{hashlib.sha256(os.fsencode(self._target.name)).hexdigest()[:16]}-"

    def _remove_abandoned(self) -> None:
        for left in self._target.parent.glob(f"{self._temporary_start()}*.part"):
            with suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
                left.unlink()


def _open_unnamed(folder: Path) -> int:
    """Return a descriptor of a file without a name in ``folder``.

    Raises:
        OSError: the file system, or the system, has none that could be named later.
    """
    if not hasattr(os, "O_TMPFILE") or not Path("/proc/self/fd").is_dir():
        msg = "no unnamed files here"
        raise OSError(msg)
    return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
