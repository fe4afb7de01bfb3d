"""Real Airflow processes on loopback: api-server, scheduler, dag-processor and triggerer.

They have an ``AIRFLOW_HOME`` of their own, free ports, and no settings of another Airflow on the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from demo import DemoError
from demo.processes import Processes
from demo.rest import AirflowApi

__all__ = ["LOOPBACK", "LocalAirflow", "free_ports"]

LOOPBACK = "127.0.0.1"
_START_SECONDS = 240.0
"""About 20 s on an idle machine; the first start also compiles Airflow."""


def free_ports(count: int) -> list[int]:
    """Return ``count`` different TCP ports of the loopback address that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass(frozen=True, kw_only=True)
class LocalAirflow:
    """The processes of one Airflow.

    :param home: ``AIRFLOW_HOME``: database, task logs, and the output of the processes. Emptied at each start.
    :param port: of the API and the UI.
    :param connections: Airflow connections as JSON, by id; kept in the database, where the UI shows them, encrypted.
    :param beside: further programs to run, by name.
    :param settings: further environment variables, such as Airflow's settings.
    """

    home: Path
    dags_folder: Path
    port: int
    connections: Mapping[str, str]
    beside: Mapping[str, list[str]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def _connections_file(self) -> Path:
        return self.home / "connections.json"

    @property
    def url(self) -> str:
        """Address of the UI and the API."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def processes(self) -> Processes:
        """The commands. Log servers would listen on all interfaces, so ``airflow standalone`` is not an option."""
        airflow = [sys.executable, "-m", "airflow"]
        return Processes(
            folder=self.home,
            steps={
                "db-migrate": [*airflow, "db", "migrate"],
                "connections": [*airflow, "connections", "import", "--overwrite", str(self._connections_file)],
            },
            components={
                **self.beside,
                "api-server": [*airflow, "api-server", "--host", LOOPBACK, "--port", str(self.port), "--workers", "1"],
                "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
                "dag-processor": [*airflow, "dag-processor"],
                "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
            },
        )

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return ``inherited`` without the settings of another Airflow, and with those of this one."""
        kept = {
            name: value
            for name, value in inherited.items()
            if not name.startswith(("AIRFLOW_", "_AIRFLOW_", "SEI_", "AWS_"))
        }
        no_proxy = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), LOOPBACK, "localhost")))
        return {
            **kept,
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", os.defpath))),
            "PYTHONUNBUFFERED": "1",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__DEFAULT_WRAP": "True",  # of long lines in the UI's logs
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags_folder),
            # Examples with a schedule must not start runs on their own.
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            # No login: the UI listens on loopback only.
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **self.settings,
        }

    @contextlib.contextmanager
    def running(self, *, detach: bool = False) -> Iterator[AirflowApi]:
        """Start everything and yield the API when all of it is healthy. Stop what an earlier, killed run left behind.

        :param detach: leave the processes running after the block, unless it raises.
        :raises DemoError: another run uses ``home``, a process ended early, or not all are healthy within 4 minutes.
        """
        processes = self.processes
        if starter := processes.starter():
            msg = f"process {starter.pid} is running an Airflow in {self.home}"
            raise DemoError(msg)
        processes.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        with self._prepared(), processes.running(self.environment(os.environ), detach=detach):
            self._connections_file.unlink()  # imported by a step
            api = AirflowApi(self.url, check=processes.check)
            deadline = time.monotonic() + _START_SECONDS
            while not api.healthy():
                if time.monotonic() > deadline:
                    msg = f"Airflow is not healthy after {_START_SECONDS:.0f} s; see {self.home}/*.log"
                    raise DemoError(msg)
                time.sleep(0.3)
            yield api

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[None]:
        """Write the connections to a file of this user's own: the keys are in no command and no environment."""
        self._connections_file.touch(mode=0o600)
        connections = {name: json.loads(value) for name, value in self.connections.items()}
        self._connections_file.write_text(json.dumps(connections))
        try:
            yield
        finally:
            self._connections_file.unlink(missing_ok=True)
