"""Object stores by way of fsspec: three ways to publish at once, for what a store's writer can do.

* :class:`HeldBackSink`: the writer can hold its commit back (Google Cloud Storage; S3 has a module of its own);
* :class:`SpooledSink`: it can't, but an upload becomes visible in one step at its end (Azure Blob);
* :class:`RenamingSink`: not even that: uploaded under a temporary name, then moved.

A killed process leaves nothing visible behind with the first two. Google discards an unfinished upload after a week,
Azure the blocks of one as soon as the same blob is written again, or after a week.
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_sei.delivery.background import Background

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

__all__ = ["HeldBackSink", "RemoteObject", "RenamingSink", "SpooledSink"]

_BLOCK = 8 * 1024 * 1024  # bytes that a writer holds before it sends them
_READ = 1024 * 1024
_BLOCKS_AT_ONCE = 4
_DESCRIPTORS = Path("/proc/self/fd")


class RemoteObject:
    """The object that has, or will have, the final name."""

    def __init__(self, path: ObjectStoragePath) -> None:
        self._fs: Any = path.fs
        self._name: str = path.path.lstrip("/")
        # Without the Airflow connection that the path carries as the URL's user: s3://aws_default@lake/x.
        self.uri = f"{path.protocol}://{self._name}"

    def existing_size(self) -> int | None:
        """Return its size in bytes, or ``None`` if there is none."""
        self._fs.invalidate_cache()
        try:
            info = self._fs.info(self._name)
        except FileNotFoundError:
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def existing_sha256(self) -> str:
        """Return its sha256 in hexadecimal."""
        digest = hashlib.sha256()
        with self._fs.open(self._name, "rb", block_size=_BLOCK) as file:
            while chunk := file.read(_READ):
                digest.update(chunk)
        return digest.hexdigest()

    def _refuse_existing(self) -> None:
        if self.existing_size() is not None:
            raise FileExistsError(self.uri)


class HeldBackSink(RemoteObject):
    """Streams into a writer that publishes only when told."""

    def __init__(self, path: ObjectStoragePath) -> None:
        super().__init__(path)
        self._file: Any = self._fs.open(self._name, "wb", block_size=_BLOCK, autocommit=False)
        self._sending = Background("sei-send", ahead=1)
        self._ended = False

    def write(self, data: bytes) -> None:
        """Take in the next bytes."""
        self._sending.submit(self._file.write, data)

    def commit(self, *, replace: bool) -> None:
        """Publish what was written."""
        if not replace:
            self._refuse_existing()
        self._sending.finish()
        self._file.close()
        self._file.commit()
        self._ended = True
        self._fs.invalidate_cache()

    def close(self) -> None:
        """Cancel the upload."""
        if self._ended:
            return
        self._ended = True
        self._sending.abandon()
        # fsspec's writer can't be discarded while it is open; closing sends what it holds, visible to nobody.
        with suppress(Exception):
            self._file.close()
        with suppress(Exception):  # the store discards it by itself in a week
            self._file.discard()


class SpooledSink(RemoteObject):
    """Collects the bytes in a local file and uploads them once they are known to be right.

    Where the system can open a file without a name, the file has none, and is gone with its process.
    """

    def __init__(self, path: ObjectStoragePath) -> None:
        super().__init__(path)
        self._spool: IO[bytes] = _spool()

    def write(self, data: bytes) -> None:
        """Take in the next bytes."""
        self._spool.write(data)

    def commit(self, *, replace: bool) -> None:
        """Upload what was written."""
        self._spool.flush()
        if not replace:
            self._refuse_existing()
        self._upload(_path_of(self._spool), replace=replace)
        self._fs.invalidate_cache()
        self.close()

    def _upload(self, spooled: str, *, replace: bool) -> None:
        # Azure itself refuses when somebody else was faster. adlfs would send, and hold, 128 blocks of 4 MiB at once.
        self._fs.put_file(spooled, self._name, overwrite=replace, max_concurrency=_BLOCKS_AT_ONCE)

    def close(self) -> None:
        """Delete the local file."""
        self._spool.close()


class RenamingSink(SpooledSink):
    """Uploads under a temporary name beside the final one, then moves it there."""

    def _upload(self, spooled: str, *, replace: bool) -> None:  # noqa: ARG002 - looked at before
        parent, _, name = self._name.rpartition("/")
        temporary = f"{parent}/.sei-{secrets.token_hex(8)}-{name[-40:]}.part"
        self._fs.makedirs(parent, exist_ok=True)
        try:
            self._fs.put_file(spooled, temporary)
            self._fs.mv(temporary, self._name)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(temporary)
            raise


def _spool() -> IO[bytes]:
    return tempfile.TemporaryFile() if _DESCRIPTORS.is_dir() else tempfile.NamedTemporaryFile(prefix="sei-")


def _path_of(spool: IO[bytes]) -> str:
    return str(_DESCRIPTORS / str(spool.fileno())) if _DESCRIPTORS.is_dir() else spool.name
