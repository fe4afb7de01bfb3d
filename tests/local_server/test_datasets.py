"""The content of the files, and bodies: bytes described by repeated blocks."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.local_server.bodies import Body, gzipped, gzipped_in_members
from airflow_provider_sei.local_server.datasets import CsvFile, export_csv, periods, sized, teams_in_scope
from airflow_provider_sei.local_server.organisation import Organisation
from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.protocol.families import get_family

ORGANISATION = Organisation(7, 5)
JANUARY = {"start": "2024-01-01", "end": "2024-01-31"}


def export(family: str = "productivity", **changes: Any) -> CsvFile:
    """Return the file of a request for a month of the org tree Engineering."""
    request = {"scope": {"orgTreeName": "Engineering"}, "dateRange": JANUARY} | changes
    return export_csv(get_family(family), request, ORGANISATION)


def records(content: bytes) -> list[list[str]]:
    """Return the records of a file, its header first."""
    return list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))


@pytest.mark.parametrize(
    ("family", "sha256"),
    [
        ("productivity", "568b71ab845702e1605b22deb297937a797317ea723eeee1d018f78fa265fd05"),
        ("efficiency", "e8ace37d54f91747c8f7acd34fb5f2ebed62834ad97077458703197fe06b7437"),
        ("sprint", "045e8dd42fe5684b191739e2ad814d5a437341b89f7a5b48039db2f49fb2f132"),
        ("ba", "03670ad94ec1dd82cb1a5d3f5bf1f27cdde7a25a69ac48079beb0347d1a7f6ca"),
        ("ticket-data", "45524744d0668194450a8746113b8f005ff046335b46c65d3d9faec7a8ac9011"),
    ],
)
def test_the_same_request_gives_the_same_bytes(family: str, sha256: str) -> None:
    """On every machine and in every release; every record has as many cells as the header."""
    file = export(family)
    header, *rows = records(file.body.content())
    assert hashlib.sha256(file.body.content()).hexdigest() == sha256
    assert {len(row) for row in rows} == {len(header)}
    assert len(rows) == file.rows > 0


def test_efficiency_is_split_by_work_category_and_limited_to_a_manager() -> None:
    """The lead time alone is split; a manager has a team and all below it, within the rest of the scope."""
    options = {"workCategoryFilter": ["BUGS", "FEATURES"]}
    file = export("efficiency", metricGroups=["lttc", "mttr"], options=options)
    assert records(file.body.content())[0][-3:] == ["MTTR_Mean_Hours", "LTTC_Bugs", "LTTC_Features"]
    assert export("efficiency", metricGroups=["mttr"], options=options) == export("efficiency", metricGroups=["mttr"])
    manager = {"managerEmailId": "manager.1000002@company.example"}
    managed = teams_in_scope(ORGANISATION, manager) or []
    assert [team.ref_id for team in managed] == [1, 1006, 1007]
    assert teams_in_scope(ORGANISATION, manager | {"teamId": "1"}) == managed[:1]
    assert teams_in_scope(ORGANISATION, manager | {"orgTreeName": "Support"}) == []
    assert teams_in_scope(ORGANISATION, {"managerEmailId": "nobody@company.example"}) is None


def test_figures_have_a_trend_that_the_rating_follows() -> None:
    """From month to month they change little, over the years a lot."""
    years = {"start": "2023-01-01", "end": "2028-12-31"}
    file = export("efficiency", scope={"teamId": "456"}, dateRange=years, metricGroups=["cfr", "rating"])
    found = [(float(row[-2]), row[-1]) for row in records(file.body.content())[1:] if row[-2]]
    rates = [rate for rate, _ in found]
    assert max(rates) - min(rates) > 5 * max(abs(after - before) for before, after in itertools.pairwise(rates))
    assert max(rate for rate, rating in found if rating == "Elite") < 20
    assert min(rate for rate, rating in found if rating == "Low") > 40


def test_names_have_what_breaks_careless_scripts() -> None:
    """Commas, quotes, slashes, letters of many scripts, and line breaks: a file has more lines than records."""
    file = export()
    text = file.body.content().decode()
    assert all(piece in text for piece in ('"Search, ""Ranking"" & Feeds"', "R&D / Labs", "平台工程", "Données"))
    assert text.count("\n") > file.rows + 1


def test_level_granularity_metrics_and_statuses_choose_rows_and_columns() -> None:
    """Weeks of 30 developers, or one row per team; each metric once; hours of statuses. An empty team has no row."""
    assert export(options={"granularity": "weekly"}).rows == 5 * 30
    metrics = ["PR_Merged", "pr_merged", "CODING_DAYS"]
    header, *rows = records(export(metrics=metrics, options={"aggregationLevel": "TEAM"}).body.content())
    assert header[5:] == ["PR_Merged", "Coding_Days"]
    assert len(rows) == 6
    assert records(export("ticket-data", issueStatuses=["In Review"]).body.content())[0][-1] == "in_review_hours"
    [empty] = [team for team in ORGANISATION.trees[0].root.leaves() if not team.developers]
    file = export("ba", scope={"teamId": str(empty.ref_id)})
    assert (file.rows, len(records(file.body.content()))) == (0, 1)


@pytest.mark.parametrize(
    ("granularity", "starts"),
    [
        ("weekly", ["2024-01-31", "2024-02-05", "2024-02-12"]),
        ("MONTHLY", ["2024-01-31", "2024-02-01"]),
        ("quarterly", ["2024-01-31"]),
        ("sprint", ["2024-01-31", "2024-02-12"]),
        ("daily", ["2024-01-31", *(f"2024-02-{day:02}" for day in range(1, 15))]),
    ],
)
def test_periods_follow_the_calendar_and_cover_every_day_once(granularity: str, starts: list[str]) -> None:
    """Weeks start on Mondays, months and quarters on their first day, both within the range."""
    found = list(periods(date(2024, 1, 31), date(2024, 2, 14), granularity))
    assert [start.isoformat() for start, _ in found] == starts
    assert found[-1][1] == date(2024, 2, 14)
    assert all(end.toordinal() + 1 == start.toordinal() for (_, end), (start, _) in itertools.pairwise(found))


@pytest.mark.parametrize("size", [5_000, 2_345_678, 300_000_001])
def test_a_file_has_exactly_the_size_that_is_asked_for(size: int) -> None:
    """Also one that is larger than what is in memory; it is valid CSV with as many records as it says."""
    file = sized(export(), size)
    assert len(file.body) == size
    assert sum(len(block) for block, _ in file.body.parts) < 4 << 20
    if size < 1 << 22:
        header, *rows = records(file.body.content())
        assert len(rows) == file.rows
        assert {len(row) for row in rows} == {len(header)}
    empty = CsvFile(Body.of(b"a,b\n"), 0)
    assert sized(empty, size) == empty, "it has nothing to repeat"


def test_teams_have_distinct_ids_and_different_depths() -> None:
    """In large organisations too; the ids of the vendor's examples are among them, each within its own tree."""
    large = Organisation(6000, 1)
    teams = [team for tree in large.trees for team in tree.root.walk()]
    assert len({team.ref_id for team in teams}) == len(teams)
    assert len(list(large.trees[0].root.leaves())) == 6000
    assert {team.path.count(">") for team in large.trees[0].root.leaves()} == {2, 3}
    assert {"456", "123", "789", "6036", "1"} <= set(ORGANISATION.teams)
    assert teams_in_scope(ORGANISATION, {"teamId": "456", "orgTreeName": "Support"}) is None
    assert teams_in_scope(ORGANISATION, {"teamId": "456", "orgTreeName": "Engineering"}) is not None


