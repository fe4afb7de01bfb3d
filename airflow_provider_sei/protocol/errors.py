"""What can go wrong, sorted by whose fault it is.

::

    SEIError
    |-- SEIUsageError                    our fault: we were asked for something that cannot work (a ValueError too)
    |-- SEINoAnswerError                 no answer: unreachable, timed out, cut off           [a retry can help]
    |-- SEIResponseError                 their answer is not one we can use
    |   |-- SEIAuthError                 401, 403: key, role or header
    |   |-- SEINotFoundError             404
    |   |-- SEIRejectedError             any other 4xx: the request itself is refused
    |   |-- SEIThrottledError            429: too many calls                                  [a retry can help]
    |   |-- SEIServerError               5xx                                                  [a retry can help]
    |   `-- SEIUnreadableError           2xx or 3xx, but not what is documented (HTML, no JSON, a foreign redirect)
    |-- SEIExportError                   the export itself
    |   |-- SEIExportFailedError         the server gave up on it
    |   |   `-- SEIReusedExportFailedError   an older, identical one that is handed out for 30 min   [a retry can help]
    |   |-- SEIExportCancelledError      somebody cancelled it
    |   |-- SEIExportVanishedError       the server no longer knows an export it has known
    |   |-- SEITeamExportsError          some of many teams' exports were not delivered
    |   `-- SEIExportTimeoutError        not finished in the time we were given               [a retry can help]
    `-- SEIDownloadError                 the file is not the one that was promised            [a retry can help]

Every error says what was attempted, on which export, what came back and what to do next. None carries the API key or a
whole body: an answer is quoted by its first few words.
"""

from __future__ import annotations

from typing import Any, ClassVar

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
]


class SEIError(Exception):
    """Base of every error of this package.

    Attributes:
        status_code: HTTP status of the answer, or ``None`` when there was none.
        vendor_code: the vendor's own error code (``error``, ``code`` or ``errorId`` of its answer), or ``None``.
        vendor_message: the vendor's own words, or ``None``.
        export_id: the export concerned, or ``None``.
        retry_after: what the answer's ``Retry-After`` header says, verbatim, or ``None``.
        retryable: whether doing the same again later can help.
    """

    retryable: ClassVar[bool] = False
    status_code: Any  # int or None; Airflow's exceptions have an attribute of this name too, of another type

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
        self.status_code = status_code
        self.vendor_code = vendor_code
        self.vendor_message = vendor_message
        self.export_id = export_id
        self.retry_after = retry_after


class SEIUsageError(SEIError, ValueError):
    """We were asked for something that cannot work. ``field`` names the argument or connection field."""

    def __init__(self, message: str, *, field: str | None = None, export_id: str | None = None) -> None:
        super().__init__(message, export_id=export_id)
        self.field = field


class SEINoAnswerError(SEIError):
    """There was no (whole) answer: host unreachable, timed out, connection cut."""

    retryable = True


class SEIResponseError(SEIError):
    """The server answered, but not with something we can use."""


class SEIAuthError(SEIResponseError):
    """401 or 403: the key, its role or the header it travels in."""


class SEINotFoundError(SEIResponseError):
    """404: the path, the export or the file is not there (or, for a file, not there yet)."""


class SEIRejectedError(SEIResponseError):
    """Any other 4xx: the server refuses this very request, so repeating it cannot help."""


class SEIThrottledError(SEIResponseError):
    """429: more calls than the key may make."""

    retryable = True


class SEIServerError(SEIResponseError):
    """5xx: the server's own trouble."""

    retryable = True


class SEIUnreadableError(SEIResponseError):
    """A success by its status, but not an answer as documented: HTML, no JSON, no export id, a foreign redirect."""


class SEIExportError(SEIError):
    """The export itself is in trouble."""


class SEIExportFailedError(SEIExportError):
    """The server gave up on the export; ``vendor_message`` has its reason."""


class SEIReusedExportFailedError(SEIExportFailedError):
    """The server has answered the request with an older export that had failed; after 30 minutes it makes a new one."""

    retryable = True


class SEIExportCancelledError(SEIExportError):
    """Somebody cancelled the export."""


class SEIExportVanishedError(SEIExportError):
    """The server answers 404 for an export that it has known before."""


class SEITeamExportsError(SEIExportError):
    """Some of many teams' exports were not delivered. Each of these has failed on its own, and says why in its log."""


class SEIExportTimeoutError(SEIExportError):
    """The export did not finish in the time we were given. It goes on at the server: the API has no cancel."""

    retryable = True


class SEIDownloadError(SEIError):
    """What arrived is not the file that was promised. Nothing was published."""

    retryable = True
