"""Waits that share a poller, on the local SEI server, in a time that needs no waiting."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Coroutine
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from airflow_provider_sei.protocol.budget import RateBudget
from airflow_provider_sei.protocol.turns import CALLS_PER_EXPORT

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.exceptions import (
    SEIArgumentError,
    SEIAuthError,
    SEIConnectionError,
    SEIExportTimeoutError,
)
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.protocol.settings import BaseUrl, SEISettings
from airflow_provider_sei.protocol.waiting import WaitOutcome, WaitPlan
from airflow_provider_sei.triggers import sharing, stats
from airflow_provider_sei.triggers._poller import Poller, wait_for_export, wait_for_turn

MINUTE = 60.0
TRIGGER = contextvars.ContextVar("TRIGGER", default="nobody")


class World:
    """Pollers whose time is the server's, and passes at once when nothing is being asked."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.pollers: list[Poller] = []
        self.lines: list[tuple[str, str]] = []
        self.own_contexts: set[str] = set()
        self.stops_at = float("inf")
        self.begun_at = self.ended_at = 0.0
        self.settings = SEISettings(
            endpoint=BaseUrl.from_host(server.base_url),
            api_key=server.api_key,
            project_identifier=server.project,
            org_identifier=server.org,
        )
        self._created = 0

    def make_poller(self, settings: SEISettings) -> Poller:
        """Make a poller of this world."""
        self.pollers.append(Poller(settings, clock=self.now, pause=self.pause))
        return self.pollers[-1]

    def now(self) -> float:
        """Return the server's time."""
        return self.server.clock()

    async def pause(self, wake_up: asyncio.Event, seconds: float) -> None:
        """Let time pass, unless something happens first."""
        self.own_contexts.add(TRIGGER.get())
        for _ in range(10):
            await asyncio.sleep(0)
        asking = [poller for poller in self.pollers if poller._calls]
        stopped = seconds == float("inf") or self.now() >= self.stops_at
        if stopped or wake_up.is_set() or any(poller._changed is wake_up for poller in asking):
            await wake_up.wait()
        elif asking:
            await asyncio.sleep(0.001)  # another poller's call is on its way: no time passes
        else:
            self.server.clock.advance(max(0.001, seconds))

    def create(self, count: int = 1) -> list[str]:
        """Create so many exports; return their ids."""
        ids = []
        for _ in range(count):
            self._created += 1
            day = str(date(2020, 1, 1) + timedelta(days=self._created))
            answer = requests.post(
                f"{self.server.base_url}/v2/insights/productivity/exports",
                params={"projectIdentifier": self.server.project, "orgIdentifier": self.server.org},
                headers={"authorization": f"ApiKey {self.server.api_key}"},
                json={"scope": {"orgTreeName": "Engineering"}, "dateRange": {"start": day, "end": day}},
                timeout=10,
            )
            ids.append(answer.json()["exportId"])
        return ids

    def plan(self, export_id: str, *, timeout: float = 60 * MINUTE, **fields: Any) -> WaitPlan:
        """Return the plan of a wait that begins now."""
        return WaitPlan(
            family="productivity",
            export_id=export_id,
            started_at=self.now(),
            deadline=self.now() + timeout,
            **fields,
        )

    async def wait(self, plan: WaitPlan, **with_overrides: str) -> WaitOutcome:
        """Wait as a trigger does."""
        return await wait_for_export(
            plan,
            "sei_default",
            self.settings.with_overrides(**with_overrides),
            lambda line: self.lines.append((TRIGGER.get(), line)),
            make_poller=self.make_poller,
        )

    def start(self, plan: WaitPlan, **with_overrides: str) -> asyncio.Task[WaitOutcome]:
        """Wait in a task of its own."""
        return asyncio.create_task(self.wait(plan, **with_overrides))

    async def turn(self, moment: float | None = None) -> float:
        """Wait for a turn as a trigger does; return when it came."""
        await wait_for_turn(
            self.now() if moment is None else moment,
            "productivity",
            "sei_default",
            self.settings,
            make_poller=self.make_poller,
        )
        return self.now()

    def asked(self, operation: str) -> int:
        """Return how many such calls the server has had."""
        return sum(request.operation == operation for request in self.server.requests)


@pytest.fixture
def world(sei_server: RunningServer) -> World:
    """A server whose exports take a minute, and time that stands still unless somebody waits."""
    sei_server.reset(clock_speed=0.0, queued_seconds=20.0, seconds_to_complete=MINUTE)
    return World(sei_server)


