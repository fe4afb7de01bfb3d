"""What both transports share: limits, retries, redirects, certificates and the text of connection errors."""

from __future__ import annotations

import ipaddress
import logging
import math
import os
import random
import re
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
from tenacity import retry_if_exception

from airflow_provider_sei import __version__
from airflow_provider_sei.exceptions import SEIArgumentError, SEIConnectionError, SEIError, SEIUnexpectedResponseError
from airflow_provider_sei.protocol.http import Call, HttpResponse, excerpt
from airflow_provider_sei.protocol.retry import MAX_RETRY_AFTER, Backoff
from airflow_provider_sei.protocol.settings import SEISettings, path_problem

USER_AGENT = f"airflow-provider-sei/{__version__}"
MAX_BODY_BYTES = 32 * 1024 * 1024  # a list page of 100 exports is about 100 kB
MAX_BODY_SECONDS = 300.0  # for a whole JSON body, however slowly it arrives
MAX_REQUESTS = 5  # for one call, redirects included
REDIRECTS = (301, 302, 303, 307, 308)

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_URL_USER = re.compile(r"//[^/\s]*@")  # aiohttp's errors quote the proxy's URL with its password
_MIN_KEY_LENGTH = 8  # replacing a shorter text could change what a response means

log = logging.getLogger("airflow_provider_sei")


def retry_arguments(
    backoff: Backoff, seconds_left: Callable[[], float] = lambda: math.inf, *, may_pass: tuple[type[SEIError], ...] = ()
) -> dict[str, Any]:
    """Return the keyword arguments for tenacity's ``Retrying``.

    Every call may be retried: a repeated create call returns the existing export. A wait that would not end within
    ``seconds_left`` is not started. Errors of the classes in ``may_pass`` are retried, too.
    """
    return {
        "retry": retry_if_exception(lambda error: isinstance(error, may_pass) or getattr(error, "retryable", False)),
        "wait": lambda state: backoff.pause(
            state.outcome.exception(),
            state.attempt_number,
            jitter=random.random(),  # noqa: S311 - jitter, not a secret
            now=time.time(),
        ),
        "stop": lambda state: (
            state.attempt_number >= backoff.attempts
            or state.upcoming_sleep >= seconds_left()
            or state.idle_for + state.upcoming_sleep > MAX_RETRY_AFTER
        ),
        "before_sleep": lambda state: log.warning(
            "%s; retrying in %.1f s (attempt %d of %d)",
            state.outcome.exception(),
            state.upcoming_sleep,
            state.attempt_number + 1,
            backoff.attempts,
        ),
        "reraise": True,
    }


def make_response(
    settings: SEISettings, call: Call[Any], status: int, headers: Mapping[str, str], body: bytes | bytearray = b""
) -> HttpResponse:
    """Return a response of limited size, without the API key, so that no error can quote it."""
    if len(body) > MAX_BODY_BYTES:
        reason = f"the response exceeds {MAX_BODY_BYTES} bytes"
        msg = f"{reason}: could not {call.description}; check the connection's base URL"
        raise SEIUnexpectedResponseError(msg, export_id=call.export_id)
    key = settings.api_key
    if len(key) >= _MIN_KEY_LENGTH:
        headers = {name: value.replace(key, "***") for name, value in headers.items()}
        body = body.replace(key.encode(), b"***")
    return HttpResponse(status, {name.lower(): value for name, value in headers.items()}, bytes(body))


