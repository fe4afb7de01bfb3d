"""Mutation testing of the core: changes its code in small ways, one at a time, and runs the tests against each change.

    python -m tests.mutation status answers      # modules of airflow_provider_sei/protocol, each with its own test file
    python -m tests.mutation --all-tests exports # with all tests of the core: slower, kills more

A change that no test notices survives, and is shown as a diff: either a test is missing, or the change makes no
difference, or the code does nothing. tests/mutation/README.md has the survivors that were looked at.

Only the core is tested so, and only in a copy in a temporary folder: neither it nor its tests open a file for writing,
so that broken code can do no harm. mutmut changes what is inside of functions; constants and tables are left alone.
Chance is fixed (hypothesis is derandomized), so that two runs agree.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_CORE = Path("airflow_provider_sei", "protocol")
_TESTS = Path("tests", "protocol")

_CONFTEST = """
from hypothesis import HealthCheck, settings

settings.register_profile(
    "mutation", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("mutation")
"""

_PYPROJECT = """
[tool.mutmut]
source_paths = ["airflow_provider_sei"]
only_mutate = ["{core}/{module}.py"]
also_copy = ["tests"]
pytest_add_cli_args = ["-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}

[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
pythonpath = ["."]
"""


def mutate(module: str, *, all_tests: bool = False) -> Counter[str]:
    """Mutate one module, show what survived, and return how many mutants met which end."""
    own = _TESTS / f"test_{module}.py"
    with tempfile.TemporaryDirectory(prefix="sei-mutation-") as name:
        copy = Path(name)
        without_bytecode = shutil.ignore_patterns("__pycache__")
        for folder in (_CORE, _TESTS):
            shutil.copytree(_ROOT / folder, copy / folder, ignore=without_bytecode)
        (copy / "airflow_provider_sei" / "__init__.py").write_text('"""The core alone."""\n')
        (copy / "tests" / "conftest.py").write_text(_CONFTEST)
        tests = [str(_TESTS if all_tests else own)]
        (copy / "pyproject.toml").write_text(_PYPROJECT.format(core=_CORE.as_posix(), module=module, tests=tests))
        _mutmut(copy, "run", show=True)
        ends = {}
        for line in _mutmut(copy, "results", "--all", "true").splitlines():
            mutant, found, end = line.strip().rpartition(": ")
            if found and mutant.startswith("airflow_provider_sei."):
                ends[mutant] = end
        for mutant, end in ends.items():
            if end != "killed":
                print(f"\n{end}: {mutant}\n{_diff(copy, mutant)}", flush=True)
        return Counter(ends.values())


def _diff(copy: Path, mutant: str) -> str:
    shown = _mutmut(copy, "show", mutant)
    return "\n".join(line for line in shown.splitlines() if re.match(r"@@|[-+ ](?![-+]{2} )", line))


def _mutmut(copy: Path, *arguments: str, show: bool = False) -> str:
    environment = {
        "HOME": str(copy),
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "_hypothesis_pytestplugin",
    }
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=copy,
        env=environment,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=3600,
    )
    if done.returncode and show:
        print(done.stdout[-4000:], flush=True)
        msg = f"mutmut {' '.join(arguments)} ended with {done.returncode}; its last words are above"
        raise RuntimeError(msg)
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Mutate the modules named; return 0 however many mutants survive, for they are there to be read."""
    modules = sorted(path.stem for path in (_ROOT / _CORE).glob("[a-z]*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--all-tests", action="store_true", help="run all tests of the core, not only the module's own")
    parser.add_argument("modules", nargs="+", choices=modules, metavar="module", help=", ".join(modules))
    given = parser.parse_args(arguments)
    for module in given.modules:
        ends = mutate(module, all_tests=given.all_tests)
        print(f"\n{module}: {ends.total()} mutants: " + ", ".join(f"{n} {end}" for end, n in ends.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
