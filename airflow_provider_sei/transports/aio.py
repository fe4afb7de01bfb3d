"""The triggerer's transport, on aiohttp, with the same rules as the worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from tenacity import AsyncRetrying
from yarl import URL

from airflow_provider_sei.protocol.http import Call, HttpResponse, encode_json
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports import _common

__all__ = ["AiohttpTransport"]

T = TypeVar("T")

_ERRORS = (aiohttp.ClientError, OSError)


class AiohttpTransport:
    """Make calls with one aiohttp session, which the first call opens.

    :param settings: the connection.
    :param backoff: when to try a call again.
    :param sleep: awaited with the seconds between two tries.
    """

    def __init__(
        self,
        settings: SEISettings,
        *,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def run(self, call: Call[T], settings: SEISettings | None = None) -> T:
        """Make a call, with retries, and return what its parser makes of the response.

        :param settings: used for this call instead of the transport's own; of the same connection.
        :raises SEIError: the error of the last try.
        """
        if self._backoff.attempts == 1:  # callers with thousands of calls have retries of their own
            return await self._run_once(call, settings or self.settings)
        retrying = AsyncRetrying(sleep=self._sleep, **_common.retry_arguments(self._backoff))
        return await retrying(self._run_once, call, settings or self.settings)

    async def close(self) -> None:
        """Close the session's connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _run_once(self, call: Call[T], settings: SEISettings) -> T:
        return call.parse(await self._fetch(call, settings))

    async def _fetch(self, call: Call[Any], settings: SEISettings) -> HttpResponse:
        request = call.request
        url = settings.url(request)
        session = self._session or await self._open_session()
        timeout = aiohttp.ClientTimeout(
            total=_common.MAX_BODY_SECONDS + settings.connect_timeout,
            connect=settings.connect_timeout,
            sock_read=_common.read_timeout(settings, request),
        )
        sent = 0
        while True:
            sent += 1
            try:
                async with session.request(
                    request.method,
                    URL(url, encoded=True),
                    data=None if request.body is None else encode_json(request.body),
                    headers=settings.headers(request, _common.USER_AGENT),
                    timeout=timeout,
                    allow_redirects=False,
                    proxy=self._proxy,
                ) as response:
                    if response.status not in _common.REDIRECTS:
                        body = bytearray()
                        async for chunk in response.content.iter_any():
                            body += chunk
                            _common.check_size(call, len(body))
                        return _common.make_response(settings, response.status, response.headers, bytes(body))
                    location = response.headers.get("Location")
            except _ERRORS as error:
                raise _common.connection_error(settings, call, error) from error
            url = _common.redirect_target(settings, call, url, location, sent)

    async def _open_session(self) -> aiohttp.ClientSession:
        # In a thread: reading files would block the event loop.
        context = await asyncio.to_thread(lambda: _common.ssl_context(_common.ca_bundle(self.settings)))
        if not self.settings.base_url.is_loopback:
            self._proxy = await asyncio.to_thread(_proxy_for, self.settings.base_url.text)
        if self._session is None:  # another task may have opened it meanwhile
            # Without trust_env, because that reads ~/.netrc, too.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context),
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
    # "proxy.example:3128" is common, and requests takes it.
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
