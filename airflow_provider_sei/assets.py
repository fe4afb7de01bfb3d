"""Assets: a scheme for what SEI exports, and what a delivery tells about itself in its asset events.

``sei://<organisation>/<project>/<family>`` names a family's metrics of a project, with ``/team/<id>`` or
``/tree/<name>`` behind it those of a team or an organisation tree. It is the input of an export, in lineage and for a
DAG that waits for exports which somebody else started; what an export delivers is an asset of its store (``s3://``,
``gs://``, ``file://``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import SplitResult, quote

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_sei.protocol.families import get_family

__all__ = ["Subject", "sanitize_uri", "scope_asset", "tell_outlets"]

log = logging.getLogger("airflow_provider_sei")

_KINDS = ("team", "tree")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check an ``sei://`` URI when a DAG is parsed; Airflow calls this by the provider's metadata.

    :raises ValueError: it does not name an organisation, a project and a family, or something else follows than a team
        or a tree.
    """
    parts = [part for part in uri.path.split("/") if part]
    if not uri.netloc or len(parts) not in (2, 4) or (len(parts) == 4 and parts[2] not in _KINDS):  # noqa: PLR2004 - its form
        msg = (
            f"{uri.geturl()!r} is not an SEI asset: sei://<organisation>/<project>/<family>, with /team/<id> or"
            " /tree/<name> behind it for one team or tree"
        )
        raise ValueError(msg)
    return uri._replace(path="/" + "/".join(parts), query="", fragment="")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What an export or a report is about."""

    family: str
    org_identifier: str | None = None
    project_identifier: str | None = None
    team_id: str | None = None
    org_tree_name: str | None = None
    date_start: str | None = None
    date_end: str | None = None

    @property
    def uri(self) -> str:
        """The ``sei://`` URI of what is read. The team goes before the tree that it is part of."""
        path = [self.org_identifier or "default", self.project_identifier or "default", self.family]
        if self.team_id:
            path += ["team", self.team_id]
        elif self.org_tree_name:
            path += ["tree", self.org_tree_name]
        return "sei://" + "/".join(quote(part, safe="") for part in path)

    def facts(self) -> dict[str, str]:
        """Return what is known of it, for asset events."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def scope_asset(
    family: str,
    *,
    org_identifier: str,
    project_identifier: str,
    team_id: str | None = None,
    org_tree_name: str | None = None,
    **kwargs: Any,
) -> Asset:
    """Return the asset of what an export reads.

    :param kwargs: passed to ``Asset``: ``group``, ``extra``, ``watchers``.
    """
    uri = Subject(
        family=get_family(family).name,
        org_identifier=org_identifier,
        project_identifier=project_identifier,
        team_id=team_id,
        org_tree_name=org_tree_name,
    ).uri
    return Asset(uri=uri, **kwargs)  # the URI is its name too; before Airflow 3.0 it has no other


def tell_outlets(
    context: Mapping[str, Any],
    outlets: list[Any],
    extra: Mapping[str, Any],
    partitions: list[str],
) -> None:
    """Put ``extra`` into the events of a task's outlets.

    An ``Asset`` gets it as it is; an ``AssetAlias`` also gets the delivered object as its asset. Must run in the task's
    last segment: what is set before a deferral is lost.

    :param partitions: partition keys for the events, on Airflow 3.3 and newer.
    """
    events = context.get("outlet_events")
    if events is None:
        return
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            events[outlet].add(Asset(str(extra["uri"])), extra=dict(extra))
        elif isinstance(outlet, Asset):
            event = events[outlet]
            event.extra.update(extra)
            if partitions and hasattr(event, "add_partitions"):
                event.add_partitions(partitions)
            elif partitions:
                log.warning("asset_partitions is left aside: this version of Airflow has no partitions of asset events")
