"""The table of cells, their constraints files, and what a run makes of them."""

from __future__ import annotations

import re
import sys

import pytest

from tests.matrix import __main__ as runner
from tests.matrix.cells import CELLS, Cell

NAMES = [cell.name for cell in CELLS]
by_cell = pytest.mark.parametrize("cell", CELLS, ids=NAMES)


@by_cell
def test_constraints_are_exact_versions(cell: Cell) -> None:
    """One a line and nothing else: no index, no marker, no option."""
    lines = (runner.CONSTRAINTS / f"{cell.name}.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[a-z0-9.+!]+", line)] == []
    assert f"apache-airflow=={cell.airflow}" in lines


@by_cell
def test_constraints_pin_all_that_is_asked_for(cell: Cell) -> None:
    """And what builds the package."""
    text = (runner.CONSTRAINTS / f"{cell.name}.txt").read_text()
    pinned = set(re.findall(r"^([^=]+)==", text, flags=re.MULTILINE))
    asked = {requirement.partition("==")[0] for requirement in cell.requirements}
    assert asked | {"hatchling", "editables"} <= pinned


def test_every_constraints_file_is_of_a_cell() -> None:
    """A file of a version that is no longer tested would mislead."""
    assert sorted(path.stem for path in runner.CONSTRAINTS.glob("airflow-*.txt")) == sorted(NAMES)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, words: dict[str, str]) -> int:
    """Run the program with cells that end as ``words`` say, else well."""
    monkeypatch.setattr(sys, "argv", ["matrix", *arguments])
    monkeypatch.setattr(
        runner, "run", lambda cell: runner.Outcome(cell=cell, word=words.pop(cell.name, "passed"), reason="tried")
    )
    return runner.main()


def test_one_failure_fails_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are run all the same, and each has its line."""
    assert run(monkeypatch, words={NAMES[0]: "failed"}) == 1
    table = capsys.readouterr().out
    assert [name for name in NAMES if name in table] == NAMES


def test_a_pre_release_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there to tell what is to come."""
    [informational] = [cell.name for cell in CELLS if cell.informational]
    assert run(monkeypatch, words={informational: "failed"}) == 0


def test_a_python_that_is_missing_skips_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason."""
    monkeypatch.setattr(runner, "find_python", lambda _: None)
    outcome = runner.run(CELLS[0])
    assert (outcome.word, outcome.reason) == ("skipped", f"there is no python{CELLS[0].python} on the PATH")


def test_a_python_that_does_not_exist_is_not_found() -> None:
    """The version decides, not the name."""
    assert runner.find_python("3.999") is None
    assert runner.find_python(f"{sys.version_info.major}.{sys.version_info.minor}") is not None


def test_only_the_named_cells_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell named twice runs once."""
    words = dict.fromkeys(NAMES, "passed")
    run(monkeypatch, NAMES[1], NAMES[0], NAMES[1], words=words)
    assert list(words) == NAMES[2:]


def test_an_unknown_cell_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped name must not look like a passed run."""
    with pytest.raises(SystemExit):
        run(monkeypatch, "airflow-1.10-py3.11", words={})
    assert NAMES[0] in capsys.readouterr().err
