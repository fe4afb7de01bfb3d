"""Each extra alone in an empty environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Environment

pytestmark = pytest.mark.live

CONSTRAINTS = ROOT / "constraints.txt"
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


def constraints(extra: str, folder: Path) -> Path:
    """Return the constraints of the tests, with_overrides by those of the extra's own file."""
    own = ROOT / "constraints" / f"{extra}.txt"
    if not own.exists():
        return CONSTRAINTS
    named = {line.partition("==")[0]: line for line in (*lines(CONSTRAINTS), *lines(own))}
    merged = folder / own.name
    merged.write_text("\n".join(named.values()))
    return merged


def lines(path: Path) -> list[str]:
    """Return the lines of a file."""
    return path.read_text().splitlines()


@pytest.mark.parametrize("extra", USES)
def test_it_is_installable_and_usable(extra: str, distributions: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing else is needed."""
    code, output = USES[extra]
    requirement = f"airflow-provider-sei[{extra}] @ {distributions[0].as_uri()}"
    environment = Environment(tmp_path / extra, requirement, [constraints(extra, tmp_path)])
    assert environment.run("-c", code).splitlines()[-1] == output


def test_a_google_connection_delivers(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    """By a service account's key, to the emulator."""
    requirement = f"airflow-provider-sei[gcs] @ {distributions[0].as_uri()}"
    environment = Environment(tmp_path, requirement, [constraints("gcs", tmp_path)], "gcp-storage-emulator")
    found = json.loads(environment.run(str(Path(__file__).with_name("google_connection.py"))).splitlines()[-1])
    assert found == {"uri": "gs://lake/sei/file.csv", "same": True, "rows": 3_999_999, "tokens": 1}
