"""When to poll an export next, when the wait ends, and how its outcome reaches the worker. Time is a number here."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.exports import Export, ExportStatus
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome, WaitPlan, read_event
from tests.protocol.strategies import ANYTHING, json_values, texts
from tests.protocol.strategies import outcome as outcome_of

START = 1_700_000_000.0
DEADLINE = START + 3600


def a_wait(**plan: Any) -> ExportWait:
    """Return a wait of one hour for export exp_1."""
    return ExportWait(
        WaitPlan(**{"family": "ba", "export_id": "exp_1", "started_at": START, "deadline": DEADLINE} | plan)
    )


def state(word: str, **fields: Any) -> Export:
    """Return the export with a status."""
    return Export(export_id="exp_1", family="ba", status=ExportStatus(word.casefold()), status_word=word, **fields)


class TestStatus:
    """A poll that was answered."""

    @pytest.mark.parametrize("word", ["queued", "PROCESSING", "archiving", ""])
    def test_only_an_end_ends_the_wait(self, word: str) -> None:
        """Unknown words are waited on; a completed export counts at the deadline, too."""
        assert a_wait().on_status(state(word), START + 1) is None
        for now in (START + 1, DEADLINE + 100):
            assert a_wait().on_status(state("COMPLETED"), now) == WaitOutcome(export=state("COMPLETED"))

    @pytest.mark.parametrize(
        ("word", "kind"), [("failed", errors.SEIExportFailedError), ("cancelled", errors.SEIExportCancelledError)]
    )
    def test_one_that_will_never_complete_ends_it_with_the_servers_words(
        self, word: str, kind: type[errors.SEIError]
    ) -> None:
        """Long before the deadline."""
        export = state(word, error_message="Invalid teamId")
        outcome = a_wait().on_status(export, START + 1)
        assert outcome is not None
        assert type(outcome.error) is kind
        assert (outcome.error.vendor_message, outcome.export) == ("Invalid teamId", export)

    def test_the_deadline_ends_the_wait_with_the_last_status(self) -> None:
        """The export continues at the server, so waiting again can help."""
        outcome = a_wait().on_status(state("processing"), DEADLINE)
        assert outcome is not None
        assert type(outcome.error) is errors.SEIExportTimeoutError
        assert (outcome.error.export_id, outcome.error.retryable) == ("exp_1", True)
        assert "still 'processing' after 3600 s" in str(outcome.error)


class TestErrors:
    """A poll that failed."""

    def test_transient_errors_are_tolerated_by_time(self) -> None:
        """However many polls it takes; a good answer begins anew."""
        wait, error = a_wait(error_tolerance=100.0), errors.SEIServerError("503")
        assert all(wait.on_error(error, START + seconds) is None for seconds in range(100))
        assert wait.on_status(state("queued"), START + 99.5) is None
        assert all(wait.on_error(error, START + 150 + seconds) is None for seconds in range(100))
        assert wait.on_error(error, START + 250) == WaitOutcome(error=error)

    @pytest.mark.parametrize(
        ("kind", "ends"),
        [
            *((kind, True) for kind in (errors.SEIAuthError, errors.SEIBadRequestError, errors.SEIArgumentError)),
            *((kind, False) for kind in (errors.SEIConnectionError, errors.SEIRateLimitError, errors.SEIServerError)),
            (errors.SEIUnexpectedResponseError, False),
        ],
    )
    def test_permanent_ones_end_the_wait_immediately(self, kind: type[errors.SEIError], *, ends: bool) -> None:
        """A wrong key stays wrong. An HTML page is transient: the same URL has worked for the create call."""
        error = kind("no")
        assert a_wait().on_error(error, START + 1) == (WaitOutcome(error=error) if ends else None)

    def test_a_refusal_after_good_answers_has_to_last(self) -> None:
        """A gateway that restarts may refuse a good key; a third refusal without a good answer between is final."""
        wait, refusal = a_wait(), errors.SEIAuthError("401", status_code=401)
        for seconds in (0, 100):
            assert wait.on_status(state("processing"), START + seconds) is None
            for error in (refusal, errors.SEIServerError("503"), refusal):
                assert wait.on_error(error, START + seconds + 10) is None
        assert wait.on_error(refusal, START + 140) == WaitOutcome(error=refusal)
        assert a_wait().on_error(refusal, START + 120) is None, "a wait that a restarted triggerer has taken over"

    def test_one_at_the_deadline_is_in_the_timeout_beside_the_last_status(self) -> None:
        """Which may never have been seen."""
        wait = a_wait()
        wait.on_status(state("queued"), START + 1)
        outcome = wait.on_error(errors.SEIServerError("the server answered 503"), DEADLINE)
        assert outcome is not None
        assert outcome.export == state("queued")
        assert "still 'queued' after 3600 s (last error: the server answered 503)" in str(outcome.error)
        outcome = a_wait().on_error(errors.SEIConnectionError("refused"), DEADLINE)
        assert outcome is not None
        assert "never seen after 3600 s (last error: refused)" in str(outcome.error)


class TestNotFound:
    """An export that the server does not know."""

    def test_a_404_is_tolerated_for_half_a_minute(self) -> None:
        """A replica may lag behind the create call; other errors before it do not shorten that."""
        wait, missing = a_wait(), errors.SEINotFoundError("404", status_code=404)
        assert wait.on_error(errors.SEIServerError("503"), START - 60) is None
        assert wait.on_error(missing, START) is None
        assert wait.on_error(missing, START + 29) is None
        assert wait.on_error(missing, START + 30) == WaitOutcome(error=missing)
        assert a_wait().on_error(missing, DEADLINE) is not None

    @pytest.mark.parametrize("between", [state("queued"), errors.SEIServerError("503")])
    def test_any_other_answer_begins_it_anew(self, between: Export | errors.SEIError) -> None:
        """Replicas alternate, and a gateway that restarts answers with both."""
        wait, missing = a_wait(), errors.SEINotFoundError("404")
        wait.on_error(missing, START)
        if isinstance(between, Export):
            wait.on_status(between, START + 20)
        else:
            wait.on_error(between, START + 20)
        assert wait.on_error(missing, START + 40) is None
        assert wait.on_error(missing, START + 69) is None
        assert wait.on_error(missing, START + 70) is not None

    def test_an_export_that_was_known_is_gone(self) -> None:
        """That is another error than an id that never was; the server's words may say why."""
        wait = a_wait()
        wait.on_status(state("processing"), START + 1)
        error = errors.SEINotFoundError("404", status_code=404, vendor_code="NF", vendor_message="m")
        assert wait.on_error(error, START + 10) is None
        outcome = wait.on_error(error, START + 40)
        assert outcome is not None
        assert type(outcome.error) is errors.SEIExportNotFoundError
        gone = outcome.error
        assert (gone.status_code, gone.vendor_code, gone.vendor_message, gone.export_id) == (404, "NF", "m", "exp_1")
        assert "'processing'" in str(gone)


