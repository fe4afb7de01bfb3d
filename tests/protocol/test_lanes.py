"""What a lane makes of list pages, fed by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from airflow_provider_sei.protocol.errors import (
    SEIAuthError,
    SEINoAnswerError,
    SEIRejectedError,
    SEIServerError,
    SEIThrottledError,
)
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.lanes import HANDFUL, AskList, Lane, Shares, Watch
from airflow_provider_sei.protocol.listing import ExportPage
from airflow_provider_sei.protocol.waiting import ExportWait, WaitPlan

SHARES = Shares(fresh=0.5, dead=1.0, sweep=1.0, single=0.1)


def _lane(size: int) -> Lane:
    lane = Lane(("productivity", "a"))
    for n in range(size):
        plan = WaitPlan(family="productivity", export_id=f"e{n}", started_at=0.0, deadline=10_000.0)
        lane.watches[f"e{n}"] = [Watch(lane, ExportWait(plan))]
        lane.schedule(lane.watches[f"e{n}"][0], 5.0)
        lane.size += 1
    lane.begin_listing(0.0)
    return lane


def _page(ids: Iterable[object], *, more: bool | None = None) -> ExportPage:
    return ExportPage(tuple(Export(export_id=str(name), family="productivity") for name in ids), more)


class TestAskList:
    """What is asked of the list."""

    def test_the_newest_completions_come_first(self) -> None:
        """The call for fresh completions filters and sorts as the vendor documents it."""
        assert dict(AskList(_lane(6), "fresh", 2).query()) == {
            "status": "COMPLETED",
            "sortBy": "completedAt",
            "sortOrder": "desc",
            "limit": "100",
            "page": "2",
        }

    def test_a_sweep_asks_for_every_status(self) -> None:
        """The sweep has no filter, and meets the newest exports first."""
        query = dict(AskList(_lane(6), "sweep").query())
        assert "status" not in query
        assert (query["sortBy"], query["sortOrder"]) == ("createdAt", "desc")

    @pytest.mark.parametrize("kind", ["failed", "cancelled"])
    def test_the_dead_are_asked_for_by_their_status(self, kind: str) -> None:
        """Each status is a call of its own, the latest first."""
        query = dict(AskList(_lane(6), kind).query())
        assert (query["status"], query["sortBy"], query["page"]) == (kind.upper(), "completedAt", "0")

    def test_a_sweep_goes_from_page_to_page(self) -> None:
        """Each is asked for once."""
        assert dict(AskList(_lane(6), "sweep", 3).query())["page"] == "3"


class TestBeginning:
    """A lane that has just begun to ask its list."""

    def test_each_kind_of_call_has_its_moment(self) -> None:
        """Completions at once, a sweep soon, the dead later."""
        assert _lane(6).due == {"fresh": 0.0, "failed": 10.0, "cancelled": 10.0, "sweep": 5.0}

    def test_a_watch_waits_for_nothing_yet(self) -> None:
        """It is on nobody's list."""
        lane = _lane(6)
        watch = Watch(lane, lane.watches["e0"][0].wait)
        assert (watch.lane, watch.due, watch.asking, watch.shown, watch.gone) == (lane, math.inf, False, False, False)

    def test_the_next_by_itself_is_the_first_that_is_still_wanted(self) -> None:
        """Not one that has gone, is being asked for, or was put off."""
        lane = _lane(6)
        gone, asking, later, wanted = (lane.watches[f"e{number}"][0] for number in range(4))
        for number, watch in enumerate((gone, asking, later, wanted)):
            lane.schedule(watch, float(number))
        lane.schedule(later, 9.0)
        gone.gone = asking.asking = True
        assert lane.single_due() == wanted.due == 3.0


