"""When to look again at an export, and when the wait is over. Time is a number here."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.exports import Export, ExportStatus, read_status
from airflow_provider_sei.protocol.waiting import ExportWait, WaitOutcome, WaitPlan, pause_seconds
from tests.protocol.strategies import ANYTHING

START = 1_700_000_000.0
DEADLINE = START + 3600


def a_wait(**plan: Any) -> ExportWait:
    """Return a wait of one hour for export exp_1."""
    return ExportWait(
        WaitPlan(**{"family": "ba", "export_id": "exp_1", "started_at": START, "deadline": DEADLINE} | plan)
    )


def state(word: str, **fields: Any) -> Export:
    """Return the export in a state."""
    return Export(export_id="exp_1", family="ba", status=read_status(word), status_word=word, **fields)


class TestSaw:
    """A look that was answered."""

    @pytest.mark.parametrize("word", ["queued", "PROCESSING", "archiving", ""])
    def test_what_is_not_over_is_waited_for(self, word: str) -> None:
        """Unknown words included."""
        assert a_wait().saw(state(word), START + 1) is None

    def test_a_completed_export_ends_the_wait(self) -> None:
        """With the export."""
        assert a_wait().saw(state("COMPLETED"), START + 1) == WaitOutcome(export=state("COMPLETED"))

    @pytest.mark.parametrize(
        ("word", "kind"), [("failed", errors.SEIExportFailedError), ("cancelled", errors.SEIExportCancelledError)]
    )
    def test_a_dead_export_ends_it_with_the_servers_words(self, word: str, kind: type[errors.SEIError]) -> None:
        """Long before the deadline."""
        outcome = a_wait().saw(state(word, error_message="Invalid teamId"), START + 1)
        assert outcome is not None
        assert type(outcome.error) is kind
        assert outcome.error.vendor_message == "Invalid teamId"

    def test_the_last_look_counts(self) -> None:
        """An export that is completed at the deadline is delivered."""
        assert a_wait().saw(state("completed"), DEADLINE + 100) == WaitOutcome(export=state("completed"))

    def test_the_deadline_ends_the_wait_with_the_last_state(self) -> None:
        """The export goes on at the server, so waiting again can help."""
        outcome = a_wait().saw(state("processing"), DEADLINE)
        assert outcome is not None
        assert type(outcome.error) is errors.SEIExportTimeoutError
        assert (outcome.error.export_id, outcome.error.retryable) == ("exp_1", True)
        assert str(outcome.error) == (
            "ba export exp_1 was still 'processing' after 3600 s. It goes on at the server:"
            " wait for the same id again, or allow more time"
        )


class TestFailed:
    """A look that ended in trouble."""

    def test_trouble_is_borne_by_time(self) -> None:
        """However many looks it takes."""
        wait = a_wait(error_tolerance=100.0)
        trouble = errors.SEIServerError("503")
        assert all(wait.failed(trouble, START + seconds) is None for seconds in range(100))
        assert wait.failed(trouble, START + 100) == WaitOutcome(error=trouble)

    def test_a_good_answer_ends_the_trouble(self) -> None:
        """What follows is new trouble."""
        wait = a_wait(error_tolerance=100.0)
        assert wait.failed(errors.SEIConnectionError("cut off"), START) is None
        assert wait.saw(state("queued"), START + 99) is None
        assert wait.failed(errors.SEIConnectionError("cut off"), START + 150) is None
        assert wait.failed(errors.SEIConnectionError("cut off"), START + 249) is None
        assert wait.failed(errors.SEIConnectionError("cut off"), START + 250) is not None

    @pytest.mark.parametrize("kind", [errors.SEIAuthError, errors.SEIBadRequestError, errors.SEIArgumentError])
    def test_trouble_that_cannot_pass_ends_the_wait_at_once(self, kind: type[errors.SEIError]) -> None:
        """A revoked key does not come back."""
        error = kind("no")
        assert a_wait().failed(error, START + 1) == WaitOutcome(error=error)

    @pytest.mark.parametrize(
        "kind",
        [errors.SEIConnectionError, errors.SEIRateLimitError, errors.SEIServerError, errors.SEIUnexpectedResponseError],
    )
    def test_trouble_that_can_pass_does_not(self, kind: type[errors.SEIError]) -> None:
        """A gateway's HTML page is a bad minute: the same URL has worked for the create call."""
        assert a_wait().failed(kind("later"), START + 1) is None

    def test_trouble_at_the_deadline_is_a_timeout_that_tells_of_both(self) -> None:
        """The last state and the last trouble."""
        wait = a_wait()
        wait.saw(state("queued"), START + 1)
        outcome = wait.failed(errors.SEIServerError("the server answered 503"), DEADLINE)
        assert outcome is not None
        assert type(outcome.error) is errors.SEIExportTimeoutError
        assert "still 'queued' after 3600 s (last trouble: the server answered 503)" in str(outcome.error)
        assert outcome.export == state("queued")

    def test_an_export_that_was_never_seen_is_told_as_such(self) -> None:
        """There is no last state."""
        outcome = a_wait().failed(errors.SEIConnectionError("refused"), DEADLINE)
        assert outcome is not None
        assert "was never seen after 3600 s (last trouble: refused)" in str(outcome.error)