class TestPause:
    """The time between two polls."""

    @pytest.mark.parametrize(
        ("elapsed", "pause"), [(-5.0, 5.0), (0.0, 5.0), (11.0, 5.0), (100.0, 15.0), (3600.0, 90.0)]
    )
    def test_pauses_grow_with_the_root_of_the_time_waited(self, elapsed: float, pause: float) -> None:
        """Five seconds at least; the jitter is a tenth either way."""
        wait = a_wait(deadline=DEADLINE + 3600)
        for jitter, part in ((0.0, 0.9), (0.5, 1.0), (1.0, 1.1)):
            assert wait.pause(START + elapsed, jitter) == pytest.approx(part * pause)
        assert wait.pause(START + elapsed, 0.5, factor=3.0) == pytest.approx(3.0 * pause)

    def test_the_last_poll_is_at_the_deadline(self) -> None:
        """Whatever the caller asks for; the user's own interval is kept but for the jitter."""
        assert a_wait().pause(DEADLINE - 2.0, 0.5) == 2.0
        assert a_wait().pause(DEADLINE - 2.0, 0.5, at_least=60.0) == 2.0
        assert a_wait().pause(DEADLINE + 2.0, 0.5) == 0.0
        assert a_wait().pause(START, 0.5, at_least=60.0) == 60.0
        assert a_wait(poll_interval=100.0).pause(START, 0.5) == 100.0

    @pytest.mark.parametrize(
        ("asked", "pause"),
        [
            ("120", 120.0),
            (format_datetime(datetime.fromtimestamp(START + 120, UTC), usegmt=True), 120.0),
            ("86400", 300.0),
            (None, 5.0),
        ],
    )
    def test_a_retry_after_is_respected_while_there_are_errors(self, asked: str | None, pause: float) -> None:
        """Up to five minutes, and up to the deadline."""
        wait = a_wait()
        wait.on_error(errors.SEIRateLimitError("429", retry_after=asked), START)
        assert wait.pause(START, 0.5) == pytest.approx(pause, abs=1.0)
        assert wait.pause(DEADLINE - 4.0, 0.5) == 4.0
        wait.on_status(state("queued"), START + 120)
        assert wait.pause(START + 120, 0.5) == pytest.approx(1.5 * sqrt(120))


