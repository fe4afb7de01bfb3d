"""Fixtures for the documentation's tests: the built pages, and the examples as DAGs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS

DESTINATIONS = ("s3://aws_default@lake/sei/", "/tmp/sei/")  # noqa: S108 - as on the pages


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the documentation as ``make docs`` does; a warning is an error."""
    folder = tmp_path_factory.mktemp("docs")
    for builder, into in (("html", folder), ("text", folder / "text")):
        command = [sys.executable, "-m", "sphinx", "-b", builder, "-d", f"{folder}/.doctrees", DOCS, into]
        done = subprocess.run([*command, "-W", "--keep-going", "-n", "-q"], check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that lets an example deliver to a temporary folder."""

    def changed(text: str) -> str:
        for destination in DESTINATIONS:
            text = text.replace(f'"{destination}"', f'"{tmp_path}/"')
        return text

    return changed


@pytest.fixture
def load(dags_folder: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Return a function that parses the text of a DAG file and returns its DAGs by id."""
    from airflow.dag_processing.dagbag import DagBag

    file = dags_folder / "of_the_documentation.py"

    def parse(text: str) -> dict[str, Any]:
        file.write_text(text)
        bag = DagBag(str(file))
        assert bag.import_errors == {}
        return dict(bag.dags)

    yield parse
    file.unlink(missing_ok=True)


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the random delay of ``create_jitter`` zero."""
    monkeypatch.setattr("random.random", lambda: 0.0)
