"""How a file appears on a local disk: complete under its final name, or not at all.

Every kind of store has such a sink, an object being written. It is invisible until ``commit``, which may raise
``FileExistsError`` if ``replace`` is false. ``close`` removes everything that was not committed, and is harmless if
called again. A plain ``with path.open("wb")`` is not enough: fsspec commits a partial object if the block raises.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

DESCRIPTORS = Path("/proc/self/fd")


class Worker(ThreadPoolExecutor):
    """Run calls in order in one thread; at most ``max_pending`` of them run or wait, which bounds their memory."""

    def __init__(self, name: str, *, max_pending: int) -> None:
        super().__init__(1, thread_name_prefix=name)
        self._max_pending = max_pending
        self._pending: deque[Future[Any]] = deque()

    def add(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Queue a call; block while the queue is full. Raises what an earlier call raised."""
        self.finish(self._max_pending - 1)
        self._pending.append(self.submit(function, *arguments))

    def finish(self, pending: int = 0) -> None:
        """Wait until at most ``pending`` calls are left. Raises what one of them raised."""
        while len(self._pending) > pending:
            self._pending.popleft().result()


class LocalSink:
    """Write a file without a name, sync it, and link it to its name in one step.

    Such a file is gone with its process, even after ``kill -9``. File systems without them (NFS, some overlays) get a
    hidden file next to the target; a lock that ends with its writer lets the next delivery remove it.
    """

    def __init__(self, target: Path) -> None:
        self.check(target)
        self._target = target
        self.uri = f"file://{target}"
        target.parent.mkdir(parents=True, exist_ok=True)
        # A hash, because the name itself may be too long to add to.
        prefix = f".sei-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"
        self._temporary = target.with_name(f"{prefix}{secrets.token_hex(8)}.part")
        for abandoned in target.parent.glob(f"{prefix}*.part"):
            with suppress(OSError), abandoned.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
                abandoned.unlink()
        flags = os.O_WRONLY | os.O_CLOEXEC
        self._fd = -1
        with suppress(AttributeError, OSError):  # other systems than Linux, and some file systems
            if DESCRIPTORS.is_dir():
                self._fd = os.open(target.parent, os.O_TMPFILE | flags, 0o666)
        self._is_named = self._fd < 0
        if self._is_named:
            self._fd = os.open(self._temporary, os.O_CREAT | os.O_EXCL | flags, 0o666)
        with suppress(OSError):  # without locks, nothing is ever considered abandoned
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @staticmethod
    def check(target: Path) -> None:
        """Raise an error that writing ``target`` would end with, as far as that shows without writing."""
        if target.exists() and not target.is_file():
            # Linking would replace the device: /dev/null, for every process on this machine.
            kind = "folder: end it with a slash, or" if target.is_dir() else "device, a pipe or a socket:"
            raise IsADirectoryError(errno.EISDIR, f"it is a {kind} name a file")
        existing = next(parent for parent in target.parents if parent.exists())
        for name in target.relative_to(existing).parts:
            with suppress(FileNotFoundError):  # but not: the name is too long, or the parent is a file
                os.lstat(existing / name)
        if not os.access(existing, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def commit(self, *, replace: bool) -> None:
        """Link the file to its name, once its bytes are on the disk. Nothing is an error after that."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:  # of mounted file systems
                raise
        os.close(os.dup(self._fd))  # NFS, SMB and FUSE report some failed writes only here; the lock remains
        if not (replace and self._is_named):
            name = self._temporary if replace else self._target
            source = self._temporary if self._is_named else DESCRIPTORS / str(self._fd)
            try:
                # Any descriptor makes Python call linkat, which follows the link in /proc to the unnamed file.
                os.link(source, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except OSError:
                if not self._is_named or self._target.exists():
                    raise
                replace = True  # FAT, SMB and some FUSE have no links
        if replace:
            self._is_named = True
            self._temporary.replace(self._target)
            self._is_named = False
        self.close()
        with suppress(OSError):
            folder = os.open(self._target.parent, os.O_RDONLY | os.O_CLOEXEC)
            with suppress(OSError):
                os.fsync(folder)
            os.close(folder)

    def close(self) -> None:
        """Remove what was not committed."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError), os.fdopen(fd, "wb"):
                if self._is_named:
                    self._temporary.unlink(missing_ok=True)

    def existing_size(self, name: str | None = None) -> int | None:
        """Return the size of the file that has the name now, or of another one in its folder, if any."""
        path = self._target.with_name(name or self._target.name)
        return path.stat().st_size if path.is_file() else None

    def remove(self, name: str) -> None:
        """Remove another file of the folder."""
        self._target.with_name(name).unlink()

    def open_existing(self) -> Any:
        """Open the file that has the name now, to read its bytes."""
        return self._target.open("rb")
