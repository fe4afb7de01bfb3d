"""A delivered file passes only if it is what its task returned and what the server generated."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import requests

from demo import store
from demo.deliveries import deliveries, page_problems, problems
from demo.local_airflow import free_ports
from demo.processes import Processes
from demo.targets import Generated
from tests.lab import until

CSV = 'Name,Value\n"Ada\nAbara",1\nBjörn,2\n'.encode()
ZIPPED = gzip.compress(CSV, mtime=0)


def form(content: bytes, rows: int = 2) -> tuple[int, int, str]:
    """Return what the server lists for ``content``."""
    return len(content), rows, hashlib.sha256(content).hexdigest()


GENERATED: Generated = {"exp_0": {form(b"a\n1\n", 1)}, "exp_1": {form(CSV), form(ZIPPED)}}


def delivered(folder: Path, content: bytes = CSV, **changes: object) -> dict[str, Any]:
    """Write a file and return what its task returns, with ``changes``."""
    path = folder / "a b.csv"
    path.write_bytes(content)
    size, rows, sha256 = form(content)
    return {"uri": f"file://{path}", "bytes": size, "rows": rows, "sha256": sha256, "export_id": "exp_1", **changes}


@pytest.mark.parametrize("content", [CSV, ZIPPED])
@pytest.mark.parametrize("generated", [GENERATED, None])
def test_a_generated_file_passes(tmp_path: Path, content: bytes, generated: Generated | None) -> None:
    """Plain or gzip; a line break in a cell is no record. An account publishes nothing to compare with."""
    assert problems(delivered(tmp_path, content), generated) == []


@pytest.mark.parametrize(
    ("content", "changes", "generated", "words"),
    [
        *(
            (content, {}, GENERATED, "server generated")
            for content in (b"", CSV[:-1], CSV + CSV, CSV.replace(b"2", b"3"))
        ),
        *((CSV, {name: 1}, None, "its task returned") for name in ("rows", "bytes", "sha256")),
        *((CSV, {"export_id": name}, GENERATED, f"export {name}") for name in ("exp_0", "exp_9", None)),
    ],
)
def test_another_file_or_figure_is_reported(
    tmp_path: Path, *, content: bytes, changes: dict[str, object], generated: Generated | None, words: str
) -> None:
    """Even if its task is right about it; each figure is computed again."""
    assert words in problems(delivered(tmp_path, content, **changes), generated)[-1]


def test_an_object_in_the_bucket_is_read_as_well(tmp_path: Path) -> None:
    """From the program that the demo starts."""
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"

    def started() -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"{address}/{store.BUCKET}?policy", timeout=5).ok  # the last that it sets up
        return False

    with Processes(folder=tmp_path, components={"store": store.command(port)}).running(os.environ):
        until(started)
        requests.put(f"{address}/{store.BUCKET}/a b.csv", data=CSV, timeout=5).raise_for_status()
        result = delivered(tmp_path) | {"uri": f"s3://{store.BUCKET}/a b.csv"}
        assert problems(result, GENERATED, address) == []
        assert "cannot be read" in problems(result | {"uri": "s3://lake/b.csv"}, GENERATED, address)[0]


def test_deliveries_are_told_from_other_return_values() -> None:
    """A file that two tasks returned counts once."""
    result = {"uri": "file:///a", "bytes": 0, "rows": 0, "sha256": "x"}
    others = [None, "exp_1", [1], {"uri": "file:///b"}, {"page": "file:///c", "files": 1}]
    assert deliveries([*others, result, dict(result)]) == [result]


def test_a_page_must_name_each_file_with_records(tmp_path: Path) -> None:
    """By its checksum; a missing page or file is reported in one sentence."""
    result = delivered(tmp_path)
    empty = {**result, "rows": 0, "sha256": "0" * 64}
    page = tmp_path / "page.html"
    page.write_text(f"<p>{result['sha256']}")
    assert page_problems(f"file://{page}", [result, empty]) == []
    page.write_text("<p>")
    assert page_problems(f"file://{page}", [result, empty]) == [f"file://{page} does not name {result['uri']}"]
    (tmp_path / "a b.csv").unlink()
    assert "cannot be read" in problems(result, GENERATED)[0]
    assert "cannot be read" in page_problems(result["uri"], [])[0]
