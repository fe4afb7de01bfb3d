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
    cells = dict.fromkeys(given.cells) or known
    if given.resolve:
        for cell in cells:
            resolve(known[cell])
        return 0
    outcomes = {cell: run(known[cell]) for cell in cells}
    print("", *(f"{cell:<20} {known[cell].airflow:<8} {outcome}" for cell, outcome in outcomes.items()), sep="\n")
    return int(any(outcome.startswith("failed") for outcome in outcomes.values()))


def run(cell: Cell) -> str:
    """Install a cell if necessary, and run the tests in it; return "passed", "failed" or "skipped", and a reason."""
    print(f"== {cell.name}: Airflow {cell.airflow}, Python {cell.python}", flush=True)
    started = time.monotonic()
    base = find_python(cell.python)
    if base is None:
        return f"skipped: there is no python{cell.python} on the PATH"
    try:
        test(cell, install(cell, base))
    except subprocess.TimeoutExpired:
        return "failed: timed out"
    except subprocess.SubprocessError:  # the command has printed the error
        return "failed"
    return f"passed {time.monotonic() - started:>5.0f} s"


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
    print("installing (half a minute or so) ...", flush=True)
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
    print(f"resolving {cell.name}", flush=True)
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
