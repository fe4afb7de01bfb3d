"""What the tasks say they delivered, checked against the files and against what the server generated."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["Delivery", "Generated", "Page", "page_problems", "problems"]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The part of a delivering task's return value that can be checked."""

    uri: str
    bytes: int
    rows: int
    """CSV records without the header."""
    sha256: str
    export_id: str | None
    """``None`` for a legacy report."""

    @classmethod
    def of(cls, returned: object) -> Delivery | None:
        """Return the delivery that a task returned, or ``None`` if it returned something else."""
        if not isinstance(returned, dict) or not {"uri", "bytes", "rows", "sha256"} <= returned.keys():
            return None
        names = ("uri", "bytes", "rows", "sha256")
        return cls(**{name: returned[name] for name in names}, export_id=returned.get("export_id"))

    def __str__(self) -> str:
        return f"delivered {self.uri} rows={self.rows} bytes={self.bytes} sha256={self.sha256}"

    @property
    def path(self) -> Path:
        """The delivered file; the demo delivers to local folders only."""
        return Path(unquote(urlsplit(self.uri).path))


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that a task made of delivered files."""

    uri: str

    @classmethod
    def of(cls, returned: object) -> Page | None:
        """Return the page that a task returned, or ``None`` if it returned something else."""
        return cls(uri=returned["page"]) if isinstance(returned, dict) and "page" in returned else None

    @property
    def path(self) -> Path:
        """The page; the demo writes to local folders only."""
        return Path(self.uri.removeprefix("file://"))


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One file as the server generated it: the CSV, and the body it hands out, which may be gzip."""

    export_id: str | None
    """``None`` for a legacy report."""
    rows: int
    forms: frozenset[tuple[int, str]]
    """Size in bytes and sha256 of each form in which it may be stored."""


def problems(delivery: Delivery, generated: Sequence[Generated] | None) -> list[str]:
    """Return one sentence for each way in which the delivered file is not what it should be.

    Without ``generated`` (a real account does not tell) the file is held against what its task said of it alone.
    """
    try:
        content = delivery.path.read_bytes()
    except OSError as error:
        return [f"{delivery.uri} cannot be read: {error}"]
    actual: dict[str, Any] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": _rows(content),
    }
    found = [
        f"{delivery.uri}: the task says {name}={getattr(delivery, name)}, the file has {name}={value}"
        for name, value in actual.items()
        if getattr(delivery, name) != value
    ]
    if generated is not None:
        found += _differences(delivery, actual, generated)
    return found


def page_problems(page: Page, deliveries: Sequence[Delivery]) -> list[str]:
    """Return one sentence for each file with records that ``page`` was to be made of, and does not name."""
    try:
        text = page.path.read_text("utf-8")
    except OSError as error:
        return [f"{page.uri} cannot be read: {error}"]
    return [
        f"{page.uri} does not tell of {delivery.uri}"
        for delivery in deliveries
        if delivery.rows and delivery.sha256 not in text
    ]


def _differences(delivery: Delivery, actual: dict[str, Any], generated: Sequence[Generated]) -> list[str]:
    form = (actual["bytes"], actual["sha256"])
    candidates = [one for one in generated if one.export_id == delivery.export_id]
    if not candidates:
        return [f"{delivery.uri}: the server knows no export {delivery.export_id}"]
    same = [one for one in candidates if form in one.forms]
    if not same:
        return [f"{delivery.uri}: {form[0]} bytes with sha256 {form[1]} are not what the server generated"]
    if all(one.rows != actual["rows"] for one in same):
        return [f"{delivery.uri}: {actual['rows']} rows, the server generated {same[0].rows}"]
    return []


def _rows(content: bytes) -> int:
    """Return the number of CSV records after the header; a cell may hold line breaks."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    records = sum(1 for _ in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    return max(records - 1, 0)
