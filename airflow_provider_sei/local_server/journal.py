"""What the server saw and handed out, as values for tests. Keys are never among them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.data import CsvFile
from airflow_provider_sei.local_server.exports import Export, ExportStore

__all__ = ["ExportRecord", "Journal", "LegacyRecord", "RequestRecord", "export_record"]


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """One request, without its key."""

    at: float
    """When it came, by the server's clock."""
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    header_names: tuple[str, ...]
    auth: str | None
    """The header that carried the key, or ``None``; the first one if there were several."""
    user_agent: str
    operation: str
    """``create``, ``status``, ``download``, ``list``, ``legacy``, a team operation, or ``unknown``."""
    family: str | None
    status: int | None
    """The status that was answered; ``None`` if the connection was closed without an answer."""
    faults: tuple[str, ...] = ()
    """The effects that befell it."""


@dataclass(frozen=True, kw_only=True)
class LegacyRecord:
    """One legacy report that was handed out."""

    request: dict[str, Any]
    filename: str
    csv_bytes: int
    csv_sha256: str
    body_bytes: int
    body_sha256: str
    rows: int
    """CSV records behind the header."""
    records: int
    """All CSV records, the header included; 0 for an empty report."""
    csv: bytes


@dataclass(frozen=True, kw_only=True)
class ExportRecord:
    """One export as the server knows it. What is said of its file is ``None`` unless it ended well."""

    export_id: str
    family: str
    status: str
    """In lower case."""
    created_at: float
    requested: int
    """How many create requests were answered with it; 1 means never reused."""
    downloads: int
    request: dict[str, Any]
    filename: str | None = None
    csv_bytes: int | None = None
    csv_sha256: str | None = None
    body_bytes: int | None = None
    """Size of the file as it is handed out: gzip or the CSV itself."""
    body_sha256: str | None = None
    rows: int | None = None
    """CSV records behind the header."""
    records: int | None = None
    """All CSV records, the header included."""
    body: Body | None = None
    """The CSV; ``record.csv`` gives its bytes."""

    @property
    def csv(self) -> bytes:
        """The CSV's bytes; empty if there is no file."""
        return self.body.content() if self.body else b""


def export_record(store: ExportStore, export: Export, now: float) -> ExportRecord:
    """Return what the server knows of ``export``; measuring a file of a gigabyte takes a second or two."""
    status = export.status(now)
    common: dict[str, Any] = {
        "export_id": export.export_id,
        "family": export.family.name,
        "status": status,
        "created_at": export.created_at,
        "requested": export.requested,
        "downloads": export.downloads,
        "request": export.request,
    }
    if status != "completed":
        return ExportRecord(**common)
    csv, file = store.csv(export), store.file(export)
    sha256 = csv.body.sha256()
    return ExportRecord(
        **common,
        filename=store.filename(export),
        csv_bytes=len(csv.body),
        csv_sha256=sha256,
        body_bytes=len(file),
        body_sha256=file.sha256() if store.is_gzip(export) else sha256,
        rows=csv.rows,
        records=csv.rows + 1,
        body=csv.body,
    )


class Journal:
    """The requests and legacy reports of one server, the newest ``kept`` of each."""

    def __init__(self, kept: int) -> None:
        self._requests: deque[RequestRecord] = deque(maxlen=kept)
        self._legacy: deque[LegacyRecord] = deque(maxlen=kept)
        self._counts: Counter[tuple[str, int | None]] = Counter()
        self._lock = threading.Lock()

    def add(self, record: RequestRecord) -> None:
        """Keep one request."""
        with self._lock:
            self._requests.append(record)
            self._counts[record.operation, record.status] += 1

    def add_legacy(self, request: dict[str, Any], filename: str, file: CsvFile) -> None:
        """Keep one legacy report."""
        csv, sha256 = file.body.content(), file.body.sha256()
        record = LegacyRecord(
            request=request,
            filename=filename,
            csv_bytes=len(csv),
            csv_sha256=sha256,
            body_bytes=len(csv),
            body_sha256=sha256,
            rows=file.rows,
            records=file.rows + 1 if csv else 0,
            csv=csv,
        )
        with self._lock:
            self._legacy.append(record)

    def requests(self) -> list[RequestRecord]:
        """Return the requests in the order of their answers."""
        with self._lock:
            return list(self._requests)

    def legacy_reports(self) -> list[LegacyRecord]:
        """Return the legacy reports."""
        with self._lock:
            return list(self._legacy)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many requests there were, by operation and by answered status, not only of the kept ones."""
        operations: Counter[str] = Counter()
        answers: Counter[str] = Counter()
        with self._lock:
            for (operation, status), count in self._counts.items():
                operations[operation] += count
                answers[str(status)] += count
        return {"operations": dict(operations), "answers": dict(answers)}