def report(answer: Any) -> list[list[str]]:
    """Return the records of a legacy report."""
    assert answer.status_code == 200, answer.text
    return records(answer.content)


def test_a_team_report_has_a_row_for_the_team_and_each_child(api: Any, server: RunningServer) -> None:
    """Teams without data are left out."""
    root = server.organisation.trees[0].root
    names = [row[0] for row in report(api.legacy(collectionId=str(root.ref_id)))]
    expected = [team.name for team in root.walk() if any(leaf.developers for leaf in team.leaves())]
    assert names == ["Collection Name", *expected]


def test_metrics_and_calculation_choose_the_columns_of_a_report(api: Any) -> None:
    """Six productivity and five efficiency metrics are documented; an empty list means all, no calculation the mean."""
    assert len(report(api.legacy(efficiency={"metrics": []}))[0]) == 1 + 6 + 5
    some = report(api.legacy(productivity={"metrics": ["coding_days_per_dev"]}))[0]
    assert some == ["Collection Name", "Coding Days per Developer"]
    for more, title in (({}, "mean"), ({"calculationType": "P90"}, "p90")):
        answer = api.legacy(productivity=None, efficiency={"metrics": ["LEAD_TIME_FOR_CHANGES"]} | more)
        assert report(answer)[0][1] == f"Lead Time for Changes ({title})"


