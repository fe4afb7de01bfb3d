"""``SEIExportSensor`` in its three ways to wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferralTimeout

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
    """Make a sensor for that export; it pokes every 20 seconds for ten minutes unless told otherwise."""

    def make(**changes: Any) -> SEIExportSensor:
        arguments = {"task_id": "wait", "family": "sprint", "export_id": export_id, "poke_interval": 20, "timeout": 600}
        return SEIExportSensor(**arguments | changes)

    return make


def looks(sei_server: Any) -> int:
    """Return how often the export's state was asked for."""
    return [request.operation for request in sei_server.requests].count("status")


class TestPoking:
    """``deferrable=False``, ``mode="poke"``."""

    def test_it_returns_the_exports_id(self, sensor: Any, export_id: str, worker_clock: Any, sei_server: Any) -> None:
        """For the next task; it looks as often as ``poke_interval`` says."""
        assert sensor(deferrable=False).execute({}) == export_id
        assert worker_clock.pauses == [20, 20, 20]
        assert looks(sei_server) == 4

    @pytest.mark.parametrize(
        ("outcome", "kind"),
        [
            (("failed", "No data"), exceptions.SEIExportFailedError),
            (("cancelled", None), exceptions.SEIExportCancelledError),
        ],
    )
    def test_a_dead_export_fails_it_at_once(
        self, sensor: Any, export_id: str, sei_server: Any, *, outcome: tuple[Any, Any], kind: type[Exception]
    ) -> None:
        """With the server's reason, and without a retry."""
        sei_server.end_export(export_id, *outcome)
        with pytest.raises(kind) as caught:
            sensor(deferrable=False).execute({})
        assert isinstance(caught.value, AirflowFailException)

    def test_the_timeout_is_airflows(self, sensor: Any, export_id: str, sei_server: Any) -> None:
        """A sensor that is out of time is not retried, whoever notices first."""
        sei_server.end_export(export_id, "archiving")
        with pytest.raises(AirflowSensorTimeout):
            sensor(deferrable=False, timeout=100, poke_interval=60).execute({})

    @pytest.mark.parametrize("timeout", [0, 59, 60, 61])
    def test_the_timeout_is_airflows_at_any_moment(self, sensor: Any, sei_server: Any, timeout: float) -> None:
        """Between two pokes as on one."""
        sei_server.faults.add("status", "status_word", word="processing", times=None)
        with pytest.raises(AirflowSensorTimeout):
            sensor(deferrable=False, timeout=timeout, poke_interval=60).execute({})

    def test_an_undocumented_status_is_waited_on_and_told_once(
        self, sensor: Any, export_id: str, sei_server: Any, task_log: Any
    ) -> None:
        """It is never taken for a success."""
        sei_server.faults.add("status", "status_word", word="ARCHIVING", times=5)
        assert sensor(deferrable=False).execute({}) == export_id
        assert task_log.text.count("'ARCHIVING', a status that is not documented") == 1

    def test_trouble_is_borne(
        self, sensor: Any, export_id: str, sei_server: Any, worker_clock: Any, task_log: Any
    ) -> None:
        """A poke is not tried again by itself: the next one is the retry."""
        sei_server.faults.add("status", "answer", status=503, times=2)
        sei_server.faults.add("status", "close", nth=3)
        assert sensor(deferrable=False).execute({}) == export_id
        assert set(worker_clock.pauses) == {20}
        assert "answers again after" in task_log.text

    def test_a_wrong_key_is_not_borne(self, sensor: Any, sei_server: Any) -> None:
        """It will not get better."""
        sei_server.faults.add("status", "answer", status=401, times=None)
        with pytest.raises(exceptions.SEIAuthError):
            sensor(deferrable=False).execute({})
        assert looks(sei_server) == 1

    def test_a_vanished_export_is_an_error_of_its_own(self, sensor: Any, sei_server: Any) -> None:
        """A 404 that lasts, of an export that was known."""
        sei_server.faults.add("status", "answer", status=404, nth=2, times=None)
        with pytest.raises(exceptions.SEIExportNotFoundError, match="after it had answered 'queued'; create it again"):
            sensor(deferrable=False).execute({})

    def test_an_export_that_was_never_there_is_not_found(self, sensor: Any, sei_server: Any) -> None:
        """After half a minute in which it could still have turned up."""
        with pytest.raises(exceptions.SEINotFoundError, match="exp_unknown"):
            sensor(deferrable=False, export_id="exp_unknown").execute({})
        assert looks(sei_server) == 3


