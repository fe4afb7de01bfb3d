"""Example DAGs on every supported version: deferred, resumed and delivered by ``airflow dags test``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version

from tests.separate_airflow import SeparateAirflow

pytestmark = pytest.mark.live

EXAMPLES = Path(__file__).parents[2] / "dags_examples"


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, airflow_version: Version) -> SeparateAirflow:
    """A separate Airflow, with a database and the example DAGs."""
    made = SeparateAirflow(home=tmp_path_factory.mktemp("airflow"))
    for example in EXAMPLES.glob("*.py"):
        text = example.read_text()
        if airflow_version < Version("3"):  # which has no airflow.sdk
            text = text.replace("from airflow.sdk import", "from airflow.providers.common.compat.sdk import")
        (made.home / "dags" / example.name).write_text(text)
    made.airflow("db", "migrate")
    return made


@pytest.fixture(scope="module")
def server(airflow: SeparateAirflow) -> Iterator[str]:
    """The local SEI server."""
    with airflow.server() as local:
        yield local


@pytest.mark.parametrize(
    ("dag_id", "date_end"),
    [("sei_export_one_task", "2024-01-31"), ("sei_export_create_wait_download", "2024-02-29")],
)
def test_it_defers_and_delivers(
    airflow: SeparateAirflow, server: str, tmp_path: Path, dag_id: str, date_end: str
) -> None:
    """The whole file of the server."""
    airflow.deliver(dag_id, server, tmp_path, team_id="456", date_start="2024-01-01", date_end=date_end)
