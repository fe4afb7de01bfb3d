"""What S3 alone offers: parts, conditions, and a list of what was left unfinished."""

from __future__ import annotations

import errno
import json
import logging
from typing import Any, ClassVar

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.delivery import s3 as s3_module
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.pipeline import check_destination, deliver
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


class TestPolicy:
    """A bucket that demands headers, and a store that knows no conditions."""

    EXTRA_ARGS: ClassVar = {
        "ServerSideEncryption": "aws:kms",
        "StorageClass": "STANDARD_IA",
        "ACL": "bucket-owner-read",
    }

    @staticmethod
    def connect(monkeypatch: pytest.MonkeyPatch, address: str, extra_args: dict[str, str]) -> None:
        """Define the connection ``strict``."""
        extra = {
            "endpoint_url": address,
            "region_name": "us-east-1",
            "service_config": {"s3": {"extra_args": extra_args}},
        }
        connection = {"conn_type": "aws", "login": "x", "password": "x", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_STRICT", json.dumps(connection))

    @pytest.mark.parametrize("size", [10, 6 * MIB])
    def test_what_the_connection_says_is_sent(
        self, s3: Any, s3_address: str, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        """By each call that knows it: with one call, and with several."""
        self.connect(monkeypatch, s3_address, self.EXTRA_ARGS)
        sink = open_sink(s3.url.replace("lake@", "strict@"), "x.csv")
        sink.write(b"x" * size)
        sink.commit(replace=True)
        found = sink._fs.call_s3("head_object", **sink._object)
        assert {name: found.get(name) for name in self.EXTRA_ARGS if name != "ACL"}.items() <= self.EXTRA_ARGS.items()
        assert len(s3.objects()["x.csv"]) == size

    @pytest.mark.parametrize("extra_args", [{}, EXTRA_ARGS])
    def test_a_policy_is_satisfied_or_told_once(
        self, raw_server: Any, body: Any, expected: Any, monkeypatch: pytest.MonkeyPatch, extra_args: dict[str, str]
    ) -> None:
        """Bucket and unfinished uploads may not even be looked at, which is no reason to refuse."""

        def answer(request: bytes) -> bytes:
            if request.startswith(b"PUT /lake/x.csv") and b"x-amz-server-side-encryption: aws:kms" in request:
                return b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
            error = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(error)
            return head if request.startswith(b"HEAD") else head + error

        server = raw_server(answer)
        self.connect(monkeypatch, server.origin, extra_args)
        destination = Destination.from_arguments("s3://strict@lake/x.csv")
        check_destination(destination)
        if extra_args:
            assert deliver(body(b"a\n1\n"), destination, expected).rows == 1
            return
        with pytest.raises(exceptions.SEIArgumentError, match=r'Access Denied.*"extra_args"') as caught:
            deliver(body(b"a\n1\n"), destination, expected)
        assert not caught.value.retryable
        assert sum(request.startswith(b"PUT") for request in server.received) == 1

    def test_an_unknown_connection_is_refused(self) -> None:
        """Airflow would use the worker's own credentials, or none; for ``aws_default``, that may be meant."""
        with pytest.raises(exceptions.SEIArgumentError, match=r"my_s3.* isn't defined: destination 's3://my_s3@lake/"):
            check_destination(Destination.from_arguments("s3://my_s3@lake/x.csv"))

    @pytest.mark.parametrize("size", [10, 6 * MIB])
    def test_a_store_without_conditions_is_looked_at_instead(self, opened: Any, s3: Any, size: int) -> None:
        """Some answer 501 to ``If-None-Match``."""
        sink, calls = opened
        made = calls._call

        def refuse(method: str, **arguments: Any) -> Any:
            if "IfNoneMatch" in arguments:
                arguments["Body"].read() if "Body" in arguments else None
                raise OSError(errno.ENOSYS, "A header implies functionality that is not implemented")
            return made(method, **arguments)

        calls._call = refuse
        sink.write(b"x" * size)
        sink.commit(replace=False)
        assert len(s3.objects()["x.csv"]) == size

    def test_a_token_that_has_expired_is_not_the_last_word(
        self, opened: Any, body: Any, expected: Any, s3: Any
    ) -> None:
        """The next try gets another from the connection."""
        _, calls = opened
        calls.fail["put_object"] = PermissionError("The provided token has expired.")
        with pytest.raises(exceptions.SEIDownloadError, match="expired"):
            deliver(body(b"a\n1\n"), Destination.from_arguments(f"{s3.url}x.csv"), expected)
