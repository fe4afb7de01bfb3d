"""Take the pictures of docs/images/ with playwright and the Chromium of the machine; nothing is downloaded.

The clock of the local SEI server is stopped until the pictures of waiting tasks are taken. Review each picture.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.local_server.settings import ServerSettings
from demo import store
from demo.local_airflow import LocalAirflow, free_ports
from demo.rest import AirflowApi

ROOT = Path(__file__).parents[2]
EXPORT_SECONDS = 600.0  # of the server's clock
TIMEOUT_SECONDS = 600.0
"""Airflow can consider a task lost that returns soon; it is retried after five minutes."""
LAKE = "s3://aws_default@lake/sei/"
MONTH = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
# What each run is for, its DAG, and its params.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "steps": ("sei_export_create_wait_download", {"team_id": "123"}),
    "links": ("sei_export_one_task", {"team_id": "456"}),
    "failed": ("sei_export_one_task", {"org_tree_name": "Enginering", "team_id": None}),
    "teams": ("sei_organisation", {**MONTH, "exclude": ["平台工程"]}),  # Chromium may have no letters for that team
    "asset": ("sei_assets_export", {}),
}


def main() -> None:
    """Take the pictures."""
    folder = ROOT / "docs" / "images"
    program = shutil.which("chromium")
    if program is None:
        sys.exit("chromium is not installed; on Debian and Ubuntu: apt-get install chromium")
    settings = ServerSettings(clock_speed=0.0, seconds_to_complete=EXPORT_SECONDS)
    with RunningServer(settings) as sei, tempfile.TemporaryDirectory() as scratch:
        airflow_port, store_port = free_ports(2)
        airflow = LocalAirflow(
            home=Path(scratch) / "airflow",
            dags_folder=ROOT / "dags_examples",
            port=airflow_port,
            connections={
                "sei_default": sei.connection_json(account_id="demo_account"),
                "aws_default": store.connection(store_port),
            },
            beside={"store": store.command(store_port)},
        )
        with airflow.running() as api, sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
            with playwright.chromium.launch(executable_path=program, args=arguments) as browser:
                page = browser.new_page()
                page.set_default_timeout(60_000)
                _take_all(_Pictures(page, airflow.url, folder), api, sei)


def _take_all(pictures: _Pictures, api: AirflowApi, sei: RunningServer) -> None:
    _until(lambda: all(api.dag_exists(dag_id) for dag_id, _ in RUNS.values()))
    runs = {}
    for name, (dag_id, conf) in RUNS.items():
        api.unpause(dag_id)
        runs[name] = (dag_id, api.start_run(dag_id, {"destination": LAKE, **conf}))
    pictures.connection()
    _until(lambda: "deferred" in [task["state"] for task in api.task_instances(*runs["steps"])])
    pictures.graph(*runs["steps"])
    _until(lambda: _advance(api, sei, runs))
    pictures.links(*runs["links"])
    pictures.error(*runs["failed"])
    pictures.teams(*runs["teams"])
    [asset] = api._send("GET", "assets?name_pattern=sei_productivity_csv")["assets"]
    pictures.asset(asset["id"])


def _advance(api: AirflowApi, sei: RunningServer, runs: Mapping[str, tuple[str, str]]) -> bool:
    """Complete all exports so far, and return whether all runs have ended."""
    sei.clock.advance(EXPORT_SECONDS)
    return {api.run_state(*run) for run in runs.values()} <= {"success", "failed"}


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.5)


class _Pictures:
    """Each method takes one picture."""

    def __init__(self, page: Page, url: str, folder: Path) -> None:
        self._page = page
        self._url = url
        self._folder = folder

    def connection(self) -> None:
        self._open("connections", 1000, 1490, edge=None)
        self._page.get_by_role("button", name="Add Connection", exact=True).click()
        self._page.get_by_role("combobox").first.click()
        self._page.keyboard.insert_text("Harness SEI")
        self._page.keyboard.press("Enter")
        self._page.get_by_text("API key").first.wait_for()
        self._shoot("connection_fields", 1000, 620)
        self._page.get_by_role("button", name="Extra Fields", exact=True).click()
        self._page.get_by_text("CA bundle").first.wait_for()
        self._shoot("connection_extra", 1000, 1490)

    def graph(self, dag_id: str, run_id: str) -> None:
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}", 1200, 560, view="graph", edge=840)
        self._page.get_by_text("deferred", exact=False).first.wait_for()
        self._shoot("graph_deferred")

    def links(self, dag_id: str, run_id: str) -> None:
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}/tasks/export/details", 1200, 480)
        self._page.get_by_text("Delivered object").first.wait_for()
        self._shoot("links")

    def error(self, dag_id: str, run_id: str) -> None:
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}/tasks/export?log_level=error", 1200, 560)
        self._page.get_by_text("SEIExportFailedError").first.wait_for()
        # The frames of the traceback contain paths of the machine.
        self._page.evaluate("document.querySelectorAll('details').forEach(each => each.removeAttribute('open'))")
        self._shoot("error")

    def teams(self, dag_id: str, run_id: str) -> None:
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}/tasks/productivity.export/mapped", 1200, 760)
        self._page.get_by_text("Mobile").first.wait_for()
        self._shoot("teams")

    def asset(self, asset_id: int) -> None:
        self._open(f"assets/{asset_id}", 1200, 840, edge=None)
        self._page.locator(".codicon-folding-collapsed").first.click()
        self._drag_edge(500)
        self._shoot("asset_event")

    def _open(self, path: str, width: int, height: int, *, view: str = "grid", edge: float | None = 380) -> None:
        """Open a page with its left half up to ``edge``."""
        settings = {"theme": "light", "default_dag_view": f'"{view}"', "log_wrap": "true"}
        self._page.add_init_script(f"Object.assign(localStorage, {json.dumps(settings)})")
        self._page.set_viewport_size({"width": width, "height": height})
        self._page.goto(f"{self._url}/{path}")
        if edge is not None:
            self._drag_edge(edge)

    def _drag_edge(self, x: float) -> None:
        """Move the edge between the two halves of a page."""
        edge = self._page.locator("[role=separator]:visible").first
        edge.wait_for()
        box = edge.bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 4
        self._page.mouse.move(box["x"] + box["width"] / 2, y)
        self._page.mouse.down()
        self._page.mouse.move(x, y)
        self._page.mouse.up()

    def _shoot(self, name: str, *size: int) -> None:
        if size:
            self._page.set_viewport_size({"width": size[0], "height": size[1]})
        self._page.wait_for_timeout(1000)  # for the page's own animations
        self._page.screenshot(path=self._folder / f"{name}.png")


if __name__ == "__main__":
    main()
