"""What the tests of the documentation share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.docs.pages import DOCS

TOGETHER = ("s3://aws_default@lake/sei/", "/tmp/sei/")  # noqa: S108 - what the pages name
"""Where the pages' examples deliver to."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as ``make docs`` builds it: a warning is an error."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-n", "-q", str(DOCS), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Callable[[str], str]:
    """Let an example deliver into a temporary folder."""

    def changed(text: str) -> str:
        for place in TOGETHER:
            text = text.replace(f'"{place}"', f'"{tmp_path}/"')
        return text

    return changed


@pytest.fixture
def load(dags_folder: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Parse the text of a DAG file as Airflow does, and return its DAGs by their ids."""
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
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the moment that ``create_jitter`` draws be now."""
    monkeypatch.setattr("airflow_provider_sei.operators._waiting.random", SimpleNamespace(random=lambda: 0.0))
