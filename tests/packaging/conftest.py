"""The distributions, built once, and empty environments to install them into."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_OUTSIDE = ("AIRFLOW", "PYTEST", "PYTHON", "VIRTUAL_ENV")


def run(command: Sequence[str | Path], **where: Any) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False, **where
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(tree: Path, into: Path) -> list[Path]:
    """Build a tree's distributions into a folder."""
    run([sys.executable, "-m", "hatchling", "build", "-d", into], cwd=tree)
    return sorted(into.iterdir())


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution of this tree."""
    wheel, source = build(ROOT, tmp_path_factory.mktemp("dist"))
    return wheel, source


class Environment:
    """A virtual environment apart from this tree, with its own home and working folder."""

    def __init__(self, folder: Path, requirement: str, constraints: Sequence[Path], *more: str) -> None:
        """Install ``requirement``, and ``more`` of them, into a new environment in ``folder``."""
        self.home = folder / "home"
        self.python = folder / "venv" / "bin" / "python"
        self.home.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        pinned = [part for path in constraints for part in ("--constraint", str(path))]
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", self.python, "install", "-qq", *pinned, requirement, *more],
            cwd=self.home,
            check=True,
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OUTSIDE)}
        self.environment = kept | {
            "HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "COLUMNS": "300",
        }

    def run(self, *arguments: str) -> str:
        """Run the environment's Python; return its output."""
        return run([self.python, *arguments], cwd=self.home, env=self.environment)

    def airflow(self, *arguments: str) -> str:
        """Run Airflow's command line; return its output."""
        return self.run("-m", "airflow", *arguments)