def test_a_contributor_report_has_a_row_for_each_developer(api: Any) -> None:
    """The team first; with ratings for metrics that have any."""
    answer = api.legacy(productivity=None, productivityContributors={"metrics": ["CODING_DAYS"]}, includeRatings=True)
    header, *people = report(answer)
    assert header == ["Collection Name", "Coding Days", "Coding Days Rating"]
    assert len(people) == 1 + 5
    assert {row[2] for row in people} <= {"Elite", "High", "Medium", "Low"}


def test_every_report_is_logged_and_an_empty_one_has_zero_bytes(api: Any, server: RunningServer) -> None:
    """Its content, name and counts; the vendor documents an empty one as a success."""
    answer = api.legacy()
    [logged] = server.legacy_reports
    assert logged.csv == answer.content
    assert logged.records == len(report(answer))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{logged.filename}"'
    answer = api.legacy(collectionId="31337")
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
    assert server.legacy_reports[1].records == 0


def test_the_documented_report_examples_work(api: Any) -> None:
    """Without collectionId and granularity."""
    body = {
        "dateStart": "2024-01-01",
        "dateEnd": "2024-12-31",
        "teamRefId": 123,
        "efficiency": {"metrics": ["LEAD_TIME_FOR_CHANGES", "DEPLOYMENT_FREQUENCY"], "calculationType": "MEDIAN"},
    }
    query = {"format": "csv", "projectIdentifier": "demo_project"}
    assert len(report(api.call("POST", "v2/insights/teams/reports", query, json=body))) == 2


BODIES = st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 4)), max_size=4).map(lambda parts: Body(tuple(parts)))


@given(BODIES, st.integers(-1, 100), st.integers(1, 9))
def test_a_body_can_be_measured_split_and_sent_in_pieces(body: Body, at: int, size: int) -> None:
    """Nothing is lost or added."""
    content = body.content()
    first, rest = body.split(at)
    chunks = list(body.chunks(size))
    assert len(body) == len(content)
    assert (first.content(), rest.content()) == (content[: max(at, 0)], content[max(at, 0) :])
    assert b"".join(chunks) == content
    assert all(len(chunk) <= size for chunk in chunks)


@given(BODIES, st.integers(1, 4))
def test_gzip_bodies_decompress_to_their_content(body: Body, members: int) -> None:
    """With one member or several; without a time in the header, so that the same content gives the same file."""
    compressed = gzipped(body).content()
    assert gzip.decompress(compressed) == body.content()
    assert gzip.decompress(gzipped_in_members(body, members).content()) == body.content()
    assert compressed[4:8] == b"\0\0\0\0"


def test_a_repeated_block_is_compressed_once() -> None:
    """A file of gigabytes takes little memory, compressed as well. A flipped byte in it is the only difference."""
    compressed = gzipped(Body(((b"a,b,c\n" * 1000, 100_000),)))
    assert sum(len(block) for block, _ in compressed.parts) < 1000
    assert Body(((b"abc", 2),)).flipped(4).content() == b"abca" + bytes([ord("b") ^ 0xFF]) + b"c"
