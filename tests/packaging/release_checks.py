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


def unfinished(changelog: str, version: str, today: date) -> str:
    """Return what is left to do in a changelog before that version can be released, or nothing."""
    _, *sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    titles = [*sections, "", ""][0].strip(), [*sections, "", ""][1].partition("\n")[0]
    if titles[0] != "[Unreleased]":
        return "the first section must be [Unreleased], without an entry"
    found = re.fullmatch(rf"\[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)", titles[1])
    if not found or date.fromisoformat(found[1]) > today:
        return f"the second section must be [{version}], with a date that is not in the future"
    return "" if sections[1].strip() != titles[1] else f"nothing is said about {version}"


def test_version_and_changelog_are_finished() -> None:
    """Three numbers, without a pre-release's suffix; and nothing is waiting for the next version."""
    version = airflow_provider_sei.__version__
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", version)
    assert unfinished((ROOT / "CHANGELOG.md").read_text(), version, datetime.now(UTC).date()) == ""


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
