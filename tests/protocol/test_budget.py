"""The rate of calls, driven by moments of the test's own."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.protocol.budget import RateBudget


def _spend(budget: RateBudget, start: float, seconds: float) -> list[float]:
    """Make every call that the budget allows, as soon as it allows it."""
    now, made = start, []
    while now < start + seconds:
        pause = budget.pause(now)
        if pause > 0.0:
            now += pause
            continue
        budget.take()
        made.append(now)
    return made


def _fullest_minute(calls: list[float]) -> int:
    return max(sum(begin <= call < begin + 60.0 for call in calls) for begin in calls)


class TestRateBudget:
    """A steady rate, and less of it after a 429."""

    @pytest.mark.parametrize("calls_per_minute", [1, 2, 7, 60, 240, 1000])
    def test_no_minute_has_more_calls_than_allowed(self, calls_per_minute: int) -> None:
        """A caller that takes all it gets, after a long silence too, stays within the limit in every minute."""
        budget = RateBudget(calls_per_minute)
        calls = _spend(budget, 0.0, 90.0) + _spend(budget, 10_000.0, 130.0)
        assert _fullest_minute(calls) <= calls_per_minute

    @pytest.mark.parametrize("calls_per_minute", [1, 60, 240])
    def test_the_rate_is_nearly_used_up(self, calls_per_minute: int) -> None:
        """An hour's calls are at least nine tenths of what the limit would allow."""
        assert len(_spend(RateBudget(calls_per_minute), 0.0, 3600.0)) >= 0.9 * calls_per_minute * 60

    @given(
        calls_per_minute=st.integers(1, 1000),
        gaps=st.lists(st.floats(0.0, 30.0), max_size=300),
        throttled=st.sets(st.integers(0, 300), max_size=5),
    )
    def test_no_pattern_of_calls_gets_more_than_the_limit(
        self, calls_per_minute: int, gaps: list[float], throttled: set[int]
    ) -> None:
        """Whenever calls are wanted, and whatever was refused in between, no minute has more than the limit."""
        budget = RateBudget(calls_per_minute)
        now, made = 1000.0, []
        for number, gap in enumerate(gaps):
            now += gap
            if number in throttled:
                budget.throttled(now, None, 0.5)
            if budget.pause(now) <= 0.0:
                budget.take()
                made.append(now)
        assert not made or _fullest_minute(made) <= calls_per_minute

    @pytest.mark.parametrize("calls_per_minute", [120, 240, 1000])
    def test_several_calls_at_once_are_counted_as_several(self, calls_per_minute: int) -> None:
        """Four at a time, in between single ones, never come to more than the limit in a minute."""
        budget, now, made = RateBudget(calls_per_minute), 0.0, list[float]()
        while now < 300.0:
            calls = 4 if len(made) % 3 else 1
            pause = budget.pause(now, calls)
            if pause > 0.0:
                now += pause
                continue
            budget.take(calls)
            made += [now] * calls
        assert _fullest_minute(made) <= calls_per_minute
        assert len(made) >= 0.9 * calls_per_minute * 5

    def test_what_a_small_budget_cannot_save_up_is_owed(self) -> None:
        """Four calls at once, of twelve a minute, are followed by a pause of four calls' time."""
        budget = RateBudget(12)
        assert budget.pause(0.0, 4) == 0.0
        budget.take(4)
        assert budget.pause(0.0) == pytest.approx(4 / budget.rate(0.0))

    def test_a_429_ends_all_calls_for_a_while(self) -> None:
        """No call is allowed within the first seconds after a 429 that names no time."""
        budget = RateBudget(240)
        budget.throttled(100.0, None, 0.0)
        assert budget.pause(100.0) == pytest.approx(3.75)

    def test_retry_after_is_obeyed(self) -> None:
        """A 429 that asks for a minute gets it."""
        budget = RateBudget(240)
        budget.throttled(100.0, 60.0, 0.5)
        assert budget.pause(100.0) == pytest.approx(60.0)

    def test_repeated_429s_slow_down_further_and_time_heals(self) -> None:
        """Each 429 halves the rate again, down to a sixteenth, and after two good minutes it is the full one."""
        budget, now, rates = RateBudget(240), 0.0, []
        for _ in range(6):
            budget.throttled(now, None, 0.5)
            now += budget.pause(now)
            rates.append(budget.rate(now))
        assert [round(rates[0] / rate) for rate in rates] == [1, 2, 4, 8, 8, 8]
        assert rates[0] == RateBudget(240).rate(0.0) / 2
        assert budget.rate(now + 121.0) == RateBudget(240).rate(0.0)

    def test_429s_of_one_burst_count_once(self) -> None:
        """Eight calls in flight that are refused at the same moment halve the rate once."""
        budget = RateBudget(240)
        for n in range(8):
            budget.throttled(100.0 + n / 10, None, 0.5)
        assert budget.rate(110.0) == RateBudget(240).rate(0.0) / 2

    def test_calls_are_spread(self) -> None:
        """After the first burst, calls keep their distance."""
        calls = _spend(RateBudget(60), 0.0, 60.0)
        assert min(later - sooner for sooner, later in pairwise(calls)) > 0.9

    def test_a_fresh_budget_has_one_call(self) -> None:
        """And no more at once."""
        budget = RateBudget(240)
        assert (budget.pause(0.0), budget.pause(0.0, 1)) == (0.0, 0.0)
        assert budget.pause(0.0, 2) > 0.0

    def test_each_429_after_a_pause_doubles_it_up_to_forty_seconds(self) -> None:
        """Give or take a quarter, by chance; the rate halves as often."""
        budget, now = RateBudget(240), 100.0
        for strikes, pause in enumerate((5.0, 10.0, 20.0, 40.0, 40.0), start=1):
            budget.throttled(now, None, 0.5)
            assert budget.pause(now) == pytest.approx(pause)
            assert budget.rate(now) == RateBudget(240).rate(now) / 2 ** min(strikes, 4)
            now += budget.pause(now)

    @pytest.mark.parametrize(("chance", "pause"), [(0.0, 3.75), (0.5, 5.0), (1.0, 6.25)])
    def test_chance_moves_the_pause_by_a_quarter(self, chance: float, pause: float) -> None:
        """So that triggerers that were refused together do not come back together."""
        budget = RateBudget(240)
        budget.throttled(100.0, None, chance)
        assert budget.pause(100.0) == pytest.approx(pause)

    def test_two_minutes_after_the_pause_all_is_as_before(self) -> None:
        """The next 429 is a first one again."""
        budget = RateBudget(240)
        budget.throttled(100.0, None, 0.5)
        budget.throttled(105.0, None, 0.5)
        over = 105.0 + 10.0 + 120.0
        assert budget.rate(over - 0.1) < budget.rate(over) == RateBudget(240).rate(over)
        budget.throttled(over, None, 0.5)
        assert budget.pause(over) == pytest.approx(5.0)

    def test_what_was_saved_up_is_gone_after_a_429(self) -> None:
        """The first call after the pause is one that has come in meanwhile."""
        budget = RateBudget(6)
        assert budget.pause(100.0) == 0.0
        budget.throttled(100.0, None, 0.5)
        assert budget.pause(105.0) > 0.0
