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
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, Asset, TaskDeferred

from airflow_provider_sei import exceptions
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator, SEIExportOperator, SEILegacyReportOperator
from airflow_provider_sei.protocol.families import FAMILIES
from tests.operators.conftest import JANUARY, REQUEST, Defer, Make, operations

End = Callable[[TaskDeferred], dict[str, Any]]
DECISIONS = {"scope": {"family": "ba"}, "destination": {"url": "/x/a.csv"}, "reused": False}
COMPLETED = {"family": "ba", "export_id": "exp_1", "status": "completed"}
READY = {"version": 1, "outcome": "ready", "export": COMPLETED, "passthrough": DECISIONS}


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
    def test_it_describes_the_delivered_file(self, make: Make, sei_server: Any, tmp_path: Path, family: str) -> None:
        """As JSON, with these sixteen fields and no others."""
        result = make(family=family, metric_groups=FAMILIES[family].metric_groups[:1] or None).execute({})
        [record], [file] = sei_server.exports, tmp_path.iterdir()
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

    def test_partitions_are_read_again_before_the_download(self, make: Make, sei_server: Any) -> None:
        """They are rendered again after the wait; what only the event rejects would be delivered on every retry."""
        operator = make(asset_partitions="{{ value }}")
        operator.render_template_fields({"value": "x" * 251})
        with pytest.raises(exceptions.SEIArgumentError, match="asset_partitions"):
            operator.execute_complete({}, READY)
        assert sei_server.requests == []

    def test_a_reused_export_is_reported_and_polled_once(self, make: Make, sei_server: Any, task_log: Any) -> None:
        """It may be another user's. Its file replaces the first one's, under the same name. Nothing defers."""
        first, second = make().execute({}), make().execute({})
        assert (first["reused"], second["reused"], first["uri"]) == (False, True, second["uri"])
        assert "possibly another user's" in task_log.text
        assert operations(sei_server) == ["create", "status", "download"] * 2
        assert len(sei_server.exports) == 1

    def test_a_different_team_at_the_server_is_logged(self, make: Make, sei_server: Any, task_log: Any) -> None:
        """The file is named after the request."""
        sei_server.faults.add("status", "fields", changes={"scope": {"teamId": "7"}})
        assert "team-456" in make().execute({})["uri"]
        assert "reports team_id '7', but '456' was requested" in task_log.text

    def test_no_secret_gets_out(self, make: Make, sei_server: Any, defer: Defer, end: End, task_log: Any) -> None:
        """Neither to logs, nor to the trigger, its event and results."""
        deferral = defer(make())
        event = end(deferral)
        result = make().execute_complete({}, event)
        make().execute({})
        text = f"{deferral.trigger.serialize()} {event} {result} {task_log.text}"
        for personal in ("Jane", "Smith", "jane.smith", "user_123", sei_server.api_key):
            assert personal not in text


class TestParquet:
    """``output="parquet"``."""

    def test_an_export_is_a_table(self, make: Make, sei_server: Any, defer: Defer, end: End, tmp_path: Path) -> None:
        """As decided before the wait; its metadata says what was requested, no address; the event has the columns."""
        parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra, which not every environment has")
        form = {"output": "parquet", "column_names": "snake", "column_types": {"developer": "text"}, "layout": "hive"}
        manager, asset = "manager.456@company.example", Asset("sei")
        arguments = {**form, "metric_groups": ["activity"], "manager_email_id": manager, "outlets": [asset]}
        events = {asset: SimpleNamespace(extra={})}
        result = make(**arguments).execute_complete({"outlet_events": events}, end(defer(make(**arguments))))
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

    def test_without_pyarrow_nothing_is_created(self, make: Make, sei_server: Any, monkeypatch: Any) -> None:
        """The message says what to install."""
        monkeypatch.setattr("airflow_provider_sei.delivery.destination.find_spec", lambda _: None)
        with pytest.raises(exceptions.SEIArgumentError, match=r"install airflow-provider-sei\[parquet\]"):
            make(output="parquet").execute({})
        assert sei_server.requests == []


