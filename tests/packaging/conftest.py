"""The distributions, built once, and empty environments to install them into."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.separate_airflow import SeparateAirflow, run

ROOT = Path(__file__).parents[2]


def build(tree: Path, into: Path) -> list[Path]:
    """Build a tree's distributions into a folder."""
    run([sys.executable, "-m", "hatchling", "build", "-d", into], cwd=tree)
    return sorted(into.iterdir())


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution of this tree."""
    wheel, source = build(ROOT, tmp_path_factory.mktemp("dist"))
    return wheel, source


def install(folder: Path, constraints: Path, *requirements: str) -> SeparateAirflow:
    """Install requirements into a new virtual environment in ``folder``, apart from this tree."""
    python = folder / "venv" / "bin" / "python"
    run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"])
    made = SeparateAirflow(home=folder / "home", python=python, omitted=("AIRFLOW", "PYTEST", "PYTHON", "VIRTUAL_ENV"))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-qq", "--constraint", constraints]
    run([*pip, *requirements], cwd=made.home, timeout=1200)
    return made
