"""Which completed exports are new, whatever order and times a list has."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_sei.protocol.errors import SEIAuthError, SEIThrottledError, SEIUsageError
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.listing import ExportPage
from airflow_provider_sei.protocol.status import ExportStatus
from airflow_provider_sei.protocol.watching import (
    CompletionLook,
    Watermark,
    checked_since,
    completion_event,
    completions_query,
    pause_after,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def done(name: str, seconds: float | None, **changes: Any) -> Export:
    """Return an export that was completed so many seconds after noon."""
    at = None if seconds is None else datetime.fromtimestamp(NOON + seconds, UTC).isoformat()
    return Export(**{"export_id": name, "family": "ba", "status": ExportStatus.COMPLETED, "completed_at": at} | changes)


def look(
    known: Watermark | None, *pages: Iterable[Export], now: float = NOON + 3600, tree: str | None = None
) -> tuple[list[str], Watermark]:
    """Return the ids that are new on these pages, and the watermark after them."""
    walk = CompletionLook(known, now=now)
    for page in pages:
        assert not walk.done
        walk.take(ExportPage(tuple(page), None))
    new, after = walk.result(tree)
    restored = Watermark.read(json.loads(json.dumps(after.written())))
    assert restored == after
    return [export.export_id for export in new], after


class TestFirstLook:
    """Nothing is known yet."""

    def test_what_is_there_already_is_not_new(self) -> None:
        """A new DAG does not begin with the history of a year."""
        new, after = look(None, [done("b", 50), done("a", 10)])
        assert new == []
        assert look(after, [done("c", 51), done("b", 50), done("a", 10)])[0] == ["c"]

    def test_an_empty_list_is_a_beginning_too(self) -> None:
        """What comes next is new, even if our clock is hours ahead of the server's."""
        _, after = look(None, [], now=NOON + 36_000)
        assert look(after, [done("a", 20)], now=NOON + 36_030)[0] == ["a"]

    def test_an_answer_that_is_empty_by_mistake_does_not_tell_a_year(self) -> None:
        """A day of it at the most."""
        _, after = look(None, [], now=NOON + 100_000)
        assert look(after, [done("b", 50_000), done("a", 0)], now=NOON + 100_060)[0] == ["b"]

    def test_a_clock_of_ours_that_runs_ahead_hides_nothing_later(self) -> None:
        """Looks at an empty list leave the beginning where it was."""
        known = Watermark(NOON)
        _, known = look(known, [], now=NOON + 86_400)
        assert look(known, [done("a", 20)], now=NOON + 86_410)[0] == ["a"]

    def test_a_list_that_ends_long_ago_is_known_to_its_end(self) -> None:
        """What shows up beside its newest is new, though it is older than a day."""
        _, after = look(None, [done("a", -100_000)])
        assert look(after, [done("b", -99_990), done("a", -100_000)])[0] == ["b"]

    def test_since_tells_what_is_there_already(self) -> None:
        """From that moment on, and nothing before it."""
        since = Watermark(checked_since("2026-03-01T12:00:10Z") or 0.0)
        new, after = look(since, [done("c", 20), done("b", 10), done("a", 9)])
        assert new == ["b", "c"]
        assert look(after, [done("c", 20), done("b", 10), done("a", 9)])[0] == []

    @pytest.mark.parametrize("value", ["yesterday", "", 5])
    def test_a_moment_that_cannot_be_read_is_refused(self, value: Any) -> None:
        """With the form that can."""
        with pytest.raises(SEIUsageError, match="since must be a moment written"):
            checked_since(value)


