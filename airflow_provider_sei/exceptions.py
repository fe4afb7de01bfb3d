"""Errors as Airflow sees them: what cannot get better fails the task at once, the rest is left to its retries.

Each class here is one of ``protocol.errors`` (its module draws the tree) and an Airflow exception at the same time, so
that callbacks, ``retry_policy`` rules and ``except`` clauses can name the exact trouble::

    from airflow_provider_sei.exceptions import SEIExportFailedError

Every one has the attributes ``status_code``, ``vendor_code``, ``vendor_message``, ``export_id``, ``retry_after`` and
``retryable``. ``SEIError`` catches them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_sei.protocol import errors
from airflow_provider_sei.protocol.errors import SEIError, SEIExportError, SEIResponseError

__all__ = [
    "SEIAuthError",
    "SEIDownloadError",
    "SEIError",
    "SEIExportCancelledError",
    "SEIExportError",
    "SEIExportFailedError",
    "SEIExportTimeoutError",
    "SEIExportVanishedError",
    "SEINoAnswerError",
    "SEINotFoundError",
    "SEIRejectedError",
    "SEIResponseError",
    "SEIReusedExportFailedError",
    "SEIServerError",
    "SEITeamExportsError",
    "SEIThrottledError",
    "SEIUnreadableError",
    "SEIUsageError",
    "airflow_errors",
    "as_airflow_error",
]


class SEIUsageError(errors.SEIUsageError, AirflowFailException):
    """Permanent: an argument or a connection field cannot work."""


class SEINoAnswerError(errors.SEINoAnswerError, AirflowException):
    """Retryable: the server could not be reached, or the connection was cut."""


class SEIAuthError(errors.SEIAuthError, AirflowFailException):
    """Permanent: 401 or 403."""


class SEINotFoundError(errors.SEINotFoundError, AirflowFailException):
    """Permanent: 404."""


class SEIRejectedError(errors.SEIRejectedError, AirflowFailException):
    """Permanent: any other 4xx."""


class SEIThrottledError(errors.SEIThrottledError, AirflowException):
    """Retryable: 429."""


class SEIServerError(errors.SEIServerError, AirflowException):
    """Retryable: 5xx."""


class SEIUnreadableError(errors.SEIUnreadableError, AirflowFailException):
    """Permanent: an answer that is not as documented, most often from a wrong base URL."""


class SEIExportFailedError(errors.SEIExportFailedError, AirflowFailException):
    """Permanent: the export failed at the server."""


class SEIReusedExportFailedError(errors.SEIReusedExportFailedError, AirflowException):
    """Retryable: the server handed out an older, failed export; after 30 minutes it makes a new one."""


class SEIExportCancelledError(errors.SEIExportCancelledError, AirflowFailException):
    """Permanent: the export was cancelled at the server."""


class SEIExportVanishedError(errors.SEIExportVanishedError, AirflowFailException):
    """Permanent: the server no longer knows the export."""


class SEITeamExportsError(errors.SEITeamExportsError, AirflowFailException):
    """Permanent: some teams' exports were not delivered; a summary that is tried again finds the same."""


class SEIExportTimeoutError(errors.SEIExportTimeoutError, AirflowException):
    """Retryable: the export was not finished in time."""


class SEIDownloadError(errors.SEIDownloadError, AirflowException):
    """Retryable: the file did not arrive as promised."""


class _SEIOtherError(SEIError, AirflowException):
    """Retryable, because nothing is known about it: an event that could not be read."""


_FACES: dict[type[SEIError], type[SEIError]] = {
    errors.SEIUsageError: SEIUsageError,
    errors.SEINoAnswerError: SEINoAnswerError,
    errors.SEIAuthError: SEIAuthError,
    errors.SEINotFoundError: SEINotFoundError,
    errors.SEIRejectedError: SEIRejectedError,
    errors.SEIThrottledError: SEIThrottledError,
    errors.SEIServerError: SEIServerError,
    errors.SEIUnreadableError: SEIUnreadableError,
    errors.SEIExportFailedError: SEIExportFailedError,
    errors.SEIReusedExportFailedError: SEIReusedExportFailedError,
    errors.SEIExportCancelledError: SEIExportCancelledError,
    errors.SEIExportVanishedError: SEIExportVanishedError,
    errors.SEITeamExportsError: SEITeamExportsError,
    errors.SEIExportTimeoutError: SEIExportTimeoutError,
    errors.SEIDownloadError: SEIDownloadError,
}


def as_airflow_error(error: SEIError) -> SEIError:
    """Return ``error`` as the Airflow exception it stands for; one that is an Airflow exception already is kept."""
    if isinstance(error, AirflowException):
        return error
    face = next((_FACES[base] for base in type(error).__mro__ if base in _FACES), _SEIOtherError)
    translated = face.__new__(face, str(error))
    translated.__dict__.update(error.__dict__)
    return translated


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Let errors of the core leave this block as Airflow exceptions, with their own traceback and cause."""
    try:
        yield
    except SEIError as error:
        # One traceback in the task's log, not the same words twice with "direct cause" between.
        raise as_airflow_error(error).with_traceback(error.__traceback__) from error.__cause__
