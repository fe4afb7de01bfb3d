"""``SEIExportCompletedTrigger``, run as the triggerer runs it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.retry import Backoff

pytest.importorskip("airflow.sdk", reason="asset watchers are of Airflow 3.0 and newer")

from airflow_provider_sei.triggers.watcher import SEIExportCompletedTrigger

PERIOD = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
PATIENCE_SECONDS = 20.0


class Store:
    """Airflow's store of what belongs to an asset: JSON by key."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.out_of_order = 0

    async def aget(self, key: str, default: Any = None) -> Any:
        """Return what was set."""
        self._check()
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        """Keep a value."""
        self._check()
        self.values[key] = json.dumps(value)

    def _check(self) -> None:
        if self.out_of_order:
            self.out_of_order -= 1
            msg = "API_SERVER_ERROR"
            raise RuntimeError(msg)


class BlockingStore:
    """The same as Airflow 3.3.0 has it."""

    def __init__(self) -> None:
        self._store = Store()

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was set."""
        return asyncio.run(self._store.aget(key, default))

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        asyncio.run(self._store.aset(key, value))


class SharedStore:
    """The same for a trigger of several assets."""

    async def aget(self, key: str, default: Any = None) -> Any:
        """Refuse."""
        raise ValueError(key, default)

    aset = aget


@pytest.fixture
def connection(sei_server: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection with a high rate limit, reads without a pause, and a server whose clock is moved by hand."""
    sei_server.reset(clock_speed=0.0)
    sei_server.clock.advance(-3600.0)
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json(calls_per_minute=1000))
    monkeypatch.setattr("airflow_provider_sei.triggers.watcher._SETTLED_AFTER", 0.0)
    return "sei_default"


@pytest.fixture
def create(connection: str, sei_server: Any) -> Callable[..., str]:
    """Create an export that completes immediately, a second after the one before; return its id."""
    teams = iter(["456", "123", "789"] * 9)

    def make(**changes: Any) -> str:
        sei_server.clock.advance(1.0)
        request = {"family": "productivity", "team_id": next(teams), **PERIOD}
        return SEIHook(connection).create_export(**request | changes).export_id

    return make


def trigger(store: Any = None, **changes: Any) -> Any:
    """Return a trigger as the triggerer makes it, with the asset's store."""
    made = SEIExportCompletedTrigger(**{"family": "productivity", "poll_interval": 0.02} | changes)
    made.asset_state_store = store
    return made


def watch(sei_server: Any, one: Any, *steps: Callable[[], Any]) -> list[dict[str, Any]]:
    """Run a trigger, each step after two more list calls; return the events' payloads after two more at the end."""

    async def run() -> list[dict[str, Any]]:
        fired: list[dict[str, Any]] = []

        async def collect() -> None:
            nonlocal fired
            async with aclosing(one.run()) as events:
                async for event in events:
                    fired += [event.payload]

        task = asyncio.create_task(collect())
        async with asyncio.timeout(PATIENCE_SECONDS):
            for step in (*steps, lambda: None):
                calls = len(listed(sei_server))
                while len(listed(sei_server)) < calls + 2:  # the server lives in a thread of its own
                    assert not task.done(), "the watch has ended"
                    await asyncio.sleep(0.005)
                await asyncio.to_thread(step)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return fired

    return asyncio.run(run())


def listed(sei_server: Any) -> list[Any]:
    """Return the list calls that the server has had."""
    return [request for request in sei_server.requests if request.operation == "list"]


def ids(payloads: list[dict[str, Any]]) -> list[str]:
    """Return the exports in the events."""
    return [payload["export_id"] for payload in payloads]


