"""What ``make release-check`` checks beside the distributions and the wheel. It publishes nothing."""

from __future__ import annotations

import re
import subprocess
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import airflow_provider_sei
from tests.packaging.conftest import ROOT


def finished(changelog: str, version: str, today: date) -> bool:
    """Return whether a changelog begins with an empty [Unreleased], then that version, up to today, with an entry."""
    start = rf"[^#]*# [^#]*## \[Unreleased\]\s+## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)\s+(?!## )\S"
    found = re.match(start, changelog)
    return bool(found) and date.fromisoformat(found[1]) <= today


def test_version_and_changelog_are_finished() -> None:
    """Three numbers, without a pre-release's suffix; and nothing is waiting for the next version."""
    version = airflow_provider_sei.__version__
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", version)
    assert finished((ROOT / "CHANGELOG.md").read_text(), version, datetime.now(UTC).date()), (
        f"CHANGELOG.md must begin with an empty [Unreleased], then [{version}] with a date up to today, and an entry"
    )


def test_everything_is_committed() -> None:
    """The distributions are those of a commit."""
    status = ["git", "status", "--porcelain"]
    assert subprocess.run(status, cwd=ROOT, check=True, capture_output=True, text=True).stdout == ""


def test_dist_is_what_another_build_gives(distributions: tuple[Path, Path]) -> None:
    """To the byte."""
    assert {path.name: path.read_bytes() for path in (ROOT / "dist").iterdir()} == {
        path.name: path.read_bytes() for path in distributions
    }


def test_the_project_has_addresses() -> None:
    """A warning only: the package index and Airflow's provider list link to them."""
    if not tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]:
        pytest.skip("pyproject.toml names no Source and no Documentation in [project.urls]")
