"""Whom the planner asks, on a simulated server and clock."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_sei.protocol.errors import (
    SEIAuthError,
    SEIError,
    SEIExportFailedError,
    SEIExportTimeoutError,
    SEINoAnswerError,
    SEINotFoundError,
    SEIServerError,
    SEIThrottledError,
)
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.lanes import HANDFUL, AskList, AskOne, Watch
from airflow_provider_sei.protocol.listing import ExportPage
from airflow_provider_sei.protocol.status import ExportStatus
from airflow_provider_sei.protocol.waiting import WaitOutcome
from tests.protocol.polling_simulation import START, Server, Simulation, mixed_seconds

HOUR = 3600.0


def _outcome(simulation: Simulation, watch: Watch) -> WaitOutcome:
    return simulation.ended[watch][1]


def _error(simulation: Simulation, watch: Watch) -> SEIError:
    error = _outcome(simulation, watch).error
    assert error is not None
    return error


class TestAlone:
    """A handful of exports, each on its own schedule."""

    def test_the_pause_grows_with_the_root_of_the_time_waited(self) -> None:
        """An hour's wait is looked at some eighty times: at first every five seconds, at last every ninety."""
        simulation = Simulation()
        simulation.wait("e")
        simulation.run(HOUR)
        moments = [at for at, _ in simulation.singles()]
        assert 4.5 <= moments[0] <= 5.5
        assert 80.0 <= moments[-1] - moments[-2] <= 100.0
        assert 70 <= len(moments) <= 90

    def test_an_interval_of_the_users_own_is_kept(self) -> None:
        """With poll_interval=30 an hour has about 120 looks."""
        simulation = Simulation()
        simulation.wait("e", poll_interval=30.0)
        simulation.run(HOUR)
        assert 115 <= len(simulation.asked) <= 125

    def test_a_handful_needs_no_list(self) -> None:
        """Five exports are asked for one by one."""
        simulation = Simulation()
        for n in range(HANDFUL):
            simulation.wait(f"e{n}")
        simulation.run(600.0)
        assert not simulation.lists()
        assert {name for _, name in simulation.singles()} == {f"e{n}" for n in range(HANDFUL)}

    def test_calls_and_delay_on_the_usual_mix(self) -> None:
        """One export alone needs at most 15 calls and ten seconds beyond its end, on average over the mix."""
        calls, delays = 0, []
        for seed in range(1000):
            simulation = Simulation(seed=seed)
            watch = simulation.wait("e", mixed_seconds(simulation.random), timeout=math.inf)
            simulation.run(30 * 86_400.0, until=lambda simulation=simulation: bool(simulation.ended))
            calls += len(simulation.asked)
            delays += simulation.delays([watch])
        assert calls / 1000 <= 15.0
        assert sum(delays) / 1000 <= 10.0

    def test_two_waits_for_one_export_share_its_answers(self) -> None:
        """A trigger that runs twice ends twice, at the same moment, for the calls of one."""
        simulation = Simulation()
        watches = [simulation.wait("e", 300.0), simulation.wait("e", 300.0)]
        simulation.run(600.0)
        assert simulation.ended[watches[0]] == simulation.ended[watches[1]]
        alone = Simulation()
        alone.wait("e", 300.0)
        alone.run(600.0)
        assert len(simulation.asked) <= len(alone.asked) + 2

    def test_nobody_asks_for_a_wait_that_was_left(self) -> None:
        """After its trigger has gone, an export is not asked for."""
        simulation = Simulation()
        left = simulation.wait("left")
        simulation.wait("kept")
        simulation.planner.discard(left)
        simulation.run(600.0)
        assert {name for _, name in simulation.singles()} == {"kept"}

    def test_waits_that_were_left_are_not_kept(self) -> None:
        """However many come and go, and far their deadlines."""
        simulation = Simulation()
        for number in range(2500):
            simulation.planner.discard(simulation.wait(f"left-{number}"))
        kept = simulation.wait("kept")
        assert len(simulation.planner._ends) <= 1002
        assert simulation.planner.expires_at() == kept.wait.plan.deadline

    def test_a_wait_that_was_interrupted_goes_on_by_its_own_age(self) -> None:
        """A wait that began an hour ago is looked at every ninety seconds, not every five."""
        simulation = Simulation()
        watch = simulation.wait("e")
        simulation.planner.discard(watch)
        simulation.now += HOUR
        simulation.planner.add(watch.wait.plan, "a", simulation.now, 0.5)
        simulation.run(HOUR)
        assert len(simulation.singles()) <= 40


