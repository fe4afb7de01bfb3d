"""A connection's fields, parsed: base URL, API key, identifiers, timeouts and rate limit."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from airflow_provider_sei.exceptions import SEIArgumentError, SEIUnexpectedResponseError
from airflow_provider_sei.protocol.arguments import parse_choice, parse_number, parse_text
from airflow_provider_sei.protocol.families import did_you_mean
from airflow_provider_sei.protocol.http import Api, HttpRequest

ALIASES = {
    "prod1": "https://app.harness.io/prod1/sei/api",
    "prod2": "https://app.harness.io/gratis/sei/api",
    "eu": "https://accounts.eu.harness.io/sei/api",
}
"""The vendor's three clusters. Source: Harness developer hub, SEI API index page, read 2026-11-23."""

AUTH_HEADERS = ("authorization", "x-api-key", "SEI_API_KEY")
"""The three headers that the vendor's documents show for the key."""

ACCOUNT_HEADERS = ("Harness-Account",)
"""Where Harness' own MCP server, which calls SEI with a service account's token, sends the account; read 2026-11-26."""

# As each API's own page says. The legacy page's curl examples show "authorization" instead, hence the setting.
_DOCUMENTED_HEADER = {Api.V2: "authorization", Api.LEGACY: "x-api-key"}
_DOT_SEGMENT = re.compile(r"(?:^|/)\.\.?(?:/|$)|\\")
_FILE = re.compile(r"/exports?/([^/]+)/download/?$")  # the vendor writes /exports/ and /export/
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEADERS = {"auth_header": AUTH_HEADERS, "account_header": ACCOUNT_HEADERS}
_TEXTS = ("project_identifier", "org_identifier", "account_id", *_HEADERS, "ca_bundle")
_NUMBERS = {
    "connect_timeout": (0.1, 3600, "seconds"),
    "read_timeout": (0.1, 3600, "seconds"),
    "calls_per_minute": (1, 1000, "calls"),
}


