"""What the bytes are: gzip or not, whole or cut, CSV or something in its place."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.delivery.content import Gunzip, check_is_csv, gzip_compressor, undo_content_encoding
from airflow_provider_sei.exceptions import SEIDownloadError

CSV = b"a,b\n" + b"1,2\n" * 1000


def unpacked(data: bytes, size: int = 100) -> bytes:
    """Return what ``data`` unpacks to, taken in by pieces."""
    unpacker = Gunzip("the file")
    parts = [b"".join(unpacker.feed(data[at : at + size])) for at in range(0, len(data), size)]
    unpacker.close()
    return b"".join(parts)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 200))
def test_gzip_of_any_members_is_unpacked(members: list[bytes], size: int) -> None:
    """However it is cut into pieces."""
    assert unpacked(b"".join(map(gzip.compress, members)), size) == b"".join(members)


def test_pieces_are_bounded_however_much_one_unpacks_to() -> None:
    """A small input may hold much; it does not come in one piece, and a few megabytes are no bomb."""
    pieces = list(Gunzip("the file").feed(gzip.compress(b"0" * 5_000_000)))
    assert max(map(len, pieces)) <= 1024 * 1024
    assert sum(map(len, pieces)) == 5_000_000


@pytest.mark.parametrize("pieces", [1, 2, 100])
@pytest.mark.parametrize("content", [b"0", b"1,2\n", bytes(range(256))])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 1 << 22])
def test_content_that_fills_its_pieces_exactly_is_whole(
    monkeypatch: pytest.MonkeyPatch, content: bytes, size: int, pieces: int
) -> None:
    """A full piece may come out while the input is used up, with more inside and the end not seen yet."""
    monkeypatch.setattr("airflow_provider_sei.delivery.content._PIECE", 1024)
    data = content * (pieces * 1024 // len(content))
    packed = gzip.compress(data)
    assert unpacked(packed + gzip.compress(b"x"), size) == data + b"x"
    assert unpacked(packed, size) == data


def test_zeros_after_the_last_member_are_padding() -> None:
    """RFC 1952 leaves them to tape drives, and ``gzip`` ignores them."""
    assert unpacked(gzip.compress(CSV) + bytes(1000)) == CSV


@pytest.mark.parametrize("before", [b"", gzip.compress(CSV)])
@pytest.mark.parametrize("cut", [1, 8, 9, 20])
def test_a_file_cut_near_its_end_is_cut(cut: int, before: bytes) -> None:
    """Even if all of the content is there: the last eight bytes prove it. Each member has an end of its own."""
    with pytest.raises(SEIDownloadError, match="in the middle"):
        unpacked(before + gzip.compress(CSV)[:-cut])


@pytest.mark.parametrize("position", [-8, -1, 40])
def test_a_changed_byte_is_damage(position: int) -> None:
    """In the checksum, in the length and in the data."""
    data = bytearray(gzip.compress(CSV))
    data[position] ^= 0xFF
    with pytest.raises(SEIDownloadError, match="damaged"):
        unpacked(bytes(data))


def test_rubbish_after_the_last_member_is_damage() -> None:
    """It may be what a proxy has added."""
    with pytest.raises(SEIDownloadError, match="damaged"):
        unpacked(gzip.compress(CSV) + b"<html>" * 10)


def test_a_bomb_is_recognised_before_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacking stops at the bound, with figures in the sentence."""
    monkeypatch.setattr("airflow_provider_sei.delivery.content._SUSPICIOUS_BYTES", 1_000_000)
    pieces = Gunzip("the file").feed(gzip.compress(bytes(50_000_000)))
    given: list[int] = []
    with pytest.raises(SEIDownloadError, match="more than 400 times"):
        given.extend(map(len, pieces))
    assert sum(given) <= 22_000_000


def test_equal_content_is_packed_to_equal_bytes() -> None:
    """However it comes in: a second delivery can be told to be the same."""

    def packed(size: int) -> bytes:
        packer = gzip_compressor()
        return b"".join(packer.compress(CSV[at : at + size]) for at in range(0, len(CSV), size)) + packer.flush()

    assert packed(10) == packed(1000)
    assert gzip.decompress(packed(7)) == CSV


@pytest.mark.parametrize("encoding", [None, "", " Identity ", "gzip", "x-gzip", "identity, GZIP"])
def test_a_content_encoding_is_undone(encoding: str | None) -> None:
    """It is the transport's wrapping; what is inside may be gzip itself, and stays gzip."""
    inner = gzip.compress(CSV)
    sent = gzip.compress(inner) if "gzip" in (encoding or "").casefold() else inner
    assert b"".join(undo_content_encoding([sent], encoding, "the file")) == inner


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_an_encoding_that_nobody_asked_for_is_refused(encoding: str) -> None:
    """Rather than stored as if it were the file."""
    with pytest.raises(SEIDownloadError, match="not asked for"):
        list(undo_content_encoding([b"x"], encoding, "the file"))


def test_a_content_encoding_that_is_cut_is_cut() -> None:
    """Its end is checked like a file's."""
    with pytest.raises(SEIDownloadError, match="in the middle"):
        list(undo_content_encoding([gzip.compress(CSV)[:-3]], "gzip", "the file"))


@pytest.mark.parametrize(
    ("start", "found"),
    [
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\n  <html lang=en>", "HTML"),
        (b'{"error": "no"}', "JSON"),
        (b"[]", "JSON"),
        (b'[{"a": 1}]', "JSON"),
        (zlib.compress(b"x") + bytes(10), "binary"),
        (gzip.compress(b"x", mtime=0), "binary"),
        (b"%PDF-1.7\n1 0 obj, endobj", "binary"),
        (b"PK\x03\x04\x14,\n", "binary"),
        (b"Internal Server Error", "a short text instead: .Internal"),
        (b"[1]", "a short text"),
    ],
)
def test_what_stands_in_place_of_a_csv_file_is_told(start: bytes, found: str) -> None:
    """With its first words, unless they are no text."""
    with pytest.raises(SEIDownloadError, match=found):
        check_is_csv(start, "the file")


@pytest.mark.parametrize("start", [b"", b"a,b\n", b'"a"\n', "ä;ö\n".encode(), b"{x},y\n", b"[1],2\n", b"1 < 2,b\n"])
def test_csv_is_let_through(start: bytes) -> None:
    """Whatever its first name is."""
    check_is_csv(start, "the file")
