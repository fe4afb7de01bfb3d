"""The wheel in an empty environment: Airflow shows the provider, and an example DAG delivers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, install
from tests.separate_airflow import SeparateAirflow

pytestmark = pytest.mark.live

CHECK = """
import sys
from pathlib import Path
import airflow_provider_sei, airflow_provider_sei.example_dags as examples
print(Path(airflow_provider_sei.__file__).is_relative_to(sys.prefix))
print([entry for entry in sys.path if Path(entry).is_relative_to(sys.argv[1])])
print(*examples.__path__)
"""
MISSING = """
from airflow_provider_sei.delivery.pipeline import find_store
from airflow_provider_sei.exceptions import SEIArgumentError
for url in ("s3://bucket/sei/", "gs://bucket/sei/", "abfs://container/sei/"):
    try:
        find_store(url)
    except SEIArgumentError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def airflow(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> SeparateAirflow:
    """The installed wheel, with the pinned versions, and Airflow's database."""
    made = install(tmp_path_factory.mktemp("wheel"), ROOT / "constraints.txt", str(distributions[0]))
    made.airflow("db", "migrate")
    return made


def test_an_example_dag_delivers(airflow: SeparateAirflow, tmp_path: Path) -> None:
    """One of those inside the package, from its own server; nothing comes from this tree."""
    installed, in_this_tree, examples = airflow.run("-c", CHECK, str(ROOT)).splitlines()[-3:]
    assert (installed, in_this_tree) == ("True", "[]")
    airflow.environment["AIRFLOW__CORE__DAGS_FOLDER"] = examples
    with airflow.server() as local:
        airflow.deliver("sei_export_one_task", local, tmp_path, team_id="456")


@pytest.mark.parametrize(
    ("what", "column", "names"),
    [
        ("list", "package_name", {"airflow-provider-sei"}),
        ("hooks", "connection_type", {"harness_sei"}),
        ("triggers", "class", {f"airflow_provider_sei.triggers.{name}" for name in ("sei", "watcher")}),
        (
            "links",
            "extra_link_class_name",
            {f"airflow_provider_sei.links.SEI{name}Link" for name in ("Insights", "Object")},
        ),
    ],
)
def test_airflow_shows_its_parts(airflow: SeparateAirflow, what: str, column: str, names: set[str]) -> None:
    """The provider under the distribution's name, connection type, triggers and extra links."""
    output = airflow.airflow("providers", what, "--output", "json")
    rows = json.loads(output[output.index("[") :])  # after the lines of the log
    assert {row[column] for row in rows if "sei" in str(row.values()).lower()} == names


def test_a_missing_extra_is_named(airflow: SeparateAirflow) -> None:
    """The error says what to install."""
    output = airflow.run("-c", MISSING)
    assert [f"install airflow-provider-sei[{extra}]" in output for extra in ("s3", "gcs", "azure")] == [True] * 3
