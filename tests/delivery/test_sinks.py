"""Every store keeps the same promises: whole under the final name or not at all, and nothing left behind."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_sei import exceptions
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.pipeline import check_destination
from airflow_provider_sei.delivery.sinks import LocalSink
from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.hooks.sei import SEIHook
from tests.delivery.conftest import PROCESSES, open_sink, send

OLDER = b"older,content\n1,2\n"
LARGE = 15_000_000  # bytes: three parts of a multipart upload

# Faults that last: each try of a delivery meets them. With the words that the error must say.
SPOILED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "cut": ("download", "cut", {"after_bytes": 100}, "IncompleteRead|cut off"),
    "reset": ("download", "cut", {"after_bytes": 100, "reset": True}, "no answer"),
    "cut before the first byte": ("download", "cut", {"after_bytes": 0}, "IncompleteRead|cut off"),
    "announced too long": ("download", "content_length", {"delta": 10}, "IncompleteRead|cut off"),
    "announced too short": ("download", "content_length", {"delta": -10}, "sizeBytes"),
    "damaged gzip": ("download", "corrupt_gzip", {"where": "data"}, "damaged"),
    "cut gzip": ("download", "corrupt_gzip", {"where": "trailer"}, "in the middle"),
    "another size": ("status", "size_bytes", {"delta": 1}, "sizeBytes"),
    "nothing sent": ("download", "empty", {}, "sizeBytes"),
    "a page": ("download", "answer", {"status": 200, "body": "Sign in", "kind": "html"}, "HTML page|sizeBytes"),
    "JSON": ("download", "answer", {"status": 200, "body": {"error": "no"}}, "server sent JSON"),
    "silence": ("download", "stall", {"after_bytes": 100, "seconds": 60}, "timed out|Timeout"),
}


class TestEveryStore:
    """One contract; the fixture ``store`` runs it on each."""

    def test_a_delivered_file_is_the_file(self, store: Any, hook: SEIHook, export: Any, sei_server: Any) -> None:
        """Byte for byte, and its description tells the truth."""
        delivered = hook.download_export(export, Destination.from_arguments(f"{store.url}x.csv"))
        [record] = sei_server.exports
        assert store.objects() == {"x.csv": record.csv}
        assert (delivered.bytes, delivered.rows, delivered.sha256) == (record.csv_bytes, record.rows, record.csv_sha256)
        assert delivered.uri.endswith("/x.csv")
        assert "@" not in delivered.uri
        assert ObjectStoragePath(delivered.destination).read_bytes() == record.csv
        assert (delivered.conn_id or "") == store.url.partition("://")[2].rpartition("@")[0]
        assert (Path(delivered.path).read_bytes() if delivered.path else record.csv) == record.csv
        assert bool(delivered.path) == delivered.uri.startswith("file:")
        assert store.unfinished() == []

    def test_escaped_names_are_written_as_they_are(
        self, store: Any, hook: SEIHook, export: Any, sei_server: Any
    ) -> None:
        """With equals and percent signs; so the file is found there, and not written again."""
        destination = Destination.from_arguments(store.url, layout="hive", overwrite="skip")
        fields = {"family": "ba", "period": "2024-Q1", "org_tree_name": "R&D / Öst: 100%", "scope": "3f9a1c2e"}
        destination = destination.resolve(fields)
        first = hook.download_export(export, destination)
        assert first.uri.endswith("/family=ba/period=2024-Q1/org_tree=R&D %2F Öst%3A 100%25/ba_3f9a1c2e.csv")
        assert ObjectStoragePath(destination.url).read_bytes() == sei_server.exports[0].csv
        second = hook.download_export(export, destination)
        assert (first.written, second.written) == (True, False)

    @pytest.mark.sei_server(compression="plain", download_bytes=LARGE)
    def test_a_large_file_is_the_file(self, store: Any, hook: SEIHook, export: Any, sei_server: Any) -> None:
        """Also where it is sent in several parts; those of one that is cut behind them are taken back."""
        destination = Destination.from_arguments(f"{store.url}x.csv")
        store.put("x.csv", OLDER)
        sei_server.faults.add("download", "cut", times=None, after_bytes=LARGE - 1000)
        with pytest.raises(exceptions.SEIConnectionError):
            hook.download_export(export, destination)
        assert (store.objects(), store.unfinished()) == ({"x.csv": OLDER}, [])
        sei_server.faults.clear()
        delivered = hook.download_export(export, destination)
        [record] = sei_server.exports
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in store.objects().items()}
        assert digests == {"x.csv": record.csv_sha256}
        assert (delivered.bytes, delivered.rows, store.unfinished()) == (LARGE, record.rows, [])

    @pytest.mark.parametrize("trouble", list(SPOILED))
    def test_an_older_object_survives_every_fault(
        self, *, store: Any, hook: SEIHook, export: Any, sei_server: Any, monkeypatch: pytest.MonkeyPatch, trouble: str
    ) -> None:
        """Its bytes stay, the error says what was wrong, and nothing else is left in the store."""
        store.put("x.csv", OLDER)
        operation, effect, parameters, words = SPOILED[trouble]
        sei_server.faults.add(operation, effect, times=None, **parameters)
        if trouble == "another size":
            export = hook.get_export("productivity", export.export_id)
        if trouble == "silence":
            monkeypatch.setenv("AIRFLOW_CONN_IMPATIENT", sei_server.connection_json(read_timeout=0.1))
            hook = SEIHook("impatient")
        with pytest.raises((exceptions.SEIDownloadError, exceptions.SEIConnectionError), match=words) as caught:
            hook.download_export(export, Destination.from_arguments(f"{store.url}x.csv"))
        assert caught.value.retryable
        assert (store.objects(), store.unfinished()) == ({"x.csv": OLDER}, [])

    def test_an_interrupted_delivery_leaves_nothing(self, store: Any) -> None:
        """Whatever ends it: a signal's exception is no ``Exception``."""

        class Interruption(BaseException):
            pass

        def body() -> Iterator[bytes]:
            yield b"a,b\n" + b"1,2\n" * 2_500_000
            raise Interruption

        store.put("x.csv", OLDER)
        with pytest.raises(Interruption):
            send(f"{store.url}x.csv", body=body(), headers={"content-length": "1"})
        assert (store.objects(), store.unfinished()) == ({"x.csv": OLDER}, [])

    def test_an_object_is_written(self, store: Any) -> None:
        """Where it must be new, and over an older one by default, also if it is empty."""
        for content, overwrite in ((b"a\n1\n", "fail"), (b"a\n2\n", "replace"), (b"", "replace")):
            delivered = send(f"{store.url}x.csv", content, overwrite=overwrite)
            assert store.objects() == {"x.csv": content}
            assert (delivered.written, delivered.bytes) == (True, len(content))

    @pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
    @pytest.mark.parametrize("meanwhile", [False, True])
    def test_an_older_object_is_kept_if_asked(self, *, store: Any, name: str, meanwhile: bool) -> None:
        """``fail`` is an error that no retry mends. Both names are checked, and again before publishing."""

        def body() -> Iterator[bytes]:
            yield b"a\n" * 100_000  # large enough to be passed on
            if meanwhile:
                store.put(name, OLDER)
            yield b"1\n"

        if not meanwhile:
            store.put(name, OLDER)
        with pytest.raises(ValueError, match=rf"{name} exists already"):
            send(f"{store.url}x.csv", body=body(), headers={"content-length": "200002"}, overwrite="fail")
        assert (store.objects(), store.unfinished()) == ({name: OLDER}, [])

    def test_the_same_content_is_not_written_again(self, store: Any) -> None:
        """``skip`` compares what is there, byte for byte."""
        store.put("x.csv", OLDER)
        delivered = send(f"{store.url}x.csv", OLDER, overwrite="skip")
        assert not delivered.written
        assert (delivered.bytes, delivered.sha256) == (len(OLDER), hashlib.sha256(OLDER).hexdigest())
        other = OLDER.replace(b"1", b"9")
        assert send(f"{store.url}x.csv", other, overwrite="skip").written
        assert (store.objects(), store.unfinished()) == ({"x.csv": other}, [])

    def test_a_request_leaves_one_object_however_it_is_compressed(self, store: Any) -> None:
        """A query would count both; an object of any other name stays."""
        others = dict.fromkeys(("x", "x.csv.gz.gz", "x.csv.old", "y.csv.gz"), OLDER)
        for name in others:
            store.put(name, OLDER)
        for compression, name in (("none", "x.csv"), ("gzip", "x.csv.gz"), ("none", "x.csv")):
            send(f"{store.url}x.csv", OLDER, compression=compression)
            assert store.objects().keys() == {name, *others}
        # Whoever was killed between publishing and removing leaves both; the next one removes it, if it writes or not.
        store.put("x.csv.gz", OLDER)
        assert not send(f"{store.url}x.csv", OLDER, overwrite="skip").written
        assert store.objects() == {"x.csv": OLDER, **others}

    def test_a_bucket_or_a_folder_that_is_none_is_refused(self, store: Any) -> None:
        """Before anything is asked of SEI, and after it, without another try."""
        url = store.url.replace("bucket-", "absent-").replace("/store/", "/store/x.csv/y/") + "z.csv"
        store.put("x.csv", OLDER)
        words = r"^there is no bucket or container 'absent-" if "absent-" in url else "cannot be written to"
        for check in (partial(check_destination, Destination.from_arguments(url)), partial(send, url, b"a\n1\n")):
            with pytest.raises(SEIArgumentError, match=words) as caught:
                check()
            assert (caught.value.field, caught.value.retryable) == ("destination", False)

    def test_a_place_that_can_be_written_to_is_not_refused(self, store: Any) -> None:
        """Nothing is written for that. A part of the name that is not known yet counts as nothing."""
        for name in ("", "x.csv", "new/x.csv", f"{{export_id}}/{'x' * 2000}.csv"):
            check_destination(Destination.from_arguments(store.url + name))
        assert (store.objects(), store.unfinished()) == ({}, [])


