"""The retry policy."""

from __future__ import annotations

from datetime import timedelta

import pytest

retry_policy = pytest.importorskip(
    "airflow_provider_sei.retry_policy", reason="retry policies need Airflow 3.3", exc_type=ImportError
)

from airflow_provider_sei import exceptions  # noqa: E402 - after the check of the version

POLICY = retry_policy.SEIRetryPolicy()
WAIT = "reschedule" if hasattr(retry_policy.RetryDecision, "reschedule") else "retry"  # Airflow 3.4 and newer
WAIT_OR_DEFAULT = "reschedule" if WAIT == "reschedule" else "default"


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
        (exceptions.SEIRateLimitError("slow down", retry_after="90"), WAIT, timedelta(seconds=90)),
        (exceptions.SEIRateLimitError("slow down"), WAIT_OR_DEFAULT, None),
        (exceptions.SEIReusedExportFailedError("old", retry_after="1700"), WAIT, timedelta(seconds=1700)),
        (caused_by(exceptions.SEIServerError("down", status_code=503, retry_after="9")), WAIT, timedelta(seconds=9)),
        (exceptions.SEIServerError("down", status_code=503), WAIT_OR_DEFAULT, None),
        (exceptions.SEIServerError("broken", status_code=500), "default", None),
        (exceptions.SEIServerError("broken", retry_after="999999"), "retry", timedelta(hours=6)),
        (exceptions.SEIConnectionError("cut off"), "default", None),
        (RuntimeError("another error"), "default", None),
    ],
)
def test_it_fails_permanent_errors_and_delays_as_asked(error: Exception, action: str, delay: timedelta | None) -> None:
    """For six hours at most. All other errors follow the task's own settings."""
    decision = POLICY.evaluate(error, 1, 3)
    assert (decision.action.value, decision.retry_delay) == (action, delay)


def test_a_reschedule_is_bounded_and_optional() -> None:
    """Airflow needs a bound; without one, what only takes time uses up retries, as on Airflow 3.3. It is serialized."""
    error = exceptions.SEIRateLimitError("slow down", retry_after="90")
    assert getattr(POLICY.evaluate(error, 1, 3), "reschedule_timeout", None) in (None, timedelta(hours=6))
    assert retry_policy.SEIRetryPolicy(reschedule_timeout=None).evaluate(error, 1, 3).action.value == "retry"
    with pytest.raises(exceptions.SEIArgumentError, match="reschedule_timeout"):
        retry_policy.SEIRetryPolicy(reschedule_timeout=timedelta(0))
    for timeout in (timedelta(minutes=5), None):
        serialized = retry_policy.SEIRetryPolicy(reschedule_timeout=timeout).serialize()
        assert retry_policy.SEIRetryPolicy.deserialize(serialized).reschedule_timeout == timeout
