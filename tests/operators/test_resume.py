"""An export is created once, however often its task is tried; a cleared task creates a fresh one."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEICreateExportOperator
from tests.operators.conftest import REQUEST, operations

# Without the server's reuse of identical requests: here, only the stored id prevents a second export.
pytestmark = [
    pytest.mark.sei_server(queued_seconds=10.0, seconds_to_complete=60.0, reuse_seconds=0.0, clock_speed=0.0),
    pytest.mark.usefixtures("sei_connection"),
]


class Task:
    """A task instance: its tries share Airflow's task state store, and ``max_tries`` until a user clears it."""

    def __init__(self) -> None:
        self.max_tries = 3
        self.kept: dict[str, str] = {}  # it takes JSON and returns it
        set_ = lambda key, value: self.kept.update({key: json.dumps(value)})  # noqa: E731 - a method of the double
        self.store: Any = SimpleNamespace(get=lambda key: json.loads(self.kept.get(key, "null")), set=set_)

    def run(self, **changes: Any) -> str:
        """Run one try; return the export's id."""
        context = {"ti": SimpleNamespace(max_tries=self.max_tries), "task_state_store": self.store}
        export_id: str = SEICreateExportOperator(task_id="create", **REQUEST | changes).execute(context)
        return export_id


@pytest.fixture
def task() -> Task:
    """A task that has not run yet."""
    return Task()


def ids(sei_server: Any) -> list[str]:
    """Return the ids of all created exports."""
    return [export.export_id for export in sei_server.exports]


class TestRetry:
    """A retry."""

    @pytest.mark.parametrize(("age", "status"), [(0, "queued"), (20, "processing"), (90, "completed")])
    def test_it_resumes_the_export(self, task: Task, sei_server: Any, task_log: Any, age: int, status: str) -> None:
        """Queued, processing or completed."""
        first = task.run()
        sei_server.clock.advance(age)
        assert [task.run()] == [first] == ids(sei_server)
        assert f"Resuming productivity export {first} of an earlier try (status: {status})" in task_log.text

    @pytest.mark.parametrize("status", ["failed", "cancelled", "deleted"])
    def test_it_replaces_an_unusable_export(self, task: Task, sei_server: Any, task_log: Any, status: str) -> None:
        """The log says why; further tries resume the replacement."""
        words = f"is not usable (status: {status})"
        if status == "deleted":
            words = "no longer exists"
            sei_server.faults.add("create", "outcome", vanishes_after_seconds=30.0)
        first = task.run()
        sei_server.clock.advance(90)
        if status != "deleted":
            sei_server.end_export(first, status, "out of memory")
        second = task.run()
        assert ids(sei_server) == [first, second]
        assert f"Export {first} of an earlier try {words}" in task_log.text
        assert task.run() == second

    def test_a_cleared_task_creates_a_fresh_export(self, task: Task, sei_server: Any) -> None:
        """Airflow raises ``max_tries`` and 3.3 keeps the store; the retries that follow resume the fresh export."""
        first = task.run()
        sei_server.clock.advance(90)
        task.max_tries += 1
        fresh = task.run()
        assert [task.run()] == [fresh]
        assert ids(sei_server) == [first, fresh]

    def test_an_unreadable_status_creates_no_export(self, task: Task, sei_server: Any) -> None:
        """The next try resumes the earlier one."""
        first = task.run()
        sei_server.faults.add("status", "answer", status=403)
        with pytest.raises(exceptions.SEIAuthError):
            task.run()
        assert [task.run()] == [first] == ids(sei_server)

    @pytest.mark.parametrize(
        "changes", [{"team_id": "123"}, {"date_end": "2024-01-30"}, {"aggregation": "mean"}, {"extra_body": {"x": 1}}]
    )
    def test_another_request_is_another_export(self, task: Task, sei_server: Any, changes: dict[str, Any]) -> None:
        """The DAG was changed between two tries."""
        sei_server.reset(strict_body=False)
        assert task.run() != task.run(**changes)
        assert len(ids(sei_server)) == 2

    def test_another_project_is_another_export(self, task: Task, sei_server: Any) -> None:
        """The same request is about other data there."""
        task.run()
        with pytest.raises(exceptions.SEIError):
            task.run(project_identifier="elsewhere")
        assert operations(sei_server) == ["create", "create"]


