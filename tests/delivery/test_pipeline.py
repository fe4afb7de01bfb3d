"""One delivery: lengths, time, progress and forms."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.pipeline import ExpectedFile, deliver
from airflow_provider_sei.exceptions import SEIArgumentError, SEIDownloadError
from tests.delivery.conftest import send

CSV = b"a,b\n1,2\n3,4\n"
GZ = gzip.compress(CSV, mtime=0)  # it is part of tests' names, which must not change from process to process
UNPACKED = b"\x0b\x03\x80a,b\n1,2\n\x03"


def in_bytes(data: bytes) -> list[bytes]:
    """Return pieces of one byte."""
    return [bytes([byte]) for byte in data]


def test_a_file_that_ends_within_quotes_is_delivered_with_a_warning(tmp_path: Path, caplog: Any) -> None:
    """It is all that the server sends, and the server may always write it so."""
    assert send(tmp_path / "x.csv", b'a,b\n1,"x\n').rows == 1
    assert "ends within quotes: it may be cut at the server" in caplog.text


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ("100", "announced 100 bytes, 12 were received"),
        *((none, "no length in any form, 12 bytes") for none in (None, "12, 12", "-1", "²")),
    ],
)
def test_what_is_not_all_or_may_not_be_is_refused(tmp_path: Path, length: str | None, words: str) -> None:
    """A connection that just ends may have ended early."""
    with pytest.raises(SEIDownloadError, match=words):
        send(tmp_path / "x.csv", CSV, headers={"content-length": length})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [CSV, GZ])
@pytest.mark.parametrize("size", [len(CSV), len(GZ)])
def test_the_promised_size_may_be_meant_before_or_after_compression(tmp_path: Path, data: bytes, size: int) -> None:
    """The vendor does not say; for a plain file there is one only."""
    given: dict[str, Any] = {"headers": {"content-length": None}, "size_bytes": size}
    if data == CSV and size == len(GZ):
        with pytest.raises(SEIDownloadError, match=f"sizeBytes {size}, received were 12 bytes"):
            send(tmp_path / "x.csv", data, **given)
    else:
        assert send(tmp_path / "x.csv", data, **given).rows == 2


def test_a_file_that_drips_ends_at_the_limit(tmp_path: Path) -> None:
    """Though each byte comes soon after the one before."""
    with pytest.raises(SEIDownloadError, match=r"not complete in time: 0\.0 of 0\.0 MB received \(0 %\) in 61 s"):
        send(tmp_path / "x.csv", *[b"x"] * 10_000, headers={"content-length": "20000"}, step=1.0, timeout=60)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("line", [b"x", b'"', b"1,2\n"])
def test_a_small_file_that_unpacks_to_a_large_one_ends_at_the_limit(tmp_path: Path, encoding: str, line: bytes) -> None:
    """Everything is received in one piece, with 5 s to go; a second passes with each megabyte."""
    packed = gzip.compress(b"a,b\n" + line * (10_000_000 // len(line)), 1)
    with pytest.raises(SEIDownloadError, match=r"not complete in time: .* received \(100 %\) in 6 s"):
        send(tmp_path / "x.csv", packed, headers={"content-encoding": encoding}, step=1.0, timeout=5)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_compared_with_an_older_one_ends_at_the_limit(tmp_path: Path) -> None:
    """The store may be slow to read."""
    old = b"a,b\n" + b"1,2\n" * 2_000_000
    (tmp_path / "x.csv").write_bytes(old)
    with pytest.raises(SEIDownloadError, match=r"not complete in time: .* in 6 s"):
        send(tmp_path / "x.csv", old[::-1], step=1.0, overwrite="skip", timeout=5)
    assert (tmp_path / "x.csv").read_bytes() == old


def test_progress_is_told_at_intervals(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By share where the length is known, by megabytes where not; never for each piece."""
    caplog.set_level(logging.INFO, "airflow_provider_sei")
    pieces = [b"1\n" * 500_000] * 10
    send(tmp_path / "x.csv", *pieces, step=10.0)
    assert caplog.messages == [
        "the file: 3.0 of 10.0 MB received (30 %)",
        "the file: 6.0 of 10.0 MB received (60 %)",
        "the file: 9.0 of 10.0 MB received (90 %)",
    ]
    caplog.clear()
    chunked = {"content-length": None, "transfer-encoding": "chunked"}
    send(tmp_path / "x.csv", *pieces, headers=chunked, step=10.0)
    assert caplog.messages[0] == "the file: 3.0 MB received"


@pytest.mark.parametrize(
    ("sent", "compression", "named", "stored"),
    [
        (CSV, "keep", "x.csv", ("x.csv", CSV)),
        (CSV, "keep", "x.csv.gz", ("x.csv", CSV)),
        (CSV, "none", "x.csv", ("x.csv", CSV)),
        (GZ, "keep", "x.csv", ("x.csv.gz", GZ)),
        (GZ, "keep", "x.csv.GZ", ("x.csv.GZ", GZ)),
        (GZ, "gzip", "x.csv", ("x.csv.gz", GZ)),
        (GZ, "none", "x.csv.gz", ("x.csv", CSV)),
        (b"", "keep", "x.csv.gz", ("x.csv", b"")),
    ],
)
def test_name_and_content_agree(*, tmp_path: Path, sent: bytes, compression: str, named: str, stored: Any) -> None:
    """Whatever the server's labels or the user's name say."""
    headers = {"content-type": "application/octet-stream"}
    result = send(tmp_path / named, sent, headers=headers, compression=compression)
    [file] = tmp_path.iterdir()
    assert (file.name, file.read_bytes()) == stored
    assert (result.bytes, result.rows) == (len(stored[1]), 2 if sent else 0)
    assert result.uri == f"file://{file}"


