"""Files in folders by family, period and team, and under names with fields in braces."""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator, SEILegacyReportOperator
from tests.operators.conftest import Make

FOLDER = "family=productivity/period=2024-01/team=456"
JANUARY = f"{FOLDER}/productivity_baccd534.csv"


@pytest.fixture
def make(make: Make) -> Make:
    """Of one account: without one, names have the server's port."""
    return partial(make, account_id="acc")


@pytest.fixture
def hive(make: Make) -> Make:
    """Make operators that deliver into folders."""
    return partial(make, layout="hive")


@pytest.fixture
def report(sei_connection: str, tmp_path: Path) -> Any:
    """Deliver a report about a year."""
    given = {"collection_id": "456", "date_start": "2024-01-01", "date_end": "2024-12-31", "account_id": "acc"}
    given |= {"destination": f"{tmp_path}/", "sei_conn_id": sei_connection}
    return lambda **changes: SEILegacyReportOperator(task_id="report", **given | changes).execute({})


def files(folder: Path) -> list[str]:
    """Return the paths of all files in ``folder``."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestHiveLayout:
    """``layout="hive"``."""

    def test_the_folders_have_family_period_and_team(self, hive: Make, sei_server: Any, tmp_path: Path) -> None:
        """The result has the URI, whose suffix is that of the compression, and the size of the stored file."""
        result = hive(export_compression="gzip").execute({})
        [record] = sei_server.exports
        assert files(tmp_path) == [f"{JANUARY}.gz"]
        content = (tmp_path / f"{JANUARY}.gz").read_bytes()
        assert (result["uri"], result["bytes"]) == (f"file://{tmp_path}/{JANUARY}.gz", len(content))
        assert (gzip.decompress(content), result["rows"]) == (record.csv, record.rows)

    @pytest.mark.parametrize(("layout", "found"), [("hive", 1), ("flat", 2)])
    def test_a_changed_request_replaces_the_file(self, make: Make, tmp_path: Path, layout: str, found: int) -> None:
        """Two files in one partition would be counted twice by a query; a flat folder may have both."""
        for metrics in (["PR_MERGED"], ["LOC_ADDED"]):
            make(layout=layout, metrics=metrics).execute({})
        assert len(files(tmp_path)) == found

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
    def test_what_has_other_data_has_another_file(self, make: Make, tmp_path: Path, layout: str, changes: Any) -> None:
        """Two accounts can have a project and a team of the same name; not every scope is a team or a tree."""
        for change in changes:
            make(layout=layout, **change).execute({})
        assert len(files(tmp_path)) == len(changes)

    @pytest.mark.parametrize(
        ("layout", "first"),
        [
            ("flat", "team-report_team-456_2024-01-01_2024-12-31_"),
            ("hive", "family=team-report/period=2024/team=456/team-report_"),
        ],
    )
    def test_reports_of_two_scopes_are_two_files(self, report: Any, tmp_path: Path, layout: str, first: str) -> None:
        """As with exports; team and contributor reports differ in their columns."""
        other = {"collectionId": "123", "teamRefId": 123}
        for change in ({"account_id": "a"}, {"account_id": "b"}, {"account_id": "b", "extra_body": other}):
            report(layout=layout, **change)
        assert [name.startswith(first) for name in files(tmp_path)] == [True] * 3

    def test_a_manager_has_a_column_under_a_pseudonym(self, make: Make, tmp_path: Path, task_log: Any) -> None:
        """An address is personal data, so neither names nor log and result have it; its hash can be joined with."""
        address, own = "Manager.456@company.example", {"manager_email_id": " manager.456@company.example"}
        manager = hashlib.sha256(address.lower().encode()).hexdigest()[:8]
        for change in ({"team_id": None}, {"layout": "flat"}, {}, {"team_id": None, "org_tree_name": "Engineering"}):
            result = make(**{"layout": "hive", **own, **change}).execute({})
            assert "@" not in f"{result}{task_log.text}"
        assert [re.sub("_[0-9a-f]{8}[.]csv$", "", name) for name in files(tmp_path)] == [
            f"family=productivity/period=2024-01/manager={manager}/productivity",
            f"family=productivity/period=2024-01/org_tree=Engineering/manager={manager}/productivity",
            f"{FOLDER}/manager={manager}/productivity",
            f"productivity_team-456_manager-{manager}_2024-01-01_2024-01-31",
        ]
        destination = f"{tmp_path}/{{family}}/{{manager}}/"
        assert f"/{manager}/" in make(destination=destination, **own).execute({})["uri"]
        with pytest.raises(exceptions.SEIArgumentError, match=r"needs \{manager\}, but this request has none"):
            make(destination=destination).execute({})

    def test_another_period_and_another_team_have_places_of_their_own(self, hive: Make, tmp_path: Path) -> None:
        """A quarter is called by its name; an organisation tree stands in the team's place, escaped."""
        hive(date_end="2024-03-31").execute({})
        hive(team_id=None, org_tree_name="Engineering").execute({})
        assert files(tmp_path) == [
            "family=productivity/period=2024-01/org_tree=Engineering/productivity_baccd534.csv",
            "family=productivity/period=2024-Q1/team=456/productivity_baccd534.csv",
        ]

    def test_a_rendered_object_name_is_an_error_before_the_export(self, hive: Make, sei_server: Any) -> None:
        """Folders and names are the layout's."""
        operator = hive(destination="{{ destination }}")
        operator.render_template_fields({"destination": "/x/a.csv"})
        with pytest.raises(exceptions.SEIArgumentError, match="is a full object name: end it with a slash") as caught:
            operator.execute({})
        assert caught.value.field == "layout"
        assert sei_server.requests == []

    @pytest.mark.parametrize(
        ("untold", "error"),
        [
            (None, None),
            ("scope", r"needs \{scope\}, but this request has none"),  # as of an export for a manager
            ("metadata", "exp_.* has no known period"),
        ],
    )
    def test_a_download_finds_the_same_place(  # noqa: PLR0917 - fixtures
        self, make: Make, sei_connection: str, sei_server: Any, tmp_path: Path, untold: str | None, error: str | None
    ) -> None:
        """By what the server says the export is of. A file in the wrong partition would be worse than none."""
        made = make(destination=f"{tmp_path}/flat/").execute({})
        task = SEIDownloadExportOperator(
            task_id="download",
            family="productivity",
            export_id=made["export_id"],
            destination=f"{tmp_path}/lake/",
            layout="hive",
            sei_conn_id=sei_connection,
            account_id="acc",
        )
        if not error:
            result = task.execute({})
            assert result["uri"] == f"file://{tmp_path}/lake/{JANUARY}"
            assert (result["date_start"], result["date_end"]) == ("2024-01-01", "2024-01-31")
            return
        sei_server.faults.add("status", "fields", changes={untold: None}, times=None)
        with pytest.raises(exceptions.SEIError, match=error):
            task.execute({})
        assert not files(tmp_path / "lake")


