"""Records are counted as Python's ``csv`` module reads them."""

from __future__ import annotations

import csv
import io
import itertools
import json
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_sei.delivery.records import JsonCounter, RecordCounter

# Few characters and whole tokens: every neighbourhood of quotes, commas and line ends comes up.
TOKENS = st.sampled_from(
    ["a", "é", ",", '"', "\n", "\r", "\r\n", '""', '"x\ny",', '"a","b"\n', "a,b\n", '"a""b"', "\n\n", ",,", "\ufeff"]
)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Yield pieces of these sizes in turn."""
    position = 0
    for size in itertools.cycle(sizes or [max(1, len(data))]):
        if position >= len(data):
            return
        yield data[position : position + size]
        position += size


def counted(data: bytes, *sizes: int) -> RecordCounter:
    """Return the counter of ``data``, fed in pieces of these sizes in turn."""
    counter = RecordCounter()
    for piece in cut(data, [*sizes]):
        counter.feed(piece)
    counter.finish()
    return counter


def read(text: str) -> list[list[str]]:
    """Return the records that ``csv`` reads."""
    return [record for record in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) if record]


@settings(max_examples=1500)
@given(text=st.lists(TOKENS, max_size=60).map("".join), sizes=st.lists(st.integers(1, 40), max_size=4))
@example(text='a",",b\nc\n', sizes=[])
@example(text='\nx\na"\nb",c\n"\nd\n', sizes=[])
@example(text="\r\na\r\n", sizes=[2])
@example(text='"a","b"\n\r\n\n\n"\n"x\ny","a","b"\na', sizes=[1, 9, 25])
@example(text='\nx\n"\n"x\ny",z\nb\n', sizes=[3, 40])
@example(text='h\n"a"\n"x"b"\n"\nz\n', sizes=[2, 12])
def test_the_count_is_that_of_the_csv_module(text: str, sizes: list[int]) -> None:
    """For any text, well-formed or not, however it is cut; so are the cells of the first and the last."""
    counter, records = counted(text.encode(), *sizes), read(text)
    assert counter.records == len(records)
    if len(records) > 1:
        assert (list(counter.columns), [len(cell) for cell in counter.last]) == (
            records[0],
            [len(cell.encode()) for cell in records[-1]],
        )


def test_every_short_text_after_a_header_is_counted() -> None:
    """A second piece of whole lines is counted in blocks; what follows it depends on the quotes in it."""
    for length in range(8):
        for middle in map("".join, itertools.product('a,"\n', repeat=length)):
            text = f"h\n{middle}\nend\n"
            assert counted(text.encode(), 2, length + 1, 4).records == len(read(text)), text


@given(
    st.lists(st.lists(st.text("ab\"',;\né 1", min_size=1, max_size=6), min_size=1, max_size=5), max_size=120),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.integers(1, 5000),
)
def test_what_a_csv_writer_writes_is_counted(rows: list[list[str]], end: str, quoting: int, size: int) -> None:
    """With few quoted cells or many, and line breaks inside them."""
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=quoting).writerows(rows)
    assert counted(text.getvalue().encode(), size).records == len(rows)


@pytest.mark.parametrize(
    ("line", "end"),
    [
        (b"a,b,c", b"\n"),
        (b"a,b,c", b"\r\n"),
        (b'"a","","b, c"', b"\r\n"),
        (b'"a","b\nb","c"', b"\n"),
        (b'a,"b, ""c""\nd",e', b"\n"),
        (b'a,b"c,d', b"\n"),
        (b"a,b,c\n", b"\n"),
    ],
)
def test_a_large_file_is_counted(line: bytes, end: bytes) -> None:
    """Block by block, with a quoted cell now and then or in every line, blank lines and stray quotes too."""
    data = (line + end) * 20_000 + b"x" * 300 + end
    assert counted(data, 100_000).records == 20_001


@pytest.mark.parametrize("line", [b',"', b',"x""y', b',"""x', b'a,"' + b'""' * 500, b'"\n"x'])
def test_hostile_quotes_take_no_time(line: bytes) -> None:
    """Whatever they are, the time grows with the size alone."""
    data = b"h\n" + line * (1_000_000 // len(line)) + b"\n"
    started = time.process_time()
    counted(data, 128 * 1024)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("data", "records", "header"),
    [
        (b'\xef\xbb\xbf"a",b\n1,2\n', 2, b'"a",b'),
        (b'\n\n"a\nb",c\r\n1,2\r\n', 2, b'"a\nb",c'),
        (b"\n\r\n\na,b\n\n\r\n1\n\n", 2, b"a,b"),
        (b"", 0, b""),
        (b"\xef\xbb\xbf", 0, b""),
        (b"\n", 0, b""),
        (b"\xef\xbb", 1, b"\xef\xbb"),  # a torn byte order mark is content
        (b"x" * 70_000, 1, b"x" * 64 * 1024),  # a file of a single endless line does not fill the memory
    ],
    ids=range(8),
)
def test_the_header_is_the_first_record(data: bytes, records: int, header: bytes, size: int) -> None:
    """With its line breaks; blank lines and a byte order mark are no part of it, also when it comes in pieces."""
    counter = counted(data, size)
    assert (counter.records, counter.header) == (records, header)


