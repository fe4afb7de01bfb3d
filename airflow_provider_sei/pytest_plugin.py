"""Fixtures to test your own DAGs against a local SEI server; pytest finds them once this package is installed.

::

    def test_my_dag_retries_a_broken_download(sei_server, sei_connection):
        sei_server.faults.add("download", "cut", after_bytes=100)
        run = my_dag.test()
        assert run.state == "success"
        assert sei_server.exports[0].downloads == 2

Exports complete immediately, unless the test sets another duration::

    @pytest.mark.sei_server(seconds_to_complete=30, leaf_teams=500)
    def test_my_dag_waits(sei_server, sei_connection): ...

The marker takes the settings of :class:`airflow_provider_sei.local_server.settings.ServerSettings`;
:mod:`airflow_provider_sei.local_server.faults` lists the faults. pytest imports this module in every run, so it imports
neither Airflow nor aiohttp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_sei.local_server.running import RunningServer

__all__ = ["pytest_configure", "sei_connection", "sei_server"]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker ``sei_server``."""
    config.addinivalue_line("markers", "sei_server(**settings): settings of the local SEI server for this test")


@pytest.fixture
def sei_server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """Run a local SEI server on a free loopback port for one test.

    Its exports, requests, legacy reports, clock and faults are attributes of
    :class:`airflow_provider_sei.local_server.running.RunningServer`.
    """
    from airflow_provider_sei.local_server.running import RunningServer
    from airflow_provider_sei.local_server.settings import ServerSettings

    settings: dict[str, Any] = {"queued_seconds": 0.0, "seconds_to_complete": 0.0}
    for marker in reversed(list(request.node.iter_markers("sei_server"))):
        settings |= marker.kwargs
    with RunningServer(ServerSettings(**settings)) as server:
        yield server


@pytest.fixture
def sei_connection(sei_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make ``sei_default`` a connection to the local server, by environment variable, and return its id."""
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json())
    return "sei_default"
