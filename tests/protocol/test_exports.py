"""Create, read the state, and what becomes of an export that is handed out again."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.arguments import REUSED_FAILED, parse_export_id, parse_reused_failed
from airflow_provider_sei.protocol.exports import (
    Export,
    ExportStatus,
    check_reused,
    create_call,
    failed_export_error,
    item_path,
    read_export,
    status_call,
)
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily
from airflow_provider_sei.protocol.http import HttpResponse
from tests.protocol.strategies import ANYTHING, families, json_values, outcome, responses, texts

PRODUCTIVITY = FAMILIES["productivity"]
CREATED_AT = 1_767_002_400.0  # 2025-12-29T10:00:00Z


def answer(value: Any, status: int = 200) -> HttpResponse:
    """Return an answer with a JSON body."""
    return HttpResponse(status, {}, json.dumps(value).encode())


def read(value: Any, **arguments: Any) -> Export:
    """Return the export that a record describes."""
    return read_export(value, PRODUCTIVITY, "read it", **arguments)


class TestExportId:
    """What may be an id."""

    def test_it_is_quoted_in_the_path(self) -> None:
        """Letters outside ASCII have no place in a URL."""
        assert item_path(PRODUCTIVITY, "é") == "v2/insights/productivity/exports/%C3%A9"


class TestCreate:
    """The create call."""

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_the_body_is_posted_to_the_familys_path(self, family: ExportFamily) -> None:
        """Two of its identifiers are required."""
        call = create_call(family, {"scope": {}})
        assert (call.request.method, call.request.path) == ("POST", family.collection_path)
        assert call.request.body == {"scope": {}}
        assert call.request.identifiers_required
        assert create_call(family, {}, alternate=True).request.path == (
            family.alternate_collection_path or family.collection_path
        )

    @pytest.mark.parametrize(("status", "reused"), [(202, False), (200, True), (201, False)])
    @pytest.mark.parametrize("message", ["Export created successfully", "Duplicate request", None])
    def test_reuse_is_told_by_the_status_alone(self, status: int, message: str | None, *, reused: bool) -> None:
        """The message is worded in several ways, and may end in somebody's name."""
        export = create_call(PRODUCTIVITY, {}).parse(answer({"exportId": "exp_1", "message": message}, status))
        assert export.reused is reused
        assert export.status is ExportStatus.UNKNOWN

    @pytest.mark.parametrize(
        "value", [{}, {"exportId": None}, {"exportId": ""}, {"exportId": "a/b"}, [], "exp_1", None]
    )
    def test_an_answer_without_an_id_is_unreadable(self, value: Any) -> None:
        """Nothing could be waited for."""
        with pytest.raises(errors.SEIUnexpectedResponseError, match=r"could not create a productivity export"):
            create_call(PRODUCTIVITY, {}).parse(answer(value, 202))

    @ANYTHING
    @given(families, responses())
    def test_any_answer_is_an_export_or_an_error_of_ours(self, family: ExportFamily, response: HttpResponse) -> None:
        """Whatever the server says."""
        try:
            export = create_call(family, {}).parse(response)
        except errors.SEIResponseError:
            return
        assert parse_export_id(export.export_id) == export.export_id
        assert export.family == family.name