class TestDeferral:
    """Waiting without a worker."""

    def test_the_trigger_has_everything_and_no_secret(
        self, make: Make, sei_server: Any, worker_clock: Any, defer: Defer, tmp_path: Path
    ) -> None:
        """Its arguments are these, all of them JSON."""
        waiting = {"wait_timeout": 3600, "poll_interval": 30, "auth_header": "SEI_API_KEY", "download_timeout": 99}
        deferral = defer(make(destination=f"{tmp_path}/a.csv", overwrite="skip", empty="fail", **waiting))
        path, arguments = deferral.trigger.serialize()
        assert path == "airflow_provider_sei.triggers.sei.SEIExportTrigger"
        identifiers = {"project_identifier": sei_server.project, "org_identifier": sei_server.org}
        assert json.loads(json.dumps(arguments)) == {
            "family": "productivity",
            "export_id": sei_server.exports[0].export_id,
            "deadline": worker_clock.now + 3600,
            "started_at": worker_clock.now,
            "sei_conn_id": "sei_default",
            "poll_interval": 30.0,
            "passthrough": {
                "scope": {**REQUEST, **identifiers, "account": sei_server.base_url.removeprefix("http://")},
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
            **identifiers,
            "auth_header": "SEI_API_KEY",
            "version": 1,
        }
        assert deferral.method_name == "execute_complete"
        # Airflow's own timeout ends the deferral some minutes later, if no triggerer does.
        assert timedelta(seconds=3600) < deferral.timeout <= timedelta(seconds=3600 + 600)

    def test_an_operators_account_reaches_the_triggerer(
        self, make: Make, sei_server: Any, defer: Defer, end: End, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where every call names the account; otherwise the trigger has the arguments of the last release."""
        extra = {"auth_header": "x-api-key", "account_header": "Harness-Account", "account_id": "elsewhere"}
        connection = json.loads(sei_server.connection_json(**extra)) | {"password": "demo-service-account-token"}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))
        deferral = defer(operator := make(account_id="demo_account"))
        assert deferral.trigger.serialize()[1]["account_id"] == "demo_account"
        assert operator.execute_complete({}, end(deferral))["rows"] == 5

    def test_the_event_decides_alone(self, make: Make, sei_server: Any, defer: Defer, end: End, tmp_path: Path) -> None:
        """From the event alone, in another process: nothing is derived or requested again."""
        event = end(defer(make()))
        requested = len(sei_server.requests)
        changed = make(team_id="123", date_start="2024-01-15", destination="/nowhere/")
        result = changed.execute_complete({}, event)
        [record], [file] = sei_server.exports, tmp_path.iterdir()
        assert file.read_bytes() == record.csv
        assert file.name.startswith("productivity_team-456_2024-01-01_2024-01-31_")
        assert (result["export_id"], result["reused"], result["date_start"]) == (record.export_id, False, "2024-01-01")
        assert result["completed_at"] is not None
        assert operations(sei_server)[requested:] == ["download"]
        assert record.requested == 1

    def test_a_reused_export_is_reported_after_the_wait(
        self, make: Make, sei_server: Any, defer: Defer, end: End
    ) -> None:
        """The result says so in the end."""
        _, deferral = defer(make()), defer(make())
        assert operations(sei_server) == ["create", "status"] * 2
        assert make().execute_complete({}, end(deferral))["reused"] is True

    @pytest.mark.parametrize(
        "event",
        [
            None,
            {"passthrough": DECISIONS},
            READY | {"export": None},
            READY | {"export": COMPLETED | {"export_id": None}},
            READY | {"export": COMPLETED | {"status": "queued"}},
            READY | {"passthrough": None},
            READY | {"passthrough": {"scope": {"family": "ba"}}},
            {"version": 1, "outcome": "error", "passthrough": DECISIONS},
        ],
    )
    def test_an_unclear_event_is_an_error(self, make: Make, tmp_path: Path, event: Any) -> None:
        """Never a success; nothing is delivered."""
        with pytest.raises(exceptions.SEIError):
            make().execute_complete({}, event)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("status", [503, 403])
    def test_a_transient_error_before_the_deferral_is_tolerated(self, make: Make, sei_server: Any, status: int) -> None:
        """A wait would end like the first poll otherwise."""
        sei_server.faults.add("status", "answer", status=status, times=None)
        with pytest.raises(TaskDeferred if status == 503 else exceptions.SEIAuthError):
            make().execute({})
        assert len(sei_server.exports) == 1


def task_instance(started: float, pushed: dict[str, Any] | None = None) -> SimpleNamespace:
    """Return a task instance that keeps what it is given as XComs."""
    kept = {} if pushed is None else pushed
    push = lambda key, value: kept.update({key: value})  # noqa: E731 - a method of the double
    return SimpleNamespace(start_date=datetime.fromtimestamp(started, UTC), max_tries=0, xcom_push=push)


class TestCreateJitter:
    """``create_jitter``: a random delay before the create call. ``test_periods`` lets Airflow defer for it."""

    @pytest.fixture(autouse=True)
    def _half(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the delay half of the longest one."""
        monkeypatch.setattr("airflow_provider_sei.operators._base.random", SimpleNamespace(random=lambda: 0.5))

    def test_the_delay_is_deferred_once_the_period_is_decided(
        self, make: Make, sei_server: Any, worker_clock: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        """By a trigger of Airflow's. The period is logged once, and an XCom: Airflow does not render it anew."""
        pushed: dict[str, Any] = {}
        context = {"ti": task_instance(worker_clock.now, pushed), "logical_date": datetime(2024, 2, 1, tzinfo=UTC)}
        operator, before = make(create_jitter=60, date_start=None, date_end=None), datetime.now(UTC)
        with caplog.at_level("INFO"), pytest.raises(TaskDeferred) as caught:
            operator.execute(context)
        path, arguments = caught.value.trigger.serialize()
        assert path.startswith("airflow.")
        assert timedelta(seconds=29) < arguments["moment"] - before < timedelta(seconds=40)
        assert caught.value.method_name == "execute_create"
        assert caught.value.kwargs["deadline"] > before.timestamp() + 300 * 24 * 3600  # there is no execution_timeout
        assert sei_server.requests == []
        assert {name: pushed["sei_request"][name] for name in ("team_id", *JANUARY)} == {"team_id": "456", **JANUARY}
        assert pushed["sei_request"]["destination"].startswith(f"{tmp_path}/productivity_team-456_2024-01-01_")
        with caplog.at_level("INFO"):
            result = operator.execute_create(context, None, **caught.value.kwargs)
        assert (result["export_id"], result["date_start"]) == (sei_server.exports[0].export_id, "2024-01-01")
        assert caplog.text.count("No dates are given") == 1

    def test_a_worker_sleeps_if_it_is_not_deferrable(self, make: Make, sei_server: Any, worker_clock: Any) -> None:
        """Before the create call."""
        make(create_jitter=60, deferrable=False).execute({})
        assert (worker_clock.pauses, len(sei_server.exports)) == ([30], 1)

    def test_execution_timeout_includes_the_delay(self, make: Make, sei_server: Any, worker_clock: Any) -> None:
        """Once it has passed, nothing is created."""
        context = {"ti": task_instance(worker_clock.now)}
        operator = make(create_jitter=60, execution_timeout=timedelta(seconds=20))
        with pytest.raises(TaskDeferred) as caught:
            operator.execute(context)
        worker_clock.sleep(30)
        with pytest.raises(exceptions.SEIExportTimeoutError, match="nothing was created"):
            operator.execute_create(context, None, **caught.value.kwargs)
        assert sei_server.requests == []

    def test_the_second_leg_creates_and_the_third_delivers(
        self, make: Make, sei_server: Any, worker_clock: Any, defer: Defer, end: End
    ) -> None:
        """``wait_timeout`` counts from the create call, ``execution_timeout`` from the start of the first leg.

        Airflow does not enforce the latter while a task is deferred.
        """
        operator = make(create_jitter=60, wait_timeout=900, execution_timeout=timedelta(minutes=10))
        first = defer(operator, {"ti": task_instance(worker_clock.now - 100)})
        worker_clock.sleep(200)
        resumed = {"ti": task_instance(worker_clock.now)}
        with pytest.raises(TaskDeferred) as second:
            operator.execute_create(resumed, event=None, **json.loads(json.dumps(first.kwargs)))
        assert second.value.method_name == "execute_complete"
        assert second.value.trigger.started_at == worker_clock.now
        assert second.value.trigger.deadline == pytest.approx(worker_clock.now + 300, rel=0, abs=0.01)
        assert Path(make().execute_complete({}, end(second.value))["path"]).read_bytes() == sei_server.exports[0].csv
        assert sei_server.exports[0].requested == 1

    def test_a_stored_export_is_resumed_without_a_delay(self, make: Make, sei_server: Any, worker_clock: Any) -> None:
        """Only create calls are spread."""
        store: dict[str, Any] = {}
        context = {"task_state_store": SimpleNamespace(get=store.get, set=store.__setitem__)}
        first, again = make().execute(context), make(create_jitter=60).execute(context)
        assert again["export_id"] == first["export_id"]
        assert operations(sei_server) == ["create", "status", "download", "status", "download"]
        assert worker_clock.pauses == []


def test_a_kill_logs_which_export_keeps_running(make: Make, sei_server: Any, task_log: Any) -> None:
    """SEI cannot cancel one. Before there is one, and after its delivery, nothing is logged."""
    operator = make(deferrable=False, wait_timeout=0)
    operator.on_kill()
    operator.execute({})
    operator.on_kill()
    assert "keeps running" not in task_log.text
    sei_server.faults.add("status", "status_word", word="processing", times=None)
    with pytest.raises(exceptions.SEIExportTimeoutError):
        operator.execute({})
    operator.on_kill()
    assert f"export {sei_server.exports[0].export_id} keeps running at the server" in task_log.text


TREE = "org_tree_name was 'Enginering': did you mean 'Engineering'?"


class TestFailedExports:
    """Exports that fail or are cancelled at the server."""

    @pytest.fixture
    def failure(self, sei_server: Any, defer: Defer, end: End) -> Callable[..., Any]:
        """Run an operator to its failure, through a deferral or not, and return the error."""

        def run(operator: SEIExportOperator) -> Any:
            finish = partial(operator.execute, {})
            if operator.deferrable and sei_server.settings.seconds_to_complete:
                finish = partial(operator.execute_complete, {}, end(defer(operator)))
            with pytest.raises(AirflowFailException) as caught:
                finish()
            return caught.value

        return run

    @pytest.mark.parametrize(
        ("outcome", "kind", "words"),
        [
            ({"status": "failed", "error": "Invalid teamId"}, "SEIExportFailedError", "Invalid teamId: "),
            ({"status": "failed", "error": {"code": "E1", "message": "No"}}, "SEIExportFailedError", "No: "),
            ({"status": "failed"}, "SEIExportFailedError", "the server gave no reason"),
            ({"status": "cancelled"}, "SEIExportCancelledError", "cancelled at the server"),
        ],
    )
    @pytest.mark.parametrize("mode", ["first poll", "deferred", "not deferrable"])
    def test_they_fail_the_task_without_a_retry(  # noqa: PLR0917 - fixtures
        self, make: Make, sei_server: Any, failure: Any, outcome: dict[str, Any], kind: str, words: str, mode: str
    ) -> None:
        """With the server's reason, whichever process reads it."""
        if mode == "first poll":
            sei_server.reset(seconds_to_complete=0.0, queued_seconds=0.0)
        sei_server.faults.add("create", "outcome", **outcome)
        error = failure(make(deferrable=mode != "not deferrable"))
        assert type(error) is getattr(exceptions, kind)
        assert str(error).startswith(words)
        assert error.export_id == sei_server.exports[0].export_id

    @pytest.mark.parametrize(
        ("scope", "words", "listed"),
        [
            ({"team_id": "99999"}, "team_id was '99999'", ""),
            (
                {"team_id": "Plattform"},
                "team_id was 'Plattform': did you mean '456', which is called 'Platform'?",
                "teams",
            ),
            ({"team_id": None, "org_tree_name": "Enginering"}, TREE, "org_trees"),
            ({"org_tree_name": "Enginering"}, f"team_id was '456'; {TREE}", "org_trees"),
            ({"team_id": None, "org_tree_name": "Support"}, "org_tree_name was 'Support'", "org_trees"),
        ],
    )
    @pytest.mark.parametrize("mode", ["refused", "reused", "deferred", "not deferrable"])
    def test_the_scope_is_named_with_a_similar_name(  # noqa: PLR0917 - fixtures
        self, make: Make, sei_server: Any, failure: Any, scope: dict[str, Any], words: str, listed: str, mode: str
    ) -> None:
        """After the failure, from one list call at most."""
        operator = make(**scope, deferrable=mode == "deferred")
        if mode == "refused":
            sei_server.faults.add("create", "answer", status=404, body={"message": "No such scope"})
        else:
            sei_server.faults.add("create", "outcome", status="failed", error="No such scope")
        if mode == "reused":
            operator.hook.create_export(**REQUEST | scope)
            sei_server.clock.advance(60)
        error = failure(operator)
        assert error.vendor_message == "No such scope"
        assert str(error).endswith(words)
        searches = [each for each in operations(sei_server) if each.startswith("search")]
        assert searches == [f"search_{listed}"] * bool(listed)
        assert "Manager" not in str(error)

    def test_a_reused_failed_export_can_be_retried(self, make: Make, sei_server: Any) -> None:
        """By Airflow, until the server creates a new one."""
        sei_server.faults.add("create", "outcome", status="failed", error="Out of memory")
        operator = make(reused_failed="retry")
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

    def test_it_waits_and_delivers(self, make: Make, sei_server: Any, worker_clock: Any) -> None:
        """With a growing interval, or a given one, with a tenth of jitter either way."""
        result = make(deferrable=False).execute({})
        assert result["sha256"] == sei_server.exports[0].csv_sha256
        assert 60 <= sum(worker_clock.pauses) <= 75
        assert worker_clock.pauses[0] < worker_clock.pauses[-1]
        worker_clock.pauses.clear()
        make(deferrable=False, poll_interval=20, team_id="123").execute({})
        assert worker_clock.pauses
        assert all(18 <= pause <= 22 for pause in worker_clock.pauses)

    def test_a_timeout_is_retryable(self, make: Make) -> None:
        """The export continues at the server, so the next try may find it completed."""
        with pytest.raises(exceptions.SEIExportTimeoutError, match="still 'processing' after 30 s") as caught:
            make(deferrable=False, wait_timeout=30).execute({})
        assert caught.value.retryable

    def test_pauses_of_the_create_call_end_with_the_wait(self, make: Make, sei_server: Any, worker_clock: Any) -> None:
        """Whatever the server asks for; a task that is tried again occupies no worker meanwhile."""
        sei_server.faults.add("create", "answer", status=503, retry_after="Fri, 31 Dec 2199 00:00:00 GMT", times=None)
        with pytest.raises(exceptions.SEIServerError):
            make(deferrable=False, wait_timeout=100).execute({})
        assert sum(worker_clock.pauses) <= 100


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"api_key": "other"}, "SEIAuthError", "^the server answered 401.*; check .*API key"),
        ({"project": "other"}, "SEIAuthError", "answered 403.*project"),
        ({"base_path": "/"}, "SEINotFoundError", "answered 404.*base URL's path"),
        ({}, "SEIUnexpectedResponseError", "200 .*HTML.*base URL"),  # of a login page or a proxy
    ],
)
def test_a_refusal_fails_the_task(make: Make, sei_server: Any, settings: dict[str, Any], kind: str, words: str) -> None:
    """The error says, in one line, what was attempted, what came back and what to do."""
    operator = make()
    assert operator.hook.settings.api_key == "demo-key"
    sei_server.reset(**settings)
    if not settings:
        sei_server.faults.add("create", "answer", status=200, kind="html", body="Sign in")
    with pytest.raises(getattr(exceptions, kind), match=words) as caught:
        operator.execute({})
    assert not caught.value.retryable
    assert "\n" not in str(caught.value)
    assert sei_server.exports == []