class TestNew:
    """Later looks."""

    def test_each_is_told_once_oldest_first(self) -> None:
        """However often it is listed."""
        _, known = look(None, [done("a", 0)])
        new, known = look(known, [done("c", 20), done("b", 10), done("a", 0)])
        assert new == ["b", "c"]
        assert look(known, [done("c", 20), done("b", 10), done("a", 0)]) == ([], known)

    def test_one_of_the_same_second_is_told(self) -> None:
        """Its time equals the watermark's."""
        _, known = look(None, [done("a", 0)])
        assert look(known, [done("b", 0), done("a", 0)])[0] == ["b"]

    def test_one_that_shows_up_late_is_told(self) -> None:
        """A server whose clock is nine minutes behind completes exports in the past."""
        _, known = look(None, [done("a", 600)])
        assert look(known, [done("a", 600), done("b", 60)])[0] == ["b"]

    def test_an_old_one_is_not(self) -> None:
        """It was completed before anybody looked."""
        _, known = look(None, [done("a", 86_400)], now=NOON + 86_400)
        assert look(known, [done("a", 86_400), done("b", 10)])[0] == []

    def test_one_that_vanishes_for_a_while_is_not_told_again(self) -> None:
        """A list may have gaps."""
        _, known = look(None, [done("b", 20), done("a", 10)])
        _, known = look(known, [done("b", 20)])
        _, known = look(known, [])
        assert look(known, [done("b", 20), done("a", 10)])[0] == []

    def test_a_time_in_the_future_hides_nothing(self) -> None:
        """A server's clock may run ahead."""
        _, known = look(None, [done("a", 10)], now=NOON + 20)
        new, known = look(known, [done("x", 86_400), done("a", 10)], now=NOON + 30)
        assert new == ["x"]
        assert look(known, [done("x", 86_400), done("b", 40), done("a", 10)], now=NOON + 50)[0] == ["b"]

    def test_only_completed_ones_count(self) -> None:
        """A server may leave the filter aside."""
        _, known = look(None, [done("a", 0)])
        others = [done(word.value, 5, status=word) for word in ExportStatus if word is not ExportStatus.COMPLETED]
        assert look(known, [*others, done("a", 0)])[0] == []

    def test_one_without_a_time_is_counted_and_passed_over(self) -> None:
        """It cannot be placed."""
        walk = CompletionLook(None, now=NOON)
        walk.take(ExportPage((done("a", None), done("b", 0, completed_at="soon")), None))
        assert (walk.undated, walk.result()[0]) == (2, [])

    def test_a_tree_is_filtered_here(self) -> None:
        """The list has no filter for it."""
        _, known = look(None, [done("a", 0)])
        page = [done("c", 20, org_tree_name="Sales"), done("b", 10, org_tree_name="Engineering"), done("n", 5)]
        assert look(known, page, tree="Engineering")[0] == ["b"]

    def test_what_is_kept_does_not_grow(self) -> None:
        """Ids older than the overlap are forgotten."""
        _, known = look(None, [done("a", 0)])
        for hour in range(1, 50):
            _, known = look(known, [done(f"h{hour}", hour * 3600)], now=NOON + hour * 3600)
        assert set(known.told) == {"h49"}


class TestPages:
    """Which further pages are asked for."""

    @staticmethod
    def _asks_on(known: Watermark | None, page: list[Export], *, more: bool | None = True) -> bool:
        walk = CompletionLook(known, now=NOON + 10_000)
        walk.take(ExportPage(tuple(page), more))
        return not walk.done

    def test_the_first_page_is_enough_where_it_ends_in_what_is_known(self) -> None:
        """A look costs one call."""
        known = Watermark(NOON)
        assert not self._asks_on(known, [done("b", 10), done("a", -1)])
        assert self._asks_on(known, [done("b", 10), done("a", 0)])

    def test_a_list_in_another_order_is_read_until_a_whole_page_is_old(self) -> None:
        """The sort order is asked for; a server may leave it aside."""
        known = Watermark(NOON)
        assert self._asks_on(known, [done("a", -1), done("b", 10), done("c", -5)])
        assert not self._asks_on(known, [done("a", -9), done("b", -1), done("c", -5)])

    def test_it_ends_where_the_server_says_so(self) -> None:
        """And on a page without anything new."""
        known = Watermark(NOON)
        assert not self._asks_on(known, [done("a", 10)], more=False)
        assert not self._asks_on(known, [])

    def test_the_newest_completions_are_asked_for_first(self) -> None:
        """By the documented parameters."""
        assert completions_query("456") == (
            ("status", "COMPLETED"),
            ("teamId", "456"),
            ("limit", "100"),
            ("page", "0"),
            ("sortBy", "completedAt"),
            ("sortOrder", "desc"),
        )