class TestFreshCompletions:
    """The pages of newly completed exports."""

    def test_a_page_without_a_known_export_is_followed_by_the_next(self) -> None:
        """When more was completed than one page holds, the next page is asked for at once."""
        lane = _lane(500)
        lane.after_news_page(AskList(lane, "fresh"), _page(["old"], more=False), 0.0, SHARES, hits=False)
        lane.after_news_page(AskList(lane, "fresh"), _page(range(100), more=True), 1.0, SHARES, hits=True)
        assert (lane.page["fresh"], lane.due["fresh"]) == (1, 1.0)

    def test_paging_ends_at_the_first_export_seen_before(self) -> None:
        """The page on which a known completion turns up is the last one of the look."""
        lane = _lane(500)
        lane.after_news_page(AskList(lane, "fresh"), _page(["old"], more=False), 0.0, SHARES, hits=False)
        lane.after_news_page(AskList(lane, "fresh"), _page(range(100), more=True), 1.0, SHARES, hits=True)
        last = _page([*range(100, 199), "old"], more=True)
        lane.after_news_page(AskList(lane, "fresh", 1), last, 1.1, SHARES, hits=True)
        assert lane.page["fresh"] == 0
        assert lane.due["fresh"] >= 2.0
        assert lane.newest == frozenset(str(n) for n in range(100))

    def test_an_endless_list_is_not_followed_for_ever(self) -> None:
        """A server whose pages never repeat is asked for twenty of them, which are paid for by a longer pause."""
        lane = _lane(500)
        for n in range(20):
            assert lane.page.get("fresh", 0) == n
            lane.after_news_page(AskList(lane, "fresh", n), _page([n], more=True), 0.0, SHARES, hits=True)
        assert lane.page["fresh"] == 0
        assert lane.due["fresh"] >= 19 * SHARES.fresh

    def test_a_server_that_shows_fewer_than_asked_for_is_followed_by_its_word(self) -> None:
        """Fifty a page with a promise of more is followed, without such a promise it is the end."""
        for more, page in ((True, 1), (None, 0), (False, 0)):
            lane = _lane(500)
            lane.after_news_page(AskList(lane, "fresh"), _page(range(50), more=more), 0.0, SHARES, hits=True)
            assert lane.page["fresh"] == page

    def test_an_empty_page_is_an_end(self) -> None:
        """A list that promises more behind an empty page is not believed."""
        lane = _lane(500)
        lane.after_news_page(AskList(lane, "fresh"), _page([], more=True), 0.0, SHARES, hits=True)
        assert lane.page["fresh"] == 0

    def test_few_old_exports_are_asked_for_less_often(self) -> None:
        """Six exports that have run for an hour are looked at every few seconds, a thousand every second."""
        dues = []
        for size in (6, 1000):
            lane = _lane(size)
            lane.after_news_page(AskList(lane, "fresh"), _page([]), 3600.0, SHARES, hits=False)
            dues.append(lane.due["fresh"] - 3600.0)
        assert dues == [pytest.approx(3.75), 1.0]


class TestSweep:
    """The walk over all that the server lists."""

    def test_what_it_meets_is_left_to_the_list(self) -> None:
        """An export that the list shows is asked for by itself only after minutes."""
        lane = _lane(6)
        lane.after_sweep_page(AskList(lane, "sweep"), _page(["e0"]), 1.0, SHARES)
        assert lane.watches["e0"][0].due >= 301.0
        assert lane.watches["e1"][0].due == 5.0

    def test_what_it_no_longer_meets_is_asked_for_at_once(self) -> None:
        """An export that has disappeared from the list goes back to its own status calls."""
        lane = _lane(6)
        lane.after_sweep_page(AskList(lane, "sweep"), _page(["e0"]), 1.0, SHARES)
        lane.after_sweep_page(AskList(lane, "sweep"), _page(["e1"]), 40.0, SHARES)
        assert lane.watches["e0"][0].due == 40.0
        assert lane.watches["e1"][0].due >= 340.0

    def test_it_ends_when_all_are_met(self) -> None:
        """Pages behind the last of our exports are not asked for."""
        lane = _lane(6)
        lane.after_sweep_page(AskList(lane, "sweep"), _page([f"e{n}" for n in range(6)], more=True), 1.0, SHARES)
        assert lane.page["sweep"] == 0
        assert lane.due["sweep"] >= 31.0

    def test_it_ends_on_a_repeated_page(self) -> None:
        """A server that shows the same page again and again ends the sweep."""
        lane = _lane(6)
        lane.after_sweep_page(AskList(lane, "sweep"), _page(["x"], more=True), 1.0, SHARES)
        assert lane.page["sweep"] == 1
        lane.after_sweep_page(AskList(lane, "sweep", 1), _page(["x"], more=True), 2.0, SHARES)
        assert lane.page["sweep"] == 0

    def test_an_endless_one_is_bounded(self) -> None:
        """A server that never shows ours is given up after a bounded number of pages."""
        lane, pages = _lane(6), 0
        while pages == lane.page.get("sweep", 0):
            lane.after_sweep_page(AskList(lane, "sweep", pages), _page([pages], more=True), 1.0, SHARES)
            pages += 1
        assert pages <= 12


