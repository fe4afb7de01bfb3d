"""The asset watcher in real Airflow processes, with a triggerer that is killed; and what OpenLineage writes there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from airflow_provider_sei.local_server.running import RunningServer
from demo.local_airflow import LocalAirflow, free_ports
from demo.processes import Processes
from demo.rest import AirflowApi
from tests.lab import until

EXAMPLE = Path(__file__).parents[2] / "dags_examples" / "example_sei_assets.py"
WATCHER = 'SEIExportCompletedTrigger(family="productivity"'


@dataclass(frozen=True, kw_only=True)
class Lab(LocalAirflow):
    """Airflow with a triggerer that is started again whenever it ends, and OpenLineage's events in a file."""

    @property
    def processes(self) -> Processes:
        """As it is, but for the triggerer."""
        processes = super().processes
        again = ["sh", "-c", 'while :; do "$@"; sleep 0.2; done', "sh", *processes.components["triggerer"]]
        return replace(processes, components={**processes.components, "triggerer": again})

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """As it is, with OpenLineage's file and DAGs that run immediately."""
        transport = {"type": "file", "log_file_path": str(self.home / "openlineage.jsonl"), "append": True}
        return {
            **super().environment(inherited),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "lab",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        }


@pytest.fixture
def lab(sei_server: RunningServer, tmp_path: Path) -> Lab:
    """The example's DAGs, with the list read every five seconds."""
    sei_server.reset(seconds_to_complete=3.0)
    dags = tmp_path / "dags"
    dags.mkdir()
    source = EXAMPLE.read_text()
    assert WATCHER in source
    (dags / EXAMPLE.name).write_text(source.replace(WATCHER, f"{WATCHER}, poll_interval=5"))
    return Lab(
        home=tmp_path / "airflow",
        dags_folder=dags,
        port=free_ports(1)[0],
        connections={"sei_default": sei_server.connection_json(account_id="acc")},
        beside={},
    )


@pytest.fixture
def api(lab: Lab) -> Iterator[AirflowApi]:
    """All processes, up and well."""
    with lab.running() as running:
        yield running


def in_the_vendors_ui(sei_server: RunningServer, start: str) -> str:
    """Create an export by plain HTTP, as somebody would who knows nothing of Airflow; return its id."""
    connection = json.loads(sei_server.connection_json())
    answer = requests.post(
        f"{connection['host']}/v2/insights/productivity/exports",
        params={
            "projectIdentifier": connection["extra"]["project_identifier"],
            "orgIdentifier": connection["extra"]["org_identifier"],
        },
        headers={"authorization": f"ApiKey {connection['password']}"},
        json={
            "scope": {"teamId": "456"},
            "dateRange": {"start": start, "end": "2024-03-31"},
            "metricGroups": ["velocity"],
        },
        timeout=10,
    )
    export_id: str = answer.json()["exportId"]
    return export_id


def emitted_exports(api: AirflowApi) -> list[str]:
    """Return the exports of all asset events of the watcher, in their order."""
    events = sorted(api._send("GET", "assets/events")["asset_events"], key=lambda event: event["id"])
    return [event["extra"]["payload"]["export_id"] for event in events if event["extra"].get("from_trigger")]


def stored_watermark(api: AirflowApi) -> str:
    """Return what is stored with the watched asset, as text."""
    [asset] = api._send("GET", "assets?uri_pattern=sei://")["assets"]
    return json.dumps(api._send("GET", f"assets/{asset['id']}/state-store"))


def ended(api: AirflowApi, dag_id: str) -> list[str]:
    """Return the states of the DAG's runs once there are some and all have ended."""
    states = [run["state"] for run in api._send("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]]
    return states if states and set(states) <= {"success", "failed"} else []


def kill_triggerer(lab: Lab) -> None:
    """Kill it with all its children, as a lost machine would; another one starts immediately."""
    [loop] = [record.find() for record in lab.processes.records() if record.name == "triggerer"]
    assert loop is not None
    for process in loop.children(recursive=True):
        process.kill()


@pytest.mark.live
def test_each_export_starts_the_dag_once_whatever_becomes_of_the_triggerer(
    lab: Lab, api: AirflowApi, sei_server: RunningServer, tmp_path: Path
) -> None:
    """One while it runs, one while it is away; none twice. A failed export is in the lineage with what was read."""
    until(lambda: api.dag_exists("sei_assets_watch"))
    until(lambda: any(request.operation == "list" for request in sei_server.requests))
    first = in_the_vendors_ui(sei_server, "2024-01-01")
    until(lambda: emitted_exports(api) == [first])
    until(lambda: ended(api, "sei_assets_watch") == ["success"])

    until(lambda: first in stored_watermark(api))
    kill_triggerer(lab)
    second = in_the_vendors_ui(sei_server, "2024-02-01")
    until(lambda: len(emitted_exports(api)) == 2)
    calls = len(sei_server.requests)
    until(lambda: len(sei_server.requests) > calls + 3)
    assert emitted_exports(api) == [first, second]
    until(lambda: ended(api, "sei_assets_watch") == ["success", "success"])

    conf = {"destination": f"{tmp_path}/out/", "org_tree_name": "Nowhere"}
    failed = api.start_run("sei_assets_export", conf)
    until(lambda: api.run_state("sei_assets_export", failed) == "failed")
    good = api.start_run("sei_assets_export", conf | {"org_tree_name": "Engineering"})
    until(lambda: api.run_state("sei_assets_export", good) == "success")
    until(lambda: ended(api, "sei_assets_report") == ["success"])
    lines = (lab.home / "openlineage.jsonl").read_text().splitlines()
    emitted = [event for event in map(json.loads, lines) if event["job"]["name"] == "sei_assets_export.export"]
    events = {event["eventType"]: event for event in emitted}
    [file] = (tmp_path / "out").iterdir()
    for kind, tree in {"COMPLETE": "Engineering", "FAIL": "Nowhere"}.items():
        [source] = events[kind]["inputs"]
        assert (source["namespace"], source["name"]) == ("sei://acc", f"default/demo_project/productivity/tree/{tree}")
    assert events["FAIL"]["outputs"] == []
    [output] = events["COMPLETE"]["outputs"]
    assert (output["namespace"], output["name"]) == ("file", str(file))
    header = file.read_text().partition("\n")[0].strip()
    assert ",".join(field["name"] for field in output["facets"]["schema"]["fields"]) == header
    assert output["outputFacets"]["outputStatistics"]["size"] == file.stat().st_size
