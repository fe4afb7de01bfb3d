"""Fixtures to run the documentation's examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DESTINATIONS = ("s3://aws_default@lake/sei/", "/tmp/sei/")  # noqa: S108 - as on the pages


@pytest.fixture
def here(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that lets an example deliver to a temporary folder."""

    def changed(text: str) -> str:
        for destination in DESTINATIONS:
            text = text.replace(f'"{destination}"', f'"{tmp_path}/"')
        return text

    return changed


@pytest.fixture
def run_text(
    dags_folder: Path, here: Callable[[str], str], run_dag: Callable[..., Any]
) -> Iterator[Callable[..., Any]]:
    """Run the text of a DAG file as ``run_dag`` runs a file; only the destination is changed."""
    file = dags_folder / "of_the_documentation.py"

    def run(text: str, *moment_and_conf: Any) -> Any:
        file.write_text(here(text))
        return run_dag(file, *moment_and_conf)

    yield run
    file.unlink(missing_ok=True)
