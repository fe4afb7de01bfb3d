"""How the end of a wait travels, and what a broken event is taken for."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.protocol import errors
from airflow_provider_sei.protocol.events import VERSION, read_event, read_turn, write_event, write_turn
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.status import ExportStatus
from airflow_provider_sei.protocol.waiting import WaitOutcome
from tests.protocol.strategies import ANYTHING, json_values, outcome, texts

EXPORT = Export(
    export_id="exp_1",
    family="ba",
    status=ExportStatus.COMPLETED,
    status_word="COMPLETED",
    created_at="2025-12-29T10:00:00Z",
    reused=True,
    download_url="/d",
    filename="a.csv.gz",
    size_bytes=5,
)
KINDS = [getattr(errors, name) for name in errors.__all__]


def sent(outcome: WaitOutcome) -> Any:
    """Return the event as it arrives, through JSON."""
    return json.loads(json.dumps(write_event(outcome)))


class TestRoundTrip:
    """What is written is what is read."""

    def test_a_completed_export_arrives_whole(self) -> None:
        """Every field of it."""
        assert read_event(sent(WaitOutcome(export=EXPORT))) == EXPORT

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_error_arrives_as_what_it_was(self, kind: type[errors.SEIError]) -> None:
        """Its type decides whether a retry helps."""
        with pytest.raises(errors.SEIError) as caught:
            read_event(sent(WaitOutcome(export=EXPORT, error=kind("what happened", export_id="exp_1"))))
        assert type(caught.value) is kind
        assert (str(caught.value), caught.value.export_id) == ("what happened", "exp_1")

    def test_an_errors_details_arrive_too(self) -> None:
        """The server's words are for the task's log."""
        error = errors.SEIThrottledError(
            "slow", status_code=429, vendor_code="T", vendor_message="m", export_id="e", retry_after="7"
        )
        with pytest.raises(errors.SEIThrottledError) as caught:
            read_event(sent(WaitOutcome(error=error)))
        assert vars(caught.value) == vars(error)

    def test_the_form_is_versioned(self) -> None:
        """A change of it must not go unnoticed by a worker of another release."""
        assert write_event(WaitOutcome(export=EXPORT)) == {
            "version": VERSION,
            "outcome": "ready",
            "export": {
                "export_id": "exp_1",
                "family": "ba",
                "status": "completed",
                "status_word": "COMPLETED",
                "created_at": "2025-12-29T10:00:00Z",
                "completed_at": None,
                "reused": True,
                "error_code": None,
                "error_message": None,
                "download_url": "/d",
                "filename": "a.csv.gz",
                "size_bytes": 5,
                "summary": False,
                "level": None,
                "team_id": None,
                "org_tree_name": None,
                "date_start": None,
                "date_end": None,
            },
        }


class TestOtherReleases:
    """Worker and triggerer are not always of one release."""

    def test_fields_that_are_not_known_are_passed_over(self) -> None:
        """A newer triggerer may say more."""
        event = sent(WaitOutcome(export=EXPORT))
        event["export"]["colour"] = "red"
        assert read_event(event) == EXPORT

    def test_fields_that_are_not_there_yet_have_their_defaults(self) -> None:
        """An older one says less."""
        event = {"outcome": "ready", "export": {"export_id": "exp_1", "family": "ba", "status": "COMPLETED"}}
        assert read_event(event) == Export(export_id="exp_1", family="ba", status=ExportStatus.COMPLETED)

    @pytest.mark.parametrize(("retryable", "kind"), [(True, errors.SEINoAnswerError), (False, errors.SEIExportError)])
    def test_an_error_of_an_unknown_type_keeps_what_matters(
        self, kind: type[errors.SEIError], *, retryable: bool
    ) -> None:
        """Its words, and whether a retry can help."""
        event = {"outcome": "error", "error": {"type": "SEIBrandNewError", "message": "m", "retryable": retryable}}
        with pytest.raises(kind, match=r"^m$") as caught:
            read_event(event)
        assert caught.value.retryable is retryable


class TestBroken:
    """An event that cannot be understood."""

    @pytest.mark.parametrize(
        "event",
        [
            None,
            "ready",
            [],
            {},
            {"outcome": "ready"},
            {"outcome": "ready", "export": None},
            {"outcome": "ready", "export": {}},
            {"outcome": "ready", "export": {"family": "ba", "status": "completed"}},
            {"outcome": "ready", "export": {"export_id": "exp_1", "status": "completed"}},
            {"outcome": "ready", "export": {"export_id": "", "family": "ba", "status": "completed"}},
            {"outcome": "ready", "export": {"export_id": 5, "family": "ba", "status": "completed"}},
            {"outcome": "ready", "export": {"export_id": "e", "family": "ba", "status": "completed", "filename": {}}},
            {"outcome": "ready", "export": {"export_id": "exp_1", "family": "ba"}},
            {"outcome": "ready", "export": {"export_id": "exp_1", "family": "ba", "status": "queued"}},
            {"outcome": "ready", "export": {"export_id": "exp_1", "family": "ba", "status": "failed"}},
            {"outcome": "success", "export": {"export_id": "exp_1", "family": "ba", "status": "completed"}},
            {"outcome": "error"},
            {"outcome": "error", "error": {}},
            {"outcome": "error", "error": "failed"},
            {"outcome": "error", "error": {"type": ["SEIAuthError"], "message": None, "status_code": {}}},
            {"status": "completed", "export_id": "exp_1"},
        ],
    )
    def test_what_is_not_plainly_a_completed_export_is_an_error(self, event: object) -> None:
        """A task must not go on because nobody said no."""
        with pytest.raises(errors.SEIError):
            read_event(event)

    @ANYTHING
    @given(
        json_values
        | st.fixed_dictionaries(
            {"outcome": st.sampled_from(["ready", "error"])},
            optional={
                "export": st.dictionaries(
                    st.sampled_from(["export_id", "family", "status", "size_bytes", "reused", "filename"]),
                    json_values | st.sampled_from(["exp_1", "ba", "completed"]),
                ),
                "error": st.dictionaries(
                    st.sampled_from(["type", "message", "retryable", "status_code", "export_id"]),
                    json_values | texts | st.sampled_from(errors.__all__),
                ),
            },
        )
    )
    def test_any_event_is_a_completed_export_or_an_error_of_ours(self, event: object) -> None:
        """Whatever arrives."""
        export = outcome(errors.SEIError, read_event, event)
        if isinstance(export, errors.SEIError):
            assert str(export)
            return
        assert export.status is ExportStatus.COMPLETED
        assert export.export_id


class TestWords:
    """What the error about a broken event says."""

    @pytest.mark.parametrize(
        ("event", "words"),
        [
            ([], "the trigger returned list in place of an event; the export's state is unknown"),
            ({"version": 7}, "the trigger returned an event that this release cannot read (version 7)"),
            (
                {"outcome": "ready", "export": {"status": "completed"}},
                "the trigger returned an event without a usable export id or family",
            ),
            (
                {"outcome": "ready", "export": {"export_id": "e", "family": "ba", "status": "completed", "level": {}}},
                "the trigger returned an event without a usable level",
            ),
            ({"outcome": "error", "error": {}}, "the wait ended in an error without a message"),
        ],
    )
    def test_they_name_what_is_wrong(self, event: object, words: str) -> None:
        """And nothing else of it."""
        with pytest.raises(errors.SEIError) as caught:
            read_event(event)
        assert str(caught.value) == words

    def test_an_export_that_is_not_completed_is_named(self) -> None:
        """So that it can be looked for."""
        event = {"outcome": "ready", "export": {"export_id": "exp_1", "family": "ba", "status": "queued"}}
        with pytest.raises(errors.SEIError, match=r"^the trigger called export exp_1 ready, yet .* queued$") as caught:
            read_event(event)
        assert caught.value.export_id == "exp_1"

    def test_an_error_is_told_with_whether_a_retry_helps(self) -> None:
        """A worker of an older release may not know its type."""
        told = sent(WaitOutcome(error=errors.SEIServerError("down")))["error"]
        assert (told["type"], told["message"], told["retryable"]) == ("SEIServerError", "down", True)

    def test_only_a_type_of_ours_is_made(self) -> None:
        """Other names of the module are none."""
        with pytest.raises(errors.SEIExportError, match=r"^m$"):
            read_event({"outcome": "error", "error": {"type": "annotations", "message": "m"}})

    def test_a_field_of_another_kind_is_left_out(self) -> None:
        """An error's details are texts and numbers."""
        error = {"type": "SEIServerError", "message": "m", "vendor_code": ["x"], "status_code": 503}
        with pytest.raises(errors.SEIServerError) as caught:
            read_event({"outcome": "error", "error": error})
        assert (caught.value.vendor_code, caught.value.status_code) == (None, 503)


class TestTurn:
    """A worker's turn to create."""

    def test_it_says_when_the_tasks_time_is_over(self) -> None:
        """The moment that the trigger was given."""
        assert write_turn(12.5) == {"version": VERSION, "outcome": "turn", "ends_at": 12.5}
        assert read_turn(write_turn(12.5)) == 12.5
        assert read_turn({"ends_at": 12}) == 12.0

    @pytest.mark.parametrize("event", [None, [], {}, {"ends_at": "soon"}, {"ends_at": None}])
    def test_without_a_moment_there_is_no_end(self, event: object) -> None:
        """An export is created rather than refused by mistake."""
        assert read_turn(event) == math.inf