@pytest.mark.parametrize(
    ("data", "is_cut"),
    [(b'a,b\n1,"x', True), (b'a,b\n1,"x\n2,y\n', True), (b'a,b\n1,"x"', False), (b'a,b\n1,x"', False), (b"a\n", False)],
)
@pytest.mark.parametrize("size", [1, 700])
def test_a_quote_that_is_never_closed_is_reported(data: bytes, *, is_cut: bool, size: int) -> None:
    """As in a file that was cut within a cell."""
    assert counted(data, size).ends_in_quotes is is_cut


DOCUMENT = b' [{"a": [1.5e3, {"b": null}], "c\\u00e9": "x\\"]"}, {}, [true, "", -0],\n{"d": []}] '
PLACES = range(len(DOCUMENT) - 1)


def json_counted(data: bytes, size: int = 1 << 17) -> tuple[int, str]:
    """Return the number of records, and the problem, of ``data`` in pieces of this size."""
    counter = JsonCounter()
    for piece in cut(data, [size]):
        counter.feed(piece)
    problem = counter.finish()
    return counter.rows, problem


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(
    records=st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3) | st.lists(VALUES, max_size=2)),
    outer=st.lists(st.sampled_from(["data", "page"]), max_size=2),
    size=st.integers(1, 30),
    ascii_only=st.booleans(),
)
def test_json_records_are_counted_however_it_is_cut(
    *, records: list[Any], outer: list[str], size: int, ascii_only: bool
) -> None:
    """As a list, or in an object around it."""
    document: Any = records
    for name in outer:
        document = {"total": 5, name: document}
    data = json.dumps(document, ensure_ascii=ascii_only).encode(errors="replace")
    assert json_counted(data, size) == (len(records), "")


@pytest.mark.parametrize("size", [1, 7, 1 << 17])
def test_json_that_is_cut_anywhere_is_cut(size: int) -> None:
    """At every byte up to the last bracket; blanks may follow it, and nothing else."""
    assert json_counted(DOCUMENT, size) == (4, "")
    for place in PLACES:
        assert json_counted(DOCUMENT[:place], size)[1], DOCUMENT[:place]
    for more in (b"]", b"{}", b"\0", b",", b"Internal Server Error", DOCUMENT):
        assert "not well-formed" in json_counted(DOCUMENT + more, size)[1]


@pytest.mark.parametrize("place", PLACES)
def test_json_that_is_changed_anywhere_is_judged_as_by_python(place: int) -> None:
    """A byte is lost, doubled or another one; what is still JSON is counted."""
    for change in (b"", DOCUMENT[place : place + 1] * 2, *(bytes([byte]) for byte in b'[]{}",:x0\\\0\xff\n')):
        data = DOCUMENT[:place] + change + DOCUMENT[place + 1 :]
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        rows, problem = json_counted(data)
        assert bool(problem) == (value is None), data
        assert problem or rows == len(value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'["' + b"x" * (17 << 20), "too long or too deep"),
        (b"[" * 100_000, "too long or too deep"),
        (b"[[" + b"1" * 5000 + b"]]", "a number beyond 64 bits, in or after record 1"),
        (b'{"a": "b"}', "no list of records"),
        (b"[{}, 5]", "error message in place of a record, in or after record 1"),
        (b'[{"errors": []}]', "error message in place of a record, in or after record 1"),
        (b'{"message": "Gone", "errors": []}', 'it is an error: "Gone"'),
    ],
    ids=["long", "deep", "digits", "object", "number", "errors", "message"],
)
def test_json_in_place_of_records_is_a_problem(data: bytes, words: str) -> None:
    """Also if it would have to be held to be checked, or is a number that Python does not read."""
    assert words in json_counted(data)[1]


def test_json_is_not_held() -> None:
    """What is in memory does not grow with the file."""
    piece, held, counter = b'{"name": "value", "number": 1.5},' * 1000, list[int](), JsonCounter()
    counter.feed(b"[")
    tracemalloc.start()
    for _ in range(40):
        counter.feed(piece)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert counter.rows == 40_000
    assert max(held[5:]) - held[4] < len(piece)