class TestMany:
    """Lanes that ask their list."""

    def test_calls_do_not_grow_with_the_number_of_exports(self) -> None:
        """Ten minutes of waiting take a list call about every second, whether for fifty exports or a thousand."""
        calls = []
        for size in (50, 1000):
            simulation = Simulation()
            for n in range(size):
                simulation.wait(f"e{n}")
            simulation.run(120.0)
            simulation.asked.clear()
            simulation.run(600.0)
            calls.append(len(simulation.asked))
        assert max(calls) <= 1200
        assert calls[1] <= 1.5 * calls[0]

    def test_a_thousand_are_noticed_within_two_seconds(self) -> None:
        """With 240 calls a minute, 99 of 100 waits of a thousand end within two seconds of their export."""
        simulation = Simulation()
        seconds = [mixed_seconds(simulation.random) for _ in range(1000)]
        watches = [simulation.wait(f"e{n}", seconds[n], timeout=math.inf) for n in range(1000)]
        simulation.run(30 * 86_400.0, until=lambda: len(simulation.ended) == len(watches))
        assert simulation.delays(watches)[989] <= 2.0

    def test_a_burst_of_completions_is_noticed_whole(self) -> None:
        """Four hundred exports that end in the same second are all noticed within three."""
        simulation = Simulation()
        watches = [simulation.wait(f"e{n}", 60.0 + n / 400) for n in range(400)]
        simulation.run(120.0)
        assert simulation.delays(watches)[-1] <= 3.0

    def test_exports_that_were_completed_before_are_noticed(self) -> None:
        """After a restart, exports that ended in the meantime end their waits within seconds."""
        simulation = Simulation()
        for n in range(400):
            simulation.wait(f"e{n}", 0.0)
        simulation.run(15.0)
        assert len(simulation.ended) == 400

    def test_a_long_sweep_leaves_room(self) -> None:
        """The pages of a sweep over two thousand exports keep a second's distance."""
        simulation = Simulation()
        for n in range(2000):
            simulation.wait(f"e{n}")
        simulation.run(600.0)
        moments = simulation.lists("sweep")
        assert len(moments) >= 100
        assert min(later - sooner for sooner, later in pairwise(moments)) >= 1.0

    def test_a_list_call_without_an_answer_is_made_again(self) -> None:
        """A list call that came to nothing is due at the moment it is given back."""
        simulation = Simulation()
        for n in range(10):
            simulation.wait(f"e{n}")
        ask = simulation.planner.next(simulation.now)
        assert isinstance(ask, AskList)
        simulation.planner.dropped(ask, simulation.now + 5.0)
        assert ask.lane.list_due(ask.kind) == simulation.now + 5.0

    def test_a_late_page_does_not_bring_a_list_back_that_is_left_alone(self) -> None:
        """An answer that was on its way when the list was given up is used, and changes no schedule."""
        simulation = Simulation()
        watches = [simulation.wait(f"e{n}") for n in range(10)]
        lane, now = watches[0].lane, simulation.now
        simulation.planner.listed(AskList(lane, "fresh"), SEINotFoundError("no list", status_code=404), now)
        done = Export(export_id="e3", family="productivity", status=ExportStatus.COMPLETED, status_word="completed")
        late = simulation.planner.listed(AskList(lane, "sweep"), ExportPage((done,), more=False), now + 1.0)
        assert [watch for watch, _ in late] == [watches[3]]
        assert lane.list_due("sweep") > now + 30.0
        assert lane.left_alone == 1

    def test_what_the_list_hides_has_its_own_calls(self) -> None:
        """An export that no list shows is noticed by its own schedule, as if it were alone."""
        simulation = Simulation()
        for n in range(50):
            simulation.wait(f"e{n}")
        hidden = simulation.wait("hidden", 300.0, hidden=True)
        simulation.run(600.0)
        assert simulation.delays([hidden])[0] <= 35.0

    def test_a_list_that_is_stale_cannot_hold_a_wait(self) -> None:
        """An export that lists call processing for ever is noticed by a call of its own, within minutes."""
        simulation = Simulation()
        for n in range(50):
            simulation.wait(f"e{n}")
        stale = simulation.wait("stale", 60.0, stale=True)
        simulation.run(HOUR)
        assert simulation.delays([stale])[0] <= 400.0

    def test_a_failure_carries_the_servers_words(self) -> None:
        """Lists name no reason; the failed export is asked for, and the wait ends with what its status says."""
        simulation = Simulation()
        for n in range(50):
            simulation.wait(f"e{n}")
        failed = simulation.wait("failed", 60.0, word="failed", reason="Invalid teamId")
        cancelled = simulation.wait("cancelled", 60.0, word="cancelled")
        simulation.run(80.0)
        assert isinstance(_error(simulation, failed), SEIExportFailedError)
        assert _error(simulation, failed).vendor_message == "Invalid teamId"
        assert "cancelled" in str(_error(simulation, cancelled))

    @pytest.mark.parametrize(
        "answer",
        [
            SEINotFoundError("no list", status_code=404),
            SEIServerError("no list", status_code=501),
            SEIServerError("busy", status_code=503),
            SEIAuthError("not for this key", status_code=403),
            ExportPage((), more=True),
            ExportPage((), more=None),
            ExportPage(tuple(Export(export_id=f"x{n}", family="productivity") for n in range(100)), more=True),
        ],
        ids=["404", "501", "503", "403", "empty", "bare", "foreign"],
    )
    def test_a_list_that_does_not_serve_is_done_without(self, answer: ExportPage | SEIError) -> None:
        """Twenty exports end within their own schedule, whatever the list says in place of their names."""
        simulation = Simulation(Server(list_answer=lambda _ask, _now: answer))
        watches = [simulation.wait(f"e{n}", 300.0) for n in range(20)]
        simulation.run(400.0)
        assert len(simulation.ended) == len(watches)
        assert simulation.delays(watches)[-1] <= 60.0

    def test_an_endless_list_starves_nobody(self) -> None:
        """A server whose every page is full of new names leaves single exports a fifth of the calls."""
        names = iter(range(10**9))

        def endless(_ask: AskList, _now: float) -> ExportPage:
            page = tuple(Export(export_id=f"x{next(names)}", family="productivity") for _ in range(100))
            return ExportPage(page, more=True)

        simulation = Simulation(Server(list_answer=endless))
        watches = [simulation.wait(f"e{n}", 300.0) for n in range(20)]
        simulation.run(400.0)
        assert len(simulation.ended) == len(watches)

    def test_a_list_that_ignores_filters_and_order_is_read_by_its_records(self) -> None:
        """When every call is answered with everything, oldest first, the waits still end."""

        def everything(_ask: AskList, now: float) -> ExportPage:
            jobs = list(simulation.server.jobs["a"].values())
            return ExportPage(tuple(job.seen(now, by_list=True) for job in jobs), more=False)

        simulation = Simulation(Server(list_answer=everything))
        watches = [simulation.wait(f"e{n}", 10.0 + n) for n in range(80)]
        simulation.run(120.0)
        assert simulation.delays(watches)[-1 - HANDFUL] <= 3.0

    def test_a_list_that_fails_for_a_while_is_used_again(self) -> None:
        """A minute of 500s is followed by list calls again, and by fewer single ones."""
        simulation = Simulation(
            Server(list_answer=lambda _ask, now: SEIServerError("busy") if START + 60 < now < START + 120 else None)
        )
        for n in range(100):
            simulation.wait(f"e{n}")
        simulation.run(300.0)
        simulation.asked.clear()
        simulation.run(120.0)
        assert len(simulation.lists("fresh")) >= 100
        assert len(simulation.singles()) <= 60

    def test_a_shrinking_lane_goes_back_to_single_calls(self) -> None:
        """When all but a handful have ended, the list is no longer asked, and the rest is not forgotten."""
        simulation = Simulation()
        short = [simulation.wait(f"s{n}", 30.0) for n in range(20)]
        long = [simulation.wait(f"l{n}", 600.0) for n in range(HANDFUL)]
        simulation.run(60.0)
        assert set(simulation.ended) == set(short)
        simulation.asked.clear()
        simulation.run(700.0)
        assert not simulation.lists()
        assert set(simulation.ended) == {*short, *long}


