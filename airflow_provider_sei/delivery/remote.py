"""Object stores through fsspec: three ways to publish in one step, by what a store's writer can do.

A killed process leaves nothing visible with the first two. Google discards an unfinished upload after a week, Azure
discards blocks when the same blob is written again, or after a week.
"""

from __future__ import annotations

import secrets
import tempfile
from contextlib import suppress
from typing import Any

from airflow_provider_sei.delivery.sinks import DESCRIPTORS, Worker

_BLOCK = 8 * 1024 * 1024  # bytes that a writer holds before it sends them


class RemoteObject:
    """The object that has, or will have, the final name: an ``ObjectStoragePath``."""

    def __init__(self, path: Any) -> None:
        self._fs: Any = path.fs
        self._name: str = path.path.lstrip("/")
        self._folder = self._name.rpartition("/")[0]
        # Without the Airflow connection that the path carries as the URL's user: s3://aws_default@lake/x.
        self.uri = f"{path.protocol}://{self._name}"

    def existing_size(self, name: str | None = None) -> int | None:
        """Return its size in bytes, or that of another object in its folder; ``None`` if there is none."""
        self._fs.invalidate_cache()
        try:
            info = self._fs.info(f"{self._folder}/{name}" if name else self._name)
        except FileNotFoundError:
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def remove(self, name: str) -> None:
        """Remove another object of its folder."""
        self._fs.rm_file(f"{self._folder}/{name}")
        self._fs.invalidate_cache()

    def open_existing(self) -> Any:
        """Open it to read its bytes."""
        return self._fs.open(self._name, "rb", block_size=_BLOCK)


class DeferredCommitSink(RemoteObject):
    """Stream into a writer whose commit can be deferred (Google Cloud Storage; S3 has a module of its own)."""

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        self._file: Any = self._fs.open(self._name, "wb", block_size=_BLOCK, autocommit=False)
        self._sender = Worker("sei-send", max_pending=1)
        self._is_closed = False

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        self._sender.add(self._file.write, data)

    def commit(self, *, replace: bool) -> None:  # noqa: ARG002 - checked before
        """Publish what was written."""
        self._sender.finish()
        self._sender.shutdown()
        self._file.close()
        self._file.commit()
        self._is_closed = True
        self._fs.invalidate_cache()

    def close(self) -> None:
        """Cancel the upload."""
        if self._is_closed:
            return
        self._is_closed = True
        self._sender.shutdown(cancel_futures=True)
        # fsspec cannot discard an open writer; closing it sends what it holds, still invisible.
        for end in (self._file.close, self._file.discard):  # if this fails, the store discards it after a week
            with suppress(Exception):
                end()


class SpooledSink(RemoteObject):
    """Spool to a local file, if possible without a name, and upload it when verified, in one step (Azure Blob)."""

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        make = tempfile.TemporaryFile if DESCRIPTORS.is_dir() else tempfile.NamedTemporaryFile
        self._spool: Any = make(prefix="sei-")

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        self._spool.write(data)

    def commit(self, *, replace: bool) -> None:
        """Upload what was written."""
        self._spool.flush()
        path = str(DESCRIPTORS / str(self._spool.fileno())) if DESCRIPTORS.is_dir() else self._spool.name
        self._upload(path, replace=replace)
        self._fs.invalidate_cache()
        self.close()

    def _upload(self, spooled: str, *, replace: bool) -> None:
        # Azure itself refuses to replace. By default, adlfs would send, and hold, 128 blocks of 4 MiB at the same time.
        self._fs.put_file(spooled, self._name, overwrite=replace, max_concurrency=4)

    def close(self) -> None:
        """Delete the local file."""
        self._spool.close()


class TempNameSink(SpooledSink):
    """Upload under a temporary name next to the final one, then move it there (any other store)."""

    def _upload(self, spooled: str, *, replace: bool) -> None:  # noqa: ARG002 - checked before
        parent, _, name = self._name.rpartition("/")
        temporary = f"{parent}/.sei-{secrets.token_hex(8)}-{name[-40:]}.part"
        self._fs.makedirs(parent, exist_ok=True)
        try:
            self._fs.put_file(spooled, temporary)
            # fsspec's own move is a copy and a removal, which may fail when the object is published.
            (self._fs.copy if self._fs.mv.__module__ == "fsspec.spec" else self._fs.mv)(temporary, self._name)
        finally:
            with suppress(Exception):
                self._fs.rm(temporary)
