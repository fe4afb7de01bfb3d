"""``SEIExportOperator``: create, wait and deliver in one task."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, Asset, TaskDeferred

from airflow_provider_sei import exceptions
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator, SEIExportOperator, SEILegacyReportOperator
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup
from tests.operators.conftest import REQUEST, operations

MakeOperator = Callable[..., SEIExportOperator]
Defer = Callable[..., TaskDeferred]
Fire = Callable[[Any], dict[str, Any]]
JANUARY = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
DECISIONS = {"scope": {"family": "ba"}, "destination": {"url": "/x/a.csv"}, "reused": False}
COMPLETED = {"family": "ba", "export_id": "exp_1", "status": "completed"}


@pytest.mark.parametrize(
    ("destination", "words"),
    [
        ("{folder}/file/{{family}}/x.csv", "Not a directory"),
        (f"{{folder}}/new/{'x' * 300}/", "File name too long"),
        ("file://{folder}/a.csv", "is a folder"),
        ("moon://lake/sei/", "Unsupported filesystem"),
        ("sftp://lake/sei/", "No filesystem registered"),
        ("abfs://nobody@lake/sei/", "isn't defined"),
    ],
)
@pytest.mark.parametrize("kind", [SEIExportOperator, SEIDownloadExportOperator, SEILegacyReportOperator])
def test_a_destination_that_cannot_be_written_to_is_refused_first(  # noqa: PLR0917 - fixtures
    sei_connection: str, sei_server: Any, tmp_path: Path, kind: Any, destination: str, words: str
) -> None:
    """Nothing is created, downloaded or written, and there is no other try."""
    (tmp_path / "file").touch()
    (tmp_path / "a.csv").mkdir()
    made = SEIHook(sei_connection).create_export(**REQUEST)
    request = {
        SEIExportOperator: REQUEST,
        SEIDownloadExportOperator: {"family": made.family, "export_id": made.export_id},
        SEILegacyReportOperator: {"collection_id": "456", **JANUARY},
    }[kind]
    operator = kind(task_id="x", sei_conn_id=sei_connection, destination=destination.format(folder=tmp_path), **request)
    with pytest.raises(exceptions.SEIArgumentError, match=words) as caught:
        operator.execute({})
    assert caught.value.field == "destination"
    assert set(operations(sei_server)[1:]) <= {"status"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.csv", "file"]


class TestResult:
    """The task's result."""

    @pytest.mark.parametrize("family", list(FAMILIES))
    def test_it_describes_the_delivered_file(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path, family: str
    ) -> None:
        """As JSON, with these sixteen fields and no others."""
        groups = FAMILIES[family].metric_groups[:1] or None
        result = export_operator(family=family, metric_groups=groups).execute({})
        [record] = sei_server.exports
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == record.csv
        assert file.name.startswith(f"{family}_team-456_2024-01-01_2024-01-31_")
        assert datetime.fromisoformat(result["created_at"]) <= datetime.fromisoformat(result["completed_at"])
        assert json.loads(json.dumps(result)) == {
            "uri": f"file://{file}",
            "path": str(file),
            "conn_id": None,
            "destination": f"file://{file}",
            "bytes": record.csv_bytes,
            "rows": record.rows,
            "sha256": record.csv_sha256,
            "written": True,
            "export_id": record.export_id,
            "family": family,
            **JANUARY,
            "reused": False,
            "created_at": result["created_at"],
            "completed_at": result["completed_at"],
            "columns": record.csv.splitlines()[0].decode().split(","),
        }

    def test_partitions_are_read_again_before_the_download(
        self, export_operator: MakeOperator, sei_server: Any
    ) -> None:
        """They are rendered again after the wait; what only the event rejects would be delivered on every retry."""
        event = {"version": 1, "outcome": "ready", "export": COMPLETED, "passthrough": DECISIONS}
        operator = export_operator(asset_partitions="{{ value }}")
        operator.render_template_fields({"value": "x" * 251})
        with pytest.raises(exceptions.SEIArgumentError, match="asset_partitions"):
            operator.execute_complete({}, event)
        assert sei_server.requests == []

    def test_a_reused_export_is_reported_and_polled_once(
        self, export_operator: MakeOperator, sei_server: Any, task_log: Any
    ) -> None:
        """It may be another user's. Its file replaces the first one's, under the same name."""
        first, second = export_operator().execute({}), export_operator().execute({})
        assert (first["reused"], second["reused"]) == (False, True)
        assert first["uri"] == second["uri"]
        assert "possibly another user's" in task_log.text
        assert operations(sei_server) == ["create", "status", "download"] * 2
        assert len(sei_server.exports) == 1

    def test_another_request_has_another_name(self, export_operator: MakeOperator, tmp_path: Path) -> None:
        """Even if only the metrics differ."""
        for metrics in (["PR_MERGED"], ["LOC_ADDED"]):
            export_operator(metrics=metrics).execute({})
        assert len(list(tmp_path.iterdir())) == 2

    def test_rows_of_a_compressed_file_are_csv_records(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path
    ) -> None:
        """Bytes and digest are those of the stored object."""
        result = export_operator(export_compression="gzip").execute({})
        [record] = sei_server.exports
        [file] = tmp_path.iterdir()
        assert file.suffixes[-2:] == [".csv", ".gz"]
        assert gzip.decompress(file.read_bytes()) == record.csv
        assert (result["rows"], result["bytes"]) == (record.rows, file.stat().st_size)

    def test_a_different_team_at_the_server_is_logged(
        self, export_operator: MakeOperator, sei_server: Any, task_log: Any
    ) -> None:
        """The file is named after the request."""
        sei_server.faults.add("status", "fields", changes={"scope": {"teamId": "7"}})
        export_operator().execute({})
        assert "reports team_id '7', but '456' was requested" in task_log.text

    def test_no_key_and_no_personal_data_gets_out(
        self, export_operator: MakeOperator, sei_server: Any, defer: Defer, fire: Fire, task_log: Any
    ) -> None:
        """Neither to logs, nor to the trigger, its event and results."""
        deferral = defer(export_operator())
        sei_server.clock.advance(60)
        event = fire(deferral.trigger)
        result = export_operator().execute_complete({}, event)
        export_operator().execute({})
        text = f"{deferral.trigger.serialize()} {event} {result} {task_log.text}"
        for personal in ("Jane", "Smith", "jane.smith", "user_123", sei_server.api_key):
            assert personal not in text

    def test_a_destination_may_have_fields_of_the_request(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path
    ) -> None:
        """In folders and in the file's name."""
        destination = f"{tmp_path}/{{project}}/{{family}}/{{period}}/{{team_id}}_{{export_id}}.csv"
        result = export_operator(destination=destination).execute({})
        name = f"{sei_server.project}/productivity/2024-01/456_{sei_server.exports[0].export_id}.csv"
        assert result["uri"] == f"file://{tmp_path}/{name}"


