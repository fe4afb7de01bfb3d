"""What operators and the sensor share about waiting; they prove the rest of it."""

from __future__ import annotations

import pytest
from airflow_provider_sei.operators._waiting import completed

from airflow_provider_sei import exceptions
from airflow_provider_sei.protocol.waiting import WaitOutcome


def test_a_wait_that_ends_with_nothing_is_an_error() -> None:
    """No task goes on because nobody said no."""
    with pytest.raises(exceptions.SEIError, match="ended without an export"):
        completed(WaitOutcome())
