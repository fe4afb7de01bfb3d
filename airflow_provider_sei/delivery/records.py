"""Counts CSV and JSON records in a stream of bytes: CSV as Python's ``csv`` module does, parsing only the last record.

A quoted cell may hold line breaks, and blank lines are no records. Any encoding that extends ASCII works undecoded.
Blocks of well-formed records are counted in a few calls into C; an exact walk over every quote does the rest.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from airflow_provider_sei.protocol.http import quotable

_LONGEST_HEADER = 64 * 1024  # bytes
_BOM = b"\xef\xbb\xbf"
_FIELD_END = re.compile(rb"[,\r\n]")
# A well-formed quoted cell. The pattern begins with its quote, because a literal is searched for fastest.
_QUOTED_CELL = re.compile(rb'"(?<![^,\r\n]")[^"]*+(?:""[^"]*+)*+"(?=[,\r\n])')
_BLANK_LINE = re.compile(rb"\n\n")  # three times as fast as bytes.find
_LONE_CR = re.compile(rb"\r(?!\n)")
_END_OF_FILLED_LINE = re.compile(rb"[^\n]\n")
# Few quotes are found faster one by one: bytes.find reads memory some ten times as fast as a pattern does.
_SAMPLE = 4096
_MANY = 12
_FILLED = re.compile(rb"[^\r\n]")
_FAILURE = re.compile(rb'\s*\{\s*"\w+"\s*:|.*</html>\s*$', re.IGNORECASE)  # in CSV, such JSON would be quoted
# Only where a record has one cell, so that its number of cells says nothing.
_ERROR = re.compile(rb"(?:Caused by: )?[\w$.]*(?:ERROR|FATAL|Error|Exception):|\s+(?:at [\w$.]+\(|\.\.\. \d)|[]}]+$")
_MAX_REST = 4096  # bytes of an unfinished record that wait for the next piece; more are walked
_BRACKETS = {"start_map": "{", "start_array": "["}
_LONGEST_VALUE = 16 * 1024 * 1024  # bytes of JSON

_RECORD_START, _FIELD_START, _UNQUOTED, _QUOTED, _QUOTE_IN_QUOTED = range(5)


class RecordCounter:
    """Count records piece by piece; all attributes are final after ``finish``."""

    records = rows = 0
    """Records so far, with the header, and in the end without it."""
    header = b""
    """The first record's bytes without its line end, cut at 64 KiB."""
    columns: tuple[str, ...] = ()
    """The header's cells; none if it is longer than 64 KiB."""
    last: Sequence[str] = ()
    """The last record's cells, in Latin-1; none if it is the header, or if one of both is very long."""
    separator = ","  # or a semicolon or tab, whichever the header has most of
    ends_in_quotes = False
    """Whether the last quoted cell is never closed, as in a file that was cut."""
    _state = _RECORD_START
    _rest = b""  # bytes that wait for the next piece
    _last = b""  # the last record, after others of its piece
    _more = b""  # its bytes in later pieces, not many more than 64 KiB
    _is_past_bom = False

    def feed(self, piece: bytes) -> None:
        """Count the records that end in the next piece."""
        block, self._rest = self._rest + piece, b""
        if not self._is_past_bom:
            if len(block) < len(_BOM):
                self._rest = block
                return
            block, self._is_past_bom = block.removeprefix(_BOM), True
        position = 0
        if self._state != _RECORD_START or self.records == 0:
            in_header = self.records == 0
            position = self._walk(block, 0, one_record=True)
            if in_header:
                header = (self.header + block[:position]).lstrip(b"\r\n")[:_LONGEST_HEADER]
                self.header = header.rstrip(b"\r\n") if self.records else header
        if self._state == _RECORD_START and _FILLED.search(block, position):
            self._last, self._more = block[position:], b""
        elif len(self._more) < _LONGEST_HEADER:
            self._more += block
        end = block.rfind(b"\n") + 1
        if self._state == _RECORD_START and self._count_lines(block[position:end]):
            position = max(position, end)
            if self._state == _RECORD_START and len(block) - position <= _MAX_REST:
                self._rest = block[position:]
                return
        self._walk(block, position)

    def finish(self, min_rows: int = 0) -> str:
        """Count a last record that has no line end, and return what is missing or wrong at the end; or nothing."""
        self._walk(self._rest, 0)
        self.header = self.header or self._rest.strip(b"\r\n")  # of a file that is shorter than a byte order mark
        self.ends_in_quotes = self._state == _QUOTED
        if self._state != _RECORD_START:
            self.records += 1
        self.rows = max(0, self.records - 1)
        if self.header and len(self.header) < _LONGEST_HEADER:
            text = self.header.decode("utf-8", "replace")
            self.separator = max(",;\t", key=text.count)
            self.columns = tuple(next(csv.reader(io.StringIO(text, newline=""), delimiter=self.separator)))
            if self.records > 1 and len(self._more) < _LONGEST_HEADER:
                lines = io.StringIO((self._last + self._more).decode("latin-1"), newline="")
                with suppress(csv.Error):  # a cell of more than csv.field_size_limit()
                    self.last = deque(filter(None, csv.reader(lines, delimiter=self.separator)), maxlen=1).pop()
        if self.rows < min_rows:
            return f"it has {self.rows} of {min_rows} records"
        header, last = self.columns, self.last
        line = (self._last + self._more).rstrip().rpartition(b"\n")[2]
        # Separators after the last cell do no harm. A stray quote joins rows, whose cells are then too many.
        is_uneven = last and any((*header[len(last) :], *last[len(header) :]))
        if is_uneven and not (self.ends_in_quotes and len(last) > len(header)):
            return f"row {self.records - 1}, its last, has {len(last)} instead of {len(header)} cells"
        is_error = _FAILURE.match(line) or (last == [line.decode("latin-1")] and _ERROR.match(line[:200]))
        return f"row {self.records - 1}, its last, is an error message" if is_error else ""

    def _count_lines(self, lines: bytes) -> bool:
        """Count the records in whole lines, unless a quote is where none may be."""
        if lines.startswith(b'"') and _all_quoted(lines[: lines.find(b"\n") + 1]) and (records := _all_quoted(lines)):
            self.records += records
            return True
        # A "_" replaces each well-formed quoted cell, at least up to the first other quote.
        if lines.count(b'"', 0, _SAMPLE) > _MANY:
            outside = _QUOTED_CELL.sub(b"_", lines)
        else:
            parts, position, start = [], 0, lines.find(b'"')
            while start >= 0 and (cell := _QUOTED_CELL.match(lines, start)):
                parts.append(lines[position:start])
                position = cell.end()
                start = lines.find(b'"', position)
            outside = b"_".join((*parts, lines[position:]))
        outside, quote, inside = outside.partition(b'"')
        if quote:
            # It opens a cell that goes on in the next piece, unless it is stray.
            follows_separator = not outside or outside[-1] in b",\r\n"
            if quote in inside or not lines.endswith(quote + inside) or not follows_separator:
                return False
            self._state = _QUOTED
        if b"\r" in outside:
            outside = outside.replace(b"\r", b"\n" if _LONE_CR.search(outside) else b"")
        outside = outside.lstrip(b"\n")
        if _BLANK_LINE.search(outside):
            self.records += len(_END_OF_FILLED_LINE.findall(outside))
        else:  # twice as fast as bytes.count, which compares byte by byte before Python 3.13
            self.records += len(outside) - len(outside.replace(b"\n", b""))
        return True

    def _walk(self, block: bytes, position: int, *, one_record: bool = False) -> int:
        """Follow every quote from ``position`` to the end of the block or of one record; return where it stopped."""
        records = self.records
        while position < len(block) and not (one_record and self.records > records):
            if self._state == _RECORD_START and block[position] in b"\r\n":
                position += 1  # a blank line, or the second half of CR LF
            elif self._state == _QUOTED:
                quote = block.find(b'"', position)
                position = quote + 1 or len(block)
                self._state = _QUOTED if quote < 0 else _QUOTE_IN_QUOTED
            elif self._state != _UNQUOTED and block[position] in b'"':
                self._state = _QUOTED  # it opens a cell, or is the second half of a doubled quote
                position += 1
            elif found := _FIELD_END.search(block, position):
                position = found.end()
                self._state = _FIELD_START if found[0] == b"," else _RECORD_START
                self.records += self._state == _RECORD_START
            else:
                self._state, position = _UNQUOTED, len(block)
        return position


