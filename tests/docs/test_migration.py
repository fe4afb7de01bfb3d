"""docs/migration.md: what happens to the script and to the operator, for each line of the page's table."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from airflow_provider_sei.exceptions import (
    SEIAuthError,
    SEIDownloadError,
    SEIError,
    SEIExportCancelledError,
    SEIExportFailedError,
)
from airflow_provider_sei.operators.sei import SEIExportOperator
from tests.docs.pages import DOCS, block

PAGE = DOCS / "migration.md"
ERROR_PAGE = b"<html><title>Service unavailable</title></html>"
GZIP = b"\x1f\x8b"

pytestmark = pytest.mark.usefixtures("sei_connection", "worker_clock")


class PollsForeverError(Exception):
    """The script has polled the same export fifty times."""


def script(server: Any, folder: Path) -> list[Path]:
    """Run the page's script and return all files that it has written."""
    polls = iter(range(50))

    def sleep(_: float) -> None:
        if next(polls, None) is None:
            raise PollsForeverError

    names: dict[str, Any] = {}
    exec(compile(block(PAGE, "import time"), str(PAGE), "exec"), names)  # noqa: S102 - the page's own code
    names["time"] = SimpleNamespace(sleep=sleep)
    with contextlib.chdir(folder):
        names["export"](server.base_url, server.api_key, server.project, server.org, "456")
    return sorted(folder.iterdir())


def operator(_: Any, folder: Path) -> list[Path]:
    """Run the operator with the same request, and return all files that it has delivered."""
    SEIExportOperator(
        task_id="export",
        family="productivity",
        team_id="456",
        date_start="2024-01-01",
        date_end="2024-03-31",
        metric_groups=["activity", "velocity"],
        granularity="monthly",
        destination=f"{folder}/",
        deferrable=False,
    ).execute({})
    return sorted(folder.iterdir())


def fault(call: str, effect: str, **parameters: Any) -> Callable[[Any], None]:
    """Return what arms a fault, by default for all calls."""
    return lambda server: server.faults.add(call, effect, **{"times": None, **parameters})


# What happens, and what comes of it for the script and for the operator: a file's suffix and content, or an error.
SCENES: dict[str, tuple[Callable[[Any], None], tuple[Any, Any], tuple[Any, Any]]] = {
    "The export fails at the server": (
        fault("create", "outcome", status="failed", error="Invalid teamId"),
        (PollsForeverError, ""),
        (SEIExportFailedError, "Invalid teamId"),
    ),
    "Someone cancels the export": (
        fault("create", "outcome", status="cancelled"),
        (PollsForeverError, ""),
        (SEIExportCancelledError, "cancelled at the server"),
    ),
    "The status is `COMPLETED`, as in some families": (
        fault("status", "status_word", word="COMPLETED"),
        (PollsForeverError, ""),
        (".csv", b"Team"),
    ),
    "The key is wrong": (
        fault("create", "answer", status=401),
        (KeyError, "exportId"),
        (SEIAuthError, "check the connection's API key"),
    ),
    "One status call gets no response": (
        fault("status", "close", times=1),
        (requests.ConnectionError, ""),
        (".csv", b"Team"),
    ),
    "The download is an error page": (
        fault("download", "answer", status=200, body=ERROR_PAGE.decode()),
        (".csv", ERROR_PAGE),
        (SEIDownloadError, "Service unavailable"),
    ),
    "The download is gzip": (
        lambda server: server.reset(server.clock, compression="gzip"),
        (".csv", GZIP),
        (".gz", GZIP),
    ),
}


def test_every_line_of_the_table_is_tested() -> None:
    """In the same order; the last one below."""
    _, rows = PAGE.read_text().split("| What happens | The script | The operator |\n|---|---|---|\n")
    happens = re.findall(r"^\| (.+?) \|", rows.partition("\n\n")[0], re.MULTILINE)
    assert happens == [*SCENES, "The same request, an hour later"]


@pytest.mark.parametrize("title", SCENES)
def test_the_table_is_right(sei_server: Any, tmp_path: Path, title: str) -> None:
    """For the script, and for the operator."""
    happens, *expected = SCENES[title]
    for number, (run, (kind, content)) in enumerate(zip((script, operator), expected, strict=True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        sei_server.reset(sei_server.clock)
        happens(sei_server)
        try:
            [file] = run(sei_server, folder)
            found: tuple[Any, Any] = (file.suffix, file.read_bytes())
        except (SEIError, PollsForeverError, KeyError, requests.ConnectionError) as error:
            found = (type(error), str(error))
            assert list(folder.iterdir()) == []
        assert found[0] == kind
        assert content in found[1]


def test_script_and_operator_get_the_same_file(sei_server: Any, tmp_path: Path) -> None:
    """With one export: their requests are identical. An hour later, only the script has two files."""
    folders = tmp_path / "script", tmp_path / "operator"
    folders[0].mkdir()
    [scripts], [operators] = script(sei_server, folders[0]), operator(sei_server, folders[1])
    [record] = sei_server.exports
    assert record.requested == 2
    assert scripts.read_bytes() == operators.read_bytes() == record.csv
    sei_server.clock.advance(3600)
    assert [len(script(sei_server, folders[0])), len(operator(sei_server, folders[1]))] == [2, 1]