class TestEvents:
    """What starts a DAG."""

    def test_a_completed_export_is_reported_once(self, sei_server: Any, create: Any) -> None:
        """What was there before is not reported."""
        create()
        new: list[str] = []
        fired = watch(sei_server, trigger(), lambda: new.append(create()), lambda: None, lambda: new.append(create()))
        assert ids(fired) == new

    def test_the_payload_says_what_where_and_when(self, sei_server: Any, create: Any) -> None:
        """Enough to download it; no person, no URL."""
        [payload] = watch(sei_server, trigger(), lambda: create(team_id="456", org_tree_name="Engineering"))
        [export] = sei_server.exports
        moments = {name: payload.pop(name) for name in ("created_at", "completed_at")}
        assert all(moment.endswith("Z") for moment in moments.values())
        assert payload == {
            "version": 1,
            "status": "completed",
            "family": "productivity",
            "export_id": export.export_id,
            "team_id": "456",
            "org_tree_name": "Engineering",
            "date_start": "2024-01-01",
            "date_end": "2024-01-31",
            "project_identifier": "demo_project",
            "org_identifier": "default",
            "sei_conn_id": "sei_default",
        }

    def test_it_is_plain_text_without_a_person_or_a_url(self, sei_server: Any, connection: str) -> None:
        """A tree is named by somebody at SEI; its name goes to Airflow's UI and into other people's DAGs."""
        assert connection
        export = {"exportId": "exp_1", "status": "completed", "completedAt": "2026-01-01T00:00:00Z"}
        export |= {"scope": {"orgTreeName": "East\x1b[31m\nx"}, "downloadUrl": "/d?token=1", "createdBy": "jane"}
        sei_server.faults.add(
            "list", "answer", times=None, status=200, body={"exports": [export], "pagination": {"total": 1}}
        )
        [payload] = watch(sei_server, trigger(since="2025-01-01T00:00:00Z"))
        assert payload["org_tree_name"] == "East [31m x"
        assert "token" not in str(payload)
        assert "jane" not in str(payload)

    def test_one_that_is_created_early_and_completed_late_is_reported(
        self, sei_server: Any, create: Any, connection: str
    ) -> None:
        """When it is completed, and not before."""
        assert connection
        sei_server.reset(clock_speed=0.0, seconds_to_complete=600.0)
        slow: list[str] = []
        fired = watch(sei_server, trigger(), lambda: slow.append(create()), lambda: None)
        assert fired == []
        fired = watch(sei_server, trigger(since="2024-01-01T00:00:00Z"), lambda: sei_server.clock.advance(600.0))
        assert ids(fired) == slow

    def test_team_and_tree_narrow_it_down(self, sei_server: Any, create: Any) -> None:
        """The team at the server, the tree here."""
        steps = [
            lambda: create(team_id="123", org_tree_name="Engineering"),
            lambda: create(team_id="456"),
            lambda: create(team_id="456", org_tree_name="Engineering"),
        ]
        fired = watch(sei_server, trigger(team_id="456", org_tree_name="Engineering"), *steps)
        assert ids(fired) == [sei_server.exports[2].export_id]
        assert {dict(request.query)["teamId"] for request in listed(sei_server)} == {"456"}

    def test_a_path_that_the_server_does_not_know_is_left_for_the_other(
        self, sei_server: Any, connection: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Sprint exports are listed at ``sprint`` or at ``sprints``."""
        sei_server.reset(clock_speed=0.0, collection_paths="alternate")
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json(calls_per_minute=1000))

        def create() -> None:
            SEIHook(connection).create_export(family="sprint", team_id="456", metric_groups=["work"], **PERIOD)

        assert len(watch(sei_server, trigger(family="sprint"), create, lambda: None)) == 1


class TestRestart:
    """The triggerer is not always there."""

    @pytest.mark.parametrize("store", [Store(), BlockingStore()], ids=["3.3.2", "3.3.0"])
    def test_what_is_completed_meanwhile_is_reported_afterwards(self, sei_server: Any, create: Any, store: Any) -> None:
        """And what was reported before is not reported again."""
        first: list[str] = []
        assert ids(watch(sei_server, trigger(store), lambda: first.append(create()), lambda: None)) == first
        meanwhile = create()
        assert ids(watch(sei_server, trigger(store))) == [meanwhile]
        assert watch(sei_server, trigger(store)) == []

    @pytest.mark.parametrize("store", [None, SharedStore()], ids=["before 3.3", "several assets"])
    def test_without_a_store_it_begins_with_its_start(
        self, sei_server: Any, create: Any, task_log: Any, store: Any
    ) -> None:
        """That of several assets is left alone, as Airflow does not say whose it is; that is logged."""
        assert len(watch(sei_server, trigger(store), create)) == 1
        create()
        assert watch(sei_server, trigger(store)) == []
        assert ("No watermark is stored between restarts" in task_log.text) is (store is not None)

    def test_a_store_that_fails_is_asked_again(self, sei_server: Any, create: Any) -> None:
        """Nothing is reported before it is known what was; what cannot be written is after the next read."""
        store = Store()
        watch(sei_server, trigger(store), lambda: setattr(store, "out_of_order", 1), create, lambda: None)
        assert watch(sei_server, trigger(store)) == []
        meanwhile = create()
        store.out_of_order = 3
        assert ids(watch(sei_server, trigger(store))) == [meanwhile]

    def test_the_watermark_is_stored_once_airflow_has_the_events(
        self, sei_server: Any, create: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An event that is lost with its triggerer is repeated."""
        real, log = asyncio.sleep, []

        async def sleep(seconds: float) -> None:
            log.append(f"slept {seconds:g}")
            await real(seconds if seconds < 1.0 else 0.0)

        class LoggingStore(Store):
            async def aset(self, key: str, value: Any) -> None:
                log.append(f"stored {len(value['seen'])}")
                await super().aset(key, value)

        monkeypatch.setattr("airflow_provider_sei.triggers.watcher._SETTLED_AFTER", 5.0)
        one = trigger(LoggingStore())
        with monkeypatch.context() as patch:
            patch.setattr("airflow_provider_sei.triggers.watcher.asyncio.sleep", sleep)
            watch(sei_server, one, create)
        assert log[log.index("stored 1") - 1] == "slept 5"

    def test_another_since_begins_anew(self, sei_server: Any, create: Any) -> None:
        """The same one does not."""
        store, early = Store(), "2024-01-01T00:00:00Z"
        created = create()
        assert watch(sei_server, trigger(store)) == []
        assert ids(watch(sei_server, trigger(store, since=early))) == [created]
        assert watch(sei_server, trigger(store, since=early, poll_interval=0.03)) == []


class TestErrors:
    """It never ends: Airflow would begin it again immediately."""

    @pytest.mark.parametrize("status", [401, 404, 429, 500])
    def test_an_error_of_the_list_is_tolerated_and_logged(
        self, sei_server: Any, create: Any, task_log: Any, *, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        """What is completed meanwhile is reported afterwards."""
        monkeypatch.setattr("airflow_provider_sei.triggers._poller._THROTTLED", Backoff(base=0.01))

        def fail() -> None:
            sei_server.faults.add("list", "answer", status=status, times=3)
            create()

        fired = watch(sei_server, trigger(), fail, lambda: None, lambda: None)
        assert ids(fired) == [export.export_id for export in sei_server.exports]
        assert str(status) in task_log.text

    def test_a_connection_that_is_not_there_is_tolerated(self, task_log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody may still make it."""
        monkeypatch.setattr("airflow_provider_sei.triggers._poller._LOOK_UP_FAILED", Backoff(attempts=1))

        async def run() -> bool:
            task = asyncio.ensure_future(anext(trigger(sei_conn_id="nowhere").run()))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while task_log.text.count("again in") < 2:  # noqa: ASYNC110 - the log has no event to wait for
                    await asyncio.sleep(0.01)
            ended = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return ended

        assert not asyncio.run(run())
        assert "nowhere" in task_log.text

    def test_an_export_without_a_date_is_logged(self, sei_server: Any, connection: str, task_log: Any) -> None:
        """It cannot be said whether it is new."""
        assert connection == "sei_default"
        body = {"exports": [{"exportId": "exp_1", "status": "completed"}]}
        sei_server.faults.add("list", "answer", times=None, status=200, body=body)
        assert watch(sei_server, trigger(), lambda: None) == []
        assert "1 completed productivity exports have no readable completedAt" in task_log.text

    def test_a_new_key_is_used(self, sei_server: Any, create: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a restart: the connection is looked up each time."""
        good = sei_server.connection_json(calls_per_minute=1000)
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", good.replace(json.loads(good)["password"], "stale-key"))
        one = trigger()

        def renew() -> None:
            monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", good)

        fired = watch(sei_server, one, renew, create, lambda: None)
        assert len(fired) == 1


class TestSerialize:
    """What Airflow stores, and identifies triggers by."""

    ARGUMENTS: dict[str, Any] = {  # noqa: RUF012 - a constant of the tests
        "family": "ba",
        "team_id": "456",
        "org_tree_name": "Engineering",
        "since": "2026-01-01T00:00:00Z",
        "poll_interval": 30.0,
        "sei_conn_id": "sei_eu",
        "project_identifier": "p",
        "org_identifier": "o",
        "auth_header": "x-api-key",
    }

    def test_airflow_finds_it_again(self) -> None:
        """By the hash of what it gets back from its own database: a change here is another trigger, and begins anew."""
        from airflow.models.trigger import Trigger
        from airflow.triggers.base import BaseEventTrigger

        path, arguments = SEIExportCompletedTrigger(**self.ARGUMENTS).serialize()
        assert (path, arguments) == ("airflow_provider_sei.triggers.watcher.SEIExportCompletedTrigger", self.ARGUMENTS)
        for given in (self.ARGUMENTS, {"family": "ba", "poll_interval": 60}):
            path, arguments = SEIExportCompletedTrigger(**given).serialize()
            stored = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(arguments))
            assert BaseEventTrigger.hash(path, stored) == BaseEventTrigger.hash(path, arguments)
            assert SEIExportCompletedTrigger(**stored).serialize() == (path, arguments)

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"family": "prodctivity"}, "did you mean"),
            ({"since": "yesterday"}, "since must be a time"),
            ({"poll_interval": 1}, "poll_interval must be a number of seconds"),
            ({"team_id": 4.5}, "team_id must be text"),
        ],
    )
    def test_wrong_arguments_are_found_when_the_dag_is_parsed(self, wrong: dict[str, Any], words: str) -> None:
        """Not by the constructor: in the triggerer, its errors end the triggerer."""
        from airflow.sdk import DAG, Asset, AssetWatcher
        from airflow.serialization.serialized_objects import DagSerialization

        made = SEIExportCompletedTrigger(**{"family": "ba"} | wrong)
        with pytest.raises(SEIArgumentError, match=f"(?i){words}"):
            made.serialize()
        dag = DAG("watches", schedule=[Asset("a", watchers=[AssetWatcher(name="w", trigger=made)])])
        with pytest.raises(Exception, match=f"(?i){words}"):
            DagSerialization.to_dict(dag)

    def test_before_airflow_3_it_says_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The module itself can be imported there."""
        from airflow.triggers.base import BaseTrigger

        monkeypatch.setattr("airflow_provider_sei.triggers.watcher.BaseEventTrigger", BaseTrigger)
        with pytest.raises(NotImplementedError, match=r"Airflow has from 3\.0 on"):
            SEIExportCompletedTrigger(family="ba")
