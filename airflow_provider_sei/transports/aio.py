"""The triggerer's transport, on aiohttp, with the same rules as the worker's, but without retries."""

from __future__ import annotations

import asyncio
import ssl
from itertools import count
from typing import TypeVar

import aiohttp
from yarl import URL

from airflow_provider_sei.protocol.http import Call
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports import _common

T = TypeVar("T")


class AiohttpTransport:
    """Make the calls of one connection with one aiohttp session, which the first call opens."""

    _session: aiohttp.ClientSession | None = None
    _proxy: str | None = None

    async def close(self) -> None:
        """Close the session's connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def run(self, call: Call[T], settings: SEISettings) -> T:
        """Make a call, once, and return what its parser makes of the response. Retries are the caller's."""
        request = call.request
        url, headers, data = settings.prepare(request, _common.USER_AGENT, call.export_id)
        session = self._session or await self._open_session(settings)
        timeout = aiohttp.ClientTimeout(
            total=_common.MAX_BODY_SECONDS + settings.connect_timeout,
            connect=settings.connect_timeout,
            sock_read=settings.read_timeout or request.read_timeout,
        )
        for sent in count(1):
            body = bytearray()
            try:
                async with session.request(
                    request.method,
                    URL(url, encoded=True),
                    data=data,
                    headers=headers,
                    timeout=timeout,
                    allow_redirects=False,
                    proxy=self._proxy,
                ) as response:
                    if response.status not in _common.REDIRECTS:
                        async for chunk in response.content.iter_any():
                            body += chunk
                            if len(body) > _common.MAX_BODY_BYTES:
                                break
            except (aiohttp.ClientError, OSError) as error:
                raise _common.connection_error(settings, call, error) from error
            if response.status not in _common.REDIRECTS:
                break
            url = _common.redirect_target(settings, call, url, response.headers.get("Location"), sent)
        return call.parse(_common.make_response(settings, call, response.status, response.headers, body))

    async def _open_session(self, settings: SEISettings) -> aiohttp.ClientSession:
        # In a thread: reading files would block the event loop.
        cafile, capath = await asyncio.to_thread(_common.ca_bundle, settings)
        context = await asyncio.to_thread(ssl.create_default_context, cafile=cafile, capath=capath)
        self._proxy = await asyncio.to_thread(_common.proxy_for, settings)
        if self._session is None:  # another task may have opened it meanwhile
            # Without trust_env, because that reads ~/.netrc, too.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session
