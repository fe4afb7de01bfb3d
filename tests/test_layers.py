"""Which part of the package may import which, and what a DAG file loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_sei

PACKAGE = Path(airflow_provider_sei.__file__).parent
OURS = "airflow_provider_sei"
HTTP = ("requests", "aiohttp", "urllib3", "httpx", "tenacity")
UPPER = (".hooks", ".operators", ".sensors", ".triggers")
MAX_LINES = 550

# Folder or module: what it must not import; names with a leading dot are of this package.
FORBIDDEN = {
    "protocol": (*HTTP, "airflow", "asyncio", "fsspec"),
    "transports": ("airflow", *UPPER, ".delivery", ".connection"),
    "transports/sync.py": ("aiohttp",),
    "transports/aio.py": ("requests", "urllib3"),
    "delivery": (*HTTP, *UPPER, ".transports"),
    "operators": (*HTTP, ".transports", ".local_server"),
    "sensors": (*HTTP, ".transports", ".delivery", ".local_server"),
    "triggers": ("requests", "urllib3", "tenacity", ".operators", ".sensors", ".hooks", ".delivery"),
    "hooks": ("aiohttp", ".operators", ".sensors", ".triggers"),
    "task_groups.py": (*HTTP, ".transports", ".delivery", ".local_server"),
    "exceptions.py": (*HTTP, ".protocol", ".transports", ".delivery", *UPPER),
    "connection.py": (*HTTP, ".transports", *UPPER),
    "periods.py": (*HTTP, ".transports", ".delivery", *UPPER),
    "local_server": ("airflow", "requests", ".transports", ".delivery", *UPPER),
    "get_provider_info.py": (*HTTP, "airflow", ".hooks", ".protocol"),
    "pytest_plugin.py": ("aiohttp", "requests"),  # Airflow only in run_dag; tests/test_pytest_plugin.py checks that
}


def sources(part: str) -> list[Path]:
    """Return the files of a folder, or the one file."""
    path = PACKAGE / part
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every module that is imported anywhere, type checking and functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(source: str, forbidden: tuple[str, ...]) -> list[str]:
    """Return the imports of ``source`` that are forbidden."""
    banned = [f"{OURS}{name}" if name.startswith(".") else name for name in forbidden]
    return sorted(
        {name for name in imported(ast.parse(source)) for root in banned if name == root or name.startswith(f"{root}.")}
    )


@pytest.mark.parametrize(
    ("part", "path"),
    [(part, path) for part in FORBIDDEN for path in sources(part)],
    ids=lambda value: str(value.relative_to(PACKAGE)) if isinstance(value, Path) else value,
)
def test_no_layer_imports_a_forbidden_one(part: str, path: Path) -> None:
    """Nor another HTTP library than its own."""
    assert violations(path.read_text(), FORBIDDEN[part]) == []


@pytest.mark.parametrize("path", sources("protocol"), ids=lambda path: path.name)
def test_the_protocol_imports_the_standard_library_and_the_errors_only(path: Path) -> None:
    """It does no I/O, and gets time and jitter as arguments."""
    names = set(imported(ast.parse(path.read_text())))
    own = {name for name in names if name.partition(".")[0] == OURS}
    assert {name.partition(".")[0] for name in names - own} <= sys.stdlib_module_names
    assert {name.split(".")[1] for name in own - {OURS}} <= {"protocol", "exceptions"}
    assert violations(path.read_text(), ("time", "random", "logging", "os", "socket", "pathlib", "threading")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import requests", ["requests"]),
        ("def f():\n    import requests.adapters", ["requests.adapters"]),
        (f"from {OURS}.hooks import sei", [f"{OURS}.hooks", f"{OURS}.hooks.sei"]),
        (f"from {OURS} import hooks", [f"{OURS}.hooks"]),
        ("import requests_toolbelt", []),
        (f"from {OURS}.protocol import exports", []),
    ],
)
def test_a_planted_violation_is_found(source: str, found: list[str]) -> None:
    """At the top of a file and inside of a function."""
    assert violations(source, ("requests", ".hooks")) == found


def test_importing_for_a_dag_file_loads_no_http_library() -> None:
    """DAG files are parsed every few seconds; only running tasks need these."""
    modules = ("get_provider_info", "exceptions", "triggers.sei", "hooks.sei", "sensors.sei", "operators.sei")
    modules += ("task_groups",)
    # What Airflow itself has loaded by then does not count.
    code = f"""
import importlib, sys
import airflow.providers.common.compat.sdk as sdk, airflow.triggers.base
sdk.BaseHook, sdk.BaseOperator, sdk.BaseSensorOperator
known = set(sys.modules)
for name in {modules}:
    importlib.import_module("{OURS}." + name)
    loaded, known = set(sys.modules) - known, set(sys.modules)
    roots = {{module.partition(".")[0] for module in loaded}}
    print(name, roots & {{"requests", "aiohttp", "tenacity", "fsspec"}}, "{OURS}.transports" in loaded)
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert shown.stdout.splitlines()[-len(modules) :] == [f"{name} set() False" for name in modules]


def test_importing_the_operators_loads_only_what_a_dag_file_needs() -> None:
    """Each module costs a millisecond or two per parse; benchmarks/imports.py measures all of them."""
    needless = ("assets", "lineage", "delivery.pipeline", "hooks.sei", "operators._resume", "triggers")
    needless += ("protocol.exports", "protocol.waiting")
    code = f"""
import sys, {OURS}.operators.sei, {OURS}.sensors.sei
print([name for name in {needless} if "{OURS}." + name in sys.modules])
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", sources("."), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_too_long(path: Path) -> None:
    """A file should be read in one sitting."""
    assert len(path.read_text().splitlines()) <= MAX_LINES
