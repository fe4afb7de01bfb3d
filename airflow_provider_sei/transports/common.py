"""What both transports share: how they introduce themselves, their bounds, and tenacity driven by our own rule."""

from __future__ import annotations

import ipaddress
import logging
import os
import random
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import certifi

from airflow_provider_sei import __version__
from airflow_provider_sei.protocol.answers import printable
from airflow_provider_sei.protocol.errors import SEIError, SEINoAnswerError, SEIUnreadableError, SEIUsageError
from airflow_provider_sei.protocol.messages import HttpRequest
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings

if TYPE_CHECKING:
    from tenacity import RetryCallState

USER_AGENT = f"airflow-provider-sei/{__version__}"
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # a list page of 100 exports is some 100 kB
MAX_ANSWER_SECONDS = 300.0  # for a whole JSON answer, however slowly its bytes drip
MAX_STEP_SECONDS = 60.0  # for the head of an answer once it has begun, and between two pieces of its body
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # what other programs of the machine go by

_USER_OF_URL = re.compile(r"//[^/\s]*@")  # aiohttp quotes the address of a proxy with its password

log = logging.getLogger("airflow_provider_sei")


class RetryRule:
    """Our retry decision in the two forms that tenacity asks for: whether, and how long to wait before."""

    def __init__(self, backoff: Backoff, what: str, seconds_left: Callable[[], float | None] | None = None) -> None:
        self._backoff = backoff
        self._what = what
        self._seconds_left = seconds_left or (lambda: None)
        self._delay: float | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for ``Retrying`` and ``AsyncRetrying``."""
        return {"retry": self._should_retry, "wait": self._wait, "before_sleep": self._log, "reraise": True}

    def _should_retry(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        self._delay = None
        if isinstance(error, SEIError):
            self._delay = self._backoff.delay(
                error,
                state.attempt_number,
                chance=random.random(),  # noqa: S311 - jitter, not a secret
                now=time.time(),
                left=self._seconds_left(),
            )
        return self._delay is not None

    def _wait(self, state: RetryCallState) -> float:  # noqa: ARG002 - tenacity's signature
        return self._delay or 0.0

    def _log(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s; trying again in %.1f s (try %d)", error, self._delay or 0.0, state.attempt_number + 1)


def no_answer(
    what: str, settings: SEISettings, error: BaseException, *, export_id: str | None = None
) -> SEINoAnswerError:
    """Return our error for a connection that could not be made or was cut off."""
    innermost = _innermost(error)
    strerror = getattr(innermost, "strerror", None)
    said = (strerror if isinstance(strerror, str) else str(innermost)).replace(settings.api_key, "***")
    said = " ".join(printable(_USER_OF_URL.sub("//***@", said)).split())[:200]
    words = f"{type(innermost).__name__}: {said}" if said else type(innermost).__name__
    advice = "check the connection's host and the network between"
    if isinstance(innermost, ssl.SSLCertVerificationError):
        advice = "if the certificate is the right one, set the connection's ca_bundle to the bundle that vouches for it"
    msg = f"could not {what}: no answer from {settings.endpoint.origin} ({words}); {advice}"
    return SEINoAnswerError(msg, export_id=export_id)


def _innermost(error: BaseException) -> BaseException:
    # The innermost cause says it in the fewest words: "Connection refused" instead of three layers of pool errors.
    seen: list[BaseException] = [error]
    while True:
        inner = seen[-1].__cause__ or getattr(seen[-1], "reason", None) or seen[-1].__context__
        if inner is None and seen[-1].args and isinstance(seen[-1].args[0], BaseException):
            inner = seen[-1].args[0]
        if not isinstance(inner, BaseException) or inner in seen:
            break
        seen.append(inner)
    return seen[-1]


def redirect_target(settings: SEISettings, request: HttpRequest, url: str, location: str | None, what: str) -> str:
    """Return where a redirect leads, if it may be followed; a user name in the address is left out.

    Raises:
        SEIUnreadableError: it leads to another origin, nowhere, or would repeat a POST.
    """
    try:
        target = urljoin(url, location) if location else ""
        parts = urlsplit(target)
        host = parts.hostname or parts.scheme
    except ValueError:
        target = host = ""
    if not target:
        msg = f"could not {what}: the server redirects to nowhere; check the connection's base URL"
        raise SEIUnreadableError(msg)
    if not settings.endpoint.is_same_origin(target):
        msg = (
            f"could not {what}: the server redirects to {host.replace(settings.api_key, '***')[:100]!r}, outside"
            f" {settings.endpoint.origin}; not followed, because the API key must not leave its own origin."
            " Check the connection's base URL"
        )
        raise SEIUnreadableError(msg)
    if request.method != "GET":
        msg = (
            f"could not {what}: the server redirects a {request.method}; check the connection's base URL, with its path"
        )
        raise SEIUnreadableError(msg)
    # An HTTP library would make an authorization header of its own from a user name.
    return f"{settings.endpoint.origin}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def check_answer_size(received: int, what: str) -> None:
    """Refuse an answer that is too large to be one of this API's.

    Raises:
        SEIUnreadableError: it is.
    """
    if received > MAX_ANSWER_BYTES:
        msg = f"could not {what}: the answer is larger than {MAX_ANSWER_BYTES} bytes; check the connection's base URL"
        raise SEIUnreadableError(msg)


def is_loopback(settings: SEISettings) -> bool:
    """Return whether the server is on this machine, where no proxy can reach it."""
    host = urlsplit(settings.endpoint.base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def ca_bundle(settings: SEISettings) -> str:
    """Return the file or folder of certificates that the server is verified with, the same for both transports.

    The connection's ``ca_bundle`` goes first, then what the environment names, then the certificates of ``certifi``.

    Raises:
        SEIUsageError: the connection names a file that is not there or holds no certificates.
    """
    if settings.ca_bundle is None:
        named = (os.environ.get(name) for name in _BUNDLES)
        return next((path for path in named if path and Path(path).exists()), certifi.where())
    try:
        ssl_context(settings.ca_bundle)
    except OSError as error:
        msg = (
            f"ca_bundle {settings.ca_bundle!r} in the connection's extra is not a file or folder of PEM certificates"
            f" on this machine ({error.strerror or error})"
        )
        raise SEIUsageError(msg, field="ca_bundle") from None
    return settings.ca_bundle


def ssl_context(bundle: str) -> ssl.SSLContext:
    """Return what verifies a server by the certificates in ``bundle``, a file or a folder."""
    is_folder = Path(bundle).is_dir()
    return ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
