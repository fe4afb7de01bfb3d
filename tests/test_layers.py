"""Which part of the package may import which, and what a DAG file loads."""

from __future__ import annotations

import ast
import json
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
    "pytest_plugin.py": ("aiohttp", "requests"),  # Airflow only in run_dag, which is checked below
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


@pytest.mark.parametrize("part", FORBIDDEN)
def test_no_layer_imports_a_forbidden_one(part: str) -> None:
    """Nor another HTTP library than its own."""
    found = {str(path): violations(path.read_text(), FORBIDDEN[part]) for path in sources(part)}
    assert found
    assert not any(found.values()), found


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


LOAD = """
import importlib, json, sys
for name in sys.argv[1:]:
    known = set(sys.modules)
    importlib.import_module(name)
    print(json.dumps([name, *sorted(set(sys.modules) - known)]))
"""
AIRFLOW = ("airflow.providers.common.compat.sdk", "airflow.triggers.base", "airflow.sdk.bases.hook")
AIRFLOW += ("airflow.sdk.bases.operator", "airflow.sdk.bases.sensor")
PARSED = [f"{OURS}.{name}" for name in ("exceptions", "sensors.sei", "operators.sei", "task_groups")]
RUNNING = [f"{OURS}.{name}" for name in ("triggers.sei", "hooks.sei")]


def test_importing_loads_only_what_is_needed() -> None:
    """Every Airflow process loads the metadata, every pytest run the plugin, and DAG files every few seconds the rest.

    Each module costs a millisecond or two; benchmarks/imports.py measures all of them.
    """
    first = [f"{OURS}.get_provider_info", f"{OURS}.pytest_plugin"]
    command = [sys.executable, "-c", LOAD, *first, *AIRFLOW, *PARSED, *RUNNING]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PACKAGE.parent).stdout
    found = [json.loads(line) for line in shown.splitlines() if line.startswith("[")]
    loaded = {name: set(modules) for name, *modules in found}
    roots = {name: {module.partition(".")[0] for module in modules} for name, modules in loaded.items()}
    assert roots[first[0]] - sys.stdlib_module_names == {OURS}
    assert roots[first[1]].isdisjoint({"airflow", "aiohttp", "requests"})
    for name in (*PARSED, *RUNNING):  # what Airflow itself has loaded by then does not count
        assert roots[name].isdisjoint({"requests", "aiohttp", "tenacity", "fsspec", "openlineage"})
        assert not any(module.startswith("airflow.providers.common.compat.lineage") for module in loaded[name])
        assert f"{OURS}.transports" not in loaded[name]
    needless = ("assets", "lineage", "delivery.pipeline", "hooks.sei", "operators._resume", "triggers")
    needless += ("protocol.exports", "protocol.waiting")
    assert set().union(*(loaded[name] for name in PARSED)).isdisjoint(f"{OURS}.{name}" for name in needless)


def test_no_file_is_too_long() -> None:
    """A file should be read in one sitting."""
    assert [str(path) for path in sources(".") if len(path.read_text().splitlines()) > MAX_LINES] == []
