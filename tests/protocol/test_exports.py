"""The create and status calls, what is read of their responses, and which file belongs to an export."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.arguments import REUSED_FAILED, parse_export_id
from airflow_provider_sei.protocol.exports import (
    Export,
    ExportStatus,
    check_reused,
    create_call,
    download_requests,
    export_period,
    failed_export_error,
    read_export,
    status_call,
)
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily
from airflow_provider_sei.protocol.http import HttpResponse
from tests.protocol.strategies import ANYTHING, families, json_values, outcome, responses, texts

PRODUCTIVITY, SPRINT = FAMILIES["productivity"], FAMILIES["sprint"]
CREATED_AT = 1_767_002_400.0  # 2025-12-29T10:00:00Z


def response(value: Any, status: int = 200) -> HttpResponse:
    """Return a response with a JSON body."""
    return HttpResponse(status, {}, json.dumps(value).encode())


def read(**record: Any) -> Export:
    """Return what a record of export exp_1 is read as."""
    return read_export({"exportId": "exp_1", **record}, PRODUCTIVITY, "read it")


class TestCreate:
    """The create call."""

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_the_body_is_posted_to_the_familys_path(self, family: ExportFamily) -> None:
        """Both identifiers are required."""
        call = create_call(family, {"scope": {}})
        assert (call.request.method, call.request.path) == ("POST", family.collection_path)
        assert call.request.body == {"scope": {}}
        assert call.request.identifiers_required
        assert call.export_id is None

    @pytest.mark.parametrize(("status", "reused"), [(202, False), (200, True), (201, False)])
    @pytest.mark.parametrize("message", ["Export created successfully", "Duplicate request", None])
    def test_reuse_is_read_from_the_status_alone(self, status: int, message: str | None, *, reused: bool) -> None:
        """The message has several wordings, and may end in a person's name."""
        export = create_call(PRODUCTIVITY, {}).parse(response({"exportId": "exp_1", "message": message}, status))
        assert export.reused is reused
        assert export.status is ExportStatus.UNKNOWN

    @pytest.mark.parametrize(
        "value", [{}, {"exportId": None}, {"exportId": ""}, {"exportId": "a/b"}, [], "exp_1", None]
    )
    def test_a_response_without_an_id_is_an_error(self, value: Any) -> None:
        """There would be nothing to wait for."""
        with pytest.raises(errors.SEIUnexpectedResponseError, match="could not create the productivity export"):
            create_call(PRODUCTIVITY, {}).parse(response(value, 202))

    @pytest.mark.parametrize(
        "value", [{"message": "Team quota exceeded", "code": "QUOTA"}, {"error": "Team quota exceeded"}]
    )
    def test_an_error_in_a_success_is_quoted(self, value: Any) -> None:
        """In place of advice about the base URL; so is one in a status response, whose own status is a number then."""
        for call in (create_call(PRODUCTIVITY, {}), status_call(PRODUCTIVITY, "exp_1")):
            with pytest.raises(errors.SEIUnexpectedResponseError, match=r'\("Team quota exceeded"\): ') as caught:
                call.parse(response({"status": 500, **value}))
            assert caught.value.vendor_message == "Team quota exceeded"
            assert caught.value.vendor_code


