"""A delivery is tried a bounded number of times, each from the start, all within one time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator
from airflow_provider_sei.protocol.report_request import ReportRequest


def calls(server: Any, operation: str) -> int:
    """Return how often an operation was called."""
    return sum(request.operation == operation for request in server.requests)


@pytest.mark.parametrize(
    ("effect", "parameters"),
    [("cut", {"after_bytes": 10}), ("answer", {"status": 503}), ("answer", {"status": 404}), ("close", {})],
)
def test_tries_are_bounded_whatever_fails(
    hook: SEIHook, export: Any, sei_server: Any, tmp_path: Path, *, effect: str, parameters: dict[str, Any]
) -> None:
    """Opening a body and reading it share the same five, and the status is read before each but the first."""
    before = calls(sei_server, "status")
    sei_server.faults.add("download", effect, times=None, **parameters)
    with pytest.raises(exceptions.SEIError) as caught:
        hook.download_export(export, Destination.from_arguments(str(tmp_path / "x.csv")))
    assert caught.value.retryable
    assert (calls(sei_server, "download"), calls(sei_server, "status") - before) == (5, 4)
    assert list(tmp_path.iterdir()) == []


def test_a_later_try_has_only_the_time_that_is_left(
    hook: SEIHook, export: Any, worker_clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits between the tries count."""
    given: list[float] = []

    def broken(_open: object, destination: Destination, expected: Any, **_options: object) -> None:
        given.append(destination.timeout)
        words = "is not there"
        raise expected.error(words)

    monkeypatch.setattr("airflow_provider_sei.hooks.sei.deliver", broken)
    with pytest.raises(exceptions.SEIDownloadError):
        hook.download_export(export, Destination.from_arguments(str(tmp_path / "x.csv"), timeout=1000))
    passed = [sum(worker_clock.pauses[:tries]) for tries in range(5)]
    assert given == pytest.approx([1000 - seconds for seconds in passed])
    # No other try is started if the pause before it would outlast the timeout.
    before = len(given), sum(worker_clock.pauses)
    with pytest.raises(exceptions.SEIDownloadError):
        hook.download_export(export, Destination.from_arguments(str(tmp_path / "x.csv"), timeout=8))
    assert len(given) - before[0] < 5
    assert sum(worker_clock.pauses) - before[1] < 8


def test_what_no_retry_mends_is_tried_once(hook: SEIHook, export: Any, sei_server: Any, tmp_path: Path) -> None:
    """A refused request stays refused, and an export may die meanwhile: the status between the tries says so."""
    destination = Destination.from_arguments(f"{tmp_path}/x.csv")
    sei_server.faults.add("download", "answer", status=400)
    with pytest.raises(exceptions.SEIBadRequestError):
        hook.download_export(export, destination)
    sei_server.faults.add("download", "cut", times=None, after_bytes=10)
    sei_server.faults.add("status", "status_word", word="cancelled")
    with pytest.raises(exceptions.SEIExportCancelledError):
        hook.download_export(export, destination)
    assert calls(sei_server, "download") == 2


def test_a_report_is_asked_for_anew(hook: SEIHook, sei_server: Any, tmp_path: Path) -> None:
    """The legacy API makes it while it answers."""
    report = ReportRequest.from_arguments(
        collection_id="456", date_start="2024-01-01", date_end="2024-01-31", report_type="team", granularity="weekly"
    )
    sei_server.faults.add("legacy", "cut", after_bytes=10)
    sei_server.faults.add("legacy", "answer", nth=2, status=500)
    delivered = hook.download_report(report, Destination.from_arguments(f"{tmp_path}/report.csv"))
    assert calls(sei_server, "legacy") == 3
    assert (tmp_path / "report.csv").read_bytes() == sei_server.legacy_reports[-1].csv
    assert delivered.rows > 0


def test_a_task_that_is_killed_in_a_pause_between_tries_ends(
    export: Any, sei_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an error that is left to Airflow's retries. Before it has begun, its hook is not made for that."""
    operator = SEIDownloadExportOperator(
        task_id="x", family="productivity", export_id=export.export_id, destination=f"{tmp_path}/"
    )
    operator.on_kill()
    assert "hook" not in vars(operator)
    sei_server.faults.add("download", "cut", times=None, after_bytes=10)
    monkeypatch.setattr(operator.hook, "_pause", lambda _seconds: operator.on_kill())
    with pytest.raises(exceptions.SEIDownloadError, match="interrupted") as caught:
        operator.execute({})
    assert caught.value.retryable
    assert calls(sei_server, "download") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_does_nothing_where_nothing_is_under_way(hook: SEIHook, export: Any, tmp_path: Path) -> None:
    """Before a download, after it, and after one that has failed; ``on_kill`` comes after a time-out as well."""
    hook.interrupt()
    hook.download_export(export, Destination.from_arguments(f"{tmp_path}/"))
    hook.interrupt()
    with pytest.raises(exceptions.SEIArgumentError):
        hook.download_export(export, Destination.from_arguments(f"{tmp_path}/", overwrite="fail"))
    hook.interrupt()


def test_an_interrupt_does_nothing_to_another_thread(
    hook: SEIHook, export: Any, sei_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception can only be raised where one is."""
    sei_server.faults.add("download", "cut", after_bytes=10)

    def interrupt_from_elsewhere(_seconds: float) -> None:
        with ThreadPoolExecutor() as elsewhere:
            elsewhere.submit(hook.interrupt).result()

    monkeypatch.setattr(hook, "_pause", interrupt_from_elsewhere)
    assert hook.download_export(export, Destination.from_arguments(f"{tmp_path}/")).rows
