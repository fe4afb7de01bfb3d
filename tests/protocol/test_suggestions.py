"""Guesses at what a misspelt word was meant to be."""

from __future__ import annotations

import pytest

from airflow_provider_sei.protocol.families import did_you_mean


@pytest.mark.parametrize(
    ("word", "guess"),
    [
        ("montly", ": did you mean 'Monthly'?"),
        (" MONTHLI ", ": did you mean 'Monthly'?"),
        ("xyz", ""),
        ("", ""),
        (None, ""),
        (5, ""),
    ],
)
def test_only_a_close_word_is_suggested(word: object, guess: str) -> None:
    """A far guess would mislead; the known word is shown in its own case."""
    assert did_you_mean(word, ["Weekly", "Monthly"]) == guess