class TestDeadlines:
    """The end of a wait's time."""

    @pytest.mark.parametrize("size", [1, 50])
    def test_there_is_one_last_look(self, size: int) -> None:
        """At its deadline each export is asked for once more, though the list spoke for it."""
        simulation = Simulation()
        watches = [simulation.wait(f"e{n}", timeout=120.0) for n in range(size)]
        simulation.run(180.0)
        assert all(isinstance(_error(simulation, watch), SEIExportTimeoutError) for watch in watches)
        assert {name for at, name in simulation.singles() if at >= 120.0} == {watch.export_id for watch in watches}

    def test_the_last_look_can_be_the_good_one(self) -> None:
        """An export that is completed in the last second of its wait is delivered."""
        simulation = Simulation()
        watch = simulation.wait("e", 119.9, timeout=120.0)
        simulation.run(180.0)
        assert _outcome(simulation, watch).error is None

    def test_a_wait_that_begins_after_its_deadline_has_its_look(self) -> None:
        """A triggerer that was away for an hour still finds the export that was completed meanwhile."""
        simulation = Simulation()
        watch = simulation.wait("e", 60.0, timeout=120.0)
        simulation.planner.discard(watch)
        simulation.now += HOUR
        watch = simulation.planner.add(watch.wait.plan, "a", simulation.now, 0.5)
        simulation.run(10.0)
        assert _outcome(simulation, watch).error is None

    def test_a_triggerer_that_was_stopped_takes_its_last_look(self) -> None:
        """A process that sleeps through the deadline by an hour looks once before it gives up."""
        simulation = Simulation()
        watch = simulation.wait("e", 60.0, timeout=120.0)
        simulation.now += HOUR
        simulation.run(10.0)
        assert _outcome(simulation, watch).error is None

    def test_no_wait_hangs_on_a_budget_that_is_closed(self) -> None:
        """Two minutes after its deadline a wait ends without its last look, when the server lets nobody call."""
        simulation = Simulation()
        watch = simulation.wait("e", timeout=60.0)
        simulation.budget.throttled(simulation.now, HOUR, 0.5)
        simulation.run(300.0)
        assert simulation.ended[watch][0] == START + 180.0
        assert isinstance(_error(simulation, watch), SEIExportTimeoutError)

    def test_no_wait_hangs_on_a_call_that_is_never_answered(self) -> None:
        """An answer that never comes ends the wait two minutes after its deadline; a late one changes nothing."""
        simulation = Simulation()
        watch = simulation.wait("e", timeout=60.0)
        while not isinstance(ask := simulation.planner.next(simulation.now), AskOne):
            simulation.now = ask
        assert simulation.planner.expired(START + 60.0) == []
        ((ended, outcome),) = simulation.planner.expired(START + 180.0)
        assert ended is watch
        assert isinstance(outcome.error, SEIExportTimeoutError)
        late = Export(export_id="e", family="productivity")
        assert simulation.planner.saw(watch, late, START + 200.0, 0.5) == []


