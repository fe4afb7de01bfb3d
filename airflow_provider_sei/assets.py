"""Assets: the ``sei://`` scheme for what SEI exports, and the asset events of deliveries.

``sei://<organisation>/<project>/<family>`` is a family's metrics of a project, followed by ``/team/<id>`` or
``/tree/<name>`` for one team or organisation tree. It is the input of an export, in lineage and for DAGs that wait for
exports that somebody else creates. The delivered object is an asset of its store (``s3://``, ``gs://``, ``file://``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import SplitResult, quote

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_sei.protocol.families import get_family

__all__ = ["ExportScope", "emit_asset_events", "sanitize_uri", "scope_asset"]

log = logging.getLogger("airflow_provider_sei")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check an ``sei://`` URI; Airflow calls this when a DAG is parsed.

    :raises ValueError: it does not have the form that the module describes.
    """
    parts = [part for part in uri.path.split("/") if part]
    if not uri.netloc or len(parts) not in (2, 4) or (len(parts) == 4 and parts[2] not in ("team", "tree")):  # noqa: PLR2004 - its form
        msg = (
            f"{uri.geturl()!r} is not an SEI asset: sei://<organisation>/<project>/<family>, followed by /team/<id> or"
            " /tree/<name> for one team or tree"
        )
        raise ValueError(msg)
    return uri._replace(path="/" + "/".join(parts), query="", fragment="")


@dataclass(frozen=True, kw_only=True)
class ExportScope:
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
        """The ``sei://`` URI of what is exported; a team takes precedence over its tree."""
        path = [self.org_identifier or "default", self.project_identifier or "default", self.family]
        if self.team_id:
            path += ["team", self.team_id]
        elif self.org_tree_name:
            path += ["tree", self.org_tree_name]
        return "sei://" + "/".join(quote(part, safe="") for part in path)

    def as_extra(self) -> dict[str, str]:
        """Return the fields that are set, for asset events."""
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

    :param family: the exports' family.
    :param org_identifier: Harness organisation.
    :param project_identifier: Harness project.
    :param team_id: only this team.
    :param org_tree_name: only this organisation tree.
    :param kwargs: passed to ``Asset``: ``group``, ``extra``, ``watchers``.
    """
    scope = ExportScope(
        family=get_family(family).name,
        org_identifier=org_identifier,
        project_identifier=project_identifier,
        team_id=team_id,
        org_tree_name=org_tree_name,
    )
    return Asset(uri=scope.uri, **kwargs)  # without a name, which Airflow has from 3.0 on


def emit_asset_events(
    context: Mapping[str, Any], outlets: list[Any], extra: Mapping[str, Any], partitions: list[str]
) -> None:
    """Add ``extra`` to the events of a task's outlets; an ``AssetAlias`` gets the delivered object as its asset.

    Must run in the task's last segment: what is set before a deferral is lost.

    :param partitions: partition keys of the events, on Airflow 3.3 and newer.
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
                log.warning("asset_partitions is ignored: this Airflow version has no partitions of asset events")
