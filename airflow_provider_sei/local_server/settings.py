"""The settings of a local server, for the command line and for tests."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

__all__ = ["AUTHORIZATION", "SEI_API_KEY", "X_API_KEY", "ServerSettings"]

# The three headers that the vendor's documents name for the API key.
AUTHORIZATION = "authorization"
SEI_API_KEY = "SEI_API_KEY"
X_API_KEY = "x-api-key"


def _setting(default: Any, meaning: str, **argument: Any) -> Any:
    return dataclasses.field(default=default, metadata={"help": meaning, "argument": argument})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """All settings of a local server; ``python -m airflow_provider_sei.local_server --help`` describes each.

    Durations are seconds of the server's clock.
    """

    base_path: str = _setting("/prod1/sei/api", "prefix of every API path; requests without it get a 404")
    api_key: str = _setting("demo-key", "the key with access to everything")
    colleague_key: str = _setting(
        "demo-colleague-key", "a second such key, of another user (see the list's scope=mine)"
    )
    ingestion_key: str = _setting("demo-ingestion-key", "a valid key without permission to read: 403")
    service_account_token: str = _setting(
        "demo-service-account-token", "a token that every call takes in x-api-key, with the account in Harness-Account"
    )
    account: str = _setting("demo_account", "the account of that token; another one gets a 401")
    project: str = _setting("demo_project", "the projectIdentifier of the keys; another one gets a 403")
    org: str = _setting("default", "the orgIdentifier of the keys; another one gets a 403")
    queued_seconds: float = _setting(1.0, "how long an export is queued; part of the seconds to complete")
    seconds_to_complete: float = _setting(3.0, "how long an export takes, from its creation")
    reuse_seconds: float = _setting(1800.0, "how long an identical request gets the existing export")
    clock_speed: float = _setting(1.0, "seconds of the server's clock per real second; 0 stops it until advanced")
    compression: Literal["auto", "gzip", "plain"] = _setting(
        "auto",
        "gzip: every file; plain: only when the request asks for gzip; auto: also from --large-bytes on",
        choices=("auto", "gzip", "plain"),
    )
    large_bytes: int = _setting(1_000_000, "size of the CSV, in bytes, from which auto compresses")
    download_bytes: int | None = _setting(None, "make every exported CSV exactly this many bytes", type=int)
    leaf_teams: int = _setting(7, "leaf teams of the org tree Engineering; the last one has no developers")
    developers_per_team: int = _setting(5, "developers of each other leaf team")
    rate_limit_per_minute: int | None = _setting(None, "calls per minute and key; the vendor: 1000", type=int)
    x_api_key_limit_per_minute: int | None = _setting(None, "the same for x-api-key; the vendor: 400", type=int)
    v2_headers: tuple[str, ...] = _setting(
        (AUTHORIZATION, SEI_API_KEY), "key headers that export and team calls accept", nargs="+"
    )
    legacy_headers: tuple[str, ...] = _setting(
        (X_API_KEY, AUTHORIZATION), "key headers that legacy reports accept", nargs="+"
    )
    strict_metrics: bool = _setting(default=False, meaning="reject undocumented metrics and metric groups")
    strict_body: bool = _setting(default=True, meaning="reject undocumented body fields")
    require_account: bool = _setting(
        default=True, meaning="GET of teams and org trees needs the account, as in OpenAPI"
    )
    collection_paths: Literal["both", "first", "alternate"] = _setting(
        "both",
        "which paths of a family with two collection paths (sprint) are served",
        choices=("both", "first", "alternate"),
    )
    download_aliases: bool = _setting(
        default=True, meaning="sprint downloads at efficiency/sprints/export, as in OpenAPI"
    )
    kept_requests: int = _setting(100_000, "how many requests the request log keeps")
