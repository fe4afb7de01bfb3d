"""Each extra alone in an empty environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, install
from tests.separate_airflow import SeparateAirflow

pytestmark = pytest.mark.live

STORE = """
import {package}
from airflow.sdk.io.fs import has_fs
print(has_fs("{scheme}"))
"""
LINEAGE = """
from airflow_provider_sei.assets import lineage
print(lineage("sei://app.harness.io/default/my_project/ba", None).inputs[0].namespace)
"""
PARQUET = """
from airflow_provider_sei.delivery.parquet import ParquetPipeline
print(ParquetPipeline.__name__)
"""
USES = {
    "s3": (STORE.format(package="s3fs", scheme="s3"), "True"),
    "gcs": (STORE.format(package="gcsfs", scheme="gs"), "True"),
    "azure": (STORE.format(package="adlfs", scheme="abfs"), "True"),
    "parquet": (PARQUET, "ParquetPipeline"),
    "openlineage": (LINEAGE, "sei://app.harness.io"),
}


def install_extra(extra: str, wheel: Path, folder: Path, *more: str) -> SeparateAirflow:
    """Install the wheel with an extra, by the constraints of the tests; those of the extra's own file win."""
    files = [path for path in (ROOT / "constraints.txt", ROOT / "constraints" / f"{extra}.txt") if path.exists()]
    named = {line.partition("==")[0]: line for path in files for line in path.read_text().splitlines()}
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(named.values()))
    return install(folder, constraints, f"airflow-provider-sei[{extra}] @ {wheel.as_uri()}", *more)


@pytest.mark.parametrize("extra", USES)
def test_it_is_installable_and_usable(extra: str, distributions: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing else is needed."""
    code, output = USES[extra]
    assert install_extra(extra, distributions[0], tmp_path).run("-c", code).splitlines()[-1] == output


def test_a_google_connection_delivers(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    """By a service account's key, to the emulator."""
    airflow = install_extra("gcs", distributions[0], tmp_path, "gcp-storage-emulator")
    found = json.loads(airflow.run(str(Path(__file__).with_name("google_connection.py"))).splitlines()[-1])
    assert found == {"uri": "gs://lake/sei/file.csv", "same": True, "rows": 3_999_999, "tokens": 1}
