"""``SEIExportSensor``: poking, rescheduling, deferring."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
    timezone,
)
from airflow.sdk.exceptions import AirflowRescheduleException

from airflow_provider_sei import exceptions
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.sensors.sei import SEIExportSensor

Fire = Callable[[Any], dict[str, Any]]


@pytest.fixture
def export_id(sei_connection: str, sei_server: Any, worker_clock: Any) -> str:
    """An export that takes a minute."""
    sei_server.reset(clock_speed=0.0, seconds_to_complete=60.0, queued_seconds=10.0)
    worker_clock.now = sei_server.clock()
    hook = SEIHook(sei_connection)
    return hook.create_export(family="sprint", team_id="456", date_start="2024-01-01", date_end="2024-01-31").export_id


@pytest.fixture
def sensor(export_id: str) -> Callable[..., SEIExportSensor]:
    """Make a sensor for that export; by default it pokes every 20 seconds for ten minutes."""

    def make(**changes: Any) -> SEIExportSensor:
        arguments = {"task_id": "wait", "family": "sprint", "export_id": export_id, "poke_interval": 20, "timeout": 600}
        return SEIExportSensor(**arguments | changes)

    return make


def polls(sei_server: Any) -> int:
    """Return how often the export's status was read."""
    return [request.operation for request in sei_server.requests].count("status")


class TestPoking:
    """``deferrable=False``, ``mode="poke"``."""

    def test_it_returns_the_id(self, sensor: Any, export_id: str, worker_clock: Any, sei_server: Any) -> None:
        """For the next task; it polls every ``poke_interval`` seconds."""
        assert sensor(deferrable=False).execute({}) == export_id
        assert worker_clock.pauses == [20, 20, 20]
        assert polls(sei_server) == 4

    def test_a_failed_export_fails_it(self, sensor: Any, export_id: str, sei_server: Any) -> None:
        """Without a retry; a wrong key does at the first poke."""
        sei_server.faults.add("status", "answer", status=401)
        with pytest.raises(exceptions.SEIAuthError):
            sensor(deferrable=False).execute({})
        assert polls(sei_server) == 1
        for outcome, kind in (
            ("failed", exceptions.SEIExportFailedError),
            ("cancelled", exceptions.SEIExportCancelledError),
        ):
            sei_server.end_export(export_id, outcome)
            with pytest.raises(kind) as caught:
                sensor(deferrable=False).execute({})
            assert isinstance(caught.value, AirflowFailException)

    @pytest.mark.parametrize("timeout", [0, 59, 60, 61, 100])
    @pytest.mark.parametrize("word", ["processing", "archiving"])
    def test_a_timeout_is_airflows(self, sensor: Any, sei_server: Any, *, timeout: float, word: str) -> None:
        """Which is not retried, whether it ends at a poke or between two."""
        sei_server.faults.add("status", "status_word", word=word, times=None)
        with pytest.raises(AirflowSensorTimeout):
            sensor(deferrable=False, timeout=timeout, poke_interval=60).execute({})

    def test_transient_errors_are_tolerated(
        self, sensor: Any, export_id: str, sei_server: Any, worker_clock: Any, task_log: Any
    ) -> None:
        """The next poke is the retry."""
        sei_server.faults.add("status", "answer", status=503, times=2)
        sei_server.faults.add("status", "close", nth=3)
        assert sensor(deferrable=False).execute({}) == export_id
        assert set(worker_clock.pauses) == {20}
        assert "answers again after" in task_log.text

    def test_an_export_that_is_not_there_is_an_error(self, sensor: Any, sei_server: Any) -> None:
        """After half a minute, in which it could still have appeared; one that has vanished is an error of its own."""
        with pytest.raises(exceptions.SEINotFoundError, match="exp_unknown"):
            sensor(deferrable=False, export_id="exp_unknown").execute({})
        assert polls(sei_server) == 3
        sei_server.faults.add("status", "answer", status=404, nth=2, times=None)
        with pytest.raises(exceptions.SEIExportNotFoundError, match=r"after it had answered '\w+': .* again"):
            sensor(deferrable=False, poke_interval=10).execute({})


class TestRescheduling:
    """``deferrable=False``, ``mode="reschedule"``: each poke is a new process."""

    @pytest.fixture
    def poke(self, sensor: Any, monkeypatch: pytest.MonkeyPatch, worker_clock: Any) -> Callable[..., Any]:
        """Poke once, in a new sensor, ``waited`` seconds after the first poke."""
        now = datetime.fromtimestamp(worker_clock.now, UTC)
        monkeypatch.setattr(timezone, "utcnow", lambda: now)

        def once(waited: float | None = None, **changes: Any) -> Any:
            first = None if waited is None else now - timedelta(seconds=waited)
            context = {"ti": SimpleNamespace(get_first_reschedule_date=lambda _: first, start_date=now)}
            return sensor(deferrable=False, mode="reschedule", **changes).execute(context)

        return once

    def test_it_frees_its_worker_between_pokes(self, poke: Any, export_id: str, sei_server: Any) -> None:
        """A transient error does not end it; it returns the id in the end. Its timeout starts at the first poke."""
        with pytest.raises(AirflowRescheduleException):
            poke()
        sei_server.faults.add("status", "answer", status=503)
        with pytest.raises(AirflowRescheduleException):
            poke(599)
        with pytest.raises(AirflowSensorTimeout):
            poke(601)
        sei_server.clock.advance(60)
        assert poke(60) == export_id

    def test_a_missing_export_ends_it(self, poke: Any) -> None:
        """After half a minute, not only at the timeout."""
        with pytest.raises(AirflowRescheduleException):
            poke(export_id="exp_unknown")
        with pytest.raises(exceptions.SEINotFoundError):
            poke(60, export_id="exp_unknown")


