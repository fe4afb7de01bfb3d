"""The control API under ``/_local/``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_sei.local_server.running import RunningServer

Control = Callable[..., Any]


@pytest.fixture
def control(server: RunningServer) -> Control:
    """Make calls to the control API and return their JSON answers."""

    def call(method: str, path: str, **body: Any) -> Any:
        answer = requests.request(method, f"{server.origin}/_local/{path}", json=body or None, timeout=10)
        answer.raise_for_status()
        return answer.json()

    return call


def test_exports_and_reports_come_with_size_and_digest(api: Any, server: RunningServer, control: Control) -> None:
    """The same facts as in Python."""
    api.created()
    api.create()
    assert control("GET", "exports")[0]["csv_sha256"] is None
    server.clock.advance(3)
    shown, known = control("GET", "exports")[0], server.exports[0]
    names = ("export_id", "family", "status", "requested", "csv_bytes", "csv_sha256", "body_sha256", "rows", "records")
    assert {name: shown[name] for name in names} == {name: getattr(known, name) for name in names}
    assert (shown["requested"], shown["status"], shown["records"]) == (2, "completed", shown["rows"] + 1)
    content = api.legacy().content
    assert [report["csv_bytes"] for report in control("GET", "legacy")] == [len(content)]


def test_requests_come_without_their_key_and_are_counted(api: Any, server: RunningServer, control: Control) -> None:
    """With the header's name; all of them or the newest. A kept-alive connection counts once."""
    api.list(limit=5)
    api.list()
    shown = control("GET", "requests")
    assert shown[0]["query"][-1] == ["limit", "5"]
    assert (shown[0]["operation"], shown[0]["family"], shown[0]["auth"]) == ("list", "productivity", "authorization")
    assert server.api_key not in json.dumps(shown)
    assert (control("GET", "requests?last=1"), control("GET", "requests?last=0")) == (shown[1:], [])
    api.status("exp_unknown")
    health = control("GET", "health")
    assert (health["operations"], health["answers"]) == ({"list": 2, "status": 1}, {"200": 2, "404": 1})
    assert health["connections"] == 1


def test_faults_are_armed_listed_and_disarmed(api: Any, control: Control) -> None:
    """By the same names as in Python."""
    control("POST", "faults", operation="list", effect="answer", status=503, times=None)
    assert api.list().status_code == 503
    assert [(fault["effect"], fault["done"]) for fault in control("GET", "faults")] == [("answer", 1)]
    control("DELETE", "faults")
    assert api.list().status_code == 200
    assert "cut" in control("GET", "effects")


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("faults", {"operation": "list", "effect": "nothing"}, "nothing"),
        ("faults", {"effect": "answer"}, "operation"),
        ("faults", [], "JSON object"),
        ("reset", {"settings": {"colour": "red"}}, "colour"),
        ("clock", {"advance": "soon"}, "soon"),
        ("requests?last=few", None, "few"),
    ],
)
def test_invalid_arguments_are_rejected(server: RunningServer, path: str, body: Any, word: str) -> None:
    """With 400 and a message."""
    method = "GET" if body is None else "POST"
    answer = requests.request(method, f"{server.origin}/_local/{path}", json=body, timeout=10)
    assert answer.status_code == 400
    assert word in answer.text


def test_the_end_of_an_export_can_be_changed(api: Any, server: RunningServer, control: Control) -> None:
    """Not that of an unknown one."""
    export_id = api.finished()
    control("POST", f"exports/{export_id}", status="failed", error="disk full")
    assert api.status(export_id).json()["error"]["message"] == "disk full"
    url = f"{server.origin}/_local/exports"
    assert requests.post(f"{url}/exp_0", json={}, timeout=10).status_code == 404
    assert requests.post(f"{url}/{export_id}", json={"colour": "red"}, timeout=10).status_code == 400
    assert requests.post(f"{url}/{export_id}", data=b"{", timeout=10).status_code == 400


def test_the_clock_can_be_moved_and_everything_forgotten(api: Any, server: RunningServer, control: Control) -> None:
    """Exports complete by the clock; a reset forgets exports, requests and faults, and may change settings."""
    export_id, before = api.created(), server.clock()
    assert control("POST", "clock", advance=3)["now"] == before + 3
    assert api.status(export_id).json()["status"] == "completed"
    server.faults.add("any", "answer")
    control("POST", "reset", settings={"seconds_to_complete": 0})
    assert (server.exports, server.requests, server.faults.armed()) == ([], [], [])
    assert api.status(api.created()).json()["status"] == "completed"