class TestPattern:
    """A destination with fields in braces."""

    def test_the_request_fills_the_fields(self, make: Make, report: Any, sei_server: Any, tmp_path: Path) -> None:
        """Rendered after a template's double braces."""
        operator = make(destination="{{ root }}/{project}/{family}/{period}/{team_id}-{fingerprint}_{export_id}.csv")
        operator.render_template_fields({"root": str(tmp_path)})
        assert operator.execute({})["uri"].startswith(f"file://{tmp_path}/")
        report(destination=f"{tmp_path}/{{family}}/{{period}}-{{fingerprint}}_{{team_id}}.csv")
        export_id = sei_server.exports[0].export_id
        assert files(tmp_path) == [
            f"demo_project/productivity/2024-01/456-d26d2968_{export_id}.csv",
            "team-report/2024-e58ac890_456.csv",
        ]

    def test_a_field_that_the_request_has_not_is_an_error(self, make: Make, report: Any, tmp_path: Path) -> None:
        """Which names it. A report has no export."""
        with pytest.raises(exceptions.SEIArgumentError, match=r"needs \{org_tree_name\}"):
            make(destination=f"{tmp_path}/{{org_tree_name}}/").execute({})
        with pytest.raises(exceptions.SEIArgumentError, match=r"needs \{export_id\}"):
            report(destination=f"{tmp_path}/{{export_id}}.csv")
