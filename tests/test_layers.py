"""Which part of the package may know which: imports point one way only."""

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
LONGEST = 300  # lines

# Folder or module: what it must not import. Relative to this package where it starts with a dot.
FORBIDDEN = {
    "protocol": (*HTTP, "airflow", "asyncio", "fsspec"),
    "transports": (
        "airflow",
        ".hooks",
        ".operators",
        ".sensors",
        ".triggers",
        ".delivery",
        ".exceptions",
        ".connection",
    ),
    "transports/sync.py": ("aiohttp",),
    "transports/aio.py": ("requests", "urllib3"),
    "delivery": (*HTTP, *UPPER, ".transports"),
    "operators": (*HTTP, ".transports", ".local_server"),
    "sensors": (*HTTP, ".transports", ".delivery", ".local_server"),
    "triggers": ("requests", "urllib3", "tenacity", ".operators", ".sensors", ".hooks", ".delivery"),
    "hooks": ("aiohttp", ".operators", ".sensors", ".triggers"),
    "task_groups.py": (*HTTP, ".transports", ".delivery", ".local_server"),
    "exceptions.py": (*HTTP, ".transports", ".hooks", ".delivery"),
    "connection.py": (*HTTP, ".transports", ".hooks"),
    "local_server": (
        "airflow",
        "requests",
        ".transports",
        ".hooks",
        ".operators",
        ".sensors",
        ".triggers",
        ".delivery",
    ),
    "get_provider_info.py": (*HTTP, "airflow", ".hooks", ".protocol"),
    "pytest_plugin.py": ("airflow", "aiohttp"),
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
def test_no_layer_reaches_upwards(part: str, path: Path) -> None:
    """Nor sideways into the other HTTP library."""
    assert violations(path.read_text(), FORBIDDEN[part]) == []


@pytest.mark.parametrize("path", sources("protocol"), ids=lambda path: path.name)
def test_the_core_needs_the_standard_library_alone(path: Path) -> None:
    """It can be read, tested and reused without installing anything."""
    roots = {name.partition(".")[0] for name in imported(ast.parse(path.read_text()))}
    assert roots <= sys.stdlib_module_names | {OURS}
    assert violations(path.read_text(), tuple(f".{part}" for part in ("transports", "hooks", "exceptions"))) == []


@pytest.mark.parametrize("path", sources("protocol"), ids=lambda path: path.name)
def test_the_core_has_no_clock_no_chance_and_no_files(path: Path) -> None:
    """Time and chance are arguments."""
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
    """DAG files are parsed every few seconds; only a running task needs these."""
    modules = ("get_provider_info", "exceptions", "triggers.sei", "hooks.sei", "sensors.sei", "operators.sei")
    modules += ("task_groups",)
    # What Airflow itself has loaded by then is not ours to answer for.
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


def test_importing_the_operators_loads_nothing_that_only_a_running_task_needs() -> None:
    """Each module is a millisecond or two at every parse; benchmarks/imports.py shows what all of it costs."""
    needless = ("assets", "attempts", "delivery", "hooks.sei", "protocol.exports", "protocol.http")
    needless += ("protocol.naming", "protocol.reports", "protocol.waiting", "triggers")
    code = f"""
import sys, {OURS}.operators.sei, {OURS}.sensors.sei
print([name for name in {needless} if "{OURS}." + name in sys.modules])
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", sources("."), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_too_long_to_read(path: Path) -> None:
    """A reader can take in one file at a time."""
    assert len(path.read_text().splitlines()) <= LONGEST
