"""The example that makes the page, run by Airflow against the local SEI server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import escape

from tests.test_dags_examples import results

TEAMS = ["456", "123", "1007"]  # the last one has no developers, and so no records


def pages(folder: Path) -> list[str]:
    """Return the pages that were written."""
    return [file.read_text("utf-8") for file in folder.glob("*.html")]


def test_the_page_is_made_of_what_was_delivered(run: Any, sei_server: Any, tmp_path: Path) -> None:
    """It names each file with records, and the team without."""
    dag_run = run("sei_dora_report", team_ids=TEAMS)
    assert dag_run.state == "success"
    [told] = results(dag_run, "write_report")
    assert told == {
        "page": f"file://{tmp_path}/dora_2024-01-01_2024-06-30.html",
        "teams": 2,
        "missing": [sei_server.organisation.teams["1007"].name],
    }
    [page] = pages(tmp_path)
    shas = {record.request["scope"]["teamId"]: record.csv_sha256 for record in sei_server.exports}
    assert {team for team, sha256 in shas.items() if sha256 in page} == {"456", "123"}
    assert "12 records from 2 files" in page
    assert page.count("No data") == 0


def test_a_failed_team_is_named_and_the_others_shown(run: Any, sei_server: Any, tmp_path: Path) -> None:
    """The run fails all the same."""
    sei_server.faults.add("create", "outcome", status="failed", error="Out of memory")
    dag_run = run("sei_dora_report", team_ids=TEAMS)
    assert dag_run.state == "failed"
    [page] = pages(tmp_path)
    failed, *others = sei_server.exports
    name = sei_server.organisation.teams[failed.request["scope"]["teamId"]].name
    assert f"{escape(name)} ({failed.request['scope']['teamId']})</bdi>: <bdi>its export did not succeed" in page
    assert all((other.csv_sha256 in page) == bool(other.rows) for other in others)


def test_without_a_single_file_there_is_no_page(run: Any, sei_server: Any, tmp_path: Path) -> None:
    """An older one stays: better than an empty one."""
    sei_server.faults.add("create", "outcome", status="failed", error="Out of memory", times=None)
    (tmp_path / "dora_2024-01-01_2024-06-30.html").write_text("older")
    assert run("sei_dora_report", team_ids=["456"]).state == "failed"
    assert pages(tmp_path) == ["older"]
