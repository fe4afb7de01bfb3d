"""Airflow's processes run apart from any other Airflow, on loopback, with the key in their environment only."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from demo.airflow_processes import AirflowLab, LabError, _locked, free_ports, lab_folder_taken

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
def lab(tmp_path: Path) -> AirflowLab:
    """A lab that nobody started."""
    connections = {"sei_default": json.dumps({"conn_type": "harness_sei", "password": "key-of-an-account"})}
    return AirflowLab(home=tmp_path / "home", dags_folder=tmp_path, port=1234, connections=connections, beside={})


class TestFreePorts:
    """``free_ports``."""

    def test_ports_are_different_and_free(self) -> None:
        """Each of the ports can be listened on."""
        ports = free_ports(3)
        assert len(set(ports)) == 3
        for port in ports:
            with socket.socket() as one:
                one.bind(("127.0.0.1", port))

    def test_a_port_in_use_is_not_given(self) -> None:
        """A port that somebody listens on is never among them."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            assert taken.getsockname()[1] not in free_ports(20)


class TestEnvironment:
    """``AirflowLab.environment`` and ``AirflowLab.plan``."""

    def test_settings_of_another_airflow_are_left_out(self, lab: AirflowLab) -> None:
        """The machine's own Airflow has no say about home, keys or connections."""
        environment = lab.environment(INHERITED)
        assert environment["AIRFLOW_HOME"] == str(lab.home)
        assert "AIRFLOW__CORE__FERNET_KEY" not in environment
        assert "AIRFLOW_CONN_OTHER" not in environment

    def test_loopback_never_goes_through_a_proxy(self, lab: AirflowLab) -> None:
        """A proxy of the machine stays in force for everything but loopback."""
        environment = lab.environment(INHERITED)
        assert environment["HTTPS_PROXY"] == INHERITED["HTTPS_PROXY"]
        assert environment["no_proxy"] == environment["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"

    def test_the_key_is_in_the_connection_variable_alone(self, lab: AirflowLab) -> None:
        """No command line, and no file that is written, holds the API key."""
        environment = lab.environment(INHERITED)
        holders = [name for name, value in environment.items() if "key-of-an-account" in value]
        assert holders == ["AIRFLOW_CONN_SEI_DEFAULT"]
        lab.home.mkdir()
        assert "key-of-an-account" not in lab.plan.save().read_text()

    def test_no_process_listens_beyond_loopback(self, lab: AirflowLab) -> None:
        """The API binds to loopback, and no component serves logs."""
        components = lab.plan.components
        assert components["api-server"][components["api-server"].index("--host") + 1] == "127.0.0.1"
        assert "--skip-serve-logs" in components["scheduler"]
        assert "--skip-serve-logs" in components["triggerer"]


class TestFolder:
    """The lock beside a home."""

    def test_two_labs_cannot_share_a_home(self, lab: AirflowLab) -> None:
        """A home in use is refused before anything in it is touched."""
        lab.home.mkdir()
        kept = lab.home / "airflow.db"
        kept.touch()
        with _locked(lab.home), pytest.raises(LabError, match="running or just stopping"), lab.running():
            pass
        assert kept.exists()

    def test_a_home_is_free_again_when_its_lock_is(self, lab: AirflowLab) -> None:
        """Whether a home is taken depends on living processes only, not on files that are left."""
        with _locked(lab.home):
            assert lab_folder_taken(lab.home)
        assert not lab_folder_taken(lab.home)
