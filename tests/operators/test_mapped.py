"""The instances of a mapped task: none replaces another's file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task, task_group

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIDownloadExportOperator, SEIExportOperator, SEILegacyReportOperator
from tests.operators.conftest import REQUEST

TEAMS, LEVELS, REPORTS = {"team_id": ["456", "123"]}, {"level": ["team", "developer"]}, {"collection_id": ["456", "1"]}
MONTHS = [{"date_start": f"2024-0{month}-01", "date_end": f"2024-0{month}-28"} for month in (1, 2)]
HIVE = {"destination": "hive/", "layout": "hive"}
ONE = [
    *((TEAMS, {"destination": name}) for name in ("x.csv", "{{ params.name }}.csv", "{period}.csv")),
    (TEAMS, {"default_args": {"destination": "x.csv"}}),
    (TEAMS | LEVELS, {"destination": "{team_id}.csv"}),
    (LEVELS, HIVE),
    (MONTHS, {"destination": "{team_id}.csv"}),
    ((), {"destination": "x.csv"}),
    (REPORTS, {"destination": "x.csv"}),
    ({"export_id": ["e1", "e2"]}, {"destination": "{family}.csv"}),
]
SEVERAL = [
    *((TEAMS, {"destination": name}) for name in ("flat/", "{team_id}.csv", "{{ ti.map_index }}.csv")),
    *((over, HIVE) for over in (TEAMS, MONTHS)),
    (LEVELS, {**HIVE, "destination": "{fingerprint}/"}),
    (MONTHS, {"destination": "{date_end}.csv"}),
    ({"project_identifier": ["demo_project", "another"]}, {"destination": "{project}.csv"}),
    ({"destination": ["x.csv", "y.csv"]}, {}),
    ([{"destination": "x.csv"}, {"destination": "y.csv", "team_id": "1"}], {}),
    ((), {"destination": "{period}.csv"}),
    (REPORTS, {"destination": "{team_id}.csv"}),
]


@task
def listed() -> Any:
    """Stand for a task that lists what is not known when the DAG is parsed."""


def first_instance(over: Any, default_args: Any = (), **given: Any) -> Any:
    """Map an operator over a dict, a list, or with an empty tuple over another task's result; return one instance."""
    kind, fixed = SEIExportOperator, REQUEST
    if "collection_id" in over:
        kind, fixed = SEILegacyReportOperator, MONTHS[0]
    elif "export_id" in over:
        kind, fixed = SEIDownloadExportOperator, {"family": "ba"}
    first = {name: values[0] for name, values in over.items()} if isinstance(over, dict) else (*over, {})[0]
    with DAG("d", schedule=None, default_args=dict(default_args)):
        partial = kind.partial(task_id="t", **{k: v for k, v in (fixed | given).items() if k not in first})
        mapped = partial.expand(**over) if isinstance(over, dict) else partial.expand_kwargs(over or listed())
    return mapped.unmap(first)


def in_a_group(destination: str) -> Any:
    """Return an operator of a mapped task group."""
    with DAG("d", schedule=None) as dag:

        @task_group
        def each(team: str) -> None:
            SEIExportOperator(task_id="t", **REQUEST | {"team_id": team, "destination": destination})

        each.expand(team=["456", "123"])
    return dag.get_task("each.t")


def execute(operator: Any, folder: Path) -> Any:
    """Render the arguments and execute the operator as the first instance; its destination is in the folder."""
    ti = SimpleNamespace(map_index=0, max_tries=0, xcom_push=lambda **_: None)
    operator.destination = f"{folder}/{operator.destination}"
    operator.render_template_fields({"ti": ti, "params": {"name": "x"}, "expanded_ti_count": 2})
    return operator.execute({"ti": ti})


@pytest.mark.parametrize(("over", "arguments"), ONE)
@pytest.mark.usefixtures("sei_connection", "worker_clock")
def test_one_object_for_all_instances_is_refused(over: Any, arguments: Any, sei_server: Any, tmp_path: Path) -> None:
    """Before anything is created: all tasks would be green, and only the last one's file would be there."""
    with pytest.raises(exceptions.SEIArgumentError, match="is one object, which each instance of the mapped"):
        execute(first_instance(over, **arguments), tmp_path)
    assert sei_server.requests == []


@pytest.mark.parametrize(("over", "arguments"), SEVERAL)
@pytest.mark.usefixtures("sei_connection", "worker_clock")
def test_an_object_for_each_instance_is_delivered(over: Any, arguments: Any, tmp_path: Path) -> None:
    """Whatever tells the instances apart."""
    assert execute(first_instance(over, **arguments), tmp_path)["uri"].startswith(f"file://{tmp_path}/")


@pytest.mark.usefixtures("sei_connection", "worker_clock")
def test_a_mapped_group_is_treated_likewise(tmp_path: Path) -> None:
    """Its tasks are not mapped themselves, but have an index."""
    with pytest.raises(exceptions.SEIArgumentError, match="is one object"):
        execute(in_a_group("x.csv"), tmp_path)
    operator = in_a_group("{team_id}.csv")
    operator.team_id = "456"
    assert execute(operator, tmp_path)["uri"].endswith("/456.csv")


def test_a_name_that_the_run_gives_is_checked(run: Any, tmp_path: Path) -> None:
    """Run by Airflow; ``tests/test_dags_examples.py`` has a name that is accepted."""
    assert run("fan_out_in_one", destination=f"{tmp_path}/x.csv").state == "failed"
    assert list(tmp_path.iterdir()) == []
