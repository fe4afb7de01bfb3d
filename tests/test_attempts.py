"""An export is created once, however often its task is tried; a cleared task gets a fresh one."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow_provider_sei.operators._resume import create_or_resume

from airflow_provider_sei import exceptions
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.export_request import ExportRequest

REQUEST = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}

# The server's own rule, which answers an identical request with the export that it has, is off: what keeps a second
# export from being made here is the memory alone.
pytestmark = pytest.mark.sei_server(queued_seconds=10.0, seconds_to_complete=60.0, reuse_seconds=0.0, clock_speed=0.0)


class Store:
    """Airflow's task state store, as far as it is used: it takes JSON and gives it back."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str) -> Any:
        """Return what was kept under ``key``, or ``None``."""
        return json.loads(self.kept.get(key, "null"))

    def set(self, key: str, value: Any) -> None:
        """Keep ``value``."""
        self.kept[key] = json.dumps(value)


class BrokenStore:
    """A task state store whose server does not answer."""

    def get(self, key: str) -> Any:
        """Fail."""
        raise ConnectionError(key)

    def set(self, key: str, value: Any) -> None:
        """Fail."""
        raise ConnectionError(key, value)


class Task:
    """One task instance: its tries share the store, and ``max_tries`` until somebody clears it."""

    def __init__(self, hook: SEIHook) -> None:
        self.hook = hook
        self.max_tries = 3
        self.store: Any = Store()

    def run(self, reused_failed: str = "fail", **changes: Any) -> Any:
        """Return the export that one try goes on with."""
        context = {"ti": SimpleNamespace(max_tries=self.max_tries), "task_state_store": self.store}
        return create_or_resume(self.hook, ExportRequest.from_arguments(**REQUEST | changes), context, reused_failed)


@pytest.fixture
def task(sei_connection: str) -> Task:
    """A task that was never tried."""
    return Task(SEIHook(sei_connection))


def ids(sei_server: Any) -> list[str]:
    """Return the ids of all exports that were made."""
    return [export.export_id for export in sei_server.exports]


class TestRetry:
    """A further try of the same chain of tries."""

    @pytest.mark.parametrize(("age", "status"), [(0, "queued"), (20, "processing"), (90, "completed")])
    def test_it_goes_on_with_a_living_export(self, task: Task, sei_server: Any, age: int, status: str) -> None:
        """Queued, processing or completed: the export of the try before is the one."""
        first = task.run()
        sei_server.clock.advance(age)
        again = task.run()
        assert [again.export_id] == [first.export_id] == ids(sei_server)
        assert again.status_word == status

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_it_replaces_a_dead_export(self, task: Task, sei_server: Any, task_log: Any, status: str) -> None:
        """An export that can never be delivered is made again, and the log says why."""
        first = task.run()
        sei_server.clock.advance(90)
        sei_server.end_export(first.export_id, status, "out of memory")
        again = task.run()
        assert ids(sei_server) == [first.export_id, again.export_id]
        assert f"{first.export_id} of an earlier try is {status}" in task_log.text

    def test_it_replaces_a_vanished_export(self, task: Task, sei_server: Any, task_log: Any) -> None:
        """An id that the server no longer knows leads nowhere: the export is made again."""
        sei_server.faults.add("create", "outcome", vanishes_after_seconds=30.0)
        first = task.run()
        sei_server.clock.advance(40)
        again = task.run()
        assert ids(sei_server) == [first.export_id, again.export_id]
        assert f"{first.export_id} of an earlier try has vanished" in task_log.text

    def test_the_replacement_is_remembered_in_turn(self, task: Task, sei_server: Any) -> None:
        """The third try goes on with what the second one has made."""
        first = task.run()
        sei_server.clock.advance(90)
        sei_server.end_export(first.export_id, "failed")
        assert task.run().export_id == task.run().export_id == ids(sei_server)[-1]
        assert len(ids(sei_server)) == 2

    def test_a_server_in_trouble_costs_no_export(self, task: Task, sei_server: Any) -> None:
        """While the state of the earlier export cannot be read, nothing is created; the next try goes on with it."""
        first = task.run()
        sei_server.faults.add("status", "answer", status=403)
        with pytest.raises(exceptions.SEIError):
            task.run()
        assert task.run().export_id == first.export_id
        assert ids(sei_server) == [first.export_id]

    @pytest.mark.parametrize(
        "changes", [{"team_id": "123"}, {"date_end": "2024-01-30"}, {"aggregation": "mean"}, {"extra_body": {"x": 1}}]
    )
    def test_another_request_is_another_export(self, task: Task, sei_server: Any, changes: dict[str, Any]) -> None:
        """A DAG that was changed between two tries gets what it asks for now."""
        sei_server.reset(strict_body=False)
        first = task.run()
        assert task.run(**changes).export_id != first.export_id
        assert len(ids(sei_server)) == 2

    def test_another_projects_export_is_another_one(self, task: Task, sei_server: Any) -> None:
        """The same request of another project asks for other numbers."""
        task.run()
        task.hook = SEIHook(task.hook.sei_conn_id, project_identifier="elsewhere")
        with pytest.raises(exceptions.SEIError):
            task.run()
        assert [request.operation for request in sei_server.requests] == ["create", "create"]


