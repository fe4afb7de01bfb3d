"""A server and a clock in memory, to drive the planner through hours of waiting in a moment."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from airflow_provider_sei.protocol.budget import RateBudget
from airflow_provider_sei.protocol.errors import SEIError, SEIThrottledError
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.lanes import AskList, AskOne, Watch
from airflow_provider_sei.protocol.listing import MAX_LIMIT, ExportPage
from airflow_provider_sei.protocol.polling import PollPlanner
from airflow_provider_sei.protocol.status import read_status
from airflow_provider_sei.protocol.turns import Pacer, Turn
from airflow_provider_sei.protocol.waiting import WaitOutcome, WaitPlan

START = 1_000_000.0
"""When every simulation begins, in epoch seconds."""
ANSWER_SECONDS = 0.05


@dataclass
class Job:
    """An export at the simulated server."""

    export_id: str
    created_at: float
    ends_at: float
    word: str = "completed"
    reason: str | None = None
    hidden: bool = False
    """Whether no list shows it."""
    stale: bool = False
    """Whether lists say for ever that it is processing."""

    def seen(self, now: float, *, by_list: bool) -> Export:
        """Return what an answer at ``now`` says of the export."""
        word = self.word if now >= self.ends_at and not (by_list and self.stale) else "processing"
        return Export(
            export_id=self.export_id,
            family="productivity",
            status=read_status(word),
            status_word=word,
            error_message=None if by_list or word != "failed" else self.reason,
        )


@dataclass
class Server:
    """Answers as the vendor's does, by jobs that end when they end; ``list_answer`` can make it lie."""

    jobs: dict[str, dict[str, Job]] = field(default_factory=dict)
    """By group, then by id."""
    list_answer: Callable[[AskList, float], ExportPage | SEIError | None] = lambda _ask, _now: None
    one_answer: Callable[[AskOne, float], Export | SEIError | None] = lambda _ask, _now: None
    limit_per_minute: float = math.inf
    calls: list[float] = field(default_factory=list)
    refused: int = 0
    _sorted: dict[tuple[str, str, int], tuple[list[Job], list[float]]] = field(default_factory=dict)

    def add(self, group: str, job: Job) -> None:
        """Have one more export."""
        self.jobs.setdefault(group, {})[job.export_id] = job

    def admits(self, now: float) -> bool:
        """Count a call; refuse it if there were too many within a minute."""
        if len(self.calls) - bisect_right(self.calls, now - 60.0) >= self.limit_per_minute:
            self.refused += 1
            return False
        self.calls.append(now)
        return True

    def answer(self, ask: AskOne | AskList, now: float) -> Export | ExportPage | SEIError:
        """Answer at ``now``."""
        if not self.admits(now):
            return SEIThrottledError("too many", status_code=429)
        if isinstance(ask, AskOne):
            lie = self.one_answer(ask, now)
            group = str(ask.watch.lane.key[1])
            return lie or self.jobs[group][ask.watch.export_id].seen(now, by_list=False)
        return self.list_answer(ask, now) or self.page(ask, now)

    def page(self, ask: AskList, now: float) -> ExportPage:
        """Return one honest page."""
        group = self.jobs[str(ask.lane.key[1])]
        key = (str(ask.lane.key[1]), ask.kind, len(group))
        if key not in self._sorted:
            jobs = [job for job in group.values() if not job.hidden]
            if ask.kind == "sweep":
                jobs.sort(key=lambda job: -job.created_at)
            else:
                word = "completed" if ask.kind == "fresh" else ask.kind
                jobs = sorted((job for job in jobs if job.word == word and not job.stale), key=lambda job: job.ends_at)
            self._sorted[key] = jobs, [job.ends_at for job in jobs]
        jobs, ends = self._sorted[key]
        count = len(jobs) if ask.kind == "sweep" else bisect_right(ends, now)
        numbers = range(ask.page * MAX_LIMIT, min(count, (ask.page + 1) * MAX_LIMIT))
        shown = [jobs[n] if ask.kind == "sweep" else jobs[count - 1 - n] for n in numbers]
        return ExportPage(tuple(job.seen(now, by_list=True) for job in shown), more=(ask.page + 1) * MAX_LIMIT < count)


