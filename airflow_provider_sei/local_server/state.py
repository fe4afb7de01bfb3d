"""What one server remembers: its clock, its exports, its faults and its requests. A reset replaces all of it."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from airflow_provider_sei.local_server.bodies import Body, gzipped
from airflow_provider_sei.local_server.datasets import CsvFile, as_json, export_csv, sized, teams_in_scope
from airflow_provider_sei.local_server.faults import Faults
from airflow_provider_sei.local_server.organisation import Organisation, User
from airflow_provider_sei.local_server.request_log import ExportRecord, RequestLog, describe_file
from airflow_provider_sei.local_server.routing import Routes
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.validation import RateLimiter
from airflow_provider_sei.protocol.families import ExportFamily

__all__ = ["Export", "ExportStore", "Outcome", "ServerClock", "ServerState"]


class ServerClock:
    """The time of a server in seconds since the epoch; a test can move it forward.

    :param start: the time to start from; the system time by default.
    :param speed: seconds of this clock per real second; 0 stops it until :meth:`advance` is called.
    """

    def __init__(self, start: float | None = None, *, speed: float = 1.0) -> None:
        self._speed = speed
        self._created = time.time()
        self._start = self._created if start is None else start
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._start + (time.time() - self._created) * self._speed

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        with self._lock:
            self._start += seconds


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an export ends: with any status word and, if it failed, any error, or ``never``."""

    status: str = "completed"
    error: Any = None
    never: bool = False
    vanishes_after_seconds: float | None = None
    """Seconds from its creation after which the server no longer knows it."""
    file_bytes: int | None = None
    """Size of its CSV; the server's ``download_bytes`` if ``None``."""


@dataclass(kw_only=True, eq=False)
class Export:
    """One export job, and how many create requests got it. Its status follows from the clock, without a task."""

    export_id: str
    family: ExportFamily
    request: dict[str, Any]
    created_at: float
    created_by: User
    queued_seconds: float
    seconds_to_complete: float
    outcome: Outcome = field(default_factory=Outcome)
    requested: int = 1
    downloads: int = 0

    def status(self, now: float) -> str:
        """Return the status at ``now``, in lower case."""
        age = now - self.created_at
        if age < self.queued_seconds:
            return "queued"
        return "processing" if self.outcome.never or age < self.seconds_to_complete else self.outcome.status

    def option(self, key: str, default: str = "") -> str:
        """Return an option of the request, in lower case."""
        return str((self.request.get("options") or {}).get(key, default)).casefold()

    def ended_at(self, now: float) -> float | None:
        """Return when the export ended, or ``None`` if it has not."""
        ended = self.created_at + self.seconds_to_complete
        return None if self.outcome.never or now < ended else ended

    def has_vanished(self, now: float) -> bool:
        """Whether the server no longer knows the export at ``now``."""
        after = self.outcome.vanishes_after_seconds
        return after is not None and now - self.created_at >= after


class ExportStore:
    """All exports of one server. Lookups by id or by request take constant time."""

    def __init__(self, settings: ServerSettings, clock: ServerClock, organisation: Organisation) -> None:
        self._settings = settings
        self._clock = clock
        self._organisation = organisation
        self._by_id: dict[str, Export] = {}
        self._by_request: dict[str, Export] = {}
        self._files = lru_cache(maxsize=32)(self._make_files)

    def create(
        self, family: ExportFamily, request: dict[str, Any], user: User, outcome: Outcome | None
    ) -> tuple[Export, bool]:
        """Return the export for ``request`` and whether it is an existing one, which may have failed.

        :param outcome: how it ends; by default it completes, or fails if its scope does not exist.
        """
        now = self._clock()
        key = json.dumps([family.name, request], sort_keys=True)
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
            outcome=outcome or self._default_outcome(request.get("scope") or {}),
        )
        self._by_id[export.export_id] = export
        self._by_request[key] = export
        return export, False

    def get(self, family: ExportFamily | None, export_id: str) -> Export | None:
        """Return the export with that id, in ``family`` if one is given, or ``None``."""
        export = self._by_id.get(export_id)
        known = export and not export.has_vanished(self._clock()) and (not family or family.name == export.family.name)
        return export if known else None

    def of_family(self, family: ExportFamily) -> list[Export]:
        """Return the exports of ``family`` that have not vanished, oldest first."""
        now = self._clock()
        return [export for export in self.all() if export.family.name == family.name and not export.has_vanished(now)]

    def all(self) -> list[Export]:
        """Return every export, oldest first."""
        return list(self._by_id.values())

    def files(self, export: Export) -> tuple[CsvFile, Body]:
        """Return the export's CSV, and the file as it is sent."""
        return self._files(export, export.outcome.file_bytes or self._settings.download_bytes)

    def filename(self, export: Export) -> str:
        """Return the file name that the server sends, such as ``efficiency-insights-exp_1a2b3c4d-2024.csv.gz``."""
        year = export.request["dateRange"]["start"][:4]
        name = f"{export.family.name}-insights-{export.export_id}-{year}.{export.option('format', 'csv')}"
        return f"{name}.gz" if self.files(export)[1].is_gzip else name

    def records(self) -> list[ExportRecord]:
        """Return all exports as values."""
        return [self._record(export) for export in self.all()]

    def _record(self, export: Export) -> ExportRecord:
        status = export.status(self._clock())
        about_file = describe_file(self.filename(export), *self.files(export)) if status == "completed" else {}
        return ExportRecord(
            export_id=export.export_id,
            family=export.family.name,
            status=status,
            created_at=export.created_at,
            requested=export.requested,
            downloads=export.downloads,
            request=export.request,
            **about_file,
        )

    def _make_files(self, export: Export, size: int | None) -> tuple[CsvFile, Body]:
        file = export_csv(export.family, export.request, self._organisation)
        if size is not None:
            file = sized(file, size)
        file = as_json(file) if export.option("format") == "json" else file
        asked = export.option("compression") == "gzip"
        large = self._settings.compression == "auto" and len(file.body) >= self._settings.large_bytes
        compress = asked or large or self._settings.compression == "gzip"
        return file, gzipped(file.body) if compress else file.body

    def _default_outcome(self, scope: dict[str, Any]) -> Outcome:
        if teams_in_scope(self._organisation, scope) is not None:
            return Outcome()
        return Outcome(status="failed", error="Invalid teamId" if "teamId" in scope else "Invalid orgTreeName")


class ServerState:
    """Everything that a server remembers."""

    def __init__(self, settings: ServerSettings, clock: ServerClock | None = None) -> None:
        self.settings = settings
        self.clock = clock or ServerClock(speed=settings.clock_speed)
        self.organisation = Organisation(settings.leaf_teams, settings.developers_per_team)
        self.store = ExportStore(settings, self.clock, self.organisation)
        self.faults = Faults()
        self.request_log = RequestLog(settings.kept_requests)
        self.limiter = RateLimiter(settings, self.clock)
        self.routes = Routes(settings)


def _base36(number: int) -> str:
    """Return eight base36 digits, like the vendor's ids, that differ for every number."""
    # Multiplication by a number coprime to 36 visits all eight-digit values before it repeats one.
    value = (number + 1) * 2_654_435_761 % 36**8
    return "".join("0123456789abcdefghijklmnopqrstuvwxyz"[value // 36**place % 36] for place in range(8))