class JsonCounter:
    """Check JSON and count the objects and lists in its outermost lists; only one name, text or number is held."""

    rows, header, columns, ends_in_quotes = 0, b"", (), False
    _start, _open, _has_list, _silent, _problem = b"", "", False, 0, ""  # brackets; bytes since the last event

    def __init__(self) -> None:
        import ijson  # type: ignore[import-untyped]  # only JSON needs it, and it has no annotations

        self._invalid = ijson.JSONError, ValueError, ArithmeticError
        self._events = ijson.sendable_list()
        # Without use_float, an integer of thousands of digits crashes ijson up to 3.6.
        self._parser = ijson.basic_parse_coro(self._events, use_float=True)

    def feed(self, piece: bytes) -> None:
        """Count the records that begin in the next piece."""
        if self._problem:
            return
        self._start = (self._start + piece)[:_LONGEST_HEADER]
        try:
            self._parser.send(piece)
        except self._invalid:
            self._problem = "is not well-formed or has a number beyond 64 bits"
        for event, value in self._events:
            if event in {"end_map", "end_array"}:
                self._open = self._open[:-1]
            elif bracket := _BRACKETS.get(event):
                self.rows += self._open.lstrip("{") == "["
                self._has_list |= bracket == "["
                self._open += bracket
            elif self._open == "[" or (event == "map_key" and value in {"error", "errors"} and self._open[-2:] == "[{"):
                self._problem = "has an error message in place of a record"
        self._silent = 0 if self._events else self._silent + len(piece)
        self._events.clear()
        if self._silent > _LONGEST_VALUE or len(self._open) > _LONGEST_HEADER:
            self._problem = "has a value that is too long or too deep"

    def finish(self, _min_rows: int = 0) -> str:
        """Return what is wrong, or nothing. Of the data, only an error message is quoted."""
        try:
            self._parser.close()
        except self._invalid:  # the last bracket was not there
            self._problem = self._problem or "is cut"
        if self._problem:
            return f"it {self._problem}, in or after record {self.rows}"
        message = quotable(self._start)[1]
        return f'it is an error: "{message}"' if message else "" if self._has_list else "it has no list of records"