@pytest.mark.parametrize("store", ["s3", "azure"], indirect=True)
def test_a_store_that_can_refuses_by_itself_to_replace(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes between the look and the publishing loses nothing."""
    sink = open_sink(store.url, "x.csv")
    sink.write(b"a\n1\n")
    store.put("x.csv", OLDER)
    monkeypatch.setattr(sink, "existing_size", lambda: None)
    with pytest.raises(FileExistsError):
        sink.commit(replace=False)
    sink.close()
    assert store.objects() == {"x.csv": OLDER}


@pytest.fixture(params=["unnamed", "refused", "unknown", "no /proc"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A file system that knows files without a name, one that does not, another system than Linux, and a container."""
    if request.param == "refused":
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)  # EISDIR, as by a kernel that does not know the flag
    elif request.param == "unknown":
        monkeypatch.delattr(os, "O_TMPFILE")
    elif request.param == "no /proc":
        monkeypatch.setattr("airflow_provider_sei.delivery.sinks.DESCRIPTORS", tmp_path / "proc")
    return "unnamed" if request.param == "unnamed" else "named"


def _fail(code: int) -> Any:
    """Return a system call that fails."""
    return Mock(side_effect=OSError(code, os.strerror(code)))


def hidden(folder: Path) -> list[Path]:
    """Return the temporary files in ``folder``."""
    return list(folder.glob(".sei-*"))


