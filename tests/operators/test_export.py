"""``SEIExportOperator``: create, wait and deliver in one task."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.protocol.families import FAMILIES

MakeOperator = Callable[..., SEIExportOperator]
Fire = Callable[[Any], dict[str, Any]]


def slow(sei_server: Any, worker_clock: Any, seconds: float = 60.0) -> None:
    """Let exports take a while from now on."""
    sei_server.reset(clock_speed=0.0, seconds_to_complete=seconds, queued_seconds=10.0)
    worker_clock.now = sei_server.clock()


def deferred(operator: SEIExportOperator, context: Any = None) -> TaskDeferred:
    """Run the operator up to its deferral."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context or {})
    return caught.value


class TestResult:
    """What the task returns."""

    def test_a_server_that_has_another_teams_file_is_told_on(
        self, export_operator: MakeOperator, sei_server: Any, task_log: Any
    ) -> None:
        """The file is called after the request."""
        sei_server.faults.add("status", "fields", changes={"scope": {"teamId": "7"}})
        export_operator().execute({})
        assert "has teamId '7', but '456' is asked for" in task_log.text

    @pytest.mark.parametrize("family", list(FAMILIES))
    def test_it_describes_what_was_delivered(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path, family: str
    ) -> None:
        """By these twelve facts and no others."""
        groups = FAMILIES[family].metric_groups[:1] or None
        result = export_operator(family=family, metric_groups=groups).execute({})
        [record] = sei_server.exports
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == record.csv
        assert file.name.startswith(f"{family}_team-456_2024-01-01_2024-01-31_")
        assert {key: result[key] for key in ("bytes", "rows", "sha256", "export_id", "family", "reused")} == {
            "bytes": record.csv_bytes,
            "rows": record.rows,
            "sha256": record.csv_sha256,
            "export_id": record.export_id,
            "family": family,
            "reused": False,
        }
        assert result["uri"].endswith(str(file))
        assert datetime.fromisoformat(result["created_at"]) <= datetime.fromisoformat(result["completed_at"])
        assert len(result) == 12

    def test_it_is_plain_json(self, export_operator: MakeOperator) -> None:
        """XCom needs no class of this package."""
        result = export_operator().execute({})
        assert json.loads(json.dumps(result)) == result

    def test_a_reused_export_is_called_so(self, export_operator: MakeOperator, sei_server: Any, task_log: Any) -> None:
        """In the result, and in the log, for it may be somebody else's."""
        export_operator().execute({})
        assert export_operator().execute({})["reused"] is True
        assert "It may be somebody else's" in task_log.text
        assert len(sei_server.exports) == 1

    def test_the_same_request_is_delivered_under_the_same_name(
        self, export_operator: MakeOperator, tmp_path: Path
    ) -> None:
        """A second run replaces the first one's file."""
        first, second = export_operator().execute({}), export_operator().execute({})
        assert first["uri"] == second["uri"]
        assert len(list(tmp_path.iterdir())) == 1

    def test_another_request_has_another_name(self, export_operator: MakeOperator, tmp_path: Path) -> None:
        """Even where only the metrics differ."""
        for metrics in (["PR_MERGED"], ["LOC_ADDED"]):
            export_operator(metrics=metrics).execute({})
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_compressed_file_is_counted_inside(
        self, export_operator: MakeOperator, sei_server: Any, tmp_path: Path
    ) -> None:
        """Rows are those of the CSV, bytes and digest those of what lies there."""
        result = export_operator(export_compression="gzip").execute({})
        [record] = sei_server.exports
        [file] = tmp_path.iterdir()
        assert file.suffixes[-2:] == [".csv", ".gz"]
        assert gzip.decompress(file.read_bytes()) == record.csv
        assert (result["rows"], result["bytes"]) == (record.rows, file.stat().st_size)

    def test_nobodys_name_gets_out(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, fire: Fire, task_log: Any
    ) -> None:
        """The server names who created an export; logs, arguments, events and results do not."""
        slow(sei_server, worker_clock)
        deferral = deferred(export_operator())
        sei_server.clock.advance(60)
        event = fire(deferral.trigger)
        result = export_operator().execute_complete({}, event)
        export_operator().execute({})
        told = f"{deferral.trigger.serialize()} {event} {result} {task_log.text}"
        for personal in ("Jane", "Smith", "jane.smith", "user_123"):
            assert personal not in told
        assert sei_server.api_key not in told


