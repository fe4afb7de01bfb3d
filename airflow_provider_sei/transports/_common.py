"""What both transports share: limits, retries, redirects, certificates and the text of connection errors."""

from __future__ import annotations

import logging
import os
import random
import re
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import certifi

from airflow_provider_sei import __version__
from airflow_provider_sei.exceptions import SEIArgumentError, SEIConnectionError, SEIError, SEIUnexpectedResponseError
from airflow_provider_sei.protocol.http import Call, HttpRequest, HttpResponse, excerpt
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings

if TYPE_CHECKING:
    from tenacity import RetryCallState

USER_AGENT = f"airflow-provider-sei/{__version__}"
MAX_BODY_BYTES = 32 * 1024 * 1024  # a list page of 100 exports is about 100 kB
MAX_BODY_SECONDS = 300.0  # for a whole JSON body, however slowly it arrives
MAX_REQUESTS = 5  # for one call, redirects included
REDIRECTS = (301, 302, 303, 307, 308)

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_URL_USER = re.compile(r"//[^/\s]*@")  # aiohttp's errors quote the proxy's URL with its password
_MIN_KEY_LENGTH = 8  # replacing a shorter text could change what a response means

log = logging.getLogger("airflow_provider_sei")


def retry_arguments(backoff: Backoff, seconds_left: Callable[[], float | None] | None = None) -> dict[str, Any]:
    """Return the keyword arguments for tenacity's ``Retrying`` and ``AsyncRetrying``.

    :param seconds_left: called before each wait; a wait that would end later is not started. ``None``: no limit.
    """
    delay: float | None = None

    def should_retry(state: RetryCallState) -> bool:
        nonlocal delay
        error = state.outcome.exception() if state.outcome else None
        delay = None
        if isinstance(error, SEIError):
            delay = backoff.delay(
                error,
                state.attempt_number,
                jitter=random.random(),  # noqa: S311 - jitter, not a secret
                now=time.time(),
                left=seconds_left() if seconds_left else None,
            )
        return delay is not None

    def log_retry(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s; trying again in %.1f s (try %d)", error, delay or 0.0, state.attempt_number + 1)

    return {"retry": should_retry, "wait": lambda _: delay or 0.0, "before_sleep": log_retry, "reraise": True}


def read_timeout(settings: SEISettings, request: HttpRequest) -> float:
    """Return the longest silence in seconds before a response counts as lost."""
    return request.timeout or settings.read_timeout


def make_response(settings: SEISettings, status: int, headers: Mapping[str, str], body: bytes = b"") -> HttpResponse:
    """Return a response without the API key, so that no error can quote it, and with lower-case header names."""
    key = settings.api_key
    if len(key) >= _MIN_KEY_LENGTH:
        headers = {name: value.replace(key, "***") for name, value in headers.items()}
        body = body.replace(key.encode(), b"***")
    return HttpResponse(status, {name.lower(): value for name, value in headers.items()}, body)


def check_size(call: Call[Any], received: int) -> None:
    """Raise ``SEIUnexpectedResponseError`` for a body that is too large for this API."""
    if received > MAX_BODY_BYTES:
        reason = f"the response exceeds {MAX_BODY_BYTES} bytes; check the connection's base URL"
        msg = f"could not {call.description}: {reason}"
        raise SEIUnexpectedResponseError(msg, export_id=call.export_id)


def redirect_target(settings: SEISettings, call: Call[Any], url: str, location: str | None, sent: int = 1) -> str:
    """Return the URL to follow a redirect to.

    :param url: the URL that answered with the redirect.
    :param location: its ``Location`` header.
    :param sent: how many requests the call has made.
    :raises SEIUnexpectedResponseError: there are too many redirects, or this one leads to another origin or repeats a POST.
    """
    base_url = settings.base_url
    try:
        target = urljoin(url, location) if location else ""
        parts = urlsplit(target)
        host = parts.hostname or parts.scheme
    except ValueError:
        target = host = ""
    advice = "check the connection's base URL, its path included"
    if sent >= MAX_REQUESTS:
        reason = f"the server redirects in circles; {advice}"
    elif not target:
        reason = f"the server redirects without a valid URL; {advice}"
    elif not base_url.is_same_origin(target):
        quoted = excerpt(host.replace(settings.api_key, "***"), 100)
        reason = (
            f"the server redirects to {quoted!r}, outside {base_url.origin}; not followed, because the API key"
            f" must not leave its own origin; {advice}"
        )
    elif call.request.method != "GET":
        reason = f"the server redirects a {call.request.method}; {advice}"
    else:
        # Rebuilt without a user name: an HTTP library would replace the authorization header by it.
        return f"{base_url.origin}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    msg = f"could not {call.description}: {reason}"
    raise SEIUnexpectedResponseError(msg, export_id=call.export_id)


def connection_error(settings: SEISettings, call: Call[Any], error: BaseException) -> SEIConnectionError:
    """Return our error for a connection that failed or broke off."""
    cause = _root_cause(error)
    strerror = getattr(cause, "strerror", None)
    text = strerror if isinstance(strerror, str) else str(cause)
    text = excerpt(_URL_USER.sub("//***@", text.replace(settings.api_key, "***")))
    text = f"{type(cause).__name__}: {text}" if text else type(cause).__name__
    advice = "check the connection's host and the network between"
    if isinstance(cause, ssl.SSLCertVerificationError):
        advice = "if the certificate is the right one, set the connection's ca_bundle to a bundle that verifies it"
    msg = f"could not {call.description}: no answer from {settings.base_url.origin} ({text}); {advice}"
    return SEIConnectionError(msg, export_id=call.export_id)


def _root_cause(error: BaseException) -> BaseException:
    # It has the shortest text: "Connection refused" instead of three layers of pool errors.
    seen = [error]
    while True:
        last = seen[-1]
        cause = last.__cause__ or getattr(last, "reason", None) or last.__context__ or next(iter(last.args), None)
        if not isinstance(cause, BaseException) or cause in seen:
            return last
        seen.append(cause)


def ca_bundle(settings: SEISettings) -> str:
    """Return the path of the certificates that verify the server, a file or a folder.

    The connection's ``ca_bundle`` goes before the environment's, which goes before certifi's.

    :raises SEIArgumentError: the connection's ``ca_bundle`` does not exist or holds no certificates.
    """
    if settings.ca_bundle is None:
        paths = (os.environ.get(name) for name in _CA_VARIABLES)
        return next((path for path in paths if path and Path(path).exists()), certifi.where())
    try:
        ssl_context(settings.ca_bundle)
    except OSError as error:
        msg = (
            f"ca_bundle {settings.ca_bundle!r} in the connection's extra is not a file or folder of PEM certificates"
            f" on this machine ({error.strerror or error})"
        )
        raise SEIArgumentError(msg, field="ca_bundle") from None
    return settings.ca_bundle


def ssl_context(bundle: str) -> ssl.SSLContext:
    """Return a context that verifies servers by the certificates in ``bundle``, a file or a folder."""
    is_folder = Path(bundle).is_dir()
    return ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
