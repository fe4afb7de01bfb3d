"""``SEITurnTrigger``, run as the triggerer runs it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_sei.protocol.budget import RateBudget
from airflow_provider_sei.protocol.events import read_turn
from airflow_provider_sei.triggers import poller, sharing
from airflow_provider_sei.triggers.turn import SEITurnTrigger

Fire = Callable[..., dict[str, Any]]


@pytest.fixture
def trigger(sei_connection: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SEITurnTrigger]:
    """Make a trigger whose turn comes at once, of a connection that may call as often as it likes."""
    assert sei_connection == "sei_default"
    monkeypatch.setattr(poller, "RateBudget", lambda _calls_per_minute: RateBudget(1_000_000))

    def make(**changes: Any) -> SEITurnTrigger:
        now = time.time()
        return SEITurnTrigger(**{"family": "ba", "moment": now, "give_up_at": now + 20.0} | changes)

    return make


class TestSerialize:
    """What is kept in Airflow's database."""

    ARGUMENTS: dict[str, Any] = {  # noqa: RUF012 - a constant of the tests
        "family": "ba",
        "moment": 1_767_000_000.5,
        "give_up_at": 1_767_086_400.5,
        "ends_at": 1_767_003_600.25,
        "sei_conn_id": "sei_eu",
        "version": 1,
    }

    def test_it_is_this_class_and_these_arguments(self) -> None:
        """A change here is a change for triggers that wait in somebody's database."""
        assert SEITurnTrigger(**self.ARGUMENTS).serialize() == (
            "airflow_provider_sei.triggers.turn.SEITurnTrigger",
            self.ARGUMENTS,
        )

    def test_airflow_gives_back_what_it_was_given(self) -> None:
        """Through its own encryption and decoding."""
        from airflow.models.trigger import Trigger
        from airflow.serialization.decoders import smart_decode_trigger_kwargs

        path, arguments = SEITurnTrigger(**self.ARGUMENTS).serialize()
        restored = smart_decode_trigger_kwargs(Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(arguments)))
        assert SEITurnTrigger(**restored).serialize() == (path, arguments)

    def test_running_changes_no_argument(self, trigger: Any, fire: Fire) -> None:
        """What runs again after a restart waits for the same moment, and not beyond the same end."""
        waiting = trigger()
        before = waiting.serialize()
        fire(waiting)
        assert waiting.serialize() == before


class TestTurn:
    """The one event."""

    def test_it_calls_nobody_and_creates_nothing(
        self, trigger: Any, sei_server: Any, fire: Fire, task_log: Any
    ) -> None:
        """A turn is between the tasks of one connection."""
        assert fire(trigger()) == {"version": 1, "outcome": "turn", "ends_at": None}
        assert sei_server.requests == []
        assert "without" not in task_log.text

    def test_it_does_not_come_before_its_moment(self, trigger: Any, fire: Fire) -> None:
        """The moment was drawn by chance, to keep tasks apart."""
        moment = time.time() + 0.1
        fire(trigger(moment=moment))
        assert time.time() >= moment

    def test_it_tells_when_the_tasks_time_is_over(self, trigger: Any, fire: Fire) -> None:
        """As JSON, which is what an event becomes."""
        event = json.loads(json.dumps(fire(trigger(ends_at=1_767_003_600.25))))
        assert read_turn(event) == 1_767_003_600.25

    def test_many_fire_each_their_own(self, trigger: Any, task_log: Any) -> None:
        """And nothing is left of what they shared."""

        async def test() -> list[Any]:
            events = await asyncio.gather(*(_first(trigger()) for _ in range(50)))
            assert not sharing._pollers.get(asyncio.get_running_loop())
            return events

        assert len(asyncio.run(test())) == 50
        assert "without" not in task_log.text


class TestNeverForEver:
    """A turn that does not come lets the task go on without."""

    def test_its_end_is_a_moment(self, trigger: Any, fire: Fire, task_log: Any) -> None:
        """It has passed while the triggerer was away: the event is there at once, though the moment is far off."""
        now = time.time()
        assert fire(trigger(moment=now + 3600.0, give_up_at=now - 1.0))["outcome"] == "turn"
        assert "No turn has come for this ba export" in task_log.text

    def test_a_restart_does_not_restart_it(self, trigger: Any, monkeypatch: pytest.MonkeyPatch, task_log: Any) -> None:
        """One whose moment was an hour ago, and whose end is now, does not wait for another hour."""
        now, budget = time.time(), RateBudget(240)
        budget.throttled(now, 3600.0, 0.5)
        monkeypatch.setattr(poller, "RateBudget", lambda _: budget)
        _, arguments = trigger(moment=now - 3600.0, give_up_at=now).serialize()
        asyncio.run(asyncio.wait_for(_first(SEITurnTrigger(**arguments)), 20))
        assert "No turn has come for this ba export" in task_log.text

    def test_a_silenced_connection_does_not_hold_it(
        self, trigger: Any, monkeypatch: pytest.MonkeyPatch, fire: Fire, task_log: Any
    ) -> None:
        """A server that wants no call for an hour lets no turn be given; the trigger's own end comes sooner."""
        budget = RateBudget(240)
        budget.throttled(time.time(), 3600.0, 0.5)
        monkeypatch.setattr(poller, "RateBudget", lambda _: budget)
        fire(trigger(give_up_at=time.time() + 0.3))
        assert "No turn has come for this ba export" in task_log.text

    def test_a_connection_that_cannot_be_used_does_not_hold_it(
        self, trigger: Any, sei_server: Any, monkeypatch: pytest.MonkeyPatch, fire: Fire, task_log: Any
    ) -> None:
        """The create call meets the same, and its words are in the task's log."""
        connection = json.loads(sei_server.connection_json()) | {"password": ""}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))
        assert fire(trigger())["outcome"] == "turn"
        assert "Could not wait for a turn" in task_log.text
        assert "the API key is missing" in task_log.text

    def test_one_that_is_cancelled_leaves_nothing_behind(self, trigger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """No event, no task and no poller."""
        asked = asyncio.Event()
        sound = sharing.wait_for_turn

        async def wait_for_turn(*given: Any) -> None:
            asked.set()
            await sound(*given)

        monkeypatch.setattr(sharing, "wait_for_turn", wait_for_turn)

        async def cancel() -> set[asyncio.Task[Any]]:
            lost = asyncio.create_task(_first(trigger()))
            async with asyncio.timeout(20):
                await asked.wait()
            lost.cancel()
            with pytest.raises(asyncio.CancelledError):
                await lost
            assert not sharing._pollers.get(asyncio.get_running_loop())
            return asyncio.all_tasks() - {asyncio.current_task()}

        assert asyncio.run(cancel()) == set()


async def _first(trigger: SEITurnTrigger) -> Any:
    return await anext(trigger.run())


@pytest.mark.parametrize("event", [None, "success", {}, {"ends_at": "soon"}, {"ends_at": None}])
def test_an_event_that_says_nothing_sets_no_end(event: object) -> None:
    """The task goes on: whatever went wrong with a turn, nothing is lost."""
    assert read_turn(event) == float("inf")
