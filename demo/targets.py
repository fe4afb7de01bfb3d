"""What the demo exports from: the local SEI server, or the Harness account that the environment names."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from airflow_provider_sei.local_server.settings import ServerSettings
from demo import DemoError

__all__ = ["Generated", "Target", "choose_target", "local_server"]

Generated = Mapping[str | None, set[tuple[int, int, str]]]
"""Bytes, records and sha256 of each form of a file (plain, as sent), by export id; ``None`` has all legacy reports."""
_ACCOUNT_VARIABLES = ("SEI_BASE_URL", "SEI_API_KEY", "SEI_PROJECT", "SEI_ORG")


@dataclass(frozen=True, kw_only=True)
class Target:
    """The local SEI server or a Harness account.

    :param connection: the Airflow connection as JSON.
    :param params: of the example DAGs: team and organisation tree.
    :param timeout_seconds: for all runs together.
    :param programs: commands to run beside Airflow, by name.
    :param admin_url: of the local server.
    """

    name: str
    title: str
    connection: str
    params: Mapping[str, Any]
    timeout_seconds: float
    programs: Mapping[str, list[str]] = field(default_factory=dict)
    admin_url: str | None = None

    def generated(self) -> Generated | None:
        """Return what the local server has generated; ``None`` for an account, as Harness publishes no checksums."""
        if self.admin_url is None:
            return None
        found: dict[str | None, set[tuple[int, int, str]]] = {}
        with requests.Session() as session:
            session.trust_env = False
            for kind in ("exports", "legacy"):
                for each in session.get(f"{self.admin_url}/{kind}", timeout=30).json():
                    forms = {(each[f"{form}_bytes"], each["rows"], each[f"{form}_sha256"]) for form in ("csv", "body")}
                    found.setdefault(each.get("export_id"), set()).update(forms)
        return found


def local_server(port: int) -> Target:
    """Return the local SEI server on ``port``. Its exports take long enough for the tasks to be deferred."""
    settings = ServerSettings()
    origin = f"http://127.0.0.1:{port}"
    server = [sys.executable, "-m", "airflow_provider_sei.local_server", "--port", str(port)]
    return Target(
        name="local",
        title="the local SEI server",
        connection=_connection(
            origin + settings.base_path, settings.api_key, settings.project, settings.org, account="demo_account"
        ),
        # The last team has no data.
        params={"org_tree_name": "Engineering", "team_id": "456", "team_ids": ["456", "123", "789", "1007"]},
        timeout_seconds=240,  # they take about 30 s on two cores
        programs={"sei-server": [*server, "--seconds-to-complete", "8"]},
        admin_url=f"{origin}/_local",
    )


def choose_target(environment: Mapping[str, str], *, port: int) -> Target:
    """Return the account that ``environment`` names, or the local server on ``port``.

    :raises DemoError: only some of an account's variables are set.
    """
    account = {name: environment[name] for name in _ACCOUNT_VARIABLES if environment.get(name)}
    if not account:
        return local_server(port)
    team_id, org_tree_name = (environment.get(name) or None for name in ("SEI_TEAM_ID", "SEI_ORG_TREE"))
    missing = [name for name in _ACCOUNT_VARIABLES if name not in account]
    missing += [] if team_id or org_tree_name else ["SEI_TEAM_ID or SEI_ORG_TREE"]
    if missing:
        msg = (
            f"{next(iter(account))} is set: to use a Harness account, also set {', '.join(missing)}; otherwise unset it"
        )
        raise DemoError(msg)
    return Target(
        name="account",
        title="a Harness account",
        connection=_connection(*account.values(), account=environment.get("SEI_ACCOUNT")),
        # Never all teams of a tree: there may be hundreds.
        params={"org_tree_name": org_tree_name, "team_id": team_id, "team_ids": [team_id] if team_id else []},
        timeout_seconds=3600,
    )


def _connection(base_url: str, api_key: str, project: str, org: str, *, account: str | None) -> str:
    extra = {"project_identifier": project, "org_identifier": org} | ({"account_id": account} if account else {})
    # With the port as a field of its own, too, because the UI's button cannot test a connection without one.
    port = {"port": found} if (found := urlsplit(base_url).port) else {}
    return json.dumps({"conn_type": "harness_sei", "host": base_url, **port, "password": api_key, "extra": extra})
