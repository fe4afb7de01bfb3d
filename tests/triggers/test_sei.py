"""``SEIExportTrigger``, run as the triggerer runs it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import pytest

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.waiting import read_event
from airflow_provider_sei.triggers.sei import SEIExportTrigger

Fire = Callable[..., dict[str, Any]]
PERIOD = {"date_start": "2024-01-01", "date_end": "2024-01-31"}


@pytest.fixture
def connection(sei_server: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection that may call as often as the vendor lets anybody, to a server with a stopped clock."""
    sei_server.reset(clock_speed=0.0, seconds_to_complete=60.0, queued_seconds=10.0)
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json(calls_per_minute=1000))
    return "sei_default"


@pytest.fixture
def export_id(connection: str) -> str:
    """An export that takes a minute of the server's time."""
    return SEIHook(connection).create_export(family="productivity", team_id="456", **PERIOD).export_id


@pytest.fixture
def trigger(export_id: str) -> Callable[..., SEIExportTrigger]:
    """Make a trigger that waits for that export, for some seconds of real time at most."""

    def make(*, seconds: float = 20.0, **changes: Any) -> SEIExportTrigger:
        now = time.time()
        arguments = {"family": "productivity", "export_id": export_id, "started_at": now, "deadline": now + seconds}
        return SEIExportTrigger(**arguments | changes)

    return make


def polls(sei_server: Any) -> int:
    """Return how many status calls the server had."""
    return sum(request.operation == "status" for request in sei_server.requests)


def after(sei_server: Any, count: int, act: Callable[[], Any]) -> Callable[[], Awaitable[None]]:
    """Return what lets ``act`` happen once the server had ``count`` status calls."""

    async def wait() -> None:
        async with asyncio.timeout(20):
            while polls(sei_server) < count:  # noqa: ASYNC110 - the server lives in a thread of its own
                await asyncio.sleep(0.005)
        act()

    return wait


# As release 0.1 wrote it. Never to be changed: such arguments are in databases.
VERSION_1 = json.loads(
    '{"family": "productivity", "export_id": "exp_7a8b9c0d", "deadline": 1767621600.0, "started_at": 1767614400.0,'
    ' "sei_conn_id": "sei_default", "poll_interval": null, "passthrough": {"reused": false, "name": "a.csv"},'
    ' "project_identifier": "demo_project", "org_identifier": "default", "auth_header": null, "version": 1}'
)


