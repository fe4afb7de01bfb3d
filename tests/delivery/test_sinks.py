"""Every store keeps the same promises: whole under the final name or not at all, and nothing left behind."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_sei import exceptions
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.pipeline import deliver
from airflow_provider_sei.delivery.sinks import open_folder
from airflow_provider_sei.hooks.sei import SEIHook

OLDER = b"older,content\n1,2\n"
LARGE = 15_000_000  # bytes: three parts of a multipart upload

# Faults that last: each try of a delivery meets them. With the words that the error must say.
SPOILED: dict[str, tuple[list[tuple[str, str, dict[str, Any]]], str]] = {
    "cut": ([("download", "cut", {"after_bytes": 100})], "IncompleteRead|cut off"),
    "reset": ([("download", "cut", {"after_bytes": 100, "reset": True})], "no answer"),
    "cut before the first byte": ([("download", "cut", {"after_bytes": 0})], "IncompleteRead|cut off"),
    "announced too long": ([("download", "content_length", {"delta": 10})], "IncompleteRead|cut off"),
    "announced too short": ([("download", "content_length", {"delta": -10})], "sizeBytes"),
    "damaged gzip": ([("download", "corrupt_gzip", {"where": "data"})], "damaged"),
    "cut gzip": ([("download", "corrupt_gzip", {"where": "trailer"})], "in the middle"),
    "another size": ([("status", "size_bytes", {"delta": 1})], "sizeBytes"),
    "nothing sent": ([("download", "empty", {})], "sizeBytes"),
    "a page": ([("download", "answer", {"status": 200, "body": "Sign in", "kind": "html"})], "HTML page|sizeBytes"),
    "JSON": ([("download", "answer", {"status": 200, "body": {"error": "no"}})], "server sent JSON"),
    "silence": ([("download", "stall", {"after_bytes": 100, "seconds": 60})], "timed out|Timeout"),
}


@pytest.fixture
def hook(sei_server: Any, worker_clock: Any, monkeypatch: pytest.MonkeyPatch) -> SEIHook:
    """A hook that waits not at all between tries; ``impatient`` waits only moments for the next byte, too."""
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_IMPATIENT", sei_server.connection_json(read_timeout=0.2))
    assert worker_clock.pauses == []
    return SEIHook("sei_default")


def export(hook: SEIHook) -> Any:
    """Return a completed export."""
    made = hook.create_export(
        family="productivity", team_id="456", date_start="2024-01-01", date_end="2024-03-31", metric_groups=["work"]
    )
    return hook.get_export("productivity", made.export_id)


class TestEveryStore:
    """One contract; the fixture ``store`` runs it on each."""

    def test_a_delivered_file_is_the_file(self, store: Any, hook: SEIHook, sei_server: Any) -> None:
        """Byte for byte, and its description tells the truth."""
        delivered = hook.download_export(export(hook), Destination.from_arguments(f"{store.url}x.csv"))
        [record] = sei_server.exports
        assert store.objects() == {"x.csv": record.csv}
        assert (delivered.bytes, delivered.rows, delivered.sha256) == (record.csv_bytes, record.rows, record.csv_sha256)
        assert delivered.uri.endswith("/x.csv")
        assert "@" not in delivered.uri
        assert store.unfinished() == []

    def test_escaped_names_are_written_as_they_are(self, store: Any, hook: SEIHook, sei_server: Any) -> None:
        """With equals and percent signs; so the file is found there, and not written again."""
        destination = Destination.from_arguments(store.url, layout="hive", overwrite="skip")
        fields = {"family": "productivity", "period": "2024-Q1", "org_tree_name": "R&D / Öst: 100%"}
        destination = destination.resolve(fields)
        first = hook.download_export(export(hook), destination)
        assert first.uri.endswith("/family=productivity/period=2024-Q1/org_tree=R&D %2F Öst%3A 100%25/productivity.csv")
        assert ObjectStoragePath(destination.url).read_bytes() == sei_server.exports[0].csv
        second = hook.download_export(export(hook), destination)
        assert (first.written, second.written) == (True, False)

    @pytest.mark.sei_server(compression="plain", download_bytes=LARGE)
    def test_a_large_file_is_the_file(self, store: Any, hook: SEIHook, sei_server: Any) -> None:
        """Also where it is sent in several parts."""
        delivered = hook.download_export(export(hook), Destination.from_arguments(f"{store.url}x.csv"))
        [record] = sei_server.exports
        assert {name: hashlib.sha256(data).hexdigest() for name, data in store.objects().items()} == {
            "x.csv": record.csv_sha256
        }
        assert (delivered.bytes, delivered.rows) == (LARGE, record.rows)
        assert store.unfinished() == []

    @pytest.mark.parametrize("trouble", list(SPOILED))
    def test_an_older_object_survives_every_fault(
        self, store: Any, hook: SEIHook, sei_server: Any, trouble: str
    ) -> None:
        """Its bytes stay, the error says what was wrong, and nothing else is left in the store."""
        store.put("x.csv", OLDER)
        found = export(hook)
        faults, words = SPOILED[trouble]
        for operation, effect, parameters in faults:
            sei_server.faults.add(operation, effect, times=None, **parameters)
        if trouble == "another size":
            found = hook.get_export("productivity", found.export_id)
        if trouble == "silence":
            hook = SEIHook("impatient")
        with pytest.raises((exceptions.SEIDownloadError, exceptions.SEIConnectionError), match=words) as caught:
            hook.download_export(found, Destination.from_arguments(f"{store.url}x.csv"))
        assert caught.value.retryable
        assert store.objects() == {"x.csv": OLDER}
        assert store.unfinished() == []

    @pytest.mark.sei_server(compression="plain", download_bytes=LARGE)
    def test_a_fault_after_the_first_parts_leaves_nothing(self, store: Any, hook: SEIHook, sei_server: Any) -> None:
        """What was sent to the store already is taken back."""
        store.put("x.csv", OLDER)
        found = export(hook)
        sei_server.faults.add("download", "cut", times=None, after_bytes=LARGE - 1000)
        with pytest.raises(exceptions.SEIConnectionError):
            hook.download_export(found, Destination.from_arguments(f"{store.url}x.csv"))
        assert store.objects() == {"x.csv": OLDER}
        assert store.unfinished() == []

    def test_a_fault_that_passes_is_overcome(self, store: Any, hook: SEIHook, sei_server: Any) -> None:
        """Each try starts from nothing."""
        sei_server.faults.add("download", "cut", times=2, after_bytes=700)
        hook.download_export(export(hook), Destination.from_arguments(f"{store.url}x.csv"))
        [record] = sei_server.exports
        assert store.objects() == {"x.csv": record.csv}

    def test_an_interrupted_delivery_leaves_nothing(self, store: Any, body: Any, expected: Any) -> None:
        """Whatever ends it: a signal's exception is no ``Exception``."""

        class Interruption(BaseException):
            pass

        def pieces() -> Any:
            yield b"a,b\n" + b"1,2\n" * 2_500_000
            raise Interruption

        opened = body(b"", content_length=1)
        broken = opened()
        broken.enter_result.chunks = pieces
        store.put("x.csv", OLDER)
        with pytest.raises(Interruption):
            deliver(lambda: broken, Destination.from_arguments(f"{store.url}x.csv"), expected)
        assert store.objects() == {"x.csv": OLDER}
        assert store.unfinished() == []

    def test_an_older_object_is_replaced(self, store: Any, body: Any, expected: Any) -> None:
        """By default."""
        store.put("x.csv", OLDER)
        assert deliver(body(b"a\n1\n"), Destination.from_arguments(f"{store.url}x.csv"), expected).written
        assert store.objects() == {"x.csv": b"a\n1\n"}

    def test_an_older_object_is_kept_if_asked(self, store: Any, body: Any, expected: Any) -> None:
        """``fail`` is an error that no retry mends."""
        store.put("x.csv", OLDER)
        destination = Destination.from_arguments(f"{store.url}x.csv", overwrite="fail")
        with pytest.raises(ValueError, match="exists already"):
            deliver(body(b"a\n1\n"), destination, expected)
        assert store.objects() == {"x.csv": OLDER}
        assert store.unfinished() == []

    def test_fail_creates_what_is_not_there(self, store: Any, body: Any, expected: Any) -> None:
        """It only refuses to replace."""
        deliver(body(b"a\n1\n"), Destination.from_arguments(f"{store.url}x.csv", overwrite="fail"), expected)
        assert store.objects() == {"x.csv": b"a\n1\n"}

    def test_an_object_that_appears_meanwhile_is_not_replaced(self, store: Any, body: Any, expected: Any) -> None:
        """``fail`` looks again when it publishes."""
        # The object appears behind a first block that is large enough to be passed on.
        opened = body(b"a\n" * 100_000, b"1\n")()
        pieces = opened.enter_result.chunks

        def put_and_go_on() -> Any:
            first, second = pieces()
            yield first
            store.put("x.csv", OLDER)
            yield second

        opened.enter_result.chunks = put_and_go_on
        destination = Destination.from_arguments(f"{store.url}x.csv", overwrite="fail")
        with pytest.raises(ValueError, match="exists already"):
            deliver(lambda: opened, destination, expected)
        assert store.objects() == {"x.csv": OLDER}
        assert store.unfinished() == []

    def test_the_same_content_is_not_written_again(self, store: Any, body: Any, expected: Any) -> None:
        """``skip`` compares what is there, byte for byte."""
        store.put("x.csv", OLDER)
        destination = Destination.from_arguments(f"{store.url}x.csv", overwrite="skip")
        delivered = deliver(body(OLDER), destination, expected)
        assert not delivered.written
        assert (delivered.bytes, delivered.sha256) == (len(OLDER), hashlib.sha256(OLDER).hexdigest())
        other = OLDER.replace(b"1", b"9")
        assert deliver(body(other), destination, expected).written
        assert store.objects() == {"x.csv": other}
        assert store.unfinished() == []

    def test_a_file_of_no_bytes_is_a_file(self, store: Any, body: Any, expected: Any) -> None:
        """The vendor's answer when there is nothing to report."""
        delivered = deliver(body(), Destination.from_arguments(f"{store.url}x.csv"), expected)
        assert (delivered.bytes, delivered.rows, delivered.header) == (0, 0, "")
        assert store.objects() == {"x.csv": b""}

    def test_the_store_gets_what_it_was_asked_to_keep(self, store: Any, body: Any, expected: Any) -> None:
        """Name and content agree in each form."""
        packed = gzip.compress(OLDER)
        deliver(body(packed), Destination.from_arguments(f"{store.url}keep.csv"), expected)
        deliver(body(packed), Destination.from_arguments(f"{store.url}none.csv.gz", compression="none"), expected)
        deliver(body(OLDER), Destination.from_arguments(f"{store.url}gzip.csv", compression="gzip"), expected)
        objects = store.objects()
        assert objects.pop("keep.csv.gz") == packed
        assert objects.pop("none.csv") == OLDER
        assert gzip.decompress(objects.pop("gzip.csv.gz")) == OLDER
        assert objects == {}

    def test_folders_are_created(self, store: Any, body: Any, expected: Any) -> None:
        """Also nested ones."""
        delivered = deliver(body(b"a\n1\n"), Destination.from_arguments(f"{store.url}a=1/b=2/x.csv"), expected)
        assert delivered.uri.endswith("/a=1/b=2/x.csv")

    def test_a_sink_that_is_closed_twice_minds_not(self, store: Any) -> None:
        """Before a commit and after it."""
        for commits in (False, True):
            sink = open_folder(store.url)("x.csv")
            sink.write(b"a\n")
            if commits:
                sink.commit(replace=True)
            sink.close()
            sink.close()
        assert store.objects() == {"x.csv": b"a\n"}

    def test_a_store_that_fails_is_an_error_that_names_it(self, store: Any, body: Any, expected: Any) -> None:
        """The destination is in the sentence; a retry may help."""
        url = store.url.replace("bucket-", "absent-").replace("/store/", "/store/x.csv/y/") + "z.csv"
        store.put("x.csv", OLDER)
        with pytest.raises(Exception, match="could not be stored at") as caught:
            deliver(body(b"a\n1\n"), Destination.from_arguments(url), expected)
        assert type(caught.value).__name__ == "SEIDownloadError"


@pytest.mark.parametrize("store", ["s3", "azure"], indirect=True)
def test_a_store_that_can_refuses_by_itself_to_replace(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes between the look and the publishing loses nothing."""
    sink = open_folder(store.url)("x.csv")
    sink.write(b"a\n1\n")
    store.put("x.csv", OLDER)
    monkeypatch.setattr(sink, "existing_size", lambda: None)
    with pytest.raises(FileExistsError):
        sink.commit(replace=False)
    sink.close()
    assert store.objects() == {"x.csv": OLDER}
