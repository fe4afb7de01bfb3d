"""Base URLs: the vendor's aliases, how a path is joined to one, and which URLs may be given the key.

The rule of this file: a base URL has a path of its own, everything is relative to it, and nothing outside its origin is
ever called.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from airflow_provider_sei.protocol.errors import SEIUnreadableError, SEIUsageError
from airflow_provider_sei.protocol.suggestions import did_you_mean

__all__ = ["ALIASES", "Endpoint"]

ALIASES = {
    "prod1": "https://app.harness.io/prod1/sei/api",
    "prod2": "https://app.harness.io/gratis/sei/api",
    "eu": "https://accounts.eu.harness.io/sei/api",
}
"""The vendor's three clusters. Source: Harness developer hub, SEI API index page, read 2026-11-23."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Endpoint:
    """A base URL, without a trailing slash: ``https://app.harness.io/prod1/sei/api``."""

    base_url: str

    @classmethod
    def from_host(cls, host: str | None, *, schema: str | None = None, port: int | None = None) -> Endpoint:
        """Read an Airflow connection's ``host`` (with ``schema`` and ``port``, where the host is no full URL).

        Args:
            host: one of the aliases ``prod1``, ``prod2``, ``eu``, or a base URL with its path.
            schema: ``https`` (default) or ``http``, used only when ``host`` names no scheme.
            port: used only when ``host`` names neither scheme nor port.

        Raises:
            SEIUsageError: no host, an unknown alias, a scheme other than https (http is for loopback hosts only), or a
                URL with user, query or fragment.
        """
        text = (host or "").strip()
        if not text:
            msg = f"host is empty: give a base URL or one of the aliases {', '.join(ALIASES)}"
            raise SEIUsageError(msg, field="host")
        alias = ALIASES.get(text.casefold())
        if alias is not None:
            return cls(alias)
        if "://" not in text:
            is_name_only = not any(mark in text for mark in "./:") and text != "localhost"
            if is_name_only:
                msg = (
                    f"host {text!r} is neither a URL nor an alias{did_you_mean(text, ALIASES)};"
                    f" aliases: {', '.join(ALIASES)}"
                )
                raise SEIUsageError(msg, field="host")
            authority, slash, path = text.partition("/")
            if port and ":" not in authority:
                authority = f"{authority}:{port}"
            text = f"{schema or 'https'}://{authority}{slash}{path}"
        parts = _split(text)
        if parts is None or not parts.hostname or parts.scheme not in _DEFAULT_PORTS:
            msg = f"host {_without_user(text)!r} is not an http(s) URL; example: {ALIASES['prod1']}"
            raise SEIUsageError(msg, field="host")
        if parts.username is not None or parts.query or parts.fragment:
            msg = "host must be a bare base URL, without user, query or fragment; the API key belongs in the password"
            raise SEIUsageError(msg, field="host")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            msg = f"host {text!r} would send the API key unencrypted: use https (http is for loopback hosts only)"
            raise SEIUsageError(msg, field="host")
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")

    def url(self, target: str, query: Iterable[tuple[str, str]] = ()) -> str:
        """Return the full URL of ``target`` with ``query`` added.

        Args:
            target: a path relative to the base URL, or a URL or path as the server has named it. A path that starts
                with a slash is relative to the service endpoint too: the base URL's own path is kept, and not doubled
                where the server has already put it there.
            query: parameters to add. One that ``target`` already carries is kept as it is there, and never repeated.

        Raises:
            SEIUnreadableError: ``target`` leads to another origin, so calling it would hand the key to a stranger.
        """
        base = urlsplit(self.base_url)
        parts = _split(target)
        if parts is None:
            msg = f"the server named {_short(target)!r}, which is not a URL"
            raise SEIUnreadableError(msg)
        if parts.scheme or parts.netloc:
            if not self.is_same_origin(target):
                msg = (
                    f"the server named a URL at {_short(parts.netloc or parts.scheme)!r}, outside {self.origin};"
                    " it was not called, because the API key must not leave its own origin"
                )
                raise SEIUnreadableError(msg)
            path = parts.path
        elif base.path and (parts.path == base.path or parts.path.startswith(f"{base.path}/")):
            path = parts.path
        else:
            path = f"{base.path}/{parts.path.lstrip('/')}"
        given: dict[str, str] = {}
        for name, value in (*parse_qsl(parts.query, keep_blank_values=True), *query):
            given.setdefault(name, value)
        quoted_path = quote(path, safe="/%:@!$&'()*+,;=~-._")
        return urlunsplit((base.scheme, base.netloc, quoted_path, urlencode(given, errors="replace"), ""))

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    def is_same_origin(self, url: str) -> bool:
        """Return whether ``url`` has the base URL's scheme, host and port."""
        parts = _split(url)
        return parts is not None and _origin(parts) == _origin(urlsplit(self.base_url))


def _split(url: str) -> SplitResult | None:
    # urlsplit drops tabs and newlines in silence and reads a backslash as part of a host: other readers differ.
    # Half a character (a lone surrogate, which JSON can carry) has no form in a URL.
    if any(char <= " " or char in "\\\x7f" or "\ud800" <= char <= "\udfff" for char in url):
        return None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for a port that is no number
    except ValueError:
        return None
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_user(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."  # noqa: PLR2004 - a line's worth
