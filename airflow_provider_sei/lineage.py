"""OpenLineage: which SEI scope a delivered object came from, with its columns and size."""

from __future__ import annotations

import csv
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset, OutputDataset
    from airflow.providers.common.compat.sdk import Asset
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_sei.delivery.pipeline import DeliveryResult
    from airflow_provider_sei.hooks.sei import SEIHook

__all__ = ["asset_dataset", "lineage", "report_lineage"]

log = logging.getLogger("airflow_provider_sei")


def lineage(input_uri: str | None, delivered: DeliveryResult | None) -> OperatorLineage[Any, Any]:
    """Return the lineage of a delivery.

    :param input_uri: the ``sei://`` URI of what was exported.
    :param delivered: the delivered object, if there is one.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(
        inputs=[_dataset(input_uri)] if input_uri else [],
        outputs=[_output(delivered)] if delivered else [],
    )


def asset_dataset(asset: Asset, _context: object) -> Dataset:
    """Return an ``sei://`` asset as an OpenLineage dataset; Airflow calls this for inlets and hook-level lineage."""
    return _dataset(asset.uri)


def report_lineage(hook: SEIHook, input_uri: str, delivered: DeliveryResult) -> None:
    """Report a hook's delivery to Airflow's lineage collector, for ``@task`` functions that call the hook.

    OpenLineage reads the collector only if the operator itself reports nothing. The file is already delivered, so
    errors are logged at debug level only.
    """
    try:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        collector = get_hook_lineage_collector()
        collector.add_input_asset(context=hook, uri=input_uri)
        collector.add_output_asset(context=hook, uri=delivered.uri)
    except Exception:
        log.debug("could not report the lineage of %s", delivered.uri, exc_info=True)


def _dataset(uri: str) -> Dataset:
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, name = _names(uri)
    return Dataset(namespace=namespace, name=name)


def _output(delivered: DeliveryResult) -> OutputDataset:
    from airflow.providers.common.compat.openlineage.facet import (
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )

    namespace, name = _names(delivered.uri)
    columns = next(csv.reader([delivered.header]), [])
    schema = SchemaDatasetFacet(fields=[SchemaDatasetFacetFields(name=column, type="string") for column in columns])
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=delivered.rows, size=delivered.bytes, fileCount=1)
    return OutputDataset(
        namespace=namespace, name=name, facets={"schema": schema}, outputFacets={"outputStatistics": statistics}
    )


def _names(uri: str) -> tuple[str, str]:
    # OpenLineage's naming: scheme and bucket are the namespace ("file" has no bucket), the rest is the name.
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return "file", parts.path
    return f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")
