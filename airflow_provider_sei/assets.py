"""Assets and lineage: the ``sei://`` scheme for what SEI exports, the asset events of deliveries, and OpenLineage.

``sei://<account>/<organisation>/<project>/<family>`` is a family's metrics of a project, followed by ``/team/<id>``
or ``/tree/<name>`` for one team or tree. It is the input of an export, in lineage and for DAGs that wait for exports
that somebody else creates. The delivered object is an asset of its store (``s3://``, ``gs://``, ``file://``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, urlsplit

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_sei.protocol.families import get_family

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset, OutputDataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_sei.delivery.pipeline import DeliveryResult
    from airflow_provider_sei.hooks.sei import SEIHook

log = logging.getLogger("airflow_provider_sei")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check that an ``sei://`` URI has its form; Airflow calls this when a DAG is parsed."""
    parts = [part for part in uri.path.split("/") if part]
    if not uri.netloc or len(parts) not in (3, 5) or (len(parts) == 5 and parts[3] not in ("team", "tree")):  # noqa: PLR2004 - its form
        msg = (
            f"{uri.geturl()!r} is not an SEI asset: sei://<account>/<organisation>/<project>/<family>, followed by"
            " /team/<id> or /tree/<name> for one team or tree"
        )
        raise ValueError(msg)
    return uri._replace(path="/" + "/".join(parts), query="", fragment="")


def scope_uri(scope: Mapping[str, str | None]) -> str:
    """Return the ``sei://`` URI of what is exported; a team takes precedence over its tree.

    :param scope: ``family``, ``account``, ``org_identifier``, ``project_identifier``, ``team_id``, ``org_tree_name``.
    """
    names = ("account", "org_identifier", "project_identifier", "family")
    path = [scope.get(name) or "default" for name in names]
    if team_id := scope.get("team_id"):
        path += ["team", team_id]
    elif tree := scope.get("org_tree_name"):
        path += ["tree", tree]
    return "sei://" + "/".join(quote(str(part), safe="") for part in path)


def scope_asset(
    family: str,
    *,
    account: str,
    org_identifier: str,
    project_identifier: str,
    team_id: str | None = None,
    org_tree_name: str | None = None,
    **kwargs: Any,
) -> Asset:
    """Return the asset of what an export reads: a family's metrics of a project, of one team, or of one tree.

    :param account: the connection's ``account_id``; if it has none, its host: an alias, or the base URL without scheme.
    :param kwargs: passed to ``Asset``: ``group``, ``extra``, ``watchers``.
    """
    scope = {"family": get_family(family).name, "team_id": team_id, "org_tree_name": org_tree_name}
    place = {"account": account, "org_identifier": org_identifier, "project_identifier": project_identifier}
    return Asset(uri=scope_uri(scope | place), **kwargs)  # without a name, which Airflow has from 3.0 on


def emit_asset_events(
    context: Mapping[str, Any], outlets: list[Any], extra: Mapping[str, Any], partitions: list[str]
) -> None:
    """Add ``extra`` to the events of a task's outlets; an ``AssetAlias`` gets each delivered object as an asset.

    Its URI is percent-encoded, that in ``extra`` is not. Must run in the task's last segment: what is set before
    a deferral is lost.
    """
    events: Any = context.get("outlet_events")
    for outlet in outlets if events is not None else ():
        if isinstance(outlet, AssetAlias):
            shared = {name: value for name, value in extra.items() if name != "files"}
            for file in extra.get("files", [extra]):
                try:  # Airflow takes 1,500 characters of ASCII; the object is delivered already
                    asset = Asset(quote(file["uri"], safe="/:@!$&'()*+,;="))
                    events[outlet].add(asset, extra=shared | dict(file))
                except ValueError as error:
                    log.warning("%s gets no event for %s: %s", outlet.name, file["uri"], error)
        elif isinstance(outlet, Asset):
            event = events[outlet]
            event.extra.update(extra)
            if partitions and hasattr(event, "add_partitions"):
                event.add_partitions(partitions)
            elif partitions:
                log.warning("asset_partitions is ignored: this Airflow version has no partitions of asset events")


def lineage(input_uri: str | None, delivered: DeliveryResult | None) -> OperatorLineage[Any, Any]:
    """Return the lineage of a delivery: the ``sei://`` URI of what was exported, and the delivered object, if any."""
    from airflow.providers.openlineage.extractors import OperatorLineage

    inputs = [asset_dataset(Asset(uri=input_uri), None)] if input_uri else []
    return OperatorLineage(inputs=inputs, outputs=[_output(delivered)] if delivered else [])


def asset_dataset(asset: Asset, _context: object) -> Dataset:
    """Return an ``sei://`` asset as an OpenLineage dataset; Airflow calls this for inlets and hook-level lineage."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, name = _names(asset.uri or "")
    return Dataset(namespace=namespace, name=name)


def report_lineage(hook: SEIHook, input_uri: str, delivered: DeliveryResult) -> None:
    """Report a hook's delivery to Airflow's lineage collector, for ``@task`` functions that call the hook.

    OpenLineage reads it only if the operator reports nothing. Errors are logged: the file is already delivered.
    """
    try:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        collector = get_hook_lineage_collector()
        collector.add_input_asset(context=hook, uri=input_uri)
        collector.add_output_asset(context=hook, uri=delivered.uri)
    except Exception:
        log.debug("could not report the lineage of %s", delivered.uri, exc_info=True)


def _output(delivered: DeliveryResult) -> OutputDataset:
    from airflow.providers.common.compat.openlineage import facet

    namespace, name = _names(delivered.uri)
    fields = [facet.SchemaDatasetFacetFields(name=column, type="string") for column in delivered.columns]
    schema = facet.SchemaDatasetFacet(fields=fields)
    statistics = facet.OutputStatisticsOutputDatasetFacet(rowCount=delivered.rows, size=delivered.bytes, fileCount=1)
    return facet.OutputDataset(
        namespace=namespace, name=name, facets={"schema": schema}, outputFacets={"outputStatistics": statistics}
    )


def _names(uri: str) -> tuple[str, str]:
    # OpenLineage's naming: scheme and bucket are the namespace ("file" has no bucket), the rest is the name.
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return "file", parts.path
    return f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")
