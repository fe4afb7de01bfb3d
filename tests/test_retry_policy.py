"""The ready retry policy."""

from __future__ import annotations

from datetime import timedelta

import pytest

retry_policy = pytest.importorskip(
    "airflow_provider_sei.retry_policy", reason="retry policies came with Airflow 3.3", exc_type=ImportError
)

from airflow.providers.common.compat.sdk import RetryAction  # noqa: E402 - only where the policy is

from airflow_provider_sei import exceptions  # noqa: E402 - likewise

POLICY = retry_policy.SEIRetryPolicy()


def test_what_cannot_get_better_fails_at_once() -> None:
    """Retries would meet the same failed export."""
    decision = POLICY.evaluate(exceptions.SEIExportFailedError("failed"), 1, 3)
    assert decision.action is RetryAction.FAIL


def test_what_the_server_asks_is_waited() -> None:
    """The retry comes when the server will answer."""
    decision = POLICY.evaluate(exceptions.SEIRateLimitError("slow down", retry_after="90"), 1, 3)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=90))


def test_no_server_makes_a_task_wait_for_days() -> None:
    """Six hours are the most."""
    decision = POLICY.evaluate(exceptions.SEIServerError("down", retry_after="999999"), 1, 3)
    assert decision.retry_delay == timedelta(hours=6)


@pytest.mark.parametrize("error", [exceptions.SEIConnectionError("cut off"), RuntimeError("not ours")])
def test_everything_else_is_left_to_the_task(error: Exception) -> None:
    """Its own retry_delay holds."""
    assert POLICY.evaluate(error, 1, 3).action is RetryAction.DEFAULT


def test_a_cause_is_looked_at_too() -> None:
    """A sensor's timeout is Airflow's own exception, raised from ours."""
    error = RuntimeError("wrapped")
    error.__cause__ = exceptions.SEIAuthError("wrong key")
    assert POLICY.evaluate(error, 1, 3).action is RetryAction.FAIL


def test_airflow_can_keep_it_with_the_dag() -> None:
    """It has nothing to keep."""
    assert isinstance(retry_policy.SEIRetryPolicy.deserialize(POLICY.serialize()), retry_policy.SEIRetryPolicy)
