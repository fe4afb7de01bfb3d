"""A server that means ill, or a proxy that knows no better, spoken to over a plain socket."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.exports import Export, ExportStatus
from airflow_provider_sei.protocol.report_request import ReportRequest

OLDER = b"older,content\n1,2\n"
CSV = b"a,b\n" + b"1,2\n" * 1000
Serve = Callable[..., None]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nConnection: close\r\n"


def with_length(body: bytes, head: bytes = OK) -> bytes:
    """Return a whole answer."""
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes) -> bytes:
    """Return a whole answer in one chunk."""
    return OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


@pytest.fixture
def serve(raw_server: Any, monkeypatch: pytest.MonkeyPatch, worker_clock: Any) -> Serve:
    """Make a server that sends the same bytes for each request, then others for as long as they are read."""
    assert worker_clock.pauses == []

    def start(answer: bytes, then: bytes = b"", read_timeout: float = 5) -> None:
        server = raw_server(lambda _: itertools.chain([answer], itertools.repeat(then) if then else ()))
        extra = {"project_identifier": "p", "org_identifier": "o", "read_timeout": read_timeout}
        connection = {"conn_type": "harness_sei", "host": server.origin, "password": "the-key", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))

    return start


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """An older file, where the new one is to go: it is there in the end, or the new one, and nothing else."""
    file = tmp_path / "x.csv"
    file.write_bytes(OLDER)
    yield file
    assert list(tmp_path.iterdir()) == [file]


def report(target: Path, **options: Any) -> Any:
    """Deliver a legacy report, whose size nothing promises."""
    spec = ReportRequest.from_arguments(
        collection_id="456", date_start="2024-01-01", date_end="2024-01-31", report_type="team", granularity="weekly"
    )
    return SEIHook("sei_default").download_report(spec, Destination.from_arguments(str(target), **options))


def export(target: Path, size: int) -> Any:
    """Deliver an export of a promised size."""
    found = Export(family="productivity", export_id="exp_1", status=ExportStatus.COMPLETED, size_bytes=size)
    hook = SEIHook("sei_default")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hook, "get_export", lambda *_arguments: found)
        return hook.download_export(found, Destination.from_arguments(str(target)))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        *(
            (with_length(body, OK.replace(b"200 OK", b"%d X" % status)), f"answered {status}")
            for status, body in itertools.product((202, 204, 205, 206, 226, 300, 304, 305, 306), (b"", CSV))
        ),
        (with_length(CSV)[:-1], "IncompleteRead"),
        (chunked(CSV)[:-5], "no answer"),
        (OK + b"\r\n" + CSV, "no length in any form"),
        (OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\n1\n\r\n0\r\n\r\n", "announced 9"),
        (with_length(gzip.compress(CSV)[:-9] + bytes(9), OK + b"Content-Encoding: gzip\r\n"), "damaged"),
        (with_length(CSV.decode().encode("utf-16")), "binary data"),
        (with_length(gzip.compress(gzip.compress(CSV))), "binary data"),
    ],
    ids=range(25),
)
def test_what_is_no_whole_file_is_refused(serve: Serve, target: Path, answer: bytes, words: str) -> None:
    """Nobody asked for a part, or for what has changed since; the report may not be ready yet."""
    serve(answer)
    with pytest.raises(exceptions.SEIError, match=words) as caught:
        report(target)
    assert caught.value.retryable or "answered" in words
    assert target.read_bytes() == OLDER


TRACE = b"java.lang.IllegalStateException: closed\n\tat com.example.Rows.next(Rows.java:12)\n\t... 23 more\n"
WIDE = b"a,b,c\n" + b"1,2,3\n" * 60_000  # several blocks


# A server that fails behind good rows, or whose own source is cut, ends its answer as well as any other.
@pytest.mark.parametrize("form", ["chunked", "length", "gzip", "stored as gzip"])
@pytest.mark.parametrize(
    ("rows", "end", "words"),
    [
        (CSV, b"ERROR: canceling statement\n", "row 1001, its last, has 1 instead of 2 cells"),
        (CSV, b'{"status":500,"error":"x","path":"/y"}', "row 1001, its last, has 3 instead of 2 cells"),
        (CSV, b'{"error": "x, y"}\n', "row 1001, its last, is an error message"),
        (CSV, b"<!DOCTYPE html><body>Bad\n, Gateway</body></HTML> \r\n", "row 1002, its last, is an error message"),
        (CSV + b"1,2", b"<html></html>", "row 1001, its last, is an error message"),
        (CSV, TRACE, "row 1003, its last, has 1 instead of"),
        (CSV, b"3", "row 1001, its last, has 1 instead of"),
        (CSV, b'"x\ny\nz"\r\n\r\n', "row 1001, its last, has 1 instead of"),
        (CSV, b'"x""\n{""', "row 1001, its last, has 1 instead of"),
        (b"", b"a,b,c\nERROR\n", "row 1, its last, has 1 instead of 3 cells"),
        (WIDE, b"1,2", "row 60001, its last, has 2 instead of 3 cells"),
        (WIDE, b"1,2,3,4\n", "row 60001, its last, has 4 instead of 3 cells"),
        (b"WARNING: slow\n" + WIDE, b"", "row 60001, its last, has 3 instead of 1 cells"),
        (b"a;b;c\n1,5;2;3\n", b"1,5;2", "row 2, its last, has 2 instead of 3 cells"),
        (b"name\nx\n", b"ERROR: closed\n", "row 2, its last, is an error message"),
        (b"name\nx\n", TRACE + b"\n", "row 4, its last, is an error message"),
        (b"name\nx\n", TRACE[:40], "row 2, its last, is an error message"),
        (b"name\nx\n", b'{\n  "error": "x"\n}\n', "row 4, its last, is an error message"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_record_is_not_delivered(
    *, serve: Serve, target: Path, rows: bytes, end: bytes, words: str, form: str
) -> None:
    """The message has its number, never its text; another try may get the whole file."""
    packed = gzip.compress(rows + end, mtime=0)
    head = OK + b"Content-Encoding: gzip\r\n"
    answers = {"chunked": chunked(rows + end), "length": with_length(rows + end)}
    serve((answers | {"gzip": with_length(packed, head), "stored as gzip": chunked(packed)})[form])
    with pytest.raises(exceptions.SEIDownloadError, match=words) as caught:
        report(target)
    assert "the file is not a complete CSV file" in str(caught.value)
    assert end.strip()[:9].decode() not in str(caught.value) or end in {b"3", b""}
    assert caught.value.retryable
    assert target.read_bytes() == OLDER


@pytest.mark.parametrize(
    "data",
    [
        WIDE,
        b"a,b,\n1,2\n",
        b"a,b\n1,2,\n",
        b'a,b\n1,"2\n3\n{""error"": 4}"\n\r\n',
        b"a;b\n1,5;2,5\n",
        b"name\nError\n",
        b'name\n"x\nERROR: y"\n',
        b"a,b,c\n",
        b'a,b\n1,x,"2\n3,4\n',
        b"a,b\n" + b"1," + b"x" * 300_000,
        b"name\n" + b"x" * 120_000,
        b"a,b\n1,2\n" + b"\n" * 300_000,
        "a,b\né,ü\n".encode("latin-1"),
    ],
    ids=range(13),
)
def test_what_may_be_a_record_is_delivered(serve: Serve, target: Path, data: bytes) -> None:
    """A separator behind the last cell, texts like errors within quotes, a stray quote, a long cell."""
    serve(chunked(data))
    report(target)
    assert target.read_bytes() == data


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_a_body_that_is_larger_than_promised_is_left_at_once(serve: Serve, target: Path, size: int) -> None:
    """Not when the disk is full or the hour is over: its end is never reached."""
    serve(OK + b"Transfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b"1,2\n" * 8192 + b"\r\n") * 400)
    with pytest.raises(exceptions.SEIDownloadError, match=f"sizeBytes {size}, received were"):
        export(target, size)
    assert target.read_bytes() == OLDER


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (chunked(CSV)[:-2], b"X-More: 1\r\n"),  # after the last chunk
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"000000000000"),  # a chunk's length
    ],
)
def test_time_ends_what_would_not(
    serve: Serve, target: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, then: bytes
) -> None:
    """Also where it is no content that comes."""
    monkeypatch.setattr("airflow_provider_sei.transports.sync.MAX_IDLE_SECONDS", 0.1)
    serve(answer, then, read_timeout=0.1)
    with pytest.raises(exceptions.SEIError, match=r"not complete in time|no answer"):
        report(target, timeout=0.2)
    assert target.read_bytes() == OLDER


def test_a_name_from_the_server_is_ignored(serve: Serve, target: Path) -> None:
    """However crooked: the file has the name that the request gives it."""
    name = b"attachment; filename=\"../../y\r\n z.csv\"; filename*=UTF-8''%2e%2e%2fq.csv"
    serve(with_length(CSV, OK + b"Content-Disposition: " + name + b"\r\n"))
    assert report(target).rows == 1000
    assert target.read_bytes() == CSV


@pytest.mark.parametrize("location", ["http://elsewhere.example/x", "//elsewhere.example/x", "\\\\elsewhere/x"])
def test_the_key_does_not_follow_a_redirect_elsewhere(serve: Serve, target: Path, location: str) -> None:
    """And it is in no error."""
    serve(with_length(b"", OK.replace(b"200 OK", b"302 Found") + f"Location: {location}\r\n".encode()))
    with pytest.raises(exceptions.SEIError, match="redirects") as caught:
        export(target, 10)
    assert "the-key" not in str(caught.value)
    assert target.read_bytes() == OLDER
