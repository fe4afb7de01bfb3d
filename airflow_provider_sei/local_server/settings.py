"""How a local server behaves: one value, the same for the command line and for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["AUTHORIZATION", "SEI_API_KEY", "X_API_KEY", "ServerSettings"]

# The three headers which the vendor's pages name for the key.
AUTHORIZATION = "authorization"
SEI_API_KEY = "SEI_API_KEY"
X_API_KEY = "x-api-key"


def _setting(default: Any, meaning: str, **argument: Any) -> Any:
    """Declare a setting: its default, its meaning, and what argparse must know beyond the default's type."""
    return dataclasses.field(default=default, metadata={"help": meaning, "argument": argument})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Everything that can be chosen about a local server; ``python -m airflow_provider_sei.local_server --help``.

    Durations are seconds of the server's clock. Every field's meaning is in its metadata, which the command line shows.
    """

    base_path: str = _setting("/prod1/sei/api", "path in front of every API path; requests without it get a 404")
    api_key: str = _setting("demo-key", "the key that may do everything")
    colleague_key: str = _setting(
        "demo-colleague-key", "a second such key, of another user (see the list's scope=mine)"
    )
    ingestion_key: str = _setting("demo-ingestion-key", "a key that is known but may not read: 403")
    project: str = _setting("demo_project", "the projectIdentifier the keys belong to; another one gets a 403")
    org: str = _setting("default", "the orgIdentifier the keys belong to; another one gets a 403")

    queued_seconds: float = _setting(1.0, "how long an export is queued, counted within the seconds to complete")
    seconds_to_complete: float = _setting(3.0, "how long an export takes from its creation")
    reuse_seconds: float = _setting(1800.0, "how long an identical request gets the existing export")
    clock_speed: float = _setting(1.0, "seconds of the server's clock per real second; 0 stands still until advanced")

    compression: Literal["auto", "gzip", "plain"] = _setting(
        "auto",
        "gzip: every file; plain: only when the request asks for gzip; auto: also from --large-bytes on",
        choices=("auto", "gzip", "plain"),
    )
    large_bytes: int = _setting(1_000_000, "size of the CSV, in bytes, from which auto compresses")
    download_bytes: int | None = _setting(None, "make every exported CSV exactly this many bytes", type=int)

    leaf_teams: int = _setting(7, "leaf teams of the org tree Engineering; the last one has no developers")
    developers_per_team: int = _setting(5, "developers of each other leaf team")

    rate_limit_per_minute: int | None = _setting(
        None, "calls a minute per key (the vendor: 1000); off if unset", type=int
    )
    x_api_key_limit_per_minute: int | None = _setting(
        None, "calls a minute per key sent as x-api-key (the vendor: 400); off if unset", type=int
    )

    v2_headers: tuple[str, ...] = _setting(
        (AUTHORIZATION, SEI_API_KEY), "key headers that export and team calls accept", nargs="+"
    )
    legacy_headers: tuple[str, ...] = _setting(
        (X_API_KEY, AUTHORIZATION), "key headers that legacy reports accept", nargs="+"
    )
    strict_metrics: bool = _setting(default=False, meaning="refuse metrics and groups that no document names")
    strict_body: bool = _setting(default=True, meaning="refuse body fields that no document names")
    require_account: bool = _setting(
        default=True, meaning="GET of teams and org trees needs the account, as OpenAPI says"
    )
    collection_paths: Literal["both", "first", "alternate"] = _setting(
        "both",
        "which spelling of a family with two collection paths (sprint) is served",
        choices=("both", "first", "alternate"),
    )
    download_aliases: bool = _setting(
        default=True, meaning="name sprint downloads by efficiency/sprints/export, as OpenAPI shows"
    )
    kept_requests: int = _setting(100_000, "how many requests the journal keeps")

    def changed(self, changes: Mapping[str, Any]) -> ServerSettings:
        """Return these settings with ``changes`` applied.

        Raises:
            ValueError: a name is not a setting.
        """
        unknown = sorted(set(changes) - {field.name for field in dataclasses.fields(self)})
        if unknown:
            msg = f"not a setting of the local SEI server: {', '.join(unknown)}"
            raise ValueError(msg)
        return dataclasses.replace(self, **changes)
