"""``python -m tests.screens`` takes the pictures of docs/images/ anew, of a real Airflow beside the local SEI server.

Chromium is the machine's: on Debian and Ubuntu, the package chromium. The server's clock stands still until the
pictures of waiting tasks are taken. Look at each picture before it is committed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.local_server.settings import ServerSettings
from demo.airflow_processes import AirflowLab, free_ports
from demo.rest import AirflowApi
from tests.delivery.store_servers import s3_server
from tests.screens.browser import Browser, browser

ROOT = Path(__file__).parents[2]
EXPORT_SECONDS = 600.0  # of the server's clock
PATIENCE_SECONDS = 600.0
"""Airflow can take a task for lost that comes back soon; its retry comes after five minutes."""
LAKE = "s3://aws_default@lake/sei/"
MONTH = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
# What each run is for, its DAG, and its params.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "steps": ("sei_export_create_wait_download", {"team_id": "123"}),
    "links": ("sei_export_one_task", {"team_id": "456"}),
    "failed": ("sei_export_one_task", {"org_tree_name": "Enginering"}),
    "teams": ("sei_organisation", {**MONTH, "exclude": ["平台工程"]}),  # Chromium may have no letters for that team
    "asset": ("sei_assets_export", {}),
}
_EDGE = "[role=separator]"  # between the two halves of a page


def main() -> int:
    """Start everything, take the pictures, stop everything; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.screens", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "images")
    folder: Path = parser.parse_args().folder
    program = shutil.which("chromium")
    if program is None:
        print("there is no chromium here; on Debian and Ubuntu: apt-get install chromium", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    settings = ServerSettings(clock_speed=0.0, seconds_to_complete=EXPORT_SECONDS)
    with RunningServer(settings) as sei, s3_server() as s3, tempfile.TemporaryDirectory() as scratch:
        _make_bucket(s3)
        aws = {"conn_type": "aws", "login": "x", "password": "x"}
        lab = AirflowLab(
            home=Path(scratch) / "airflow",
            dags_folder=ROOT / "dags_examples",
            port=free_ports(1)[0],
            connections={
                "sei_default": sei.connection_json(account_id="demo_account"),
                "aws_default": json.dumps(aws | {"extra": {"endpoint_url": s3, "region_name": "us-east-1"}}),
            },
            beside={},
        )
        profile = Path(scratch) / "chromium"
        profile.mkdir()
        with lab.running() as api, browser(program, profile) as page:
            _take_all(_Pictures(page, lab.url, folder), api, sei)
    for file in sorted(folder.glob("*.png")):
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
    return 0


def _make_bucket(address: str) -> None:
    import boto3

    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **keys).create_bucket(Bucket="lake")


def _take_all(pictures: _Pictures, api: AirflowApi, sei: RunningServer) -> None:
    _until(lambda: all(api.dag_exists(dag_id) for dag_id, _ in RUNS.values()))
    runs = {}
    for name, (dag_id, conf) in RUNS.items():
        api.unpause(dag_id)
        runs[name] = (dag_id, api.start_run(dag_id, {"destination": LAKE, **conf}))
    pictures.connection()
    _until(lambda: "deferred" in _states(api, *runs["steps"]))
    pictures.graph(*runs["steps"])
    _until(lambda: _ended_meanwhile(api, sei, runs))
    pictures.links(*runs["links"])
    pictures.error(*runs["failed"])
    pictures.teams(*runs["teams"])
    [asset] = api._send("GET", "assets?name_pattern=sei_productivity_csv")["assets"]
    pictures.asset(asset["id"])


def _states(api: AirflowApi, dag_id: str, run_id: str) -> list[str | None]:
    return [task["state"] for task in api.task_instances(dag_id, run_id)]


def _ended_meanwhile(api: AirflowApi, sei: RunningServer, runs: Mapping[str, tuple[str, str]]) -> bool:
    """Let every export that is under way be completed, and tell whether all runs have ended."""
    sei.clock.advance(EXPORT_SECONDS)
    return {api.run_state(*run) for run in runs.values()} <= {"success", "failed"}


def _until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.5)


class _Pictures:
    """Each method takes one picture."""

    def __init__(self, page: Browser, url: str, folder: Path) -> None:
        self._page = page
        self._url = url
        self._folder = folder

    def connection(self) -> None:
        self._open("connections", 1000, 1490, edge=None)
        page = self._page
        page.click("button", "Add Connection")
        page.click("input[role=combobox]")
        page.type("Harness SEI")
        page.shows("API key")
        self._shoot("connection_fields", 1000, 620)
        page.click("button", "Extra Fields")
        page.shows("CA bundle")
        self._shoot("connection_extra", 1000, 1490)

    def graph(self, dag_id: str, run_id: str) -> None:
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}", 1200, 560, view="graph", edge=840)
        self._page.shows("SEIExportSensor", "deferred")
        self._shoot("graph_deferred")

    def links(self, dag_id: str, run_id: str) -> None:
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}/tasks/export/details", 1200, 480)
        self._page.shows("DeliveryResult object")
        self._shoot("links")

    def error(self, dag_id: str, run_id: str) -> None:
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}/tasks/export?log_level=error", 1200, 560)
        self._page.shows("SEIExportFailedError")
        # The frames of the traceback name the machine's folders.
        self._page.evaluate("document.querySelectorAll('details').forEach(one => one.removeAttribute('open'))")
        self._shoot("error")

    def teams(self, dag_id: str, run_id: str) -> None:
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}/tasks/productivity.export/mapped", 1200, 760)
        self._page.shows("Mobile")
        self._shoot("teams")

    def asset(self, asset_id: int) -> None:
        self._open(f"assets/{asset_id}", 1200, 840, edge=None)
        self._page.click(".codicon-folding-collapsed")
        self._page.drag(_EDGE, 500)
        self._shoot("asset_event")

    def _open(self, path: str, width: int, height: int, *, view: str = "grid", edge: float | None = 380) -> None:
        """Open a page of a size, its left half up to ``edge``."""
        kept = {"theme": "light", "default_dag_view": f'"{view}"', "log_wrap": "true"}
        self._page.at_each_page(
            f"for (const [name, value] of {json.dumps([*kept.items()])}) localStorage[name] = value"
        )
        self._page.resize(width, height)
        self._page.open(f"{self._url}/{path}")
        if edge is not None:
            self._page.drag(_EDGE, edge)

    def _shoot(self, name: str, *size: int) -> None:
        if size:
            self._page.resize(*size)
        self._page.shoot(self._folder / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
