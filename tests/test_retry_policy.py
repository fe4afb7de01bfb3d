"""The retry policy."""

from __future__ import annotations

from datetime import timedelta

import pytest

retry_policy = pytest.importorskip(
    "airflow_provider_sei.retry_policy", reason="retry policies need Airflow 3.3", exc_type=ImportError
)

from airflow_provider_sei import exceptions  # noqa: E402 - after the check of the version

POLICY = retry_policy.SEIRetryPolicy()


def caused_by(error: Exception) -> Exception:
    """Return an error with a cause, as a sensor's timeout has it."""
    outer = RuntimeError("outer")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (exceptions.SEIExportFailedError("failed"), "fail", None),
        (caused_by(exceptions.SEIAuthError("wrong key")), "fail", None),
        (exceptions.SEIRateLimitError("slow down", retry_after="90"), "retry", timedelta(seconds=90)),
        (exceptions.SEIReusedExportFailedError("old", retry_after="1700"), "retry", timedelta(seconds=1700)),
        (exceptions.SEIServerError("down", retry_after="999999"), "retry", timedelta(hours=6)),
        (exceptions.SEIConnectionError("cut off"), "default", None),
        (RuntimeError("another error"), "default", None),
    ],
)
def test_it_fails_permanent_errors_and_delays_as_the_server_asks(
    error: Exception, action: str, delay: timedelta | None
) -> None:
    """For six hours at most. All other errors follow the task's own settings."""
    decision = POLICY.evaluate(error, 1, 3)
    assert (decision.action.value, decision.retry_delay) == (action, delay)


def test_it_can_be_serialized() -> None:
    """Airflow keeps it with the DAG."""
    assert isinstance(retry_policy.SEIRetryPolicy.deserialize(POLICY.serialize()), retry_policy.SEIRetryPolicy)
