"""The distributions: reproducible, complete, and nothing else in them."""

from __future__ import annotations

import email
import email.message
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

import airflow_provider_sei
from tests.packaging.conftest import ROOT
from tests.packaging.release_checks import unfinished

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = f"airflow_provider_sei-{airflow_provider_sei.__version__}"


@pytest.fixture(scope="module")
def wheel(distributions: tuple[Path, Path]) -> zipfile.ZipFile:
    """The wheel, opened."""
    return zipfile.ZipFile(io.BytesIO(distributions[0].read_bytes()))


@pytest.fixture(scope="module")
def unpacked(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution's tree."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(distributions[1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / NAME


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    """The wheel's metadata."""
    return email.message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))


def digest(path: Path) -> tuple[str, str]:
    """Return a file's name and sha256."""
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_build_is_reproducible(
    distributions: tuple[Path, Path], build: Callable[..., list[Path]], unpacked: Path, tmp_path: Path
) -> None:
    """From the source distribution, in another folder, at another time."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(unpacked, elsewhere, copy_function=shutil.copy)
    (elsewhere / "PKG-INFO").unlink()
    again = build(elsewhere, tmp_path / "dist")
    assert [digest(path) for path in again] == [digest(path) for path in distributions]


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
    done = subprocess.run(
        [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *distributions],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode, done.stdout.count("PASSED")) == (0, 2), done.stdout


def test_its_metadata_is_complete(metadata: email.message.Message) -> None:
    """Airflow's registry and package indexes look for these."""
    assert metadata["Name"] == "airflow-provider-sei"
    assert metadata["Version"] == airflow_provider_sei.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Author"] == "the airflow-provider-sei contributors"
    assert {"Framework :: Apache Airflow :: Provider", "Typing :: Typed"} <= set(metadata.get_all("Classifier"))


def test_it_has_no_upper_bounds(metadata: email.message.Message) -> None:
    """So that Airflow's constraint files can be used."""
    required = [line.partition(";")[0] for line in metadata.get_all("Requires-Dist")]
    assert [line for line in required if any(sign in line for sign in ("<", "==", "~=", "!="))] == []


def test_every_extra_is_declared(metadata: email.message.Message) -> None:
    """Among them those that an error advises to install."""
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert {"s3", "gcs", "azure", "parquet"} <= set(metadata.get_all("Provides-Extra"))


@pytest.mark.parametrize(
    ("sections", "left"),
    [
        ("## [Unreleased]\n\n## [0.2.0] - 2026-01-31\n\n- x\n\n## [0.1.0] - 2025-01-31\n", ""),
        ("## [Unreleased]\n\n- z\n\n## [0.2.0] - 2026-01-31\n\n- x\n", "without an entry"),
        ("## [0.2.0] - 2026-01-31\n\n- x\n", "[Unreleased]"),
        ("## [Unreleased]\n\n## [0.1.0] - 2026-01-31\n\n- x\n", "must be [0.2.0]"),
        ("## [Unreleased]\n\n## [0.2.0] - 2026-02-02\n\n- x\n", "not in the future"),
        ("## [Unreleased]\n\n## [0.2.0] - 2026-01-31\n\n## [0.1.0] - 2025-01-31\n", "nothing is said"),
        ("## [Unreleased]\n", "must be [0.2.0]"),
    ],
)
def test_an_unfinished_changelog_stops_a_release(sections: str, left: str) -> None:
    """``make release-check`` says what is left to do."""
    found = unfinished(f"# Changelog\n\n{sections}", "0.2.0", date(2026, 2, 1))
    assert left in found
    assert bool(left) == bool(found)
