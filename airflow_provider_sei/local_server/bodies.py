"""Bytes to be sent, described rather than held: a gigabyte is one block and how often it comes.

Everything here is a value; a body can be measured, hashed, cut, damaged and gzipped without ever being in memory whole.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Body", "gzipped", "gzipped_in_members"]

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

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in pieces of at most 1 MiB."""
        for block, times in self.parts:
            for _ in range(times):
                if len(block) <= _CHUNK:
                    yield block
                else:
                    yield from (block[start : start + _CHUNK] for start in range(0, len(block), _CHUNK))

    def content(self) -> bytes:
        """Return all bytes at once; for small bodies."""
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
        return Body(_without_nothing(first)), Body(_without_nothing(rest))

    def flipped(self, at: int) -> Body:
        """Return this body with all bits of the byte at ``at`` turned over."""
        before, rest = self.split(at)
        byte, after = rest.split(1)
        return before + Body.of(bytes(value ^ 0xFF for value in byte.content())) + after


def _without_nothing(parts: list[tuple[bytes, int]]) -> tuple[tuple[bytes, int], ...]:
    return tuple((block, times) for block, times in parts if block and times)


def gzipped(body: Body) -> Body:
    """Return ``body`` as one gzip member; a block that comes a thousand times is compressed once."""
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
    """Return ``body`` as ``members`` gzip members of about the same size, one after the other."""
    size = len(body)
    result = Body()
    for number in range(members, 0, -1):
        piece, body = body.split(size // members if number > 1 else len(body))
        result += gzipped(piece)
    return result