class TestStatus:
    """The status call."""

    def test_the_export_is_asked_for_by_its_id(self) -> None:
        """Every error of the call names it."""
        call = status_call(FAMILIES["sprint"], " exp_1 ")
        assert (call.request.method, call.request.path) == ("GET", "v2/insights/sprints/exports/exp_1")
        assert call.export_id == "exp_1"
        with pytest.raises(errors.SEINotFoundError) as caught:
            call.parse(HttpResponse(404))
        assert caught.value.export_id == "exp_1"
        assert "exp_1" in str(caught.value)

    def test_an_id_that_cannot_be_one_is_not_asked_for(self) -> None:
        """The URL would mean something else."""
        with pytest.raises(errors.SEIArgumentError):
            status_call(PRODUCTIVITY, "../teams")

    def test_the_state_of_another_export_is_refused(self) -> None:
        """A cache that mixes answers up must not deliver somebody else's file."""
        with pytest.raises(errors.SEIUnexpectedResponseError, match=r"answered for another export, exp_2"):
            status_call(PRODUCTIVITY, "exp_1").parse(answer({"exportId": "exp_2", "status": "completed"}))

    def test_an_answer_may_leave_the_id_out(self) -> None:
        """It was asked for by its id."""
        export = status_call(PRODUCTIVITY, "exp_1").parse(answer({"status": "queued"}))
        assert export.export_id == "exp_1"

    @pytest.mark.parametrize("value", [{}, {"status": None}, {"status": ""}, {"status": {}}, {"ok": True}, []])
    def test_an_answer_without_a_status_is_unreadable(self, value: Any) -> None:
        """Waiting on for an hour would hide a wrong base URL."""
        with pytest.raises(errors.SEIUnexpectedResponseError, match=r"exp_1") as caught:
            status_call(PRODUCTIVITY, "exp_1").parse(answer(value))
        assert caught.value.export_id == "exp_1"

    @ANYTHING
    @given(families, responses())
    def test_any_answer_is_this_export_or_an_error_of_ours(self, family: ExportFamily, response: HttpResponse) -> None:
        """Never another export, never another exception."""
        export = outcome(errors.SEIResponseError, status_call(family, "exp_7a8b9c0d").parse, response)
        assert export.export_id == "exp_7a8b9c0d"
        assert isinstance(export, errors.SEIResponseError) or export.status_word


class TestReadExport:
    """A record of an export."""

    def test_every_documented_field_is_read(self) -> None:
        """And none that tells of a person."""
        export = read(
            {
                "exportId": "exp_1",
                "status": "COMPLETED",
                "createdAt": "2025-12-29T10:00:00Z",
                "completedAt": "2025-12-29T10:02:15Z",
                "createdBy": {"name": "Jane Smith", "email": "jane.smith@company.com"},
                "message": "Using existing export created by Jane Smith",
                "download": {"url": "/d", "filename": "a.csv.gz", "sizeBytes": 245672, "contentType": "text/csv"},
                "metadata": {"options": {"metricLevel": "developer"}},
            }
        )
        assert export == Export(
            export_id="exp_1",
            family="productivity",
            status=ExportStatus.COMPLETED,
            status_word="COMPLETED",
            created_at="2025-12-29T10:00:00Z",
            completed_at="2025-12-29T10:02:15Z",
            download_url="/d",
            filename="a.csv.gz",
            size_bytes=245672,
            level="developer",
        )
        assert "Jane" not in repr(asdict(export))

    @pytest.mark.parametrize(
        ("record", "url"),
        [
            ({"download": {"url": "/a"}, "downloadUrl": "/b"}, "/a"),
            ({"download": {"url": ""}, "downloadUrl": "/b"}, "/b"),
            ({"download": "/a", "downloadUrl": " /b "}, "/b"),
            ({"download": None, "downloadUrl": {}}, None),
            ({}, None),
        ],
    )
    def test_the_file_is_where_either_field_says(self, record: dict[str, Any], url: str | None) -> None:
        """The documents show an object, a text, and nothing."""
        assert read({"exportId": "exp_1"} | record).download_url == url

    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            ("Invalid teamId", None, "Invalid teamId"),
            ({"code": "BAD_TEAM", "message": "No such team"}, "BAD_TEAM", "No such team"),
            ({"code": 17}, "17", "17"),
            ({"reason": "x"}, None, "{'reason': 'x'}"),
            (None, None, None),
            ("", None, None),
            (False, None, None),
            (["a"], None, "['a']"),
            (404, None, "404"),
            ("<html><title>502</title></html>", None, "(an HTML page) 502"),
        ],
    )
    def test_a_failure_gives_its_reason_in_any_form(self, error: object, code: str | None, message: str | None) -> None:
        """The prose shows a sentence, the OpenAPI document an object."""
        export = read({"exportId": "exp_1", "status": "failed", "error": error})
        assert (export.error_code, export.error_message) == (code, message)

    def test_what_people_read_is_one_line_of_plain_text(self) -> None:
        """Times, words and levels go to logs and XCom; a server cannot forge a line there."""
        forged = "x\x1b[31m\r\nERROR\u202e forged"
        record = {
            **dict.fromkeys(("status", "createdAt", "completedAt"), forged),
            "metadata": {"dateRange": {"start": forged, "end": forged}, "options": {"metricLevel": forged}},
        }
        export = read({"exportId": "exp_1", **record})
        names = ("status_word", "created_at", "completed_at", "date_start", "date_end", "level")
        assert {getattr(export, name) for name in names} == {"x [31m  ERROR  forged"}

    @pytest.mark.parametrize("size", [-1, True, "12", 1.5, None])
    def test_a_size_that_is_none_is_left_out(self, size: object) -> None:
        """A wrong one would fail a good file."""
        assert read({"exportId": "exp_1", "download": {"sizeBytes": size}}).size_bytes is None

    @pytest.mark.parametrize(
        ("options", "level"),
        [
            ({"metricLevel": "team"}, "team"),
            ({"aggregationLevel": "team"}, "team"),
            ({"metricLevel": "", "aggregationLevel": "sprint"}, "sprint"),
            ({"metricLevel": ["team"]}, None),
            (None, None),
        ],
    )
    def test_the_level_that_the_server_exports_by_is_read(self, options: object, level: str | None) -> None:
        """Under either of its names."""
        assert read({"exportId": "exp_1", "metadata": {"options": options}}).level == level

    @ANYTHING
    @given(json_values, st.none() | texts)
    @example({"exportId": 10**30}, None)
    def test_any_value_is_an_export_or_unreadable(self, value: Any, expected_id: str | None) -> None:
        """The text of an export that is read can be sent on as JSON."""
        try:
            export = read(value, expected_id=expected_id)
        except errors.SEIUnexpectedResponseError:
            return
        assert expected_id in (None, export.export_id) or parse_export_id(expected_id) == export.export_id


