"""Turns of workers that are to create exports, among the looks at those in flight, through hours of simulated time."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from random import Random

import pytest

from airflow_provider_sei.protocol.budget import RateBudget
from airflow_provider_sei.protocol.errors import SEIServerError
from airflow_provider_sei.protocol.lanes import Watch
from airflow_provider_sei.protocol.polling import PollPlanner
from airflow_provider_sei.protocol.turns import CALLS_PER_EXPORT, Pacer, Turn
from tests.protocol.polling_simulation import START, Server, Simulation, mixed_seconds

VENDORS_LIMIT = 400.0  # calls a minute, of a key sent as x-api-key
STEP = 0.25  # seconds from an event in the triggerer to a worker's next calls


class FanOut:
    """Many tasks at once: each creates when its turn has come, looks once, waits, looks again and downloads."""

    def __init__(self, count: int, seconds: Callable[[Random], float], server: Server | None = None) -> None:
        self.server = server or Server()
        self.server.limit_per_minute = VENDORS_LIMIT
        self.simulation = Simulation(self.server)
        self.count = count
        self.begun: list[float] = []
        self.watches: list[Watch] = []
        self._seconds = seconds
        self._random = Random(7)  # noqa: S311 - the same in every run, not a secret
        self._downloaded = 0

    def run(self, hours: float) -> None:
        """Let everything be delivered, within that time at most."""
        simulation = self.simulation
        for _ in range(self.count):
            simulation.pacer.add_turn(START)
        while self._downloaded < self.count and simulation.now < START + hours * 3600.0:
            simulation.run(STEP)
            for at, _ in simulation.given[len(self.begun) :]:
                self.begun.append(at - START)
                self._call("create", "look")
                name = f"exp_{len(self.begun)}"
                self.watches.append(simulation.wait(name, self._seconds(self._random)))
            while self._downloaded < len(simulation.ended):
                self._downloaded += 1
                self._call("look", "download")

    def _call(self, *calls: str) -> None:
        for _ in calls:
            self.server.admits(self.simulation.now)

    @property
    def fullest_minute(self) -> int:
        """The most calls that the server has had within a minute."""
        calls = self.server.calls
        return max(bisect_left(calls, begin + 60.0) - n for n, begin in enumerate(calls))

    def errors(self) -> list[object]:
        """Return what waits have ended with, other than a completed export."""
        return [outcome.error for _, outcome in self.simulation.ended.values() if outcome.error]


def no_list() -> Server:
    """Return a server whose lists do not serve: each export has to be asked for by itself."""
    return Server(list_answer=lambda _ask, _now: SEIServerError("not implemented", status_code=501))


class TestFiveHundredAtOnce:
    """Five hundred tasks that would all create their export in the same moment."""

    @pytest.mark.parametrize("lists", [True, False], ids=["lists", "no lists"])
    @pytest.mark.parametrize(
        "seconds", [mixed_seconds, lambda _: 10.0, lambda _: 600.0], ids=["mixed", "10 s", "10 min"]
    )
    def test_all_are_delivered_within_the_vendors_limit(
        self, seconds: Callable[[Random], float], *, lists: bool
    ) -> None:
        """Looks and workers never make more than 1.5 times the budget in a minute; all have begun within 25 minutes.

        Without lists, the looks need so many calls that it takes 40.
        """
        fan_out = FanOut(500, seconds, Server() if lists else no_list())
        fan_out.run(hours=6)
        assert len(fan_out.begun) == len(fan_out.simulation.ended) == 500
        assert fan_out.errors() == []
        assert fan_out.server.refused == 0
        assert fan_out.begun[-1] <= (25 if lists else 40) * 60.0
        assert fan_out.fullest_minute <= 1.5 * 240.0

    def test_a_turn_takes_what_a_worker_spends(self) -> None:
        """While everything is under way, the budget is nearly used up, and not exceeded by more than chance."""
        fan_out = FanOut(500, lambda _: 60.0)
        fan_out.run(hours=1)
        minutes = math.floor(fan_out.begun[-1] / 60.0)
        calls = sum(call < START + minutes * 60.0 for call in fan_out.server.calls)
        assert 0.85 * 240.0 <= calls / minutes <= 240.0


class TestNeitherStarves:
    """Looks and turns want more than there is."""

    def test_turns_get_a_quarter_of_the_budget(self) -> None:
        """Three hundred exports without a list could use up all calls; a turn is given every few seconds even so."""
        simulation = Simulation(no_list())
        for number in range(300):
            simulation.wait(f"exp_{number}", poll_interval=5.0)
        simulation.run(600.0)
        assert simulation.given == []
        for _ in range(500):
            simulation.pacer.add_turn(simulation.now)
        begun, asked = simulation.now, len(simulation.asked)
        simulation.run(600.0)
        rate = simulation.budget.rate(simulation.now)
        turns, looks = len(simulation.given), len(simulation.asked) - asked
        assert turns * CALLS_PER_EXPORT == pytest.approx(0.25 * rate * 600.0, rel=0.05)
        assert looks == pytest.approx(0.75 * rate * 600.0, rel=0.05)
        moments = [at for at, _ in simulation.given]
        assert max(b - a for a, b in zip([begun, *moments], moments, strict=False)) <= CALLS_PER_EXPORT / (0.2 * rate)

    def test_looks_are_hardly_later_for_those_that_wait_for_a_turn(self) -> None:
        """A hundred exports are seen completed within the same seconds, whether or not a thousand are to begin."""

        def delays(turns: int) -> list[float]:
            simulation, random = Simulation(), Random(3)  # noqa: S311 - the same in every run, not a secret
            watches = [simulation.wait(f"exp_{number}", 30.0 + 300.0 * random.random()) for number in range(100)]
            for _ in range(turns):
                simulation.pacer.add_turn(START)
            simulation.run(3600.0, until=lambda: len(simulation.ended) == 100)
            assert not turns or len(simulation.given) > 50
            return simulation.delays(watches)[:90]  # the last handful is asked for one by one

        alone, crowded = delays(0), delays(1000)
        assert sum(crowded) / 90 <= sum(alone) / 90 + 1.0
        assert crowded[-1] <= alone[-1] + 5.0

    def test_turns_get_all_that_looks_leave(self) -> None:
        """Where nothing is in flight, the whole budget is for those that are to begin."""
        simulation = Simulation()
        for _ in range(1000):
            simulation.pacer.add_turn(START)
        simulation.run(600.0)
        assert len(simulation.given) * CALLS_PER_EXPORT == pytest.approx(
            600.0 * simulation.budget.rate(START), rel=0.02
        )

    def test_a_single_turn_is_given_at_once(self) -> None:
        """As soon as its calls are saved up, though looks are due all the time."""
        simulation = Simulation(no_list())
        for number in range(300):
            simulation.wait(f"exp_{number}", poll_interval=5.0)
        simulation.run(100.0)
        simulation.pacer.add_turn(simulation.now)
        simulation.run(1.1)
        assert len(simulation.given) == 1


class TestOrder:
    """Whose turn it is."""

    def test_the_earliest_moment_goes_first(self) -> None:
        """In whatever order they were asked for: after a restart, everybody has the old place."""
        simulation = Simulation()
        turns = {moment: simulation.pacer.add_turn(START + moment) for moment in (-5.0, -9.0, -1.0, -7.0)}
        simulation.run(60.0)
        assert [turn for _, turn in simulation.given] == [turns[moment] for moment in (-9.0, -7.0, -5.0, -1.0)]

    def test_equal_moments_keep_the_order_of_asking(self) -> None:
        """First come, first served."""
        simulation = Simulation()
        turns = [simulation.pacer.add_turn(START) for _ in range(5)]
        simulation.run(60.0)
        assert [turn for _, turn in simulation.given] == turns

    def test_one_that_is_no_longer_wanted_costs_nothing(self) -> None:
        """Those behind it come sooner, and it is given to nobody."""
        simulation = Simulation()
        turns = [simulation.pacer.add_turn(START) for _ in range(3)]
        for turn in turns[:2]:
            simulation.pacer.discard(turn)
        simulation.run(1.0)
        assert [turn for _, turn in simulation.given] == turns[2:]

    def test_a_turn_is_given_when_all_its_calls_are_saved_up(self) -> None:
        """Not when the first of them is."""
        budget = RateBudget(240.0)
        pacer = Pacer(PollPlanner(budget), budget)
        pacer.add_turn(START)
        given_at = pacer.next(START)
        assert given_at == pytest.approx(START + (CALLS_PER_EXPORT - 1) / budget.rate(START))
        assert isinstance(given_at, float)
        assert isinstance(pacer.next(given_at), Turn)

    def test_without_turns_and_waits_there_is_nothing_to_wait_for(self) -> None:
        """Nor after the last turn was given."""
        budget = RateBudget(240.0)
        pacer = Pacer(PollPlanner(budget), budget)
        assert pacer.next(START) == math.inf
        turn = pacer.add_turn(START)
        assert isinstance(pacer.next(START + 60.0), Turn)
        assert turn.gone
        assert pacer.next(START + 120.0) == math.inf


class TestThrottled:
    """A server that has answered 429."""

    def test_no_turn_is_given_for_a_while_and_fewer_after(self) -> None:
        """None before ``Retry-After`` is over; then half as many as before."""
        simulation = Simulation()
        for _ in range(2000):
            simulation.pacer.add_turn(START)
        simulation.run(100.0)
        before = len(simulation.given)
        simulation.budget.throttled(simulation.now, 30.0, 0.5)
        silent_until = simulation.now + 30.0
        simulation.run(130.0)
        after = [at for at, _ in simulation.given[before:]]
        assert min(after) >= silent_until
        assert len(after) == pytest.approx(before / 2, abs=2)

    @pytest.mark.parametrize("calls_per_minute", [1, 30, 60])
    def test_a_small_budget_gives_turns_too(self, calls_per_minute: float) -> None:
        """One that cannot save up a worker's calls lends them, and gets them back before the next call."""
        simulation = Simulation(calls_per_minute=calls_per_minute)
        for _ in range(1000):
            simulation.pacer.add_turn(START)
        simulation.run(3600.0)
        assert len(simulation.given) == pytest.approx(60.0 * calls_per_minute / CALLS_PER_EXPORT, rel=0.05, abs=1)