@pytest.mark.sei_server(reuse_seconds=1800.0)
class TestReused:
    """Exports that the server reuses."""

    def test_a_retry_reports_it_again(self, task: Task, make: Any, sei_server: Any) -> None:
        """In the result of the task that delivers it."""
        sei_server.reset(clock_speed=0.0, seconds_to_complete=0.0, queued_seconds=0.0)
        other = Task().run()
        context = {"task_state_store": task.store}
        assert [make().execute(context)["reused"] for _ in range(2)] == [True, True]
        assert ids(sei_server) == [other]

    def test_the_id_is_stored_before_anything_else_can_fail(self, task: Task, sei_server: Any) -> None:
        """Such as the first status poll."""
        other = Task().run()
        sei_server.faults.add("status", "answer", status=403)
        with pytest.raises(exceptions.SEIError):
            task.run()
        assert task.store.get("sei_export")["export_id"] == other


class TestFile:
    """The export is completed, and its file cannot be delivered."""

    @pytest.fixture
    def deliver(self, make: Any, task: Task, sei_server: Any, worker_clock: Any) -> Callable[..., Any]:
        """Run a try; return the export's id, or its error, which must be retryable."""
        sei_server.reset(clock_speed=0.0, seconds_to_complete=0.0, queued_seconds=0.0, reuse_seconds=1800.0)
        worker_clock.now = sei_server.clock()
        context = {"ti": SimpleNamespace(max_tries=3, xcom_push=lambda **_: None), "task_state_store": task.store}

        def run(*, fails: bool = False, **changes: Any) -> Any:
            if not fails:
                return make(**changes).execute(context)["export_id"]
            with pytest.raises(exceptions.SEIError) as caught:
                make(**changes).execute(context)
            assert caught.value.retryable
            return caught.value

        return run

    @pytest.mark.parametrize(
        "fault",
        [
            *(("answer", {"status": status}) for status in (404, 410, 204)),
            *(("corrupt_gzip", {"where": where}) for where in ("data", "trailer")),
            *(("answer", {"status": 200, "body": body}) for body in ("oops", {"error": "no"})),
            ("empty", {}),
        ],
    )
    def test_a_lost_one_is_forgotten(
        self, deliver: Any, sei_server: Any, worker_clock: Any, task_log: Any, fault: Any
    ) -> None:
        """After five downloads. SEI repeats the same export for 30 minutes; the next try after that gets another."""
        sei_server.faults.add("download", fault[0], times=10, **fault[1])
        error = deliver(fails=True)
        assert isinstance(error, exceptions.SEIFileError)
        assert operations(sei_server).count("download") == 5
        [first] = ids(sei_server)
        assert f"Forgetting productivity export {first}, whose file is not available. For 17" in task_log.text
        assert 1700 < float(error.retry_after) <= 1801
        deliver(fails=True)
        assert ids(sei_server) == [first]
        worker_clock.sleep(1800)
        assert [first, deliver()] == ids(sei_server)

    @pytest.mark.parametrize(
        "fault",
        [
            *(("answer", {"status": status, "body": "<html>Unavailable"}) for status in (200, 503)),
            ("cut", {"after_bytes": 10}),
        ],
    )
    def test_other_trouble_keeps_the_export(self, deliver: Any, sei_server: Any, worker_clock: Any, fault: Any) -> None:
        """A server that is down, a gateway's page, or a store that fails, says nothing about the file."""
        sei_server.faults.add("download", fault[0], times=5, **fault[1])
        deliver(fails=True)
        deliver(fails=True, destination="/dev/fd/sei/x.csv")
        worker_clock.sleep(1800)
        assert [deliver()] == ids(sei_server)


class TestStore:
    """What is stored, and stores that fail."""

    def test_the_record_has_no_secret(self, task: Task, sei_server: Any) -> None:
        """It has the id, and what identifies the request and the chain of tries."""
        export_id = task.run()
        record = task.store.get("sei_export")
        assert record.keys() == {"export_id", "reused", "fingerprint", "max_tries", "version"}
        assert (record["export_id"], record["reused"]) == (export_id, False)
        assert sei_server.api_key not in task.kept["sei_export"]

    def test_a_broken_store_fails_nothing(self, task: Task, sei_server: Any, task_log: Any) -> None:
        """The export is created, and the log says what a retry will not know."""
        task.store = SimpleNamespace()  # its methods fail
        assert [task.run()] == ids(sei_server)
        assert "Could not read the task state store" in task_log.text
        assert "Could not save in the task state store" in task_log.text

    @pytest.mark.parametrize(
        "kept",
        [
            *({"version": 2}, {"export_id": None}, {"export_id": 7}, {"fingerprint": "?"}, {"max_tries": None}),
            *("text", 5, []),
        ],
    )
    def test_an_unknown_record_is_ignored(self, task: Task, sei_server: Any, kept: Any) -> None:
        """One of another release leads to a new export, not to an error."""
        task.run()
        task.store.set("sei_export", task.store.get("sei_export") | kept if isinstance(kept, dict) else kept)
        assert task.run() == ids(sei_server)[1]
