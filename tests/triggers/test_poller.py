"""Waits that share a poller, with a server in memory, on an event loop that needs no waiting."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.http import Call, HttpResponse
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.settings import BaseUrl, SEISettings
from airflow_provider_sei.protocol.waiting import WaitOutcome, WaitPlan
from airflow_provider_sei.triggers._poller import shared_poller
from tests.fast_loop import START, run_fast

MINUTE, HOUR = 60.0, 3600.0
TRIGGER = contextvars.ContextVar("TRIGGER", default="nobody")
PAGE = 100
SETTINGS = SEISettings(
    base_url=BaseUrl.from_host("https://sei.example"), api_key="key", project_identifier="p", org_identifier="o"
)


@dataclass
class Job:
    """An export at the server."""

    ends_at: float
    word: str = "completed"
    reason: str | None = None
    hidden: bool = False
    """Whether lists leave it out."""


@dataclass
class Server:
    """Answers calls from memory, in place of a transport."""

    jobs: dict[str, Job] = field(default_factory=dict)
    fault: Callable[[str, float], BaseException | None] = lambda _operation, _at: None
    latency: float = 0.05
    calls: list[tuple[float, str]] = field(default_factory=list)
    """The time and the operation of each call: ``list`` or an export's id."""
    keys: set[str] = field(default_factory=set)
    most_at_once: int = 0
    _running: int = 0
    transports: int = 0
    closed: int = 0

    async def run(self, call: Call[Any], settings: SEISettings) -> Any:
        """Make a call."""
        at, path = time.time(), call.request.path
        operation = path.rpartition("/exports/")[2] if "/exports/" in path else "list"
        self.calls.append((at, operation))
        self.keys.add(settings.api_key)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self._running -= 1
        if error := self.fault(operation, at):
            raise error
        if operation == "list":
            body: Any = self._page(dict(call.request.query))
        else:
            body = self._record(operation) | {"error": self.jobs[operation].reason}
        return call.parse(HttpResponse(200, {}, json.dumps(body).encode()))

    async def close(self) -> None:
        """End the session."""
        self.closed += 1

    def _record(self, name: str) -> dict[str, Any]:
        job = self.jobs[name]
        return {"exportId": name, "status": job.word if time.time() >= job.ends_at else "processing"}

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        ended = [
            name
            for name, job in sorted(self.jobs.items(), key=lambda item: -item[1].ends_at)
            if job.ends_at <= time.time() and job.word.upper() == query["status"] and not job.hidden
        ]
        first = int(query["page"]) * PAGE
        return {"exports": [self._record(name) for name in ended[first : first + PAGE]]}

    def at(self, kind: str) -> list[float]:
        """Return when there were ``list`` calls, or ``status`` calls, in seconds since the start."""
        return [at - START for at, operation in self.calls if (operation == "list") is (kind == "list")]

    def most_in_a_minute(self) -> int:
        """Return the most calls within any 60 seconds."""
        times = [at for at, _ in self.calls]
        return max(bisect_left(times, begin + MINUTE) - first for first, begin in enumerate(times))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server that all pollers of the test call."""
    made = Server()

    def transport() -> Server:
        made.transports += 1
        return made

    monkeypatch.setattr("airflow_provider_sei.transports.aio.AiohttpTransport", transport)
    return made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, server: Server) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a test in a time that passes without waiting; check that every session was closed, and nothing is called."""

    async def quiet(test: Coroutine[Any, Any, Any]) -> Any:
        result = await test
        assert server.closed == server.transports
        calls = len(server.calls)
        await asyncio.sleep(HOUR)
        assert len(server.calls) == calls, "nobody waits any more"
        return result

    return lambda test: run_fast(quiet(test), monkeypatch)


async def wait(
    name: str, *, seconds: float = 24 * HOUR, settings: SEISettings = SETTINGS, lines: Any = None, **changes: Any
) -> tuple[WaitOutcome, float]:
    """Wait as a trigger does; return the outcome, and when it came in seconds since the start."""
    now = time.time()
    plan = WaitPlan(family="productivity", export_id=name, started_at=now, deadline=now + seconds)
    async with shared_poller("sei_default", settings) as poller:
        outcome = await poller.wait(replace(plan, **changes), settings, lines or (lambda _: None))
    return outcome, time.time() - START


