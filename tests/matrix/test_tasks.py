"""Operators, sensor and triggers work on every supported version of Airflow."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.models.trigger import Trigger
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AssetAlias, TaskDeferred
from fsspec.implementations.memory import MemoryFileSystem
from packaging.version import Version

from airflow_provider_sei.assets import scope_asset
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import (
    SEICreateExportOperator,
    SEIDownloadExportOperator,
    SEIExportOperator,
    SEILegacyReportOperator,
)
from airflow_provider_sei.sensors.sei import SEIExportSensor
from airflow_provider_sei.triggers.sei import SEIExportTrigger
from airflow_provider_sei.triggers.watcher import SEIExportCompletedTrigger

PERIOD = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
REQUEST = {"family": "productivity", "team_id": "456", **PERIOD}


@pytest.fixture(autouse=True)
def _connection(sei_connection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks use the default connection, and no call needs a retry."""
    assert sei_connection == "sei_default"
    monkeypatch.setattr(SEIHook, "_pause", lambda _, seconds: pytest.fail(f"a pause of {seconds} seconds"))


def sha256(uri: str) -> str:
    """Return the checksum of a delivered file."""
    return hashlib.sha256(Path(uri.removeprefix("file://")).read_bytes()).hexdigest()


@pytest.mark.parametrize("url", ["{}", "file://{}"])
def test_an_export_is_delivered_by_a_waiting_worker(tmp_path: Path, sei_server: Any, url: str) -> None:
    """URLs are read by Airflow's object storage, which has moved between versions, as have the events of assets."""
    try:
        from airflow.sdk.execution_time.context import OutletEventAccessors
    except ImportError:
        from airflow.utils.context import OutletEventAccessors
    events, alias = OutletEventAccessors(), AssetAlias("files")
    asset = scope_asset("ba", account="a", org_identifier="default", project_identifier="p", team_id="456")
    assert (asset.uri, getattr(asset, "name", asset.uri)) == ("sei://a/default/p/ba/team/456",) * 2
    operator = SEIExportOperator(
        task_id="export", destination=url.format(f"{tmp_path}/"), deferrable=False, outlets=[asset, alias], **REQUEST
    )
    result = operator.execute({"outlet_events": events})
    [export] = sei_server.exports
    assert (result["export_id"], result["uri"][:7]) == (export.export_id, "file://")
    assert sha256(result["uri"]) == result["sha256"] == export.csv_sha256 == events[asset].extra["sha256"]
    [event] = getattr(events[alias], "asset_alias_events", None) or events[alias].dataset_alias_events
    assert (event["extra"] if isinstance(event, dict) else event.extra)["sha256"] == result["sha256"]


@pytest.mark.sei_server(clock_speed=0.0, seconds_to_complete=60)
def test_an_export_is_delivered_after_a_deferral(tmp_path: Path, sei_server: Any, fire: Any) -> None:
    """The trigger survives the version's own encoding, and finds the connection."""
    operator = SEIExportOperator(task_id="export", destination=f"{tmp_path}/", **REQUEST)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({})
    stored = Trigger.from_object(deferred.value.trigger)
    assert (stored.classpath, stored.kwargs) == deferred.value.trigger.serialize()

    sei_server.clock.advance(60)
    event = fire(SEIExportTrigger(**stored.kwargs))
    result = getattr(operator, deferred.value.method_name)({}, event)

    [export] = sei_server.exports
    assert sha256(result["uri"]) == export.csv_sha256


def test_the_three_steps_and_a_legacy_report_deliver(tmp_path: Path, sei_server: Any) -> None:
    """Create, wait and download are one export."""
    export_id = SEICreateExportOperator(task_id="create", **REQUEST).execute({})
    sensor = SEIExportSensor(task_id="wait", family="productivity", export_id=export_id, deferrable=False)
    assert sensor.poke({}).xcom_value == export_id
    assert SEIExportSensor(task_id="poll", family="productivity", export_id=export_id).execute({}) == export_id
    result = SEIDownloadExportOperator(
        task_id="download", family="productivity", export_id=export_id, destination=f"{tmp_path}/", compression="gzip"
    ).execute({})
    assert (result["uri"][-7:], len(sei_server.exports)) == (".csv.gz", 1)
    assert sha256(result["uri"]) == result["sha256"]
    result = SEILegacyReportOperator(
        task_id="report", collection_id="456", destination=f"{tmp_path}/", **PERIOD
    ).execute({})
    assert result["sha256"] == sei_server.legacy_reports[0].csv_sha256