class Simulation:
    """The poller's loop on simulated time."""

    def __init__(self, server: Server | None = None, *, calls_per_minute: float = 240.0, seed: int = 1) -> None:
        self.server = server or Server()
        self.budget = RateBudget(calls_per_minute)
        self.planner = PollPlanner(self.budget)
        self.pacer = Pacer(self.planner, self.budget)
        self.now = START
        self.random = Random(seed)  # noqa: S311 - the same in every run, not a secret
        self.asked: list[tuple[float, AskOne | AskList]] = []
        self.ended: dict[Watch, tuple[float, WaitOutcome]] = {}
        self.given: list[tuple[float, Turn]] = []
        self.looks: Counter[str] = Counter()
        self._pending: list[tuple[float, int, AskOne | AskList]] = []
        self._order = count()

    def wait(
        self,
        export_id: str,
        seconds: float = math.inf,
        *,
        group: str = "a",
        timeout: float = 86_400.0,
        poll_interval: float | None = None,
        **job: object,
    ) -> Watch:
        """Begin to wait, now, for an export that takes ``seconds`` from now (unless the server has it already)."""
        if export_id not in self.server.jobs.get(group, {}):
            self.server.add(group, Job(export_id, self.now, self.now + seconds, **job))
        plan = WaitPlan(
            family="productivity",
            export_id=export_id,
            started_at=self.now,
            deadline=self.now + timeout,
            poll_interval=poll_interval,
        )
        return self.planner.add(plan, group, self.now, self.random.random())

    def run(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        end = self.now + seconds
        while not until():
            self._note(self.planner.expired(self.now))
            while self._pending and self._pending[0][0] <= self.now:
                self._take(heapq.heappop(self._pending)[2])
            ask = self.pacer.next(self.now)
            if isinstance(ask, Turn):
                self.given.append((self.now, ask))
                continue
            if not isinstance(ask, float):
                self.asked.append((self.now, ask))
                heapq.heappush(self._pending, (self.now + ANSWER_SECONDS, next(self._order), ask))
                continue
            answer_at = self._pending[0][0] if self._pending else math.inf
            then = min(ask, answer_at, self.planner.expires_at())
            if then > end:
                self.now = end
                return
            self.now = max(then, self.now + 1e-6)

    def delays(self, watches: Sequence[Watch]) -> list[float]:
        """Return the seconds from each export's end to the end of its wait, in order of size."""
        jobs = self.server.jobs
        return sorted(
            self.ended[watch][0] - max(jobs[str(watch.lane.key[1])][watch.export_id].ends_at, START)
            for watch in watches
        )

    def singles(self) -> list[tuple[float, str]]:
        """Return when which export was asked for by itself."""
        return [(at - START, ask.watch.export_id) for at, ask in self.asked if isinstance(ask, AskOne)]

    def lists(self, kind: str | None = None) -> list[float]:
        """Return when a list was asked for."""
        return [at - START for at, ask in self.asked if isinstance(ask, AskList) and kind in (None, ask.kind)]

    def _take(self, ask: AskOne | AskList) -> None:
        answer = self.server.answer(ask, self.now)
        if isinstance(answer, SEIThrottledError):
            self.budget.throttled(self.now, None, self.random.random())
        if isinstance(ask, AskOne):
            assert not isinstance(answer, ExportPage)
            self._note(self.planner.saw(ask.watch, answer, self.now, self.random.random()))
        else:
            assert not isinstance(answer, Export)
            self._note(self.planner.listed(ask, answer, self.now))

    def _note(self, ended: list[tuple[Watch, WaitOutcome]]) -> None:
        for watch, outcome in ended:
            assert watch not in self.ended, "a wait ends once"
            self.ended[watch] = (self.now, outcome)


def mixed_seconds(random: Random) -> float:
    """Return how long an export takes: half of them a minute or less, one in twenty more than twenty."""
    return 60.0 * math.exp(random.gauss(0.0, math.log(20.0) / 1.6449))
