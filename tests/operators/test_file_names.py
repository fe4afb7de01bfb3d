"""The names of delivered files: the same request must be delivered under the same name by every release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei.operators.sei import SEIExportOperator, SEILegacyReportOperator

NAMES = json.loads((Path(__file__).parent / "file_names.json").read_text("utf-8"))


@pytest.mark.parametrize("layout", ["flat", "hive"])
@pytest.mark.parametrize("golden", NAMES, ids=lambda golden: golden["flat"])
@pytest.mark.usefixtures("worker_clock")
def test_a_request_keeps_its_file_name(golden: Any, layout: str, sei_connection: str, tmp_path: Path) -> None:
    """The eight characters at the end are the start of the request's fingerprint."""
    operator = {"export": SEIExportOperator, "report": SEILegacyReportOperator}[golden["operator"]]
    given = {"destination": f"{tmp_path}/", "sei_conn_id": sei_connection, "account_id": "acc"}
    operator(task_id="deliver", layout=layout, **given, **golden["arguments"]).execute({})
    files = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [golden[layout]]