class TestJson:
    """``file_format="json"``."""

    @pytest.fixture
    def make(self, make: Make) -> Make:
        """Make an operator for an efficiency export as JSON."""
        first = {"family": "efficiency", "metric_groups": ["lttc"], "file_format": "json", "date_end": "2024-03-31"}
        return lambda **changes: make(**first | changes)

    @pytest.mark.parametrize("compression", ["keep", "gzip"])
    @pytest.mark.parametrize("layout", ["flat", "hive"])
    def test_it_is_delivered_under_a_name_of_its_own(  # noqa: PLR0917 - fixtures
        self, make: Make, sei_server: Any, defer: Defer, end: End, tmp_path: Path, layout: str, compression: str
    ) -> None:
        """As the server sends it, with the number of its records. The file in the other compression is replaced."""
        operator = make(compression=compression, layout=layout)
        result = operator.execute_complete({}, end(defer(operator)))
        [record] = sei_server.exports
        [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert result["uri"] == f"file://{file}"
        assert file.name.endswith(".json.gz" if compression == "gzip" else ".json")
        content = gzip.decompress(file.read_bytes()) if compression == "gzip" else file.read_bytes()
        assert content == record.csv
        assert result["rows"] == record.rows == len(json.loads(content)) == 3
        [output] = operator.get_openlineage_facets_on_complete(None).outputs
        assert output.facets["schema"].fields == []
        assert make(compression="none", layout=layout).execute({})["reused"]
        assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]

    @pytest.mark.parametrize("destination", ["{folder}/a.csv", "{folder}/{{team_id}}.CSV.gz"])
    def test_a_name_of_the_other_format_is_refused_before_the_create_call(
        self, make: Make, sei_server: Any, tmp_path: Path, destination: str
    ) -> None:
        """Also if a template renders to it. Other suffixes are the user's."""
        name = destination.format(folder=tmp_path)
        with pytest.raises(exceptions.SEIArgumentError, match="ends like a CSV file, but the file is JSON"):
            make(destination=name)
        with pytest.raises(exceptions.SEIArgumentError, match="ends like a JSON file, but the file is CSV"):
            make(destination=f"{tmp_path}/a.json", file_format=None)
        templated = make(destination="{{ name }}")
        templated.render_template_fields({"name": name})
        with pytest.raises(exceptions.SEIArgumentError, match="ends like a CSV file"):
            templated.execute({})
        assert sei_server.requests == []
        assert make(destination=f"{tmp_path}/a.dat").execute({})["uri"].endswith("/a.dat")

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"status": 500, "error": "Internal Server Error", "message": "No data"}, 'an error: "No data"'),
            ({"code": "EXPIRED", "message": "Gone", "responseMessages": []}, 'an error: "Gone"'),
            ({"data": [], "errors": [{"message": "Timeout"}]}, 'an error: "Timeout"'),
            ([{"Team": "Jane"}, {"error": "Jane"}], "an error message in place of a record, in or after record 2"),
            ({"members": "Jane Smith"}, "has no list of records"),
            ([["Jane Smith"], "Jane Smith"], "an error message in place of a record, in or after record 1"),
            ("Team,LTTC\nJane Smith,2\n", "the server sent a short text .*: .* is not a JSON file"),
            ('{"Team": "Jane Smith"}\n{"Team": "Jane Smith"}\n', "not well-formed"),
            ('[{"Team": "Jane Smith"}', "it is cut, in or after record [01]"),
            ("", "it is cut, in or after record [01]"),
        ],
    )
    def test_other_content_is_refused(self, make: Make, sei_server: Any, tmp_path: Path, body: Any, words: str) -> None:
        """Whole responses all of them, without a word about people."""
        sei_server.faults.add("download", "answer", status=200, body=body, times=None)
        with pytest.raises(exceptions.SEIDownloadError, match=words) as caught:
            make().execute({})
        assert "Jane" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("body", "rows"), [([], 0), ({"columns": ["Team"], "rows": []}, 0), ({"data": [{}, [1]]}, 2)]
    )
    def test_records_may_be_in_an_object(self, make: Make, sei_server: Any, body: Any, rows: int) -> None:
        """The vendor's page does not show the form. ``empty`` applies."""
        sei_server.faults.add("download", "answer", status=200, body=body, times=None)
        assert make().execute({})["rows"] == rows
        if not rows:
            with pytest.raises(AirflowSkipException, match="is empty"):
                make(empty="skip").execute({})
