"""The worker's transport, on requests."""

from __future__ import annotations

import http.client
import math
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter
from tenacity import Retrying

from airflow_provider_sei.protocol.http import Call, HttpRequest, check_file_status
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports import _common

T = TypeVar("T")

MAX_IDLE_SECONDS = 60.0  # how long bytes without content (interim responses, headers, trailers) may arrive
_CHUNK = 256 * 1024  # bytes; 8 kB chunks cost several times the CPU, 1 MiB more memory
_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)

# A socket timeout only limits the time between two bytes: a server that keeps sending single bytes or interim responses
# would block a worker forever. This is set before each read, on the clock of time.monotonic.
_read_until: ContextVar[float] = ContextVar("_read_until", default=math.inf)


class _DeadlineIO(socket.SocketIO):
    def readinto(self, buffer: Any) -> int | None:
        received = super().readinto(buffer)
        if time.monotonic() > _read_until.get():
            msg = "the response takes too long"
            raise TimeoutError(msg)
        return received


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp.raw.__class__ = _DeadlineIO  # makefile() of a socket, plain or TLS, returns a reader of a SocketIO


class _DeadlineAdapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if pool.ConnectionCls.response_class is not _DeadlineResponse:
            pool.ConnectionCls = type("Connection", (pool.ConnectionCls,), {"response_class": _DeadlineResponse})
        return pool


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - requests' signature
        # With allow_redirects=False, too, requests would parse the Location and read the body, however large.
        return None


@dataclass(frozen=True)
class StreamedBody:
    """A successful response whose body has not been read yet."""

    headers: Mapping[str, str]
    """Header names are lower case."""
    chunks: Callable[[], Iterator[bytes]]
    """Yields the body as it arrives, not decoded, in chunks of at most 256 KiB; raises ``SEIConnectionError``."""


class RequestsTransport:
    """Make calls with one requests session.

    :param settings: the connection.
    :param backoff: when to try a call again.
    :param sleep: called with the seconds between two tries.
    :param seconds_left: returns for how long the caller can wait; no pause goes beyond.
    """

    def __init__(
        self,
        settings: SEISettings,
        *,
        backoff: Backoff | None = None,
        sleep: Callable[[float], None] = time.sleep,
        seconds_left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.settings = settings
        self._backoff, self._sleep, self._seconds_left = backoff or Backoff(), sleep, seconds_left
        self._session = _Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _DeadlineAdapter())
        self._session.stream = True
        self._session.trust_env = False
        self._session.proxies = {"https": _common.proxy_for(settings) or ""}  # http is for loopback only
        cafile, capath = _common.ca_bundle(settings)
        self._session.verify = cafile or capath

    def run(self, call: Call[T], *, backoff: Backoff | None = None) -> T:
        """Make a call, with retries, and return what its parser makes of the response.

        :param backoff: used for this call instead of the transport's own.
        :raises SEIError: the error of the last try.
        """
        arguments = _common.retry_arguments(backoff or self._backoff, self._seconds_left)
        result: T = Retrying(sleep=self._sleep, **arguments)(self._try, call)
        return result

    @contextmanager
    def stream(
        self, request: HttpRequest, description: str, *, export_id: str | None = None, backoff: Backoff | None = None
    ) -> Iterator[StreamedBody]:
        """Open a response without reading its body. Retries cover opening it, not reading the body.

        :param description: completes the sentence "could not ...".
        :param backoff: used for this call instead of the transport's own.
        :raises SEIError: the error of the last try.
        """
        check = partial(check_file_status, description=description, export_id=export_id)
        call = Call(request, check, description, export_id)
        arguments = _common.retry_arguments(backoff or self._backoff, self._seconds_left)
        with Retrying(sleep=self._sleep, **arguments)(self._try, call, streamed=True) as response:
            headers = _common.make_response(self.settings, call, response.status_code, response.headers).headers
            yield StreamedBody(headers, partial(self._chunks, call, response))

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()

    def _try(self, call: Call[Any], *, streamed: bool = False) -> Any:
        """Return the parsed response or, if it is successful and to be streamed, the response itself."""
        request = call.request
        url, headers, data = self.settings.prepare(request, _common.USER_AGENT, call.export_id)
        timeout = (self.settings.connect_timeout, self.settings.read_timeout or request.read_timeout)
        for sent in count(1):
            _read_until.set(time.monotonic() + sum(timeout) + MAX_IDLE_SECONDS)
            try:
                # Not prepared by the session, which would add its cookies and replace the key by an entry of ~/.netrc.
                message = requests.Request(request.method, url, headers, data=data).prepare()
                response = self._session.send(message, timeout=timeout, allow_redirects=False)
            except _ERRORS as error:
                raise _common.connection_error(self.settings, call, error) from error
            if response.status_code not in _common.REDIRECTS:
                break
            response.close()
            url = _common.redirect_target(self.settings, call, url, response.headers.get("Location"), sent)
        if streamed and response.status_code == requests.codes.ok:
            return response
        with response:
            body = bytearray()
            for chunk in self._chunks(call, response, _common.MAX_BODY_SECONDS):
                body += chunk
                if len(body) > _common.MAX_BODY_BYTES:
                    break
        return call.parse(_common.make_response(self.settings, call, response.status_code, response.headers, body))

    def _chunks(self, call: Call[Any], response: requests.Response, max_seconds: float = math.inf) -> Iterator[bytes]:
        idle_seconds = (self.settings.read_timeout or call.request.read_timeout) + MAX_IDLE_SECONDS
        end = time.monotonic() + max_seconds
        while True:
            _read_until.set(min(end, time.monotonic() + idle_seconds))
            try:
                # read1 returns what has arrived: the caller can check the time however slowly a server sends.
                chunk = response.raw.read1(_CHUNK, decode_content=False)
            except _ERRORS as error:
                raise _common.connection_error(self.settings, call, error) from error
            if not chunk:
                return
            yield chunk
