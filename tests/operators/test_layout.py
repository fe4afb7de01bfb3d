"""Files in folders by family, period and team."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator, SEIExportOperator, SEILegacyReportOperator

MakeOperator = Callable[..., SEIExportOperator]
JANUARY = "family=productivity/period=2024-01/team=456/productivity_baccd534.csv"


OTHER_TEAM = {"collectionId": "123", "teamRefId": 123}


@pytest.fixture
def export_operator(export_operator: MakeOperator) -> MakeOperator:
    """Of one account: without one, names have the server's port."""
    return partial(export_operator, account_id="acc")


def files(folder: Path) -> list[str]:
    """Return the paths of all files in ``folder``."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestHiveLayout:
    """``layout="hive"``."""

    def test_the_folders_tell_family_period_and_team(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path
    ) -> None:
        """The result's URI leads there, and the file is the server's."""
        result = export_operator(layout="hive").execute({})
        assert files(tmp_path) == [JANUARY]
        assert result["uri"] == f"file://{tmp_path}/{JANUARY}"
        assert (tmp_path / JANUARY).read_bytes() == sei_server.exports[0].csv

    def test_a_changed_request_replaces_the_file(self, export_operator: MakeOperator, tmp_path: Path) -> None:
        """Two files in one partition would be counted twice by whoever reads it."""
        for metrics in (["PR_MERGED"], ["LOC_ADDED"]):
            export_operator(layout="hive", metrics=metrics).execute({})
        assert files(tmp_path) == [JANUARY]

    @pytest.mark.parametrize("layout", ["flat", "hive"])
    @pytest.mark.parametrize(
        "changes",
        [
            [{"account_id": "a"}, {"account_id": "b"}],
            [{"manager_email_id": f"manager.{team}@company.example"} for team in ("456", "1000001")],
            [{}, {"scope": {"developerIds": ["d1"]}}, {"scope": {"developerIds": ["d2"]}}],
            [{"extra_body": {"scope": {"teamId": team}}} for team in ("456", "123")],
            [{"extra_body": {"dateRange": {"end": f"2024-01-{day}"}}} for day in ("30", "31")],
        ],
        ids=["accounts", "managers", "developers", "scopes in extra_body", "days in extra_body"],
    )
    def test_what_has_other_data_has_another_file(
        self, export_operator: MakeOperator, tmp_path: Path, layout: str, changes: list[dict[str, Any]]
    ) -> None:
        """Two accounts can have a project and a team of the same name; not every scope is a team or a tree."""
        for change in changes:
            export_operator(layout=layout, **change).execute({})
        assert len(files(tmp_path)) == len(changes)

    def test_a_manager_has_a_column_under_a_pseudonym(
        self, export_operator: MakeOperator, tmp_path: Path, task_log: Any
    ) -> None:
        """An address is personal data, so neither names nor log and result have it; its hash can be joined with."""
        address, own = "Manager.456@company.example", {"manager_email_id": " manager.456@company.example"}
        manager = hashlib.sha256(address.lower().encode()).hexdigest()[:8]
        for change in ({"team_id": None}, {"layout": "flat"}, {}, {"team_id": None, "org_tree_name": "Engineering"}):
            result = export_operator(**{"layout": "hive", **own, **change}).execute({})
            assert "@" not in f"{result}{task_log.text}"
        found = [re.sub("_[0-9a-f]{8}[.]csv$", "", name) for name in files(tmp_path)]
        assert found == [
            f"family=productivity/period=2024-01/manager={manager}/productivity",
            f"family=productivity/period=2024-01/org_tree=Engineering/manager={manager}/productivity",
            f"family=productivity/period=2024-01/team=456/manager={manager}/productivity",
            f"productivity_team-456_manager-{manager}_2024-01-01_2024-01-31",
        ]
        destination = f"{tmp_path}/{{family}}/{{manager}}/"
        assert f"/{manager}/" in export_operator(destination=destination, **own).execute({})["uri"]
        with pytest.raises(exceptions.SEIArgumentError, match=r"needs \{manager\}, but this request has none"):
            export_operator(destination=destination).execute({})

    @pytest.mark.parametrize("layout", ["flat", "hive"])
    def test_reports_of_two_accounts_or_scopes_are_two_files(
        self, sei_connection: str, tmp_path: Path, layout: str
    ) -> None:
        """As with exports."""
        report = {"collection_id": "456", "date_start": "2024-01-01", "date_end": "2024-12-31", "layout": layout}
        for change in ({"account_id": "a"}, {"account_id": "b"}, {"account_id": "b", "extra_body": OTHER_TEAM}):
            arguments = {**report, **change, "destination": f"{tmp_path}/", "sei_conn_id": sei_connection}
            SEILegacyReportOperator(task_id="report", **arguments).execute({})
        assert len(files(tmp_path)) == 3

    def test_the_ending_tells_the_compression(self, export_operator: MakeOperator, tmp_path: Path) -> None:
        """As in a flat folder."""
        export_operator(layout="hive", compression="gzip").execute({})
        assert files(tmp_path) == [f"{JANUARY}.gz"]

    def test_another_period_and_another_team_have_places_of_their_own(
        self, export_operator: MakeOperator, tmp_path: Path
    ) -> None:
        """A quarter is called by its name; an organisation tree stands in the team's place, escaped."""
        export_operator(layout="hive", date_end="2024-03-31").execute({})
        export_operator(layout="hive", team_id=None, org_tree_name="Engineering").execute({})
        assert files(tmp_path) == [
            "family=productivity/period=2024-01/org_tree=Engineering/productivity_baccd534.csv",
            "family=productivity/period=2024-Q1/team=456/productivity_baccd534.csv",
        ]

    def test_a_query_reads_the_folders_as_columns(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path
    ) -> None:
        """All teams and periods in one go, each of their rows once."""
        for team in ("456", "123"):
            for month in ("01", "03"):
                days = {"date_start": f"2024-{month}-01", "date_end": f"2024-{month}-31"}
                export_operator(layout="hive", family="ba", team_id=team, **days).execute({})
        query = "SELECT family, period, team, count(*) FROM read_csv(?, hive_partitioning = true) GROUP BY ALL"
        found = duckdb.execute(query, [f"{tmp_path}/**/*.csv"]).fetchall()
        assert sorted(found) == sorted(
            (
                "ba",
                export.request["dateRange"]["start"][:7],
                int(export.request["scope"]["teamId"]),
                export.rows,
            )
            for export in sei_server.exports
        )

    def test_the_same_content_is_not_written_again(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path, task_log: Any
    ) -> None:
        """With ``overwrite="skip"``, though the export is a new one; the result says so."""
        first = export_operator(layout="hive", overwrite="skip").execute({})
        os.utime(tmp_path / JANUARY, ns=(1, 1))
        sei_server.clock.advance(1801)
        second = export_operator(layout="hive", overwrite="skip").execute({})
        assert (first["written"], second["written"]) == (True, False)
        assert first["export_id"] != second["export_id"]
        assert (first["uri"], first["sha256"]) == (second["uri"], second["sha256"])
        assert (tmp_path / JANUARY).stat().st_mtime_ns == 1
        assert f"Unchanged {second['uri']}" in task_log.text

    def test_a_broken_download_leaves_no_file(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path
    ) -> None:
        """Whole or not at all, in any layout."""
        sei_server.faults.add("download", "cut", after_bytes=50, times=None)
        with pytest.raises(exceptions.SEIError):
            export_operator(layout="hive").execute({})
        assert files(tmp_path) == []

    def test_a_report_is_a_family_of_its_own(self, sei_connection: str, tmp_path: Path) -> None:
        """Team and contributor reports differ in their columns."""
        SEILegacyReportOperator(
            task_id="report",
            collection_id="456",
            date_start="2024-01-01",
            date_end="2024-12-31",
            destination=f"{tmp_path}/",
            layout="hive",
            sei_conn_id=sei_connection,
            account_id="acc",
        ).execute({})
        assert files(tmp_path) == ["family=team-report/period=2024/team=456/team-report_baccd534.csv"]

    def test_a_rendered_object_name_is_an_error_before_the_export(
        self, export_operator: MakeOperator, sei_server: Any
    ) -> None:
        """Folders and names are the layout's."""
        operator = export_operator(layout="hive", destination="{{ destination }}")
        operator.render_template_fields({"destination": "/x/a.csv"})
        with pytest.raises(exceptions.SEIArgumentError, match="is a full object name: end it with a slash") as caught:
            operator.execute({})
        assert caught.value.field == "layout"
        assert sei_server.requests == []


