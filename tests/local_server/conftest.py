"""A server with a stopped clock, and a plain HTTP client for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.protocol.families import get_family


class Api:
    """The calls of the API, made with an HTTP library only; returns the answers unchanged."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["authorization"] = f"ApiKey {server.api_key}"
        self.identifiers = {"projectIdentifier": server.project, "orgIdentifier": server.org}

    def call(self, method: str, path: str, query: dict[str, Any] | None = None, **arguments: Any) -> requests.Response:
        """Call a path below the base URL, with the identifiers unless another query is given."""
        url = f"{self.server.base_url}/{path}"
        params = self.identifiers if query is None else query
        return self.session.request(method, url, params=params, timeout=10, allow_redirects=False, **arguments)

    def create(self, family: str = "productivity", **changes: Any) -> requests.Response:
        """Create an export of a month of team 456."""
        return self.call("POST", get_family(family).collection_path, json=self.body(family) | changes)

    def body(self, family: str = "productivity") -> dict[str, Any]:
        """Return a valid request of that family."""
        body: dict[str, Any] = {
            "scope": {"teamId": "456"},
            "dateRange": {"start": "2024-01-01", "end": "2024-01-31"},
        }
        return body | ({"metricGroups": ["summary"]} if family == "efficiency" else {})

    def created(self, family: str = "productivity", **changes: Any) -> str:
        """Create an export and return its id."""
        answer = self.create(family, **changes)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["exportId"])

    def finished(self, family: str = "productivity", **changes: Any) -> str:
        """Create an export, let it complete and return its id."""
        export_id = self.created(family, **changes)
        self.server.clock.advance(self.server.settings.seconds_to_complete)
        return export_id

    def status(self, export_id: str, family: str = "productivity") -> requests.Response:
        """Get the status."""
        return self.call("GET", f"{get_family(family).item_path}/{export_id}")

    def download(self, export_id: str, family: str = "productivity", **arguments: Any) -> requests.Response:
        """Download the file."""
        return self.call("GET", f"{get_family(family).item_path}/{export_id}/download", **arguments)

    def list(self, family: str = "productivity", **filters: Any) -> requests.Response:
        """List the exports."""
        return self.call("GET", get_family(family).collection_path, self.identifiers | filters)

    def legacy(self, **changes: Any) -> requests.Response:
        """Request a legacy team report."""
        body = {
            "collectionId": "456",
            "dateStart": "2024-01-01",
            "dateEnd": "2024-03-31",
            "granularity": "weekly",
            "productivity": {"metrics": []},
        } | changes
        json = {key: value for key, value in body.items() if value is not None}
        return self.call("POST", "v2/insights/teams/reports", {"format": "csv"}, json=json)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """A server with default settings and a stopped clock."""
    with RunningServer(ServerSettings(clock_speed=0)) as running:
        yield running


@pytest.fixture
def api(server: RunningServer) -> Iterator[Api]:
    """A client of ``server``."""
    client = Api(server)
    yield client
    client.session.close()
