"""docs/architecture.md: the family that the page adds works from the create call to the delivered file."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

import airflow_provider_sei
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.protocol.export_request import ExportRequest
from airflow_provider_sei.protocol.exports import create_call
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.sensors.sei import SEIExportSensor
from tests.docs.pages import DOCS, README, block, codes


@pytest.mark.usefixtures("sei_connection")
def test_a_sixth_family_is_one_declaration(
    sei_server: Any, fire: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operator, sensor, trigger, hook, file names, lists and the local server support it."""
    names: dict[str, Any] = {}
    exec(block(DOCS / "architecture.md", "SECURITY = ExportFamily("), names)  # noqa: S102 - the page's own code
    family = names["SECURITY"].name
    monkeypatch.setitem(FAMILIES, family, names["SECURITY"])
    sample = json.loads(block(DOCS / "architecture.md", '"security, curl"'))
    example = ExportRequest.from_arguments(**sample["arguments"])
    request = create_call(names["SECURITY"], example.body()).request
    assert (f"/{request.path}", request.body) == (sample["path"], sample["body"])
    assert example.warnings == ()
    sei_server.reset()
    arguments = {"family": family, "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-03-31"}
    operator = SEIExportOperator(task_id="export", destination=f"{tmp_path}/", metric_groups=["findings"], **arguments)
    sei_server.faults.add("status", "status_word", word="processing", times=1)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({})
    result = operator.execute_complete({}, fire(deferred.value.trigger))
    [record] = sei_server.exports
    assert record.request["options"] == {"granularity": "MONTHLY"}
    [file] = tmp_path.iterdir()
    assert file.name.startswith("security_team-456_2024-01-01_2024-03-31_")
    assert (file.read_bytes(), result["family"]) == (record.csv, family)
    assert [export.export_id for export in SEIHook().iter_exports(family)] == [record.export_id]
    waited = SEIExportSensor(task_id="wait", family=family, export_id=record.export_id).execute({})
    assert waited == record.export_id


def test_no_other_module_of_the_package_has_a_familys_name() -> None:
    """One place, and the README; two are also parts of legacy reports. The local server has columns of each family."""
    assert set(FAMILIES) <= set(codes(README))
    package = Path(airflow_provider_sei.__file__).parent
    for path in package.rglob("*.py"):
        if path.name != "families.py" and "local_server" not in path.parts:
            nodes = ast.walk(ast.parse(path.read_text()))
            constants = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
            assert constants & set(FAMILIES) <= {"productivity", "efficiency"}, path
