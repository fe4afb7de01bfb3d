"""The operators for one step each: create, download, legacy report."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import (
    SEICreateExportOperator,
    SEIDownloadExportOperator,
    SEIExportOperator,
    SEILegacyReportOperator,
    SEIListExportsOperator,
)
from tests.operators.conftest import JANUARY, REQUEST


@pytest.fixture(autouse=True)
def _connected(sei_connection: str, worker_clock: Any) -> None:
    """All tasks here call the local server, and need no waiting."""
    assert (sei_connection, worker_clock.pauses) == ("sei_default", [])


@pytest.fixture
def create() -> Callable[..., str]:
    """Run a create task."""
    return lambda **changes: SEICreateExportOperator(task_id="create", **REQUEST | changes).execute({})


@pytest.fixture
def download(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a download task."""
    return lambda export_id, **changes: SEIDownloadExportOperator(
        task_id="download",
        **{"family": "productivity", "export_id": export_id, "destination": f"{tmp_path}/"} | changes,
    ).execute({})


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., SEILegacyReportOperator]:
    """Make a report task."""
    return lambda **changes: SEILegacyReportOperator(
        task_id="report", **{"collection_id": "456", "destination": f"{tmp_path}/", **JANUARY} | changes
    )


class TestCreate:
    """``SEICreateExportOperator``."""

    def test_it_returns_the_id_and_a_retry_the_same(self, create: Any, sei_server: Any) -> None:
        """Even if the response is lost. If the export has failed, the id would only fail the next task."""
        sei_server.faults.add("create", "close", after_work=True)
        assert create() == create() == sei_server.exports[0].export_id
        assert len(sei_server.exports) == 1
        sei_server.faults.add("create", "outcome", status="failed", error="No data")
        create(team_id="123")
        with pytest.raises(AirflowFailException, match="No data"):
            create(team_id="123")

    def test_overrides_are_in_the_query_and_the_scope(self, create: Any, sei_server: Any) -> None:
        """If the family needs the organisation beside the tree's name."""
        sei_server.reset(project="p2", org="o2")
        place = {"project_identifier": "p2", "org_identifier": "o2"}
        create(family="ba", team_id=None, org_tree_name="Engineering", **place)
        scope = {"orgTreeName": "Engineering", "orgIdentifier": "o2", "projectIdentifier": "p2"}
        assert sei_server.exports[0].request["scope"] == scope

    def test_create_jitter_delays_it(self, create: Any, worker_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """By a random part of it."""
        monkeypatch.setattr("airflow_provider_sei.operators._base.random", SimpleNamespace(random=lambda: 0.25))
        create(create_jitter=60)
        assert worker_clock.pauses == [15]


class TestDownload:
    """``SEIDownloadExportOperator``."""

    def test_it_delivers_the_servers_file(self, create: Any, download: Any, sei_server: Any, tmp_path: Path) -> None:
        """In a folder, it is named after family and id; a name's fields are those of the export. It has two tries."""
        sei_server.faults.add("download", "cut", after_bytes=50)
        export_id = create()
        result = download(export_id)
        [record] = sei_server.exports
        assert (tmp_path / f"productivity_{export_id}.csv").read_bytes() == record.csv
        assert (result["rows"], result["sha256"], result["reused"]) == (record.rows, record.csv_sha256, None)
        assert json.loads(json.dumps(result)) == result
        assert record.downloads == 2
        uri = download(export_id, destination=f"{tmp_path}/{{period}}/mine_{{team_id}}.csv")["uri"]
        assert uri == f"file://{tmp_path}/2024-01/mine_456.csv"

    def test_json_is_delivered_if_asked_for(self, create: Any, download: Any, sei_server: Any, tmp_path: Path) -> None:
        """The status of an efficiency export does not name the format; without the argument, it has to be CSV."""
        export_id = create(family="efficiency", metric_groups="df", file_format="json")
        download = partial(download, export_id, family="efficiency")
        result, [record] = download(file_format="JSON"), sei_server.exports
        assert json.loads((tmp_path / f"efficiency_{export_id}.json").read_bytes()) == json.loads(record.csv)
        assert result["rows"] == record.rows == 1
        with pytest.raises(exceptions.SEIDownloadError, match=r"the server sent JSON: .* is not a CSV file"):
            download()
        with pytest.raises(exceptions.SEIArgumentError, match="file_format 'xml' is not one of csv, json"):
            download(file_format="xml")
        assert [file.suffix for file in tmp_path.iterdir()] == [".json"]

    @pytest.mark.parametrize("failed", [True, False])
    def test_an_export_without_a_file_fails(self, create: Any, download: Any, sei_server: Any, failed: Any) -> None:
        """With its id and the server's reason; one that is not completed may be at the next try."""
        sei_server.reset(clock_speed=0.0, seconds_to_complete=0.0 if failed else 3600.0)
        if failed:
            sei_server.faults.add("create", "outcome", status="failed", error="No data")
        words = r"^No data: .* failed at the server" if failed else "SEIExportSensor"
        with pytest.raises(exceptions.SEIError, match=words) as caught:
            download(export_id := create())
        assert (caught.value.retryable, caught.value.export_id) == (not failed, export_id)


@pytest.mark.parametrize("step", ["export", "download", "report"])
@pytest.mark.parametrize(("empty", "error"), [("skip", AirflowSkipException), ("fail", exceptions.SEIDownloadError)])
def test_a_file_without_rows_can_skip_or_fail_the_task(  # noqa: PLR0917 - fixtures
    create: Any, download: Any, report: Any, sei_server: Any, tmp_path: Path, step: str, empty: str, error: Any
) -> None:
    """Nothing is published. Each operator that delivers has the argument."""
    for operation in ("download", "legacy"):
        sei_server.faults.add(operation, "empty", times=None)
    options: dict[str, Any] = {"empty": empty, "verify_size": False}
    export = SEIExportOperator(task_id="t", destination=f"{tmp_path}/", **options, **REQUEST)
    steps = {
        "export": lambda: export.execute({}),
        "download": lambda: download(create(), **options),
        "report": lambda: report(empty=empty).execute({}),
    }
    with pytest.raises(error, match="is empty"):
        steps[step]()
    assert list(tmp_path.iterdir()) == []


def test_a_list_has_plain_dicts_without_personal_data(create: Any, task_log: Any) -> None:
    """With the filters, after rendering; none of them is required."""
    made = [create(team_id=team) for team in ("456", "123", "456")][:2]
    task = SEIListExportsOperator(task_id="list", family="{{ family }}", team_id="{{ team }}", limit="{{ 10 }}")
    task.render_template_fields({"family": "productivity", "team": 456})
    [found] = task.execute({})
    known = {"export_id": made[0], "status": "completed", "org_tree_name": None, **REQUEST}
    assert found == {**known, "created_at": found["created_at"], "completed_at": found["completed_at"]}
    assert found["created_at"].endswith("Z")
    assert json.loads(json.dumps(found)) == found
    everything = SEIListExportsOperator(task_id="list", family="productivity", max_exports=9).execute({})
    assert {each["export_id"] for each in everything} == set(made)
    assert "2 productivity exports" in task_log.text
    assert "jane" not in f"{everything} {task_log.text}".casefold()


class TestLegacyReport:
    """``SEILegacyReportOperator``."""

    @pytest.mark.parametrize("report_type", ["team", "contributor"])
    def test_it_requests_and_delivers(self, report: Any, sei_server: Any, tmp_path: Path, report_type: str) -> None:
        """In one call, whose response is the file."""
        task = report(report_type="{{ kind }}")
        task.render_template_fields({"kind": report_type})
        result = task.execute({})
        [record], [file] = sei_server.legacy_reports, tmp_path.iterdir()
        family = f"{report_type}-report"
        assert file.read_bytes() == record.csv
        assert file.name.startswith(f"{family}_team-456_2024-01-01_2024-01-31_")
        expected = {
            "uri": f"file://{file}",
            "bytes": record.csv_bytes,
            "rows": record.rows,
            "family": family,
            **JANUARY,
        }
        expected |= {"sha256": record.csv_sha256, "columns": record.csv.splitlines()[0].decode().split(",")}
        expected |= dict.fromkeys(("conn_id", "export_id", "reused", "created_at", "completed_at"))
        assert expected.items() <= result.items()

    def test_an_empty_report_is_a_success(self, report: Any, sei_server: Any, tmp_path: Path, caplog: Any) -> None:
        """The vendor documents that no data is a file of 0 bytes; the log says what else may be the reason."""
        caplog.set_level("INFO", "airflow_provider_sei")
        sei_server.faults.add("legacy", "empty")
        result = report().execute({})
        [[level, text]] = [record[1:] for record in caplog.record_tuples if "empty" in record[2]]
        assert (level, "for an unknown collection" in text) == (logging.INFO, True)
        assert (result["bytes"], result["rows"]) == (0, 0)
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [b""]

    def test_an_undocumented_metric_is_sent_with_a_warning(self, report: Any, sei_server: Any, task_log: Any) -> None:
        """The vendor may have added it since."""
        report(productivity_metrics=["A_METRIC_OF_TOMORROW"]).execute({})
        assert sei_server.legacy_reports[0].request["productivity"] == {"metrics": ["A_METRIC_OF_TOMORROW"]}
        assert "'A_METRIC_OF_TOMORROW', which is not documented" in task_log.text

    @pytest.mark.parametrize(
        ("changes", "words", "calls"),
        [
            ({"collection_id": "99999"}, 'answered 404 .*"No".*team report of collection 99999.*identifiers$', 1),
            (
                {"report_type": "contributor", "collection_id": "platform"},
                "report of collection platform; .*; collection_id was 'platform': did you mean '456', which",
                2,
            ),
        ],
    )
    def test_an_unknown_collection_is_named(
        self, report: Any, sei_server: Any, changes: dict[str, Any], words: str, calls: int
    ) -> None:
        """A name in place of the id gets the id."""
        sei_server.faults.add("legacy", "answer", status=404, body="No")
        with pytest.raises(exceptions.SEINotFoundError, match=words):
            report(**changes).execute({})
        assert len(sei_server.requests) == calls

    def test_an_invalid_rendered_value_sends_nothing(self, report: Any, sei_server: Any) -> None:
        """It is rejected before the request."""
        task = report(date_start="{{ start }}")
        task.render_template_fields({"start": "yesterday"})
        with pytest.raises(exceptions.SEIArgumentError, match="date_start 'yesterday' is not a day"):
            task.execute({})
        assert sei_server.requests == []
