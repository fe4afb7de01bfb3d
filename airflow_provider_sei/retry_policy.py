"""A ``retry_policy`` for Airflow 3.3 and newer: no retries of permanent errors, and waits as long as the server asks.

::

    from airflow_provider_sei.retry_policy import SEIRetryPolicy

    SEIExportOperator(..., retries=5, retry_policy=SEIRetryPolicy())

On older versions the import fails with ``ImportError``. Permanent errors fail the task immediately there, too: they are
subclasses of ``AirflowFailException``.
"""

from __future__ import annotations

import time
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy

from airflow_provider_sei.exceptions import SEIArgumentError, SEIError, SEIRateLimitError, SEIReusedExportFailedError
from airflow_provider_sei.protocol.retry import retry_after_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_MAX_DELAY = 6 * 60 * 60.0  # seconds
_PASSING = (SEIRateLimitError, SEIReusedExportFailedError)


class SEIRetryPolicy(RetryPolicy):
    """Decides about this provider's errors; all others follow the task's own settings.

    On Airflow 3.4 and newer, what only takes time uses up no retry, and needs no ``retries``: after a 429, a 503, or a
    failed export that SEI still returns for the same request (``reused_failed="retry"``), the task is rescheduled by
    the time that the server asks for, or else by the task's ``retry_delay``.

    :param reschedule_timeout: time after a try's first reschedule from which on such errors use up retries, too;
        default 6 hours. ``None``: they always do, as on Airflow 3.3.
    :raises SEIArgumentError: it is not positive.
    """

    def __init__(self, *, reschedule_timeout: timedelta | None = timedelta(hours=6)) -> None:
        if reschedule_timeout is not None and reschedule_timeout <= timedelta(0):
            msg = f"reschedule_timeout must be positive or None, not {reschedule_timeout}"
            raise SEIArgumentError(msg, field="reschedule_timeout")
        self.reschedule_timeout = reschedule_timeout

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002 - likewise
        context: Context | None = None,  # noqa: ARG002 - likewise
    ) -> RetryDecision:
        """Fail on permanent errors, and delay a retry as long as the server asks; causes are considered, too."""
        error: BaseException | None = exception
        while error is not None and not isinstance(error, SEIError):
            error = error.__cause__
        if error is None:
            return RetryDecision.default()
        if not error.retryable:
            return RetryDecision.fail(reason=f"{type(error).__name__}: a retry cannot help")
        seconds = retry_after_seconds(error.retry_after, time.time(), cap=_MAX_DELAY)
        delay = None if seconds is None else timedelta(seconds=seconds)
        reason = "the server asks to wait" + ("" if seconds is None else f" {seconds:.0f} s")
        takes_time = error.status_code == HTTPStatus.SERVICE_UNAVAILABLE or isinstance(error, _PASSING)
        reschedule: Any = getattr(RetryDecision, "reschedule", None)  # from Airflow 3.4 on
        if takes_time and reschedule and self.reschedule_timeout:
            decision: RetryDecision = reschedule(delay, reschedule_timeout=self.reschedule_timeout, reason=reason)
            return decision
        return RetryDecision.retry(delay=delay, reason=reason) if delay is not None else RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the setting, in seconds."""
        return {"reschedule_timeout": self.reschedule_timeout and self.reschedule_timeout.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> SEIRetryPolicy:
        """Return the policy with that setting."""
        seconds = data["reschedule_timeout"]
        return cls(reschedule_timeout=seconds and timedelta(seconds=seconds))