def _run(test: Coroutine[Any, Any, Any]) -> Any:
    """Run on a loop that complains of what is left open."""

    async def checked() -> Any:
        result = await asyncio.wait_for(test, 30)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "no task is left behind"
        assert not sharing._pollers.get(asyncio.get_running_loop()), "no poller is left behind"
        return result

    return asyncio.run(checked())


class TestSharing:
    """One poller, one session and one budget a connection."""

    def test_waits_share_one_poller_and_few_connections(self, world: World) -> None:
        """Thirty waits of one connection make one poller, which asks the list over a handful of connections."""
        ids = world.create(30)
        before = world.server.connections

        async def test() -> list[WaitOutcome]:
            return await asyncio.gather(*(world.wait(world.plan(name)) for name in ids))

        outcomes = _run(test())
        assert [outcome.export.export_id for outcome in outcomes if outcome.export] == ids
        assert len(world.pollers) == 1
        assert world.server.connections - before <= 4
        assert world.asked("list") >= 10

    def test_projects_of_one_connection_share_it_too(self, world: World) -> None:
        """Another project is another list, asked by the same poller; what it ends with is its own affair."""
        good, bad = world.create(2)

        async def test() -> list[WaitOutcome]:
            return await asyncio.gather(
                world.wait(world.plan(good)), world.wait(world.plan(bad), project_identifier="other")
            )

        outcomes = _run(test())
        assert outcomes[0].error is None
        assert isinstance(outcomes[1].error, SEIAuthError)
        assert len(world.pollers) == 1

    def test_the_budget_holds_for_all_together(self, world: World) -> None:
        """Twenty waits without a list get no more calls in a minute than the connection allows."""
        world.server.faults.add("list", "answer", status=404, times=None)
        world.settings = replace(world.settings, calls_per_minute=30)
        ids = world.create(20)

        async def test() -> None:
            await asyncio.gather(*(world.wait(world.plan(name)) for name in ids))

        _run(test())
        calls = [request.at for request in world.server.requests if request.operation in {"status", "list"}]
        assert max(sum(begin <= at < begin + MINUTE for at in calls) for begin in calls) <= 30

    def test_a_new_key_gets_a_new_poller(self, world: World) -> None:
        """Triggers that find a changed connection do not call with the old key; those at work finish with theirs."""
        ids = world.create(2)

        async def test() -> None:
            first = world.start(world.plan(ids[0]))
            await asyncio.sleep(0)
            world.settings = replace(world.settings, api_key=world.server.settings.colleague_key)
            second = world.start(world.plan(ids[1]))
            assert (await first).error is (await second).error is None

        _run(test())
        assert [poller._settings.api_key for poller in world.pollers] == ["demo-key", "demo-colleague-key"]

    def test_the_last_to_leave_closes_up_and_the_next_begins_anew(self, world: World) -> None:
        """After the last wait the session is closed; a later wait has a poller of its own."""
        ids = world.create(2)

        async def test() -> None:
            for name in ids:
                await world.wait(world.plan(name))
                assert world.pollers[-1].ended
                assert world.pollers[-1]._transport._session is None

        _run(test())
        assert len(world.pollers) == 2

    def test_two_event_loops_do_not_meet(self, world: World) -> None:
        """Loops in two threads each have their own poller, and both waits end."""
        ids, outcomes = world.create(2), list[WaitOutcome]()

        def run(name: str) -> None:
            outcomes.append(_run(world.wait(world.plan(name))))

        threads = [threading.Thread(target=run, args=(name,)) for name in ids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert [outcome.error for outcome in outcomes] == [None, None]
        assert len(world.pollers) == 2


class TestLeaving:
    """Triggers that go before their export has ended."""

    def test_one_that_is_cancelled_leaves_the_others_alone(self, world: World) -> None:
        """The others wait on, and nobody asks for the export of the one that went."""
        ids = world.create(2)

        async def test() -> None:
            first, second = (world.start(world.plan(name)) for name in ids)
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).error is None
            assert first.cancelled()

        _run(test())
        assert not any(ids[0] in request.path for request in world.server.requests if request.operation == "status")

    def test_the_last_one_cancelled_leaves_nothing(self, world: World) -> None:
        """When all triggers are cancelled in the midst of their calls, no task and no session stays."""
        ids = world.create(10)
        world.server.faults.add("status", "stall", seconds=3600.0, times=None)

        async def test() -> None:
            waits = [world.start(world.plan(name, poll_interval=1.0)) for name in ids[:5]]
            while not world.pollers or not world.pollers[0]._calls:  # noqa: ASYNC110 - the poller tells nobody
                await asyncio.sleep(0.001)  # a call is on its way
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            assert world.pollers[0]._transport._session is None

        _run(test())