async def wait_all(names: Any, **changes: Any) -> dict[str, tuple[WaitOutcome, float]]:
    """Wait for all of them."""
    names = list(names)
    return dict(zip(names, await asyncio.gather(*(wait(name, **changes) for name in names)), strict=True))


def delays(server: Server, ended: dict[str, tuple[WaitOutcome, float]]) -> list[float]:
    """Return the seconds from each export's end to its outcome, in order of size; all must be completed."""
    assert all(outcome.error is None for outcome, _ in ended.values())
    return sorted(at + START - server.jobs[name].ends_at for name, (_, at) in ended.items())


def add(server: Server, count: int, *, seconds: float = MINUTE, spread: float = 0.0, **job: Any) -> list[str]:
    """Add exports that end after ``seconds``, evenly over the ``spread`` that follows; return their ids."""
    names = [f"exp_{len(server.jobs) + number}" for number in range(count)]
    for number, name in enumerate(names):
        server.jobs[name] = Job(START + seconds + spread * number / count, **job)
    return names


class TestAlone:
    """A handful of waits polls each export by itself."""

    def test_polls_get_rarer_and_the_list_is_not_read(self, server: Server, run: Any) -> None:
        """Five seconds first, 1.5 times the root of the time waited later."""
        [name] = add(server, 1, seconds=HOUR)
        [delay] = delays(server, run(wait_all([name])))
        at = server.at("status")
        assert 4.5 <= at[0] <= 5.5
        assert all(
            max(5.0, 1.5 * was**0.5) * 0.89 <= now - was <= max(5.0, 1.5 * was**0.5) * 1.11 + 0.2
            for was, now in pairwise(at)
        )
        assert delay <= 100
        assert server.at("list") == []
        server.calls.clear()
        run(wait_all(add(server, 1, seconds=10 * MINUTE), poll_interval=30.0))
        assert 18 <= len(server.at("status")) <= 22, "an interval of the user's own is kept"

    def test_two_may_wait_for_one_export(self, server: Server, run: Any) -> None:
        """One poll that finds it completed is for both."""
        [name] = add(server, 1, seconds=8.0)
        first, second = run(_together(wait(name), wait(name)))
        assert first[0].export == second[0].export
        assert first[1] == pytest.approx(second[1], abs=0.1)

    def test_each_line_goes_to_the_log_of_its_own_trigger(self, server: Server, run: Any) -> None:
        """Once for each status, whoever started the poller; a log that fails ends no wait."""
        lines: list[tuple[str, str]] = []

        async def one(name: str) -> None:
            TRIGGER.set(name)
            await wait(name, lines=lambda line: lines.append((TRIGGER.get(), line)))

        run(_together(*map(one, add(server, 2)), wait(*add(server, 1), lines=lambda _: 1 / 0)))
        assert Counter(trigger for trigger, _ in lines) == {"exp_0": 2, "exp_1": 2}
        assert all(trigger in line for trigger, line in lines)