class TestDownload:
    """A task that knows nothing but the export's id."""

    @pytest.fixture
    def download(self, sei_connection: str, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
        """Deliver an export into folders."""
        return lambda export_id: SEIDownloadExportOperator(
            task_id="download",
            family="productivity",
            export_id=export_id,
            destination=f"{tmp_path}/",
            layout="hive",
            sei_conn_id=sei_connection,
            account_id="acc",
        ).execute({})

    def test_it_finds_the_same_place(
        self, export_operator: MakeOperator, download: Any, sei_server: Any, tmp_path: Path
    ) -> None:
        """By what the server says the export is of; the result says it, too."""
        uri = export_operator(layout="hive").execute({})["uri"]
        result = download(sei_server.exports[0].export_id)
        assert (result["uri"], result["date_start"], result["date_end"]) == (uri, "2024-01-01", "2024-01-31")
        assert files(tmp_path) == [JANUARY]

    def test_a_server_that_tells_neither_team_nor_tree_is_an_error(
        self, export_operator: MakeOperator, download: Any, sei_server: Any, tmp_path: Path
    ) -> None:
        """As of an export for a manager; the files of two would take each other's place."""
        export_id = export_operator(destination=f"{tmp_path}/flat/").execute({})["export_id"]
        sei_server.faults.add("status", "fields", changes={"scope": None}, times=None)
        with pytest.raises(exceptions.SEIArgumentError, match=r"needs \{scope\}, but this request has none"):
            download(export_id)
        assert [name.partition("/")[0] for name in files(tmp_path)] == ["flat"]

    def test_a_server_that_tells_no_period_is_an_error(
        self, export_operator: MakeOperator, download: Any, sei_server: Any, tmp_path: Path
    ) -> None:
        """A file in the wrong partition would be worse than none."""
        export_id = export_operator(destination=f"{tmp_path}/flat/").execute({})["export_id"]
        sei_server.faults.add("status", "fields", changes={"metadata": None}, times=None)
        with pytest.raises(exceptions.SEIUnexpectedResponseError, match=f"{export_id} has no known period"):
            download(export_id)
        assert [name.partition("/")[0] for name in files(tmp_path)] == ["flat"]


class TestPattern:
    """A destination with fields in braces."""

    def test_the_request_fills_the_fields(
        self, export_operator: MakeOperator, sei_connection: str, tmp_path: Path
    ) -> None:
        """Rendered after a template's double braces."""
        operator = export_operator(destination="{{ root }}/{family}/{period}/{team_id}-{fingerprint}.csv")
        operator.render_template_fields({"root": str(tmp_path)})
        assert operator.execute({})["uri"] == f"file://{tmp_path}/productivity/2024-01/456-d26d2968.csv"
        report = {"collection_id": "456", "date_start": "2024-01-01", "date_end": "2024-12-31"}
        destination = f"{tmp_path}/{{family}}/{{period}}-{{fingerprint}}.csv"
        SEILegacyReportOperator(
            task_id="report", destination=destination, sei_conn_id=sei_connection, account_id="acc", **report
        ).execute({})
        assert files(tmp_path) == ["productivity/2024-01/456-d26d2968.csv", "team-report/2024-e58ac890.csv"]

    def test_a_field_that_the_request_has_not_is_an_error(self, export_operator: MakeOperator, tmp_path: Path) -> None:
        """Which names it."""
        operator = export_operator(destination=f"{tmp_path}/{{org_tree_name}}/")
        with pytest.raises(exceptions.SEIArgumentError, match=r"needs \{org_tree_name\}"):
            operator.execute({})
