"""Where a file is asked for, and when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.exports import (
    Export,
    ExportStatus,
    check_completed,
    download_request,
    download_what,
    export_period,
    other_download_request,
    read_status,
)
from airflow_provider_sei.protocol.settings import ALIASES, BaseUrl
from tests.protocol.strategies import ANYTHING, texts


def export(**fields: Any) -> Export:
    """Return a completed export."""
    return Export(**{"export_id": "exp_1", "family": "sprint", "status": ExportStatus.COMPLETED} | fields)


class TestCheckCompleted:
    """Only a completed export has a file."""

    def test_a_completed_export_passes(self) -> None:
        """Its file can be asked for."""
        check_completed(export())

    @pytest.mark.parametrize(
        ("word", "kind"),
        [
            ("queued", errors.SEIDownloadError),
            ("odd", errors.SEIDownloadError),
            ("failed", errors.SEIExportFailedError),
            ("cancelled", errors.SEIExportCancelledError),
        ],
    )
    def test_any_other_is_an_error(self, word: str, kind: type[errors.SEIError]) -> None:
        """What is not there yet can be tried again, what never will be cannot."""
        with pytest.raises(kind, match=r"exp_1") as caught:
            check_completed(export(status=read_status(word), status_word=word))
        assert caught.value.retryable is (kind is errors.SEIDownloadError)


class TestDownloadRequest:
    """Where the file is."""

    @pytest.mark.parametrize(
        "url",
        [
            "/v2/insights/efficiency/sprints/export/exp_1/download",
            "/v2/insights/sprints/exports/exp_1/download?x=1",
            "https://app.harness.io/prod1/sei/api/v2/insights/sprints/exports/exp_1/download/",
            "/files/anything-else",
            "/exports/exp%5F1/download",
        ],
    )
    def test_the_servers_word_is_followed(self, url: str) -> None:
        """It need not look like the status path."""
        request = download_request(export(download_url=url))
        assert (request.method, request.path) == ("GET", url)
        assert request.identifiers_required
        assert request.accept.startswith("text/csv")

    def test_without_it_the_conventional_path_is_taken(self) -> None:
        """One family's example names no file at all."""
        assert download_request(export()).path == "v2/insights/sprints/exports/exp_1/download"
        assert download_what(export()) == "download sprint export exp_1"

    @pytest.mark.parametrize(
        ("url", "path"),
        [
            (None, None),
            ("/v2/insights/sprints/exports/exp_1/download", None),
            ("/v2/insights/efficiency/sprints/export/exp_1/download", "v2/insights/sprints/exports/exp_1/download"),
        ],
    )
    def test_the_conventional_path_is_left_to_try(self, url: str | None, path: str | None) -> None:
        """Where the server has named another one."""
        other = other_download_request(export(download_url=url))
        assert (other and other.path) == path

    @pytest.mark.parametrize("url", ["/v2/insights/sprints/exports/exp_2/download", "/export/exp_2/download?id=exp_1"])
    def test_the_file_of_another_export_is_refused(self, url: str) -> None:
        """Exactly the export that was asked for is delivered."""
        with pytest.raises(errors.SEIUnexpectedResponseError, match=r"names the file of another export, 'exp_2'"):
            download_request(export(download_url=url))

    @ANYTHING
    @given(texts)
    def test_any_address_is_a_call_of_our_own_server_or_an_error(self, url: str) -> None:
        """No text in a status answer leads elsewhere."""
        endpoint = BaseUrl(ALIASES["prod1"])
        try:
            called = endpoint.url(download_request(export(download_url=url)).path)
        except errors.SEIUnexpectedResponseError:
            return
        assert called.startswith("https://app.harness.io/")


class TestToldPeriod:
    """The days that the server says an export is of."""

    def test_they_are_taken_as_the_vendor_writes_them(self) -> None:
        """As in the request."""
        assert export_period(export(date_start="2024-01-01", date_end="2024-01-31")) == ("2024-01-01", "2024-01-31")
        moments = {"date_start": "2024-01-01T00:00:00Z", "date_end": "2024-01-31T23:59:59Z"}
        assert export_period(export(**moments)) == ("2024-01-01", "2024-01-31")

    @pytest.mark.parametrize(
        ("days", "words"),
        [
            ({}, "export exp_1: its status says nothing to nothing"),
            ({"date_start": "2024-01-01"}, "says 2024-01-01 to nothing"),
            ({"date_start": "../x", "date_end": "2024-01-31"}, r"says \.\./x to 2024-01-31"),
            ({"date_start": "2024-02-01", "date_end": "2024-01-31"}, "not two days .* layout='flat'"),
        ],
    )
    def test_anything_else_is_an_error(self, days: dict[str, str], words: str) -> None:
        """With what came back, and what to do."""
        with pytest.raises(errors.SEIUnexpectedResponseError, match=words):
            export_period(export(**days))


class TestWords:
    """What an error says, and about which export."""

    def test_one_that_is_not_there_yet(self) -> None:
        """With what to put before it."""
        with pytest.raises(errors.SEIDownloadError) as caught:
            check_completed(export(status=read_status("queued"), status_word="queued"))
        assert str(caught.value) == (
            "sprint export exp_1 is 'queued', not completed: there is no file yet."
            " Wait for it first, with SEIExportSensor"
        )
        assert caught.value.export_id == "exp_1"

    def test_another_exports_file(self) -> None:
        """Its id is quoted, however long the server makes it."""
        with pytest.raises(errors.SEIUnexpectedResponseError, match=f"another export, '{'e' * 80}'$") as caught:
            download_request(export(download_url=f"/exports/{'e' * 90}/download"))
        assert caught.value.export_id == "exp_1"
