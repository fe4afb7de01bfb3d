"""Bodies: bytes described by blocks and repetitions."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.local_server.bodies import Body, gzipped, gzipped_in_members

BODIES = st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 4)), max_size=4).map(lambda parts: Body(tuple(parts)))


@given(BODIES, st.integers(-1, 100))
def test_splitting_a_body_loses_and_adds_nothing(body: Body, at: int) -> None:
    """The two halves are exactly the bytes before and from the given position."""
    first, rest = body.split(at)
    assert first.content() == body.content()[: max(at, 0)]
    assert first.content() + rest.content() == body.content()


@given(BODIES)
def test_the_length_of_a_body_is_that_of_its_content(body: Body) -> None:
    """Measuring needs no content."""
    assert len(body) == len(body.content())


@given(BODIES, st.integers(1, 4))
def test_gzip_bodies_unpack_to_what_went_in(body: Body, members: int) -> None:
    """One member or several: the standard library reads them."""
    assert gzip.decompress(gzipped(body).content()) == body.content()
    assert gzip.decompress(gzipped_in_members(body, members).content()) == body.content()


def test_a_gigabyte_is_gzipped_from_one_block() -> None:
    """What is repeated is compressed once, so that the compressed body is described as briefly as the plain one."""
    compressed = gzipped(Body(((b"a,b,c\n" * 1000, 100_000),)))
    assert sum(len(block) for block, _ in compressed.parts) < 1000


def test_the_same_content_gives_the_same_gzip_file() -> None:
    """No time of day is in the header."""
    assert gzipped(Body.of(b"x")).content()[4:8] == b"\0\0\0\0"


def test_a_flipped_byte_is_the_only_difference() -> None:
    """All bits of one byte are turned over, inside a repeated block too."""
    assert Body(((b"abc", 2),)).flipped(4).content() == b"abca" + bytes([ord("b") ^ 0xFF]) + b"c"


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_chunks_are_at_most_a_mebibyte(size: int) -> None:
    """Large blocks are cut for sending."""
    chunks = list(Body.of(b"x" * size).chunks())
    assert sum(map(len, chunks)) == size
    assert max(map(len, chunks)) <= 1 << 20
