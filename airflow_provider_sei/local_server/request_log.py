"""Requests, exports and legacy reports of a server as values, without API keys."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.datasets import CsvFile

__all__ = ["ExportRecord", "FileRecord", "LegacyRecord", "RequestLog", "RequestRecord", "describe_file"]


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """One request, without its key."""

    at: float
    """Time by the server's clock."""
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    header_names: tuple[str, ...]
    auth: str | None
    """The header with the key (the first one if there are several), or ``None``."""
    user_agent: str
    operation: str
    """``create``, ``status``, ``download``, ``list``, ``legacy``, a team operation, or ``unknown``."""
    family: str | None
    status: int | None
    """The status of the answer; ``None`` if the connection was closed without one."""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A file and the request for it. Everything about the file is ``None`` if there is none."""

    request: dict[str, Any]
    filename: str | None = None
    csv_bytes: int | None = None
    csv_sha256: str | None = None
    body_bytes: int | None = None
    """Size of the file as it is sent: gzip or the CSV itself."""
    body_sha256: str | None = None
    rows: int | None = None
    """CSV records, without the header."""
    records: int | None = None
    """CSV records, with the header; 0 for an empty file."""
    body: Body | None = None
    """The CSV; ``record.csv`` returns its bytes."""

    @property
    def csv(self) -> bytes:
        """The CSV's bytes; empty if there is no file."""
        return self.body.content() if self.body else b""


@dataclass(frozen=True, kw_only=True)
class LegacyRecord(FileRecord):
    """One legacy report that was sent."""


@dataclass(frozen=True, kw_only=True)
class ExportRecord(FileRecord):
    """One export; it has a file once it is completed."""

    export_id: str
    family: str
    status: str
    created_at: float
    requested: int
    """How many create requests were answered with it; 1 means never reused."""
    downloads: int


def describe_file(name: str, csv: CsvFile, file: Body) -> dict[str, Any]:
    """Return the fields of a :class:`FileRecord` about a file; a gigabyte takes a second or two."""
    sha256 = csv.body.sha256()
    return {
        "filename": name,
        "csv_bytes": len(csv.body),
        "csv_sha256": sha256,
        "body_bytes": len(file),
        "body_sha256": file.sha256() if file.is_gzip else sha256,
        "rows": csv.rows,
        "records": csv.rows + 1 if len(csv.body) else 0,
        "body": csv.body,
    }


class RequestLog:
    """The newest ``kept`` requests and legacy reports of one server, and the number of all requests."""

    def __init__(self, kept: int) -> None:
        self.requests: deque[RequestRecord] = deque(maxlen=kept)
        self.legacy_reports: deque[LegacyRecord] = deque(maxlen=kept)
        self.counts: dict[str, Counter[str]] = {"operations": Counter(), "answers": Counter()}

    def add(self, record: RequestRecord) -> None:
        """Add a request."""
        self.requests.append(record)
        self.counts["operations"][record.operation] += 1
        self.counts["answers"][str(record.status)] += 1
