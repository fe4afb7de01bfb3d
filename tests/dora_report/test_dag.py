"""The example DAG that makes the page, run by Airflow against the local SEI server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.test_dags_examples import results


def test_the_page_is_made_of_what_was_delivered(run: Any, sei_server: Any) -> None:
    """It contains each file with records, and names the team without: it has no developers."""
    dag_run = run("sei_dora_report", team_ids=["456", "1007"])
    assert dag_run.state == "success"
    [returned] = results(dag_run, "write_report")
    empty = sei_server.organisation.teams["1007"].name
    assert (returned["files"], returned["warnings"]) == (1, [f"{empty} (1007): SEI has no data in this period"])
    page = Path(returned["page"].removeprefix("file://")).read_text("utf-8")
    shas = {record.request["scope"]["teamId"]: record.csv_sha256 for record in sei_server.exports}
    assert {team for team, sha256 in shas.items() if sha256 in page} == {"456"}
    assert page.count("data:image/svg+xml") == 4


def test_a_failed_team_is_named_and_the_others_are_shown(run: Any, sei_server: Any, tmp_path: Path) -> None:
    """The run fails nevertheless."""
    sei_server.faults.add("create", "outcome", status="failed", error="Out of memory")
    assert run("sei_dora_report", team_ids=["456", "123"]).state == "failed"
    [page] = [file.read_text("utf-8") for file in tmp_path.glob("*.html")]
    failed, other = sei_server.exports
    assert f"({failed.request['scope']['teamId']}): the export failed" in page
    assert other.csv_sha256 in page
