"""Suppressed checks and their reasons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("airflow_provider_sei", "benchmarks", "dags_examples", "demo", "docs", "tests")
SWITCH = re.compile(r"#\s*(noqa|type:\s*ignore|pragma)\b(?P<rest>.*)")
REASONED = re.compile(r": [A-Z]+\d+ - \S|\[[a-z,-]+\]  # \S")
WITHOUT_A_REASON = re.compile(r"pytest\.(skip|importorskip)\((\"[\w.]+\")?\)|mark\.(skip|xfail)\b(?!.*reason=)")


def unexplained(text: str) -> list[str]:
    """Return the lines that suppress a check or a test without a reason."""
    return [
        line.strip()
        for line in text.splitlines()
        if ((found := SWITCH.search(line)) and not REASONED.match(found["rest"])) or WITHOUT_A_REASON.search(line)
    ]


def test_each_has_a_reason_on_its_line() -> None:
    """So that others can judge whether it still applies."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path != Path(__file__)]
    assert len(files) > 200
    assert {str(path): lines for path in files if (lines := unexplained(path.read_text()))} == {}


@pytest.mark.parametrize(
    "line",
    [
        *("x = 1  # noqa", "x = 1  # noqa: S311", "x = f()  # type: ignore", "x = f()  # type: ignore[misc]"),
        *("if x:  # pragma: no cover", "pytest.skip()", 'pytest.importorskip("numpy")'),
        "@pytest.mark.xfail(strict=True)",
    ],
)
def test_one_without_is_found(line: str) -> None:
    """Of each kind."""
    assert unexplained(line) == [line]


def test_every_disabled_rule_has_a_reason() -> None:
    """In pyproject.toml, for all files or for a folder."""
    _, _, settings = (ROOT / "pyproject.toml").read_text().partition("[tool.ruff.lint]")
    off = [line.strip() for line in settings.splitlines() if re.match(r'\s*"[A-Z]{1,4}\d*",|"\S+" = \["[A-Z]', line)]
    assert len(off) > 20
    assert [line for line in off if not re.search(r"# \S", line)] == []
