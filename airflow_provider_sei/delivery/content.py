"""What the bytes are: gzip or not, whole or cut, a CSV file or a page that says why there is none.

The rule of this file: gzip is told by its first two bytes, never by a name or a label; and nothing is unpacked without
a bound on how much may come out.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator

from isal import igzip_lib

from airflow_provider_sei.protocol.answers import excerpt, looks_like_markup
from airflow_provider_sei.protocol.errors import SEIDownloadError

__all__ = ["GZIP_MAGIC", "Gunzip", "Gzip", "check_end_is_csv", "check_is_csv", "undo_content_encoding"]

GZIP_MAGIC = b"\x1f\x8b"

_GZIP = 31  # zlib's wbits for "gzip, with its header and its checksum"
_PIECE = 1024 * 1024  # bytes that one step may unpack at most; four are held at once
_BINARY = (GZIP_MAGIC, b"%PDF-", b"PK\x03\x04")
_CSV_SIGN = re.compile(rb"[,;\t\r\n]")
_JSON_START = re.compile(rb'\s*(?:\{\s*["}]|\[\s*[\[{\]])')

# CSV of numbers shrinks some 5 to 20 fold, of nothing but zeros some 200 fold; a bomb 1000 fold.
_SUSPICIOUS_BYTES = 256 * 1024 * 1024
_SUSPICIOUS_RATIO = 400


class Gunzip:
    """Unpacks gzip piece by piece, every member of it, and checks each one's checksum and length."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._member = _member()
        self._taken = 0
        self._given = 0
        self._between = True  # before the first byte of a member
        self._members = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Return what ``chunk`` unpacks to, in pieces of 1 MiB at most.

        Raises:
            SEIDownloadError: the data are damaged, or unpack to so much that they must be a trap.
        """
        self._taken += len(chunk)
        rest = chunk
        while rest or not self._member.needs_input:
            if self._between and self._members and not rest.strip(b"\0"):
                return  # zeros after the last member are allowed (RFC 1952 leaves them to tape drives)
            self._between = False
            try:
                piece = self._member.decompress(rest, _PIECE)
            except igzip_lib.error as error:  # type: ignore[misc]  # isal's stub declares this class as an instance
                msg = f"{self._name} is damaged: its gzip data do not unpack after {self._given} bytes ({error})"
                raise SEIDownloadError(msg) from error
            self._given += len(piece)
            if self._given > max(_SUSPICIOUS_BYTES, _SUSPICIOUS_RATIO * self._taken):
                msg = (
                    f"{self._name} is not to be trusted: {self._taken} bytes of gzip have unpacked to {self._given}"
                    f" so far, more than {_SUSPICIOUS_RATIO} fold"
                )
                raise SEIDownloadError(msg)
            if piece:
                yield piece
            rest = b""
            if self._member.eof:
                rest, self._member = self._member.unused_data, _member()
                self._between = True
                self._members += 1

    def close(self) -> None:
        """Check that the last member is whole.

        Raises:
            SEIDownloadError: the data end in the middle.
        """
        if not self._between:
            msg = f"{self._name} is cut off: its gzip data end in the middle, after {self._taken} bytes"
            raise SEIDownloadError(msg)


def _member() -> igzip_lib.IgzipDecompressor:
    # Lets go of the interpreter while it unpacks, and keeps what it has not unpacked yet.
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


class Gzip:
    """Packs piece by piece; equal input gives equal output, for the header carries no time."""

    def __init__(self) -> None:
        self._member = zlib.compressobj(6, zlib.DEFLATED, _GZIP)

    def feed(self, chunk: bytes) -> bytes:
        """Return what is ready."""
        return self._member.compress(chunk)

    def close(self) -> bytes:
        """Return the rest."""
        return self._member.flush()


def undo_content_encoding(chunks: Iterable[bytes], encoding: str | None, name: str) -> Iterator[bytes]:
    """Return the body under its ``Content-Encoding``, which is the transport's wrapping and no part of the file.

    Raises:
        SEIDownloadError: an encoding other than gzip, which we never ask for, or damaged data.
    """
    layers = [word.strip().casefold() for word in (encoding or "").split(",")]
    layers = [layer for layer in layers if layer not in ("", "identity")]
    if any(layer not in ("gzip", "x-gzip") for layer in layers) or len(layers) > 1:
        msg = (
            f"{name} came with Content-Encoding {excerpt(encoding or '')!r}, which was not asked for"
            " and is not understood"
        )
        raise SEIDownloadError(msg)
    if not layers:
        yield from chunks
        return
    unpacker = Gunzip(name)
    for chunk in chunks:
        yield from unpacker.feed(chunk)
    unpacker.close()


def check_is_csv(start: bytes, name: str) -> None:
    """Look at the first bytes of the unpacked content.

    Raises:
        SEIDownloadError: an HTML page, a JSON text, binary data, or a few words such as ``Internal Server Error``.
    """
    found = None
    if looks_like_markup(start):
        found = "an HTML page"
    elif _JSON_START.match(start):
        found = "a JSON text"
    elif b"\0" in start[:4096] or start.startswith(_BINARY):
        found = "binary data"
    elif not _CSV_SIGN.search(start) and start.strip():
        found = "a few words"
    if found:
        quoted = "" if found == "binary data" else f': "{excerpt(start[:2000].decode("utf-8", "replace"))}"'
        msg = f"{name} is not a CSV file: the server sent {found} in its place{quoted}"
        raise SEIDownloadError(msg)


def check_end_is_csv(end: bytes, name: str) -> None:
    """Look at the last bytes of the unpacked content: a server or proxy that fails midway may put its page there.

    Raises:
        SEIDownloadError: an HTML page ends there.
    """
    if end.rstrip().lower().endswith(b"</html>"):
        msg = f"{name} is not a whole CSV file: an HTML page follows its last rows"
        raise SEIDownloadError(msg)
