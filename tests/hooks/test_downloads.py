"""Finding and fetching an export's file through the hook."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.protocol.report_request import ReportRequest

PERIOD = {"date_start": "2024-01-01", "date_end": "2024-01-31"}


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    """A file in a folder of its own."""
    return Destination.from_arguments(str(tmp_path / "out.csv"))


def completed(hook: SEIHook, family: str = "productivity") -> Export:
    """Return a completed export, as its status shows it."""
    groups = FAMILIES[family].metric_groups[:1]
    export = hook.create_export(family=family, team_id="456", metric_groups=groups, **PERIOD)
    return hook.get_export(family, export.export_id)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_each_familys_file_is_found(hook: SEIHook, sei_server: Any, destination: Destination, family: str) -> None:
    """By ``download.url``, by ``downloadUrl``, or by the conventional path where nothing is said."""
    delivered = hook.download_export(completed(hook, family), destination)
    [record] = sei_server.exports
    assert Path(destination.url).read_bytes() == record.csv
    assert (delivered.sha256, delivered.rows, delivered.bytes) == (record.csv_sha256, record.rows, record.csv_bytes)


@pytest.mark.parametrize("form", ["absolute", "with_identifiers", "both", "download", "downloadUrl", "absent"])
def test_the_identifiers_are_sent_once_whatever_the_address_says(
    hook: SEIHook, sei_server: Any, destination: Destination, form: str
) -> None:
    """Relative, absolute, with identifiers or without: the server would refuse a repeated parameter."""
    sei_server.faults.add("status", "download_url", form=form, times=None)
    hook.download_export(completed(hook), destination)
    request = next(request for request in sei_server.requests if request.operation == "download")
    assert sorted(request.query) == [("orgIdentifier", sei_server.org), ("projectIdentifier", sei_server.project)]
    assert request.path.startswith("/prod1/sei/api/v2/insights/productivity/exports/")


ODD_ADDRESSES = [
    "/v2/insights/productivity/exports/{id}x/download",
    "/v2/insights/productivity/exports/{id}/../{id}x/download",
    "/v2/insights/productivity/exports/{id}/%2e%2e/{id}x/download",
    "/../../../admin",
    "/x\\..\\..\\admin",
    "//{host}/admin",
    "{foreign}/file.csv?signature=1",
]


@pytest.mark.parametrize("address", ODD_ADDRESSES)
@pytest.mark.parametrize("served", [True, False], ids=["served", "gone"])
def test_an_address_elsewhere_is_not_called(
    hook: SEIHook, sei_server: Any, destination: Destination, raw_server: Any, address: str, *, served: bool
) -> None:
    """Neither another export's file, nor a path outside the base URL, nor another server; the usual path is."""
    foreign, export = raw_server(), completed(hook)
    url = address.format(id=export.export_id, host=foreign.origin.partition("//")[2], foreign=foreign.origin)
    sei_server.faults.add("status", "fields", changes={"download": {"url": url}}, times=None)
    export = hook.get_export("productivity", export.export_id)
    if served:
        assert hook.download_export(export, destination).sha256 == sei_server.exports[0].csv_sha256
    else:
        sei_server.faults.add("download", "answer", status=403, times=None)
        both = rf"the server answered 403.*download {export.description} .*the server returned .* not called"
        with pytest.raises(exceptions.SEIAuthError, match=both) as caught:
            hook.download_export(export, destination)
        assert caught.value.export_id == export.export_id
    assert foreign.received == []
    paths = {request.path for request in sei_server.requests if request.operation not in {"create", "status"}}
    assert paths == {f"/prod1/sei/api/v2/insights/productivity/exports/{export.export_id}/download"}


def test_a_file_that_is_not_there_yet_is_waited_for(
    hook: SEIHook, sei_server: Any, destination: Destination, worker_clock: Any
) -> None:
    """The vendor answers 404 for a while after ``completed``; a refusal may pass: the key was good for the status."""
    sei_server.faults.add("download", "answer", status=404)
    sei_server.faults.add("download", "answer", status=401, nth=2)
    delivered = hook.download_export(completed(hook), destination)
    assert delivered.rows == sei_server.exports[0].rows
    assert len(worker_clock.pauses) == 2