class TestTrouble:
    """Servers that refuse."""

    def test_trouble_that_passes_is_borne(self) -> None:
        """Ten minutes of 503 for everything end no wait."""
        bad: Any = lambda _ask, now: SEIServerError("busy", status_code=503) if now < START + 600 else None  # noqa: E731 - as short as the case
        simulation = Simulation(Server(list_answer=bad, one_answer=bad))
        watches = [simulation.wait(f"e{n}", 300.0) for n in range(20)]
        simulation.run(900.0)
        assert [_outcome(simulation, watch).error for watch in watches] == [None] * 20

    def test_trouble_that_cannot_pass_ends_each_wait_at_once(self) -> None:
        """A key that is no longer valid ends all waits with the server's words, though the list was asked."""
        no = SEIAuthError("the key is gone", status_code=401)
        simulation = Simulation(Server(list_answer=lambda _ask, _now: no, one_answer=lambda _ask, _now: no))
        watches = [simulation.wait(f"e{n}") for n in range(20)]
        simulation.run(60.0)
        assert [_outcome(simulation, watch).error for watch in watches] == [no] * 20

    def test_a_429_slows_everybody_down_and_loses_nobody(self) -> None:
        """Below a limit of half the budget, refusals stay few and all waits end."""
        simulation = Simulation(Server(limit_per_minute=120), calls_per_minute=240)
        watches = [simulation.wait(f"e{n}", 10.0 + n) for n in range(300)]
        simulation.run(900.0)
        assert len(simulation.ended) == len(watches)
        assert simulation.server.refused <= 0.1 * len(simulation.asked)
        assert simulation.delays(watches)[-1] <= 60.0

    def test_the_budget_is_never_exceeded(self) -> None:
        """Three hundred unlisted exports want more calls than there are: no minute has more than the budget."""
        simulation = Simulation(
            Server(list_answer=lambda _ask, _now: SEINotFoundError("no", status_code=404)), calls_per_minute=60
        )
        for n in range(300):
            simulation.wait(f"e{n}")
        simulation.run(HOUR)
        calls = [at for at, _ in simulation.asked]
        assert max(sum(begin <= at < begin + 60.0 for at in calls) for begin in calls[::10]) <= 60
        assert {name for _, name in simulation.singles()} == {f"e{n}" for n in range(300)}


