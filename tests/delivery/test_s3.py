"""What S3 alone offers: parts, conditions, and a list of what was left unfinished."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_sei.delivery import s3 as s3_module
from airflow_provider_sei.delivery.s3 import S3Sink
from tests.delivery.conftest import open_sink

MIB = 1024 * 1024


class Calls:
    """Notes the S3 calls that a file system makes; ``fail`` names those that fail."""

    def __init__(self, fs: Any) -> None:
        self.made: list[tuple[str, dict[str, Any]]] = []
        self.fail: dict[str, Exception] = {}
        self._call = fs.call_s3
        fs.call_s3 = self

    def __call__(self, method: str, **arguments: Any) -> Any:
        """Make the call."""
        self.made.append((method, {name: value for name, value in arguments.items() if name != "Body"}))
        if method in self.fail:
            raise self.fail[method]
        return self._call(method, **arguments)

    @property
    def names(self) -> list[str]:
        """The methods called, in order."""
        return [name for name, _ in self.made]


@pytest.fixture
def opened(s3: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[S3Sink, Calls]:
    """A sink, and the calls that it makes from now on."""
    sink = open_sink(s3.url, "x.csv")
    assert isinstance(sink, S3Sink)
    calls = Calls(sink._fs)
    monkeypatch.setattr(s3_module, "_PART", 5 * MIB)
    return sink, calls


class TestCalls:
    """As few as possible."""

    @pytest.mark.parametrize(("size", "parts"), [(0, 0), (2, 0), (10 * MIB, 2), (11 * MIB + 2, 3)])
    def test_parts_are_as_large_as_s3_wants_them(self, opened: Any, s3: Any, size: int, parts: int) -> None:
        """Whatever the sizes of the pieces written: only the last is smaller, and none is empty."""
        sink, calls = opened
        data = (bytes(range(256)) * (size // 256 + 1))[:size]
        for start in range(0, len(data), 700_001):
            sink.write(data[start : start + 700_001])
        sink.commit(replace=True)
        multipart = ["create_multipart_upload", *["upload_part"] * parts, "complete_multipart_upload"]
        assert calls.names == (multipart if parts else ["put_object"])
        assert [made["PartNumber"] for name, made in calls.made if name == "upload_part"] == [*range(1, parts + 1)]
        assert s3.objects() == {"x.csv": data}

    @pytest.mark.parametrize("size", [10, 6 * MIB])
    def test_an_object_that_must_be_new_is_asked_for_as_such(self, opened: Any, size: int) -> None:
        """S3 itself refuses if somebody else was faster."""
        sink, calls = opened
        sink.write(b"x" * size)
        sink.commit(replace=False)
        assert calls.made[-1][1]["IfNoneMatch"] == "*"


class TestTrouble:
    """What fails is not published, and not left."""

    @pytest.mark.parametrize("method", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
    def test_an_upload_that_fails_is_aborted(self, opened: Any, s3: Any, method: str) -> None:
        """With all of its parts; the error comes with the next part, or with the commit."""
        sink, calls = opened
        calls.fail[method] = OSError("slow down")
        sink.write(b"x" * 6 * MIB)
        with pytest.raises(OSError, match="slow down"):
            sink.commit(replace=True)
        sink.close()
        assert (s3.objects(), s3.unfinished()) == ({}, [])

    def test_more_parts_than_s3_takes_are_refused(self, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before the one too many is sent."""
        sink, calls = opened
        monkeypatch.setattr(s3_module, "_MAX_PARTS", 1)
        calls.fail["abort_multipart_upload"] = OSError("an abort that fails hides no error")
        with pytest.raises(OSError, match="more than 1 parts"):
            sink.write(b"x" * 11 * MIB)
        sink.close()
        assert calls.names.count("upload_part") == 1
        assert calls.names[-1] == "abort_multipart_upload"


class TestLeftBehind:
    """What a killed delivery has left behind."""

    @staticmethod
    def leave(sink: S3Sink, size: int = 6 * MIB) -> None:
        """Write some parts and go away without a word."""
        sink.write(b"x" * size)
        sink._sender.finish()

    def test_the_next_delivery_of_the_same_object_aborts_it(
        self, s3: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Once it has succeeded, and says so."""
        caplog.set_level(logging.INFO, "airflow_provider_sei")
        monkeypatch.setattr(s3_module, "_PART", 5 * MIB)
        self.leave(open_sink(s3.url, "x.csv"))
        assert s3.unfinished() == ["sei/x.csv"]
        sink = open_sink(s3.url, "x.csv")
        sink.write(b"a\n")
        assert s3.unfinished() == ["sei/x.csv"]
        sink.commit(replace=True)
        assert (s3.objects(), s3.unfinished()) == ({"x.csv": b"a\n"}, [])
        assert "an earlier delivery left behind" in caplog.text

    def test_uploads_to_other_objects_are_nobody_elses_business(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also when their names begin alike."""
        monkeypatch.setattr(s3_module, "_PART", 5 * MIB)
        self.leave(open_sink(s3.url, "x.csv.gz"))
        sink = open_sink(s3.url, "x.csv")
        sink.commit(replace=True)
        assert s3.unfinished() == ["sei/x.csv.gz"]

    def test_a_delivery_begun_later_is_left_alone(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is not one that was left behind."""
        monkeypatch.setattr(s3_module, "_PART", 5 * MIB)
        first, second = open_sink(s3.url, "x.csv"), open_sink(s3.url, "x.csv")
        second.write(b"x" * 6 * MIB)
        first.commit(replace=True)
        assert s3.unfinished() == ["sei/x.csv"]
        second.commit(replace=True)
        assert len(s3.objects()["x.csv"]) == 6 * MIB

    def test_a_key_that_may_not_list_uploads_delivers_nevertheless(self, s3: Any) -> None:
        """The right is not needed for anything else."""
        probe = open_sink(s3.url, "x.csv")
        assert isinstance(probe, S3Sink)
        calls = Calls(probe._fs)
        calls.fail["list_multipart_uploads"] = PermissionError("denied")
        sink = open_sink(s3.url, "x.csv")
        sink.commit(replace=True)
        assert calls.names == ["list_multipart_uploads", "put_object"]
