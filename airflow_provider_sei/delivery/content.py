"""What the bytes are: gzip or not, complete or cut, a CSV file or an error page.

gzip is detected by its magic bytes, never by a name or header, and decompression is always bounded.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator

from isal import igzip_lib

from airflow_provider_sei.exceptions import SEIDownloadError
from airflow_provider_sei.protocol.http import excerpt, looks_like_markup

__all__ = ["GZIP_MAGIC", "Gunzip", "check_end_is_csv", "check_is_csv", "gzip_compressor", "undo_content_encoding"]

GZIP_MAGIC = b"\x1f\x8b"

_PIECE = 1024 * 1024  # bytes that one step may decompress to; four are held at the same time
_BINARY = (GZIP_MAGIC, b"%PDF-", b"PK\x03\x04")
_CSV_SIGN = re.compile(rb"[,;\t\r\n]")
_JSON_START = re.compile(rb'\s*(?:\{\s*["}]|\[\s*[\[{\]])')

# CSV of numbers shrinks 5 to 20 times, of zeros only some 200 times; a decompression bomb 1000 times.
_SUSPICIOUS_BYTES = 256 * 1024 * 1024
_SUSPICIOUS_RATIO = 400


class Gunzip:
    """Decompress gzip piece by piece, with all of its members, and verify their checksums."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._member = _new_member()
        self._taken = self._given = self._members = 0
        self._is_between_members = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what ``chunk`` decompresses to, in pieces of at most 1 MiB.

        :raises SEIDownloadError: the data are damaged, or decompress to suspiciously much.
        """
        self._taken += len(chunk)
        rest = chunk
        while rest or not self._member.needs_input:
            if self._is_between_members and self._members and not rest.strip(b"\0"):
                return  # zeros after the last member are padding (RFC 1952)
            self._is_between_members = False
            try:
                piece = self._member.decompress(rest, _PIECE)
            except igzip_lib.error as error:  # type: ignore[misc]  # isal's stub declares this class as an instance
                msg = f"{self._name} is damaged: its gzip data do not unpack after {self._given} bytes ({error})"
                raise SEIDownloadError(msg) from error
            self._given += len(piece)
            if self._given > max(_SUSPICIOUS_BYTES, _SUSPICIOUS_RATIO * self._taken):
                msg = (
                    f"{self._name} may be a decompression bomb: {self._taken} bytes of gzip decompressed to"
                    f" {self._given} so far, more than {_SUSPICIOUS_RATIO} times as many"
                )
                raise SEIDownloadError(msg)
            if piece:
                yield piece
            rest = b""
            if self._member.eof:
                rest, self._member = self._member.unused_data, _new_member()
                self._is_between_members = True
                self._members += 1

    def close(self) -> None:
        """Check that the last member is complete.

        :raises SEIDownloadError: it is not.
        """
        if not self._is_between_members:
            msg = f"{self._name} is cut off: its gzip data end in the middle, after {self._taken} bytes"
            raise SEIDownloadError(msg)


def _new_member() -> igzip_lib.IgzipDecompressor:
    # Releases the interpreter lock while it decompresses, and buffers its input.
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def gzip_compressor() -> zlib._Compress:
    """Return a compressor whose output depends on its input alone: its header carries no time."""
    return zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: gzip, with header and checksum


def undo_content_encoding(chunks: Iterable[bytes], encoding: str | None, name: str) -> Iterator[bytes]:
    """Yield a body without its ``Content-Encoding``, which belongs to the transport and not to the file.

    :raises SEIDownloadError: an encoding other than gzip, or damaged data.
    """
    words = (word.strip().casefold() for word in (encoding or "").split(","))
    layers = [word for word in words if word not in ("", "identity")]
    if not layers:
        yield from chunks
        return
    if layers not in (["gzip"], ["x-gzip"]):
        msg = f"{name} has Content-Encoding {excerpt(encoding or '')!r}, which was not asked for and is not supported"
        raise SEIDownloadError(msg)
    decoder = Gunzip(name)
    for chunk in chunks:
        yield from decoder.feed(chunk)
    decoder.close()


def check_is_csv(start: bytes, name: str) -> None:
    """Check the first bytes of the decompressed content.

    :raises SEIDownloadError: an HTML page, JSON, binary data, or a few words such as ``Internal Server Error``.
    """
    found = None
    if looks_like_markup(start):
        found = "an HTML page"
    elif _JSON_START.match(start):
        found = "JSON"
    elif b"\0" in start[:4096] or start.startswith(_BINARY):
        found = "binary data"
    elif not _CSV_SIGN.search(start) and start.strip():
        found = "a short text"
    if found:
        quoted = "" if found == "binary data" else f': "{excerpt(start[:2000].decode("utf-8", "replace"))}"'
        msg = f"{name} is not a CSV file: the server sent {found} instead{quoted}"
        raise SEIDownloadError(msg)


def check_end_is_csv(end: bytes, name: str) -> None:
    """Check the last bytes of the decompressed content: a server or proxy that fails midway may append its error page.

    :raises SEIDownloadError: an HTML page ends there.
    """
    if end.rstrip().lower().endswith(b"</html>"):
        msg = f"{name} is not a complete CSV file: an HTML page follows its last rows"
        raise SEIDownloadError(msg)