class TestFairness:
    """Lanes that share a budget."""

    def test_a_lane_in_need_of_all_calls_leaves_others_theirs(self) -> None:
        """Beside two thousand unlisted exports, one of another project keeps its own schedule."""
        no = SEINotFoundError("no", status_code=404)
        simulation = Simulation(Server(list_answer=lambda ask, _now: no if ask.lane.key[1] == "a" else None))
        for n in range(2000):
            simulation.wait(f"e{n}")
        alone = simulation.wait("lone", 120.0, group="b")
        simulation.run(600.0)
        assert simulation.delays([alone])[0] <= 30.0

    def test_many_lanes_with_lists_leave_calls_for_single_exports(self) -> None:
        """Thirty lanes that ask their lists, and hidden exports in each, are all served."""
        simulation = Simulation()
        hidden = []
        for lane in range(30):
            for n in range(20):
                simulation.wait(f"e{n}", group=f"g{lane}")
            hidden.append(simulation.wait("hidden", 300.0, group=f"g{lane}", hidden=True))
        simulation.run(1800.0)
        assert all(watch in simulation.ended for watch in hidden)
        calls = Counter(ask.lane.key for _, ask in simulation.asked if isinstance(ask, AskList))
        assert min(calls.values()) >= 0.5 * max(calls.values())


class TestNobodyIsForgotten:
    """Any sequence of joining, leaving and answers."""

    # Mutation testing runs it more than once in a process.
    @settings(
        max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors]
    )
    @given(data=st.data())
    def test_every_wait_that_is_not_left_is_asked_for_or_ends(self, data: st.DataObject) -> None:
        """Whatever came before, each remaining wait is asked for by itself, or ends, by its deadline."""
        simulation = Simulation(calls_per_minute=1000)
        waiting: list[Watch] = []
        flying: list[AskOne | AskList] = []
        steps = st.sampled_from(["add", "add", "add", "leave", "ask", "ask", "ask", "answer", "answer", "later"])
        names = st.integers(0, 12)
        for step in data.draw(st.lists(steps, max_size=120)):
            planner = simulation.planner
            if step == "add":
                group = data.draw(st.sampled_from("aab"))
                waiting.append(simulation.wait(f"e{data.draw(names)}", group=group, timeout=900.0))
            elif step == "leave" and waiting:
                planner.discard(waiting.pop(data.draw(st.integers(0, len(waiting) - 1))))
            elif step == "ask":
                ask = planner.next(simulation.now)
                if not isinstance(ask, float):
                    flying.append(ask)
            elif step == "answer" and flying:
                self._answer(simulation, flying.pop(data.draw(st.integers(0, len(flying) - 1))), data)
            elif step == "later":
                simulation.now += data.draw(st.sampled_from([0.5, 5.0, 40.0, 400.0]))
        for ask in flying:
            simulation.planner.dropped(ask, simulation.now)
        waiting = [watch for watch in waiting if not watch.gone]
        simulation.run(1100.0)
        asked = {(ask.watch.lane.key, ask.watch.export_id) for _, ask in simulation.asked if isinstance(ask, AskOne)}
        assert all(watch in simulation.ended for watch in waiting)
        assert {(watch.lane.key, watch.export_id) for watch in waiting} <= asked
        assert len(simulation.planner) == 0
        assert simulation.planner.next(math.inf) == math.inf

    @staticmethod
    def _answer(simulation: Simulation, ask: AskOne | AskList, data: st.DataObject) -> None:
        planner, now = simulation.planner, simulation.now
        errors = [
            SEIServerError("busy", status_code=503),
            SEINoAnswerError("cut"),
            SEIThrottledError("slow down", status_code=429),
            None,
            None,
        ]
        error = data.draw(st.sampled_from(errors))
        if data.draw(st.integers(0, 9)) == 0:
            planner.dropped(ask, now)
        elif isinstance(ask, AskOne):
            planner.saw(ask.watch, error or Export(export_id=ask.watch.export_id, family="productivity"), now, 0.5)
        elif error is not None or data.draw(st.booleans()):
            answer = error or SEINotFoundError("no list", status_code=404)
            planner.listed(ask, answer, now)
        else:
            names = data.draw(st.lists(st.integers(0, 20), max_size=12, unique=True))
            page = tuple(Export(export_id=f"e{n}", family="productivity") for n in names)
            planner.listed(ask, ExportPage(page, data.draw(st.sampled_from([True, False, None]))), now)