class TestSerialize:
    """What is kept in Airflow's database, across upgrades."""

    def test_the_arguments_of_the_first_release_load(self) -> None:
        """Through Airflow's own encryption and decoding, too. All arguments but the least have a default."""
        from airflow.models.trigger import Trigger
        from airflow.serialization.decoders import smart_decode_trigger_kwargs

        path, arguments = SEIExportTrigger(**VERSION_1).serialize()
        assert (path, arguments) == ("airflow_provider_sei.triggers.sei.SEIExportTrigger", VERSION_1)
        restored = smart_decode_trigger_kwargs(Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(arguments)))
        assert SEIExportTrigger(**restored).serialize() == (path, arguments)
        least = {name: VERSION_1[name] for name in ("family", "export_id", "deadline")}
        optional = ("started_at", "passthrough", "project_identifier", "org_identifier")
        assert SEIExportTrigger(**least).serialize()[1] == VERSION_1 | dict.fromkeys(optional)

    def test_those_of_a_later_release_load_with_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a downgrade, unknown arguments are ignored, and named in the log."""
        log = Mock()
        monkeypatch.setattr(SEIExportTrigger, "log", log)
        trigger = SEIExportTrigger(**VERSION_1 | {"version": 2, "patience": 3})
        assert trigger.export_id == "exp_7a8b9c0d"
        assert "patience" in log.warning.call_args.args


class TestOutcomes:
    """The one event at the end."""

    @pytest.mark.parametrize("family", list(FAMILIES))
    def test_a_completed_export_is_ready(
        self, trigger: Any, sei_server: Any, connection: str, fire: Fire, family: str
    ) -> None:
        """Lower case or upper case, the event carries what the download needs."""
        groups = FAMILIES[family].metric_groups[:1]
        export = SEIHook(connection).create_export(family=family, team_id="123", metric_groups=groups, **PERIOD)
        sei_server.clock.advance(60)
        passthrough = {"reused": False, "period": ["2024-01-01", "2024-01-31"]}
        event = fire(trigger(family=family, export_id=export.export_id, passthrough=passthrough))
        assert (event["version"], event["outcome"], event["passthrough"]) == (1, "ready", passthrough)
        read = read_event(json.loads(json.dumps(event)))
        assert (read.export_id, read.family) == (export.export_id, family)
        assert read.completed_at is not None

    @pytest.mark.parametrize(
        ("status", "error", "kind"),
        [
            ("failed", {"code": "E42", "message": "Out of memory"}, errors.SEIExportFailedError),
            ("cancelled", None, errors.SEIExportCancelledError),
        ],
    )
    def test_a_failed_export_is_an_error_with_the_servers_reason(
        self, trigger: Any, sei_server: Any, fire: Fire, *, status: str, error: Any, kind: type[Exception]
    ) -> None:
        """If there is one."""
        waiting = trigger()
        sei_server.end_export(waiting.export_id, status, error)
        sei_server.clock.advance(60)
        with pytest.raises(kind) as caught:
            read_event(fire(waiting))
        assert caught.value.vendor_message == (error and error["message"])
        assert caught.value.export_id == waiting.export_id

    @pytest.mark.parametrize(
        ("fault", "kind", "words"),
        [
            ({"effect": "answer", "status": 404, "nth": 2}, errors.SEIExportNotFoundError, "had answered 'queued'"),
            ({"effect": "answer", "status": 404}, errors.SEINotFoundError, "productivity export"),
            ({"effect": "answer", "status": 400, "body": {"message": "no luck"}}, errors.SEIBadRequestError, "no luck"),
            (
                {"effect": "answer", "status": 503, "nth": 2},
                errors.SEIExportTimeoutError,
                "'queued'.*last error: .* 503",
            ),
            (
                {"effect": "status_word", "word": "ARCHIVING"},
                errors.SEIExportTimeoutError,
                "still 'ARCHIVING' after .* continues at the server",
            ),
        ],
    )
    def test_a_wait_that_finds_no_end_says_what_it_saw(
        self, trigger: Any, sei_server: Any, fire: Fire, *, fault: dict[str, Any], kind: type[Exception], words: str
    ) -> None:
        """An export that vanished or never was, the last error beside the last status, an undocumented word."""
        sei_server.faults.add("status", times=None, **fault)
        with pytest.raises(kind, match=words):
            read_event(fire(trigger(seconds=0.4)))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"family": "nothing"}, "not an SEI export family"),
            ({"export_id": "a/b"}, "is not an export id"),
            ({"deadline": float("inf")}, "deadline must be a number of seconds, not inf"),
            ({"started_at": float("nan")}, "started_at must be a number of seconds, not nan"),
            ({"poll_interval": float("nan")}, "poll_interval must be a number of seconds, not nan"),
        ],
    )
    def test_arguments_that_cannot_be_are_an_error(
        self, trigger: Any, sei_server: Any, fire: Fire, *, changes: dict[str, Any], words: str
    ) -> None:
        """An event, not a crash of the trigger."""
        with pytest.raises(errors.SEIArgumentError, match=words):
            read_event(fire(trigger(**changes)))
        assert polls(sei_server) == 0

    def test_a_connection_that_cannot_be_used_is_an_error(
        self, trigger: Any, sei_server: Any, monkeypatch: pytest.MonkeyPatch, fire: Fire
    ) -> None:
        """It names the connection and the field."""
        connection = json.loads(sei_server.connection_json()) | {"password": ""}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))
        with pytest.raises(errors.SEIArgumentError, match="connection 'sei_default': the API key is missing"):
            read_event(fire(trigger()))


def test_the_look_up_is_retried_and_then_fails(
    trigger: Any, fire: Fire, task_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow calls a connection undefined then, which a retry may find."""
    monkeypatch.setattr("airflow_provider_sei.triggers._poller._LOOK_UP_FAILED", Backoff(attempts=3, base=0.0))
    event = fire(trigger(sei_conn_id="nowhere"))
    with pytest.raises(errors.SEIConnectionError, match=r"nowhere.*could not wait for productivity export"):
        read_event(event)
    assert task_log.text.count("Could not look up connection 'nowhere'") == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"effect": "answer", "status": 500},
        {"effect": "answer", "status": 503, "kind": "html", "body": "Maintenance"},
        {"effect": "answer", "status": 200, "kind": "html", "body": "Sign in"},
        {"effect": "answer", "status": 404},
        {"effect": "close"},
        {"effect": "cut", "after_bytes": 9},
    ],
    ids=["500", "503", "page", "404", "close", "cut"],
)
def test_they_end_no_wait(trigger: Any, sei_server: Any, fire: Fire, fault: dict[str, Any]) -> None:
    """The wait goes on as if nothing had happened."""
    sei_server.faults.add("status", times=2, **fault)
    sei_server.clock.advance(60)
    assert fire(trigger())["outcome"] == "ready"
    assert polls(sei_server) == 3


