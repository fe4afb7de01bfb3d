"""Everything one server remembers, made anew by a reset."""

from __future__ import annotations

from airflow_provider_sei.local_server.clock import ServerClock
from airflow_provider_sei.local_server.exports import ExportStore
from airflow_provider_sei.local_server.faults import Faults
from airflow_provider_sei.local_server.journal import Journal
from airflow_provider_sei.local_server.organisation import Organisation
from airflow_provider_sei.local_server.routes import Routes
from airflow_provider_sei.local_server.service import Service
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.strictness import RateLimiter

__all__ = ["World"]


class World:
    """The parts of one server that hold state, wired together."""

    def __init__(self, settings: ServerSettings, clock: ServerClock | None = None) -> None:
        self.settings = settings
        self.clock = clock or ServerClock(speed=settings.clock_speed)
        self.organisation = Organisation(settings.leaf_teams, settings.developers_per_team)
        self.store = ExportStore(settings, self.clock, self.organisation)
        self.faults = Faults()
        self.journal = Journal(settings.kept_requests)
        self.limiter = RateLimiter(settings, self.clock)
        self.routes = Routes(settings)
        self.service = Service(settings, self.clock, self.organisation, self.store, self.journal)