class TestRestart:
    """Triggerers that are lost."""

    def test_a_second_trigger_with_the_same_arguments_goes_on(self, world: World) -> None:
        """After a kill, the same arguments in a new loop end the wait; nothing is created on the way."""
        (name,) = world.create()
        plan = world.plan(name)
        world.stops_at = world.now() + 30.0

        async def lost() -> None:
            wait = world.start(plan)
            while world.now() < world.stops_at:  # noqa: ASYNC110 - the clock tells nobody
                await asyncio.sleep(0.001)
            wait.cancel()
            await asyncio.gather(wait, return_exceptions=True)

        _run(lost())
        world.stops_at = float("inf")
        assert _run(world.wait(plan)).error is None
        assert world.asked("create") == 1

    def test_a_deadline_is_not_moved_by_a_restart(self, world: World) -> None:
        """A wait of a quarter of an hour that is begun again after ten minutes ends five minutes later."""
        (name,) = world.create()
        world.server.reset(clock_speed=0.0, seconds_to_complete=60 * MINUTE)
        (name,) = world.create()
        plan, begun = world.plan(name, timeout=15 * MINUTE), world.now()
        world.server.clock.advance(10 * MINUTE)
        outcome = _run(world.wait(plan))
        assert isinstance(outcome.error, SEIExportTimeoutError)
        assert 15 * MINUTE <= world.now() - begun <= 15 * MINUTE + 5.0

    def test_the_same_trigger_twice_is_harmless(self, world: World) -> None:
        """Two waits with the same arguments both end well, having only read."""
        (name,) = world.create()
        plan = world.plan(name)

        async def test() -> list[WaitOutcome]:
            return await asyncio.gather(world.wait(plan), world.wait(plan))

        assert [outcome.error for outcome in _run(test())] == [None, None]
        assert {request.method for request in world.server.requests[1:]} == {"GET"}


