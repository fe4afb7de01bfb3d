"""The fixtures that users of this package test their DAGs with."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

# Loaded by name and not by its entry point, so that these tests do not depend on how the package is installed.
PLUGIN = ("-p", "no:sei", "-p", "airflow_provider_sei.pytest_plugin", "--strict-markers", "-p", "no:cacheprovider")


SHOWN = """
    import json
    import os

    import pytest
    import requests

    pytestmark = pytest.mark.sei_server(leaf_teams=20, project="p")

    @pytest.mark.parametrize("time", [1, 2])
    def test_own_server(sei_server, time):
        body = {"scope": {"teamId": "456"}, "dateRange": {"start": "2024-01-01", "end": "2024-01-31"}}
        query = f"?projectIdentifier={sei_server.project}&orgIdentifier={sei_server.org}"
        url = sei_server.base_url + "/v2/insights/ba/exports"
        headers = {"authorization": "ApiKey " + sei_server.api_key}
        assert sei_server.exports == []
        created = requests.post(url + query, json=body, headers=headers)
        assert created.status_code == 202
        status = requests.get(f"{url}/{created.json()['exportId']}{query}", headers=headers).json()
        assert status["status"] == "COMPLETED"
        assert len(sei_server.requests) == 2

    @pytest.mark.sei_server(leaf_teams=3)
    def test_settings(sei_server):
        assert (sei_server.settings.leaf_teams, sei_server.project) == (3, "p")

    def test_connection(sei_server, sei_connection):
        assert sei_connection == "sei_default"
        connection = json.loads(os.environ["AIRFLOW_CONN_SEI_DEFAULT"])
        assert connection["host"] == sei_server.base_url

    def test_afterwards():
        assert "AIRFLOW_CONN_SEI_DEFAULT" not in os.environ
"""


def test_a_users_tests_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a server of its own, whose exports complete immediately; a test's own marker wins over its module's.

    Airflow finds the connection in the environment, for the time of the test.
    """
    # The other process finds the package where this one found it.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    pytester.makepyfile(SHOWN)
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=5)
