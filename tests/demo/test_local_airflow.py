"""The demo's Airflow is isolated from any other, listens on loopback only, and has the key in its environment only."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from demo import DemoError
from demo.local_airflow import LocalAirflow, free_ports
from demo.processes import Record

INHERITED = {
    "AIRFLOW_HOME": "/elsewhere",
    "AIRFLOW__CORE__FERNET_KEY": "foreign",
    "AIRFLOW_CONN_OTHER": "{}",
    "SEI_API_KEY": "key-of-an-account",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "NO_PROXY": "intranet.example",
    "PATH": "/bin",
}


@pytest.fixture
def airflow(tmp_path: Path) -> LocalAirflow:
    """An Airflow that is not started."""
    connections = {"sei_default": json.dumps({"conn_type": "harness_sei", "password": "key-of-an-account"})}
    return LocalAirflow(home=tmp_path / "home", dags_folder=tmp_path, port=1234, connections=connections)


def test_free_ports_are_different_and_free() -> None:
    """A port in use is not among them."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = free_ports(20)
        assert len({*ports, taken.getsockname()[1]}) == 21
    with socket.socket() as one:
        one.bind(("127.0.0.1", ports[0]))


def test_settings_of_another_airflow_are_left_out(airflow: LocalAirflow) -> None:
    """Proxies stay, but loopback is never reached through one; only the connection has the key."""
    environment = airflow.environment(INHERITED)
    assert environment["AIRFLOW_HOME"] == str(airflow.home)
    assert {"AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_OTHER", "SEI_API_KEY"}.isdisjoint(environment)
    assert environment["HTTPS_PROXY"] == INHERITED["HTTPS_PROXY"]
    assert environment["no_proxy"] == environment["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"
    holders = [name for name, value in environment.items() if "key-of-an-account" in value]
    assert holders == ["AIRFLOW_CONN_SEI_DEFAULT"]


def test_no_process_listens_beyond_loopback(airflow: LocalAirflow) -> None:
    """The API has loopback as its host, and no component serves logs."""
    components = airflow.processes.components
    assert components["api-server"][components["api-server"].index("--host") + 1] == "127.0.0.1"
    assert "--skip-serve-logs" in components["scheduler"]
    assert "--skip-serve-logs" in components["triggerer"]
    assert "key-of-an-account" not in str(components)


def test_a_home_in_use_is_refused(airflow: LocalAirflow) -> None:
    """Before anything in it is touched: the process that has started its programs is still running."""
    airflow.home.mkdir()
    records = [vars(Record.of("starter", os.getpid()))]
    (airflow.home / "processes.json").write_text(json.dumps(records))
    with pytest.raises(DemoError, match=f"process {os.getpid()} is running"), airflow.running():
        pass
    assert (airflow.home / "processes.json").exists()