def test_a_run_without_dates_exports_its_own_period_after_a_delay(tmp_path: Path, sei_server: Any, fire: Any) -> None:
    """By the version's own cron schedule, in the DAG's timezone; ``create_jitter`` defers by a trigger of Airflow's."""
    with DAG("d", schedule="30 0 1 * *", start_date=pendulum.datetime(2024, 1, 1, tz="Europe/Berlin")) as dag:
        scope = {"family": "ba", "team_id": "456", "account_id": "acc"}
        operator = SEIExportOperator(
            task_id="export", destination=f"{tmp_path}/", layout="hive", create_jitter=0.01, **scope
        )
    schedule = dag.timetable
    with suppress(ImportError):  # from Airflow 3.2 on, the scheduler has another kind
        from airflow.serialization.encoders import coerce_to_core_timetable

        schedule = coerce_to_core_timetable(schedule)
    moment = pendulum.datetime(2024, 2, 29, 23, 30)  # in Berlin, this is in March
    interval = schedule.infer_manual_data_interval(run_after=moment)
    context = {
        "dag": dag,
        "dag_run": SimpleNamespace(run_after=moment),
        "logical_date": moment,
        "data_interval_start": interval.start,
        "data_interval_end": interval.end,
    }
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    assert sei_server.requests == []
    event = fire(deferred.value.trigger)
    result = getattr(operator, deferred.value.method_name)(context, event, **deferred.value.kwargs)
    assert sei_server.exports[0].request["dateRange"] == {"start": "2024-02-01", "end": "2024-02-29"}
    assert result["uri"] == f"file://{tmp_path}/family=ba/period=2024-02/team=456/ba_baccd534.csv"


def test_an_export_is_delivered_to_an_object_store(sei_server: Any) -> None:
    """Through the version's own object storage; this store keeps its objects in memory."""
    try:
        from airflow.sdk.io import attach
    except ImportError:  # before 3.0
        from airflow.io.store import attach
    store = MemoryFileSystem()
    attach("memory", fs=store)
    operator = SEIExportOperator(task_id="export", destination="memory://lake/sei/", deferrable=False, **REQUEST)
    result = operator.execute({})
    assert result["uri"].startswith("memory://lake/sei/")
    assert store.cat("/" + result["uri"].removeprefix("memory://")) == sei_server.exports[0].csv


def test_a_permanent_error_fails_the_task_without_retries(
    tmp_path: Path, sei_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the version's own exception: an invalid argument, or a wrong key."""
    operator = SEIExportOperator(task_id="export", destination=f"{tmp_path}/", **REQUEST)
    operator.family = "productivty"
    with pytest.raises(AirflowFailException, match="did you mean 'productivity'"):
        operator.execute({})
    monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", sei_server.connection_json().replace(sei_server.api_key, "wrong"))
    with pytest.raises(AirflowFailException, match="401"):
        SEIExportOperator(task_id="export", destination=f"{tmp_path}/", **REQUEST).execute({})
    assert sei_server.exports == []


def test_a_watcher_can_be_put_on_a_triggerers_queue(airflow_version: Version) -> None:
    """Airflow reads it when it parses the DAG, and keeps it apart from the trigger's arguments."""
    make = partial(SEIExportCompletedTrigger, family="ba", queue="reports")
    if airflow_version < Version("3.4"):
        with pytest.raises(NotImplementedError, match=r"3\.0 on|Airflow 3\.4 and newer"):
            make()
        return
    from airflow.serialization.encoders import encode_trigger

    encoded = encode_trigger(make())
    assert (encoded["queue"], "queue" in encoded["kwargs"]) == ("reports", False)
    assert "queue" not in encode_trigger(SEIExportCompletedTrigger(**encoded["kwargs"]))
