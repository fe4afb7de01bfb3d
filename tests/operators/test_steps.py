"""The operators that do one step each: create, download, legacy report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import (
    SEICreateExportOperator,
    SEIDownloadExportOperator,
    SEILegacyReportOperator,
)

REQUEST = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}
REPORT = {"collection_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}


@pytest.fixture(autouse=True)
def _connected(sei_connection: str, worker_clock: Any) -> None:
    """Every task here talks to the local server, in a time that passes without waiting."""
    assert (sei_connection, worker_clock.pauses) == ("sei_default", [])


@pytest.fixture
def create() -> Callable[..., SEICreateExportOperator]:
    """Make a creating task."""
    return lambda **changes: SEICreateExportOperator(task_id="create", **REQUEST | changes)


@pytest.fixture
def download(tmp_path: Path) -> Callable[..., SEIDownloadExportOperator]:
    """Make a downloading task."""
    return lambda export_id, **changes: SEIDownloadExportOperator(
        task_id="download",
        **{"family": "productivity", "export_id": export_id, "destination": f"{tmp_path}/"} | changes,
    )


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., SEILegacyReportOperator]:
    """Make a reporting task."""
    return lambda **changes: SEILegacyReportOperator(
        task_id="report", **REPORT | {"destination": f"{tmp_path}/"} | changes
    )


class TestCreate:
    """``SEICreateExportOperator``."""

    def test_its_result_is_the_exports_id(self, create: Any, sei_server: Any) -> None:
        """As text, which reads well in ``export_id=create.output``."""
        assert create().execute({}) == sei_server.exports[0].export_id

    def test_a_second_try_takes_up_the_first_ones_export(self, create: Any, sei_server: Any) -> None:
        """A retry costs nothing at the server."""
        assert create().execute({}) == create().execute({})
        assert len(sei_server.exports) == 1

    def test_overrides_go_into_the_query_and_the_scope(self, create: Any, sei_server: Any) -> None:
        """Where a family needs the organisation beside the tree's name."""
        sei_server.reset(project="p2", org="o2")
        create(
            family="ba", team_id=None, org_tree_name="Engineering", project_identifier="p2", org_identifier="o2"
        ).execute({})
        assert sei_server.exports[0].request["scope"] == {
            "orgTreeName": "Engineering",
            "orgIdentifier": "o2",
            "projectIdentifier": "p2",
        }

    def test_a_lost_answer_makes_no_second_export(self, create: Any, sei_server: Any) -> None:
        """The repeated request is answered with the export of the first."""
        sei_server.faults.add("create", "close", after_work=True)
        assert create().execute({}) == sei_server.exports[0].export_id
        assert len(sei_server.exports) == 1

    def test_a_failed_older_export_is_told_by_the_server_s_reason(self, create: Any, sei_server: Any) -> None:
        """The id of a dead export would only fail the next task."""
        sei_server.faults.add("create", "outcome", status="failed", error="No data")
        create().execute({})
        with pytest.raises(AirflowFailException, match="No data"):
            create().execute({})


class TestDownload:
    """``SEIDownloadExportOperator``."""

    def test_it_delivers_what_the_server_made(
        self, create: Any, download: Any, sei_server: Any, tmp_path: Path
    ) -> None:
        """In a folder, under the family's name and the export's id."""
        export_id = create().execute({})
        result = download(export_id).execute({})
        [record] = sei_server.exports
        assert (tmp_path / f"productivity_{export_id}.csv").read_bytes() == record.csv
        assert (result["rows"], result["sha256"], result["reused"]) == (record.rows, record.csv_sha256, None)
        assert json.loads(json.dumps(result)) == result

    def test_a_full_name_is_taken_as_it_is(self, create: Any, download: Any, tmp_path: Path) -> None:
        """Without a slash at its end, the destination is the file."""
        result = download(create().execute({}), destination=str(tmp_path / "mine.csv")).execute({})
        assert result["uri"].endswith("/mine.csv")
        assert (tmp_path / "mine.csv").exists()

    def test_an_unknown_export_fails_the_task(self, download: Any, tmp_path: Path) -> None:
        """With its id, the status and the places to look at."""
        with pytest.raises(exceptions.SEINotFoundError, match="export exp_unknown: the server answered 404") as caught:
            download("exp_unknown").execute({})
        assert isinstance(caught.value, AirflowFailException)
        assert caught.value.export_id == "exp_unknown"
        assert list(tmp_path.iterdir()) == []

    def test_a_failed_export_fails_the_task(self, create: Any, download: Any, sei_server: Any) -> None:
        """With the server's reason."""
        sei_server.faults.add("create", "outcome", status="failed", error="No data")
        with pytest.raises(AirflowFailException, match="failed at the server: No data"):
            download(create().execute({})).execute({})

    def test_an_export_in_the_making_is_retryable(self, create: Any, download: Any, sei_server: Any) -> None:
        """It may be completed by the next try."""
        sei_server.reset(clock_speed=0.0, seconds_to_complete=3600.0)
        with pytest.raises(exceptions.SEIDownloadError, match="SEIExportSensor") as caught:
            download(create().execute({})).execute({})
        assert not isinstance(caught.value, AirflowFailException)

    def test_a_broken_download_leaves_nothing(
        self, create: Any, download: Any, sei_server: Any, tmp_path: Path
    ) -> None:
        """Whole or not at all."""
        export_id = create().execute({})
        sei_server.faults.add("download", "cut", after_bytes=50, times=None)
        with pytest.raises(exceptions.SEIError) as caught:
            download(export_id).execute({})
        assert not isinstance(caught.value, AirflowFailException)
        assert list(tmp_path.iterdir()) == []

    def test_a_download_that_breaks_once_is_made_again(self, create: Any, download: Any, sei_server: Any) -> None:
        """From the start."""
        export_id = create().execute({})
        sei_server.faults.add("download", "cut", after_bytes=50)
        assert download(export_id).execute({})["sha256"] == sei_server.exports[0].csv_sha256
        assert sei_server.exports[0].downloads == 2