class TestTrouble:
    """What must not hurt the others."""

    def test_a_crash_of_the_planner_is_survived(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """A poller that crashes goes on after a few seconds, with all its waits, and says so in its log."""
        ids = world.create(3)

        async def test() -> list[WaitOutcome]:
            waits = [world.start(world.plan(name)) for name in ids]
            await asyncio.sleep(0)
            planner = world.pollers[0]._planner
            sound, crashes = planner.next, [RuntimeError("a fault of our own")]
            planner.next = lambda now: sound(now) if not crashes else _raise(crashes.pop())
            return await asyncio.gather(*waits)

        with caplog.at_level(logging.ERROR, "airflow_provider_sei"):
            assert [outcome.error for outcome in _run(test())] == [None] * 3
        assert "has crashed (1)" in caplog.text

    def test_a_poller_that_cannot_go_on_tells_everybody(self, world: World) -> None:
        """After three crashes in a row each wait ends with an error that a retry can help."""
        ids = world.create(3)

        async def test() -> list[WaitOutcome]:
            waits = [world.start(world.plan(name)) for name in ids]
            await asyncio.sleep(0)
            world.pollers[0]._planner.next = lambda _now: _raise(RuntimeError())
            outcomes = await asyncio.gather(*waits)
            assert (await world.wait(world.plan(ids[0]))).error is None, "a new poller serves the next"
            return outcomes

        assert all(isinstance(outcome.error, SEIConnectionError) for outcome in _run(test()))

    def test_an_answer_that_breaks_the_planner_is_asked_for_again(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An answer that could not be taken in is no end: the same export is asked for once more."""
        (name,) = world.create()

        async def test() -> WaitOutcome:
            wait = world.start(world.plan(name))
            await asyncio.sleep(0)
            planner = world.pollers[0]._planner
            sound, crashes = planner.saw, [RuntimeError("a fault of our own")]
            planner.saw = lambda *given: sound(*given) if not crashes else _raise(crashes.pop())
            return await wait

        with caplog.at_level(logging.ERROR, "airflow_provider_sei"):
            assert _run(test()).error is None
        assert "has crashed (1)" in caplog.text

    def test_a_fault_of_our_own_in_a_call_is_borne(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """Like a server that does not answer, and told with its place."""
        (name,) = world.create()

        async def test() -> WaitOutcome:
            wait = world.start(world.plan(name))
            await asyncio.sleep(0)
            transport = world.pollers[0]._transport
            sound, faults = transport.run, [RuntimeError("a fault of our own")]
            transport.run = lambda *given: sound(*given) if not faults else _raise(faults.pop())
            return await wait

        with caplog.at_level(logging.ERROR, "airflow_provider_sei"):
            assert _run(test()).error is None
        assert f"could not read the status of productivity export {name}" in caplog.text
        assert "has crashed" not in caplog.text

    def test_a_poller_that_is_cancelled_tells_everybody(self, world: World) -> None:
        """Whoever cancels the poller's own task leaves nobody waiting for ever."""
        (name,) = world.create()

        async def test() -> WaitOutcome:
            wait = world.start(world.plan(name))
            await asyncio.sleep(0)
            task = world.pollers[0]._task
            assert task is not None
            await asyncio.sleep(0)
            task.cancel()
            return await wait

        assert isinstance(_run(test()).error, SEIConnectionError)

    @pytest.mark.parametrize(("field", "value"), [("export_id", "a/b"), ("family", "velocity")])
    def test_arguments_that_cannot_be_are_refused_to_their_own_trigger(
        self, world: World, field: str, value: str
    ) -> None:
        """A bad id or family ends its own wait at once; the others' poller does not notice."""
        (name,) = world.create()

        async def test() -> WaitOutcome:
            good = world.start(world.plan(name))
            await asyncio.sleep(0)
            with pytest.raises(SEIArgumentError) as refused:
                await world.wait(replace(world.plan(name), **{field: value}))
            assert refused.value.field == field
            return await good

        assert _run(test()).error is None

    def test_a_429_silences_the_whole_connection(self, world: World) -> None:
        """After a 429 to one of five waits, no call is made for seconds."""
        ids = world.create(5)
        world.server.faults.add("status", "answer", status=429)

        async def test() -> None:
            await asyncio.gather(*(world.wait(world.plan(name)) for name in ids))

        _run(test())
        calls = [request for request in world.server.requests if request.operation == "status"]
        refused = next(request.at for request in calls if request.status == 429)
        assert not any(refused + 0.5 < request.at < refused + 3.5 for request in calls)

    def test_a_server_that_silences_us_for_an_hour_does_not_hold_a_wait(self, world: World) -> None:
        """A Retry-After far beyond the deadline ends the wait two minutes after its deadline, without a call."""
        (name,) = world.create()
        world.server.faults.add("status", "answer", status=429, retry_after=3600)
        plan = world.plan(name, timeout=30.0)
        assert isinstance(_run(world.wait(plan)).error, SEIExportTimeoutError)
        assert world.now() <= plan.deadline + 125.0
        assert world.asked("status") == 1

    def test_trouble_of_all_kinds_is_borne(self, world: World) -> None:
        """Cut connections, 503s, a 429 and a page of HTML in place of answers end no wait."""
        ids = world.create(8)
        for operation in ("status", "list"):
            world.server.faults.add(operation, "close", times=2)
            world.server.faults.add(operation, "answer", status=503, nth=3, times=2)
            world.server.faults.add(operation, "answer", status=429, nth=5)
            world.server.faults.add(operation, "answer", status=200, body="Sign in", kind="html", nth=6)

        async def test() -> list[WaitOutcome]:
            return await asyncio.gather(*(world.wait(world.plan(name)) for name in ids))

        assert [outcome.error for outcome in _run(test())] == [None] * 8


class TestLog:
    """What the triggers' logs are told."""

    def test_each_line_goes_to_its_own_triggers_log(self, world: World) -> None:
        """Lines are written in the context of the trigger that they are about, whoever started the poller."""
        ids = world.create(8)

        async def one(name: str) -> None:
            TRIGGER.set(name)
            await world.wait(world.plan(name))

        async def test() -> None:
            await asyncio.gather(*(one(name) for name in ids))

        _run(test())
        assert {trigger for trigger, _ in world.lines} == set(ids)
        assert all(trigger in line for trigger, line in world.lines)
        assert world.own_contexts == {"nobody"}, "the poller's own lines are no trigger's"

    def test_a_line_is_written_for_each_change_of_state_and_no_other(self, world: World) -> None:
        """A wait of many looks says queued, processing, completed, once each."""
        (name,) = world.create()
        _run(world.wait(world.plan(name)))
        assert world.asked("status") > 4
        words = [line.split(" is ")[1].split(" after ")[0] for _, line in world.lines]
        assert words == ["queued", "processing", "completed"]

    def test_a_log_that_fails_ends_nothing(self, world: World) -> None:
        """A trigger whose log cannot be written to gets its outcome all the same."""
        (name,) = world.create()

        async def test() -> WaitOutcome:
            return await wait_for_export(
                world.plan(name),
                "sei_default",
                world.settings,
                lambda _line: _raise(OSError("disk full")),
                make_poller=world.make_poller,
            )

        assert _run(test()).error is None


class TestTurns:
    """Workers that wait until they may create."""

    def test_turns_and_waits_share_the_poller_and_its_budget(self, world: World) -> None:
        """Forty turns beside twenty waits: turns, at what they stand for, and calls keep to the limit together."""
        world.settings = replace(world.settings, calls_per_minute=120)
        ids = world.create(20)

        async def test() -> list[float]:
            waits = [world.start(world.plan(name)) for name in ids]
            given = await asyncio.gather(*(world.turn() for _ in range(40)))
            await asyncio.gather(*waits)
            return given

        given = _run(test())
        calls = [request.at for request in world.server.requests if request.operation in {"status", "list"}]
        spent = sorted(calls + given * CALLS_PER_EXPORT)
        # A look is noted by the server a moment after it was taken from the budget.
        assert max(sum(begin <= at < begin + MINUTE for at in spent) for begin in spent) <= 120 + 2
        assert len(world.pollers) == 1

    def test_the_earliest_moment_goes_first(self, world: World) -> None:
        """Whoever asks first."""
        begun = world.now()

        async def test() -> list[float]:
            return await asyncio.gather(*(world.turn(begun - age) for age in (1.0, 9.0, 5.0)))

        last, first, second = _run(test())
        assert begun < first < second < last

    def test_one_that_is_cancelled_leaves_the_others_alone(self, world: World) -> None:
        """Its turn is nobody's, and costs nothing."""

        async def test() -> list[float]:
            turns = [asyncio.create_task(world.turn()) for _ in range(3)]
            await asyncio.sleep(0)
            turns[0].cancel()
            await asyncio.wait(turns)
            assert turns[0].cancelled()
            return [turn.result() for turn in turns[1:]]

        begun = world.now()
        assert max(_run(test())) - begun <= 2 * CALLS_PER_EXPORT / RateBudget(240).rate(begun)

    def test_a_poller_that_cannot_go_on_tells_them(self, world: World) -> None:
        """Nobody waits for a turn that nobody gives."""

        async def test() -> None:
            turn = asyncio.create_task(world.turn())
            await asyncio.sleep(0)
            world.pollers[0]._pacer.next = lambda _now: _raise(RuntimeError())
            with pytest.raises(SEIConnectionError):
                await turn

        _run(test())

    def test_many_exports_that_take_turns_are_never_refused(self, world: World, tmp_path: Path, hook: SEIHook) -> None:
        """Eighty at once, by a server that lets nobody make more than 1.5 times the budget's calls a minute."""
        world.server.reset(clock_speed=0.0, queued_seconds=5.0, seconds_to_complete=20.0, rate_limit_per_minute=90)
        world.settings = replace(world.settings, calls_per_minute=60)
        _run(_fan_out(world, hook, tmp_path, 80))
        assert {request.status for request in world.server.requests} <= {200, 201, 202}
        assert len(world.server.exports) == len(list(tmp_path.iterdir())) == 80

    def test_a_storm_of_429s_slows_down_and_loses_nothing(self, world: World, tmp_path: Path, hook: SEIHook) -> None:
        """Looks, creates and downloads are refused again and again: all is delivered once, only later."""
        calm = World(world.server)
        _run(_fan_out(calm, hook, tmp_path, 40))
        calm_seconds = calm.ended_at - calm.begun_at
        world.server.reset(clock_speed=0.0, queued_seconds=20.0, seconds_to_complete=MINUTE)
        for operation, times in (("list", 12), ("status", 12), ("create", 4), ("download", 4)):
            world.server.faults.add(operation, "answer", status=429, nth=3, times=times)
        _run(_fan_out(world, hook, tmp_path / "storm", 40))
        refused = [request.operation for request in world.server.requests if request.status == 429]
        assert set(refused) >= {"list", "create", "download"}
        assert len(world.server.exports) == len(list((tmp_path / "storm").iterdir())) == 40
        assert {export.downloads for export in world.server.exports} == {1}
        assert world.ended_at - world.begun_at > 1.5 * calm_seconds


async def _fan_out(world: World, hook: SEIHook, folder: Path, count: int) -> None:
    """Let so many tasks take their turn, create, wait and deliver, all beginning in the same moment."""
    world.begun_at = world.now()

    async def task(number: int) -> None:
        await world.turn(world.begun_at)
        day = str(date(2020, 1, 1) + timedelta(days=number))
        export = hook.create_export(family="productivity", team_id="456", date_start=day, date_end=day)
        outcome = await world.wait(world.plan(export.export_id))
        assert outcome.export is not None
        assert outcome.error is None
        hook.download_export(outcome.export, Destination.from_arguments(f"{folder}/"))

    await asyncio.gather(*(task(number) for number in range(count)))
    world.ended_at = world.now()


@pytest.fixture
def hook(sei_connection: str, sei_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> SEIHook:
    """A worker's hook, whose pauses let the server's time pass."""
    monkeypatch.setattr(SEIHook, "_pause", lambda _, seconds: sei_server.clock.advance(seconds))
    return SEIHook(sei_connection)


class Recorder:
    """Stands in for Airflow's Stats."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.times: dict[str, timedelta] = {}

    def incr(self, name: str, by: int = 1, *, tags: dict[str, str]) -> None:
        """Count."""
        assert tags == {"family": "productivity"}
        self.counts[name] = self.counts.get(name, 0) + by

    def timing(self, name: str, spent: timedelta, *, tags: dict[str, str]) -> None:
        """Keep a time."""
        assert tags == {"family": "productivity"}
        self.times[name] = spent


class TestStatistics:
    """What Airflow's metrics are told."""

    def test_a_good_wait(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wait counts once when it starts and once when it ends, with the seconds queued and processing."""
        recorder = Recorder()
        monkeypatch.setattr(stats, "_stats", lambda: recorder)
        (name,) = world.create()
        _run(world.wait(world.plan(name)))
        assert recorder.counts == {"sei.waits_started": 1, "sei.waits_succeeded": 1, "sei.polls": world.asked("status")}
        assert 60 <= recorder.times["sei.wait_seconds"].total_seconds() <= 80
        assert 15 <= recorder.times["sei.queued_seconds"].total_seconds() <= 35
        assert 25 <= recorder.times["sei.processing_seconds"].total_seconds() <= 55

    def test_a_turn(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A turn counts when it is given, with the seconds since the moment from which on it was wanted."""
        recorder = Recorder()
        monkeypatch.setattr(stats, "_stats", lambda: recorder)
        wanted = world.now() - 30.0
        given = _run(world.turn(wanted))
        assert recorder.counts == {"sei.turns_given": 1}
        assert recorder.times["sei.turn_seconds"].total_seconds() == pytest.approx(given - wanted, abs=1e-3)

    def test_a_bad_wait_a_throttle_and_list_calls(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Failed waits, answers 429 and list calls have counters of their own."""
        recorder = Recorder()
        monkeypatch.setattr(stats, "_stats", lambda: recorder)
        ids = world.create(8)
        world.server.end_export(ids[0], "failed", "Invalid teamId")
        world.server.faults.add("list", "answer", status=429)

        async def test() -> list[WaitOutcome]:
            return await asyncio.gather(*(world.wait(world.plan(name)) for name in ids))

        _run(test())
        assert recorder.counts["sei.waits_failed"] == 1
        assert recorder.counts["sei.waits_succeeded"] == 7
        assert recorder.counts["sei.throttles"] == 1
        assert recorder.counts["sei.coalesced_polls"] == world.asked("list")
        assert recorder.counts["sei.polls"] == world.asked("list") + world.asked("status")

    def test_a_backend_that_is_out_of_order_ends_nothing(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Waits end well although nothing can be counted."""
        monkeypatch.setattr(stats, "_stats", lambda: _raise(OSError("no route to the metrics host")))
        (name,) = world.create()
        stats.prepare()
        assert _run(world.wait(world.plan(name))).error is None

    def test_airflows_own_stats_are_used(self) -> None:
        """The counters go to what Airflow calls Stats in this version."""
        assert callable(stats._stats().incr)
        assert callable(stats._stats().timing)


def _raise(error: BaseException) -> Any:
    raise error
