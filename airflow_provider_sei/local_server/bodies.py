"""Bytes to send, described as repeated blocks, so that a file of gigabytes is never in memory."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_sei.local_server.faults import ActiveFaults

# RFC 1952: magic, deflate, no flags, mtime 0 (same content, same bytes), no extra flags, unknown system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Body:
    """A sequence of byte blocks, each with the number of times it is sent."""

    parts: tuple[tuple[bytes, int], ...] = ()

    @classmethod
    def of(cls, data: bytes) -> Body:
        """Return a body of exactly ``data``."""
        return cls(((data, 1),))

    def __len__(self) -> int:
        return sum(len(block) * times for block, times in self.parts)

    def __add__(self, other: Body) -> Body:
        return Body(self.parts + other.parts)

    @property
    def is_gzip(self) -> bool:
        """Whether the body starts with gzip's magic bytes."""
        return self.split(2)[0].content() == _GZIP_HEADER[:2]

    def chunks(self, size: int = _CHUNK) -> Iterator[bytes]:
        """Yield the bytes in pieces of at most ``size``, 1 MiB by default."""
        for block, times in self.parts:
            for _ in range(times):
                yield from (block[start : start + size] for start in range(0, len(block), size))

    def content(self) -> bytes:
        """Return all bytes; for small bodies."""
        return b"".join(self.chunks())

    def sha256(self) -> str:
        """Return the hex digest of all bytes."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def split(self, at: int) -> tuple[Body, Body]:
        """Return the first ``at`` bytes (all of them if there are fewer) and the rest."""
        first: list[tuple[bytes, int]] = []
        rest: list[tuple[bytes, int]] = []
        left = max(at, 0)
        for block, times in self.parts:
            whole = min(times, left // len(block)) if block else times
            left -= whole * len(block)
            first.append((block, whole))
            if whole < times:
                first.append((block[:left], 1))
                rest += [(block[left:], 1), (block, times - whole - 1)]
                left = 0
        halves = (tuple((block, times) for block, times in parts if block and times) for parts in (first, rest))
        before, after = map(Body, halves)
        return before, after

    def flipped(self, at: int) -> Body:
        """Return this body with all bits of the byte at ``at`` inverted."""
        before, rest = self.split(at)
        byte, after = rest.split(1)
        return before + Body.of(bytes(value ^ 0xFF for value in byte.content())) + after


def gzipped(body: Body) -> Body:
    """Return ``body`` as one gzip member; a repeated block is compressed once."""
    fragments: list[tuple[bytes, int]] = [(_GZIP_HEADER, 1)]
    check = 0
    for block, times in body.parts:
        # A raw deflate stream that ends in a full flush ends on a byte and refers to nothing before it, so such
        # fragments may be repeated and joined.
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        fragments.append((deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH), times))
    for chunk in body.chunks():
        check = zlib.crc32(chunk, check)
    end = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS).flush(zlib.Z_FINISH)
    trailer = check.to_bytes(4, "little") + (len(body) & 0xFFFFFFFF).to_bytes(4, "little")
    return Body((*fragments, (end + trailer, 1)))


def gzipped_in_members(body: Body, members: int) -> Body:
    """Return ``body`` as ``members`` gzip members of about the same size."""
    size = len(body)
    result = Body()
    for number in range(members, 0, -1):
        piece, body = body.split(size // members if number > 1 else len(body))
        result += gzipped(piece)
    return result


def with_faults(csv: Body, file: Body, faults: ActiveFaults) -> Body:
    """Return the bytes to send: ``file`` (``csv``, or ``csv`` compressed) unless a fault changes it."""
    if "empty" in faults:
        file = Body()
    elif "mislabel" in faults:
        file = csv if file.is_gzip else gzipped(csv)
    elif "multi_member" in faults:
        file = gzipped_in_members(csv, faults.value("multi_member", "members"))
    elif "corrupt_gzip" in faults:
        file = gzipped(csv)
        trailer = faults.value("corrupt_gzip", "where") == "trailer"  # 8 bytes, RFC 1952
        file = file.split(len(file) - 8)[0] if trailer else file.flipped(len(file) // 2)
    elif "content_encoding" in faults:
        file = gzipped(csv if faults.value("content_encoding", "of") == "plain" else gzipped(csv))
    elif "bomb" in faults:
        blocks, rest = divmod(faults.value("bomb", "expanded_bytes"), _CHUNK)
        file = gzipped(Body(((b"0" * _CHUNK, blocks), (b"0" * rest, 1))))
    return file


def content_disposition(name: str, *, only_rfc5987: bool = False) -> str:
    """Return the header for a file called ``name``, in the RFC 5987 form if a quoted string cannot hold the name."""
    if name.isascii() and name.isprintable() and not only_rfc5987:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'attachment; filename="{escaped}"'
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"
