"""An event loop whose clock jumps to the next timer as soon as nothing is left to do."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest  # noqa: TC002 - as in all tests

T = TypeVar("T")
START = 1_700_000_000.0
"""Epoch seconds at which every test begins."""


class FastLoop(asyncio.SelectorEventLoop):
    """For code without threads and sockets: hours pass in milliseconds, and always in the same way."""

    def __init__(self) -> None:
        self._now = 0.0
        loop = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
                assert timeout is not None, "everything waits, and nothing will ever happen"
                loop._now += timeout
                return super().select(0)

        super().__init__(Selector())

    def time(self) -> float:
        """Return the seconds since the loop was made."""
        return self._now


def run_fast(test: Coroutine[Any, Any, T], monkeypatch: pytest.MonkeyPatch) -> T:
    """Run ``test`` on such a loop, with ``time.time`` following it; check that no task is left behind."""

    async def checked() -> T:
        result = await test
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    with asyncio.Runner(loop_factory=FastLoop) as runner, monkeypatch.context() as patch:
        loop = runner.get_loop()
        patch.setattr("time.time", lambda: START + loop.time())
        patch.setattr("random.random", random.Random(1).random)  # noqa: S311 - the same in every run
        return runner.run(checked())
