"""The triggerer's transport: aiohttp, with the same rules as the worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from tenacity import AsyncRetrying
from yarl import URL

from airflow_provider_sei.protocol.errors import SEIUnreadableError
from airflow_provider_sei.protocol.messages import Call, HttpRequest, HttpResponse, encode_json
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports.common import (
    MAX_ANSWER_SECONDS,
    MAX_REDIRECTS,
    REDIRECTS,
    USER_AGENT,
    RetryRule,
    ca_bundle,
    check_answer_size,
    is_loopback,
    no_answer,
    redirect_target,
    ssl_context,
)

__all__ = ["AiohttpTransport"]

T = TypeVar("T")

_FOREIGN = (aiohttp.ClientError, TimeoutError, OSError)


class AiohttpTransport:
    """Spends calls on one aiohttp session, opened by the first call on the loop that makes it.

    Args:
        settings: the checked connection.
        backoff: how often a call is tried, and how long to wait in between.
        sleep: awaited between tries.
        seconds_left: asked before each wait; a call is not tried again beyond it.
    """

    def __init__(
        self,
        settings: SEISettings,
        *,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        seconds_left: Callable[[], float | None] | None = None,
    ) -> None:
        self.settings = settings
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._seconds_left = seconds_left
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def run(self, call: Call[T], settings: SEISettings | None = None) -> T:
        """Make the call, again where that can help, and return what its parser makes of the answer.

        Args:
            settings: used for this call instead of the transport's own; of the same connection.

        Raises:
            SEIError: what the last try ended with.
        """
        if self._backoff.attempts == 1:  # a caller that makes its calls by the thousand has a rule of its own
            return await self._once(call, settings)
        rule = RetryRule(self._backoff, call.what, self._seconds_left)
        return await AsyncRetrying(sleep=self._sleep, **rule.arguments())(self._once, call, settings)

    async def close(self) -> None:
        """Close the session's connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _once(self, call: Call[T], settings: SEISettings | None = None) -> T:
        return call.parse(await self._answer(call.request, call.what, call.export_id, settings or self.settings))

    async def _answer(
        self, request: HttpRequest, what: str, export_id: str | None, settings: SEISettings
    ) -> HttpResponse:
        url = settings.url(request)
        session = self._session or await self._open_session()
        timeout = aiohttp.ClientTimeout(
            total=MAX_ANSWER_SECONDS + settings.connect_timeout,
            connect=settings.connect_timeout,
            sock_read=request.timeout or settings.read_timeout,
        )
        for _ in range(MAX_REDIRECTS):
            try:
                async with session.request(
                    request.method,
                    URL(url, encoded=True),
                    data=None if request.body is None else encode_json(request.body),
                    headers=settings.headers(request, USER_AGENT),
                    timeout=timeout,
                    allow_redirects=False,
                    proxy=self._proxy,
                ) as response:
                    if response.status not in REDIRECTS:
                        body = bytearray()
                        async for chunk in response.content.iter_any():
                            body += chunk
                            check_answer_size(len(body), what)
                        headers = {name.lower(): value for name, value in response.headers.items()}
                        answer = HttpResponse(response.status, headers, bytes(body))
                        return answer.redacted(settings.api_key)
                    location = response.headers.get("Location")
            except _FOREIGN as error:
                raise no_answer(what, settings, error, export_id=export_id) from error
            url = redirect_target(settings, request, url, location, what)
        msg = f"could not {what}: the server redirects in circles; check the connection's base URL"
        raise SEIUnreadableError(msg, export_id=export_id)

    async def _open_session(self) -> aiohttp.ClientSession:
        # Reading a bundle from disk is slow enough to be noticed on an event loop.
        verified = await asyncio.to_thread(lambda: ssl_context(ca_bundle(self.settings)))
        if not is_loopback(self.settings):
            self._proxy = await asyncio.to_thread(_proxy_for, self.settings.endpoint.base_url)
        if self._session is None:  # another task may have been faster while we read files
            # trust_env stays off: with it, aiohttp would read ~/.netrc; proxies are looked up here instead.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=verified),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session


def _proxy_for(base_url: str) -> str | None:
    parts = urlsplit(base_url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    # "proxy.example:3128" is widespread, and requests takes it.
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
