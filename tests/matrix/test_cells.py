"""The table of cells, their constraints files, and the outcome of a run."""

from __future__ import annotations

import re
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests.matrix import __main__ as runner
from tests.matrix.cells import CELLS, FLOORS, Cell

NAMES = [cell.name for cell in CELLS]


@pytest.mark.parametrize("cell", CELLS, ids=NAMES)
def test_constraints_pin_all_requirements(cell: Cell) -> None:
    """And those of the build; one on each line, without index, marker or option."""
    lines = (runner.CONSTRAINTS / f"{cell.name}.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[a-z0-9.+!]+", line)] == []
    assert f"apache-airflow=={cell.airflow}" in lines
    required = {requirement.partition("==")[0] for requirement in cell.requirements}
    assert required | {"hatchling", "editables"} <= {line.partition("==")[0] for line in lines}


def test_every_constraints_file_belongs_to_a_cell() -> None:
    """No file is left of a version that is no longer tested."""
    assert sorted(path.stem for path in runner.CONSTRAINTS.glob("*-py3.*.txt")) == sorted(NAMES)


def test_one_cell_has_the_floor_of_every_direct_dependency() -> None:
    """What ``pyproject.toml`` accepts is tested, not just the newest."""
    [cell] = [cell for cell in CELLS if set(FLOORS) <= set(cell.requirements)]
    lines = (runner.CONSTRAINTS / f"{cell.name}.txt").read_text().splitlines()
    pinned = {name: Version(version) for name, _, version in (line.partition("==") for line in lines)}
    assert [floor.name for floor in map(Requirement, FLOORS) if pinned[floor.name] not in floor.specifier] == []


def test_the_readme_names_the_exact_versions() -> None:
    """Each with its Python, and no other."""
    rows = re.findall(r"^\| (\d\.\d+\.\w+) +\| (\d\.\d+) ", (runner.ROOT / "README.md").read_text(), re.MULTILINE)
    assert rows == [(cell.airflow, cell.python) for cell in CELLS]


def test_the_workflow_runs_every_piece_and_every_cell() -> None:
    """A fork checks what ``.ci/run`` checks, and the whole matrix."""
    jobs = yaml.safe_load((runner.ROOT / ".github" / "workflows" / "checks.yml").read_text())["jobs"]
    pieces = re.findall(r'^  "make ([a-z-]+)"', (runner.ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert {*jobs["piece"]["strategy"]["matrix"]["piece"], "matrix"} == set(pieces)
    cells = jobs["matrix"]["strategy"]["matrix"]["include"]
    assert [(cell["cell"], cell["python"]) for cell in cells] == [(cell.name, cell.python) for cell in CELLS]


def test_a_failed_cell_fails_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are run, too, and each has its line. A mistyped name must not be a passed run."""
    monkeypatch.setattr(sys, "argv", ["matrix"])
    for failed in (*CELLS, None):
        monkeypatch.setattr(runner, "run", lambda cell, failed=failed: "failed" if cell == failed else "passed")
        assert runner.main() == (failed is not None)
        table = capsys.readouterr().out
        assert [name for name in NAMES if name in table] == NAMES
    monkeypatch.setattr(sys, "argv", ["matrix", "airflow-1.10-py3.11"])
    with pytest.raises(SystemExit):
        runner.main()
    assert NAMES[0] in capsys.readouterr().err


def test_a_missing_python_skips_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pythons are found by version, not by the name of the program."""
    assert runner.find_python("3.999") is None
    assert runner.find_python(f"{sys.version_info.major}.{sys.version_info.minor}") is not None
    monkeypatch.setattr(runner, "find_python", lambda _: None)
    assert runner.run(CELLS[0]).startswith("skipped")
