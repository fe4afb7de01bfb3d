"""docs/testing.md: its blocks, pasted into an empty folder with a fresh home, are tests that pass on every version."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCKS = re.findall(r"^```python\n(?:# (\S+\.py)\n)?(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
FILES = {name or f"test_block_{number}.py": text for number, (name, text) in enumerate(BLOCKS)}
PLUGIN = ("-p", "no:sei", "-p", "airflow_provider_sei.pytest_plugin", "--strict-markers", "-p", "no:cacheprovider")


@pytest.mark.live
def test_the_pasted_blocks_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, airflow_version: Version
) -> None:
    """And leave the reader's home as it was."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
        monkeypatch.delenv(name)
    home = pytester.mkdir("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(PAGE.parents[1]))
    assert {"conftest.py", "dags/team_metrics.py", "test_team_metrics.py"} <= set(FILES)
    for name, text in FILES.items():
        file = pytester.path / name
        file.parent.mkdir(exist_ok=True)
        sdk = "airflow.sdk" if airflow_version >= Version("3.0") else "airflow.providers.common.compat.sdk"
        file.write_text(text.replace("airflow.sdk", sdk))
    outcomes = pytester.runpytest_subprocess(*PLUGIN)
    outcomes.assert_outcomes(passed=sum(text.count("def test_") for text in FILES.values()))
    assert list(home.iterdir()) == []


@pytest.mark.filterwarnings("ignore")  # Airflow's own, when it creates its tables
@pytest.mark.parametrize(
    ("name", "text", "dag_id", "reason"),
    [
        ("dags/absent.py", "", None, "there is no file .*/dags/absent.py"),
        ("broken.py", "from airflow import DAG\nimport missing_module", None, "No module named 'missing_module'"),
        ("one.py", FILES["dags/team_metrics.py"], "other", r"has the DAGs \['team_metrics'\]; dag_id is 'other'"),
    ],
    ids=["file", "import", "dag"],
)
def test_what_cannot_run_fails_with_its_reason(
    run_dag: Callable[..., Any], tmp_path: Path, *, name: str, text: str, dag_id: str | None, reason: str
) -> None:
    """``run_dag`` names what is missing."""
    if text:
        name = str(tmp_path / name)
        Path(name).write_text(text.replace("airflow.sdk", "airflow.providers.common.compat.sdk"))
    with pytest.raises(pytest.fail.Exception, match=reason):
        run_dag(name, dag_id=dag_id)