def snake_case(name: str) -> str:
    """Return a column's name in lower case with underscores: ``Lead Time (mean)`` is ``lead_time_mean``."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()


def schema_change(expected: Sequence[str], found: Sequence[str]) -> str:
    """Return in one sentence which columns are missing, new or renamed; nothing if there are none."""
    missing, new = [name for name in expected if name not in found], [name for name in found if name not in expected]
    renamed = []
    for name in list(missing):
        folded = {snake_case(other): other for other in new}
        if close := difflib.get_close_matches(snake_case(name), folded, 1, 0.75):
            renamed.append(f"{name!r} to {folded[close[0]]!r}")
            missing.remove(name)
            new.remove(folded[close[0]])
    groups = {"missing": [*map(repr, missing)], "new": [*map(repr, new)], "renamed": renamed}
    words = "; ".join(f"{group} {', '.join(names)}" for group, names in groups.items() if names)
    return f"has other columns than expect_columns: {words}" if words else ""


def _all_quoted(lines: bytes) -> int:
    """Return the number of records in whole lines, or 0 unless all cells are quoted and none holds a quote."""
    end = b'"\r\n' if lines.endswith(b"\r\n") else b'"\n'
    # These three lead from inside a cell into the next one. If the only quotes left begin or end a record, every other
    # byte is inside a cell, including line breaks and further commas.
    borders = lines.replace(b'","', b",")
    records = borders.count(end + b'"', 1, len(borders) - len(end)) + 1
    is_exact = borders.startswith(b'"') and borders.endswith(end) and borders.count(b'"') == 2 * records
    return records if is_exact else 0