class TestMany:
    """From six waits on, the list wakes those whose exports have ended."""

    def test_a_thousand_are_noticed_within_two_seconds(self, server: Server, run: Any) -> None:
        """Within the rate, whatever is being waited for."""
        names = add(server, 1000, spread=MINUTE)
        found = delays(server, run(wait_all(names)))
        assert found[500] <= 1.0
        assert found[990] <= 2.0
        assert server.most_in_a_minute() <= 240

    def test_a_failure_is_an_error_with_the_reason_that_only_its_status_has(self, server: Server, run: Any) -> None:
        """The list says only that it has failed."""
        names = add(server, 20, seconds=HOUR)
        failed, *_ = add(server, 1, seconds=20.0, word="failed", reason="Invalid teamId")
        [dead] = add(server, 1, seconds=20.0, word="cancelled")
        ended = run(wait_all([*names, failed, dead]))
        (failure, failed_at), (cancelled, cancelled_at) = ended[failed], ended[dead]
        assert isinstance(failure.error, errors.SEIExportFailedError)
        assert failure.error.vendor_message == "Invalid teamId"
        assert isinstance(cancelled.error, errors.SEIExportCancelledError)
        assert max(failed_at, cancelled_at) <= 20.0 + 12.0

    def test_what_the_list_hides_is_found_all_the_same(self, server: Server, run: Any) -> None:
        """By the waits' own polls, within the rate."""
        hidden, shown = add(server, 200, hidden=True), add(server, 50, spread=MINUTE)
        ended = run(wait_all([*hidden, *shown]))
        assert delays(server, {name: ended[name] for name in hidden})[-1] <= 5 * MINUTE
        assert delays(server, {name: ended[name] for name in shown})[-1] <= 3.0
        assert server.most_in_a_minute() <= 240

    @pytest.mark.parametrize(
        "error",
        [
            errors.SEINotFoundError("404", status_code=404),
            errors.SEIServerError("503"),
            errors.SEIUnexpectedResponseError("page"),
            RuntimeError("bug"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_a_list_that_never_works_is_done_without(
        self, server: Server, run: Any, caplog: pytest.LogCaptureFixture, error: BaseException
    ) -> None:
        """Every export is polled by itself, and the list is hardly asked any more."""
        server.fault = lambda operation, _: error if operation == "list" else None
        names = add(server, 100)
        with caplog.at_level(logging.INFO, "airflow_provider_sei"):
            found = delays(server, run(wait_all(names)))
        assert found[-1] <= MINUTE
        assert len(server.at("list")) <= 8
        assert "one by one" in caplog.text
        assert server.most_in_a_minute() <= 240

    def test_a_list_that_recovers_is_used_again(self, server: Server, run: Any) -> None:
        """After pauses that grow; a short failure changes nothing."""
        server.fault = lambda operation, at: (
            errors.SEIServerError("503") if operation == "list" and at < START + 60 else None
        )
        names = add(server, 300, seconds=20 * MINUTE, spread=MINUTE)
        assert delays(server, run(wait_all(names)))[290] <= 2.0

    def test_a_crash_of_the_list_task_is_only_logged(
        self, server: Server, run: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The waits go on by their own schedules."""
        monkeypatch.setattr("airflow_provider_sei.triggers._poller.list_query", lambda **_: 1 / 0)
        assert delays(server, run(wait_all(add(server, 20))))[-1] <= MINUTE
        assert "ZeroDivisionError" in caplog.text

    def test_few_that_wait_long_read_it_rarely(self, server: Server, run: Any) -> None:
        """Not much more often than each would be polled, and not once the sixth last has ended."""
        run(wait_all(add(server, 6, seconds=2 * HOUR)))
        assert len([at for at in server.at("list") if at > HOUR]) <= HOUR / 3
        server.calls.clear()
        server.jobs.clear()
        add(server, 15, seconds=30.0)
        add(server, 5, seconds=HOUR)
        run(wait_all(server.jobs))
        assert max(server.at("list")) <= 35

    def test_more_than_a_page_of_completions_is_read_to_its_end(self, server: Server, run: Any) -> None:
        """Also after a restart of the triggerer, when all had ended before."""
        names = add(server, 450, seconds=-60.0)
        assert run(wait_all(names))[names[0]][1] <= 5.0
        assert len(server.at("list")) <= 6


class TestRate:
    """One rate limit for all calls of a connection."""

    @pytest.mark.parametrize("refused", ["list", "status"])
    def test_a_429_slows_everything_down(self, server: Server, run: Any, refused: str) -> None:
        """No call for some seconds, then half the rate for two minutes."""
        hit: list[float] = []

        def fault(operation: str, at: float) -> BaseException | None:
            if not hit and at > START + 30 and (operation == "list") is (refused == "list"):
                hit.append(at + 0.05 - START)
                return errors.SEIRateLimitError("429", status_code=429)
            return None

        server.fault = fault
        names = add(server, 1000, seconds=10 * MINUTE, hidden=True)
        run(_stopped_after(5 * MINUTE, wait_all(names)))
        at, [begun] = [at - START for at, _ in server.calls], hit
        assert not [one for one in at if begun + 0.1 < one < begun + 2.4]
        slow, normal = (
            len([one for one in at if begun + first <= one < begun + first + MINUTE]) for first in (10, 180)
        )
        assert slow <= 121
        assert slow < normal <= 240

    def test_a_retry_after_is_respected_up_to_five_minutes(self, server: Server, run: Any) -> None:
        """And no wait goes on after its deadline for it."""
        server.fault = lambda *_: errors.SEIRateLimitError("429", status_code=429, retry_after="3600")
        [name] = add(server, 1, seconds=0.0)
        outcome, at = run(wait(name, seconds=30.0))
        assert isinstance(outcome.error, errors.SEIExportTimeoutError)
        assert at <= 31.0
        assert len(server.calls) == 1
        server.calls.clear()
        run(_stopped_after(10 * MINUTE, wait(name)))
        first, second, *_ = server.at("status")
        assert 300 <= second - first <= 310

    def test_without_a_list_twenty_keep_to_a_small_rate(self, server: Server, run: Any) -> None:
        """The rate is the connection's."""
        server.fault = lambda operation, _: errors.SEINotFoundError("404") if operation == "list" else None
        run(wait_all(add(server, 20), settings=replace(SETTINGS, calls_per_minute=30)))
        assert server.most_in_a_minute() <= 30

    def test_two_projects_share_it(self, server: Server, run: Any) -> None:
        """Each has its own list."""
        other = replace(SETTINGS, project_identifier="q")
        first, second = add(server, 300, spread=MINUTE), add(server, 300, spread=MINUTE)
        ended, others = run(_together(wait_all(first), wait_all(second, settings=other)))
        assert delays(server, ended | others)[588] <= 2.0
        assert server.most_in_a_minute() <= 240
        assert server.transports == 1

    def test_a_slow_server_gets_few_calls_at_the_same_time(self, server: Server, run: Any) -> None:
        """So that the sockets stay few."""
        server.latency = MINUTE
        run(_stopped_after(10 * MINUTE, wait_all(add(server, 500, seconds=HOUR))))
        assert server.most_at_once == 32

    def test_a_call_of_a_watcher_waits_for_it_but_not_behind_all_polls(self, server: Server, run: Any) -> None:
        """List calls and polls alternate."""
        server.fault = lambda operation, _: errors.SEINotFoundError("404") if operation == "list" else None
        took: list[float] = []

        async def watch() -> None:
            await asyncio.sleep(2 * MINUTE)
            async with shared_poller("sei_default", SETTINGS) as poller:
                with pytest.raises(errors.SEINotFoundError):
                    await poller.call(list_call(get_family("ba"), list_query()), SETTINGS, "ba")
            took.append(time.time() - START - 2 * MINUTE)

        run(_together(watch(), _stopped_after(3 * MINUTE, wait_all(add(server, 1500, seconds=HOUR)))))
        assert took[0] <= 1.0

    def test_waits_that_are_cancelled_free_their_slots(self, server: Server, run: Any) -> None:
        """One that comes after a hundred that have gone does not wait for theirs."""
        server.fault = lambda operation, _: errors.SEINotFoundError("404") if operation == "list" else None

        async def test() -> float:
            await _stopped_after(10.0, wait_all(add(server, 400, seconds=HOUR)))
            [name] = add(server, 1, seconds=0.0)
            return (await wait(name))[1]

        keep = add(server, 1, seconds=HOUR)
        assert run(_first(test(), wait(*keep))) <= 10.0 + 6.0


class TestDeadline:
    """Deadlines are points in time."""

    @pytest.mark.parametrize("count", [1, 50])
    def test_a_last_poll_is_made_at_the_deadline(self, server: Server, run: Any, count: int) -> None:
        """It may find what no earlier one could."""
        names = add(server, count, seconds=HOUR - 0.5, hidden=True)
        ended = run(wait_all(names, seconds=HOUR))
        assert delays(server, ended)[-1] <= 0.6 + count * 0.35

    def test_one_that_has_passed_still_allows_one_poll(self, server: Server, run: Any) -> None:
        """The triggerer may have been away while the export was completed."""
        done, busy = add(server, 1, seconds=-HOUR) + add(server, 1, seconds=HOUR)
        ended = run(wait_all([done, busy], seconds=-10.0))
        assert ended[done][0].error is None
        assert isinstance(ended[busy][0].error, errors.SEIExportTimeoutError)
        assert len(server.calls) == 2

    def test_a_last_poll_that_cannot_be_had_is_done_without(self, server: Server, run: Any) -> None:
        """Two minutes after the deadline."""
        server.latency = 10 * HOUR
        outcome, at = run(wait(*add(server, 1), seconds=MINUTE))
        assert isinstance(outcome.error, errors.SEIExportTimeoutError)
        assert at == pytest.approx(MINUTE + 120.0, abs=1.0)

    def test_thousands_end_in_time_without_a_list(self, server: Server, run: Any) -> None:
        """Though there are not enough calls to poll them all."""
        server.fault = lambda operation, _: errors.SEINotFoundError("404") if operation == "list" else None
        ended = run(wait_all(add(server, 2000, seconds=HOUR), seconds=5 * MINUTE))
        assert max(at for _, at in ended.values()) <= 5 * MINUTE + 121.0
        assert all(isinstance(outcome.error, errors.SEIExportTimeoutError) for outcome, _ in ended.values())


class TestErrors:
    """What ends one wait does not end another."""

    def test_a_refusal_ends_only_its_own_wait(self, server: Server, run: Any) -> None:
        """A bug in a call is tolerated like a server that does not answer, a bad argument is refused immediately."""
        good, refused, broken = add(server, 3)
        server.fault = lambda operation, _: {refused: errors.SEIAuthError("403"), broken: KeyError("bug")}.get(
            operation
        )

        async def bad() -> None:
            for change in ({"export_id": "a/b"}, {"family": "velocity"}):
                with pytest.raises(errors.SEIArgumentError):
                    await wait(good, **change)

        ended, _ = run(_together(wait_all([good, refused, broken]), bad()))
        assert ended[good][0].error is None
        assert isinstance(ended[refused][0].error, errors.SEIAuthError)
        assert isinstance(ended[broken][0].error, errors.SEIConnectionError)
        assert 15 * MINUTE <= ended[broken][1] <= 17 * MINUTE

    def test_transient_errors_of_all_kinds_end_no_wait(self, server: Server, run: Any) -> None:
        """Of the list and of the status."""
        kinds = [errors.SEIConnectionError, errors.SEIServerError, errors.SEIRateLimitError]
        faults = [kind("transient") for kind in (*kinds, errors.SEIUnexpectedResponseError)]
        server.fault = lambda *_: faults.pop() if faults else None
        assert len(delays(server, run(wait_all(add(server, 8))))) == 8


def test_a_changed_key_gets_a_new_poller(server: Server, run: Any) -> None:
    """Waits that have begun with the old one finish with it; a third shares the new, a later one begins anew."""
    changed = replace(SETTINGS, api_key="new")
    names = add(server, 3)
    run(_together(wait(names[0]), *(wait(name, settings=changed) for name in names[1:])))
    assert (server.transports, server.keys) == (2, {"key", "new"})
    run(wait(names[0]))
    assert server.transports == 3


class TestMetrics:
    """What Airflow's metrics get."""

    def test_waits_calls_and_429s_are_counted(self, server: Server, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tagged with the family."""
        counts, times = Counter[str](), list[timedelta]()

        class Stats:
            def incr(self, name: str, by: int = 1, *, tags: dict[str, str]) -> None:
                assert tags == {"family": "productivity"}
                counts[name] += by

            def timing(self, name: str, spent: timedelta, *, tags: dict[str, str]) -> None:
                assert (name, tags) == ("sei.wait_seconds", {"family": "productivity"})
                times.append(spent)

        monkeypatch.setattr("airflow.providers.common.compat.sdk.Stats", Stats())
        throttled = [errors.SEIRateLimitError("429")]
        server.fault = lambda *_: throttled.pop() if throttled else None
        run(wait_all([*add(server, 7), *add(server, 1, word="failed", reason="x")]))
        lists, calls = len(server.at("list")), len(server.calls)
        assert counts == {
            "sei.waits_started": 8,
            "sei.waits_succeeded": 7,
            "sei.waits_failed": 1,
            "sei.polls": calls,
            "sei.coalesced_polls": lists,
            "sei.throttles": 1,
        }
        assert all(timedelta(minutes=1) <= spent <= timedelta(minutes=2) for spent in times)

    def test_a_backend_that_fails_ends_nothing(self, server: Server, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Waits end well although nothing can be counted; otherwise Airflow's own Stats of this version count."""
        from airflow.providers.common.compat.sdk import Stats

        assert callable(Stats.incr)
        assert callable(Stats.timing)
        monkeypatch.setattr("airflow.providers.common.compat.sdk.Stats", None)
        assert run(wait(*add(server, 1)))[0].error is None


async def _together(*tests: Coroutine[Any, Any, Any]) -> list[Any]:
    return list(await asyncio.gather(*tests))


async def _first(test: Coroutine[Any, Any, Any], beside: Coroutine[Any, Any, Any]) -> Any:
    task = asyncio.create_task(beside)
    try:
        return await test
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _stopped_after(seconds: float, test: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.create_task(test)
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