class TestLegacyReport:
    """``SEILegacyReportOperator``."""

    @pytest.mark.parametrize(
        ("changes", "body"),
        [
            (
                {},
                {
                    "collectionId": "456",
                    "teamRefId": 456,
                    "granularity": "weekly",
                    "productivity": {"metrics": []},
                    "efficiency": {"metrics": []},
                },
            ),
            (
                {"efficiency_metrics": ["OVERALL_DORA"], "calculation_type": "p95", "granularity": None},
                {
                    "collectionId": "456",
                    "teamRefId": 456,
                    "efficiency": {"metrics": ["OVERALL_DORA"], "calculationType": "P95"},
                },
            ),
            (
                {"report_type": "contributor", "include_ratings": "{{ ratings }}"},
                {
                    "collectionId": "456",
                    "granularity": "weekly",
                    "includeRatings": True,
                    "productivityContributors": {"metrics": []},
                },
            ),
        ],
        ids=["team", "dora", "contributor"],
    )
    def test_it_asks_and_delivers(
        self, report: Any, sei_server: Any, tmp_path: Path, *, changes: dict[str, Any], body: dict[str, Any]
    ) -> None:
        """In one call, whose answer is the file."""
        task = report(**changes)
        task.render_template_fields({"ratings": "True"})
        result = task.execute({})
        [record] = sei_server.legacy_reports
        [file] = tmp_path.iterdir()
        kind = f"{changes.get('report_type', 'team')}-report"
        assert record.request == body | {"dateStart": "2024-01-01", "dateEnd": "2024-01-31"}
        assert file.read_bytes() == record.csv
        assert file.name.startswith(f"{kind}_team-456_2024-01-01_2024-01-31_")
        assert result == {
            "uri": result["uri"],
            "bytes": record.csv_bytes,
            "rows": record.rows,
            "sha256": record.csv_sha256,
            "written": True,
            "export_id": None,
            "family": kind,
            "date_start": "2024-01-01",
            "date_end": "2024-01-31",
            "reused": None,
            "created_at": None,
            "completed_at": None,
        }

    def test_an_empty_report_is_a_success(self, report: Any, sei_server: Any, tmp_path: Path) -> None:
        """The documents say that no data is a file of 0 bytes."""
        sei_server.faults.add("legacy", "empty")
        result = report().execute({})
        assert (result["bytes"], result["rows"]) == (0, 0)
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == b""

    def test_a_metric_that_no_document_names_is_sent_and_told(
        self, report: Any, sei_server: Any, task_log: Any
    ) -> None:
        """The vendor may have added it since."""
        report(productivity_metrics=["A_METRIC_OF_TOMORROW"]).execute({})
        [record] = sei_server.legacy_reports
        assert record.request["productivity"] == {"metrics": ["A_METRIC_OF_TOMORROW"]}
        assert "'A_METRIC_OF_TOMORROW', which is not documented" in task_log.text

    @pytest.mark.parametrize("header", ["authorization", "x-api-key"])
    def test_the_header_can_be_chosen(self, report: Any, sei_server: Any, header: str) -> None:
        """The page's text and its examples name different ones."""
        report(auth_header=header).execute({})
        assert sei_server.requests[0].auth == header

    def test_a_refused_report_asks_nothing(self, report: Any, sei_server: Any) -> None:
        """What renders to nonsense is refused here."""
        task = report(date_start="{{ start }}")
        task.render_template_fields({"start": "yesterday"})
        with pytest.raises(exceptions.SEIArgumentError, match="date_start 'yesterday' is not a day"):
            task.execute({})
        assert sei_server.requests == []