class TestTroubleWithTheList:
    """A list that does not serve."""

    @pytest.mark.parametrize(
        "error", [SEIRejectedError("no", status_code=400), SEIServerError("none", status_code=501), SEIAuthError("no")]
    )
    def test_one_that_cannot_serve_is_left_alone_at_once(self, error: Exception) -> None:
        """After a refusal all exports are asked for by themselves, and the list again in half a minute."""
        lane = _lane(6)
        lane.after_sweep_page(AskList(lane, "sweep"), _page(["e0"]), 1.0, SHARES)
        assert lane.list_failed("fresh", error, 2.0)
        assert lane.watches["e0"][0].due == 2.0
        assert lane.list_due("fresh") == 32.0

    def test_trouble_that_passes_changes_nothing(self) -> None:
        """A 503 now and then is borne: the same page is asked for again, and the list goes on speaking for exports."""
        lane = _lane(6)
        lane.after_sweep_page(AskList(lane, "sweep"), _page(["e0"]), 1.0, SHARES)
        assert not lane.list_failed("fresh", SEIServerError("busy", status_code=503), 2.0)
        assert lane.watches["e0"][0].shown
        assert lane.due["fresh"] == 5.0

    def test_trouble_that_lasts_ends_the_trust(self) -> None:
        """Fifteen seconds of nothing but trouble, and each export is asked for by itself."""
        lane = _lane(6)
        assert not lane.list_failed("fresh", SEINoAnswerError("cut"), 0.0)
        assert not lane.list_failed("fresh", SEINoAnswerError("cut"), 14.0)
        assert lane.list_failed("fresh", SEINoAnswerError("cut"), 15.0)

    def test_the_same_bad_moment_counts_once(self) -> None:
        """Four calls in flight that fail together leave the list alone for half a minute, not for eight times that."""
        lane = _lane(6)
        for kind in ("fresh", "failed", "cancelled", "sweep"):
            lane.list_failed(kind, SEIRejectedError("no", status_code=404), 2.0)
        assert lane.list_again_at == 32.0

    def test_the_pause_doubles_up_to_ten_minutes(self) -> None:
        """A list that never serves is tried ever more rarely."""
        lane, now, pauses = _lane(6), 0.0, []
        for _ in range(7):
            lane.list_failed("fresh", SEIRejectedError("no", status_code=404), now)
            pauses.append(lane.list_again_at - now)
            now = lane.list_again_at
        assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]

    def test_a_429_is_no_fault_of_the_list(self) -> None:
        """Asking for each export in place of a throttled list would only need more calls."""
        lane = _lane(6)
        lane.due["fresh"] = math.inf
        assert not lane.list_failed("fresh", SEIThrottledError("slow down", status_code=429), 2.0)
        assert lane.due["fresh"] == 2.0

    def test_an_answer_of_another_kind_is_no_recovery(self) -> None:
        """A list whose completions fail for ever is left alone, although its failures are answered."""
        lane = _lane(6)
        lane.list_failed("fresh", SEIServerError("busy", status_code=500), 0.0)
        lane.list_served("failed")
        assert lane.list_failed("fresh", SEIServerError("busy", status_code=500), 16.0)


class TestSize:
    """How a lane shrinks."""

    def test_a_handful_is_no_longer_left_to_the_list(self) -> None:
        """When a lane shrinks to a handful, what the list spoke for is asked for by itself."""
        lane = _lane(HANDFUL + 1)
        lane.after_sweep_page(AskList(lane, "sweep"), _page([f"e{n}" for n in range(HANDFUL + 1)]), 1.0, SHARES)
        lane.forget(lane.watches["e0"][0])
        assert [watches[0].due for watches in lane.watches.values()] == [0.0] * HANDFUL
        assert lane.list_due("fresh") == math.inf

    def test_the_forgotten_do_not_pile_up(self) -> None:
        """A lane through which ten thousand waits have passed remembers only the present ones."""
        lane = _lane(10_000)
        for n in range(9_990):
            lane.forget(lane.watches[f"e{n}"][0])
        assert len(lane.singles) < 200
