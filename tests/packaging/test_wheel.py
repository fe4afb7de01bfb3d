"""The wheel in an empty environment: Airflow shows the provider, and an example DAG delivers."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.packaging.conftest import ROOT, Environment

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
def environment(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The installed wheel, with the pinned versions, and Airflow's database."""
    made = Environment(tmp_path_factory.mktemp("wheel"), str(distributions[0]), [ROOT / "constraints.txt"])
    made.airflow("db", "migrate")
    return made


@pytest.fixture(scope="module")
def server(environment: Environment) -> Iterator[str]:
    """The base URL of the wheel's local SEI server."""
    command = [environment.python, "-m", "airflow_provider_sei.local_server", "--seconds-to-complete", "2"]
    with subprocess.Popen(
        command, cwd=environment.home, env=environment.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def test_an_example_dag_delivers(environment: Environment, server: str, tmp_path: Path) -> None:
    """One of those inside the package: created, deferred, downloaded; nothing comes from this tree."""
    installed, in_this_tree, examples = environment.run("-c", CHECK, str(ROOT)).splitlines()[-3:]
    assert (installed, in_this_tree) == ("True", "[]")
    connection = {
        "conn_type": "harness_sei",
        "host": server,
        "password": "demo-key",
        "extra": {"project_identifier": "demo_project", "org_identifier": "default"},
    }
    environment.environment |= {
        "AIRFLOW__CORE__DAGS_FOLDER": examples,
        "AIRFLOW_CONN_SEI_DEFAULT": json.dumps(connection),
    }
    conf = json.dumps({"team_id": "456", "destination": f"{tmp_path}/"})
    output = environment.airflow("dags", "test", "sei_export_one_task", "--conf", conf)

    assert "in the triggerer" in output
    with urlopen(f"{server.removesuffix('/prod1/sei/api')}/_local/exports") as answer:  # noqa: S310 - the local server
        [export] = json.load(answer)
    [delivered] = tmp_path.iterdir()
    assert hashlib.sha256(delivered.read_bytes()).hexdigest() == export["body_sha256"], output


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
def test_airflow_shows_its_parts(environment: Environment, what: str, column: str, names: set[str]) -> None:
    """The provider under the distribution's name, connection type, triggers and extra links."""
    output = environment.airflow("providers", what, "--output", "json")
    rows = json.loads(output[output.index("[") :])  # after the lines of the log
    assert {row[column] for row in rows if "sei" in str(row.values()).lower()} == names


def test_a_missing_extra_is_named(environment: Environment) -> None:
    """The error says what to install."""
    output = environment.run("-c", MISSING)
    assert [f"install airflow-provider-sei[{extra}]" in output for extra in ("s3", "gcs", "azure")] == [True] * 3