def test_a_restart_does_not_restart_the_deadline(trigger: Any, sei_server: Any, fire: Fire) -> None:
    """A trigger made of the arguments of one that was lost ends when that one would have."""
    now = time.time()
    lost = trigger(started_at=now - 3600, deadline=now - 1)
    _, arguments = lost.serialize()
    with pytest.raises(errors.SEIExportTimeoutError, match=r"after 360[0-9] s"):
        read_event(fire(SEIExportTrigger(**arguments)))
    assert polls(sei_server) == 1


class TestTwice:
    """The same trigger can run more than once, in one triggerer or two."""

    def test_running_again_changes_nothing(self, trigger: Any, sei_server: Any, fire: Fire) -> None:
        """It only reads."""
        sei_server.clock.advance(60)
        again = trigger()
        assert fire(again) == fire(again)
        assert {request.method for request in sei_server.requests if request.operation != "create"} == {"GET"}
        assert len(sei_server.exports) == 1

    def test_a_cancelled_one_leaves_the_other_alone(self, trigger: Any, sei_server: Any, fire: Fire) -> None:
        """They share what they poll with, but not their fate."""

        async def meanwhile() -> None:
            lost = asyncio.create_task(_first(trigger()))
            await after(sei_server, 2, lambda: None)()
            lost.cancel()
            with pytest.raises(asyncio.CancelledError):
                await lost
            sei_server.clock.advance(60)

        assert fire(trigger(), meanwhile)["outcome"] == "ready"

    def test_one_that_is_cancelled_leaves_nothing_behind(self, trigger: Any, sei_server: Any) -> None:
        """No task and no connection; warnings of unclosed ones are errors here."""

        async def cancel() -> set[asyncio.Task[Any]]:
            lost = asyncio.create_task(_first(trigger(poll_interval=0.05)))
            await after(sei_server, 1, lost.cancel)()
            with pytest.raises(asyncio.CancelledError):
                await lost
            await asyncio.sleep(0)
            return asyncio.all_tasks() - {asyncio.current_task()}

        assert asyncio.run(cancel()) == set()


def test_neither_the_key_nor_a_person_leaves_it(
    trigger: Any, sei_server: Any, fire: Fire, task_log: Any, export_id: str
) -> None:
    """In no event and no line, good or bad."""
    events = []
    for fault in (
        {"status": 400, "body": "the key demo-key of Jane is wrong"},
        {"status": 200, "body": "demo-key"},
    ):
        sei_server.faults.add("status", "answer", **fault)
        events.append(fire(trigger(seconds=0.3)))
    sei_server.end_export(export_id, "failed")
    sei_server.clock.advance(60)
    events.append(fire(trigger()))
    assert sei_server.api_key not in f"{events} {task_log.text}"
    assert "jane.smith" not in f"{events} {task_log.text}"


async def _first(trigger: SEIExportTrigger) -> Any:
    return await anext(trigger.run())


def test_it_says_what_goes_on_and_harms_no_wait(trigger: Any, sei_server: Any, fire: Fire, task_log: Any) -> None:
    """The false alarm: the same trigger, killed in one triggerer, fires in the other."""
    killed, other = trigger(), trigger()

    async def kill() -> None:
        before = len(sei_server.requests)
        await killed.on_kill()
        assert len(sei_server.requests) == before
        await after(sei_server, 2, lambda: sei_server.clock.advance(60.0))()

    assert read_event(fire(other, kill)).export_id == killed.export_id
    [line] = [line for line in task_log.text.splitlines() if "continues at the server" in line]
    for words in (killed.export_id, "another triggerer has taken", "no call to cancel"):
        assert words in line
