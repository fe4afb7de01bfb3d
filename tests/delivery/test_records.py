"""Records are counted as Python's ``csv`` module reads them."""

from __future__ import annotations

import csv
import io
import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_sei.delivery import records
from airflow_provider_sei.delivery.records import RecordCounter

# Few characters and whole tokens: every neighbourhood of quotes, commas and line ends comes up.
TOKENS = st.sampled_from(
    ["a", "é", ",", '"', "\n", "\r", "\r\n", '""', '"x\ny",', '"a","b"\n', "a,b\n", '"a""b"', "\n\n", ",,", "\ufeff"]
)
TEXTS = st.lists(TOKENS, max_size=60).map("".join)


def counted(data: bytes, sizes: list[int] | None = None) -> RecordCounter:
    """Return the counter of ``data``, fed in pieces of these sizes in turn."""
    counter = RecordCounter()
    position, turn = 0, 0
    while sizes and position < len(data):
        counter.feed(data[position : position + sizes[turn % len(sizes)]])
        position += sizes[turn % len(sizes)]
        turn += 1
    if not sizes:
        counter.feed(data)
    counter.close()
    return counter


def read(text: str) -> list[list[str]]:
    """Return the records that ``csv`` reads."""
    return [record for record in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) if record]


@pytest.mark.parametrize("many", [-1, 12, 10_000])
@settings(max_examples=500)
@given(text=TEXTS, sizes=st.lists(st.integers(1, 40), max_size=4))
@example(text='a",",b\nc\n', sizes=[])
@example(text='\nx\na"\nb",c\n"\nd\n', sizes=[])
@example(text="\r\na\r\n", sizes=[2])
def test_the_count_is_that_of_the_csv_module(many: int, text: str, sizes: list[int]) -> None:
    """For any text, well-formed or not, however it is cut, and whichever way is chosen through its quotes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_MANY", many)
        assert counted(text.encode(), sizes).records == len(read(text))


@pytest.mark.parametrize("length", range(10))
def test_a_block_that_is_taken_for_all_quoted_is(length: int) -> None:
    """Each text of this length and a line break: its count is exact, or left to the slower ways."""
    for middle in map("".join, itertools.product('a,"\n', repeat=length)):
        text = f"{middle}\n"
        count = records._count_all_quoted(text.encode())
        assert count is None or (count == len(read(text)) and read(text + "end\n")[-1] == ["end"]), text


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_block_of_quoted_cells_is_counted_at_once(end: bytes) -> None:
    """With commas and line breaks in them, and empty ones; a doubled quote is for the slower ways."""
    block = end.join((b'"a","","b, c"', b'"","x\ny",","', b'"1","2","3"', b""))
    assert records._count_all_quoted(block) == 3
    assert records._count_all_quoted(block.replace(b"1", b'1""')) is None
    assert records._count_all_quoted(block.replace(b'"2"', b"2")) is None


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
    assert counted(text.getvalue().encode(), [size]).records == len(rows)


@pytest.mark.parametrize(
    ("line", "end"),
    [
        (b"a,b,c", b"\n"),
        (b"a,b,c", b"\r\n"),
        (b'"a","b","c"', b"\n"),
        (b'a,"b, ""c""\nd",e', b"\n"),
        (b'a,b"c,d', b"\n"),
    ],
)
def test_a_large_file_is_counted(line: bytes, end: bytes) -> None:
    """Block by block, with a quoted cell now and then or in every line, stray quotes too."""
    data = (line + end) * 20_000 + b"x" * 300 + end
    assert counted(data, [100_000]).records == 20_001


def test_blank_lines_are_no_records() -> None:
    """At the start, in the middle and at the end."""
    assert counted(b"\n\r\n\na,b\n\n\r\n1,2\n\n").records == 2


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_byte_order_mark_is_no_part_of_the_header(size: int) -> None:
    """Also when it comes in pieces."""
    counter = counted(b'\xef\xbb\xbf"a",b\n1,2\n', [size])
    assert (counter.records, counter.header) == (2, b'"a",b')


def test_the_header_is_the_first_record_with_its_line_breaks() -> None:
    """Blank lines before it do not count, and a quoted name may hold a line break."""
    assert counted(b'\n\n"a\nb",c\r\n1,2\r\n', [3]).header == b'"a\nb",c'


def test_a_header_without_an_end_is_cut() -> None:
    """A file of a single endless line does not fill the memory."""
    counter = counted(b"x" * 1_000_000, [70_000])
    assert (counter.records, len(counter.header)) == (1, 64 * 1024)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n"])
def test_nothing_is_no_record(data: bytes) -> None:
    """And there is no header."""
    counter = counted(data)
    assert (counter.records, counter.header) == (0, b"")


def test_a_torn_byte_order_mark_is_content() -> None:
    """A file of two bytes has one record."""
    assert counted(b"\xef\xbb").records == 1


def test_a_quote_that_is_open_for_hundreds_of_lines_is_one_record() -> None:
    """Where no line break near the end of a block is outside of quotes, the block is read byte by byte."""
    data = b'a,b\n1,"' + b"x\n" * 500 + b'"\n2,y\n'
    assert counted(data, [700]).records == 3


@pytest.mark.parametrize(
    ("data", "cut"),
    [(b'a,b\n1,"x', True), (b'a,b\n1,"x\n2,y\n', True), (b'a,b\n1,"x"', False), (b'a,b\n1,x"', False), (b"a\n", False)],
)
@pytest.mark.parametrize("size", [1, 700])
def test_a_quote_that_is_never_closed_is_told(data: bytes, cut: bool, size: int) -> None:  # noqa: FBT001 - a parameter
    """As in a file that was cut within a cell."""
    assert counted(data, [size]).ends_in_quotes is cut
