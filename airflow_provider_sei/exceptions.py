"""The errors that this provider raises.

::

    SEIError                                an Airflow exception: the task's retries apply
    |-- SEIArgumentError                    an argument or a connection field is invalid (also a ValueError)   permanent
    |-- SEIConnectionError                  no response: unreachable, timed out, connection cut
    |-- SEIResponseError                    the response cannot be used
    |   |-- SEIAuthError                    401, 403                                                           permanent
    |   |-- SEINotFoundError                404, 410                                                           permanent
    |   |-- SEIBadRequestError              any other 4xx                                                      permanent
    |   |-- SEIRateLimitError               429
    |   |-- SEIServerError                  5xx
    |   `-- SEIUnexpectedResponseError      2xx or 3xx, but not what is documented (HTML, no JSON, a redirect) permanent
    |-- SEIExportError                      the export itself
    |   |-- SEIExportFailedError            failed at the server                                               permanent
    |   |-- SEIReusedExportFailedError      the server reused an older export that had failed; it does so for 30 minutes
    |   |-- SEIExportCancelledError         cancelled at the server                                            permanent
    |   |-- SEIExportNotFoundError          deleted at the server after it was created                         permanent
    |   |-- SEITeamExportsError             some of many teams' exports failed                                 permanent
    |   `-- SEIExportTimeoutError           not completed in time
    `-- SEIDownloadError                    the file could not be delivered
        |-- SEIFileError                    the server has no usable file for the export or report
        `-- SEISchemaError                  it is complete, but not the expected table                         permanent

Permanent errors are also ``AirflowFailException``, so they fail the task without further retries. Messages say what was
attempted, on which export, what came back and what to do next. They contain neither the API key nor whole responses.
"""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class SEIError(AirflowException):
    """Base of all errors of this provider.

    :param status_code: HTTP status of the response, or ``None`` if there was none.
    :param vendor_code: the server's error code (``error``, ``code`` or ``errorId``), or ``None``.
    :param vendor_message: the server's error message, or ``None``.
    :param export_id: the export concerned, or ``None``.
    :param retry_after: the response's ``Retry-After`` header, unparsed, or ``None``.
    """

    retryable: ClassVar[bool] = True
    """Whether a retry can help."""
    status_code: Any  # int or None; Airflow declares the attribute with another type

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        vendor_code: str | None = None,
        vendor_message: str | None = None,
        export_id: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code, self.vendor_code, self.vendor_message = status_code, vendor_code, vendor_message
        self.export_id, self.retry_after = export_id, retry_after

    def __init_subclass__(cls) -> None:
        """Derive ``retryable`` from the class's bases."""
        super().__init_subclass__()
        cls.retryable = not issubclass(cls, AirflowFailException)


class SEIArgumentError(SEIError, ValueError, AirflowFailException):
    """An argument or a connection field is invalid; ``field`` is its name."""

    def __init__(self, message: str, *, field: str | None = None, export_id: str | None = None) -> None:
        super().__init__(message, export_id=export_id)
        self.field = field


class SEIConnectionError(SEIError):
    """There was no complete response: the server is unreachable, timed out, or the connection was cut."""


class SEIResponseError(SEIError):
    """The server responded, but not with something usable."""


class SEIAuthError(SEIResponseError, AirflowFailException):
    """401 or 403: the key, its role, or the header that carries it."""


class SEINotFoundError(SEIResponseError, AirflowFailException):
    """404 or 410: the path, the export or the file does not exist (or, for a file, not yet)."""


class SEIBadRequestError(SEIResponseError, AirflowFailException):
    """Any other 4xx: the server refuses this request, so repeating it cannot help."""


class SEIRateLimitError(SEIResponseError):
    """429: too many calls."""


class SEIServerError(SEIResponseError):
    """5xx, 408, 421 or 425: an error of the server or on the way, which may pass."""


class SEIUnexpectedResponseError(SEIResponseError, AirflowFailException):
    """A success by its status, but not as documented: HTML, no JSON, no export id, a redirect to another origin."""


class SEIExportError(SEIError):
    """Something is wrong with the export itself."""


class SEIExportFailedError(SEIExportError, AirflowFailException):
    """The export failed at the server; ``vendor_message`` is its reason."""


class SEIReusedExportFailedError(SEIExportError):
    """The server reused an older export that had failed. Identical requests get a new one after 30 minutes."""


class SEIExportCancelledError(SEIExportError, AirflowFailException):
    """The export was cancelled at the server."""


class SEIExportNotFoundError(SEIExportError, AirflowFailException):
    """The server responds 404 for an export that existed before."""


class SEITeamExportsError(SEIExportError, AirflowFailException):
    """Some teams' exports failed; each of these tasks has its own reason in its log."""


class SEIExportTimeoutError(SEIExportError):
    """The export was not completed in time. It keeps running at the server: the API has no call to cancel it."""


class SEIDownloadError(SEIError):
    """The file could not be received in whole or stored. Nothing was published."""


class SEIFileError(SEIDownloadError):
    """The server has no usable file: it is missing, damaged or not the announced one. A retry exports anew."""


class SEISchemaError(SEIDownloadError, AirflowFailException):
    """The file has other columns than ``expect_columns``, or what no table has: a cell of another type, uneven rows."""
