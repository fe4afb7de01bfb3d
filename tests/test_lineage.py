"""What OpenLineage is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_sei.delivery.deliver import Delivered

DELIVERED = Delivered(uri="s3://lake/sei/a.csv", bytes=10, rows=2, sha256="0" * 64, header='Team,"Lead Time, days"')


def test_the_object_has_columns_rows_and_size() -> None:
    """The CSV's header is the schema."""
    pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
    from airflow_provider_sei.lineage import lineage

    found = lineage("sei://default/p/productivity/team/456", DELIVERED)
    [source], [target] = found.inputs, found.outputs
    assert (source.namespace, source.name) == ("sei://default", "p/productivity/team/456")
    assert (target.namespace, target.name) == ("s3://lake", "sei/a.csv")
    assert [field.name for field in target.facets["schema"].fields] == ["Team", "Lead Time, days"]
    statistics = target.outputFacets["outputStatistics"]
    assert (statistics.rowCount, statistics.size) == (2, 10)


def test_a_failed_task_still_has_its_input() -> None:
    """Nothing was delivered, but it is known from what."""
    pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
    from airflow_provider_sei.lineage import lineage

    found = lineage("sei://default/p/productivity", None)
    assert [len(found.inputs), len(found.outputs)] == [1, 0]


def test_operators_do_not_need_openlineage() -> None:
    """It is imported when it asks, and not before."""
    code = (
        "import sys, airflow_provider_sei.operators.sei;"
        "print([m for m in ('openlineage.client', 'airflow_provider_sei.lineage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
