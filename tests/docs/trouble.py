"""How each error of docs/errors.md comes about, against the local SEI server; in the order of its messages there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.exceptions import SEIError
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIExportOperator, SEIExportSummaryOperator

REQUEST: dict[str, Any] = {
    "family": "productivity",
    "team_id": "456",
    "date_start": "2024-01-01",
    "date_end": "2024-03-31",
    "metric_groups": ["activity"],
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the scenes need."""

    server: Any
    monkeypatch: pytest.MonkeyPatch
    folder: str

    def connect(self, **changes: Any) -> None:
        """Change fields of the connection's extra."""
        self.monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", self.server.connection_json(**changes))

    def connect_to(self, old: str, new: str) -> None:
        """Change text of the connection."""
        self.monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", self.server.connection_json().replace(old, new))

    def export(self, **changes: Any) -> Any:
        """Export and deliver, holding the worker."""
        operator = SEIExportOperator(
            task_id="export", **{"destination": self.folder, "deferrable": False, **REQUEST, **changes}
        )
        return operator.execute({})

    def fault(self, operation: str, effect: str, **parameters: Any) -> None:
        """Arm a fault for all calls."""
        self.server.faults.add(operation, effect, times=None, **parameters)


Scene = Callable[[Stage], Any]


def _with_a_period_that_ends_before_it_begins(stage: Stage) -> None:
    stage.export(date_start="2024-05-01")


def _without_a_project(stage: Stage) -> None:
    stage.connect(project_identifier="")
    stage.export()


def _with_an_object_in_the_way(stage: Stage) -> None:
    stage.export(destination=f"{stage.folder}q1.csv")
    stage.export(destination=f"{stage.folder}q1.csv", overwrite="fail")


def _with_nobody_there(stage: Stage) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        stage.connect_to(stage.server.origin, f"http://127.0.0.1:{unused.getsockname()[1]}")
    stage.export()


def _with_a_wrong_key(stage: Stage) -> None:
    stage.connect_to(stage.server.api_key, "a-wrong-key-of-some-length")
    stage.export()


def _with_an_ingestion_key(stage: Stage) -> None:
    stage.connect_to(stage.server.api_key, stage.server.settings.ingestion_key)
    stage.export()


def _with_an_unknown_id(_: Stage) -> None:
    SEIHook().get_export("productivity", "exp_7a8b9c0d")


def _with_a_refused_body(stage: Stage) -> None:
    stage.export(extra_body={"dateRange": {"start": "2024-06-01"}})


def _with_too_many_calls(stage: Stage) -> None:
    stage.fault("create", "answer", status=429)
    stage.export()


def _with_a_broken_server(stage: Stage) -> None:
    stage.fault("create", "answer", status=503)
    stage.export()


def _with_a_page_in_place_of_json(stage: Stage) -> None:
    stage.fault("create", "answer", status=200, body="<html><title>Sign in</title></html>")
    stage.export()


def _with_a_redirect(stage: Stage) -> None:
    stage.fault("list", "redirect", to="https://login.example/sso")
    list(SEIHook().iter_exports("productivity"))


def _failing_at_the_server(stage: Stage) -> None:
    stage.fault("create", "outcome", status="failed", error="Invalid teamId")
    stage.export()


def _failing_again(stage: Stage) -> None:
    stage.fault("create", "outcome", status="failed", error="Out of memory")
    with pytest.raises(SEIError):
        stage.export()
    stage.export(reused_failed="retry")


def _cancelled(stage: Stage) -> None:
    stage.fault("create", "outcome", status="cancelled")
    stage.export()


def _vanished(stage: Stage) -> None:
    stage.fault("create", "outcome", never=True, vanishes_after_seconds=20)
    stage.export()


def _with_too_little_time(stage: Stage) -> None:
    stage.fault("create", "outcome", never=True)
    stage.export(wait_timeout=60)


def _with_a_team_that_failed(_: Stage) -> None:
    results = {0: {"rows": 310, "bytes": 24567}}
    ti = SimpleNamespace(
        dag_id="sei",
        run_id="today",
        get_task_states=lambda **_: {"today": {"export_0": "success", "export_1": "failed"}},
        xcom_pull=lambda **asked: results[asked["map_indexes"]],
        xcom_push=lambda **_: None,
    )
    summary = SEIExportSummaryOperator(task_id="summary", export_task_id="export", team_ids=["456", "789"])
    summary.execute({"ti": ti})


def _cut_off(stage: Stage) -> None:
    stage.fault("download", "cut", after_bytes=100)
    stage.export()


def _of_another_size(stage: Stage) -> None:
    stage.fault("status", "size_bytes", delta=1)
    stage.export()


def _damaged(stage: Stage) -> None:
    stage.fault("download", "corrupt_gzip", where="data")
    stage.export()


def _that_is_a_page(stage: Stage) -> None:
    stage.fault("download", "answer", status=200, body="<html><title>Service unavailable</title></html>")
    stage.export(verify_size=False)


def _to_a_store_that_fails(_: Stage) -> None:
    export = SEIHook().create_export(**REQUEST)
    SEIHook().download_export(export, Destination.from_arguments("/proc/sei/"))


SCENES: dict[str, tuple[Scene, ...]] = {
    "SEIArgumentError": (_with_a_period_that_ends_before_it_begins, _without_a_project, _with_an_object_in_the_way),
    "SEIConnectionError": (_with_nobody_there, _cut_off),
    "SEIAuthError": (_with_a_wrong_key, _with_an_ingestion_key),
    "SEINotFoundError": (_with_an_unknown_id,),
    "SEIBadRequestError": (_with_a_refused_body,),
    "SEIRateLimitError": (_with_too_many_calls,),
    "SEIServerError": (_with_a_broken_server,),
    "SEIUnexpectedResponseError": (_with_a_page_in_place_of_json, _with_a_redirect),
    "SEIExportFailedError": (_failing_at_the_server,),
    "SEIReusedExportFailedError": (_failing_again,),
    "SEIExportCancelledError": (_cancelled,),
    "SEIExportNotFoundError": (_vanished,),
    "SEITeamExportsError": (_with_a_team_that_failed,),
    "SEIExportTimeoutError": (_with_too_little_time,),
    "SEIDownloadError": (_of_another_size, _damaged, _that_is_a_page, _to_a_store_that_fails),
}


def scenes() -> list[tuple[str, int]]:
    """Return each error's name with the number of each of its scenes."""
    return [(name, number) for name, each in SCENES.items() for number in range(len(each))]