@dataclass(frozen=True)
class BaseUrl:
    """A base URL with its path, without a trailing slash. Nothing outside its origin is ever called."""

    text: str

    @classmethod
    def from_host(cls, host: str | None, *, schema: str | None = None, port: int | None = None) -> BaseUrl:
        """Read a connection's ``host``, an alias or base URL; ``schema`` (scheme or path) and ``port`` complete it."""
        text, given = (host or "").strip(), (schema or "").strip().strip("/")
        scheme, path = (given.casefold(), "") if given.casefold() in _DEFAULT_PORTS else ("", given)
        text = ALIASES.get(text.casefold()) or _completed(text, scheme, path, port)
        parts, (start, separator, rest) = _split(text), text.partition("://")
        if not text:
            msg = f"host is empty: give a base URL or one of the aliases {', '.join(ALIASES)}"
            if given.startswith("arness_sei"):  # what Airflow makes of a scheme with an underscore
                msg = f"harness_sei:// is not the scheme of a URI: write harness-sei://:<key>@{next(iter(ALIASES))}/"
        elif not separator:
            guess = did_you_mean(text, ALIASES)
            msg = f"host {text!r} is neither a URL nor an alias{guess}; aliases: {', '.join(ALIASES)}"
        elif parts is None or not parts.hostname or parts.scheme not in _DEFAULT_PORTS:
            shown = f"{start}{separator}{rest.rpartition('@')[2]}"  # without a user name and password
            msg = f"host {shown!r} is not an http(s) URL; example: {ALIASES['prod1']}"
        elif parts.username is not None or parts.query or parts.fragment:
            msg = "host must be a plain base URL, without user, query or fragment; the API key is the password"
        else:
            url = cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")
            wrong_port = port not in (None, parts.port or _DEFAULT_PORTS[parts.scheme])
            if wrong_port or scheme not in ("", parts.scheme) or path not in ("", parts.path.strip("/")):
                wrong = "port" if wrong_port else "schema"
                msg = f"{wrong} contradicts host {text!r}: leave {wrong} empty, and give the whole base URL as host"
                raise SEIArgumentError(msg, field=wrong)
            if parts.scheme == "https" or url.is_loopback:
                return url
            msg = f"host {text!r} would send the API key unencrypted: use https (http is for loopback hosts only)"
        raise SEIArgumentError(msg, field="host")

    def url(self, target: str, query: Mapping[str, str], *, export_id: str | None = None) -> str:
        """Return the full URL of ``target`` with the parameters of ``query`` that it does not have itself.

        :param target: a path, with or without the base URL's own path in front, or a URL that the server returned.
        :param export_id: the export that the call is about, if any.
        :raises SEIUnexpectedResponseError: ``target`` is outside the base URL, or belongs to another export.
        """
        base, parts = urlsplit(self.text), _split(target)
        if parts is None:
            msg = f"the server returned {_short(target)!r}, which is not a URL; it was not called"
            raise SEIUnexpectedResponseError(msg)
        path, is_absolute = parts.path, parts.scheme or parts.netloc
        has_base = f"{path}/".startswith(f"{base.path}/")
        problem = path_problem(path, export_id)
        if is_absolute and not (has_base and self.is_same_origin(target)):
            shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"  # a query may have a signature
            problem = f"{_short(shown.removeprefix(':'))!r}, outside {self.text}, where the API key must not be sent"
        if problem:
            msg = f"the server returned {problem}; it was not called"
            raise SEIUnexpectedResponseError(msg, export_id=export_id)
        if not is_absolute and not (base.path and has_base):
            path = f"{base.path}/{path.lstrip('/')}"
        parameters: dict[str, str] = {}
        for name, value in (*parse_qsl(parts.query, keep_blank_values=True), *query.items()):
            parameters.setdefault(name, value)
        quoted = quote(path, safe="/%:@!$&'()*+,;=~-._")
        return urlunsplit((base.scheme, base.netloc, quoted, urlencode(parameters, errors="replace"), ""))

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return urlunsplit((*urlsplit(self.text)[:2], "", "", ""))

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, where neither encryption nor a proxy is needed."""
        host = urlsplit(self.text).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def warning(self) -> str | None:
        """Why the base URL may be incomplete: the vendor's have a path. One on this machine is a test's."""
        parts = urlsplit(self.text)
        is_vendors = (parts.hostname or "").endswith("harness.io")
        if parts.path.endswith("/sei/api") or (parts.path and not is_vendors) or self.is_loopback:
            return None
        known = ", ".join(f"{url} ({alias})" for alias, url in ALIASES.items())
        return (
            f"base URL {self.text} does not have the path of the SEI API, so calls may fail; the vendor's are {known}"
        )

    def is_same_origin(self, url: str) -> bool:
        """Return whether ``url`` has the same scheme, host and port."""
        parts, own = _split(url), urlsplit(self.text)
        port = _DEFAULT_PORTS.get(own.scheme)
        origin, own_origin = (part and (part.scheme, part.hostname, part.port or port) for part in (parts, own))
        return origin == own_origin


@dataclass(frozen=True, kw_only=True)
class SEISettings:
    """A parsed connection."""

    base_url: BaseUrl
    api_key: str = field(repr=False)
    project_identifier: str | None = None
    org_identifier: str | None = None
    account_id: str | None = None
    auth_header: str | None = None
    """One of ``AUTH_HEADERS`` for every call; ``None``: the header that each API's own page documents."""
    account_header: str | None = None
    """One of ``ACCOUNT_HEADERS``, to send ``account_id`` in it with every call; ``None``: in none."""
    connect_timeout: float = 10.0
    """Seconds to connect."""
    read_timeout: float | None = None
    """Seconds without a byte before a response counts as lost; ``None``: each call's own default."""
    ca_bundle: str | None = None
    """Path of a CA bundle; ``None``: that of ``REQUESTS_CA_BUNDLE``, else certifi's."""
    calls_per_minute: float = 240.0
    """Rate limit of one triggerer's polling. The vendor allows a key 1000 calls a minute, 400 by ``x-api-key``."""
    omitted: frozenset[str] = frozenset()
    """Identifiers that an operator leaves out of calls that do not require them (legacy reports)."""

    @classmethod
    def from_fields(
        cls,
        *,
        host: str | None,
        password: str | None,
        extra: Mapping[str, Any] | None = None,
        schema: str | None = None,
        port: int | None = None,
        login: str | None = None,
    ) -> SEISettings:
        """Parse the fields of an Airflow connection. Unknown fields of ``extra`` are ignored."""
        extra = extra or {}
        if not isinstance(extra, Mapping):
            msg = f"the connection's extra must be a JSON object, not {type(extra).__name__}"
            raise SEIArgumentError(msg, field="extra")
        base_url = BaseUrl.from_host(host, schema=schema, port=port)
        key = re.sub(r"^apikey(\s+|$)", "", (password or "").strip(), flags=re.IGNORECASE)
        if (login or "").strip():
            msg = "login must be empty: the API key is the password (://:<key>@ in a URI)"
            raise SEIArgumentError(msg, field="login")
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            msg = "the API key is missing: set it as the connection's password"
            if key:
                msg = "the API key (the connection's password) has characters that an HTTP header cannot contain"
            raise SEIArgumentError(msg, field="password")
        fields: dict[str, Any] = {name: _parse_field(extra.get(name), name) for name in _TEXTS}
        for name, (least, most, unit) in _NUMBERS.items():
            if extra.get(name) not in (None, ""):
                fields[name] = parse_number(extra[name], name, least=least, most=most, unit=unit)
        return cls(base_url=base_url, api_key=key, **fields)

    @property
    def destination_fields(self) -> dict[str, str | None]:
        """The fields of a destination that the connection knows."""
        return {"account": self.account_id, "project": self.project_identifier, "org": self.org_identifier}

    @property
    def source(self) -> dict[str, str | None]:
        """What distinguishes one source of data from another: two of them can have the same teams."""
        text = self.base_url.text
        host = next((alias for alias, url in ALIASES.items() if url == text), text.partition("://")[2])
        names = {"org_identifier": self.org_identifier, "project_identifier": self.project_identifier}
        return {"account": self.account_id or host, **names}

    def with_overrides(self, **overrides: str | None) -> SEISettings:
        """Return these settings with an operator's own; blank text omits an identifier where it is not required."""
        given: dict[str, Any] = {name: text for name in overrides if (text := _parse_field(overrides[name], name))}
        given["omitted"] = frozenset(name for name, value in overrides.items() if value is not None) - given.keys()
        return replace(self, **given)

    def prepare(
        self, request: HttpRequest, user_agent: str, export_id: str | None = None
    ) -> tuple[str, dict[str, str], bytes | None]:
        """Return what to send: the full URL with the identifiers, the headers with the key, and the body as JSON.

        :param export_id: the export that the call is about, if any; the URL must not belong to another one.
        """
        query = dict(request.query)
        for name, parameter in (("project_identifier", "projectIdentifier"), ("org_identifier", "orgIdentifier")):
            value = getattr(self, name)
            if value and (request.identifiers_required or name not in self.omitted):
                query.setdefault(parameter, value)
            elif request.identifiers_required:
                msg = f"{name} is missing: set it in the connection's extra or on the operator"
                raise SEIArgumentError(msg, field=name)
        if request.account_parameter and self.account_id and "account_id" not in self.omitted:
            query.setdefault(request.account_parameter, self.account_id)
        url = self.base_url.url(request.path, query, export_id=export_id)
        headers = {"User-Agent": user_agent, "Accept": request.accept, "Accept-Encoding": "identity"}
        headers["Content-Type"] = "application/json"  # the vendor's page asks for it on all requests, GETs included
        name = self.auth_header or _DOCUMENTED_HEADER[request.api]
        headers[name] = f"ApiKey {self.api_key}" if name == "authorization" else self.api_key
        if self.account_header:
            if not re.fullmatch("[!-~]+", self.account_id or ""):
                msg = f"account_header needs account_id, in printable ASCII without spaces: it is {self.account_id!r}"
                raise SEIArgumentError(msg, field="account_id")
            headers[self.account_header] = str(self.account_id)
        body = request.body  # sent with its keys in the given order
        return url, headers, None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def path_problem(path: str, export_id: str | None) -> str | None:
    """Return what a path from a response leads to instead, as any server on the way may read it; normally ``None``."""
    for _ in range(3):  # each proxy may decode it once
        path = unquote(path)
    path = re.sub(r";[^/]*|/(?=/)", "", path)  # parameters and empty segments, which many servers drop
    if _DOT_SEGMENT.search(path):
        return f"{_short(path)!r}, which leads out of its own path"
    match = _FILE.search(path)
    other = match[1] if match else export_id
    return None if export_id in {None, other} else f"the address of another export's file, {other!r:.80}"


