"""``create_jitter``: a random delay before the create call."""

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

MakeOperator = Callable[..., SEIExportOperator]
REQUEST = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}


def deferred(operator: SEIExportOperator, context: Any = None) -> TaskDeferred:
    """Run the operator up to its deferral."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context or {})
    return caught.value


def delay_of(deferral: TaskDeferred) -> float:
    """Return the seconds from now on after which Airflow's trigger fires."""
    path, arguments = deferral.trigger.serialize()
    assert path.endswith(".temporal.DateTimeTrigger")
    seconds: float = (arguments["moment"] - datetime.now(UTC)).total_seconds()
    return seconds


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
    """Without a worker, by Airflow's own trigger."""

    def test_without_jitter_the_export_is_created_immediately(
        self, export_operator: MakeOperator, sei_server: Any
    ) -> None:
        """That is the default."""
        export_operator().execute({})
        assert len(sei_server.exports) == 1

    def test_delays_are_random_and_nothing_is_sent_before(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """Each task draws its own."""
        deferrals = [deferred(export_operator(create_jitter=100)) for _ in range(50)]
        delays = [delay_of(deferral) for deferral in deferrals]
        assert all(-1 <= delay <= 100 for delay in delays)
        assert max(delays) - min(delays) > 50
        assert {deferral.method_name for deferral in deferrals} == {"execute_create"}
        assert all(deferral.timeout > timedelta(seconds=100) for deferral in deferrals)
        assert sei_server.requests == []

    def test_the_resumed_task_creates_waits_and_delivers(
        self,
        export_operator: MakeOperator,
        sei_server: Any,
        worker_clock: Any,
        fire: Any,
        tmp_path: Path,
    ) -> None:
        """In three legs, each in another process; ``wait_timeout`` counts from the create call."""
        sei_server.reset(clock_speed=0.0, seconds_to_complete=60.0, queued_seconds=10.0)
        worker_clock.now = sei_server.clock()
        jitter = deferred(export_operator(create_jitter=60, wait_timeout=900))
        worker_clock.sleep(7200)
        operator = export_operator(create_jitter=60, wait_timeout=900)
        with pytest.raises(TaskDeferred) as caught:
            getattr(operator, jitter.method_name)({}, event=datetime.now(UTC), **json.loads(json.dumps(jitter.kwargs)))
        assert caught.value.method_name == "execute_complete"
        assert caught.value.trigger.started_at == worker_clock.now
        assert caught.value.trigger.deadline == worker_clock.now + 900
        sei_server.clock.advance(60)
        result = export_operator().execute_complete({}, fire(caught.value.trigger))
        [record] = sei_server.exports
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == record.csv
        assert (result["export_id"], result["reused"], record.requested) == (record.export_id, False, 1)


class TestExecutionTimeout:
    """It counts from the start of the try."""

    def test_it_cuts_the_delay_and_ends_the_wait(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """Though Airflow 3.0 calls the moment of resuming the start of the task."""
        sei_server.reset(clock_speed=0.0, seconds_to_complete=60.0, queued_seconds=10.0)
        worker_clock.now = sei_server.clock()
        begun = worker_clock.now - 100
        context = {"ti": SimpleNamespace(start_date=datetime.fromtimestamp(begun, UTC), max_tries=0)}
        operator = export_operator(create_jitter=86_000, execution_timeout=timedelta(minutes=10))
        jitter = deferred(operator, context)
        assert delay_of(jitter) <= 500
        assert jitter.kwargs == {"ends_at": pytest.approx(begun + 600, rel=0, abs=0.01)}
        worker_clock.sleep(200)
        resumed = {"ti": SimpleNamespace(start_date=datetime.fromtimestamp(worker_clock.now, UTC), max_tries=0)}
        with pytest.raises(TaskDeferred) as caught:
            operator.execute_create(resumed, None, **jitter.kwargs)
        assert caught.value.trigger.deadline == jitter.kwargs["ends_at"]

    def test_a_task_whose_time_is_over_creates_nothing(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """It fails by the error of a timeout, which a retry can help."""
        operator = export_operator(create_jitter=60, execution_timeout=timedelta(minutes=10))
        with pytest.raises(exceptions.SEIExportTimeoutError, match="nothing was created") as caught:
            operator.execute_create({}, None, ends_at=worker_clock.now)
        assert not isinstance(caught.value, AirflowFailException)
        assert sei_server.requests == []


@pytest.mark.parametrize("kind", ["export", "create"])
def test_a_worker_that_cannot_defer_sleeps(
    export_operator: MakeOperator, sei_server: Any, worker_clock: Any, kind: str
) -> None:
    """Once, before it creates."""
    begun, pauses = worker_clock.now, []
    for number in range(20):
        day = f"2024-01-{number + 1:02}"
        if kind == "export":
            export_operator(deferrable=False, create_jitter=60, date_start=day).execute({})
        else:
            SEICreateExportOperator(task_id="create", **REQUEST | {"date_start": day, "create_jitter": 60}).execute({})
        pauses.append(worker_clock.pauses.pop())
        assert worker_clock.pauses == []
    assert all(0 <= pause <= 60 for pause in pauses)
    assert max(pauses) - min(pauses) > 20
    assert sei_server.requests[0].at == pytest.approx(begun + pauses[0], abs=1e-3)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_retry_that_has_an_export_does_not_wait(
    export_operator: MakeOperator, sei_server: Any, worker_clock: Any, *, deferrable: bool
) -> None:
    """It has nothing to create; a task that a user has cleared has."""
    store = Store()
    context = {"ti": SimpleNamespace(start_date=None, max_tries=2), "task_state_store": store}
    first = export_operator().execute(context)
    again = export_operator(create_jitter=3600, deferrable=deferrable).execute(context)
    assert (again["export_id"], worker_clock.pauses) == (first["export_id"], [])
    assert len(sei_server.exports) == 1
    cleared = {"ti": SimpleNamespace(start_date=None, max_tries=3), "task_state_store": store}
    assert deferred(export_operator(create_jitter=3600), cleared).method_name == "execute_create"


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
def test_a_value_that_renders_to_nonsense_fails_before_the_delay(
    export_operator: MakeOperator, sei_server: Any, *, field: str, rendered: str, words: str
) -> None:
    """Not hours later."""
    operator = export_operator(**{"create_jitter": 60} | {field: "{{ value }}"})
    operator.render_template_fields({"value": rendered})
    with pytest.raises(exceptions.SEIArgumentError, match=words) as caught:
        operator.execute({})
    assert caught.value.field == field
    assert sei_server.requests == []