class TestRescheduling:
    """``deferrable=False``, ``mode="reschedule"``: each poke is a new process."""

    @pytest.fixture
    def poke(self, sensor: Any, monkeypatch: pytest.MonkeyPatch, worker_clock: Any) -> Callable[..., Any]:
        """Poke once, in a new sensor, ``waited`` seconds after the first one."""
        now = datetime.fromtimestamp(worker_clock.now, UTC)
        monkeypatch.setattr(timezone, "utcnow", lambda: now)

        def once(waited: float | None = None, **changes: Any) -> Any:
            first = None if waited is None else now - timedelta(seconds=waited)
            context = {"ti": SimpleNamespace(get_first_reschedule_date=lambda _: first, start_date=now)}
            return sensor(deferrable=False, mode="reschedule", **changes).execute(context)

        return once

    def test_it_leaves_its_worker_between_pokes(self, poke: Any, export_id: str, sei_server: Any) -> None:
        """And returns the id in the end."""
        with pytest.raises(AirflowRescheduleException):
            poke()
        with pytest.raises(AirflowRescheduleException):
            poke(40)
        sei_server.clock.advance(60)
        assert poke(60) == export_id

    def test_its_timeout_counts_from_the_first_poke(self, poke: Any) -> None:
        """Over all processes."""
        with pytest.raises(AirflowSensorTimeout):
            poke(601)

    def test_a_missing_export_ends_it(self, poke: Any) -> None:
        """Once it cannot be a matter of seconds any more, and not only when the timeout ends."""
        with pytest.raises(AirflowRescheduleException):
            poke(export_id="exp_unknown")
        with pytest.raises(exceptions.SEINotFoundError):
            poke(60, export_id="exp_unknown")

    def test_trouble_that_can_pass_does_not_end_it(self, poke: Any, sei_server: Any) -> None:
        """Nothing is known of the pokes before, so they do not count against it."""
        sei_server.faults.add("status", "answer", status=503)
        with pytest.raises(AirflowRescheduleException):
            poke(599)


class TestDeferral:
    """``deferrable=True``, the default."""

    def test_a_completed_export_never_defers(self, sensor: Any, export_id: str, sei_server: Any) -> None:
        """One look is enough."""
        sei_server.clock.advance(60)
        assert sensor().execute({}) == export_id

    def test_the_trigger_is_told_everything_and_no_secret(
        self, sensor: Any, export_id: str, sei_server: Any, worker_clock: Any
    ) -> None:
        """The deadline is an absolute moment."""
        with pytest.raises(TaskDeferred) as caught:
            sensor(timeout=7200, poll_interval="45").execute({})
        _, arguments = caught.value.trigger.serialize()
        assert arguments | {"version": 1} == {
            "family": "sprint",
            "export_id": export_id,
            "deadline": worker_clock.now + 7200,
            "started_at": worker_clock.now,
            "sei_conn_id": "sei_default",
            "poll_interval": 45.0,
            "reused": None,
            "project_identifier": sei_server.project,
            "org_identifier": sei_server.org,
            "auth_header": None,
            "version": 1,
        }
        assert caught.value.method_name == "execute_complete"
        assert timedelta(seconds=7200) < caught.value.timeout

    def test_the_event_gives_the_id(self, sensor: Any, export_id: str, sei_server: Any, fire: Fire) -> None:
        """In whichever process the task goes on."""
        with pytest.raises(TaskDeferred) as caught:
            sensor().execute({})
        sei_server.clock.advance(60)
        assert sensor().execute_complete({}, fire(caught.value.trigger)) == export_id

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
    def test_each_event_ends_it_in_its_own_way(self, sensor: Any, event: Any, kind: type[Exception]) -> None:
        """Retryable or not, as it was in the triggerer; what is not understood is no success."""
        with pytest.raises(kind):
            sensor().execute_complete({}, event)

    def test_out_of_time_at_the_first_look_is_a_timeout(self, sensor: Any) -> None:
        """Airflow's own, as everywhere."""
        with pytest.raises(AirflowSensorTimeout):
            sensor(timeout=0).execute({})


