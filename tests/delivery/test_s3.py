"""What S3 alone offers: parts, conditions, and a list of what was left unfinished."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.delivery import s3 as s3_module
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.pipeline import check_destination
from airflow_provider_sei.delivery.s3 import S3Sink
from tests.delivery.conftest import open_sink, send

MIB = 1024 * 1024
LARGE = 6 * MIB  # bytes: two parts
EXTRA_ARGS = {"ServerSideEncryption": "aws:kms", "StorageClass": "STANDARD_IA", "ACL": "bucket-owner-read"}


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
        if "unconditional" in self.fail and "IfNoneMatch" in arguments:
            arguments["Body"].read() if "Body" in arguments else None
            raise self.fail["unconditional"]
        return self._call(method, **arguments)

    @property
    def names(self) -> list[str]:
        """The methods called, in order."""
        return [name for name, _ in self.made]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "_PART", 5 * MIB)


@pytest.fixture
def opened(s3: Any) -> tuple[S3Sink, Calls]:
    """A sink, and the calls that it makes from now on."""
    sink = open_sink(s3.url, "x.csv")
    return sink, Calls(sink._fs)


@pytest.mark.parametrize(("size", "parts"), [(0, 0), (2, 0), (10 * MIB, 2), (11 * MIB + 2, 3)])
def test_parts_are_as_large_as_s3_wants_them(opened: Any, s3: Any, size: int, parts: int) -> None:
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


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("conditions", [True, False])
def test_an_object_that_must_be_new_is_asked_for_as_such(*, opened: Any, s3: Any, size: int, conditions: bool) -> None:
    """S3 itself refuses if somebody else was faster. Some stores answer 501 to ``If-None-Match``."""
    sink, calls = opened
    if not conditions:
        calls.fail["unconditional"] = OSError(errno.ENOSYS, "A header implies functionality that is not implemented")
    sink.write(b"x" * size)
    sink.commit(replace=False)
    sent = [made.get("IfNoneMatch") for name, made in calls.made if name.startswith(("put", "complete"))]
    assert sent == (["*"] if conditions else ["*", None])
    assert len(s3.objects()["x.csv"]) == size


@pytest.mark.parametrize("method", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
def test_an_upload_that_fails_is_aborted(opened: Any, s3: Any, method: str) -> None:
    """With all of its parts; the error comes with the next part, or with the commit."""
    sink, calls = opened
    calls.fail[method] = OSError("slow down")
    sink.write(b"x" * LARGE)
    with pytest.raises(OSError, match="slow down"):
        sink.commit(replace=True)
    for _ in range(2):
        sink.close()
    assert (s3.objects(), s3.unfinished()) == ({}, [])


def test_more_parts_than_s3_takes_are_refused(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the one too many is sent."""
    sink, calls = opened
    monkeypatch.setattr(s3_module, "_MAX_PARTS", 1)
    calls.fail["abort_multipart_upload"] = OSError("an abort that fails hides no error")
    with pytest.raises(OSError, match="more than 1 parts"):
        sink.write(b"x" * 11 * MIB)
    sink.close()
    assert calls.names.count("upload_part") == 1
    assert calls.names[-1] == "abort_multipart_upload"


def test_the_next_delivery_aborts_what_a_killed_one_has_left(s3: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Of the same object, once it has succeeded, and says so; names that begin alike are other objects."""
    caplog.set_level(logging.INFO, "airflow_provider_sei")
    for name in ("x.csv", "x.csv.gz"):
        killed = open_sink(s3.url, name)
        killed.write(b"x" * LARGE)
        killed._sender.finish()
    sink = open_sink(s3.url, "x.csv")
    sink.write(b"a\n")
    assert s3.unfinished() == ["sei/x.csv", "sei/x.csv.gz"]
    sink.commit(replace=True)
    assert (s3.objects(), s3.unfinished()) == ({"x.csv": b"a\n"}, ["sei/x.csv.gz"])
    assert "an earlier delivery left behind" in caplog.text


def test_a_delivery_begun_later_is_left_alone(s3: Any) -> None:
    """It is not one that was left behind."""
    first, second = open_sink(s3.url, "x.csv"), open_sink(s3.url, "x.csv")
    second.write(b"x" * LARGE)
    first.commit(replace=True)
    assert s3.unfinished() == ["sei/x.csv"]
    second.commit(replace=True)
    assert len(s3.objects()["x.csv"]) == LARGE


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define the connection ``strict``."""

    def define(address: str, extra_args: dict[str, str]) -> None:
        service_config = {"s3": {"extra_args": extra_args}}
        extra = {"endpoint_url": address, "region_name": "us-east-1", "service_config": service_config}
        connection = {"conn_type": "aws", "login": "x", "password": "x", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_STRICT", json.dumps(connection))

    return define


@pytest.mark.parametrize("size", [10, LARGE])
def test_what_the_connection_says_is_sent(s3: Any, s3_address: str, connect: Any, size: int) -> None:
    """By each call that knows it: with one call, and with several."""
    connect(s3_address, EXTRA_ARGS)
    sink = open_sink(s3.url.replace("lake@", "strict@"), "x.csv")
    sink.write(b"x" * size)
    sink.commit(replace=True)
    found = sink._fs.call_s3("head_object", **sink._object)
    assert {name: found.get(name) for name in EXTRA_ARGS if name != "ACL"}.items() <= EXTRA_ARGS.items()
    assert len(s3.objects()["x.csv"]) == size


@pytest.mark.parametrize("extra_args", [{}, EXTRA_ARGS])
def test_a_policy_is_satisfied_or_told_once(raw_server: Any, connect: Any, extra_args: dict[str, str]) -> None:
    """The key may read neither the bucket nor unfinished uploads, which is no reason to refuse."""

    def answer(request: bytes) -> bytes:
        if request.startswith(b"PUT /lake/x.csv") and b"x-amz-server-side-encryption: aws:kms" in request:
            return b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
        error = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(error)
        return head if request.startswith(b"HEAD") else head + error

    server, url = raw_server(answer), "s3://strict@lake/x.csv"
    connect(server.origin, extra_args)
    check_destination(Destination.from_arguments(url))
    if extra_args:
        assert send(url, b"a\n1\n").rows == 1
        return
    with pytest.raises(exceptions.SEIArgumentError, match=r'Access Denied.*"extra_args"') as caught:
        send(url, b"a\n1\n")
    assert not caught.value.retryable
    assert sum(request.startswith(b"PUT") for request in server.received) == 1


def test_an_unknown_connection_is_refused() -> None:
    """Airflow would use the worker's own credentials, or none; for ``aws_default``, that may be meant."""
    with pytest.raises(exceptions.SEIArgumentError, match=r"my_s3.* isn't defined: destination 's3://my_s3@lake/"):
        check_destination(Destination.from_arguments("s3://my_s3@lake/x.csv"))
