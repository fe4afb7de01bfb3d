"""``python -m tests.matrix`` runs the tests in every cell; ``--resolve`` updates the constraints files.

Without names of cells, all are meant. The installer is this environment's pip, with the machine's index, proxy and
certificates. Environments are kept in ``.cache/matrix``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.matrix.cells import CELLS, Cell

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".cache" / "matrix"
CONSTRAINTS = ROOT / "constraints"

TESTS = (
    *("tests/matrix", "tests/protocol", "tests/transports"),
    *("tests/test_provider_info.py", "tests/test_retry_policy.py"),
)

_COMPAT_PUBLISHED = "2026-10-24"
"""Release day of common.compat 1.23.0, the oldest that this package accepts."""
_BUILDERS = ("hatchling", "editables")
_OUTSIDE = ("AIRFLOW", "PYTEST", "PYTHON", "VIRTUAL_ENV")
# Property tests take long, and pure functions behave the same in every cell.
_SELECTION = "not hypothesis"
_TEST_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome in one cell."""

    cell: Cell
    word: str
    """``passed``, ``failed`` or ``skipped``."""
    seconds: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        """Return a line for the table."""
        line = f"{self.cell.name:<20} {self.cell.airflow:<8} {self.word:<8} {self.seconds:>5.0f} s  {self.reason}"
        return line.rstrip()


def main() -> int:
    """Run the command line; return the exit code."""
    known = {cell.name: cell for cell in CELLS}
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--resolve", action="store_true", help="update the constraints files instead of testing")
    parser.add_argument("cells", nargs="*", metavar="cell", help=", ".join(known))
    given = parser.parse_args()
    unknown = sorted(set(given.cells) - set(known))
    if unknown:
        parser.error(f"no such cell: {', '.join(unknown)}; known: {', '.join(known)}")
    cells = [known[name] for name in dict.fromkeys(given.cells)] or list(CELLS)
    if given.resolve:
        for cell in cells:
            resolve(cell)
        return 0
    outcomes = [run(cell) for cell in cells]
    say("", *map(str, outcomes))
    return int(any(outcome.word == "failed" for outcome in outcomes))


def say(*lines: str) -> None:
    """Print lines for the user."""
    print(*lines, sep="\n", flush=True)


def run(cell: Cell) -> Outcome:
    """Install a cell if necessary, and run the tests in it."""
    say(f"== {cell.name}: Airflow {cell.airflow}, Python {cell.python}")
    started = time.monotonic()
    base = find_python(cell.python)
    if base is None:
        reason = f"there is no python{cell.python} on the PATH"
        say(f"skipped: {reason}")
        return Outcome(cell=cell, word="skipped", reason=reason)
    try:
        python = install(cell, base)
        test(cell, python)
    except subprocess.SubprocessError as error:
        # The command has printed the error.
        reason = "timed out" if isinstance(error, subprocess.TimeoutExpired) else ""
        return Outcome(cell=cell, word="failed", seconds=time.monotonic() - started, reason=reason)
    return Outcome(cell=cell, word="passed", seconds=time.monotonic() - started)


def find_python(version: str) -> str | None:
    """Return the interpreter of a Python version, never that of a virtual environment."""
    # pyenv has a shim for every installed version, but runs only the selected ones.
    environment = os.environ | {"PYENV_VERSION": version}
    code = f"import sys; assert sys.version.startswith('{version}.'); print(sys._base_executable)"
    for name in (sys.executable, f"python{version}"):
        if shutil.which(name):
            given = subprocess.run(
                [name, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
            )
            if given.returncode == 0:
                return given.stdout.strip()
    return None


def install(cell: Cell, base: str) -> Path:
    """Return the Python of the cell's environment, which is created if its constraints have changed."""
    folder, constraints = FOLDER / cell.name, str(CONSTRAINTS / f"{cell.name}.txt")
    python, stamp = folder / "bin" / "python", folder / "installed"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    inputs = (Path(constraints).read_text(), json.dumps(project), *cell.requirements, base)
    digest = hashlib.sha256("\n".join(inputs).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    say("installing (half a minute or so) ...")
    subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
    pinned = ("--constraint", constraints, "--build-constraint", constraints)
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "-qq", *pinned)
    subprocess.run([*pip, *cell.requirements, "--editable", ROOT], check=True)
    stamp.write_text(digest)
    return python


def test(cell: Cell, python: Path) -> None:
    """Run the tests in a cell, without the settings of another Airflow."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OUTSIDE)}
    warnings = [part for filtered in cell.warnings for part in ("-W", filtered)]
    subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", _SELECTION, *warnings, *TESTS],
        cwd=ROOT,
        env=environment | cell.environment,
        check=True,
        timeout=_TEST_SECONDS,
    )


def resolve(cell: Cell) -> None:
    """Write the cell's constraints file, as pip would have resolved it on the release day."""
    say(f"resolving {cell.name}")
    resolved = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-python-downloads"),
            *("--python-version", cell.python, "--exclude-newer", f"{cell.published}T23:59:59Z"),
            *("--exclude-newer-package", f"apache-airflow-providers-common-compat={_COMPAT_PUBLISHED}T23:59:59Z"),
            *("--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"),
            *("pyproject.toml", "-"),
        ],
        cwd=ROOT,
        check=True,
        input="\n".join((*cell.requirements, *_BUILDERS)),
        stdout=subprocess.PIPE,
        text=True,
    )
    CONSTRAINTS.mkdir(exist_ok=True)
    (CONSTRAINTS / f"{cell.name}.txt").write_text(resolved.stdout)


if __name__ == "__main__":
    sys.exit(main())
