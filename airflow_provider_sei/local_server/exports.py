"""The exports that the server remembers: created when, in which state by the clock, reused for whom."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from airflow_provider_sei.local_server.bodies import Body, gzipped
from airflow_provider_sei.local_server.clock import ServerClock
from airflow_provider_sei.local_server.data import CsvFile, export_csv, sized, teams_in_scope
from airflow_provider_sei.local_server.organisation import Organisation, User
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.protocol.families import ExportFamily

__all__ = ["Export", "ExportStore", "Outcome"]

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an export ends; by default well."""

    status: str = "completed"
    """The last status; may be a word that no document knows."""
    error: Any = None
    """What a failed export says of it: text, an object, or nothing."""
    never: bool = False
    """Whether it stays in processing for ever."""
    vanishes_after_seconds: float | None = None
    """From when on (seconds from its creation) the server no longer knows it."""
    file_bytes: int | None = None
    """Size of its CSV, when it is to be another one than the settings say."""


@dataclass(kw_only=True)
class Export:
    """One export job. ``status`` and the times follow from the clock, so nothing has to run for it."""

    export_id: str
    family: ExportFamily
    request: dict[str, Any]
    """The body of the request that created it."""
    created_at: float
    created_by: User
    queued_seconds: float
    seconds_to_complete: float
    outcome: Outcome = field(default_factory=Outcome)
    requested: int = 1
    """How many create requests were answered with it."""
    downloads: int = 0

    def status(self, now: float) -> str:
        """Return the status at ``now``, in lower case."""
        age = now - self.created_at
        if age < self.queued_seconds:
            return "queued"
        return "processing" if self.outcome.never or age < self.seconds_to_complete else self.outcome.status

    def ended_at(self, now: float) -> float | None:
        """Return when the export ended, or ``None`` while it has not."""
        ended = self.created_at + self.seconds_to_complete
        return None if self.outcome.never or now < ended else ended

    def has_vanished(self, now: float) -> bool:
        """Whether the server has forgotten the export by ``now``."""
        after = self.outcome.vanishes_after_seconds
        return after is not None and now - self.created_at >= after


class ExportStore:
    """All exports of one server. Finding one by id or by request takes the same time however many there are."""

    def __init__(self, settings: ServerSettings, clock: ServerClock, organisation: Organisation) -> None:
        self._settings = settings
        self._clock = clock
        self._organisation = organisation
        self._by_id: dict[str, Export] = {}
        self._by_request: dict[str, Export] = {}
        self._by_family: dict[str, list[Export]] = {}
        self._lock = threading.Lock()
        self._file = lru_cache(maxsize=32)(self._make_file)

    def create(
        self, family: ExportFamily, request: dict[str, Any], user: User, outcome: Outcome | None
    ) -> tuple[Export, bool]:
        """Return the export for ``request`` and whether it is an existing one, failed ones included.

        Without an ``outcome`` the export ends well, or, if the scope names nothing that exists, fails.
        """
        now = self._clock()
        key = _canonical(family.name, request)
        with self._lock:
            existing = self._by_request.get(key)
            if existing and now - existing.created_at < self._settings.reuse_seconds and not existing.has_vanished(now):
                existing.requested += 1
                return existing, True
            export = Export(
                export_id=f"exp_{_base36(len(self._by_id))}",
                family=family,
                request=request,
                created_at=now,
                created_by=user,
                queued_seconds=min(self._settings.queued_seconds, self._settings.seconds_to_complete),
                seconds_to_complete=self._settings.seconds_to_complete,
                outcome=outcome or self._natural_outcome(request),
            )
            self._by_id[export.export_id] = export
            self._by_request[key] = export
            self._by_family.setdefault(family.name, []).append(export)
        return export, False

    def get(self, family: ExportFamily | None, export_id: str) -> Export | None:
        """Return the export of that family (of any, if ``None``) with that id, or ``None``."""
        export = self._by_id.get(export_id)
        if export is None or export.has_vanished(self._clock()) or (family and family.name != export.family.name):
            return None
        return export

    def of_family(self, family: ExportFamily) -> list[Export]:
        """Return the exports of ``family`` that have not vanished, in the order of their creation."""
        now = self._clock()
        return [export for export in self._by_family.get(family.name, ()) if not export.has_vanished(now)]

    def all(self) -> list[Export]:
        """Return every export ever created, in that order."""
        return list(self._by_id.values())

    def csv(self, export: Export) -> CsvFile:
        """Return the export's file before any compression."""
        return self._file(export.family.name, _canonical("", export.request), self._bytes(export))[0]

    def file(self, export: Export) -> Body:
        """Return the file as it is handed out."""
        return self._file(export.family.name, _canonical("", export.request), self._bytes(export))[1]

    def is_gzip(self, export: Export) -> bool:
        """Whether the export's file is a gzip file."""
        return self.file(export).split(2)[0].content() == b"\x1f\x8b"

    def filename(self, export: Export) -> str:
        """Return the file name the server gives, such as ``efficiency-insights-exp_1a2b3c4d-2024.csv.gz``."""
        year = export.request["dateRange"]["start"][:4]
        ending = ".csv.gz" if self.is_gzip(export) else ".csv"
        return f"{export.family.name}-insights-{export.export_id}-{year}{ending}"

    def _bytes(self, export: Export) -> int | None:
        return export.outcome.file_bytes or self._settings.download_bytes

    def _make_file(self, family_name: str, request: str, size: int | None) -> tuple[CsvFile, Body]:
        parsed = json.loads(request)[1]
        family = next(export.family for export in self._by_family[family_name])
        file = export_csv(family, parsed, self._organisation)
        if size is not None:
            file = sized(file, size)
        asked = str((parsed.get("options") or {}).get("compression", "")).casefold() == "gzip"
        large = self._settings.compression == "auto" and len(file.body) >= self._settings.large_bytes
        compress = asked or large or self._settings.compression == "gzip"
        return file, gzipped(file.body) if compress else file.body

    def _natural_outcome(self, request: dict[str, Any]) -> Outcome:
        scope = request.get("scope") or {}
        if teams_in_scope(self._organisation, scope) is not None:
            return Outcome()
        return Outcome(status="failed", error="Invalid teamId" if "teamId" in scope else "Invalid orgTreeName")


def _canonical(family_name: str, request: dict[str, Any]) -> str:
    return json.dumps([family_name, request], sort_keys=True)


def _base36(number: int) -> str:
    """Return eight base36 digits that look like the vendor's ids and differ for every number."""
    # Multiplying by a number coprime to 36 goes through all eight-digit values before it repeats one.
    value = (number + 1) * 2_654_435_761 % 36**8
    digits = ""
    for _ in range(8):
        value, digit = divmod(value, 36)
        digits += _DIGITS[digit]
    return digits
