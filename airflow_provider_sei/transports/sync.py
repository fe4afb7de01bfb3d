"""The worker's transport: requests, with our own rules for retries, redirects, time and size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import TypeVar

import requests
import urllib3
from tenacity import Retrying

from airflow_provider_sei.protocol.answers import check_file_status
from airflow_provider_sei.protocol.errors import SEINoAnswerError, SEIUnreadableError
from airflow_provider_sei.protocol.messages import Call, HttpRequest, HttpResponse, encode_json
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports.common import (
    MAX_ANSWER_SECONDS,
    MAX_REDIRECTS,
    MAX_STEP_SECONDS,
    REDIRECTS,
    USER_AGENT,
    RetryRule,
    ca_bundle,
    check_answer_size,
    is_loopback,
    no_answer,
    redirect_target,
)
from airflow_provider_sei.transports.patience import PatientAdapter, step

__all__ = ["RequestsTransport", "StreamedBody"]

T = TypeVar("T")

_CHUNK = 256 * 1024  # bytes; 8 kB chunks cost several times the CPU, 1 MiB more memory
_FOREIGN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class StreamedBody:
    """A successful answer whose body is still on its way."""

    def __init__(
        self, response: requests.Response, settings: SEISettings, request: HttpRequest, what: str, export_id: str | None
    ) -> None:
        self._raw = response.raw
        self._settings = settings
        self._silence = _longest_silence(request, settings)
        self._what = what
        self._export_id = export_id
        head = HttpResponse(response.status_code, {k.lower(): v for k, v in response.headers.items()})
        self.headers = head.redacted(settings.api_key).headers
        """Header names in lower case."""

    def chunks(self) -> Iterator[bytes]:
        """Return the body as it arrives, undecoded, in pieces of 256 KiB at most.

        Raises:
            SEINoAnswerError: the connection was cut, fell silent for longer than ``read_timeout``, or brings bytes
                without content for a minute longer.
        """
        while True:
            try:
                # read1 returns what has arrived: the caller can watch the clock however slowly bytes drip.
                with step(self._silence + MAX_STEP_SECONDS):
                    chunk = self._raw.read1(_CHUNK, decode_content=False)
            except _FOREIGN as error:
                raise no_answer(self._what, self._settings, error, export_id=self._export_id) from error
            if not chunk:
                return
            yield chunk


def _longest_silence(request: HttpRequest, settings: SEISettings) -> float:
    return request.timeout or settings.read_timeout


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - requests' signature
        # Where a redirect leads is decided below. Even when told not to follow one, requests would read its whole body
        # and take its Location apart, however large and crooked these are.
        return None


class RequestsTransport:
    """Spends calls on one requests session.

    Args:
        settings: the checked connection.
        backoff: how often a call is tried, and how long to wait in between.
        sleep: used between tries.
        seconds_left: asked before each wait; a call is not tried again beyond it.
    """

    def __init__(
        self,
        settings: SEISettings,
        *,
        backoff: Backoff | None = None,
        sleep: Callable[[float], None] = time.sleep,
        seconds_left: Callable[[], float | None] | None = None,
    ) -> None:
        self.settings = settings
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._seconds_left = seconds_left
        self._session = _Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, PatientAdapter())
        self._session.headers.clear()
        self._session.trust_env = not is_loopback(settings)
        # A session with an auth of its own leaves ~/.netrc alone, which would replace the authorization header.
        self._session.auth = lambda request: request
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        # Given with each call: requests prefers REQUESTS_CA_BUNDLE over what a session says.
        self._verify = ca_bundle(settings)

    def run(self, call: Call[T], *, backoff: Backoff | None = None) -> T:
        """Make the call, again where that can help, and return what its parser makes of the answer.

        Args:
            backoff: instead of the transport's own, for this call.

        Raises:
            SEIError: what the last try ended with.
        """
        rule = RetryRule(backoff or self._backoff, call.what, self._seconds_left)
        result: T = Retrying(sleep=self._sleep, **rule.arguments())(self._once, call)
        return result

    @contextmanager
    def stream(
        self, request: HttpRequest, what: str, *, export_id: str | None = None, backoff: Backoff | None = None
    ) -> Iterator[StreamedBody]:
        """Open a body without reading it; opening is tried again where that can help, reading never is.

        Args:
            backoff: instead of the transport's own, for this body.

        Raises:
            SEIError: what the last try to open it ended with.
        """
        rule = RetryRule(backoff or self._backoff, what, self._seconds_left)
        response = Retrying(sleep=self._sleep, **rule.arguments())(self._open, request, what, export_id)
        try:
            yield StreamedBody(response, self.settings, request, what, export_id)
        finally:
            response.close()

    def close(self) -> None:
        """Close the session's connections."""
        self._session.close()

    def _once(self, call: Call[T]) -> T:
        response = self._send(call.request, call.what, call.export_id)
        try:
            answer = self._whole(response, call.request, call.what, call.export_id)
        finally:
            response.close()
        return call.parse(answer)

    def _open(self, request: HttpRequest, what: str, export_id: str | None) -> requests.Response:
        response = self._send(request, what, export_id)
        try:
            if response.status_code != requests.codes.ok:
                check_file_status(self._whole(response, request, what, export_id), what, export_id=export_id)
        except BaseException:
            response.close()
            raise
        return response

    def _send(self, request: HttpRequest, what: str, export_id: str | None) -> requests.Response:
        url = self.settings.url(request)
        timeout = (self.settings.connect_timeout, _longest_silence(request, self.settings))
        for _ in range(MAX_REDIRECTS):
            try:
                with step(sum(timeout) + MAX_STEP_SECONDS):
                    response = self._session.request(
                        request.method,
                        url,
                        data=None if request.body is None else encode_json(request.body),
                        headers=self.settings.headers(request, USER_AGENT),
                        timeout=timeout,
                        verify=self._verify,
                        allow_redirects=False,
                        stream=True,
                    )
            except _FOREIGN as error:
                raise no_answer(what, self.settings, error, export_id=export_id) from error
            if response.status_code not in REDIRECTS:
                return response
            response.close()
            url = redirect_target(self.settings, request, url, response.headers.get("Location"), what)
        msg = f"could not {what}: the server redirects in circles; check the connection's base URL"
        raise SEIUnreadableError(msg, export_id=export_id)

    def _whole(
        self, response: requests.Response, request: HttpRequest, what: str, export_id: str | None
    ) -> HttpResponse:
        give_up_at = time.monotonic() + MAX_ANSWER_SECONDS
        body = bytearray()
        for chunk in StreamedBody(response, self.settings, request, what, export_id).chunks():
            body += chunk
            check_answer_size(len(body), what)
            if time.monotonic() > give_up_at:
                msg = f"could not {what}: the answer was not whole after {MAX_ANSWER_SECONDS:.0f} s"
                raise SEINoAnswerError(msg, export_id=export_id)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(response.status_code, headers, bytes(body)).redacted(self.settings.api_key)
