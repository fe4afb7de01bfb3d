"""Any other store that fsspec knows: uploaded under a temporary name, then moved."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_sei.exceptions import SEIArgumentError, SEIDownloadError
from tests.delivery.conftest import send

URL = "memory://folder/sei/"


@pytest.fixture
def fs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store of a kind that this package has never heard of."""
    from airflow.sdk.io.store import attach

    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    fs = MemoryFileSystem()
    attach("memory", fs=fs)
    return fs


def objects(fs: Any) -> dict[str, bytes]:
    """Return everything that is there."""
    return {path.removeprefix("/folder/sei/"): fs.cat_file(path) for path in fs.find("/")}


def test_a_file_is_delivered(fs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also over an older one; the same content is not written again. It has another name while it is uploaded."""
    uploads: list[str] = []
    put = fs.put_file
    monkeypatch.setattr(fs, "put_file", lambda source, name: uploads.append(Path(name).name) or put(source, name))
    for data, written in ((b"a\n1\n", True), (b"a\n1\n2\n", True), (b"a\n1\n2\n", False)):
        delivered = send(f"{URL}x.csv", data, overwrite="skip")
        assert objects(fs) == {"x.csv": data}
        assert (delivered.uri, delivered.written) == (f"{URL}x.csv", written)
    assert [name.startswith(".sei-") for name in uploads] == [True, True]


@pytest.mark.parametrize("call", ["mv", "copy"])
def test_a_move_that_fails_leaves_the_older_object(fs: Any, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """And nothing beside it. A store without a move of its own gets a copy."""
    fs.pipe_file("/folder/sei/x.csv", b"older")
    monkeypatch.setattr(MemoryFileSystem, call, Mock(side_effect=OSError("the store is read-only")))
    with pytest.raises(SEIDownloadError, match=r"could not be stored at memory://.*read-only"):
        send(f"{URL}x.csv", b"a\n")
    assert objects(fs) == {"x.csv": b"older"}


@pytest.mark.parametrize("call", ["info", "rm_file"])
def test_an_older_object_that_cannot_be_removed_fails_no_delivery(
    fs: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    """The new one is published; a warning says that there may be two. A key may have no right to look or to delete."""
    allowed = getattr(fs, call)

    def refuse(name: str, *arguments: Any) -> Any:
        if name.endswith(".csv.gz"):
            raise PermissionError(name)
        return allowed(name, *arguments)

    fs.pipe_file("/folder/sei/x.csv.gz", b"older")
    monkeypatch.setattr(fs, call, refuse)
    assert send(f"{URL}x.csv", b"a\n1\n").written
    assert objects(fs) == {"x.csv": b"a\n1\n", "x.csv.gz": b"older"}
    [record] = caplog.records
    assert (record.levelname, "x.csv.gz" in record.getMessage()) == ("WARNING", True)


def test_what_another_delivery_publishes_meanwhile_is_not_removed(fs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at the same time could remove each other's object."""
    move = fs.mv
    monkeypatch.setattr(fs, "mv", lambda *names: (move(*names), fs.pipe_file("/folder/sei/x.csv.gz", b"newer")))
    send(f"{URL}x.csv", b"a\n")
    assert objects(fs).keys() == {"x.csv", "x.csv.gz"}


def test_a_copy_whose_source_cannot_be_removed_is_a_success(fs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object is published by then; a policy may forbid every removal."""
    for call in ("rm", "rm_file"):
        monkeypatch.setattr(MemoryFileSystem, call, Mock(side_effect=PermissionError))
    assert send(f"{URL}x.csv", b"a\n1\n").rows == 1
    assert objects(fs)["x.csv"] == b"a\n1\n"


class _AzureError(Exception):
    status_code = 403


@pytest.mark.parametrize(
    ("error", "lasts"),
    [
        *((error, True) for error in (PermissionError("no"), _AzureError("no"), OSError("Forbidden: b/x\nno"))),
        *((OSError(code, "no"), True) for code in (errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR)),
        *((OSError(code, "no"), False) for code in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOENT)),
        *((error, False) for error in (ConnectionResetError("no"), TimeoutError("no"), ValueError("no"))),
        (PermissionError("The token has expired, no"), False),  # the next try gets another from the connection
    ],
)
def test_a_refusal_that_lasts_is_not_retried(
    fs: Any, monkeypatch: pytest.MonkeyPatch, *, error: Exception, lasts: bool
) -> None:
    """In the words of the libraries of S3, Azure and Google, and of the operating system."""
    monkeypatch.setattr(fs, "put_file", Mock(side_effect=error))
    with pytest.raises(SEIArgumentError if lasts else SEIDownloadError, match="no") as caught:
        send(f"{URL}x.csv", b"a\n1\n")
    assert caught.value.retryable is not lasts