class TestStatus:
    """The status call."""

    def test_its_path_has_the_id(self) -> None:
        """Quoted, because an id is one segment of the path; so the response may omit it."""
        call = status_call(SPRINT, " exp_1 ")
        assert (call.request.method, call.request.path) == ("GET", "v2/insights/sprints/exports/exp_1")
        assert status_call(SPRINT, "é").request.path == "v2/insights/sprints/exports/%C3%A9"
        assert call.parse(response({"status": "queued"})).export_id == "exp_1"
        with pytest.raises(errors.SEIArgumentError):
            status_call(PRODUCTIVITY, "../teams")

    @pytest.mark.parametrize(
        ("answer", "kind", "words"),
        [
            (HttpResponse(404), errors.SEINotFoundError, "404"),
            (response([]), errors.SEIUnexpectedResponseError, "not a JSON object"),
            (response({"exportId": ""}), errors.SEIUnexpectedResponseError, "no usable exportId"),
            (
                response({"exportId": "exp_2", "status": "completed"}),
                errors.SEIUnexpectedResponseError,
                "about another export, exp_2",
            ),
            *(
                (response({"status": nothing}), errors.SEIUnexpectedResponseError, "no status")
                for nothing in (None, "", {})
            ),
        ],
    )
    def test_every_error_names_the_export(self, answer: HttpResponse, kind: type[errors.SEIError], words: str) -> None:
        """Another export's status would deliver another export's file; a missing one would be waited on for an hour."""
        with pytest.raises(kind, match="could not read the status of productivity export exp_1") as caught:
            status_call(PRODUCTIVITY, "exp_1").parse(answer)
        assert words in str(caught.value)
        assert caught.value.export_id == "exp_1"

    @ANYTHING
    @given(families, responses())
    def test_any_response_is_an_export_or_an_error(self, family: ExportFamily, any_response: HttpResponse) -> None:
        """Of the requested family: about this export and with a status, or new with an id that is safe in a URL."""
        export = outcome(errors.SEIResponseError, status_call(family, "exp_7a8b9c0d").parse, any_response)
        assert export.export_id == "exp_7a8b9c0d"
        assert isinstance(export, errors.SEIResponseError) or export.status_word
        created = outcome(errors.SEIResponseError, create_call(family, {}).parse, any_response)
        if isinstance(created, Export):
            assert (parse_export_id(created.export_id), created.family) == (created.export_id, family.name)

    @pytest.mark.parametrize("in_case", [str.lower, str.upper, str.capitalize])
    @pytest.mark.parametrize(
        ("word", "terminal", "successful"),
        [
            ("queued", False, False),
            ("processing", False, False),
            ("completed", True, True),
            ("failed", True, False),
            ("cancelled", True, False),
        ],
    )
    def test_statuses_mean_the_same_in_any_case(
        self, word: str, in_case: Callable[[str], str], *, terminal: bool, successful: bool
    ) -> None:
        """Some families use lower case, others upper case."""
        status = read(status=f" {in_case(word)} ").status
        assert (status.value, status.is_terminal, status.is_successful) == (word, terminal, successful)

    @pytest.mark.parametrize("word", ["", "complete", "done", "CANCELED", None, 200, True, ["completed"], {}])
    def test_an_undocumented_status_is_waited_on(self, word: object) -> None:
        """It is neither a success nor the end."""
        assert ExportStatus(word) is ExportStatus.UNKNOWN
        assert (ExportStatus.UNKNOWN.is_terminal, ExportStatus.UNKNOWN.is_successful) == (False, False)


class TestReadExport:
    """A record of an export."""

    def test_every_documented_field_is_read_except_personal_data(self) -> None:
        """Names of people are in no log and no XCom."""
        export = read(
            status="COMPLETED",
            createdAt="2025-12-29T10:00:00Z",
            completedAt="2025-12-29T10:02:15Z",
            createdBy={"name": "Jane Smith", "email": "jane.smith@company.com"},
            cancelledBy={"name": "Jane Smith"},
            message="Using existing export created by Jane Smith",
            download={"url": "/d", "filename": "a.csv.gz", "sizeBytes": 245672, "contentType": "text/csv"},
            scope={"teamId": 456, "orgTreeName": "Engineering"},
            metadata={
                "dateRange": {"start": "2024-01-01", "end": "2024-01-31"},
                "options": {"metricLevel": "developer"},
            },
        )
        assert export == Export(
            export_id="exp_1",
            family="productivity",
            status=ExportStatus.COMPLETED,
            status_word="COMPLETED",
            created_at="2025-12-29T10:00:00Z",
            completed_at="2025-12-29T10:02:15Z",
            download_url="/d",
            size_bytes=245672,
            level="developer",
            team_id="456",
            org_tree_name="Engineering",
            date_start="2024-01-01",
            date_end="2024-01-31",
        )

    @pytest.mark.parametrize(
        ("record", "name", "value"),
        [
            ({"download": {"url": "/a"}, "downloadUrl": "/b"}, "download_url", "/a"),
            ({"download": {"url": ""}, "downloadUrl": "/b"}, "download_url", "/b"),
            ({"download": "/a", "downloadUrl": " /b "}, "download_url", "/b"),
            ({"download": None, "downloadUrl": {}}, "download_url", None),
            ({}, "download_url", None),
            ({"download": {"sizeBytes": 0}}, "size_bytes", 0),
            *(({"download": {"sizeBytes": odd}}, "size_bytes", None) for odd in (-1, True, "12", 1.5, None)),
            ({"metadata": {"options": {"metricLevel": "team"}}}, "level", "team"),
            ({"metadata": {"options": {"metricLevel": "", "aggregationLevel": "sprint"}}}, "level", "sprint"),
            *(({"metadata": {"options": odd}}, "level", None) for odd in ({"metricLevel": ["team"]}, None)),
        ],
    )
    def test_address_level_and_size_are_read_where_they_are_usable(
        self, record: dict[str, Any], name: str, value: object
    ) -> None:
        """Address and level from either of two fields, or from none; a wrong size would fail a good file."""
        assert getattr(read(**record), name) == value

    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            ("Invalid teamId", None, "Invalid teamId"),
            ({"code": "BAD_TEAM", "message": "No such team"}, "BAD_TEAM", "No such team"),
            ({"message": "m"}, None, "m"),
            ({"code": 17}, "17", "17"),
            ({"reason": "x"}, None, "x"),
            ({"name": "Jane"}, None, None),
            *((nothing, None, None) for nothing in (None, "", False)),
            (["a"], None, "a"),
            (404, None, "404"),
            ("<html><title>502</title></html>", None, "(an HTML page) 502"),
        ],
    )
    def test_the_reason_of_a_failure_has_any_form(self, error: object, code: str | None, message: str | None) -> None:
        """The prose shows a sentence, the OpenAPI document an object."""
        export = read(status="failed", error=error)
        assert (export.error_code, export.error_message) == (code, message)

    def test_what_is_logged_is_one_short_printable_line(self) -> None:
        """A server cannot forge log lines, or fill the database."""
        words = dict.fromkeys(
            ("status", "createdAt", "completedAt"), forged := "x\x1b[31m\r\nERROR\u202e forged" + "x" * 300
        )
        export = read(
            **words,
            scope={"teamId": forged, "orgTreeName": forged},
            metadata={"dateRange": {"start": forged, "end": forged}, "options": {"metricLevel": forged}},
        )
        for name in ("status_word", "created_at", "completed_at", "date_start", "date_end", "level"):
            assert getattr(export, name).isprintable()
            assert len(getattr(export, name)) <= 64
        assert len(export.team_id or "") == len(export.org_tree_name or "") == 200

    @ANYTHING
    @given(json_values, st.none() | texts)
    @example({"exportId": 10**30}, None)
    def test_any_value_is_an_export_or_an_error(self, value: Any, expected_id: str | None) -> None:
        """And never another export than the expected one."""
        export = outcome(
            errors.SEIUnexpectedResponseError, read_export, value, PRODUCTIVITY, "read it", expected_id=expected_id
        )
        if isinstance(export, Export):
            assert expected_id in (None, export.export_id) or parse_export_id(expected_id) == export.export_id
            asdict(export)


