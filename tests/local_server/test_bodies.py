"""Bodies: bytes described by repeated blocks."""

from __future__ import annotations

import gzip

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.local_server.bodies import Body, gzipped, gzipped_in_members

BODIES = st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 4)), max_size=4).map(lambda parts: Body(tuple(parts)))


@given(BODIES, st.integers(-1, 100), st.integers(1, 9))
def test_a_body_can_be_measured_split_and_sent_in_pieces(body: Body, at: int, size: int) -> None:
    """Nothing is lost or added."""
    content = body.content()
    first, rest = body.split(at)
    chunks = list(body.chunks(size))
    assert len(body) == len(content)
    assert (first.content(), rest.content()) == (content[: max(at, 0)], content[max(at, 0) :])
    assert b"".join(chunks) == content
    assert all(len(chunk) <= size for chunk in chunks)


@given(BODIES, st.integers(1, 4))
def test_gzip_bodies_decompress_to_their_content(body: Body, members: int) -> None:
    """With one member or several; without a time in the header, so that the same content gives the same file."""
    compressed = gzipped(body).content()
    assert gzip.decompress(compressed) == body.content()
    assert gzip.decompress(gzipped_in_members(body, members).content()) == body.content()
    assert compressed[4:8] == b"\0\0\0\0"


def test_a_repeated_block_is_compressed_once() -> None:
    """A file of gigabytes takes little memory, compressed as well."""
    compressed = gzipped(Body(((b"a,b,c\n" * 1000, 100_000),)))
    assert sum(len(block) for block, _ in compressed.parts) < 1000


def test_a_flipped_byte_is_the_only_difference() -> None:
    """Also inside a repeated block."""
    assert Body(((b"abc", 2),)).flipped(4).content() == b"abca" + bytes([ord("b") ^ 0xFF]) + b"c"