def _completed(host: str, scheme: str, path: str, port: int | None) -> str:
    """Return a host as a URL, with the connection's scheme, path and port where it has none."""
    if "://" not in host and (host == "localhost" or any(mark in host for mark in "./:")):
        host = f"{scheme or 'https'}://{host}"
    if not (parts := _split(host)) or not parts.netloc:
        return host
    netloc = parts.netloc.rstrip(":") + ("" if port is None or parts.port is not None else f":{port}")
    return urlunsplit(parts._replace(netloc=netloc, path=parts.path.rstrip("/") or path))


def _parse_field(value: object, name: str) -> str | None:
    text, choices = parse_text(value, name), _HEADERS.get(name)
    if text is None or choices is None:
        return text
    if not re.fullmatch(r"[A-Za-z_-]{1,20}", text):
        msg = f"{name} is the name of a header ({', '.join(choices)}), not shown here: it may contain the key"
        raise SEIArgumentError(msg, field=name)
    return parse_choice(text, choices, name)


def _split(url: str) -> SplitResult | None:
    # urlsplit drops tabs and newlines silently and reads a backslash as part of a host; other parsers differ.
    # A lone surrogate, which JSON can contain, has no form in a URL.
    if any(char <= " " or char in "\\\x7f" or "\ud800" <= char <= "\udfff" for char in url):
        return None
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for an invalid port
    except ValueError:
        return None
    return parts


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."  # noqa: PLR2004 - about a line
