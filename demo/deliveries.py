"""Compares delivered files with what their tasks returned and with what the server generated."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from demo import store
from demo.targets import Generated

__all__ = ["deliveries", "page_problems", "problems"]


def deliveries(returned: Iterable[object]) -> list[Mapping[str, Any]]:
    """Return those of the tasks' return values that describe a delivered file, each file once."""
    results = [
        each for each in returned if isinstance(each, dict) and {"uri", "bytes", "rows", "sha256"} <= each.keys()
    ]
    return list({each["uri"]: each for each in results}.values())


def problems(result: Mapping[str, Any], generated: Generated | None, bucket: str = "") -> list[str]:
    """Return what is wrong with a delivered file; without ``generated``, only compare it with its task's figures.

    :param bucket: address of the server that has the ``s3://`` objects.
    """
    uri, export_id = result["uri"], result.get("export_id")
    try:
        content = store.read(bucket, key) if (key := uri.partition("s3://")[2]) else _path(uri).read_bytes()
    except OSError as error:
        return [f"{uri} cannot be read: {error}"]
    found = []
    actual = (len(content), _count_records(content), hashlib.sha256(content).hexdigest())
    if (reported := (result["bytes"], result["rows"], result["sha256"])) != actual:
        found.append(f"{uri} has bytes, rows and sha256 {actual}, its task returned {reported}")
    if generated is not None and actual not in (forms := generated.get(export_id, set())):
        found.append(f"{uri} has {actual}, the server generated {forms} for export {export_id}")
    return found


def page_problems(page: str, delivered: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return which of the delivered files with records an HTML page does not name."""
    try:
        text = _path(page).read_text("utf-8")
    except OSError as error:
        return [f"{page} cannot be read: {error}"]
    return [f"{page} does not name {each['uri']}" for each in delivered if each["rows"] and each["sha256"] not in text]


def _path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def _count_records(content: bytes) -> int:
    """Return the number of CSV records without the header; a cell can contain line breaks."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    records = sum(1 for _ in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    return max(records - 1, 0)