def redirect_target(settings: SEISettings, call: Call[Any], url: str, location: str | None, sent: int = 1) -> str:
    """Return the URL to follow a redirect to: GET only, within the origin, after ``sent`` requests for the call."""
    base_url = settings.base_url
    try:
        target = urljoin(url, location) if location else ""
        parts = urlsplit(target)
        host = parts.hostname or parts.scheme
    except ValueError:
        target = host = ""
    if sent >= MAX_REQUESTS:
        reason = "in circles"
    elif not target:
        reason = "without a valid URL"
    elif not base_url.is_same_origin(target):
        host = excerpt(host.replace(settings.api_key, "***"), 100)
        reason = (
            f"to {host!r}, outside {base_url.origin}; not followed, because the API key must not leave its own origin"
        )
    elif call.request.method != "GET":
        reason = f"a {call.request.method}"
    elif problem := path_problem(parts.path, call.export_id):
        reason = f"to {problem.replace(settings.api_key, '***')}"
    else:
        # Rebuilt without a user name: an HTTP library would replace the authorization header by it.
        return f"{base_url.origin}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    advice = "check the connection's base URL, its path included"
    msg = f"the server redirects {reason}: could not {call.description}; {advice}"
    raise SEIUnexpectedResponseError(msg, export_id=call.export_id)


def connection_error(settings: SEISettings, call: Call[Any], error: BaseException) -> SEIConnectionError:
    """Return our error for a connection that failed or broke off."""
    seen: list[BaseException] = []
    cause: object = error
    # The innermost cause has the shortest text: "Connection refused" instead of three layers of pool errors.
    while isinstance(cause, BaseException) and cause not in seen:
        seen.append(cause)
        cause = cause.__cause__ or getattr(cause, "reason", None) or cause.__context__ or next(iter(cause.args), None)
    root = seen[-1]
    strerror = getattr(root, "strerror", None)
    text = strerror if isinstance(strerror, str) else str(root)
    text = excerpt(_URL_USER.sub("//***@", text.replace(settings.api_key, "***")))
    text = f"{type(root).__name__}: {text}" if text else type(root).__name__
    advice = "check the connection's host and the network between"
    if isinstance(root, ssl.SSLCertVerificationError):
        advice = "if the certificate is the right one, set the connection's ca_bundle to a bundle that verifies it"
    msg = f"no answer from {settings.base_url.origin} ({text}): could not {call.description}; {advice}"
    return SEIConnectionError(msg, export_id=call.export_id)


def ca_bundle(settings: SEISettings) -> tuple[str | None, str | None]:
    """Return the file or the folder of certificates to trust.

    The connection's ``ca_bundle`` goes before the environment's, which goes before certifi's.
    """
    given = {"the connection's ca_bundle": settings.ca_bundle}
    if settings.base_url.text.startswith("https:"):  # reading a bundle takes some 40 ms
        given |= {name: path for name in _CA_VARIABLES if (path := os.environ.get(name)) and Path(path).exists()}
    source, path = next(((source, path) for source, path in given.items() if path), ("certifi", certifi.where()))
    cafile, capath = (None, path) if Path(path).is_dir() else (path, None)
    try:
        if source != "certifi":
            ssl.create_default_context(cafile=cafile, capath=capath)
    except (OSError, ValueError) as error:
        msg = f"{source} {path!r} is not a file or folder of PEM certificates on this machine ({error})"
        raise SEIArgumentError(msg, field="ca_bundle") from None
    return cafile, capath


def proxy_for(settings: SEISettings) -> str | None:
    """Return the environment's proxy for the base URL, for both transports: their libraries read it differently."""
    base, proxies = urlsplit(settings.base_url.text), getproxies()
    proxy = None if settings.base_url.is_loopback else proxies.get(base.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(base.netloc) or _is_in_network(base.hostname, proxies.get("no", "")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"  # "proxy.example:3128" is common
    with suppress(ValueError):  # of the port
        parts = urlsplit(proxy)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return proxy
    msg = (
        "HTTPS_PROXY or ALL_PROXY is not the URL of an http or https proxy (SOCKS is not supported), so"
        f" {settings.base_url.origin} was not called: set HTTPS_PROXY to such a proxy, or name the host in NO_PROXY"
    )
    raise SEIArgumentError(msg, field="host")


def _is_in_network(host: str | None, no_proxy: str) -> bool:
    for name in no_proxy.split(","):
        with suppress(ValueError):  # a name
            if ipaddress.ip_address(host or "") in ipaddress.ip_network(name.strip(), strict=False):
                return True
    return False
