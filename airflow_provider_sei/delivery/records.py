"""Counts CSV records in a stream of bytes, exactly as Python's ``csv`` module would, without parsing fields.

A record is not a line: a quoted cell may hold line breaks. Blank lines are no records. UTF-8 and every other encoding
that keeps ASCII bytes to themselves can be counted without decoding.

Two ways lead through a piece: a walk that follows every quote, exact for any bytes, and a count over whole blocks, many
times faster, taken wherever a block is plainly well-formed.
"""

from __future__ import annotations

import re
from enum import Enum, auto

__all__ = ["RecordCounter"]

_LONGEST_HEADER = 64 * 1024  # bytes
_BOM = b"\xef\xbb\xbf"
_QUOTE = ord('"')
_LINE_END = b"\r\n"
_FIELD_END = re.compile(rb"[,\r\n]")
_END_OF_FILLED_LINE = re.compile(rb"[^\n]\n")
_TRIES = 100  # line breaks to look back over for one outside quotes


class _At(Enum):
    RECORD_START = auto()
    FIELD_START = auto()
    UNQUOTED = auto()
    QUOTED = auto()
    QUOTE_IN_QUOTED = auto()


class RecordCounter:
    """Fed with a file piece by piece; ``records`` and ``header`` are final after ``close``."""

    def __init__(self) -> None:
        self.records = 0
        """Records so far, the header among them."""
        self.header = b""
        """The first record's bytes without its line end, cut at 64 KiB."""
        self._at = _At.RECORD_START
        self._started = b""  # the file's first bytes, until they are enough to tell a byte order mark
        self._beyond_bom = False

    def feed(self, chunk: bytes) -> None:
        """Take in the next piece."""
        if not self._beyond_bom:
            self._started += chunk
            if len(self._started) < len(_BOM) and _BOM.startswith(self._started):
                return
            chunk, self._started, self._beyond_bom = self._started.removeprefix(_BOM), b"", True
        position = 0
        if self._at is not _At.RECORD_START or self.records == 0:
            position = self._walk(chunk, 0, one_record=True)
        if self._at is _At.RECORD_START:
            end = _last_break_outside_quotes(chunk, position)
            counted = _count_block(chunk[position:end])
            if counted is not None:
                self.records += counted
                position = end
        self._walk(chunk, position)

    def close(self) -> None:
        """Count a last record that has no line end."""
        if self._started:
            self._walk(self._started, 0)
        if self._at is not _At.RECORD_START:
            self.records += 1

    def _walk(self, block: bytes, position: int, *, one_record: bool = False) -> int:
        start, records = position, self.records
        while position < len(block) and not (one_record and self.records > records):
            if self._at is _At.RECORD_START and block[position] in _LINE_END:
                position += 1  # a blank line, or the second half of CR LF
                start = position
            elif self._at is _At.QUOTED:
                position = self._to_quote(block, position)
            elif self._at is not _At.UNQUOTED and block[position] == _QUOTE:
                # It opens a cell, or, after a quote inside one, is the second half of a doubled quote.
                self._at = _At.QUOTED
                position += 1
            else:
                position = self._to_field_end(block, position, start)
        if self.records == records:
            self._keep_header(block[start:])
        return position

    def _to_quote(self, block: bytes, position: int) -> int:
        quote = block.find(b'"', position)
        if quote < 0:
            return len(block)
        self._at = _At.QUOTE_IN_QUOTED
        return quote + 1

    def _to_field_end(self, block: bytes, position: int, start: int) -> int:
        found = _FIELD_END.search(block, position)
        if found is None:
            self._at = _At.UNQUOTED
            return len(block)
        if found.group() == b",":
            self._at = _At.FIELD_START
        else:
            self._keep_header(block[start : found.start()])
            self.records += 1
            self._at = _At.RECORD_START
        return found.end()

    def _keep_header(self, part: bytes) -> None:
        if self.records == 0 and len(self.header) < _LONGEST_HEADER:
            self.header += part[: _LONGEST_HEADER - len(self.header)]


def _last_break_outside_quotes(block: bytes, start: int) -> int:
    """Return the end of the last line that leaves no quote open, or ``start`` if none is near."""
    end = block.rfind(b"\n", start) + 1 or start
    quotes = block.count(b'"', start, end)
    for _ in range(_TRIES):
        if quotes % 2 == 0:
            return end
        earlier = block.rfind(b"\n", start, end - 1) + 1 or start
        quotes -= block.count(b'"', earlier, end)
        end = earlier
    return start


def _count_block(block: bytes) -> int | None:
    """Count the records of whole lines, or return ``None`` if a quote stands where the CSV format has none."""
    if b'"' in block:
        parts = block.split(b'"')
        # Between an opening and a closing quote lies every second part; doubled quotes leave empty ones outside.
        outside = [parts[0], *filter(None, parts[2:-1:2]), parts[-1]]
        block = b'"'.join(outside)
        quotes = len(outside) - 1
        opened = sum(block.count(mark) for mark in (b',"', b'\n"', b'\r"')) + block.startswith(b'"')
        closed = sum(block.count(mark) for mark in (b'",', b'"\n', b'"\r'))
        if opened != quotes or closed != quotes:
            return None
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\n\n" in block or block.startswith(b"\n"):
        return len(_END_OF_FILLED_LINE.findall(block))
    return block.count(b"\n")
