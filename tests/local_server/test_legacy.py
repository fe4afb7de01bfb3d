"""Legacy reports."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from airflow_provider_sei.local_server.running import RunningServer


def rows(answer: Any) -> list[list[str]]:
    """Return the records of a report."""
    assert answer.status_code == 200, answer.text
    return list(csv.reader(io.StringIO(answer.content.decode(), newline="")))


def test_a_team_report_has_a_row_for_the_team_and_each_child(api: Any, server: RunningServer) -> None:
    """Teams without data are left out."""
    root = server.organisation.trees[0].root
    names = [row[0] for row in rows(api.legacy(collectionId=str(root.ref_id)))]
    expected = [team.name for team in root.walk() if any(leaf.developers for leaf in team.leaves())]
    assert names == ["Collection Name", *expected]


def test_empty_metrics_mean_all_and_names_are_case_insensitive(api: Any) -> None:
    """Six productivity and five efficiency metrics are documented."""
    everything = rows(api.legacy(efficiency={"metrics": []}))[0]
    some = rows(api.legacy(productivity={"metrics": ["coding_days_per_dev"]}))[0]
    assert len(everything) == 1 + 6 + 5
    assert some == ["Collection Name", "Coding Days per Developer"]


def test_the_calculation_is_in_the_titles(api: Any) -> None:
    """The mean is the default."""
    asked = {"metrics": ["LEAD_TIME_FOR_CHANGES"]}
    titles = [
        rows(api.legacy(productivity=None, efficiency=asked | more))[0][1] for more in ({}, {"calculationType": "P90"})
    ]
    assert titles == ["Lead Time for Changes (mean)", "Lead Time for Changes (p90)"]


def test_a_contributor_report_has_a_row_for_each_developer(api: Any) -> None:
    """The team first, then its contributors; ratings where there are any."""
    answer = api.legacy(productivity=None, productivityContributors={"metrics": ["CODING_DAYS"]}, includeRatings=True)
    header, *people = rows(answer)
    assert header == ["Collection Name", "Coding Days", "Coding Days Rating"]
    assert len(people) == 1 + 5
    assert {row[2] for row in people} <= {"Elite", "High", "Medium", "Low"}


def test_an_empty_result_is_zero_bytes(api: Any, server: RunningServer) -> None:
    """The vendor documents it as a success."""
    answer = api.legacy(collectionId="31337")
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
    assert server.legacy_reports[0].records == 0


def test_the_server_remembers_what_it_handed_out(api: Any, server: RunningServer) -> None:
    """Content, name and counts of every report."""
    answer = api.legacy()
    report = server.legacy_reports[0]
    assert report.csv == answer.content
    assert report.records == len(rows(answer))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{report.filename}"'


@pytest.mark.parametrize(
    "changes",
    [
        {"collectionId": None},
        {"collectionId": 456},
        {"teamRefId": "456"},
        {"teamRefId": 457},
        {"dateStart": "2024-01-01T00:00:00Z"},
        {"dateEnd": "2023-01-01"},
        {"granularity": "hourly"},
        {"includeRatings": "yes"},
        {"productivity": None},
        {"productivity": {"metrics": "all"}},
        {"efficiency": {"metrics": [], "calculationType": "MODE"}},
        {"teamId": "456"},
    ],
)
def test_bad_requests_are_refused_in_plain_text(api: Any, server: RunningServer, changes: dict[str, Any]) -> None:
    """The legacy endpoint's errors are no JSON."""
    answer = api.legacy(**changes)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert server.legacy_reports == []


def test_only_csv_is_served(api: Any) -> None:
    """Another format is an error."""
    answer = api.call("POST", "v2/insights/teams/reports", {"format": "json"}, json={})
    assert answer.status_code == 400


def test_the_documented_examples_work(api: Any) -> None:
    """They leave out collectionId and sometimes the granularity."""
    body = {
        "dateStart": "2024-01-01",
        "dateEnd": "2024-12-31",
        "teamRefId": 123,
        "efficiency": {"metrics": ["LEAD_TIME_FOR_CHANGES", "DEPLOYMENT_FREQUENCY"], "calculationType": "MEDIAN"},
    }
    query = {"format": "csv", "projectIdentifier": "demo_project"}
    assert len(rows(api.call("POST", "v2/insights/teams/reports", query, json=body))) == 2
