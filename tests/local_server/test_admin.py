"""What another process may ask and tell the server under ``/_local/``."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from airflow_provider_sei.local_server.running import RunningServer


class Admin:
    """Calls under ``/_local/``; they need no key."""

    def __init__(self, server: RunningServer) -> None:
        self.origin = server.origin

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        """Return the JSON answer."""
        answer = requests.request(method, f"{self.origin}/_local/{path}", json=body or None, timeout=10)
        answer.raise_for_status()
        return answer.json()


@pytest.fixture
def admin(server: RunningServer) -> Admin:
    """The administration of ``server``."""
    return Admin(server)


def test_exports_are_told_with_size_and_digest(api: Any, server: RunningServer, admin: Admin) -> None:
    """What a demonstration compares its files with."""
    api.created()
    api.create()
    assert admin("GET", "exports")[0]["csv_sha256"] is None
    server.clock.advance(3)
    told, known = admin("GET", "exports")[0], server.exports[0]
    names = ("export_id", "family", "status", "requested", "csv_bytes", "csv_sha256", "body_sha256", "rows", "records")
    assert {name: told[name] for name in names} == {name: getattr(known, name) for name in names}
    assert (told["requested"], told["status"], told["records"]) == (2, "completed", told["rows"] + 1)


def test_legacy_reports_are_told_likewise(api: Any, admin: Admin) -> None:
    """Every report that was handed out."""
    content = api.legacy().content
    assert [report["csv_bytes"] for report in admin("GET", "legacy")] == [len(content)]


def test_requests_are_told_without_their_key(api: Any, server: RunningServer, admin: Admin) -> None:
    """The header's name is there, its value is not."""
    api.list(limit=5)
    told = admin("GET", "requests")
    assert told[0]["query"][-1] == ["limit", "5"]
    assert (told[0]["operation"], told[0]["family"], told[0]["auth"]) == ("list", "productivity", "authorization")
    assert server.api_key not in json.dumps(told)


def test_the_journal_can_be_read_from_its_end(api: Any, admin: Admin) -> None:
    """The newest requests."""
    for _ in range(3):
        api.list()
    assert len(admin("GET", "requests?last=2")) == 2
    assert admin("GET", "requests?last=0") == []


def test_health_counts_requests_answers_and_connections(api: Any, admin: Admin) -> None:
    """Kept-alive connections count once."""
    api.list()
    api.list()
    api.status("exp_unknown")
    health = admin("GET", "health")
    assert health["operations"] == {"list": 2, "status": 1}
    assert health["answers"] == {"200": 2, "404": 1}
    assert health["connections"] == 1


def test_faults_are_armed_listed_and_disarmed(api: Any, admin: Admin) -> None:
    """By the same names as in Python."""
    admin("POST", "faults", operation="list", effect="answer", status=503, times=None)
    assert api.list().status_code == 503
    assert [(fault["effect"], fault["done"]) for fault in admin("GET", "faults")] == [("answer", 1)]
    admin("DELETE", "faults")
    assert api.list().status_code == 200
    assert "cut" in admin("GET", "effects")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"operation": "list", "effect": "nothing"}),
        ("faults", {"effect": "answer"}),
        ("reset", {"settings": {"colour": "red"}}),
        ("faults", []),
        ("clock", {"advance": "soon"}),
    ],
)
def test_nonsense_is_refused(server: RunningServer, path: str, body: Any) -> None:
    """With a sentence, and 400."""
    answer = requests.post(f"{server.origin}/_local/{path}", json=body, timeout=10)
    assert answer.status_code == 400
    assert answer.text


def test_an_export_can_be_ended_from_outside(api: Any, server: RunningServer, admin: Admin) -> None:
    """And an unknown one cannot."""
    export_id = api.finished()
    admin("POST", f"exports/{export_id}", status="failed", error="disk full")
    assert api.status(export_id).json()["error"]["message"] == "disk full"
    url = f"{server.origin}/_local/exports"
    assert requests.post(f"{url}/exp_0", json={}, timeout=10).status_code == 404
    assert requests.post(f"{url}/{export_id}", json={"colour": "red"}, timeout=10).status_code == 400
    assert requests.post(f"{url}/{export_id}", data=b"{", timeout=10).status_code == 400


def test_the_clock_can_be_moved_from_outside(api: Any, server: RunningServer, admin: Admin) -> None:
    """Exports complete as it goes."""
    export_id = api.created()
    before = server.clock()
    assert admin("POST", "clock", advance=3)["now"] == before + 3
    assert api.status(export_id).json()["status"] == "completed"


def test_a_reset_forgets_everything_and_may_change_settings(api: Any, server: RunningServer, admin: Admin) -> None:
    """Exports, requests, faults."""
    api.created()
    server.faults.add("any", "answer")
    admin("POST", "reset", settings={"seconds_to_complete": 0})
    assert (server.exports, server.requests, server.faults.armed()) == ([], [], [])
    assert api.status(api.created()).json()["status"] == "completed"