class TestMismatches:
    """What the server reports of an export, compared with what was requested."""

    requested = {"team_id": "456", "org_tree_name": None, "date_start": "2024-01-01", "date_end": "2024-12-31"}  # noqa: RUF012 - a constant

    @pytest.mark.parametrize(
        ("name", "value"), [("team_id", "7"), ("date_start", "2023-01-01"), ("date_end", "2024-12-30T23:59:59Z")]
    )
    def test_another_team_or_period_is_reported(self, name: str, value: str) -> None:
        """The file would have a wrong name. Not what is missing, or a time of the same day."""
        same = {"team_id": "456", "org_tree_name": "East", "date_start": "2024-01-01T00:00:00Z"}
        export = Export(export_id="exp_1", family="ba", **same | {name: value})
        [sentence] = export.mismatches(self.requested)
        for words in ("ba export exp_1", name, repr(value), repr(self.requested[name])):
            assert words in sentence
        assert export.mismatches({}) == []


class TestFailed:
    """An export that will not be completed any more."""

    @pytest.mark.parametrize(
        ("word", "kind", "words"),
        [
            ("failed", errors.SEIExportFailedError, "^by hand: productivity export exp_1 failed .*create it again"),
            ("cancelled", errors.SEIExportCancelledError, "cancelled at the server"),
        ],
    )
    def test_each_end_has_its_error_with_the_servers_reason(
        self, word: str, kind: type[errors.SEIError], words: str
    ) -> None:
        """And advice."""
        error = failed_export_error(read(status=word, error={"code": "C", "message": "by hand"}))
        assert type(error) is kind
        assert (error.export_id, error.vendor_code, error.vendor_message) == ("exp_1", "C", "by hand")
        assert re.search(words, str(error))
        assert "gave no reason" in str(failed_export_error(read(status="failed")))

    @pytest.mark.parametrize(
        ("word", "kind"), [("failed", errors.SEIExportFailedError), ("cancelled", errors.SEIExportCancelledError)]
    )
    def test_a_reused_failed_export_fails_permanently_by_default(self, word: str, kind: type[errors.SEIError]) -> None:
        """A retry within half an hour would get the same one. One that has not failed is as good as a new one."""
        for fine, policy in product(("queued", "processing", "COMPLETED", "odd"), REUSED_FAILED):
            check_reused(read(status=fine), policy, now=CREATED_AT)
        with pytest.raises(kind) as caught:
            check_reused(read(status=word, error="x"), "fail", now=CREATED_AT)
        assert caught.value.retryable is False
        assert ("within 30 minutes" in str(caught.value)) is (word == "failed")

    @pytest.mark.parametrize("word", ["failed", "cancelled"])
    @pytest.mark.parametrize(
        ("created_at", "now", "wait"),
        [
            ("2025-12-29T10:00:00Z", CREATED_AT + 60, "1741"),
            ("2025-12-29T10:00:00.500+00:00", CREATED_AT, "1800"),
            ("2025-12-29T11:00:00+01:00", CREATED_AT + 60, "1741"),
            ("2025-12-29T10:00:00", CREATED_AT + 60, "1741"),
            ("2025-12-29T10:00:00Z", CREATED_AT + 7200, "0"),
            ("2025-12-29T10:00:00Z", CREATED_AT - 7200, "1800"),
            ("yesterday", CREATED_AT, "1800"),
            (None, CREATED_AT, "1800"),
            ("0001-01-01", CREATED_AT, "0"),
            ("9999-12-31T23:59:59", CREATED_AT, "1800"),
        ],
    )
    def test_the_retry_policy_waits_until_a_new_one_can_be_created(
        self, word: str, created_at: str | None, now: float, wait: str, in_tokyo: None
    ) -> None:
        """30 minutes after the old one was created, never longer; times without an offset are in UTC."""
        assert in_tokyo is None
        export = read(status=word, createdAt=created_at, error={"code": "C", "message": "x"})
        with pytest.raises(errors.SEIReusedExportFailedError) as caught:
            check_reused(export, "retry", now=now)
        assert caught.value.retryable
        assert (caught.value.retry_after, caught.value.export_id) == (wait, "exp_1")
        assert (caught.value.vendor_code, caught.value.vendor_message) == ("C", "x")

    @ANYTHING
    @given(texts | st.datetimes().map(str) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d[-+]\d\d:\d\d", fullmatch=True))
    def test_any_time_of_creation_gives_a_wait_of_at_most_30_minutes(self, created_at: str) -> None:
        """The server's text is data."""
        with pytest.raises(errors.SEIReusedExportFailedError) as caught:
            check_reused(read(status="failed", createdAt=created_at), "retry", now=CREATED_AT)
        assert 0 <= int(caught.value.retry_after or "-1") <= 1800


class TestDownload:
    """An export's file."""

    def completed(self, **fields: Any) -> Export:
        """Return a completed sprint export."""
        return Export(**{"export_id": "exp_1", "family": "sprint", "status": ExportStatus.COMPLETED} | fields)

    @pytest.mark.parametrize(
        ("word", "kind"),
        [
            ("queued", errors.SEIDownloadError),
            ("odd", errors.SEIDownloadError),
            ("failed", errors.SEIExportFailedError),
            ("cancelled", errors.SEIExportCancelledError),
        ],
    )
    def test_only_a_completed_export_has_a_file(self, word: str, kind: type[errors.SEIError]) -> None:
        """One that is not completed yet can be retried."""
        with pytest.raises(kind, match="exp_1") as caught:
            download_requests(self.completed(status=ExportStatus(word), status_word=word))
        assert caught.value.export_id == "exp_1"
        assert caught.value.retryable is (kind is errors.SEIDownloadError)

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
    def test_the_address_in_the_status_is_tried_first(self, url: str) -> None:
        """It need not resemble the conventional one, which is tried next, or alone: one family's status has none."""
        usual = "v2/insights/sprints/exports/exp_1/download"
        requests = download_requests(self.completed(download_url=url))
        assert [request.path for request in requests] == [url, usual]
        assert {(request.method, request.identifiers_required) for request in requests} == {("GET", True)}
        assert requests[0].accept.startswith("text/csv")
        assert download_requests(self.completed(), "json")[0].accept == "application/json, */*;q=0.5"
        for said in (None, f"/{usual}"):
            [request] = download_requests(self.completed(download_url=said))
            assert request.path.lstrip("/") == usual

    @pytest.mark.parametrize(
        ("start", "end"), [(None, None), ("2024-01-01", None), ("../x", "2024-01-31"), ("2024-02-01", "2024-01-31")]
    )
    def test_a_period_that_is_not_two_days_is_an_error(self, start: str | None, end: str | None) -> None:
        """It would be part of a path. It is read from days and from times, as the server repeats the request."""
        for time in ("", "T00:00:00Z", "T23:59:59Z"):
            export = self.completed(date_start=f"2024-01-01{time}", date_end=f"2024-01-31{time}")
            assert export_period(export) == ("2024-01-01", "2024-01-31")
        with pytest.raises(errors.SEIUnexpectedResponseError, match=f"{start or 'nothing'} to {end or 'nothing'}"):
            export_period(self.completed(date_start=start, date_end=end))