class TestReused:
    """Exports that the server had before they were asked for."""

    @pytest.mark.sei_server(reuse_seconds=1800.0)
    def test_that_it_was_reused_is_remembered(self, task: Task, sei_server: Any) -> None:
        """Each try says the same of where the export came from."""
        other = Task(task.hook).run()
        assert [task.run().reused, task.run().reused] == [True, True]
        assert ids(sei_server) == [other.export_id]

    @pytest.mark.sei_server(reuse_seconds=1800.0)
    def test_it_is_kept_before_anything_else_can_fail(self, task: Task, sei_server: Any) -> None:
        """The try that ends between the answer and the first look at the export has its id in the store."""
        other = Task(task.hook).run()
        sei_server.faults.add("status", "answer", status=403)
        with pytest.raises(exceptions.SEIError):
            task.run()
        assert json.loads(task.store.kept["sei_export"])["export_id"] == other.export_id

    @pytest.mark.sei_server(reuse_seconds=1800.0)
    def test_a_lost_answer_makes_no_second_export(self, task: Task, sei_server: Any) -> None:
        """A worker killed between request and answer has kept nothing: the server's own rule finds its export."""
        Task(task.hook).run()
        assert task.run().reused is True
        assert len(ids(sei_server)) == 1


class TestClear:
    """A task that a user has cleared; Airflow raises ``max_tries`` then, and 3.3 keeps the store."""

    def test_it_creates_a_fresh_export(self, task: Task, sei_server: Any) -> None:
        """Whoever clears wants numbers of today, though the old export could be delivered once more."""
        first = task.run()
        sei_server.clock.advance(90)
        task.max_tries += 1
        fresh = task.run()
        assert ids(sei_server) == [first.export_id, fresh.export_id]
        assert fresh.reused is False

    def test_its_retries_go_on_with_the_fresh_export(self, task: Task, sei_server: Any) -> None:
        """After a clear a new chain of tries begins, with a memory of its own."""
        task.run()
        task.max_tries += 1
        assert task.run().export_id == task.run().export_id == ids(sei_server)[1]
        assert len(ids(sei_server)) == 2


class TestStore:
    """What is kept, and what becomes of a task whose store fails it."""

    def test_it_keeps_plain_facts(self, task: Task, sei_server: Any) -> None:
        """The record is JSON without the key, the request or anybody's name."""
        export = task.run()
        record = json.loads(task.store.kept["sei_export"])
        assert record.keys() == {"export_id", "reused", "fingerprint", "chain", "version"}
        assert (record["export_id"], record["reused"]) == (export.export_id, False)
        assert sei_server.api_key not in task.store.kept["sei_export"]

    @pytest.mark.sei_server(reuse_seconds=1800.0)
    def test_without_a_store_the_servers_rule_holds(self, task: Task, sei_server: Any) -> None:
        """Before Airflow 3.3 a retry asks again, and is answered with the same export for 30 minutes."""
        task.store = None
        first = task.run()
        assert task.run().export_id == first.export_id
        assert [export.requested for export in sei_server.exports] == [2]

    def test_a_broken_store_is_done_without(self, task: Task, sei_server: Any, task_log: Any) -> None:
        """The export is created, and the log says what a retry will not know."""
        task.store = BrokenStore()
        assert [task.run().export_id] == ids(sei_server)
        assert "the task state store cannot be read" in task_log.text
        assert "cannot be kept in the task state store" in task_log.text

    @pytest.mark.parametrize(
        "changes",
        [{"version": 2}, {"export_id": None}, {"export_id": 7}, {"fingerprint": "?"}, {"chain": None}],
    )
    def test_a_record_it_cannot_read_is_left_aside(
        self, task: Task, sei_server: Any, changes: dict[str, object]
    ) -> None:
        """What another release or another program has kept leads to a new export, not to an error."""
        task.run()
        task.store.set("sei_export", task.store.get("sei_export") | changes)
        assert task.run().export_id == ids(sei_server)[1]

    @pytest.mark.parametrize("kept", [None, "text", 5, []])
    def test_something_else_under_its_name_is_left_aside(self, task: Task, sei_server: Any, kept: object) -> None:
        """Only a record of its own is believed."""
        task.store.set("sei_export", kept)
        assert [task.run().export_id] == ids(sei_server)


def test_an_unknown_policy_creates_nothing(task: Task, sei_server: Any) -> None:
    """A template that renders to nonsense is refused before the server hears of it."""
    with pytest.raises(exceptions.SEIError, match="reused_failed"):
        task.run(reused_failed="sometimes")
    assert sei_server.requests == []
