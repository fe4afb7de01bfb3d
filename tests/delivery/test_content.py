"""What the bytes are: gzip or not, whole or cut, CSV or something in its place."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.delivery.pipeline import Gunzip, check_start
from airflow_provider_sei.exceptions import SEIDownloadError

CSV = b"a,b\n" + b"1,2\n" * 1000
GZIP = gzip.compress(CSV, mtime=0)


def unpacked(*pieces: bytes, size: int = 1 << 30) -> bytes:
    """Return what these pieces unpack to, each cut again by size."""
    unpacker = Gunzip("the file")
    parts = [b"".join(unpacker.feed(data[at : at + size])) for data in pieces for at in range(0, len(data), size)]
    unpacker.close()
    return b"".join(parts)


def member(data: bytes, flags: int = 0, names: bytes = b"a\0", crc: bytes | None = None) -> bytes:
    """Return gzip of ``data`` with the optional fields of ``flags`` (``names`` for each text)."""
    header = b"\x1f\x8b\x08%c\0\0\0\0\0\xff" % flags
    header += b"\5\0\0\1\0\1\0" if flags & 4 else b""  # FEXTRA
    header += names * sum(bool(flags & flag) for flag in (8, 16))  # FNAME, FCOMMENT
    if flags & 2:  # FHCRC
        header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") if crc is None else crc
    return header + gzip.compress(data)[10:]


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 255), st.integers(0, 12)), min_size=1, max_size=4),
    st.integers(1, 200),
)
def test_gzip_of_any_members_is_unpacked(members: list[tuple[bytes, int, int]], size: int) -> None:
    """However it is cut into pieces, with any optional fields in the headers, and zeros behind each member."""
    data = b"".join(member(content, flags) + bytes(zeros) for content, flags, zeros in members)
    assert unpacked(data, size=size) == gzip.decompress(data) == b"".join(content for content, _, _ in members)


def changed(data: bytes, position: int) -> bytes:
    """Return the same bytes but for one."""
    damaged = bytearray(data)
    damaged[position] ^= 0xFF
    return bytes(damaged)


# With a wrong checksum of a header, too, which Python does not read.
MEMBERS = member(b"1,2\n", 31, crc=b"\0\0") + bytes(3) + member(b"", 14) + member(CSV, 18)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        *((MEMBERS + more, "") for more in (b"", b"\0\0", GZIP, bytes(1000))),
        # Anything after the last member but padding (RFC 1952), or what may be the beginning of another one.
        *((MEMBERS + more, "damaged") for more in (bytes(9) + b"x", b"\x1f\x8b\7", b"\0" + GZIP[2:], b"<html>" * 10)),
        *((MEMBERS + more, "in the middle") for more in (b"\x1f", b"\x1f\x8b", GZIP[:14])),
        # Even if all of the content is there: the last eight bytes prove it. Each member has an end of its own.
        *((before + GZIP[:-cut], "in the middle") for before in (b"", MEMBERS) for cut in (1, 8, 9, 20)),
        # In the checksum, in the length and in the data.
        *((changed(GZIP, position), "damaged") for position in (-8, -1, 40)),
    ],
    ids=range(22),
)
def test_python_and_this_read_the_same_however_a_file_is_cut_in_two(data: bytes, words: str) -> None:
    """At each byte; what it refuses is refused."""
    expected: bytes | None = None
    with suppress(EOFError, gzip.BadGzipFile, zlib.error):
        expected = gzip.decompress(data)
    assert (expected is None) == bool(words)
    cuts = [[data[at : at + size] for at in range(0, len(data), size)] for size in (1, 2, 3, 7)]
    for pieces in (*cuts, *([data[:at], data[at:]] for at in range(len(data) + 1))):
        if words:
            with pytest.raises(SEIDownloadError, match=words):
                unpacked(*pieces)
        else:
            assert unpacked(*pieces) == expected


def test_a_header_without_an_end_is_damage() -> None:
    """A name of many megabytes does not fill the memory."""
    with pytest.raises(SEIDownloadError, match=r"header.*damaged"):
        unpacked(member(CSV, 8, names=b"x" * 20_000_000 + b"\0"), size=1_000_000)


@pytest.mark.parametrize("pieces", [1, 2, 100])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 1 << 22])
def test_content_that_fills_its_pieces_exactly_is_whole(
    monkeypatch: pytest.MonkeyPatch, size: int, pieces: int
) -> None:
    """A full piece may come out while the input is used up, with more inside and the end not seen yet."""
    monkeypatch.setattr("airflow_provider_sei.delivery.pipeline._PIECE", 1024)
    for content in (b"0", b"1,2\n", bytes(range(256))):
        data = content * (pieces * 1024 // len(content))
        packed = gzip.compress(data)
        assert unpacked(packed + gzip.compress(b"x"), size=size) == data + b"x"
        assert unpacked(packed, size=size) == data


def test_a_bomb_is_recognised_before_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are bounded however much one unpacks to, and a few megabytes are no bomb."""
    assert max(map(len, Gunzip("the file").feed(gzip.compress(b"0" * 5_000_000)))) <= 1024 * 1024
    monkeypatch.setattr("airflow_provider_sei.delivery.pipeline._SUSPICIOUS_BYTES", 1_000_000)
    pieces = Gunzip("the file").feed(gzip.compress(bytes(50_000_000)))
    given: list[int] = []
    with pytest.raises(SEIDownloadError, match="more than 400 times"):
        given.extend(map(len, pieces))
    assert sum(given) <= 22_000_000


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\n  <html lang=en>", "HTML"),
        (b'{"error": "no"}', "JSON"),
        (b'{"message": "Export expired", "owner": "Jane Smith"}', r'sent JSON \("Export expired"\): '),
        (b"[]", "sent JSON: "),
        (b'[{"developer": "Jane Smith", "email": "jane@company.example"}]', "sent JSON: "),
        (b'{"developers": [{"message": "Jane Sm', "sent JSON: "),
        (b"<html><body>Jane Smith</body></html>", "HTML"),
        (zlib.compress(b"x") + bytes(10), "binary"),
        (gzip.compress(b"x", mtime=0), "binary"),
        (b"%PDF-1.7\n1 0 obj, endobj", "binary"),
        (b"PK\x03\x04\x14,\n", "binary"),
        (b"Internal Server Error", "a short text .*Internal"),
        (b"[1]", "a short text"),
    ],
)
def test_what_stands_in_place_of_a_csv_file_is_told(start: bytes, found: str) -> None:
    """With its error message, if it has one; the rest may be about people."""
    with pytest.raises(SEIDownloadError, match=found) as caught:
        check_start(start, "the file")
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("start", [b"", b"a,b\n", b'"a"\n', "ä;ö\n".encode(), b"{x},y\n", b"[1],2\n", b"1 < 2,b\n"])
def test_csv_is_let_through(start: bytes) -> None:
    """Whatever its first name is."""
    check_start(start, "the file")
