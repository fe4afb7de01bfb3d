"""docs/errors.md: each error has a section, and every quoted message is what the code says."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIExportOperator, SEIExportSummaryOperator
from tests.docs.pages import DOCS, tokens

PAGE = DOCS / "errors.md"
REQUEST: dict[str, Any] = {
    "family": "productivity",
    "team_id": "456",
    "date_start": "2024-01-01",
    "date_end": "2024-03-31",
    "metric_groups": ["activity"],
}
SIGN_IN = {"status": 200, "body": "<html><title>Sign in</title></html>"}
UNAVAILABLE = {"status": 200, "body": "<html><title>Service unavailable</title></html>"}
FAILED_MIDWAY = {"status": 200, "body": "team,pull requests\nCore,12\nERROR: canceling statement\n"}
CUT_JSON = {"status": 200, "body": '[{"Team": "Core"}, {"Team": "Pla'}
EFFICIENCY = {"family": "efficiency", "metric_groups": ["df"]}
EXPECTED = ["Granularity", "Team", "Team_Path", "Start_Date", "End_Date", "Developer", "Coding_Day", "Rank"]


Scene = Callable[[Any, str], Any]
"""What causes an error, by a local server and a folder to deliver to."""


def export(**changes: Any) -> Scene:
    """Return a scene: an export with these arguments, delivered without deferring."""

    def scene(_: Any, folder: str) -> None:
        arguments = {"destination": folder, "deferrable": False, **REQUEST, **changes}
        SEIExportOperator(task_id="export", **arguments).execute({})

    return scene


def fault(call: str, effect: str, parameters: dict[str, Any], **changes: Any) -> Scene:
    """Return a scene: an export while the server has a fault."""

    def scene(server: Any, folder: str) -> None:
        server.faults.add(call, effect, times=None, **parameters)
        export(**changes)(server, folder)

    return scene


def connected(old: str, new: str) -> Scene:
    """Return a scene: an export by a connection with another text, as format strings of the server."""

    def scene(server: Any, folder: str) -> None:
        connection = server.connection_json()
        assert old.format(server) in connection
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AIRFLOW_CONN_SEI_DEFAULT", connection.replace(old.format(server), new.format(server)))
            export()(server, folder)

    return scene


def _object_exists(server: Any, folder: str) -> None:
    for overwrite in ("replace", "fail"):
        export(destination=f"{folder}q1.csv", overwrite=overwrite)(server, folder)


def _server_is_down(server: Any, folder: str) -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        connected("{0.origin}", f"http://127.0.0.1:{unused.getsockname()[1]}")(server, folder)


def _list_redirects(server: Any, _: str) -> None:
    server.faults.add("list", "redirect", times=None, to="https://login.example/sso")
    list(SEIHook().iter_exports("productivity"))


def _failed_export_is_reused(server: Any, folder: str) -> None:
    with pytest.raises(exceptions.SEIExportFailedError):
        fault("create", "outcome", {"status": "failed", "error": "Out of memory"})(server, folder)
    export(reused_failed="retry")(server, folder)


def _team_has_failed(*_: Any) -> None:
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


def _a_metric_is_a_percentage(server: Any, folder: str) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is an extra, which not every environment has")
    body = "Team,Coding_Days\nCore,12 %\n"
    fault("download", "answer", {"status": 200, "body": body}, output="parquet", verify_size=False)(server, folder)


def _store_fails(*_: Any) -> None:
    SEIHook().download_export(SEIHook().create_export(**REQUEST), Destination.from_arguments("/proc/sei/"))


SCENES: dict[str, tuple[Scene, ...]] = {
    "SEIArgumentError": (
        export(date_start="2024-05-01"),
        connected("{0.project}", ""),
        _object_exists,
        export(destination="moon://lake/sei/"),
    ),
    "SEIConnectionError": (_server_is_down, fault("download", "cut", {"after_bytes": 100})),
    "SEIAuthError": (
        connected("{0.api_key}", "a-wrong-key-of-some-length"),
        connected("{0.api_key}", "{0.settings.ingestion_key}"),
    ),
    "SEINotFoundError": (lambda *_: SEIHook().get_export("productivity", "exp_7a8b9c0d"),),
    "SEIBadRequestError": (export(extra_body={"dateRange": {"start": "2024-06-01"}}),),
    "SEIRateLimitError": (fault("create", "answer", {"status": 429}),),
    "SEIServerError": (fault("create", "answer", {"status": 503}),),
    "SEIUnexpectedResponseError": (fault("create", "answer", SIGN_IN), _list_redirects),
    "SEIExportFailedError": (
        fault("create", "outcome", {"status": "failed", "error": "Invalid teamId"}),
        export(team_id="Plattform"),
    ),
    "SEIReusedExportFailedError": (_failed_export_is_reused,),
    "SEIExportCancelledError": (fault("create", "outcome", {"status": "cancelled"}),),
    "SEIExportNotFoundError": (fault("create", "outcome", {"never": True, "vanishes_after_seconds": 20}),),
    "SEITeamExportsError": (_team_has_failed,),
    "SEIExportTimeoutError": (fault("create", "outcome", {"never": True}, wait_timeout=60),),
    "SEIFileError": (
        fault("status", "size_bytes", {"delta": 1}),
        fault("download", "corrupt_gzip", {"where": "data"}),
        fault("download", "answer", FAILED_MIDWAY, verify_size=False),
        fault("download", "answer", CUT_JSON, **EFFICIENCY, file_format="json"),
        export(**EFFICIENCY, extra_body={"options": {"format": "json"}}),
    ),
    "SEIDownloadError": (
        fault("download", "answer", UNAVAILABLE, verify_size=False),
        _store_fails,
    ),
    "SEISchemaError": (export(expect_columns=EXPECTED), _a_metric_is_a_percentage),
}


def sections() -> dict[str, tuple[str, list[str]]]:
    """Return the first sentence of each section, and the messages that it quotes."""
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for before, token in zip(tokens(PAGE), tokens(PAGE)[1:], strict=False):
        if before.type == "heading_open" and before.tag == "h2":
            name = token.content
            found[name] = ("", [])
        elif token.type == "inline" and name and not found[name][0]:
            found[name] = (token.content, found[name][1])
        elif token.type == "fence" and name:
            found[name][1].append(token.content.strip())
    return found


def test_every_error_has_a_section_with_its_messages() -> None:
    """And whether Airflow retries. Base classes are named in the text; the others are SCENES."""
    quoted = {name: len(messages) for name, (_, messages) in sections().items() if name.startswith("SEI")}
    assert quoted == {name: len(scenes) for name, scenes in SCENES.items()}
    named = {name for name in vars(exceptions) if name.startswith("SEI")}
    assert {name for name in named if f"`{name}`" not in PAGE.read_text()} <= set(SCENES)
    for name in SCENES:
        retried = "yes" if getattr(exceptions, name).retryable else "no"
        assert sections()[name][0].startswith(f"*Retried: {retried}.*"), name


@pytest.mark.usefixtures("sei_connection", "worker_clock")
@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, scenes in SCENES.items() for number in range(len(scenes))]
)
def test_the_code_says_what_the_page_quotes(sei_server: Any, tmp_path: Path, name: str, number: int) -> None:
    """Word by word, except ids, ports and folders."""
    with pytest.raises(exceptions.SEIError) as caught:
        SCENES[name][number](sei_server, f"{tmp_path}/")
    assert type(caught.value).__name__ == name
    assert not re.match(r"could not|\w+ export", str(caught.value)), "the reason comes first: Airflow's pages cut it"
    message = str(caught.value).replace(f"file://{tmp_path}/", "file:///data/sei/")
    message = re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:8090", message)
    assert re.sub(r"exp_[a-z0-9]+", "exp_7a8b9c0d", message) == sections()[name][1][number]
