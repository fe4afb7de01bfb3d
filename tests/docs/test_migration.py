"""docs/migration.md: what becomes of the script and of the operator on a bad day, line by line of the page's table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_sei.exceptions import (
    SEIAuthError,
    SEIDownloadError,
    SEIExportCancelledError,
    SEIExportFailedError,
)
from airflow_provider_sei.operators.sei import SEIExportOperator
from tests.docs.pages import DOCS, block, table

PAGE = DOCS / "migration.md"
PAGE_IN_ITS_PLACE = {"status": 200, "body": "<html><title>Service unavailable</title></html>"}
MOST_LOOKS = 200


class AsksForEverError(Exception):
    """Raised where the script would go on after two hundred looks at the same export."""


class Day:
    """A server, the script, and the operator with the same request."""

    def __init__(self, server: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.script_folder = folder / "script"
        self.operator_folder = folder / "operator"
        self.script_folder.mkdir()
        self._monkeypatch = monkeypatch

    def trouble(self, call: str, effect: str, *, times: int | None = None, **parameters: Any) -> None:
        """Put a fault in force, for both."""
        self.server.faults.add(call, effect, times=times, **parameters)

    def script(self) -> list[Path]:
        """Run the page's script and return the files that it has written so far."""
        looks = iter(range(MOST_LOOKS))

        def sleep(_: float) -> None:
            if next(looks, None) is None:
                raise AsksForEverError

        names: dict[str, Any] = {}
        exec(compile(block(PAGE, "import time"), str(PAGE), "exec"), names)  # noqa: S102 - the page's own code
        self._monkeypatch.chdir(self.script_folder)
        names["time"] = type("Time", (), {"sleep": staticmethod(sleep)})
        server = self.server
        names["export"](server.base_url, server.api_key, server.project, server.org, "456")
        return sorted(self.script_folder.iterdir())

    def operator(self) -> list[Path]:
        """Run the operator and return the files that it has delivered so far."""
        SEIExportOperator(
            task_id="export",
            family="productivity",
            team_id="456",
            date_start="2024-01-01",
            date_end="2024-03-31",
            metric_groups=["activity", "velocity"],
            granularity="monthly",
            destination=f"{self.operator_folder}/",
            deferrable=False,
        ).execute({})
        return sorted(self.operator_folder.iterdir())

    def anew(self) -> None:
        """Let the server forget what it has made: the next one to ask gets an export of its own."""
        self.server.clock.advance(3600)


pytestmark = pytest.mark.usefixtures("sei_connection", "worker_clock")  # time passes at once


@pytest.fixture
def day(sei_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    """A day on which anything may happen."""
    return Day(sei_server, tmp_path, monkeypatch)


def _fails(day: Day) -> None:
    day.trouble("create", "outcome", status="failed", error="Invalid teamId")
    with pytest.raises(AsksForEverError):
        day.script()
    with pytest.raises(SEIExportFailedError, match="Invalid teamId"):
        day.operator()


def _is_cancelled(day: Day) -> None:
    day.trouble("create", "outcome", status="cancelled")
    with pytest.raises(AsksForEverError):
        day.script()
    with pytest.raises(SEIExportCancelledError, match="was cancelled"):
        day.operator()


def _is_completed_in_capitals(day: Day) -> None:
    day.trouble("status", "status_word", word="COMPLETED")
    with pytest.raises(AsksForEverError):
        day.script()
    assert len(day.operator()) == 1


def _has_a_wrong_key(day: Day) -> None:
    connection = day.server.connection_json().replace(day.server.api_key, "a-wrong-key-of-some-length")
    day._monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", connection)
    day._monkeypatch.setattr(type(day.server), "api_key", "a-wrong-key-of-some-length")
    with pytest.raises(KeyError, match="exportId"):
        day.script()
    with pytest.raises(SEIAuthError, match=r"answered 401.*check the connection's API key"):
        day.operator()


def _gets_no_answer_once(day: Day) -> None:
    day.trouble("status", "close", times=1)
    with pytest.raises(requests.ConnectionError):
        day.script()
    day.anew()
    day.trouble("status", "close", times=1)
    assert len(day.operator()) == 1


def _downloads_a_page(day: Day) -> None:
    day.trouble("download", "answer", **PAGE_IN_ITS_PLACE)
    [file] = day.script()
    assert (file.suffix, file.read_text()) == (".csv", PAGE_IN_ITS_PLACE["body"])
    with pytest.raises(SEIDownloadError, match="Service unavailable"):
        day.operator()
    assert list(day.operator_folder.iterdir()) == []


def _downloads_gzip(day: Day) -> None:
    day.server.reset(day.server.clock, compression="gzip")
    [file] = day.script()
    assert (file.suffix, file.read_bytes()[:2]) == (".csv", b"\x1f\x8b")
    [file] = day.operator()
    assert (file.suffix, file.read_bytes()[:2]) == (".gz", b"\x1f\x8b")


def _asks_again_later(day: Day) -> None:
    assert [len(day.script()), len(day.operator())] == [1, 1]
    day.anew()
    assert [len(day.script()), len(day.operator())] == [2, 1]


SCENES: dict[str, Callable[[Day], None]] = {
    "The export fails at the server": _fails,
    "Somebody cancels it": _is_cancelled,
    "The status is written `COMPLETED`, as some families do": _is_completed_in_capitals,
    "The key is wrong": _has_a_wrong_key,
    "One status call gets no answer": _gets_no_answer_once,
    "The download is an error page": _downloads_a_page,
    "The download is gzip": _downloads_gzip,
    "The same request, an hour later": _asks_again_later,
}


def test_every_line_of_the_table_is_shown_here() -> None:
    """In the same order."""
    assert [row[0] for row in table(PAGE, "What happens")] == list(SCENES)


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_it_goes_as_the_table_says(day: Day, scene: Callable[[Day], None]) -> None:
    """For the script, and for the operator."""
    scene(day)


def test_the_two_sides_ask_for_the_same(day: Day, sei_server: Any) -> None:
    """Before anything goes wrong: one body, one file."""
    [script] = day.script()
    [operator] = day.operator()
    [record] = sei_server.exports
    assert record.requested == 2
    assert script.read_bytes() == operator.read_bytes() == record.csv
    argument = 'metric_groups=["activity", "velocity"]'
    assert argument in block(PAGE, "SEIExportOperator(")