class TestSoftFail:
    """``soft_fail`` and ``never_fail``, which skip instead."""

    WAYS = pytest.mark.parametrize("way", ["poke", "first look", "resumed"])

    def end(self, sensor: Any, way: str, fire: Fire, advance: Callable[[], None], **changes: Any) -> None:
        """Let the sensor find the export's end in one of the three places."""
        if way == "poke":
            sensor(deferrable=False, **changes).execute({})
        elif way == "first look":
            advance()
            sensor(**changes).execute({})
        else:
            with pytest.raises(TaskDeferred) as caught:
                sensor(**changes).execute({})
            advance()
            event = fire(caught.value.trigger)
            sensor(**changes).resume_execution("execute_complete", {"event": event}, {})

    @WAYS
    @pytest.mark.parametrize("argument", ["soft_fail", "never_fail"])
    def test_a_dead_export_skips(
        self, sensor: Any, sei_server: Any, fire: Fire, export_id: str, *, way: str, argument: str
    ) -> None:
        """Wherever it is found out."""
        sei_server.end_export(export_id, "failed", "No data")
        with pytest.raises(AirflowSkipException):
            self.end(sensor, way, fire, lambda: sei_server.clock.advance(60), **{argument: True})

    def test_a_timeout_skips(self, sensor: Any) -> None:
        """At the first look, and as Airflow's own backstop."""
        with pytest.raises(AirflowSkipException):
            sensor(timeout=0, soft_fail=True).execute({})
        with pytest.raises(AirflowSkipException):
            sensor(soft_fail=True).resume_execution("__fail__", {"error": "Trigger timeout"}, {})

    def test_trouble_that_a_retry_can_mend_is_not_soft(self, sensor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """At the first look, as with a poke: a missing connection is no reason to skip."""
        monkeypatch.delenv("AIRFLOW_CONN_SEI_DEFAULT")
        with pytest.raises(Exception, match="sei_default") as caught:
            sensor(soft_fail=True).execute({})
        assert not isinstance(caught.value, AirflowSkipException)

    def test_without_it_nothing_skips(self, sensor: Any, sei_server: Any, export_id: str) -> None:
        """A dead export fails."""
        sei_server.end_export(export_id, "failed")
        sei_server.clock.advance(60)
        with pytest.raises(AirflowFailException):
            sensor().execute({})


class TestBackstop:
    """What Airflow itself ends."""

    def test_a_triggerer_that_never_answers_is_a_timeout(self, sensor: Any) -> None:
        """Airflow ends the deferral some minutes after the deadline."""
        with pytest.raises((AirflowSensorTimeout, TaskDeferralTimeout)) as caught:
            sensor().resume_execution("__fail__", {"error": "Trigger timeout"}, {})
        assert isinstance(caught.value, AirflowSensorTimeout)

    @pytest.mark.parametrize("rendered", ["often", "0.1", "-3"])
    def test_a_nonsensical_interval_asks_nothing(self, sensor: Any, sei_server: Any, rendered: str) -> None:
        """It is refused after rendering."""
        task = sensor(poll_interval="{{ value }}")
        task.render_template_fields({"value": rendered})
        with pytest.raises(exceptions.SEIArgumentError, match="poll_interval must be a number of seconds"):
            task.execute({})
        assert looks(sei_server) == 0
