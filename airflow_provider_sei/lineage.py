"""OpenLineage: from which SEI scope a delivered object came, with its columns and its size.

Imported only when OpenLineage asks, so that nothing of it is needed otherwise.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset, OutputDataset
    from airflow.providers.common.compat.sdk import Asset
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_sei.delivery.deliver import Delivered

__all__ = ["asset_dataset", "lineage"]


def lineage(input_uri: str | None, delivered: Delivered | None) -> OperatorLineage[Any, Any]:
    """Return the lineage of a delivery.

    :param input_uri: the ``sei://`` URI of what was exported.
    :param delivered: what lies at the destination, if anything does.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(
        inputs=[_dataset(input_uri)] if input_uri else [],
        outputs=[_output(delivered)] if delivered else [],
    )


def asset_dataset(asset: Asset, _context: object) -> Dataset:
    """Return an ``sei://`` asset as OpenLineage names it: that of a task's inlets, or of hook-level lineage."""
    return _dataset(asset.uri)


def _dataset(uri: str) -> Dataset:
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, name = _names(uri)
    return Dataset(namespace=namespace, name=name)


def _output(delivered: Delivered) -> OutputDataset:
    from airflow.providers.common.compat.openlineage.facet import (
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )

    namespace, name = _names(delivered.uri)
    columns = next(csv.reader([delivered.header]), [])
    # CSV has no types; every column is text until somebody decides otherwise.
    schema = SchemaDatasetFacet(fields=[SchemaDatasetFacetFields(name=column, type="string") for column in columns])
    statistics = OutputStatisticsOutputDatasetFacet(rowCount=delivered.rows, size=delivered.bytes, fileCount=1)
    return OutputDataset(
        namespace=namespace, name=name, facets={"schema": schema}, outputFacets={"outputStatistics": statistics}
    )


def _names(uri: str) -> tuple[str, str]:
    # OpenLineage's naming: the store and its bucket are the namespace ("file" has neither), the rest is the name.
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return "file", parts.path
    return f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")
