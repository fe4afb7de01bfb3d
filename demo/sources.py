"""Where the demo's exports come from: the local SEI server, or a real Harness account named by the environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import requests

from airflow_provider_sei.local_server.organisation import Organisation
from airflow_provider_sei.local_server.settings import ServerSettings
from demo.deliveries import Generated

__all__ = ["Account", "LocalServer", "SourceError", "last_full_months", "source_from"]

_ACCOUNT_VARIABLES = ("SEI_BASE_URL", "SEI_API_KEY", "SEI_PROJECT", "SEI_ORG")


class SourceError(Exception):
    """The environment names a Harness account in part only."""


def last_full_months(today: date, months: int) -> tuple[str, str]:
    """Return the first and the last day (ISO dates) of the ``months`` calendar months before that of ``today``."""
    end = today.replace(day=1) - timedelta(days=1)
    start = end.replace(day=1)
    for _ in range(months - 1):
        start = (start - timedelta(days=1)).replace(day=1)
    return start.isoformat(), end.isoformat()


@dataclass(frozen=True, kw_only=True)
class LocalServer:
    """The local SEI server, started beside Airflow on a free port."""

    port: int
    seconds_to_complete: int = 8
    """Long enough that a wait is deferred for real."""
    settings: ServerSettings = field(default_factory=ServerSettings)

    name = "local"
    title = "the local SEI server"
    patience_seconds = 240.0
    """Every run together; they take some thirty seconds on two cores."""

    @property
    def _origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connection(self) -> str:
        """The Airflow connection as JSON."""
        return _connection(
            self._origin + self.settings.base_path, self.settings.api_key, self.settings.project, self.settings.org
        )

    @property
    def command(self) -> list[str] | None:
        """The command that serves it."""
        server = [sys.executable, "-m", "airflow_provider_sei.local_server", "--port", str(self.port)]
        return [*server, "--seconds-to-complete", str(self.seconds_to_complete)]

    def params(self, today: date, months: int) -> dict[str, Any]:
        """Return what an example DAG is to export; the names are those of the server's organisation."""
        start, end = last_full_months(today, months)
        organisation = Organisation(self.settings.leaf_teams, self.settings.developers_per_team)
        tree = organisation.trees_by_name["Engineering"]
        leaves = [str(team.ref_id) for team in tree.root.leaves()]
        return {
            "org_tree_name": tree.name,
            "team_id": "456",
            # Some are enough to see; the last one has no data.
            "team_ids": [*leaves[:3], leaves[-1]],
            "date_start": start,
            "date_end": end,
        }

    def generated(self) -> list[Generated] | None:
        """Ask the server what it generated."""
        return [
            Generated(
                export_id=one.get("export_id"),
                rows=one["rows"],
                forms=frozenset((one[f"{form}_bytes"], one[f"{form}_sha256"]) for form in ("csv", "body")),
            )
            for kind in ("exports", "legacy")
            for one in self._listed(kind)
        ]

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{self._origin}/_local/{kind}", timeout=30)
        answer.raise_for_status()
        listed: list[dict[str, Any]] = answer.json()
        return listed


@dataclass(frozen=True, kw_only=True)
class Account:
    """A real Harness account. The key stays in the environment of the processes."""

    environment: Mapping[str, str]

    name = "account"
    title = "a Harness account"
    patience_seconds = 3600.0
    command: list[str] | None = None

    @property
    def connection(self) -> str:
        """The Airflow connection as JSON."""
        return _connection(*(self.environment[name] for name in _ACCOUNT_VARIABLES))

    def params(self, today: date, months: int) -> dict[str, Any]:
        """Return what an example DAG is to export: the team, or else the org tree, over the last full months."""
        start, end = last_full_months(today, months)
        team_id = self.environment.get("SEI_TEAM_ID") or None
        return {
            "org_tree_name": self.environment.get("SEI_ORG_TREE") or None,
            "team_id": team_id,
            # Never all of the tree's: a demo must not set off hundreds of exports.
            "team_ids": [team_id] if team_id else [],
            "date_start": start,
            "date_end": end,
        }

    def generated(self) -> list[Generated] | None:
        """Return ``None``: Harness publishes no checksums."""
        return None


def source_from(environment: Mapping[str, str], *, port: int) -> LocalServer | Account:
    """Return the account that ``environment`` names, or the local server on ``port``.

    Raises:
        SourceError: some but not all of the account's variables are set.
    """
    given = [name for name in _ACCOUNT_VARIABLES if environment.get(name)]
    if not given:
        return LocalServer(port=port)
    missing = sorted(set(_ACCOUNT_VARIABLES) - set(given))
    if not environment.get("SEI_TEAM_ID") and not environment.get("SEI_ORG_TREE"):
        missing.append("SEI_TEAM_ID or SEI_ORG_TREE")
    if missing:
        msg = f"{given[0]} is set, so a Harness account is meant; set {', '.join(missing)} too, or unset it"
        raise SourceError(msg)
    return Account(environment=environment)


def _connection(base_url: str, api_key: str, project: str, org: str) -> str:
    extra = {"project_identifier": project, "org_identifier": org}
    return json.dumps({"conn_type": "harness_sei", "host": base_url, "password": api_key, "extra": extra})
