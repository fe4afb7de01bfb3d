"""Example DAGs on every supported version: deferred, resumed and delivered by ``airflow dags test``."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

pytestmark = pytest.mark.live

EXAMPLES = Path(__file__).parents[2] / "dags_examples"
SECONDS = 240.0


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The base URL of a local SEI server in a process of its own, whose clock stands still."""
    command = [sys.executable, "-m", "airflow_provider_sei.local_server", "--clock-speed", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, server: str, airflow_version: Version) -> dict[str, str]:
    """The environment of a separate Airflow, with a database and the example DAGs."""
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    dags.mkdir()
    for example in EXAMPLES.glob("*.py"):
        text = example.read_text()
        if airflow_version < Version("3"):  # which has no airflow.sdk
            text = text.replace("from airflow.sdk import", "from airflow.providers.common.compat.sdk import")
        (dags / example.name).write_text(text)
    connection = {
        "conn_type": "harness_sei",
        "host": server,
        "password": "demo-key",
        "extra": {"project_identifier": "demo_project", "org_identifier": "default"},
    }
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW_CONN_SEI_DEFAULT": json.dumps(connection),
    }
    airflow(environment, "db", "migrate")
    return environment


def airflow(environment: dict[str, str], *arguments: str) -> str:
    """Run Airflow's command line; return all of its output."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def local(server: str, what: str, body: dict[str, Any] | None = None) -> Any:
    """Call the server's ``/_local/`` interface."""
    url = f"{server.removesuffix('/prod1/sei/api')}/_local/{what}"
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None)  # noqa: S310 - the local server
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - the local server
        return json.load(answer)


def complete_the_export(server: str, ended: threading.Event) -> None:
    """Advance the clock at the second poll of a status: the first one is before the deferral."""
    before = len(local(server, "requests"))
    while not ended.wait(0.2):
        fresh = local(server, "requests")[before:]
        if [request["operation"] for request in fresh].count("status") > 1:
            local(server, "clock", {"advance": 60})
            return


@pytest.mark.parametrize(
    ("dag_id", "date_end"),
    [("sei_export_one_task", "2024-01-31"), ("sei_export_create_wait_download", "2024-02-29")],
)
def test_it_defers_and_delivers(
    dag_id: str, date_end: str, environment: dict[str, str], server: str, tmp_path: Path
) -> None:
    """The whole file of the server."""
    conf = json.dumps(
        {"team_id": "456", "date_start": "2024-01-01", "date_end": date_end, "destination": f"{tmp_path}/"}
    )
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        completing = pool.submit(complete_the_export, server, ended)
        try:
            output = airflow(environment, "dags", "test", dag_id, "--conf", conf)
        finally:
            ended.set()
    completing.result()

    assert "in the triggerer" in output
    [export] = [export for export in local(server, "exports") if export["request"]["dateRange"]["end"] == date_end]
    [delivered] = tmp_path.iterdir()
    assert hashlib.sha256(delivered.read_bytes()).hexdigest() == export["body_sha256"], output
