"""What a connection says, checked: where to call, with which key, as whom.

The rule of this file: every connection field is read here, by name, once. Fields it does not know are ignored, and the
key is never part of a message or a ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_sei.protocol.endpoint import Endpoint
from airflow_provider_sei.protocol.errors import SEIUsageError
from airflow_provider_sei.protocol.messages import Api, HttpRequest
from airflow_provider_sei.protocol.suggestions import did_you_mean

__all__ = ["AUTH_HEADERS", "SEISettings"]

AUTH_HEADERS = ("authorization", "x-api-key", "SEI_API_KEY")
"""The three headers that the vendor's documents show for the key."""

_DOCUMENTED_HEADER = {Api.V2: "authorization", Api.LEGACY: "x-api-key"}
# The pages' own words for each API. The legacy page's curl examples show "authorization" instead: hence the setting.

_SECONDS = (0.1, 3600.0)


@dataclass(frozen=True, kw_only=True)
class SEISettings:
    """A checked connection."""

    endpoint: Endpoint
    api_key: str = field(repr=False)
    project_identifier: str | None = None
    org_identifier: str | None = None
    account_id: str | None = None
    auth_header: str | None = None
    """One of ``AUTH_HEADERS`` for every call; ``None`` takes the header that each API's own page names."""
    connect_timeout: float = 10.0
    """Seconds to reach the server."""
    read_timeout: float = 60.0
    """Seconds without a byte before an answer counts as lost."""
    ca_bundle: str | None = None
    """Path of a CA bundle to verify the server with; ``None``: that of ``REQUESTS_CA_BUNDLE``, else certifi's."""
    calls_per_minute: float = 240.0
    """Calls that one process spends on waiting per minute. The vendor allows 1000 a key, 400 by ``x-api-key``."""

    @classmethod
    def from_fields(
        cls,
        *,
        host: str | None,
        password: str | None,
        extra: Mapping[str, Any] | None = None,
        schema: str | None = None,
        port: int | None = None,
    ) -> SEISettings:
        """Read the fields of an Airflow connection.

        Raises:
            SEIUsageError: a field is missing or cannot be used; ``field`` names it.
        """
        extra = extra or {}
        if not isinstance(extra, Mapping):
            msg = f"the connection's extra must be a JSON object, not {type(extra).__name__}"
            raise SEIUsageError(msg, field="extra")
        header = _text(extra, "auth_header")
        if header is not None:
            header = _known_header(header)
        return cls(
            endpoint=Endpoint.from_host(host, schema=schema, port=port),
            api_key=_api_key(password),
            project_identifier=_text(extra, "project_identifier"),
            org_identifier=_text(extra, "org_identifier"),
            account_id=_text(extra, "account_id"),
            auth_header=header,
            connect_timeout=_number(extra, "connect_timeout", cls.connect_timeout, *_SECONDS),
            read_timeout=_number(extra, "read_timeout", cls.read_timeout, *_SECONDS),
            ca_bundle=_text(extra, "ca_bundle"),
            calls_per_minute=_number(extra, "calls_per_minute", cls.calls_per_minute, 1, 1000),
        )

    def overridden(
        self,
        *,
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
    ) -> SEISettings:
        """Return these settings with what an operator says instead; empty values change nothing."""
        return replace(
            self,
            project_identifier=project_identifier or self.project_identifier,
            org_identifier=org_identifier or self.org_identifier,
            account_id=account_id or self.account_id,
            auth_header=_known_header(auth_header) if auth_header else self.auth_header,
        )

    def url(self, request: HttpRequest) -> str:
        """Return the full URL of ``request``, identifiers included.

        Raises:
            SEIUsageError: the request needs an identifier that neither the connection nor the operator gives.
            SEIUnreadableError: the request's path leads to another origin.
        """
        identifiers = (
            ("projectIdentifier", "project_identifier", self.project_identifier),
            ("orgIdentifier", "org_identifier", self.org_identifier),
        )
        query = list(request.query)
        for parameter, name, value in identifiers:
            if value:
                query.append((parameter, value))
            elif request.identifiers_required:
                msg = f"{name} is missing: set it in the connection's extra or on the operator"
                raise SEIUsageError(msg, field=name)
        if request.account_parameter and self.account_id:
            query.append((request.account_parameter, self.account_id))
        return self.endpoint.url(request.path, query)

    def headers(self, request: HttpRequest, user_agent: str) -> dict[str, str]:
        """Return the headers of ``request``, the key among them."""
        headers = {"User-Agent": user_agent, "Accept": request.accept, "Accept-Encoding": "identity"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        name = self.auth_header or _DOCUMENTED_HEADER[request.api]
        headers[name] = f"ApiKey {self.api_key}" if name == "authorization" else self.api_key
        return headers


def _known_header(name: str) -> str:
    known = next((header for header in AUTH_HEADERS if header.casefold() == name.strip().casefold()), None)
    if known is None:
        guess = did_you_mean(name, AUTH_HEADERS)
        msg = f"auth_header {name!r} is not one that SEI reads{guess}; known: {', '.join(AUTH_HEADERS)}"
        raise SEIUsageError(msg, field="auth_header")
    return known


def _api_key(password: str | None) -> str:
    key = (password or "").strip()
    if not key:
        msg = "the API key is missing: set it as the connection's password"
        raise SEIUsageError(msg, field="password")
    if not key.isascii() or not key.isprintable() or " " in key:
        msg = "the API key (the connection's password) has characters that no HTTP header can carry"
        raise SEIUsageError(msg, field="password")
    return key


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = extra.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        msg = f"{name} in the connection's extra must be text, not {type(value).__name__}"
        raise SEIUsageError(msg, field=name)
    return str(value).strip() or None


def _number(extra: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = extra.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(value, bool) or not least <= number <= most:
        msg = f"{name} in the connection's extra must be a number from {least:g} to {most:g}, not {value!r}"
        raise SEIUsageError(msg, field=name)
    return number