@pytest.mark.parametrize(
    "encoding",
    [
        *("", " Identity ", "gzip", "x-gzip", "identity, GZIP", "gzip;q=1", "gzip, gzip", "aws-chunked,gzip"),
        *("utf-8", "none", "aws-chunked", "é", "br", "zstd", "Deflate", "gzip, br"),
    ],
)
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_content_encoding_is_a_hint(tmp_path: Path, encoding: str, layers: int) -> None:
    """Gzip that it names belongs to the transport, gzip inside that or without a name stays; the bytes decide."""
    names_gzip = "gzip" in encoding.casefold()
    pieces, is_gzip = in_bytes((CSV, GZ, gzip.compress(GZ))[layers]), layers == (2 if names_gzip else 1)
    headers = {"content-encoding": encoding, "content-type": "image/png"}
    if layers == 2 and not names_gzip:
        with pytest.raises(SEIDownloadError, match="binary data"):
            send(tmp_path / "x.csv", *pieces, headers=headers)
        return
    result = send(tmp_path / "x.csv", *pieces, headers=headers)
    [file] = tmp_path.iterdir()
    assert (file.name, file.read_bytes(), result.rows) == (("x.csv.gz", GZ, 2) if is_gzip else ("x.csv", CSV, 2))


@pytest.mark.parametrize(
    ("encoding", "pieces", "words"),
    [
        # CSV as brotli and zstd make it: short, repeated, not compressible.
        ("br", [UNPACKED], "binary data .Content-Encoding: br.: "),
        ("br", [b"\x1b\xa3\x0f\xf8\x25\xc0\xe2\xb1\x2c\x08"], "Content-Encoding: br"),
        ("zstd", [b"(\xb5/\xfd \x08A\0\0a,b\n1,2\n"], "binary data"),
        ("zstd", [b"(\xb5/\xfd\x24\x2c\x81,2\n"], "binary data"),
        ("deflate", [zlib.compress(CSV * 50)], "binary data"),
        ("gzip, br", [gzip.compress(UNPACKED, mtime=0)], "Content-Encoding: gzip, br"),
        ("gzip", [GZ[:-3]], "in the middle"),
        ("utf-8", [b"<html>" * 300], "HTML page"),
        # Byte by byte, inside gzip whose first member is empty.
        ("", in_bytes(b"".join(gzip.compress(x) for x in (b"", b"<", b"html>" + b"x" * 2000))), "HTML page"),
    ],
)
def test_what_no_label_makes_readable_is_an_error(
    tmp_path: Path, encoding: str, pieces: list[bytes], words: str
) -> None:
    """Nothing is stored as if it were the file."""
    with pytest.raises(SEIDownloadError, match=words):
        send(tmp_path / "x.csv", *pieces, headers={"content-encoding": encoding})
    assert list(tmp_path.iterdir()) == []


def test_equal_content_is_compressed_to_equal_bytes(tmp_path: Path) -> None:
    """However it arrives, so a second delivery of it is recognized."""
    given = {"compression": "gzip", "overwrite": "skip"}
    assert send(tmp_path / "x.csv", CSV, **given).written
    assert not send(tmp_path / "x.csv", *in_bytes(CSV), **given).written
    assert gzip.decompress((tmp_path / "x.csv.gz").read_bytes()) == CSV


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf\r\n\n", "the file is empty"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (b"a,b", "the file has a header, but no rows"),
        (gzip.compress(b'"a\nb"\n\n', mtime=0), "the file has a header, but no rows"),
    ],
    ids=["nothing", "blanks", "gzip of nothing", "header", "gzip of a header"],
)
@pytest.mark.parametrize("empty", ["deliver", "skip", "fail"])
def test_a_file_without_rows_is_what_the_user_says(
    *, tmp_path: Path, caplog: Any, sent: bytes, words: str, empty: str
) -> None:
    """It replaces an older file, with a warning, or that one stays; a header is no row."""
    older = tmp_path / ("x.csv.gz" if sent.startswith(b"\x1f") else "x.csv")
    older.write_bytes(CSV)
    if empty == "deliver":
        assert send(tmp_path / "x.csv", sent).rows == 0
        assert [record.getMessage().startswith(words) for record in caplog.records] == [True]
    else:
        error = {"skip": AirflowSkipException, "fail": SEIDownloadError}[empty]
        with pytest.raises(error, match=f"{words}; nothing was published") as caught:
            send(tmp_path / "x.csv", sent, empty=empty)
        assert isinstance(caught.value, SEIDownloadError) == (empty == "fail")
    assert [older.read_bytes(), *tmp_path.iterdir()] == [sent if empty == "deliver" else CSV, older]
    assert send(tmp_path / "x.csv", CSV, empty=empty).rows == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nope://bucket/x.csv", "nope"),
        ("s3://bucket", "names no object"),
        ("://x", "names no object"),
        ("", "is not a path"),
        ("a\nb", "is not"),
    ],
)
def test_a_destination_that_cannot_work_is_refused_before_anything_is_read(url: str, words: str) -> None:
    """With the argument's name."""
    with pytest.raises(SEIArgumentError, match=words) as caught:
        deliver(None, Destination.from_arguments(url), ExpectedFile(description="the file"))
    assert caught.value.field == "destination"


@pytest.mark.parametrize("url", ["50%20?a#b.csv", "./50%20?a#b.csv", "{folder}/50%20?a#b.csv", "file://{folder}/x.csv"])
def test_a_local_file_has_several_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A bare name is in the current folder; characters of URLs are taken as they are."""
    monkeypatch.chdir(tmp_path)
    assert send(url.replace("{folder}", str(tmp_path)), CSV).columns == ("a", "b")
    assert (tmp_path / url.rpartition("/")[2]).read_bytes() == CSV
