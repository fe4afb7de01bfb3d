"""The figures that the pages give are those of the code."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from airflow_provider_sei.delivery import remote, s3
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.protocol import lanes, retry, settings, waiting
from airflow_provider_sei.task_groups import CREATE_JITTER, SEITeamExportsTaskGroup
from airflow_provider_sei.triggers.watcher import SEIExportCompletedTrigger
from tests.docs.pages import DOCS, table

SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
MIB = 1024 * 1024


def default(of: type, argument: str) -> Any:
    """Return the default of a constructor's argument."""
    return inspect.signature(of).parameters[argument].default


@pytest.mark.parametrize("row", table(DOCS / "waiting.md", "Next look in"), ids=lambda row: row[0])
def test_the_next_look_is_when_the_page_says(row: list[str]) -> None:
    """Left alone, and without its jitter."""
    waited = re.search(r"(\d+) (second|minute|hour)", row[0])
    assert waited is not None
    elapsed = int(waited[1]) * SECONDS[waited[2]]
    assert f"{waiting.pause_seconds(elapsed, 0.5):.0f} s" == row[1]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (
            "waiting.md",
            f"| `wait_timeout` | {default(SEIExportOperator, 'wait_timeout') / SECONDS['hour']:.0f} hours |",
        ),
        ("waiting.md", f"; {CREATE_JITTER:.0f} in `SEITeamExportsTaskGroup`"),
        ("waiting.md", f"of the connection, {settings.SEISettings.calls_per_minute:.0f} by default"),
        (
            "waiting.md",
            f"borne for {default(waiting.WaitPlan, 'error_tolerance') / SECONDS['minute']:.0f} minutes of nothing",
        ),
        ("waiting.md", f"borne for {waiting._MISSING_TOLERANCE:.0f} s"),
        ("delivery.md", f"in parts of {s3._PART // MIB} MiB"),
        ("delivery.md", f"{s3._MOST_PARTS:,} parts: {s3._PART * s3._MOST_PARTS / 1e9:.1f} GB"),
        ("delivery.md", f"one block of {remote._BLOCK // MIB} MiB"),
        ("howto/organisation.md", f"`max_parallel` ({default(SEITeamExportsTaskGroup, 'max_parallel')})"),
        ("howto/assets.md", f"every {default(SEIExportCompletedTrigger, 'poll_interval'):.0f} seconds"),
    ],
)
def test_a_default_is_the_one_of_the_code(page: str, words: str) -> None:
    """A change of one is noticed."""
    assert words in " ".join((DOCS / page).read_text().split())


def test_counts_that_are_written_as_words() -> None:
    """Tries of a call, and exports from which on lists are asked."""
    text = " ".join((DOCS / "waiting.md").read_text().split())
    assert (retry.Backoff().attempts, lanes.HANDFUL) == (5, 5)
    assert "up to five tries" in text
    assert "from six exports of a family on" in text