class TestDeferral:
    """``deferrable=True``, the default."""

    def test_the_resumed_task_returns_the_id(self, sensor: Any, export_id: str, sei_server: Any, fire: Fire) -> None:
        """From the event alone. A completed export never defers: one poll is enough."""
        with pytest.raises(TaskDeferred) as caught:
            sensor().execute({})
        sei_server.clock.advance(60)
        assert sensor().execute_complete({}, fire(caught.value.trigger)) == export_id
        before = polls(sei_server)
        assert (sensor().execute({}), polls(sei_server)) == (export_id, before + 1)

    def test_the_trigger_has_everything_and_no_secret(
        self, sensor: Any, export_id: str, sei_server: Any, worker_clock: Any
    ) -> None:
        """The deadline is a point in time."""
        with pytest.raises(TaskDeferred) as caught:
            sensor(timeout=7200, poll_interval="45").execute({})
        _, arguments = caught.value.trigger.serialize()
        times = {"deadline": worker_clock.now + 7200, "started_at": worker_clock.now, "poll_interval": 45.0}
        where = {"project_identifier": sei_server.project, "org_identifier": sei_server.org, "auth_header": None}
        export = {"family": "sprint", "export_id": export_id, "sei_conn_id": "sei_default"}
        assert arguments == {**export, **times, **where, "passthrough": {}, "version": 1}
        assert caught.value.method_name == "execute_complete"
        assert timedelta(seconds=7200) < caught.value.timeout

    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            ({"outcome": "error", "error": {"type": "SEIExportTimeoutError", "message": "m"}}, AirflowSensorTimeout),
            ({"outcome": "error", "error": {"type": "SEIExportFailedError", "message": "m"}}, AirflowFailException),
            ({"outcome": "error", "error": {"type": "SEIServerError", "message": "m"}}, exceptions.SEIServerError),
            ({"outcome": "error", "error": {"type": "SEIThingError", "message": "m"}}, AirflowException),
            ({}, AirflowException),
            (None, AirflowException),
        ],
    )
    def test_an_error_event_is_raised_as_its_class(self, sensor: Any, event: Any, kind: type[Exception]) -> None:
        """Retryable or not, as in the triggerer; an unreadable event is no success."""
        with pytest.raises(kind):
            sensor().execute_complete({}, event)

    @pytest.mark.parametrize(
        ("argument", "kind"), [({}, AirflowSensorTimeout), ({"soft_fail": True}, AirflowSkipException)]
    )
    def test_a_timeout_is_airflows(self, sensor: Any, argument: dict[str, bool], kind: type[Exception]) -> None:
        """At the first poll, and when Airflow ends the deferral because a triggerer never responds."""
        with pytest.raises(kind):
            sensor(timeout=0, **argument).execute({})
        with pytest.raises(kind):
            sensor(**argument).resume_execution("__fail__", {"error": "Trigger timeout"}, {})


class TestSoftFail:
    """``soft_fail`` and ``never_fail``, which skip instead."""

    @pytest.mark.parametrize("found", ["poke", "first poll", "resumed"])
    @pytest.mark.parametrize(
        ("argument", "kind"),
        [("soft_fail", AirflowSkipException), ("never_fail", AirflowSkipException), (None, AirflowFailException)],
    )
    def test_a_failed_export_skips_if_asked(
        self,
        sensor: Any,
        sei_server: Any,
        fire: Fire,
        export_id: str,
        *,
        found: str,
        argument: str | None,
        kind: type[Exception],
    ) -> None:
        """Wherever it is found."""
        sei_server.end_export(export_id, "failed", "No data")  # of team 456, which the server's reason does not name
        task = sensor(deferrable=found != "poke", **({argument: True} if argument else {}))
        finish = partial(task.execute, {})
        if found == "resumed":
            with pytest.raises(TaskDeferred) as caught:
                task.execute({})
        sei_server.clock.advance(60)
        if found == "resumed":
            finish = partial(task.resume_execution, "execute_complete", {"event": fire(caught.value.trigger)}, {})
        with pytest.raises(kind, match=r"No data: .*team_id was '456'$|Skipping due to"):
            finish()

    def test_a_missing_connection_does_not_skip(self, sensor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A retry can help."""
        monkeypatch.delenv("AIRFLOW_CONN_SEI_DEFAULT")
        with pytest.raises(Exception, match="sei_default") as caught:
            sensor(soft_fail=True).execute({})
        assert not isinstance(caught.value, AirflowSkipException)