class TestKept:
    """What was kept may be anything."""

    @pytest.mark.parametrize(
        "value",
        [None, "x", [], {}, {"floor": 1.0}, {"floor": "1", "told": {}}, {"floor": 1.0, "told": {"a": None}}],
    )
    def test_what_cannot_be_read_is_nothing(self, value: Any) -> None:
        """It begins anew then."""
        assert Watermark.read(value) is None


class TestPause:
    """After a look that has failed."""

    def test_pauses_grow_to_a_quarter_of_an_hour(self) -> None:
        """Even after an error that will not pass by itself."""
        error = SEIAuthError("no")
        pauses = [pause_after(failures, 60.0, error, now=NOON, chance=0.5) for failures in (1, 2, 3, 4, 5, 100)]
        assert pauses == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]

    def test_a_retry_after_is_obeyed_up_to_an_hour(self) -> None:
        """The server knows best."""
        waits = [SEIThrottledError("slow", retry_after=value) for value in ("1000", "90000", "1")]
        assert [pause_after(1, 60.0, error, now=NOON, chance=0.5) for error in waits] == [1000.0, 3600.0, 60.0]


def test_an_event_names_no_person_and_no_place_to_download() -> None:
    """It goes to Airflow's database and to everybody's eyes."""
    export = done("a", 0, team_id="456", download_url="https://x/?token=1", error_message="m", filename="f")
    assert completion_event(export, get_family("ba"), project_identifier="p", org_identifier=None) == {
        "version": 1,
        "status": "completed",
        "family": "ba",
        "export_id": "a",
        "completed_at": "2026-03-01T12:00:00+00:00",
        "team_id": "456",
        "project_identifier": "p",
    }


def test_an_event_is_plain_text() -> None:
    """A tree is named by somebody at SEI; its name goes to Airflow's UI and into other people's DAGs."""
    event = completion_event(done("a", 0, org_tree_name="East\x1b[31m\nx", team_id="4\u202e5"), get_family("ba"))
    assert (event["org_tree_name"], event["team_id"]) == ("East [31m x", "4 5")


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00", "2026-03-01T12:00:00Z", "2026-03-01T21:00:00+09:00"])
def test_a_moment_without_an_offset_is_in_utc(text: str, in_tokyo: None) -> None:
    """Wherever the triggerer runs."""
    assert in_tokyo is None
    assert checked_since(text) == datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def test_a_moment_that_is_none_names_its_argument() -> None:
    """For whoever writes the DAG."""
    with pytest.raises(SEIUsageError, match=r"^since must be a moment written .*, not 'soon'$") as caught:
        checked_since("soon")
    assert caught.value.field == "since"


def test_a_watermark_says_its_version() -> None:
    """A later release may keep more."""
    assert Watermark(5.0, {"a": 6.0}).written() == {"version": 1, "floor": 5.0, "told": {"a": 6.0}}


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.75), (1.0, 1.25)])
def test_pauses_differ_by_chance(chance: float, share: float) -> None:
    """By a quarter; what is asked with a date is obeyed too."""
    assert pause_after(1, 60.0, ValueError(), now=0.0, chance=chance) == 60.0 * share
    error = SEIThrottledError("slow", retry_after="Thu, 01 Jan 1970 00:05:00 GMT")
    assert pause_after(1, 1.0, error, now=0.0, chance=chance) == 300.0


def test_what_was_completed_is_asked_for_newest_first() -> None:
    """In the vendor's own words."""
    query = dict(completions_query("456"))
    assert (query["status"], query["sortBy"], query["sortOrder"]) == ("COMPLETED", "completedAt", "desc")