class TestMissing:
    """An export that the server does not know."""

    def test_a_404_is_borne_for_a_while(self) -> None:
        """A replica may lag behind the create call."""
        wait = a_wait()
        missing = errors.SEINotFoundError("404", status_code=404)
        assert wait.failed(missing, START) is None
        assert wait.failed(missing, START + 29) is None
        assert wait.failed(missing, START + 30) == WaitOutcome(error=missing)

    def test_other_trouble_before_does_not_shorten_it(self) -> None:
        """The while begins with the first 404."""
        wait = a_wait()
        assert wait.failed(errors.SEIServerError("503"), START) is None
        assert wait.failed(errors.SEINotFoundError("404"), START + 60) is None
        assert wait.failed(errors.SEINotFoundError("404"), START + 89) is None
        assert wait.failed(errors.SEINotFoundError("404"), START + 90) is not None

    def test_other_trouble_between_begins_it_anew(self) -> None:
        """A gateway that is restarted answers with both."""
        wait = a_wait()
        assert wait.failed(errors.SEINotFoundError("404"), START) is None
        assert wait.failed(errors.SEIServerError("503"), START + 20) is None
        assert wait.failed(errors.SEINotFoundError("404"), START + 40) is None
        assert wait.failed(errors.SEINotFoundError("404"), START + 70) is not None

    def test_an_export_that_was_known_has_vanished(self) -> None:
        """That is another error than an id that never was."""
        wait = a_wait()
        wait.saw(state("processing"), START + 1)
        assert wait.failed(errors.SEINotFoundError("404", status_code=404, vendor_code="NF"), START + 10) is None
        outcome = wait.failed(errors.SEINotFoundError("404", status_code=404, vendor_code="NF"), START + 40)
        assert outcome is not None
        assert type(outcome.error) is errors.SEIExportNotFoundError
        assert (outcome.error.status_code, outcome.error.vendor_code, outcome.error.export_id) == (404, "NF", "exp_1")
        assert "answered 404 after it had answered 'processing'; create it again" in str(outcome.error)

    def test_one_good_answer_ends_the_while(self) -> None:
        """Replicas take turns."""
        wait = a_wait()
        wait.failed(errors.SEINotFoundError("404"), START)
        wait.saw(state("queued"), START + 20)
        assert wait.failed(errors.SEINotFoundError("404"), START + 45) is None

    def test_the_deadline_ends_it_too(self) -> None:
        """There is no time left to bear it."""
        assert a_wait().failed(errors.SEINotFoundError("404"), DEADLINE) is not None


class TestPause:
    """The time between two looks."""

    @pytest.mark.parametrize(
        ("elapsed", "pause"), [(-5.0, 5.0), (0.0, 5.0), (11.0, 5.0), (100.0, 15.0), (3600.0, 90.0)]
    )
    def test_pauses_grow_with_the_root_of_the_time_waited(self, elapsed: float, pause: float) -> None:
        """Five seconds at least."""
        assert pause_seconds(elapsed, 0.5) == pytest.approx(pause)

    def test_jitter_is_a_tenth_either_way(self) -> None:
        """Exports created together are not asked for together."""
        assert pause_seconds(100.0, 0.0) == pytest.approx(13.5)
        assert pause_seconds(100.0, 0.999999) == pytest.approx(16.5, abs=1e-4)
        assert pause_seconds(100.0, 0.5, interval=30.0) == pytest.approx(30.0)

    def test_the_last_look_is_at_the_deadline(self) -> None:
        """Neither before nor long after."""
        assert a_wait().pause(DEADLINE - 2.0, 0.5) == 2.0
        assert a_wait().pause(DEADLINE + 2.0, 0.5) == 0.0

    def test_retry_after_lengthens_the_pause_while_there_is_trouble(self) -> None:
        """Up to the deadline, and no longer than the trouble lasts."""
        wait = a_wait()
        wait.failed(errors.SEIRateLimitError("429", retry_after="120"), START)
        assert wait.pause(START, 0.5) == 120.0
        assert wait.pause(DEADLINE - 60, 0.5) == 60.0
        wait.saw(state("queued"), START + 120)
        assert wait.pause(START + 120, 0.5) == pytest.approx(1.5 * sqrt(120))

    def test_one_short_export_alone_costs_few_looks(self) -> None:
        """An hour of waiting is under a hundred calls, a ten-minute export is seen within 40 seconds."""
        wait, now, looks = a_wait(), START, 0
        while now < DEADLINE:
            now += wait.pause(now, 0.5)
            looks += 1
        assert looks < 100
        assert pause_seconds(600, 1.0) < 41


