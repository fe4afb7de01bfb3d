"""``create_jitter``: what a task waits for before it creates its export."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEICreateExportOperator, SEIExportOperator
from airflow_provider_sei.protocol.turns import TURN_PATIENCE

MakeOperator = Callable[..., SEIExportOperator]
Fire = Callable[..., dict[str, Any]]
REQUEST = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}


def deferred(operator: SEIExportOperator, context: Any = None) -> TaskDeferred:
    """Run the operator up to its deferral."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context or {})
    return caught.value


def slow(sei_server: Any, worker_clock: Any) -> None:
    """Let exports take a minute from now on."""
    sei_server.reset(clock_speed=0.0, seconds_to_complete=60.0, queued_seconds=10.0)
    worker_clock.now = sei_server.clock()


class Store:
    """Airflow's task state store, as far as it is used."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str) -> Any:
        """Return what was kept."""
        return json.loads(self.kept.get(key, "null"))

    def set(self, key: str, value: Any) -> None:
        """Keep ``value``."""
        self.kept[key] = json.dumps(value)


class TestDeferred:
    """Waiting for a turn without a worker."""

    def test_without_jitter_nobody_waits(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """That is the default."""
        export_operator().execute({})
        assert len(sei_server.exports) == 1

    def test_nothing_is_sent_before_the_turn(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """The trigger is told when, for whom, and no secret."""
        now = worker_clock.now
        deferral = deferred(export_operator(create_jitter=300))
        path, arguments = deferral.trigger.serialize()
        assert path == "airflow_provider_sei.triggers.turn.SEITurnTrigger"
        assert now <= arguments["moment"] <= now + 300
        assert arguments == {
            "family": "productivity",
            "moment": arguments["moment"],
            "give_up_at": arguments["moment"] + TURN_PATIENCE,
            "ends_at": None,
            "sei_conn_id": "sei_default",
            "version": 1,
        }
        assert json.loads(json.dumps(arguments)) == arguments
        assert sei_server.api_key not in str(arguments)
        assert deferral.method_name == "execute_turn"
        assert sei_server.requests == []

    def test_moments_are_spread(self, export_operator: MakeOperator, worker_clock: Any) -> None:
        """Each task draws its own."""
        moments = [deferred(export_operator(create_jitter=100)).trigger.moment for _ in range(50)]
        assert max(moments) - min(moments) > 50
        assert worker_clock.pauses == []

    def test_airflows_own_timeout_is_only_a_backstop(self, export_operator: MakeOperator, worker_clock: Any) -> None:
        """It comes some minutes after the trigger has given up."""
        deferral = deferred(export_operator(create_jitter=1))
        rest = timedelta(seconds=deferral.trigger.give_up_at - worker_clock.now)
        assert rest < deferral.timeout <= rest + timedelta(minutes=10)

    def test_the_resumed_task_creates_waits_and_delivers(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, fire: Fire, tmp_path: Path
    ) -> None:
        """In three legs, each in another process, from the triggers' events alone."""
        slow(sei_server, worker_clock)
        turn = deferred(export_operator(create_jitter=0.01))
        turn.trigger.moment = turn.trigger.give_up_at = 0.0  # the clock of this test is not the triggerer's
        event = json.loads(json.dumps(fire(turn.trigger)))
        with pytest.raises(TaskDeferred) as caught:
            getattr(export_operator(), turn.method_name)({}, event)
        assert caught.value.method_name == "execute_complete"
        sei_server.clock.advance(60)
        result = export_operator().execute_complete({}, fire(caught.value.trigger))
        [record] = sei_server.exports
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == record.csv
        assert (result["export_id"], result["reused"], record.requested) == (record.export_id, False, 1)

    def test_wait_timeout_counts_from_the_create_call(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """However long the turn was in coming."""
        slow(sei_server, worker_clock)
        deferred(export_operator(create_jitter=60, wait_timeout=900))
        worker_clock.sleep(7200)
        with pytest.raises(TaskDeferred) as caught:
            export_operator(create_jitter=60, wait_timeout=900).execute_turn({}, {"outcome": "turn"})
        assert caught.value.trigger.started_at == worker_clock.now
        assert caught.value.trigger.deadline == worker_clock.now + 900

    @pytest.mark.parametrize("event", [None, "success", {}, {"version": 9, "outcome": "?"}])
    def test_whatever_the_event_says_the_task_goes_on(
        self, export_operator: MakeOperator, sei_server: Any, event: Any
    ) -> None:
        """A turn is a courtesy, not a condition."""
        assert export_operator(create_jitter=60).execute_turn({}, event)["export_id"]
        assert len(sei_server.exports) == 1


class TestExecutionTimeout:
    """It ends all that a try waits for."""

    def test_it_ends_the_wait_for_the_turn(self, export_operator: MakeOperator, worker_clock: Any) -> None:
        """Counted from the start of the try; the trigger passes it on."""
        begun = worker_clock.now - 100
        context = {"ti": SimpleNamespace(start_date=datetime.fromtimestamp(begun, UTC), max_tries=0)}
        operator = export_operator(create_jitter=60, execution_timeout=timedelta(minutes=10))
        trigger = deferred(operator, context).trigger
        assert trigger.give_up_at == trigger.ends_at == pytest.approx(begun + 600, rel=0, abs=0.01)

    def test_it_ends_the_wait_for_the_export_too(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """Though Airflow 3.0 calls the moment of resuming the start of the task."""
        slow(sei_server, worker_clock)
        operator = export_operator(create_jitter=60, execution_timeout=timedelta(minutes=10))
        ends_at = worker_clock.now + 250
        resumed = {"ti": SimpleNamespace(start_date=datetime.fromtimestamp(worker_clock.now, UTC), max_tries=0)}
        with pytest.raises(TaskDeferred) as caught:
            operator.execute_turn(resumed, {"version": 1, "outcome": "turn", "ends_at": ends_at})
        assert caught.value.trigger.deadline == ends_at

    def test_a_task_whose_time_is_over_creates_nothing(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """It fails by the error of a timeout, which a retry can help."""
        operator = export_operator(create_jitter=60, execution_timeout=timedelta(minutes=10))
        with pytest.raises(exceptions.SEIExportTimeoutError, match="nothing was created") as caught:
            operator.execute_turn({}, {"version": 1, "outcome": "turn", "ends_at": worker_clock.now})
        assert not isinstance(caught.value, AirflowFailException)
        assert sei_server.requests == []


class TestHeldWorker:
    """Where nothing can be deferred."""

    @pytest.mark.parametrize("kind", ["export", "create"])
    def test_it_pauses_by_chance_and_not_longer(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, kind: str
    ) -> None:
        """Once, before it creates."""
        begun, pauses = worker_clock.now, []
        for number in range(20):
            day = f"2024-01-{number + 1:02}"
            if kind == "export":
                export_operator(deferrable=False, create_jitter=60, date_start=day).execute({})
            else:
                arguments = REQUEST | {"date_start": day, "create_jitter": 60}
                SEICreateExportOperator(task_id="create", **arguments).execute({})
            pauses.append(worker_clock.pauses.pop())
            assert worker_clock.pauses == []
        assert all(0 <= pause <= 60 for pause in pauses)
        assert max(pauses) - min(pauses) > 20
        assert sei_server.requests[0].at == pytest.approx(begun + pauses[0], abs=1e-3)

    def test_wait_timeout_counts_from_the_create_call(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not from before the pause."""
        slow(sei_server, worker_clock)
        monkeypatch.setattr("random.random", lambda: 0.5)
        with pytest.raises(exceptions.SEIExportTimeoutError, match="after 30 s"):
            export_operator(deferrable=False, create_jitter=1000, wait_timeout=30).execute({})


class TestRetry:
    """A further try."""

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_one_that_has_an_export_does_not_wait(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, *, deferrable: bool
    ) -> None:
        """It has nothing to create."""
        context = {"ti": SimpleNamespace(start_date=None, max_tries=2), "task_state_store": Store()}
        first = export_operator().execute(context)
        again = export_operator(create_jitter=3600, deferrable=deferrable).execute(context)
        assert (again["export_id"], worker_clock.pauses) == (first["export_id"], [])
        assert len(sei_server.exports) == 1

    def test_one_that_a_user_has_cleared_waits(self, export_operator: MakeOperator) -> None:
        """It is to create afresh."""
        store = Store()
        export_operator().execute({"ti": SimpleNamespace(start_date=None, max_tries=2), "task_state_store": store})
        cleared = {"ti": SimpleNamespace(start_date=None, max_tries=3), "task_state_store": store}
        assert deferred(export_operator(create_jitter=3600), cleared).method_name == "execute_turn"


class TestMistakes:
    """Found before anybody waits."""

    @pytest.mark.parametrize(
        ("field", "rendered", "words"),
        [
            ("create_jitter", "soon", "create_jitter must be a number of seconds"),
            ("create_jitter", "-1", "create_jitter must be a number of seconds, at least 0"),
            ("create_jitter", "100000", "create_jitter must be a day at most"),
            ("reused_failed", "ignore", "reused_failed 'ignore' is not one of fail, retry"),
            ("wait_timeout", "long", "wait_timeout must be a number of seconds"),
            ("destination", "", "destination '' is not a path or URL"),
            ("team_id", "", "neither team_id nor org_tree_name is given"),
        ],
    )
    def test_a_value_that_renders_to_nonsense_fails_at_once(
        self, export_operator: MakeOperator, sei_server: Any, *, field: str, rendered: str, words: str
    ) -> None:
        """Not after hours in a queue."""
        operator = export_operator(**{"create_jitter": 60} | {field: "{{ value }}"})
        operator.render_template_fields({"value": rendered})
        with pytest.raises(exceptions.SEIUsageError, match=words) as caught:
            operator.execute({})
        assert caught.value.field == field
        assert sei_server.requests == []

    def test_a_rendered_number_is_one(self, export_operator: MakeOperator) -> None:
        """Templates render to text."""
        operator = export_operator(create_jitter="{{ value }}")
        operator.render_template_fields({"value": 60})
        assert deferred(operator).method_name == "execute_turn"
        operator = export_operator(create_jitter="{{ value }}")
        operator.render_template_fields({"value": 0})
        assert operator.execute({})["export_id"]
