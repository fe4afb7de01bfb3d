"""The local disk: a file without a name until it is whole, or a hidden one that the next delivery clears away."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.delivery import sinks
from airflow_provider_sei.delivery.sinks import LocalSink
from airflow_provider_sei.exceptions import SEIArgumentError


@pytest.fixture(params=["unnamed", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system that knows files without a name, and one that does not."""
    if request.param == "named":

        def refuse(folder: Path) -> int:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), str(folder))

        monkeypatch.setattr(sinks, "_open_unnamed", refuse)
    return str(request.param)


def hidden(folder: Path) -> list[Path]:
    """Return the temporary files in ``folder``."""
    return list(folder.glob(".sei-*"))


@pytest.mark.parametrize("missing", ["O_TMPFILE", "/proc/self/fd"])
def test_a_system_without_unnamed_files_has_hidden_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Other systems than Linux, and containers without /proc."""
    if missing == "O_TMPFILE":
        monkeypatch.delattr(os, missing)
    else:
        monkeypatch.setattr(Path, "is_dir", lambda path: str(path) != missing and os.path.isdir(path))  # noqa: PTH112 - the method itself
    sink = LocalSink(tmp_path / "x.csv")
    sink.write(b"a\n")
    assert len(hidden(tmp_path)) == 1
    sink.commit(replace=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"a\n"]


class TestWhileWriting:
    """Before the last byte is verified."""

    def test_nothing_has_the_final_name(self, tmp_path: Path, kind: str) -> None:
        """And without a name there is nothing at all."""
        sink = LocalSink(tmp_path / "x.csv")
        sink.write(b"a\n" * 1_000_000)
        assert not (tmp_path / "x.csv").exists()
        assert len(list(tmp_path.iterdir())) == {"unnamed": 0, "named": 1}[kind]
        sink.close()
        assert list(tmp_path.iterdir()) == []

    def test_a_file_appears_at_once(self, tmp_path: Path, kind: str) -> None:
        """With the permissions of any new file."""
        sink = LocalSink(tmp_path / "x.csv")
        sink.write(b"a\n")
        sink.commit(replace=True)
        sink.close()
        plain = tmp_path / "plain"
        plain.touch()
        assert (tmp_path / "x.csv").read_bytes() == b"a\n"
        assert stat.S_IMODE((tmp_path / "x.csv").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
        assert hidden(tmp_path) == [], kind

    def test_a_reader_of_the_older_file_keeps_it(self, tmp_path: Path, kind: str) -> None:
        """Its bytes do not change under the reader's hands."""
        target = tmp_path / "x.csv"
        target.write_bytes(b"older")
        with target.open("rb") as reader:
            sink = LocalSink(target)
            sink.write(b"newer")
            sink.commit(replace=True)
            assert (reader.read(), target.read_bytes()) == (b"older", b"newer"), kind

    def test_the_bytes_are_on_the_disk_before_the_name(
        self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A power cut leaves the older file or the newer one, not an empty one."""
        synced: list[bool] = []
        sync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append((tmp_path / "x.csv").exists()) or sync(fd))
        sink = LocalSink(tmp_path / "x.csv")
        sink.commit(replace=True)
        assert synced == [False, True], kind

    def test_a_failed_commit_leaves_no_trace(self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not even of a file that had a hidden name already."""

        def fail(*_arguments: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        (tmp_path / "x.csv").write_bytes(b"older")
        sink = LocalSink(tmp_path / "x.csv")
        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="Input/output error"):
            sink.commit(replace=True)
        sink.close()
        assert [path.name for path in tmp_path.iterdir()] == ["x.csv"], kind


class TestLeftBehind:
    """What a killed delivery has left behind, where a file needs a name."""

    def test_the_next_delivery_of_the_same_name_removes_it(self, tmp_path: Path) -> None:
        """Its writer's lock has died with it."""
        killed = LocalSink(tmp_path / "x.csv")
        left = killed._temporary
        left.write_bytes(b"torso")
        LocalSink(tmp_path / "x.csv").close()
        assert not left.exists()
        killed.close()

    @pytest.mark.usefixtures("kind")
    def test_a_delivery_that_goes_on_is_left_alone(self, tmp_path: Path) -> None:
        """And so are those of other names."""
        going_on, other = LocalSink(tmp_path / "x.csv"), LocalSink(tmp_path / "y.csv")
        before = hidden(tmp_path)
        LocalSink(tmp_path / "x.csv").close()
        assert hidden(tmp_path) == before
        for sink in (going_on, other):
            sink.write(b"a\n")
            sink.commit(replace=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv", "y.csv"]

    def test_two_deliveries_at_once_both_end_well(self, tmp_path: Path, kind: str) -> None:
        """The later one stays."""
        sinks = [LocalSink(tmp_path / "x.csv") for _ in range(2)]
        for number, sink in enumerate(sinks):
            sink.write(str(number).encode())
        for sink in sinks:
            sink.commit(replace=True)
        assert (tmp_path / "x.csv").read_bytes() == b"1"
        assert hidden(tmp_path) == [], kind

    def test_a_file_system_without_locks_serves(
        self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then nothing is ever taken for abandoned."""

        def refuse(*_arguments: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", refuse)
        sink = LocalSink(tmp_path / "x.csv")
        LocalSink(tmp_path / "x.csv").close()
        sink.commit(replace=True)
        assert [path.name for path in tmp_path.iterdir()] == ["x.csv"], kind


FULL_DISK = """
import resource, sys
from contextlib import nullcontext
from types import SimpleNamespace
from airflow_provider_sei.delivery.pipeline import ExpectedFile, deliver
from airflow_provider_sei.delivery.destination import Destination

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
body = SimpleNamespace(headers={"content-length": "400000"}, chunks=lambda: iter([b"1,2\\n" * 25_000] * 4))
try:
    deliver(lambda: nullcontext(body), Destination.from_arguments(sys.argv[1]), ExpectedFile(description="the file"))
except Exception as error:
    print(type(error).__name__, error.retryable, error)
"""


def test_a_full_disk_leaves_the_older_file(tmp_path: Path) -> None:
    """The error says so; nothing else is left. A process may write no more than 100 kB here, as on a full disk."""
    target = tmp_path / "x.csv"
    target.write_bytes(b"older")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL_DISK, str(target)]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("SEIDownloadError True the file could not be stored at")
    assert "File too large" in shown
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.csv": b"older"}


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    """A task that runs as root could put a file in the place of /dev/null, under every process's feet."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for target in (pipe, link):
        with pytest.raises(SEIArgumentError, match="is a device, a pipe or a socket: name a file"):
            LocalSink(target)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert sorted(tmp_path.iterdir()) == [link, pipe]


def test_no_folder_can_be_made_below_a_file(tmp_path: Path) -> None:
    """The system's own words are kept for the one sentence that names the destination."""
    (tmp_path / "x.csv").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        LocalSink(tmp_path / "x.csv" / "y.csv")


def test_closing_does_not_touch_another_processes_descriptor(tmp_path: Path, kind: str) -> None:
    """A closed sink forgets its descriptor's number, which may be somebody else's by then."""
    sink = LocalSink(tmp_path / "x.csv")
    sink.close()
    mine: Any = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)
    sink.close()
    assert os.write(mine, b"still open") == 10, kind
    os.close(mine)