class TestSecondsIn:
    """How long an export was in which status."""

    def test_the_time_between_two_looks_belongs_to_the_earlier_status(self) -> None:
        """As far as the looks tell; the time before the first one is the first status's."""
        wait = a_wait()
        assert wait.seconds_in is None
        for seconds, word in ((10, "queued"), (20, "queued"), (50, "processing"), (90, "completed")):
            wait.saw(state(word), START + seconds)
        assert wait.seconds_in == {ExportStatus.QUEUED: 50.0, ExportStatus.PROCESSING: 40.0}


class TestNews:
    """What is worth a log line."""

    def test_changes_of_state_are_told_once(self) -> None:
        """An unchanged state is no line in a log."""
        wait = a_wait()
        for seconds, word in enumerate(["queued", "queued", "processing", "processing", "odd", "odd"]):
            wait.saw(state(word), START + seconds)
        assert wait.has_news
        assert wait.news() == [
            "ba export exp_1 is queued after 0 s",
            "ba export exp_1 is processing after 2 s",
            "ba export exp_1 is 'odd', a status that is not documented; waiting on until the deadline",
        ]
        assert not wait.has_news
        assert wait.news() == []

    def test_trouble_is_told_when_it_starts_and_when_it_ends(self) -> None:
        """Not at every look between."""
        wait = a_wait()
        for seconds in range(5):
            wait.failed(errors.SEIServerError("the server answered 503"), START + seconds)
        wait.saw(state("queued"), START + 10)
        assert wait.news() == [
            "ba export exp_1: the server answered 503",
            "ba export exp_1 answers again after 10 s of trouble",
            "ba export exp_1 is queued after 10 s",
        ]


_looks = st.sampled_from(
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
@given(st.lists(_looks, min_size=1, max_size=20), st.floats(0, 0.999), st.none() | st.floats(10, 10_000))
def test_every_wait_ends_at_its_deadline(
    looks: list[Export | errors.SEIError], chance: float, interval: float | None
) -> None:
    """Whatever the server says, in whatever order, and by no later moment."""
    wait, now, outcome = a_wait(poll_interval=interval), START, None
    for step in range(2000):
        look = looks[step % len(looks)]
        outcome = wait.saw(look, now) if isinstance(look, Export) else wait.failed(look, now)
        if outcome is not None:
            break
        now += wait.pause(now, chance)
    assert outcome is not None
    assert outcome.error is not None
    assert now <= DEADLINE + 1e-6
    assert isinstance(outcome.export, Export | None)
    assert outcome.export is None or outcome.export.status is not ExportStatus.COMPLETED


class TestDetails:
    """What an outcome and a line of the log say."""

    def test_a_dead_export_is_told_with_its_last_state(self) -> None:
        """Operators and lineage name it."""
        dead = state("failed")
        outcome = a_wait().saw(dead, START + 1)
        assert outcome is not None
        assert outcome.export == dead

    def test_an_export_without_a_status_is_told_as_such(self) -> None:
        """Once."""
        wait = a_wait()
        wait.saw(Export(export_id="exp_1", family="ba", status=ExportStatus.UNKNOWN), START)
        assert wait.news() == [
            "ba export exp_1 is 'without a status', a status that is not documented; waiting on until the deadline"
        ]

    def test_a_wait_that_is_over_at_once_has_waited_nothing(self) -> None:
        """A clock that was set back makes it no less."""
        for now in (START, START - 5):
            assert "never seen after 0 s." in str(a_wait().over(now).error)

    def test_an_interval_of_the_users_own_is_kept(self) -> None:
        """But for the jitter."""
        assert a_wait(poll_interval=100.0).pause(START, 0.5) == 100.0

    def test_a_retry_after_in_the_form_of_a_date_is_obeyed(self) -> None:
        """From the moment of the look."""
        wait = a_wait()
        at = format_datetime(datetime.fromtimestamp(START + 600, UTC), usegmt=True)
        wait.failed(errors.SEIRateLimitError("slow", retry_after=at), START)
        assert wait.pause(START, 0.5) == pytest.approx(600, abs=1)

    def test_trouble_without_a_retry_after_changes_no_pause(self) -> None:
        """However short it is."""
        wait = a_wait(poll_interval=0.5)
        wait.failed(errors.SEIServerError("down"), START)
        assert wait.pause(START, 0.5) == 0.5

    def test_time_that_does_not_pass_is_not_accounted(self) -> None:
        """Two looks at one moment."""
        wait = a_wait()
        wait.saw(state("queued"), START)
        wait.saw(state("queued"), START)
        assert wait.seconds_in == {ExportStatus.QUEUED: 0.0}

    def test_an_export_that_has_vanished_keeps_the_servers_words(self) -> None:
        """They may say why."""
        wait = a_wait()
        wait.saw(state("queued"), START)
        error = errors.SEINotFoundError("404", status_code=404, vendor_code="C", vendor_message="m")
        wait.failed(error, START)
        outcome = wait.failed(error, DEADLINE)
        assert outcome is not None
        assert isinstance(outcome.error, errors.SEIExportNotFoundError)
        told = outcome.error
        assert (told.status_code, told.vendor_code, told.vendor_message) == (404, "C", "m")