class TestDeadExport:
    """An export that will never be ready."""

    def test_a_failed_export_has_the_servers_reason(self) -> None:
        """And says what to do."""
        error = failed_export_error(read({"exportId": "exp_1", "status": "failed", "error": "Invalid teamId"}))
        assert type(error) is errors.SEIExportFailedError
        assert (error.export_id, error.vendor_message, error.retryable) == ("exp_1", "Invalid teamId", False)
        assert str(error) == (
            "productivity export exp_1 failed at the server: Invalid teamId;"
            " correct the request, or create it again if the cause has passed"
        )

    def test_a_failed_export_without_a_reason_says_so(self) -> None:
        """Silence is told as silence."""
        assert "the server gave no reason" in str(failed_export_error(read({"exportId": "e", "status": "failed"})))

    def test_a_cancelled_export_is_an_error_of_its_own(self) -> None:
        """Nobody is named."""
        error = failed_export_error(
            read({"exportId": "exp_1", "status": "cancelled", "cancelledBy": {"name": "Jane Smith"}})
        )
        assert type(error) is errors.SEIExportCancelledError
        assert "was cancelled at the server; create it again" in str(error)
        assert "Jane" not in str(error)


class TestReused:
    """An older export that is handed out again."""

    @pytest.mark.parametrize("policy", REUSED_FAILED)
    @pytest.mark.parametrize("word", ["queued", "processing", "completed", "COMPLETED", "odd"])
    def test_a_living_export_passes(self, policy: str, word: str) -> None:
        """It is as good as a new one."""
        check_reused(read({"exportId": "exp_1", "status": word}), policy, now=CREATED_AT)

    @pytest.mark.parametrize(
        ("word", "kind"), [("failed", errors.SEIExportFailedError), ("cancelled", errors.SEIExportCancelledError)]
    )
    def test_a_dead_one_fails_by_default(self, word: str, kind: type[errors.SEIError]) -> None:
        """A retry within half an hour would get the same dead export."""
        with pytest.raises(kind) as caught:
            check_reused(read({"exportId": "exp_1", "status": word, "error": "x"}), "fail", now=CREATED_AT)
        assert caught.value.retryable is False

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
    def test_the_other_policy_waits_until_the_server_makes_a_new_one(
        self, created_at: str | None, now: float, wait: str
    ) -> None:
        """Thirty minutes after the old one was created, never longer; times without an offset are in UTC."""
        dead = read({"exportId": "exp_1", "status": "failed", "createdAt": created_at, "error": "x"})
        with pytest.raises(errors.SEIReusedExportFailedError, match=r"within 30 minutes") as caught:
            check_reused(dead, "retry", now=now)
        assert caught.value.retry_after == wait
        assert caught.value.retryable
        assert (caught.value.export_id, caught.value.vendor_message) == ("exp_1", "x")

    @ANYTHING
    @given(texts | st.datetimes().map(str) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d[-+]\d\d:\d\d", fullmatch=True))
    def test_any_time_of_creation_gives_a_wait_of_at_most_half_an_hour(self, created_at: str) -> None:
        """The server's text is data."""
        dead = read({"exportId": "exp_1", "status": "failed", "createdAt": created_at})
        with pytest.raises(errors.SEIReusedExportFailedError) as caught:
            check_reused(dead, "retry", now=CREATED_AT)
        assert 0 <= int(caught.value.retry_after or "-1") <= 1800


class TestWords:
    """What an error says, and about which export."""

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"[]", "the answer is not a JSON object; check the connection's base URL"),
            (b'{"exportId": ""}', "the answer has no usable exportId"),
            (b'{"exportId": "exp_2"}', "the server answered for another export, exp_2"),
            (b"{}", "the answer has no status; check the connection's base URL"),
        ],
    )
    def test_an_answer_that_cannot_be_used(self, body: bytes, words: str) -> None:
        """What was attempted, on which id, what came back."""
        call = status_call(FAMILIES["ba"], "exp_1")
        assert (call.description, call.export_id) == ("read the status of ba export exp_1", "exp_1")
        with pytest.raises(errors.SEIUnexpectedResponseError) as caught:
            call.parse(HttpResponse(200, {}, body))
        assert (str(caught.value), caught.value.export_id) == (f"could not {call.description}: {words}", "exp_1")

    def test_a_refusal_is_about_the_export(self) -> None:
        """Also one without a body."""
        with pytest.raises(errors.SEINotFoundError, match=r"^could not read the status of ba export exp_1: ") as caught:
            status_call(FAMILIES["ba"], "exp_1").parse(HttpResponse(404))
        assert caught.value.export_id == "exp_1"

    def test_a_refused_create_says_what(self) -> None:
        """And so does one whose answer cannot be read."""
        call = create_call(FAMILIES["ba"], {})
        assert call.description == "create a ba export"
        for answer in (HttpResponse(400), HttpResponse(200, {}, b"[]")):
            with pytest.raises(errors.SEIResponseError, match=r"^could not create a ba export: "):
                call.parse(answer)

    def test_the_longest_id_is_one(self) -> None:
        """One letter more is none, and is quoted in part."""
        assert parse_export_id("e" * 200) == "e" * 200
        with pytest.raises(errors.SEIArgumentError) as caught:
            parse_export_id("e" * 201)
        assert str(caught.value) == (
            f"export_id '{'e' * 80}' is not an export id; it is the text that creating an export returned"
        )
        assert caught.value.field == "export_id"

    def test_a_policy_that_is_none_is_answered_with_those_that_are(self) -> None:
        """And with a guess."""
        with pytest.raises(errors.SEIArgumentError) as caught:
            parse_reused_failed("retri")
        assert str(caught.value) == "reused_failed 'retri' is not one of fail, retry: did you mean 'retry'?"
        assert caught.value.field == "reused_failed"


