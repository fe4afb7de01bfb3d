"""A helper of tests with an Airflow in processes of its own, and a local SEI server for it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

__all__ = ["SeparateAirflow", "run"]


def run(command: Sequence[str | Path], **where: Any) -> str:
    """Run a command that must succeed; return its output."""
    where = {"timeout": 240, **where}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **where)
    assert done.returncode == 0, done.stdout
    return done.stdout


@dataclass(kw_only=True)
class SeparateAirflow:
    """An Airflow with its own home and working folder, and the Python that it is installed for."""

    home: Path
    python: Path = Path(sys.executable)
    omitted: tuple[str, ...] = ("AIRFLOW",)
    """Variables of this process that it does not get, by their beginning."""

    def __post_init__(self) -> None:
        """Create the folders; nothing is started."""
        (self.home / "dags").mkdir(parents=True)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(self.omitted)} | {
            "HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "COLUMNS": "300",
        }

    def run(self, *arguments: str) -> str:
        """Run its Python; return the output."""
        return run([self.python, *arguments], cwd=self.home, env=self.environment)

    def airflow(self, *arguments: str) -> str:
        """Run its command line; return the output."""
        return self.run("-m", "airflow", *arguments)

    @contextmanager
    def server(self) -> Iterator[str]:
        """Start a local SEI server, to which its default connection leads; yield the URL of ``/_local``."""
        command = [self.python, "-m", "airflow_provider_sei.local_server", "--seconds-to-complete", "0"]
        where: dict[str, Any] = {"cwd": self.home, "env": self.environment}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **where) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().split()[-1]
                scope = {"project_identifier": "demo_project", "org_identifier": "default"}
                connection = {"conn_type": "harness_sei", "host": url, "password": "demo-key", "extra": scope}
                self.environment["AIRFLOW_CONN_SEI_DEFAULT"] = json.dumps(connection)
                yield f"{url.removesuffix('/prod1/sei/api')}/_local"
            finally:
                process.terminate()

    def deliver(self, dag_id: str, local: str, folder: Path, **conf: Any) -> None:
        """Run a DAG that waits once in the triggerer and delivers one file: the server's."""
        processing = {"operation": "status", "effect": "status_word", "word": "processing"}
        requests.post(f"{local}/faults", json=processing, timeout=10).raise_for_status()
        known = len(requests.get(f"{local}/exports", timeout=10).json())
        output = self.airflow("dags", "test", dag_id, "--conf", json.dumps({**conf, "destination": f"{folder}/"}))
        assert "in the triggerer" in output
        [export] = requests.get(f"{local}/exports", timeout=10).json()[known:]
        [delivered] = folder.iterdir()
        assert hashlib.sha256(delivered.read_bytes()).hexdigest() == export["body_sha256"], output