class TestParquet:
    """``output="parquet"``."""

    def test_a_deferred_export_is_a_table(
        self, export_operator: MakeOperator, sei_server: Any, defer: Defer, fire: Fire, tmp_path: Path
    ) -> None:
        """As decided before the wait; its metadata says what was requested, no address; the event has the columns."""
        parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra, which not every environment has")
        form = {"output": "parquet", "column_names": "snake", "column_types": {"developer": "text"}, "layout": "hive"}
        manager, asset = "manager.456@company.example", Asset("sei")
        arguments = {**form, "metric_groups": ["activity"], "manager_email_id": manager, "outlets": [asset]}
        deferral = defer(export_operator(**arguments))
        sei_server.clock.advance(60)
        events = {asset: SimpleNamespace(extra={})}
        result = export_operator(**arguments).execute_complete({"outlet_events": events}, fire(deferral.trigger))
        [file], [record] = [path for path in tmp_path.rglob("*") if path.is_file()], sei_server.exports
        table = parquet.read_table(file, partitioning=None)
        columns = ["granularity", "team", "team_hierarchy", "start_date", "end_date", "developer", "developer_email"]
        assert (file.suffix, result["uri"], table.num_rows) == (".parquet", f"file://{file}", record.rows)
        assert table.column_names == result["columns"] == events[asset].extra["columns"] == [*columns, "coding_days"]
        metadata = {key.decode(): value.decode() for key, value in parquet.read_metadata(file).metadata.items()}
        request = json.loads(metadata["sei.request"])
        assert {"metric_groups": ["activity"], "team_id": "456", **JANUARY}.items() <= request.items()
        assert (metadata["sei.csv_sha256"], metadata["sei.export_id"]) == (record.csv_sha256, record.export_id)
        assert manager not in f"{metadata} {result} {events}"

    def test_without_pyarrow_nothing_is_created(
        self, export_operator: MakeOperator, sei_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The message says what to install."""
        monkeypatch.setattr("airflow_provider_sei.delivery.destination.find_spec", lambda _: None)
        with pytest.raises(exceptions.SEIArgumentError, match=r"install airflow-provider-sei\[parquet\]"):
            export_operator(output="parquet").execute({})
        assert sei_server.requests == []

    def test_a_wrong_type_fails_when_the_dag_is_parsed(self, export_operator: MakeOperator) -> None:
        """In a team group, too."""
        for make in (export_operator, partial(SEITeamExportsTaskGroup, "teams", destination="/x/", family="ba")):
            with (
                DAG("types", schedule=None),
                pytest.raises(exceptions.SEIArgumentError, match="'varchar' is not one of text, integer"),
            ):
                make(output="parquet", column_types={"Team": "varchar"})


class TestDeferral:
    """Waiting without a worker."""

    def test_a_completed_export_never_defers(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """The status is polled once before the deferral."""
        export_operator().execute({})
        assert operations(sei_server) == ["create", "status", "download"]

    def test_the_trigger_has_everything_and_no_secret(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, defer: Defer, tmp_path: Path
    ) -> None:
        """Its arguments are these, all of them JSON."""
        started = worker_clock.now
        deferral = defer(
            export_operator(
                destination=f"{tmp_path}/a.csv",
                wait_timeout=3600,
                poll_interval=30,
                auth_header="SEI_API_KEY",
                overwrite="skip",
                empty="fail",
                download_timeout=99,
            )
        )
        path, arguments = deferral.trigger.serialize()
        assert path == "airflow_provider_sei.triggers.sei.SEIExportTrigger"
        assert json.loads(json.dumps(arguments)) == {
            "family": "productivity",
            "export_id": sei_server.exports[0].export_id,
            "deadline": started + 3600,
            "started_at": started,
            "sei_conn_id": "sei_default",
            "poll_interval": 30.0,
            "passthrough": {
                "scope": {
                    "family": "productivity",
                    "team_id": "456",
                    "account": sei_server.base_url.removeprefix("http://"),
                    "org_identifier": sei_server.org,
                    "project_identifier": sei_server.project,
                    **JANUARY,
                },
                "destination": {
                    "url": f"{tmp_path}/a.csv",
                    "layout": "flat",
                    "compression": "keep",
                    "overwrite": "skip",
                    "empty": "fail",
                    "timeout": 99.0,
                    "file_format": "csv",
                    "output": "csv",
                    "column_types": {},
                    "column_names": "keep",
                    "expect_columns": [],
                    "on_schema_change": "fail",
                    "request": "",
                },
                "reused": False,
            },
            "project_identifier": sei_server.project,
            "org_identifier": sei_server.org,
            "auth_header": "SEI_API_KEY",
            "version": 1,
        }
        assert deferral.method_name == "execute_complete"
        # Airflow's own timeout ends the deferral some minutes later, if no triggerer does.
        assert timedelta(seconds=3600) < deferral.timeout <= timedelta(seconds=3600 + 600)

    def test_an_operators_account_reaches_the_triggerer(
        self, export_operator: MakeOperator, sei_server: Any, defer: Defer, fire: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where every call names the account; otherwise the trigger has the arguments of the last release."""
        extra = {"auth_header": "x-api-key", "account_header": "Harness-Account", "account_id": "elsewhere"}
        connection = json.loads(sei_server.connection_json(**extra)) | {"password": "demo-service-account-token"}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))
        deferral = defer(operator := export_operator(account_id="demo_account"))
        assert deferral.trigger.serialize()[1]["account_id"] == "demo_account"
        sei_server.clock.advance(60)
        assert operator.execute_complete({}, fire(deferral.trigger))["rows"] == 5

    def test_execution_timeout_ends_the_wait(
        self, export_operator: MakeOperator, worker_clock: Any, defer: Defer
    ) -> None:
        """Counted from the start of the try; Airflow does not enforce it while a task is deferred."""
        begun = worker_clock.now - 100
        context = {"ti": task_instance(begun)}
        deferral = defer(export_operator(execution_timeout=timedelta(minutes=10)), context)
        assert deferral.trigger.deadline == pytest.approx(begun + 600, rel=0, abs=0.01)

    def test_the_resumed_task_delivers_as_decided_before(
        self, export_operator: MakeOperator, sei_server: Any, defer: Defer, fire: Fire, tmp_path: Path
    ) -> None:
        """From the event alone, in another process: nothing is derived or requested again."""
        deferral = defer(export_operator())
        sei_server.clock.advance(60)
        event = json.loads(json.dumps(fire(deferral.trigger)))
        requested = len(sei_server.requests)
        changed = export_operator(team_id="123", date_start="2024-01-15", destination="/nowhere/")
        result = changed.execute_complete({}, event)
        [record] = sei_server.exports
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == record.csv
        assert file.name.startswith("productivity_team-456_2024-01-01_2024-01-31_")
        assert (result["export_id"], result["reused"], result["date_start"]) == (record.export_id, False, "2024-01-01")
        assert result["completed_at"] is not None
        assert operations(sei_server)[requested:] == ["download"]
        assert record.requested == 1

    def test_a_reused_export_is_polled_once_and_reported_after_the_deferral(
        self, export_operator: MakeOperator, sei_server: Any, defer: Defer, fire: Fire
    ) -> None:
        """The result says so in the end."""
        defer(export_operator())
        with pytest.raises(TaskDeferred) as caught:
            export_operator().execute({})
        assert operations(sei_server) == ["create", "status"] * 2
        sei_server.clock.advance(60)
        assert export_operator().execute_complete({}, fire(caught.value.trigger))["reused"] is True

    @pytest.mark.parametrize(
        "event",
        [
            None,
            "success",
            {},
            {"passthrough": DECISIONS},
            {"version": 9, "outcome": "done", "export": {}, "passthrough": DECISIONS},
            {"version": 1, "outcome": "ready", "passthrough": DECISIONS},
            {"version": 1, "outcome": "ready", "export": COMPLETED | {"export_id": None}, "passthrough": DECISIONS},
            {"version": 1, "outcome": "ready", "export": COMPLETED | {"status": "queued"}, "passthrough": DECISIONS},
            {"version": 1, "outcome": "ready", "export": COMPLETED},
            {"version": 1, "outcome": "ready", "export": COMPLETED, "passthrough": {"scope": {"family": "ba"}}},
            {"version": 1, "outcome": "error", "passthrough": DECISIONS},
        ],
    )
    def test_an_unclear_event_is_an_error(self, export_operator: MakeOperator, tmp_path: Path, event: Any) -> None:
        """Never a success; nothing is delivered."""
        with pytest.raises(exceptions.SEIError):
            export_operator().execute_complete({}, event)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("status", [503, 403])
    def test_only_a_transient_error_before_the_deferral_is_tolerated(
        self, export_operator: MakeOperator, sei_server: Any, status: int
    ) -> None:
        """A wait would end like the first poll otherwise."""
        sei_server.faults.add("status", "answer", status=status, times=None)
        with pytest.raises(TaskDeferred if status == 503 else exceptions.SEIAuthError):
            export_operator().execute({})
        assert len(sei_server.exports) == 1