class TestDead:
    """An export that will never be ready."""

    def test_its_error_says_why_and_what_to_do(self) -> None:
        """With the server's code and words as data."""
        dead = Export(
            export_id="exp_1",
            family="ba",
            status=ExportStatus.FAILED,
            error_code="C",
            error_message="no such team",
            reused=True,
        )
        error = failed_export_error(dead)
        assert str(error) == (
            "ba export exp_1 failed at the server: no such team; correct the request, or create it again if the cause"
            " has passed; an identical request within 30 minutes of that one is answered with this same failed export"
        )
        assert (error.export_id, error.vendor_code, error.vendor_message) == ("exp_1", "C", "no such team")

    def test_a_cancelled_one_keeps_the_servers_words(self) -> None:
        """If there are any."""
        dead = Export(
            export_id="exp_1", family="ba", status=ExportStatus.CANCELLED, error_code="C", error_message="by hand"
        )
        error = failed_export_error(dead)
        assert str(error) == "ba export exp_1 was cancelled at the server; create it again if it is needed"
        assert (error.export_id, error.vendor_code, error.vendor_message) == ("exp_1", "C", "by hand")

    @pytest.mark.parametrize("created_at", ["2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "2026-01-01T09:00:00+09:00"])
    def test_the_wait_for_a_fresh_one_counts_in_utc(self, created_at: str, in_tokyo: None) -> None:
        """From its creation on, wherever the worker runs."""
        assert in_tokyo is None
        dead = Export(
            export_id="exp_1",
            family="ba",
            status=ExportStatus.FAILED,
            error_code="C",
            error_message="m",
            created_at=created_at,
        )
        now = datetime(2026, 1, 1, 0, 10, tzinfo=UTC).timestamp()
        with pytest.raises(errors.SEIReusedExportFailedError) as caught:
            check_reused(dead, "retry", now=now)
        error = caught.value
        assert (error.retry_after, error.export_id) == ("1201", "exp_1")
        assert (error.vendor_code, error.vendor_message) == ("C", "m")


class TestEcho:
    """What an answer repeats of the request."""

    def test_the_scope_and_the_days_are_read(self) -> None:
        """A watcher tells them, and a trigger's export has them."""
        export = read(
            {
                "exportId": "exp_1",
                "scope": {"teamId": 456, "orgTreeName": "Engineering"},
                "metadata": {"dateRange": {"start": "2024-01-01", "end": "2024-01-31"}},
            }
        )
        assert (export.team_id, export.org_tree_name) == ("456", "Engineering")
        assert (export.date_start, export.date_end) == ("2024-01-01", "2024-01-31")

    def test_what_is_too_long_is_cut(self) -> None:
        """It goes into events and Airflow's database, and its length is the server's to choose."""
        long = "x" * 300
        export = read(
            {
                **dict.fromkeys(("status", "createdAt", "completedAt"), long),
                "exportId": "exp_1",
                "scope": {"teamId": long, "orgTreeName": long},
                "metadata": {"dateRange": {"start": long, "end": long}, "options": {"metricLevel": long}},
            }
        )
        lengths = {
            name: len(value) for name, value in asdict(export).items() if isinstance(value, str) and "x" * 9 in value
        }
        assert lengths == {
            "status_word": 40,
            "created_at": 64,
            "completed_at": 64,
            "team_id": 200,
            "org_tree_name": 200,
            "date_start": 64,
            "date_end": 64,
            "level": 40,
        }
        other = read({"exportId": "exp_1", "metadata": {"options": {"aggregationLevel": long}}})
        assert other.level == "x" * 40

    def test_a_slash_in_an_id_is_no_part_of_the_path(self) -> None:
        """Nor does an answer without a status leave out the code."""
        assert item_path(PRODUCTIVITY, "a/b") == f"{PRODUCTIVITY.item_path}/a%2Fb"
        with pytest.raises(errors.SEIUnexpectedResponseError, match="has no status") as caught:
            status_call(PRODUCTIVITY, "exp_1").parse(answer({}, 203))
        assert caught.value.status_code == 203

    def test_nothing_is_made_up(self) -> None:
        """A file of no bytes has that size, a message has no code, and a failure without a reason says so."""
        export = read({"exportId": "exp_1", "download": {"sizeBytes": 0}, "error": {"message": "m"}})
        assert (export.size_bytes, export.error_code, export.error_message) == (0, None, "m")
        dead = Export(export_id="exp_1", family="ba", status=ExportStatus.FAILED)
        assert "exp_1 failed at the server: the server gave no reason; correct" in str(failed_export_error(dead))
