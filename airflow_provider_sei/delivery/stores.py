"""Where a file goes, and how it appears there: whole under its final name, or not at all.

Every store has its own way to that, chosen by the table at the end:

* local disk: an unnamed file (or, where the file system has none, a hidden one beside the target), synced, then moved
  over the final name;
* stores whose fsspec writer can hold a commit back (S3, Google Cloud Storage): streamed, published by the commit;
* stores whose upload becomes visible in one step at its end (Azure Blob): spooled to a local temporary file, verified,
  then uploaded;
* any other: spooled, uploaded under a temporary key, then moved.

Plain ``with path.open("wb")`` is none of these: fsspec publishes a torso when the block raises.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from airflow_provider_sei.protocol.errors import SEIUsageError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["Sink", "open_sink", "resolve"]

_BLOCK = 8 * 1024 * 1024  # bytes of a multipart upload's part: s3fs's 50 MiB hold five times the memory


class Sink(Protocol):
    """An object being written. Exactly one of ``commit`` and ``discard`` ends it."""

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

    def discard(self) -> None:
        """Leave no trace. Harmless when called again, or after a failed ``commit``."""

    def existing_size(self) -> int | None:
        """Return the size of the object that has the final name now, or ``None`` if none has."""

    def existing_sha256(self) -> str:
        """Return the sha256 of the object that has the final name now, in hexadecimal."""


def resolve(destination: str) -> ObjectStoragePath:
    """Return the path that a destination stands for.

    Raises:
        SEIUsageError: the store's packages are not installed, or it is no URL that Airflow understands.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        path = ObjectStoragePath(destination if "://" in destination else f"file://{Path(destination).absolute()}")
        path.fs  # noqa: B018 - made on first use: here it can still be refused in good order
    except (ImportError, ValueError) as error:
        extra = _EXTRAS.get(destination.partition("://")[0])
        advice = f"; install airflow-provider-sei[{extra}]" if extra else ""
        msg = f"destination {destination!r} cannot be written to: {error}{advice}"
        raise SEIUsageError(msg, field="destination") from error
    return path


def open_sink(folder: ObjectStoragePath, name: str) -> Sink:
    """Return a sink for the object ``name`` in ``folder``."""
    path = folder / name
    if path.protocol in ("file", "local", ""):
        return _LocalSink(path)
    if path.protocol in _HOLDS_COMMITS:
        return _TransactionalSink(path)
    return _SpooledSink(path)


_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}
_HOLDS_COMMITS = frozenset({"s3", "s3a", "gs", "gcs"})
_UPLOADS_IN_ONE_STEP = frozenset({"abfs", "abfss", "az", "memory"})


class _LocalSink:
    def __init__(self, path: ObjectStoragePath) -> None:
        self._target = Path(path.path)
        self.uri = f"file://{self._target}"
        self._target.parent.mkdir(parents=True, exist_ok=True)
        if self._target.is_dir():
            msg = f"destination {str(self._target)!r} is a folder: end it with a slash, or name a file"
            raise SEIUsageError(msg, field="destination")
        self._named: Path | None = None
        try:
            # Without a name, the file is gone with the process, even after kill -9. Linux, most file systems.
            self._fd = os.open(self._target.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        except (OSError, AttributeError):
            self._named = self._temporary_name()
            self._fd = os.open(self._named, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)

    def _temporary_name(self) -> Path:
        return self._target.with_name(f".sei-{secrets.token_hex(8)}.part")

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def commit(self, *, replace: bool) -> None:
        os.fsync(self._fd)
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            if self._named is None:
                self._named = self._temporary_name()
                # A dir_fd makes Python call linkat, which follows the link in /proc to the unnamed file.
                os.link(f"/proc/self/fd/{self._fd}", self._named.name, src_dir_fd=folder, dst_dir_fd=folder)
            if replace:
                self._named.replace(self._target)
            else:
                os.link(self._named, self._target)  # fails if the name is taken
                self._named.unlink()
            self._named = None
            os.fsync(folder)
        finally:
            os.close(folder)
            self.discard()

    def discard(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._named is not None:
            self._named.unlink(missing_ok=True)
            self._named = None

    def existing_size(self) -> int | None:
        return self._target.stat().st_size if self._target.exists() else None

    def existing_sha256(self) -> str:
        with self._target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class _RemoteSink:
    def __init__(self, path: ObjectStoragePath) -> None:
        self._path = path
        self._fs: Any = path.fs
        self.uri = _public_uri(path)

    def existing_size(self) -> int | None:
        self._fs.invalidate_cache()
        if not self._fs.exists(self._path.path):
            return None
        return int(self._fs.info(self._path.path)["size"])

    def existing_sha256(self) -> str:
        digest = hashlib.sha256()
        with self._fs.open(self._path.path, "rb", block_size=_BLOCK) as file:
            while chunk := file.read(1024 * 1024):
                digest.update(chunk)
        return digest.hexdigest()

    def _refuse_existing(self, *, replace: bool) -> None:
        if not replace and self.existing_size() is not None:
            raise FileExistsError(self.uri)


class _TransactionalSink(_RemoteSink):
    def __init__(self, path: ObjectStoragePath) -> None:
        super().__init__(path)
        self._file: Any = self._fs.open(path.path, "wb", block_size=_BLOCK, autocommit=False)
        self._ended = False

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def commit(self, *, replace: bool) -> None:
        self._refuse_existing(replace=replace)
        self._file.close()
        self._file.commit()
        self._ended = True
        self._fs.invalidate_cache()

    def discard(self) -> None:
        if self._ended:
            return
        self._ended = True
        # Closing sends the last part, which discarding then aborts: fsspec's writer can't be discarded while open.
        with suppress(Exception):
            self._file.close()
        with suppress(NotImplementedError):
            self._file.discard()


class _SpooledSink(_RemoteSink):
    def __init__(self, path: ObjectStoragePath) -> None:
        super().__init__(path)
        self._spool: IO[bytes] = tempfile.NamedTemporaryFile(prefix="sei-")  # noqa: SIM115 - closed by commit or discard

    def write(self, data: bytes) -> None:
        self._spool.write(data)

    def commit(self, *, replace: bool) -> None:
        self._spool.flush()
        self._refuse_existing(replace=replace)
        final = self._path.path
        if self._path.protocol in _UPLOADS_IN_ONE_STEP:
            self._fs.put_file(self._spool.name, final, overwrite=True)
        else:
            parent, _, name = final.rpartition("/")
            temporary = f"{parent}/.sei-{secrets.token_hex(8)}-{name[-40:]}.part"
            self._fs.makedirs(parent, exist_ok=True)
            try:
                self._fs.put_file(self._spool.name, temporary)
                self._fs.mv(temporary, final)
            except BaseException:
                with suppress(Exception):
                    self._fs.rm_file(temporary)
                raise
        self._fs.invalidate_cache()
        self.discard()

    def discard(self) -> None:
        self._spool.close()


def _public_uri(path: ObjectStoragePath) -> str:
    # Without the Airflow connection that ObjectStoragePath carries as the URL's user: s3://aws_default@lake/x.
    return f"{path.protocol}://{path.path.lstrip('/')}"
