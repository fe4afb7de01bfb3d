"""The distributions: reproducible, complete, and nothing else in them."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from datetime import date
from pathlib import Path

import pytest

import airflow_provider_sei
from tests.packaging.conftest import ROOT, build
from tests.packaging.release_checks import finished
from tests.separate_airflow import run

pytestmark = pytest.mark.live

NAME = f"airflow_provider_sei-{airflow_provider_sei.__version__}"


@pytest.fixture(scope="module")
def wheel(distributions: tuple[Path, Path]) -> zipfile.ZipFile:
    """The wheel, opened."""
    return zipfile.ZipFile(distributions[0])


@pytest.fixture(scope="module")
def unpacked(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution's tree."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(distributions[1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / NAME


def test_a_build_is_reproducible(distributions: tuple[Path, Path], unpacked: Path, tmp_path: Path) -> None:
    """From the source distribution, in another folder, at another time."""
    elsewhere = shutil.copytree(unpacked, tmp_path / "elsewhere", copy_function=shutil.copy)
    (elsewhere / "PKG-INFO").unlink()
    again = build(elsewhere, tmp_path / "dist")
    assert [(path.name, path.read_bytes()) for path in again] == [
        (path.name, path.read_bytes()) for path in distributions
    ]


def test_the_wheel_has_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No tests, demo or documentation; but its data, the type marker and the licence."""
    names = {Path(name) for name in wheel.namelist()}
    package = {path.relative_to(ROOT) for path in (ROOT / "airflow_provider_sei").rglob("*.py")}
    examples = (ROOT / "dags_examples").glob("*.py")
    package |= {Path("airflow_provider_sei", "example_dags", path.name) for path in examples}
    assert {path for path in names if path.suffix == ".py"} == package
    assert {path.parts[0] for path in names} == {"airflow_provider_sei", f"{NAME}.dist-info"}
    assert {path.name for path in names - package} == {
        *("metrics.toml", "py.typed", "LICENSE", "METADATA", "RECORD", "WHEEL", "entry_points.txt")
    }


def test_the_source_distribution_has_every_tracked_file(unpacked: Path) -> None:
    """All targets of the Makefile work in it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S607 - the git on the PATH
    if listed.returncode:
        pytest.skip("not a checkout")
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    packed = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert tracked - packed == set()


def test_it_can_be_published(distributions: tuple[Path, Path]) -> None:
    """A package index accepts the metadata and can render the README."""
    shown = run([sys.executable, "-m", "twine", "--no-color", "check", "--strict", *distributions])
    assert shown.count("PASSED") == 2, shown


def test_its_metadata_is_complete(wheel: zipfile.ZipFile) -> None:
    """Airflow's registry and package indexes look for these; without upper bounds, its constraint files can be used."""
    metadata = email.message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))
    expected = {
        "Name": "airflow-provider-sei",
        "Version": airflow_provider_sei.__version__,
        "License-Expression": "Apache-2.0",
        "License-File": "LICENSE",
        "Requires-Python": ">=3.11",
        "Author": "the airflow-provider-sei contributors",
    }
    assert {name: metadata[name] for name in expected} == expected
    assert {"Framework :: Apache Airflow :: Provider", "Typing :: Typed"} <= set(metadata.get_all("Classifier"))
    assert {"s3", "gcs", "azure", "parquet"} <= set(metadata.get_all("Provides-Extra")), (
        "errors advise to install these"
    )
    required = [line.partition(";")[0] for line in metadata.get_all("Requires-Dist")]
    assert [line for line in required if re.search("<|==|~=|!=", line)] == []


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ("## [Unreleased]\n\n## [0.2.0] - 2026-01-31\n\n- x\n\n## [0.1.0] - 2025-01-31\n", True),
        ("## [Unreleased]\n\n## [0.2.0] - 2026-01-31\n\n### Added\n\n- x\n", True),
        ("## [Unreleased]\n\n- z\n\n## [0.2.0] - 2026-01-31\n\n- x\n", False),
        ("## [0.2.0] - 2026-01-31\n\n- x\n", False),
        ("## [Unreleased]\n\n## [0.1.0] - 2026-01-31\n\n- x\n", False),
        ("## [Unreleased]\n\n## [0.2.0] - 2026-02-02\n\n- x\n", False),
        ("## [Unreleased]\n\n## [0.2.0] - 2026-01-31\n\n## [0.1.0] - 2025-01-31\n", False),
        ("## [Unreleased]\n", False),
    ],
)
def test_an_unfinished_changelog_stops_a_release(sections: str, *, expected: bool) -> None:
    """``make release-check`` says what it must be like."""
    assert finished(f"# Changelog\n\n{sections}", "0.2.0", date(2026, 2, 1)) == expected