def test_only_changes_are_worth_a_line() -> None:
    """Of the status, and when errors start and end; not every poll between."""
    wait = a_wait()
    for seconds, word in enumerate(["queued", "queued", "processing", "processing", "odd", "odd", ""]):
        wait.on_status(state(word), START + seconds)
    queued, processing, odd, none = wait.messages
    assert ("queued" in queued, "processing (2 s)" in processing) == (True, True)
    assert "'odd' is not a documented status" in odd
    assert "without a status" in none
    for seconds in range(5):
        wait.on_error(errors.SEIServerError("the server answered 503"), START + 10 + seconds)
    wait.on_status(state("queued"), START + 20)
    first, recovery, status = wait.messages[4:]
    assert "the server answered 503" in first
    assert "after 10 s of errors" in recovery
    assert "queued" in status


_answers = st.sampled_from(
    [
        state("queued"),
        state("odd"),
        errors.SEIServerError("503"),
        errors.SEINotFoundError("404"),
        errors.SEIRateLimitError("429", retry_after="99999"),
        errors.SEIUnexpectedResponseError("html"),
    ]
)


@ANYTHING
@given(st.lists(_answers, min_size=1, max_size=20), st.floats(0, 0.999), st.none() | st.floats(10, 10_000))
def test_every_wait_ends_at_its_deadline(
    answers: list[Export | errors.SEIError], jitter: float, interval: float | None
) -> None:
    """Whatever the server says, in whatever order, and no later."""
    wait, now, outcome = a_wait(poll_interval=interval), START, None
    for step in range(2000):
        answer = answers[step % len(answers)]
        outcome = wait.on_status(answer, now) if isinstance(answer, Export) else wait.on_error(answer, now)
        if outcome is not None:
            break
        now += wait.pause(now, jitter)
    assert outcome is not None
    assert outcome.error is not None
    assert now <= DEADLINE + 1e-6
    assert outcome.export is None or outcome.export.status is not ExportStatus.COMPLETED


EXPORT = Export(
    export_id="exp_1",
    family="ba",
    status=ExportStatus.COMPLETED,
    status_word="COMPLETED",
    created_at="2025-12-29T10:00:00Z",
    download_url="/d",
    level="team",
    size_bytes=5,
)
EXPORTED = {"export_id": "exp_1", "family": "ba", "status": "completed"}
READY = {"version": 1, "outcome": "ready", "export": EXPORTED}
"""The least that any release has written. Never to be changed."""


def sent(outcome: WaitOutcome) -> Any:
    """Return the event as it arrives, through JSON."""
    return json.loads(json.dumps(outcome.to_event()))