class TestLocalSink:
    """A file without a name until it is complete, or a hidden one that the next delivery removes."""

    def test_a_file_appears_in_one_step(self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the permissions of any new file, once its bytes are on the disk; a reader of the older file keeps it."""
        target, plain = tmp_path / "x.csv", tmp_path / "plain"
        target.write_bytes(b"older")
        plain.touch()
        synced: list[bytes] = []
        sync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(target.read_bytes()) or sync(fd))
        with target.open("rb") as reader:
            sink = LocalSink(target)
            sink.write(b"newer")
            assert len(hidden(tmp_path)) == {"unnamed": 0, "named": 1}[kind]
            sink.commit(replace=True)
            sink.close()
            assert (reader.read(), target.read_bytes()) == (b"older", b"newer")
        assert synced == [b"older", b"newer"]  # the file, then its folder
        assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
        assert hidden(tmp_path) == []

    @pytest.mark.parametrize("call", ["os.fsync", "os.close", "pathlib.Path.replace", None])
    def test_what_is_not_committed_leaves_no_trace(
        self, *, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, call: str | None
    ) -> None:
        """A full quota may show only when bytes are flushed: by ``fsync`` or, on NFS, by ``close``."""
        (tmp_path / "x.csv").write_bytes(b"older")
        sink = LocalSink(tmp_path / "x.csv")
        sink.write(b"newer")
        if call:
            with monkeypatch.context() as patch:
                patch.setattr(call, _fail(errno.EDQUOT))
                with pytest.raises(OSError, match="quota"):
                    sink.commit(replace=True)
        sink.close()
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"], kind

    @pytest.mark.parametrize("replace", [True, False])
    @pytest.mark.parametrize("unsupported", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS])
    def test_a_mounted_file_system_may_lack_calls(
        self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, *, replace: bool, unsupported: int
    ) -> None:
        """SMB and some FUSE do not sync or lock, FAT has no links, and a folder may be writable but not readable."""
        refuse, open_file = _fail(unsupported), os.open
        monkeypatch.setattr(os, "fsync", refuse)
        monkeypatch.setattr(fcntl, "flock", refuse)
        if kind == "named":
            monkeypatch.setattr(os, "link", refuse)
        sink = LocalSink(tmp_path / "x.csv")
        unreadable = _fail(errno.EACCES)
        monkeypatch.setattr(
            os, "open", lambda path, *rest: (unreadable if path == tmp_path else open_file)(path, *rest)
        )
        LocalSink(tmp_path / "x.csv").close()
        sink.write(b"a\n")
        sink.commit(replace=replace)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.csv": b"a\n"}

    @pytest.mark.parametrize("call", ["fsync", "close", "unlink"])
    def test_nothing_fails_once_it_is_published(
        self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        """The file is there: an error would tell that nothing was published."""
        target = tmp_path / "x.csv"
        original = getattr(os, call)

        def fail_late(*arguments: Any) -> None:
            original(*arguments)
            if target.exists():
                _fail(errno.EIO)()

        monkeypatch.setattr(os, call, fail_late)
        sink = LocalSink(target)
        sink.commit(replace=False)
        sink.close()
        assert target.exists(), kind

    def test_a_folder_without_permission_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The nearest one that exists; these tests may run as root, who has every permission."""
        monkeypatch.setattr(os, "access", lambda path, *_, **__: path != tmp_path)
        with pytest.raises(SEIArgumentError, match="Permission denied"):
            check_destination(Destination.from_arguments(f"{tmp_path}/new/x/"))

    @pytest.mark.usefixtures("kind")
    def test_the_next_delivery_removes_what_a_dead_one_has_left(self, tmp_path: Path) -> None:
        """Its writer's lock has died with it; one that goes on is left alone, and so are those of other names."""
        with closing(LocalSink(tmp_path / "x.csv")) as dead:
            left = dead._temporary.with_suffix(".dead.part")
        left.write_bytes(b"torso")
        going_on, other = LocalSink(tmp_path / "x.csv"), LocalSink(tmp_path / "y.csv")
        assert not left.exists()
        before = hidden(tmp_path)
        LocalSink(tmp_path / "x.csv").close()
        assert hidden(tmp_path) == before
        later = LocalSink(tmp_path / "x.csv")
        for sink, data in ((going_on, b"1"), (other, b"2"), (later, b"3")):
            sink.write(data)
            sink.commit(replace=True)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.csv": b"3", "y.csv": b"2"}


def deliver_to_a_full_disk(url: str, output: Any) -> None:
    """Deliver more than the 100 kB that this process may write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        send(url, *[b"1,2\n" * 25_000] * 4)
    except exceptions.SEIDownloadError as error:
        output.send((error.retryable, str(error)))


def test_a_full_disk_leaves_the_older_file(tmp_path: Path) -> None:
    """The error says so; nothing else is left."""
    target = tmp_path / "x.csv"
    target.write_bytes(OLDER)
    receiving, sending = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=deliver_to_a_full_disk, args=(str(target), sending))
    process.start()
    sending.close()
    retryable, words = receiving.recv()
    process.join()
    assert retryable
    assert "the file could not be stored at" in words
    assert "File too large" in words
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.csv": OLDER}


def test_a_folder_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    """A task that runs as root could put a file in the place of /dev/null, under every process's feet."""
    with pytest.raises(IsADirectoryError, match="end it with a slash"):
        LocalSink(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for target in (pipe, link):
        with pytest.raises(IsADirectoryError, match="is a device, a pipe or a socket: name a file"):
            LocalSink(target)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert sorted(tmp_path.iterdir()) == [link, pipe]


def test_closing_does_not_touch_another_processes_descriptor(tmp_path: Path, kind: str) -> None:
    """A closed sink forgets its descriptor's number, which may be somebody else's by then."""
    sink = LocalSink(tmp_path / "x.csv")
    sink.close()
    mine: Any = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)
    sink.close()
    assert os.write(mine, b"still open") == 10, kind
    os.close(mine)
