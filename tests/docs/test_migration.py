"""docs/migration.md: what happens to the script and to the operator, for each line of the page's table."""

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
ERROR_PAGE = "<html><title>Service unavailable</title></html>"
WRONG_KEY = "a-wrong-key-of-some-length"
MAX_POLLS = 200

pytestmark = pytest.mark.usefixtures("sei_connection", "worker_clock")


class PollsForeverError(Exception):
    """The script has polled the same export two hundred times."""


class Both:
    """The script and the operator, with the same request and the same server."""

    def __init__(self, server: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.monkeypatch = monkeypatch
        self.operator_folder = folder / "operator"
        self._script_folder = folder / "script"
        self._script_folder.mkdir()

    def fault(self, call: str, effect: str, *, times: int | None = None, **parameters: Any) -> None:
        """Arm a fault, by default for all calls."""
        self.server.faults.add(call, effect, times=times, **parameters)

    def script(self) -> list[Path]:
        """Run the page's script and return all files that it has written."""
        polls = iter(range(MAX_POLLS))

        def sleep(_: float) -> None:
            if next(polls, None) is None:
                raise PollsForeverError

        names: dict[str, Any] = {}
        exec(compile(block(PAGE, "import time"), str(PAGE), "exec"), names)  # noqa: S102 - the page's own code
        self.monkeypatch.chdir(self._script_folder)
        names["time"] = type("Time", (), {"sleep": staticmethod(sleep)})
        server = self.server
        names["export"](server.base_url, server.api_key, server.project, server.org, "456")
        return sorted(self._script_folder.iterdir())

    def operator(self) -> list[Path]:
        """Run the operator and return all files that it has delivered."""
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

    def later(self) -> None:
        """Let an hour pass, so that the server no longer reuses its exports."""
        self.server.clock.advance(3600)


@pytest.fixture
def both(sei_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    """The script and the operator."""
    return Both(sei_server, tmp_path, monkeypatch)


def _fails(both: Both) -> None:
    both.fault("create", "outcome", status="failed", error="Invalid teamId")
    with pytest.raises(PollsForeverError):
        both.script()
    with pytest.raises(SEIExportFailedError, match="Invalid teamId"):
        both.operator()


def _is_cancelled(both: Both) -> None:
    both.fault("create", "outcome", status="cancelled")
    with pytest.raises(PollsForeverError):
        both.script()
    with pytest.raises(SEIExportCancelledError, match="cancelled at the server"):
        both.operator()


def _is_completed_in_upper_case(both: Both) -> None:
    both.fault("status", "status_word", word="COMPLETED")
    with pytest.raises(PollsForeverError):
        both.script()
    assert len(both.operator()) == 1


def _has_a_wrong_key(both: Both) -> None:
    connection = both.server.connection_json().replace(both.server.api_key, WRONG_KEY)
    both.monkeypatch.setenv("AIRFLOW_CONN_SEI_DEFAULT", connection)
    both.monkeypatch.setattr(type(both.server), "api_key", WRONG_KEY)
    with pytest.raises(KeyError, match="exportId"):
        both.script()
    with pytest.raises(SEIAuthError, match=r"answered 401.*check the connection's API key"):
        both.operator()


def _one_call_gets_no_response(both: Both) -> None:
    both.fault("status", "close", times=1)
    with pytest.raises(requests.ConnectionError):
        both.script()
    both.later()
    both.fault("status", "close", times=1)
    assert len(both.operator()) == 1


def _downloads_a_page(both: Both) -> None:
    both.fault("download", "answer", status=200, body=ERROR_PAGE)
    [file] = both.script()
    assert (file.suffix, file.read_text()) == (".csv", ERROR_PAGE)
    with pytest.raises(SEIDownloadError, match="Service unavailable"):
        both.operator()
    assert list(both.operator_folder.iterdir()) == []


def _downloads_gzip(both: Both) -> None:
    both.server.reset(both.server.clock, compression="gzip")
    [file] = both.script()
    assert (file.suffix, file.read_bytes()[:2]) == (".csv", b"\x1f\x8b")
    [file] = both.operator()
    assert (file.suffix, file.read_bytes()[:2]) == (".gz", b"\x1f\x8b")


def _runs_again_later(both: Both) -> None:
    assert [len(both.script()), len(both.operator())] == [1, 1]
    both.later()
    assert [len(both.script()), len(both.operator())] == [2, 1]


SCENES: dict[str, Callable[[Both], None]] = {
    "The export fails at the server": _fails,
    "Someone cancels the export": _is_cancelled,
    "The status is `COMPLETED`, as in some families": _is_completed_in_upper_case,
    "The key is wrong": _has_a_wrong_key,
    "One status call gets no response": _one_call_gets_no_response,
    "The download is an error page": _downloads_a_page,
    "The download is gzip": _downloads_gzip,
    "The same request, an hour later": _runs_again_later,
}


def test_every_line_of_the_table_is_tested() -> None:
    """In the same order."""
    assert [row[0] for row in table(PAGE, "What happens")] == list(SCENES)


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_table_is_right(both: Both, scene: Callable[[Both], None]) -> None:
    """For the script, and for the operator."""
    scene(both)


def test_script_and_operator_get_the_same_file(both: Both, sei_server: Any) -> None:
    """With one export: their requests are identical."""
    [script], [operator] = both.script(), both.operator()
    [record] = sei_server.exports
    assert record.requested == 2
    assert script.read_bytes() == operator.read_bytes() == record.csv
