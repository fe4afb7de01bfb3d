"""A ``retry_policy`` for Airflow 3.3 and newer: no retries of permanent errors, and the server's ``Retry-After``.

::

    from airflow_provider_sei.retry_policy import SEIRetryPolicy

    SEIExportOperator(..., retries=5, retry_policy=SEIRetryPolicy())

On older versions the import fails with ``ImportError``. Permanent errors fail the task immediately there, too: they are
subclasses of ``AirflowFailException``.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy

from airflow_provider_sei.exceptions import SEIError
from airflow_provider_sei.protocol.retry import retry_after_seconds

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_MAX_DELAY = 6 * 60 * 60.0  # seconds


class SEIRetryPolicy(RetryPolicy):
    """Decides about this provider's errors; all others follow the task's own settings."""

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
        if seconds is None:
            return RetryDecision.default()
        return RetryDecision.retry(delay=timedelta(seconds=seconds), reason=f"the server asks to wait {seconds:.0f} s")

    def serialize(self) -> dict[str, Any]:
        """Return nothing: the policy has no settings."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> SEIRetryPolicy:  # noqa: ARG003 - Airflow's signature
        """Return the policy."""
        return cls()