class TestDeferral:
    """Waiting without a worker."""

    def test_an_export_that_is_ready_at_once_never_defers(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """The operator looks before it hands over."""
        export_operator().execute({})
        assert [request.operation for request in sei_server.requests] == ["create", "status", "download"]

    def test_the_trigger_is_told_everything_and_no_secret(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """Its arguments are these, all of them JSON primitives."""
        slow(sei_server, worker_clock)
        started = worker_clock.now
        deferral = deferred(export_operator(wait_timeout=3600, poll_interval=30, auth_header="SEI_API_KEY"))
        path, arguments = deferral.trigger.serialize()
        assert path == "airflow_provider_sei.triggers.sei.SEIExportTrigger"
        assert arguments == {
            "family": "productivity",
            "export_id": sei_server.exports[0].export_id,
            "deadline": started + 3600,
            "started_at": started,
            "sei_conn_id": "sei_default",
            "poll_interval": 30.0,
            "reused": False,
            "project_identifier": sei_server.project,
            "org_identifier": sei_server.org,
            "auth_header": "SEI_API_KEY",
            "version": 1,
        }
        assert json.loads(json.dumps(arguments)) == arguments
        assert deferral.method_name == "execute_complete"

    def test_airflows_own_timeout_is_only_a_backstop(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """It comes some minutes after the trigger's deadline."""
        slow(sei_server, worker_clock)
        deferral = deferred(export_operator(wait_timeout=3600))
        assert timedelta(seconds=3600) < deferral.timeout <= timedelta(seconds=3600 + 600)

    def test_execution_timeout_ends_the_wait(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any
    ) -> None:
        """Counted from the start of the try, because Airflow does not enforce it on a deferred task."""
        slow(sei_server, worker_clock)
        begun = worker_clock.now - 100
        context = {"ti": SimpleNamespace(start_date=datetime.fromtimestamp(begun, UTC))}
        deferral = deferred(export_operator(execution_timeout=timedelta(minutes=10)), context)
        assert deferral.trigger.deadline == pytest.approx(begun + 600, rel=0, abs=0.01)

    def test_the_resumed_task_delivers(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, fire: Fire, tmp_path: Path
    ) -> None:
        """From the trigger's event alone, in another process than the one that created the export."""
        slow(sei_server, worker_clock)
        deferral = deferred(export_operator())
        sei_server.clock.advance(60)
        result = export_operator().execute_complete({}, fire(deferral.trigger))
        [record] = sei_server.exports
        [file] = tmp_path.iterdir()
        assert file.read_bytes() == record.csv
        assert (result["export_id"], result["reused"]) == (record.export_id, False)
        assert result["completed_at"] is not None

    def test_the_resumed_task_asks_for_no_second_export(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, fire: Fire
    ) -> None:
        """One create request in all."""
        slow(sei_server, worker_clock)
        deferral = deferred(export_operator())
        sei_server.clock.advance(60)
        export_operator().execute_complete({}, fire(deferral.trigger))
        assert sei_server.exports[0].requested == 1

    def test_that_an_export_was_reused_survives_the_deferral(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, fire: Fire
    ) -> None:
        """The result says it in the end."""
        slow(sei_server, worker_clock)
        deferred(export_operator())
        deferral = deferred(export_operator())
        sei_server.clock.advance(60)
        assert export_operator().execute_complete({}, fire(deferral.trigger))["reused"] is True

    @pytest.mark.parametrize(
        "event",
        [
            None,
            "success",
            {},
            {"outcome": "success"},
            {"version": 9, "outcome": "done", "export": {}},
            {"version": 1, "outcome": "ready"},
            {"version": 1, "outcome": "ready", "export": {"family": "ba"}},
            {"version": 1, "outcome": "ready", "export": {"family": "ba", "export_id": "e", "status": "processing"}},
            {"version": 1, "outcome": "error"},
        ],
    )
    def test_an_event_that_says_nothing_certain_is_an_error(
        self, export_operator: MakeOperator, tmp_path: Path, event: Any
    ) -> None:
        """Never a success; nothing is delivered."""
        with pytest.raises(exceptions.SEIError):
            export_operator().execute_complete({}, event)
        assert list(tmp_path.iterdir()) == []


class TestFirstLook:
    """Before the task defers."""

    def test_trouble_that_can_pass_is_left_to_the_trigger(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """The export is there, whatever the server says at the moment."""
        sei_server.faults.add("status", "answer", status=503, times=None)
        trigger = deferred(export_operator()).trigger
        assert trigger.export_id == sei_server.exports[0].export_id

    def test_trouble_that_cannot_pass_fails_the_task(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """A wait would end the same."""
        sei_server.faults.add("status", "answer", status=403, times=None)
        with pytest.raises(AirflowFailException, match="403"):
            export_operator().execute({})


class TestKill:
    """``on_kill``, while the worker holds the task."""

    def test_it_says_which_export_goes_on(self, export_operator: MakeOperator, sei_server: Any, task_log: Any) -> None:
        """SEI cannot cancel one."""
        operator = export_operator()
        operator.execute({})
        operator.on_kill()
        assert f"export {sei_server.exports[0].export_id} goes on at the server" in task_log.text

    def test_before_there_is_one_it_says_nothing(self, export_operator: MakeOperator, task_log: Any) -> None:
        """Nothing goes on."""
        export_operator().on_kill()
        assert "goes on" not in task_log.text


class TestDeadExports:
    """Exports that never come to an end one would want."""

    @pytest.mark.parametrize(
        ("outcome", "kind", "words"),
        [
            ({"status": "failed", "error": "Invalid teamId"}, "SEIExportFailedError", "failed at the server: Invalid"),
            ({"status": "failed", "error": {"code": "E1", "message": "No"}}, "SEIExportFailedError", "server: No; "),
            ({"status": "failed"}, "SEIExportFailedError", "the server gave no reason"),
            ({"status": "cancelled"}, "SEIExportCancelledError", "was cancelled at the server"),
        ],
    )
    @pytest.mark.parametrize("mode", ["at once", "deferred", "held"])
    def test_it_fails_without_a_retry(
        self,
        export_operator: MakeOperator,
        sei_server: Any,
        worker_clock: Any,
        fire: Fire,
        *,
        outcome: dict[str, Any],
        kind: str,
        words: str,
        mode: str,
    ) -> None:
        """With the server's reason, whichever process learns of it."""
        if mode != "at once":
            slow(sei_server, worker_clock)
        sei_server.faults.add("create", "outcome", **outcome)
        if mode == "deferred":
            deferral = deferred(export_operator())
            sei_server.clock.advance(60)
            event = fire(deferral.trigger)
            with pytest.raises(AirflowFailException, match=words) as caught:
                export_operator().execute_complete({}, event)
        else:
            with pytest.raises(AirflowFailException, match=words) as caught:
                export_operator(deferrable=mode != "held").execute({})
        assert type(caught.value) is getattr(exceptions, kind)
        assert caught.value.export_id == sei_server.exports[0].export_id

    def test_a_reused_failed_export_fails_the_task(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """That is the default; the message tells of the 30 minutes."""
        sei_server.faults.add("create", "outcome", status="failed", error="Out of memory")
        with pytest.raises(AirflowFailException):
            export_operator().execute({})
        with pytest.raises(exceptions.SEIExportFailedError, match=r"Out of memory.*30 minutes"):
            export_operator().execute({})

    def test_a_reused_failed_export_can_be_retried(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """Then Airflow tries the task again, until the server makes a new one."""
        sei_server.faults.add("create", "outcome", status="failed", error="Out of memory")
        operator = export_operator(reused_failed="retry")
        with pytest.raises(AirflowFailException):
            operator.execute({})
        with pytest.raises(exceptions.SEIReusedExportFailedError) as caught:
            operator.execute({})
        assert not isinstance(caught.value, AirflowFailException)
        assert 0 < int(caught.value.retry_after) <= 1800
        sei_server.clock.advance(1801)
        assert operator.execute({})["reused"] is False


class TestHeldWorker:
    """``deferrable=False``."""

    def test_it_waits_and_delivers(
        self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any, tmp_path: Path
    ) -> None:
        """By the same schedule."""
        slow(sei_server, worker_clock, 120)
        export_operator(deferrable=False).execute({})
        assert len(list(tmp_path.iterdir())) == 1
        assert 120 <= sum(worker_clock.pauses) <= 140

    def test_the_interval_can_be_set(self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any) -> None:
        """With a tenth of jitter either way."""
        slow(sei_server, worker_clock)
        export_operator(deferrable=False, poll_interval=20).execute({})
        assert all(18 <= pause <= 22 for pause in worker_clock.pauses)

    def test_out_of_time_is_retryable(self, export_operator: MakeOperator, sei_server: Any, worker_clock: Any) -> None:
        """The export goes on at the server, so the next try may find it completed."""
        slow(sei_server, worker_clock)
        with pytest.raises(exceptions.SEIExportTimeoutError, match="still 'processing' after 30 s") as caught:
            export_operator(deferrable=False, wait_timeout=30).execute({})
        assert isinstance(caught.value, AirflowException)
        assert not isinstance(caught.value, AirflowFailException)


class TestTroubleOnTheWay:
    """One sentence for each, with what came back and what to do."""

    @pytest.mark.parametrize(
        ("settings", "kind", "words"),
        [
            ({"api_key": "other"}, "SEIAuthError", "create a productivity export: the server answered 401.*API key"),
            ({"project": "other"}, "SEIAuthError", "answered 403.*project"),
            ({"base_path": "/"}, "SEINotFoundError", "answered 404.*base URL's path"),
        ],
    )
    def test_a_refusal_fails_the_task(
        self, export_operator: MakeOperator, sei_server: Any, *, settings: dict[str, Any], kind: str, words: str
    ) -> None:
        """At once."""
        operator = export_operator()
        assert operator.hook.settings.api_key == "demo-key"
        sei_server.reset(**settings)
        with pytest.raises(getattr(exceptions, kind), match=words) as caught:
            operator.execute({})
        assert isinstance(caught.value, AirflowFailException)
        assert "\n" not in str(caught.value)
        assert sei_server.exports == []

    def test_html_in_place_of_json_fails_the_task(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """It is what a login page or a proxy answers."""
        sei_server.faults.add("create", "answer", status=200, kind="html", body="Sign in")
        with pytest.raises(
            exceptions.SEIUnexpectedResponseError, match=r"200 without JSON.*HTML page.*base URL"
        ) as caught:
            export_operator().execute({})
        assert isinstance(caught.value, AirflowFailException)

    def test_an_unreachable_host_is_retried_by_airflow(
        self, export_operator: MakeOperator, sei_server: Any, monkeypatch: pytest.MonkeyPatch, raw_server: Any
    ) -> None:
        """After a few tries of our own."""
        server = raw_server()
        server.close()
        connection = json.loads(sei_server.connection_json()) | {"host": server.origin}
        monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", json.dumps(connection))
        with pytest.raises(exceptions.SEIConnectionError, match=rf"no answer from {server.origin}.*host") as caught:
            export_operator().execute({})
        assert not isinstance(caught.value, AirflowFailException)


class TestRenderedValues:
    """What templates make of values."""

    def test_they_are_rendered_then_checked_then_sent(self, export_operator: MakeOperator, sei_server: Any) -> None:
        """Every field of the request."""
        operator = export_operator(
            team_id="{{ team }}",
            date_start="{{ start }}",
            metric_groups=["{{ group }}"],
            level="{{ level }}",
            extra_body={"options": {"shape": "{{ shape }}"}},
        )
        sei_server.reset(strict_body=False)
        operator.render_template_fields(
            {"team": 456, "start": "2024-01-15", "group": "activity", "level": "TEAM", "shape": "wide"}
        )
        operator.execute({})
        assert sei_server.exports[0].request == {
            "scope": {"teamId": "456"},
            "dateRange": {"start": "2024-01-15", "end": "2024-01-31"},
            "metricGroups": ["activity"],
            "options": {"aggregationLevel": "team", "shape": "wide"},
        }

    @pytest.mark.parametrize(
        ("field", "rendered", "words"),
        [
            ("family", "productivty", "did you mean 'productivity'"),
            ("date_start", "2024-1-1", "date_start '2024-1-1' is not a day written yyyy-MM-dd"),
            ("date_end", "", "date_end is missing"),
            ("date_start", "2024-02-30", "date_start '2024-02-30' is not a day"),
            ("date_start", "2024-06-01", "date_start 2024-06-01 comes after date_end 2024-01-31"),
            ("team_id", "", "neither team_id nor org_tree_name is given"),
            ("granularity", "montly", "granularity 'montly': did you mean 'monthly'"),
            ("destination", "", "destination '' is not a path or URL"),
            ("compression", "zip", "compression 'zip' is not one of keep, gzip, none"),
            ("overwrite", "maybe", "overwrite 'maybe' is not one of"),
            ("download_timeout", "soon", "download_timeout must be a number of seconds"),
            ("use_server_name", "perhaps", "use_server_name must be true or false"),
            ("verify_size", "perhaps", "verify_size must be true or false"),
            ("wait_timeout", "-1", "wait_timeout must be a number of seconds"),
            ("poll_interval", "0.5", "poll_interval must be a number of seconds, at least 1"),
            ("reused_failed", "ignore", "reused_failed 'ignore' is not one of fail, retry"),
            ("project_identifier", "", None),
        ],
    )
    def test_a_value_that_renders_to_nonsense_creates_nothing(
        self,
        export_operator: MakeOperator,
        sei_server: Any,
        *,
        field: str,
        rendered: str,
        words: str | None,
    ) -> None:
        """It is refused before anything is sent; an empty override is none."""
        operator = export_operator(**{field: "{{ value }}"})
        operator.render_template_fields({"value": rendered})
        if words is None:
            operator.execute({})
            return
        with pytest.raises(exceptions.SEIArgumentError, match=words) as caught:
            operator.execute({})
        assert isinstance(caught.value, AirflowFailException)
        assert caught.value.field == field
        assert sei_server.requests == []

    @pytest.mark.parametrize(("rendered", "delivered"), [("False", True), ("True", False)])
    def test_a_rendered_flag_means_what_it_says(
        self, export_operator: MakeOperator, sei_server: Any, *, rendered: str, delivered: bool
    ) -> None:
        """The text ``False`` is not true."""
        sei_server.faults.add("status", "size_bytes", delta=7, times=None)
        operator = export_operator(verify_size="{{ value }}")
        operator.render_template_fields({"value": rendered})
        if delivered:
            operator.execute({})
        else:
            with pytest.raises(exceptions.SEIDownloadError, match="sizeBytes"):
                operator.execute({})