def task_instance(started: float, pushed: dict[str, Any] | None = None) -> SimpleNamespace:
    """Return a task instance that keeps what it is given as XComs."""
    kept = {} if pushed is None else pushed
    push = lambda key, value: kept.update({key: value})  # noqa: E731 - a method of the double
    return SimpleNamespace(start_date=datetime.fromtimestamp(started, UTC), max_tries=0, xcom_push=push)


class TestCreateJitter:
    """``create_jitter``: a random delay before the create call."""

    @pytest.fixture(autouse=True)
    def _half(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the delay half of the longest one."""
        monkeypatch.setattr("airflow_provider_sei.operators._base.random", SimpleNamespace(random=lambda: 0.5))

    def test_the_delay_is_deferred(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """By a trigger of Airflow's; the task then creates and delivers."""
        before = datetime.now(UTC)
        with pytest.raises(TaskDeferred) as caught:
            export_operator(create_jitter=60).execute({})
        path, arguments = caught.value.trigger.serialize()
        assert path.startswith("airflow.")
        assert timedelta(seconds=29) < arguments["moment"] - before < timedelta(seconds=40)
        assert caught.value.method_name == "execute_create"
        assert caught.value.kwargs["deadline"] > before.timestamp() + 300 * 24 * 3600  # there is no execution_timeout
        assert sei_server.requests == []
        result = export_operator(create_jitter=60).execute_create({}, None, **caught.value.kwargs)
        assert result["export_id"] == sei_server.exports[0].export_id

    def test_a_worker_sleeps_if_it_is_not_deferrable(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """Before the create call."""
        export_operator(create_jitter=60, deferrable=False).execute({})
        assert worker_clock.pauses == [30]
        assert len(sei_server.exports) == 1

    def test_execution_timeout_includes_the_delay(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """Once it has passed, nothing is created."""
        context = {"ti": task_instance(worker_clock.now)}
        operator = export_operator(create_jitter=60, execution_timeout=timedelta(seconds=20))
        with pytest.raises(TaskDeferred) as caught:
            operator.execute(context)
        deadline = caught.value.kwargs["deadline"]
        assert deadline == pytest.approx(worker_clock.now + 20, rel=0, abs=0.01)
        worker_clock.sleep(30)
        with pytest.raises(exceptions.SEIExportTimeoutError, match="nothing was created"):
            operator.execute_create(context, None, deadline=deadline)
        assert sei_server.requests == []

    def test_the_second_leg_creates_and_the_third_delivers(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, fire: Fire, tmp_path: Path
    ) -> None:
        """``wait_timeout`` counts from the create call, ``execution_timeout`` from the start of the first leg."""
        sei_server.reset(clock_speed=0.0, seconds_to_complete=60.0, queued_seconds=10.0)
        worker_clock.now = sei_server.clock()
        started = {"ti": task_instance(worker_clock.now)}
        operator = export_operator(create_jitter=60, wait_timeout=900, execution_timeout=timedelta(minutes=10))
        with pytest.raises(TaskDeferred) as first:
            operator.execute(started)
        worker_clock.sleep(200)
        resumed = {"ti": task_instance(worker_clock.now)}
        with pytest.raises(TaskDeferred) as second:
            operator.execute_create(resumed, event=None, **json.loads(json.dumps(first.value.kwargs)))
        assert second.value.method_name == "execute_complete"
        assert second.value.trigger.started_at == worker_clock.now
        assert second.value.trigger.deadline == pytest.approx(worker_clock.now + 400, rel=0, abs=0.01)
        sei_server.clock.advance(60)
        export_operator().execute_complete({}, fire(second.value.trigger))
        [record], [file] = sei_server.exports, tmp_path.iterdir()
        assert (file.read_bytes(), record.requested) == (record.csv, 1)

    def test_the_runs_period_is_logged_once_and_shown_before_any_wait(
        self, export_operator: MakeOperator, worker_clock: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        """As an XCom: Airflow does not render the days anew that only the run decides."""
        pushed: dict[str, Any] = {}
        context = {"ti": task_instance(worker_clock.now, pushed), "logical_date": datetime(2024, 2, 1, tzinfo=UTC)}
        operator = export_operator(create_jitter=60, date_start=None, date_end=None)
        with caplog.at_level("INFO"), pytest.raises(TaskDeferred) as caught:
            operator.execute(context)
        assert {name: pushed["sei_request"][name] for name in ("team_id", *JANUARY)} == {"team_id": "456", **JANUARY}
        assert pushed["sei_request"]["destination"].startswith(f"{tmp_path}/productivity_team-456_2024-01-01_")
        with caplog.at_level("INFO"):
            result = operator.execute_create(context, None, **caught.value.kwargs)
        assert result["date_start"] == "2024-01-01"
        assert caplog.text.count("No dates are given") == 1

    def test_a_stored_export_is_resumed_without_a_delay(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """Only create calls are spread."""
        store: dict[str, Any] = {}
        context = {"task_state_store": SimpleNamespace(get=store.get, set=store.__setitem__)}
        first = export_operator().execute(context)
        again = export_operator(create_jitter=60).execute(context)
        assert again["export_id"] == first["export_id"]
        assert operations(sei_server) == ["create", "status", "download", "status", "download"]
        assert worker_clock.pauses == []

    def test_a_task_defers_for_the_delay_and_again_for_the_export(
        self, run: Any, sei_server: Any, tmp_path: Path, task_log: Any
    ) -> None:
        """Run by Airflow."""
        sei_server.faults.add("status", "status_word", word="processing", times=6)
        assert run("fan_out_with_jitter").state == "success"
        assert task_log.text.count("s (create_jitter)") == 3
        assert "Waiting for ba export" in task_log.text
        assert len(sei_server.exports) == len(list(tmp_path.iterdir())) == 3


class TestKill:
    """``on_kill``, while a worker runs the task."""

    def test_it_logs_which_export_keeps_running(
        self, export_operator: MakeOperator, sei_server: Any, task_log: Any
    ) -> None:
        """SEI cannot cancel one. Before there is one, nothing is logged."""
        operator = export_operator(deferrable=False, wait_timeout=0)
        operator.on_kill()
        assert "keeps running" not in task_log.text
        sei_server.faults.add("status", "status_word", word="processing", times=None)
        with pytest.raises(exceptions.SEIExportTimeoutError):
            operator.execute({})
        operator.on_kill()
        assert f"export {sei_server.exports[0].export_id} keeps running at the server" in task_log.text


class TestFailedExports:
    """Exports that fail or are cancelled at the server."""

    @pytest.mark.parametrize(
        ("outcome", "kind", "words"),
        [
            (
                {"status": "failed", "error": "Invalid teamId"},
                "SEIExportFailedError",
                "^Invalid teamId: .* failed at",
            ),
            ({"status": "failed", "error": {"code": "E1", "message": "No"}}, "SEIExportFailedError", "^No: "),
            ({"status": "failed"}, "SEIExportFailedError", "the server gave no reason"),
            ({"status": "cancelled"}, "SEIExportCancelledError", "cancelled at the server"),
        ],
    )
    @pytest.mark.parametrize("mode", ["first poll", "deferred", "not deferrable"])
    def test_they_fail_the_task_without_a_retry(
        self,
        export_operator: MakeOperator,
        sei_server: Any,
        defer: Defer,
        fire: Fire,
        *,
        outcome: dict[str, Any],
        kind: str,
        words: str,
        mode: str,
    ) -> None:
        """With the server's reason, whichever process reads it."""
        if mode == "first poll":
            sei_server.reset(seconds_to_complete=0.0, queued_seconds=0.0)
        sei_server.faults.add("create", "outcome", **outcome)
        operator = export_operator(deferrable=mode != "not deferrable")
        finish = partial(operator.execute, {})
        if mode == "deferred":
            trigger = defer(operator).trigger
            sei_server.clock.advance(60)
            finish = partial(operator.execute_complete, {}, fire(trigger))
        with pytest.raises(AirflowFailException, match=words) as caught:
            finish()
        assert type(caught.value) is getattr(exceptions, kind)
        assert caught.value.export_id == sei_server.exports[0].export_id

    @pytest.mark.parametrize(
        ("scope", "words", "listed"),
        [
            ({"team_id": "99999"}, "team_id was '99999'$", []),
            (
                {"team_id": "Plattform"},
                "team_id was 'Plattform': did you mean '456', which is called 'Platform'?$",
                ["search_teams"],
            ),
            (
                {"team_id": None, "org_tree_name": "Enginering"},
                "org_tree_name was 'Enginering': did you mean 'Engineering'?$",
                ["search_org_trees"],
            ),
            (
                {"org_tree_name": "Enginering"},
                "team_id was '456'; org_tree_name was 'Enginering': did you mean 'Engineering'?$",
                ["search_org_trees"],
            ),
            ({"team_id": None, "org_tree_name": "Support"}, "org_tree_name was 'Support'$", ["search_org_trees"]),
        ],
    )
    @pytest.mark.parametrize("mode", ["refused", "reused", "deferred", "not deferrable"])
    def test_the_scope_is_named_with_a_similar_name(
        self,
        export_operator: MakeOperator,
        sei_server: Any,
        defer: Defer,
        fire: Fire,
        *,
        scope: dict[str, Any],
        words: str,
        listed: list[str],
        mode: str,
    ) -> None:
        """After the failure, from one list call at most."""
        operator = export_operator(**scope, deferrable=mode != "not deferrable")
        finish = partial(operator.execute, {})
        if mode == "refused":
            sei_server.faults.add("create", "answer", status=404, body={"message": "No such scope"})
        else:
            sei_server.faults.add("create", "outcome", status="failed", error="No such scope")
        if mode == "reused":
            operator.hook.create_export(**REQUEST | scope)
            sei_server.clock.advance(60)
        if mode == "deferred":
            trigger = defer(operator).trigger
            sei_server.clock.advance(60)
            finish = partial(operator.execute_complete, {}, fire(trigger))
        with pytest.raises(AirflowFailException, match=words.replace("?", r"\?")) as caught:
            finish()
        assert caught.value.vendor_message == "No such scope"
        assert [each for each in operations(sei_server) if each.startswith("search")] == listed
        assert "Manager" not in str(caught.value)

    def test_a_reused_failed_export_fails_the_task(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """By default; the message mentions the 30 minutes."""
        sei_server.faults.add("create", "outcome", status="failed", error="Out of memory")
        with pytest.raises(AirflowFailException):
            export_operator().execute({})
        with pytest.raises(exceptions.SEIExportFailedError, match=r"Out of memory.*30 minutes"):
            export_operator().execute({})

    def test_a_reused_failed_export_can_be_retried(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """By Airflow, until the server creates a new one."""
        sei_server.faults.add("create", "outcome", status="failed", error="Out of memory")
        operator = export_operator(reused_failed="retry")
        with pytest.raises(AirflowFailException):
            operator.execute({})
        with pytest.raises(exceptions.SEIReusedExportFailedError) as caught:
            operator.execute({})
        assert caught.value.retryable
        assert 0 < int(caught.value.retry_after) <= 1800
        sei_server.clock.advance(1801)
        assert operator.execute({})["reused"] is False


@pytest.mark.usefixtures("defer")
class TestNotDeferrable:
    """``deferrable=False``: a worker waits."""

    def test_it_waits_and_delivers(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, tmp_path: Path
    ) -> None:
        """With a growing interval."""
        export_operator(deferrable=False).execute({})
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == sei_server.exports[0].csv
        assert 60 <= sum(worker_clock.pauses) <= 75
        assert worker_clock.pauses[0] < worker_clock.pauses[-1]

    def test_the_interval_can_be_set(self, export_operator: MakeOperator, worker_clock: Any) -> None:
        """With a tenth of jitter either way."""
        export_operator(deferrable=False, poll_interval=20).execute({})
        assert all(18 <= pause <= 22 for pause in worker_clock.pauses)

    def test_a_timeout_is_retryable(self, export_operator: MakeOperator) -> None:
        """The export continues at the server, so the next try may find it completed."""
        with pytest.raises(exceptions.SEIExportTimeoutError, match="still 'processing' after 30 s") as caught:
            export_operator(deferrable=False, wait_timeout=30).execute({})
        assert caught.value.retryable

    def test_no_pause_before_another_create_call_ends_after_the_wait(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """Whatever the server asks for; a task that is tried again occupies no worker meanwhile."""
        sei_server.faults.add("create", "answer", status=503, retry_after="Fri, 31 Dec 2199 00:00:00 GMT", times=None)
        with pytest.raises(exceptions.SEIServerError):
            export_operator(deferrable=False, wait_timeout=100).execute({})
        assert sum(worker_clock.pauses) <= 100


class TestErrors:
    """Errors say what was attempted, what came back and what to do."""

    @pytest.mark.parametrize(
        ("settings", "kind", "words"),
        [
            (
                {"api_key": "other"},
                "SEIAuthError",
                "^the server answered 401.*; check .*API key",
            ),
            ({"project": "other"}, "SEIAuthError", "answered 403.*project"),
            ({"base_path": "/"}, "SEINotFoundError", "answered 404.*base URL's path"),
        ],
    )
    def test_a_refusal_fails_the_task(
        self, export_operator: MakeOperator, sei_server: Any, *, settings: dict[str, Any], kind: str, words: str
    ) -> None:
        """Without a retry."""
        operator = export_operator()
        assert operator.hook.settings.api_key == "demo-key"
        sei_server.reset(**settings)
        with pytest.raises(getattr(exceptions, kind), match=words) as caught:
            operator.execute({})
        assert not caught.value.retryable
        assert "\n" not in str(caught.value)
        assert sei_server.exports == []

    def test_html_in_place_of_json_fails_the_task(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """As login pages and proxies send it."""
        sei_server.faults.add("create", "answer", status=200, kind="html", body="Sign in")
        with pytest.raises(exceptions.SEIUnexpectedResponseError, match=r"200 .*HTML.*base URL") as caught:
            export_operator().execute({})
        assert not caught.value.retryable

    def test_an_unreachable_host_is_retried_by_airflow(
        self, export_operator: MakeOperator, sei_server: Any, monkeypatch: pytest.MonkeyPatch, raw_server: Any
    ) -> None:
        """After a few tries within the task."""
        server = raw_server()
        server.close()
        connection = json.loads(sei_server.connection_json()) | {"host": server.origin}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))
        with pytest.raises(exceptions.SEIConnectionError, match=rf"{server.origin}.*host") as caught:
            export_operator().execute({})
        assert caught.value.retryable


EFFICIENCY = {"family": "efficiency", "metric_groups": ["lttc"], "file_format": "json", "date_end": "2024-03-31"}


class TestJson:
    """``file_format="json"``."""

    @pytest.mark.parametrize("compression", ["keep", "gzip"])
    @pytest.mark.parametrize("layout", ["flat", "hive"])
    def test_it_is_delivered_under_a_name_of_its_own(  # noqa: PLR0917 - fixtures
        self,
        export_operator: MakeOperator,
        sei_server: Any,
        defer: Defer,
        fire: Fire,
        tmp_path: Path,
        layout: str,
        compression: str,
    ) -> None:
        """As the server sends it, with the number of its records. The file in the other compression is replaced."""
        operator = export_operator(**EFFICIENCY, compression=compression, layout=layout)
        deferral = defer(operator)
        sei_server.clock.advance(60)
        result = operator.execute_complete({}, fire(deferral.trigger))
        [record] = sei_server.exports
        [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert result["uri"] == f"file://{file}"
        assert file.name.endswith(".json.gz" if compression == "gzip" else ".json")
        content = gzip.decompress(file.read_bytes()) if compression == "gzip" else file.read_bytes()
        assert content == record.csv
        assert result["rows"] == record.rows == len(json.loads(content)) == 3
        [output] = operator.get_openlineage_facets_on_complete(None).outputs
        assert output.facets["schema"].fields == []
        assert export_operator(**EFFICIENCY, compression="none", layout=layout).execute({})["reused"]
        assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]

    @pytest.mark.parametrize("destination", ["{folder}/a.csv", "{folder}/{{team_id}}.CSV.gz"])
    def test_a_name_of_the_other_format_is_refused_before_the_create_call(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path, destination: str
    ) -> None:
        """Also if a template renders to it. Other suffixes are the user's."""
        name = destination.format(folder=tmp_path)
        with pytest.raises(exceptions.SEIArgumentError, match="ends like a CSV file, but the file is JSON"):
            export_operator(**EFFICIENCY, destination=name)
        with pytest.raises(exceptions.SEIArgumentError, match="ends like a JSON file, but the file is CSV"):
            export_operator(destination=f"{tmp_path}/a.json")
        templated = export_operator(**EFFICIENCY, destination="{{ name }}")
        templated.render_template_fields({"name": name})
        with pytest.raises(exceptions.SEIArgumentError, match="ends like a CSV file"):
            templated.execute({})
        assert sei_server.requests == []
        assert export_operator(**EFFICIENCY, destination=f"{tmp_path}/a.dat").execute({})["uri"].endswith("/a.dat")

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"status": 500, "error": "Internal Server Error", "message": "No data"}, 'an error: "No data"'),
            ({"code": "EXPIRED", "message": "Gone", "responseMessages": []}, 'an error: "Gone"'),
            ({"data": [], "errors": [{"message": "Timeout"}]}, 'an error: "Timeout"'),
            (
                [{"Team": "Jane Smith"}, {"error": "Jane Smith"}],
                "an error message in place of a record, in or after record 2",
            ),
            ({"members": "Jane Smith"}, "has no list of records"),
            ([["Jane Smith"], "Jane Smith"], "an error message in place of a record, in or after record 1"),
            ("Team,LTTC\nJane Smith,2\n", "the server sent a short text .*: .* is not a JSON file"),
            ('{"Team": "Jane Smith"}\n{"Team": "Jane Smith"}\n', "not well-formed"),
            ('[{"Team": "Jane Smith"}', "it is cut, in or after record [01]"),
            ("", "it is cut, in or after record [01]"),
        ],
    )
    def test_what_is_no_list_of_records_is_refused(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path, body: Any, words: str
    ) -> None:
        """Whole responses all of them, without a word about people."""
        sei_server.faults.add("download", "answer", status=200, body=body, times=None)
        with pytest.raises(exceptions.SEIDownloadError, match=words) as caught:
            export_operator(**EFFICIENCY).execute({})
        assert "Jane" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("body", "rows"), [([], 0), ({"columns": ["Team"], "rows": []}, 0), ({"data": [{}, [1]]}, 2)]
    )
    def test_records_may_be_in_an_object(
        self, export_operator: MakeOperator, sei_server: Any, body: Any, rows: int
    ) -> None:
        """The vendor's page does not show the form. ``empty`` applies."""
        sei_server.faults.add("download", "answer", status=200, body=body, times=None)
        assert export_operator(**EFFICIENCY).execute({})["rows"] == rows
        if not rows:
            with pytest.raises(AirflowSkipException, match="is empty"):
                export_operator(**EFFICIENCY, empty="skip").execute({})