def test_no_pause_before_a_status_call_ends_after_the_timeout(
    hook: SEIHook, sei_server: Any, destination: Destination, worker_clock: Any
) -> None:
    """Whatever the server asks for."""
    listed = replace(completed(hook), summary=True)
    sei_server.faults.add("status", "answer", status=503, retry_after=86400, times=None)
    with pytest.raises(exceptions.SEIServerError):
        hook.download_export(listed, replace(destination, timeout=200.0))
    assert sum(worker_clock.pauses) <= 200


@pytest.mark.parametrize("place", ["elsewhere", "sprints"])
def test_a_file_that_is_not_where_the_server_says_is_looked_for_at_the_conventional_place(
    hook: SEIHook, sei_server: Any, destination: Destination, worker_clock: Any, place: str
) -> None:
    """The vendor's sprint example names a place that is not among the documented ones. It may also be a page."""
    export = completed(hook)
    url = f"/v2/insights/{place}/exports/{export.export_id}/download"
    sei_server.faults.add("download", "answer", family="sprint", status=200, kind="html", times=None)
    sei_server.faults.add("status", "fields", changes={"download": {"url": url}}, times=None)
    delivered = hook.download_export(hook.get_export("productivity", export.export_id), destination)
    assert delivered.rows == sei_server.exports[0].rows
    assert len(worker_clock.pauses) == (place == "sprints")


@pytest.mark.sei_server(seconds_to_complete=60.0)
def test_an_export_without_a_file_is_not_downloaded(hook: SEIHook, sei_server: Any, destination: Destination) -> None:
    """The message has its status, and how to wait for it."""
    sei_server.reset(clock_speed=0.0, seconds_to_complete=60.0)
    with pytest.raises(exceptions.SEIDownloadError, match=r"is not completed.*SEIExportSensor"):
        hook.download_export(completed(hook), destination)
    assert "download" not in {request.operation for request in sei_server.requests}


@pytest.mark.parametrize(
    ("url", "layout", "name"),
    [
        ("{folder}/", "flat", "productivity_{id}.csv"),
        ("{folder}/", "hive", "family=productivity/period=2024-01/team=456/productivity_baccd534.csv"),
        ("{folder}/{team_id}/{export_id}.csv", "flat", "456/{id}.csv"),
        ("{folder}/{account}/{org}/{project}/{date_end}.csv", "flat", "acc/{org}/{project}/2024-01-31.csv"),
    ],
)
def test_a_file_is_named_after_what_the_server_says(  # noqa: PLR0917 - fixtures
    sei_connection: str, sei_server: Any, tmp_path: Path, url: str, layout: str, name: str
) -> None:
    """Unless the destination is a full name already."""
    hook = SEIHook(sei_connection, account_id="acc")
    export = completed(hook)
    destination = Destination.from_arguments(url.replace("{folder}", str(tmp_path)), layout=layout)
    delivered = hook.download_export(export, destination)
    name = name.replace("{id}", export.export_id).replace("{org}", sei_server.org)
    assert delivered.uri == f"file://{tmp_path}/{name.replace('{project}', sei_server.project)}"


def test_a_period_that_the_server_does_not_say_is_an_error(hook: SEIHook, sei_server: Any, tmp_path: Path) -> None:
    """Only where the name depends on it."""
    export = completed(hook)
    sei_server.faults.add("status", "fields", changes={"metadata": None}, times=None)
    export = hook.get_export("productivity", export.export_id)
    hook.download_export(export, Destination.from_arguments(f"{tmp_path}/"))
    with pytest.raises(exceptions.SEIUnexpectedResponseError, match="has no known period"):
        hook.download_export(export, Destination.from_arguments(f"{tmp_path}/{{period}}.csv"))
    with pytest.raises(exceptions.SEIArgumentError, match=r"needs \{org_tree_name\}"):
        hook.download_export(export, Destination.from_arguments(f"{tmp_path}/{{org_tree_name}}.csv"))


@pytest.mark.parametrize("report_type", ["team", "contributor"])
def test_a_report_is_delivered(hook: SEIHook, sei_server: Any, destination: Destination, report_type: str) -> None:
    """With the header that its own page names."""
    spec = ReportRequest.from_arguments(report_type=report_type, collection_id="456", **PERIOD)
    delivered = hook.download_report(spec, destination)
    [record] = sei_server.legacy_reports
    assert Path(destination.url).read_bytes() == record.csv
    assert delivered.rows == record.rows
    assert sei_server.requests[-1].auth == "x-api-key"
