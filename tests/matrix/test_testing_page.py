"""docs/testing.md: its files, pasted into an empty folder with a fresh home, are tests that pass on every version."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
FILES = dict(re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
PLUGIN = ("-p", "no:sei", "-p", "airflow_provider_sei.pytest_plugin", "--strict-markers", "-p", "no:cacheprovider")


FAILING = """
import pytest

def test_an_import_error_is_the_reason(run_dag, tmp_path):
    (tmp_path / "broken.py").write_text("from airflow import DAG\\nimport missing_module")
    with pytest.raises(pytest.fail.Exception, match="No module named 'missing_module'"):
        run_dag(tmp_path / "broken.py")

def test_a_file_that_does_not_exist_is_named(run_dag):
    with pytest.raises(pytest.fail.Exception, match="there is no file .*/dags/team_metric.py"):
        run_dag("dags/team_metric.py")

def test_an_unknown_dag_is_named(run_dag):
    with pytest.raises(pytest.fail.Exception, match=r"has the DAGs \\['team_metrics'\\]; dag_id is 'other'"):
        run_dag("dags/team_metrics.py", dag_id="other")
"""


def test_the_pasted_files_pass(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, airflow_version: Version
) -> None:
    """And leave the reader's home as it was. What cannot run fails with its reason."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "_AIRFLOW_"))]:
        monkeypatch.delenv(name)
    home = pytester.mkdir("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(PAGE.parents[1]))
    assert sorted(FILES) == ["conftest.py", "dags/team_metrics.py", "test_team_metrics.py"]
    for name, text in (*FILES.items(), ("test_failing.py", FAILING)):
        file = pytester.path / name
        file.parent.mkdir(exist_ok=True)
        sdk = "airflow.sdk" if airflow_version >= Version("3.0") else "airflow.providers.common.compat.sdk"
        file.write_text(text.replace("airflow.sdk", sdk))
    outcomes = pytester.runpytest_subprocess(*PLUGIN)
    outcomes.assert_outcomes(passed=FILES["test_team_metrics.py"].count("def test_") + FAILING.count("def test_"))
    assert list(home.iterdir()) == []
