"""docs/architecture.md: the family that the page adds works from the create call to the delivered file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.sensors.sei import SEIExportSensor
from tests.docs.pages import DOCS, README, block, table
from tests.test_layers import FORBIDDEN

PAGE = DOCS / "architecture.md"


@pytest.fixture
def family(sei_server: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page's sixth family, declared before the server is made."""
    names: dict[str, Any] = {}
    exec(block(PAGE, "SECURITY = ExportFamily("), names)  # noqa: S102 - the page's own code
    monkeypatch.setitem(FAMILIES, names["SECURITY"].name, names["SECURITY"])
    sei_server.reset()
    return str(names["SECURITY"].name)


@pytest.mark.usefixtures("sei_connection")
def test_a_sixth_family_is_one_declaration(sei_server: Any, fire: Any, tmp_path: Path, family: str) -> None:
    """Operator, sensor, trigger, hook, naming, lists and the local server know it."""
    request = {"family": family, "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-03-31"}
    operator = SEIExportOperator(task_id="export", destination=f"{tmp_path}/", metric_groups=["findings"], **request)
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


def test_the_layers_that_are_drawn_are_those_that_a_test_holds() -> None:
    """By the names of the boxes."""
    drawn = set(re.findall(r'class="t"[^>]*>([^<]+)<', PAGE.read_text()))
    boxes = {name.strip() for words in drawn for name in words.split(",")}
    assert {box for box in boxes if box not in FORBIDDEN and f"{box}.py" not in FORBIDDEN} == set()


def test_the_readme_has_the_same_families() -> None:
    """With all their groups."""
    rows = {re.findall(r"`([^`]+)`", row[0])[0]: row[1] for row in table(README, "Metric groups")}
    assert list(rows) == list(FAMILIES)
    newer = {name: [group for group in each.metric_groups if group in rows[name]] for name, each in FAMILIES.items()}
    assert all(newer[name] or "none" in rows[name] for name in FAMILIES)