class TestEvent:
    """The outcome that a trigger sends is the one that the worker gets, whichever release either has."""

    def test_a_completed_export_arrives_whole(self) -> None:
        """What else an event has is not its business."""
        event = sent(WaitOutcome(export=EXPORT))
        assert read_event(event | {"passthrough": {"x": 1}}) == EXPORT
        assert (event["version"], event["outcome"]) == (1, "ready")
        event["export"]["colour"] = "red"  # of a later release
        assert read_event(event) == EXPORT
        assert read_event(READY) == Export(export_id="exp_1", family="ba", status=ExportStatus.COMPLETED)

    @pytest.mark.parametrize("kind", [kind for name, kind in vars(errors).items() if name.startswith("SEI")])
    def test_an_error_arrives_as_its_own_class(self, kind: type[errors.SEIError]) -> None:
        """It decides whether a retry helps; with its details, unless they are neither text nor number."""
        details: Any = {"status_code": 429, "vendor_code": "T", "vendor_message": "m", "retry_after": "7"}
        details = details if issubclass(kind, errors.SEIResponseError) else {}
        error = kind("what happened", export_id="exp_1", **details)
        event = sent(WaitOutcome(export=EXPORT, error=error))
        with pytest.raises(errors.SEIError) as caught:
            read_event(event)
        assert type(caught.value) is kind
        assert (str(caught.value), vars(caught.value)) == ("what happened", vars(error))
        event["error"]["vendor_code"] = ["T"]
        with pytest.raises(kind) as caught:
            read_event(event)
        assert caught.value.vendor_code is None

    @pytest.mark.parametrize("name", ["SEIBrandNewError", "annotations", None])
    @pytest.mark.parametrize(("retryable", "kind"), [(True, errors.SEIConnectionError), (False, errors.SEIExportError)])
    def test_one_of_an_unknown_class_keeps_what_matters(
        self, kind: type[errors.SEIError], name: str | None, *, retryable: bool
    ) -> None:
        """Its words, and whether a retry can help."""
        with pytest.raises(kind, match=r"^m$"):
            read_event({"outcome": "error", "error": {"type": name, "message": "m", "retryable": retryable}})

    @pytest.mark.parametrize(
        ("event", "words"),
        [
            (None, "NoneType in place of an event"),
            ("ready", "str in place of an event"),
            ({"version": 7}, "version 7"),
            ({"outcome": "error"}, "cannot read"),
            ({"outcome": "error", "error": "failed"}, "cannot read"),
            ({"outcome": "error", "error": {}}, "without a message"),
            (
                {"outcome": "error", "error": {"type": ["SEIAuthError"], "message": None, "status_code": {}}},
                "without a",
            ),
            (READY | {"outcome": "success"}, "cannot read"),
            (READY | {"export": None}, "cannot read"),
            *(
                ({"outcome": "ready", "export": EXPORTED | change}, words)
                for change, words in (
                    ({"export_id": None}, "export id or family"),
                    ({"export_id": ""}, "export id or family"),
                    ({"family": None}, "export id or family"),
                    ({"export_id": 5}, "export_id"),
                    ({"level": {}}, "level"),
                    ({"status": None}, "unknown"),
                    ({"status": "queued"}, "queued"),
                    ({"status": "failed"}, "failed"),
                )
            ),
        ],
    )
    def test_what_is_not_clearly_a_completed_export_is_an_error(self, event: object, words: str) -> None:
        """A task must not go on because nobody said no."""
        with pytest.raises(errors.SEIError, match=words):
            read_event(event)

    @ANYTHING
    @given(
        json_values
        | st.fixed_dictionaries(
            {"outcome": st.sampled_from(["ready", "error"])},
            optional={
                "export": st.dictionaries(
                    st.sampled_from(["export_id", "family", "status", "size_bytes", "reused", "level"]),
                    json_values | st.sampled_from(["exp_1", "ba", "completed"]),
                ),
                "error": st.dictionaries(
                    st.sampled_from(["type", "message", "retryable", "status_code", "export_id"]),
                    json_values | texts | st.sampled_from([*vars(errors)]),
                ),
            },
        )
    )
    def test_any_event_is_a_completed_export_or_an_error(self, event: object) -> None:
        """Whatever arrives; a missing export is an error without a trigger, too."""
        with pytest.raises(errors.SEIError, match="without an export"):
            WaitOutcome().export_or_raise()
        export = outcome_of(errors.SEIError, read_event, event)
        if isinstance(export, errors.SEIError):
            assert str(export)
            return
        assert export.status is ExportStatus.COMPLETED
        assert export.export_id
