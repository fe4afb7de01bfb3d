"""Fixtures to test your own DAGs against a local SEI server; pytest finds them once this package is installed.

::

    def test_my_dag_retries_a_broken_download(sei_server, sei_connection, run_dag):
        sei_server.faults.add("download", "cut", after_bytes=100)
        run = run_dag("dags/my_dag.py")
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

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_sei.local_server.running import RunningServer

__all__ = ["pytest_configure", "run_dag", "sei_connection", "sei_server"]


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


@pytest.fixture
def run_dag(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the DAG of a file to its end, deferred tasks included, in this process; return the DAG run.

    Call it as ``run_dag(file, logical_date=None, conf=None, dag_id=None)``. A relative ``file`` is one of the current
    folder, or else of the test's. ``conf`` overrides the DAG's params;
    ``dag_id`` chooses among several DAGs. The test fails if the file cannot be imported; a failed task only changes the
    run's ``state``. An empty Airflow database is initialized, so give tests an ``AIRFLOW_HOME`` of their own.
    """

    def run(file: str | Path, logical_date: Any = None, conf: Any = None, dag_id: str | None = None) -> Any:
        import airflow
        from airflow import settings
        from airflow.utils.db import initdb
        from sqlalchemy import inspect

        try:
            bags = import_module("airflow.dag_processing.dagbag")
        except ImportError:  # before Airflow 3.2
            bags = import_module("airflow.models.dagbag")
        path = next((path for path in (Path(file), request.path.parent / file) if path.is_file()), Path(file)).resolve()
        if not path.is_file():
            pytest.fail(f"there is no file {path}, nor {file} in the folder of the test", pytrace=False)
        bundle = {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
        bundles = [{**bundle, "kwargs": {"path": str(path.parent)}}]  # where dag.test() finds the DAG, from Airflow 3.1
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps(bundles))
        if not inspect(settings.engine).get_table_names():
            initdb()
        bag = bags.DagBag(str(path))
        found = [dag for dag in bag.dags.values() if dag_id in {None, dag.dag_id}]
        if len(found) != 1:
            reasons = [*bag.import_errors.values(), f"{file} has the DAGs {sorted(bag.dags)}; dag_id is {dag_id!r}"]
            pytest.fail("\n".join(reasons), pytrace=False)
        found[0].deadline = None  # with one, dag.test() of Airflow 3.2 and 3.3 fails at the end of the run
        moment = "execution_date" if airflow.__version__.startswith("2.") else "logical_date"
        return found[0].test(run_conf=conf, **({moment: logical_date} if logical_date else {}))

    return run
