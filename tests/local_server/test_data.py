"""The content of the files."""

from __future__ import annotations

import csv
import io
import itertools
from datetime import date
from typing import Any

import pytest

from airflow_provider_sei.local_server.bodies import Body
from airflow_provider_sei.local_server.data import CsvFile, export_csv, periods, sized, teams_in_scope
from airflow_provider_sei.local_server.organisation import Organisation
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily, get_family

ORGANISATION = Organisation(7, 5)
JANUARY = {"start": "2024-01-01", "end": "2024-01-31"}


def request(**changes: Any) -> dict[str, Any]:
    """Return a request for a month of the org tree Engineering."""
    return {"scope": {"orgTreeName": "Engineering"}, "dateRange": JANUARY} | changes


def records(file: CsvFile) -> list[list[str]]:
    """Return the records of a file, its header first."""
    return list(csv.reader(io.StringIO(file.body.content().decode(), newline=""), strict=True))


class TestExportCsv:
    """Files of exports."""

    @pytest.mark.parametrize("name", list(FAMILIES))
    def test_the_same_request_gives_the_same_bytes(self, name: str) -> None:
        """Content depends on the request and the organisation's size alone."""
        first = export_csv(get_family(name), request(), ORGANISATION)
        again = export_csv(get_family(name), request(), Organisation(7, 5))
        assert first == again
        assert first.rows > 0

    @pytest.mark.parametrize("name", list(FAMILIES))
    def test_every_record_has_as_many_cells_as_the_header(self, name: str) -> None:
        """Quoted commas, quotes and line breaks stay inside their cells."""
        header, *rows = records(export_csv(get_family(name), request(), ORGANISATION))
        assert {len(row) for row in rows} == {len(header)}

    def test_rows_count_records_and_not_lines(self) -> None:
        """Developers' names hold line breaks, so a file has more lines than records."""
        file = export_csv(get_family("productivity"), request(), ORGANISATION)
        assert file.rows == len(records(file)) - 1
        assert file.body.content().count(b"\n") > file.rows + 1

    def test_cells_hold_what_real_ones_hold(self) -> None:
        """Commas, quotes, slashes and letters of many scripts are in every organisation-wide file."""
        text = export_csv(get_family("productivity"), request(), ORGANISATION).body.content().decode()
        assert all(piece in text for piece in ('"Search, ""Ranking"" & Feeds"', "R&D / Labs", "平台工程", "Données"))

    def test_a_month_of_weeks_for_thirty_developers_is_150_records(self) -> None:
        """The default organisation has 30 developers in Engineering; January 2024 has five weeks."""
        file = export_csv(get_family("productivity"), request(options={"granularity": "weekly"}), ORGANISATION)
        assert file.rows == 150

    def test_level_and_metrics_choose_rows_and_columns(self) -> None:
        """A team-level export has one row per team, with the metrics asked for and no others, once each."""
        asked = request(metrics=["PR_Merged", "pr_merged", "CODING_DAYS"], options={"aggregationLevel": "TEAM"})
        header, *rows = records(export_csv(get_family("productivity"), asked, ORGANISATION))
        assert header[5:] == ["PR_Merged", "Coding_Days"]
        assert len(rows) == 6

    def test_issue_statuses_become_columns(self) -> None:
        """Time in status has a column of hours for each status asked for."""
        file = export_csv(get_family("ticket-data"), request(issueStatuses=["In Review"]), ORGANISATION)
        assert records(file)[0][-1] == "in_review_hours"

    def test_a_team_without_developers_has_a_header_only(self) -> None:
        """The last leaf team of Engineering is empty."""
        empty = [team for team in ORGANISATION.trees[0].root.leaves() if not team.developers]
        file = export_csv(get_family("ba"), request(scope={"teamId": str(empty[0].ref_id)}), ORGANISATION)
        assert file.rows == 0
        assert len(records(file)) == 1

    def test_a_family_nobody_knows_yet_gets_a_file(self) -> None:
        """Columns follow from the declaration."""
        family = ExportFamily(
            name="new", title="New", collection_path="v2/x", item_path="v2/x", metrics=("SOME_METRIC",)
        )
        assert records(export_csv(family, request(), ORGANISATION))[0][-1] == "Some_Metric"


class TestPeriods:
    """Calendar periods."""

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
    def test_periods_follow_the_calendar_and_cover_every_day_once(self, granularity: str, starts: list[str]) -> None:
        """Weeks start on Mondays, months and quarters on their first day; the ends are cut to the range."""
        cut = list(periods(date(2024, 1, 31), date(2024, 2, 14), granularity))
        assert [start.isoformat() for start, _ in cut] == starts
        assert cut[-1][1] == date(2024, 2, 14)
        assert all(end.toordinal() + 1 == start.toordinal() for (_, end), (start, _) in itertools.pairwise(cut))


class TestSized:
    """Files of a wanted size."""

    @pytest.mark.parametrize("size", [5_000, 1_234_567, 300_000_001])
    def test_a_file_is_as_large_as_asked_to_the_byte(self, size: int) -> None:
        """Also far beyond what would be held in memory."""
        file = sized(export_csv(get_family("productivity"), request(), ORGANISATION), size)
        assert len(file.body) == size
        assert sum(len(block) for block, _ in file.body.parts) < 4 << 20

    def test_a_file_without_records_keeps_its_size(self) -> None:
        """An empty team has nothing to repeat."""
        empty = CsvFile(Body.of(b"a,b\n"), 0)
        assert sized(empty, 1000) == empty

    def test_a_sized_file_is_valid_csv(self) -> None:
        """Its records are whole, and as many as it says."""
        file = sized(export_csv(get_family("productivity"), request(), ORGANISATION), 2_345_678)
        header, *rows = records(file)
        assert len(rows) == file.rows
        assert {len(row) for row in rows} == {len(header)}


class TestScope:
    """What a scope selects."""

    def test_a_team_of_another_tree_is_not_there(self) -> None:
        """A team is looked for within the org tree, if one is named."""
        assert teams_in_scope(ORGANISATION, {"teamId": "456", "orgTreeName": "Support"}) is None
        assert teams_in_scope(ORGANISATION, {"teamId": "456", "orgTreeName": "Engineering"}) is not None

    def test_leaves_lie_at_different_depths_and_have_their_own_ids(self) -> None:
        """Large organisations have no two teams with one id."""
        large = Organisation(6000, 1)
        teams = [team for tree in large.trees for team in tree.root.walk()]
        assert len({team.ref_id for team in teams}) == len(teams)
        assert len(list(large.trees[0].root.leaves())) == 6000
        assert {team.path.count(">") for team in large.trees[0].root.leaves()} == {2, 3}

    def test_the_ids_of_the_documented_examples_are_teams(self) -> None:
        """Every example request of the vendor finds its team."""
        assert {"456", "123", "789", "6036", "1"} <= set(ORGANISATION.teams)
