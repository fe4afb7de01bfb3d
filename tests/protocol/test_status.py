"""What a status word means."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

from airflow_provider_sei.protocol.exports import ExportStatus, Verdict, read_status
from tests.protocol.strategies import ANYTHING, json_values


@pytest.mark.parametrize("in_case", [str.lower, str.upper, str.capitalize])
@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        ("queued", Verdict.WAIT),
        ("processing", Verdict.WAIT),
        ("completed", Verdict.READY),
        ("failed", Verdict.DEAD),
        ("cancelled", Verdict.DEAD),
    ],
)
def test_documented_words_mean_the_same_in_any_case(word: str, verdict: Verdict, in_case: Callable[[str], str]) -> None:
    """Some families answer in lower case, others in upper case."""
    status = read_status(f" {in_case(word)} ")
    assert status.value == word
    assert status.verdict is verdict


@pytest.mark.parametrize("word", ["", "complete", "done", "finished", "CANCELED", None, 200, True, ["completed"], {}])
def test_an_undocumented_word_means_wait(word: object) -> None:
    """It is never a success and never the end."""
    assert read_status(word) is ExportStatus.UNKNOWN
    assert read_status(word).verdict is Verdict.WAIT


def test_every_status_has_a_verdict() -> None:
    """A status that is added here needs a decision."""
    assert {status.verdict for status in ExportStatus} == set(Verdict)


@ANYTHING
@given(json_values)
def test_any_value_is_a_status(value: object) -> None:
    """Nothing that a server puts there raises."""
    assert read_status(value) in ExportStatus
