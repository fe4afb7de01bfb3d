"""The demo's Airflow is isolated from any other, listens on loopback only, and keeps the key in its database only."""

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
    "AWS_PROFILE": "foreign",
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
    """Proxies stay, but loopback is never reached through one; nothing has the key."""
    environment = airflow.environment(INHERITED)
    assert environment["AIRFLOW_HOME"] == str(airflow.home)
    assert {"AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_OTHER", "SEI_API_KEY", "AWS_PROFILE"}.isdisjoint(environment)
    assert environment["HTTPS_PROXY"] == INHERITED["HTTPS_PROXY"]
    assert environment["no_proxy"] == environment["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"
    assert [name for name, value in environment.items() if "key-of-an-account" in value] == []


def test_connections_are_imported_from_a_file_of_this_user(airflow: LocalAirflow) -> None:
    """Into the database, so that the UI shows them. The file is removed; no command has the key."""
    airflow.home.mkdir()
    with airflow._prepared():
        file = Path(airflow.processes.steps["connections"][-1])
        assert json.loads(file.read_text()) == {"sei_default": json.loads(airflow.connections["sei_default"])}
        assert file.stat().st_mode & 0o777 == 0o600
    assert list(airflow.home.iterdir()) == []
    assert "key-of-an-account" not in f"{airflow.processes.steps} {airflow.processes.components}"


def test_no_process_listens_beyond_loopback(airflow: LocalAirflow) -> None:
    """The API has loopback as its host, and no component serves logs."""
    components = airflow.processes.components
    assert components["api-server"][components["api-server"].index("--host") + 1] == "127.0.0.1"
    assert all("--skip-serve-logs" in components[name] for name in ("scheduler", "triggerer"))


def test_a_home_in_use_is_refused(airflow: LocalAirflow) -> None:
    """Before anything in it is touched: the process that has started its programs is still running."""
    airflow.home.mkdir()
    records = [vars(Record.of("starter", os.getpid()))]
    (airflow.home / "processes.json").write_text(json.dumps(records))
    with pytest.raises(DemoError, match=f"process {os.getpid()} is running"), airflow.running():
        pass
    assert (airflow.home / "processes.json").exists()
