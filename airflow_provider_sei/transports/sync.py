"""The worker's transport, on requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
import urllib3
from tenacity import Retrying

from airflow_provider_sei.exceptions import SEIConnectionError
from airflow_provider_sei.protocol.http import Call, HttpRequest, HttpResponse, check_file_status, encode_json
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports import _common
from airflow_provider_sei.transports._deadline import DeadlineAdapter, deadline

__all__ = ["RequestsTransport", "StreamedBody"]

T = TypeVar("T")

MAX_IDLE_SECONDS = 60.0  # how long bytes without content (interim responses, headers, trailers) may arrive
_CHUNK = 256 * 1024  # bytes; 8 kB chunks cost several times the CPU, 1 MiB more memory
_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class StreamedBody:
    """A successful response whose body has not been read yet."""

    def __init__(self, settings: SEISettings, call: Call[Any], response: requests.Response) -> None:
        self._settings = settings
        self._call = call
        self._raw = response.raw
        self.headers = _common.make_response(settings, response.status_code, response.headers).headers
        """Header names are lower case."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives, not decoded, in chunks of at most 256 KiB.

        :raises SEIConnectionError: the connection broke off, or no content arrived in time.
        """
        seconds = _common.read_timeout(self._settings, self._call.request) + MAX_IDLE_SECONDS
        while True:
            try:
                # read1 returns what has arrived: the caller can check the time however slowly a server sends.
                with deadline(seconds):
                    chunk = self._raw.read1(_CHUNK, decode_content=False)
            except _ERRORS as error:
                raise _common.connection_error(self._settings, self._call, error) from error
            if not chunk:
                return
            yield chunk


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - requests' signature
        # With allow_redirects=False, too, requests would parse the Location and read the body, however large.
        return None


class RequestsTransport:
    """Make calls with one requests session.

    :param settings: the connection.
    :param backoff: when to try a call again.
    :param sleep: called with the seconds between two tries.
    """

    def __init__(
        self,
        settings: SEISettings,
        *,
        backoff: Backoff | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._session = _Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter())
        self._session.headers.clear()
        self._session.trust_env = not settings.base_url.is_loopback
        # Without an auth of its own, a session replaces the authorization header by an entry of ~/.netrc.
        self._session.auth = lambda request: request
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        # Passed with each request: REQUESTS_CA_BUNDLE overrides the session's own attribute.
        self._verify = _common.ca_bundle(settings)

    def run(self, call: Call[T], *, backoff: Backoff | None = None) -> T:
        """Make a call, with retries, and return what its parser makes of the response.

        :param backoff: used for this call instead of the transport's own.
        :raises SEIError: the error of the last try.
        """
        result: T = self._retry(self._run_once, call, backoff)
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
        with self._retry(self._open, call, backoff) as response:
            yield StreamedBody(self.settings, call, response)

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()

    def _retry(self, function: Callable[[Call[Any]], Any], call: Call[Any], backoff: Backoff | None) -> Any:
        retrying = Retrying(sleep=self._sleep, **_common.retry_arguments(backoff or self._backoff))
        return retrying(function, call)

    def _run_once(self, call: Call[T]) -> T:
        with self._send(call) as response:
            return call.parse(self._read(call, response))

    def _open(self, call: Call[None]) -> requests.Response:
        response = self._send(call)
        if response.status_code != HTTPStatus.OK:
            with response:
                call.parse(self._read(call, response))
        return response

    def _send(self, call: Call[Any]) -> requests.Response:
        request = call.request
        url = self.settings.url(request)
        timeout = (self.settings.connect_timeout, _common.read_timeout(self.settings, request))
        sent = 0
        while True:
            sent += 1
            try:
                with deadline(sum(timeout) + MAX_IDLE_SECONDS):
                    response = self._session.request(
                        request.method,
                        url,
                        data=None if request.body is None else encode_json(request.body),
                        headers=self.settings.headers(request, _common.USER_AGENT),
                        timeout=timeout,
                        verify=self._verify,
                        allow_redirects=False,
                        stream=True,
                    )
            except _ERRORS as error:
                raise _common.connection_error(self.settings, call, error) from error
            if response.status_code not in _common.REDIRECTS:
                return response
            response.close()
            url = _common.redirect_target(self.settings, call, url, response.headers.get("Location"), sent)

    def _read(self, call: Call[Any], response: requests.Response) -> HttpResponse:
        give_up_at = time.monotonic() + _common.MAX_BODY_SECONDS
        body = bytearray()
        for chunk in StreamedBody(self.settings, call, response).chunks():
            body += chunk
            _common.check_size(call, len(body))
            if time.monotonic() > give_up_at:
                msg = f"could not {call.description}: the response took more than {_common.MAX_BODY_SECONDS:.0f} s"
                raise SEIConnectionError(msg, export_id=call.export_id)
        return _common.make_response(self.settings, response.status_code, response.headers, bytes(body))
