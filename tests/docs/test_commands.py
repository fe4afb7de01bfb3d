"""Commands in the documentation exist, and so do the classes, paths and examples that it names."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_sei
from airflow_provider_sei.dbt_sources import _parser as dbt_parser
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.local_server.__main__ import _parser as server_parser
from tests.docs.pages import DOCS, PAGES, ROOT, Block, blocks, codes, name_of, tokens

PACKAGE = Path(airflow_provider_sei.__file__).parent
PROGRAMS = ("airflow ", "make ", "pip ", "python -m ")  # inline code that is a command
SHELL = {"ls", "mkdir", ".", "kill"}
OF_READERS = {"conftest.py", "my_dags/", "docs/_build/html/index.html"}  # no files of this repository
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
MARK = re.compile(r"\[(?:START|END) \w+\]")
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def commands(shown: Block) -> list[list[str]]:
    """Return the commands of a block as words, without leading assignments."""
    found = []
    for line in re.split(r"\n(?![^']*'(?:[^']*'[^']*')*[^']*\Z)", shown.text):
        words = shlex.split(line, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        words = list(takewhile(lambda word: word not in {">", "&"}, words))
        if words:
            found.append(words)
    return found


COMMANDS = [
    *((shown.place, words) for shown in blocks("bash") for words in commands(shown)),
    *((name_of(page), shlex.split(code)) for page in PAGES for code in codes(page) if code.startswith(PROGRAMS)),
]


@pytest.mark.parametrize(("place", "words"), COMMANDS, ids=lambda each: each if isinstance(each, str) else "")
def test_a_shown_command_exists(place: str, words: list[str]) -> None:
    """According to the called program's own parser, which exits for an unknown command."""
    match words:
        case ["make", *targets]:
            assert {target for target in targets if "=" not in target} <= TARGETS
        case ["pip", "install", *rest]:
            wanted = [word for word in rest if "airflow-provider-sei" in word]
            assert wanted or rest in (["--constraint", "constraints.txt", "."], ["pytest"])
            assert {extra for word in wanted for extra in re.findall(r"\[(.+)\]", word)} <= EXTRAS
        case ["airflow", *rest]:
            from airflow.cli.cli_parser import get_parser

            get_parser().parse_args(rest)
        case [python, "-m", "airflow_provider_sei.local_server", *rest] if python.endswith("python"):
            server_parser().parse_args(rest)
        case ["python", "-m", "airflow_provider_sei.dbt_sources", *rest]:
            dbt_parser().parse_args(rest)
        case ["python" | "python3", "-m", module, *_]:
            assert importlib.util.find_spec(module)
        case ["export", assignment]:
            assert re.match(r"[A-Z_]+=", assignment)
        case [word, *_]:
            assert word in SHELL, place


def test_the_shown_airflow_listens_on_loopback_only() -> None:
    """``airflow standalone`` and the servers of logs cannot be kept from listening on all interfaces."""
    shown = {words[1]: words[2:] for place, words in COMMANDS if ":" in place and words[0] == "airflow"}
    assert "standalone" not in shown
    assert shown["api-server"] == ["--host", "127.0.0.1"]
    assert shown["scheduler"] == shown["triggerer"] == ["--skip-serve-logs"]


def test_a_shown_connection_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """With key, project and organisation."""
    name = "AIRFLOW_CONN_SEI_DEFAULT"
    shown = [words[1].partition("=")[2] for _, words in COMMANDS if words[0] == "export" and name in words[1]]
    assert shown
    for connection in shown:
        monkeypatch.setenv(name, connection.replace("<key>", "a-key"))
        settings = SEIHook().settings
        assert settings.org_identifier == "default"
        assert settings.project_identifier in ("my_project", "demo_project")
        assert settings.api_key


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_classes_and_paths_in_sentences_exist(page: Path, public: set[str]) -> None:
    """In inline code: ``SEISomething``, and files and folders of the repository or the package."""
    unknown = []
    for code in codes(page):
        if re.fullmatch(r"SEI[A-Z][a-z]\w+", code) and code not in public:
            unknown.append(code)
        is_path = re.fullmatch(r"\.?[a-z_]+/[\w./]*|[a-z_]+\.py", code) and code not in OF_READERS
        if is_path and not any((folder / code).exists() for folder in (ROOT, PACKAGE)):
            unknown.append(code)
    assert unknown == []


@pytest.fixture(scope="module")
def public() -> set[str]:
    """All names of the package that begin with SEI."""
    modules = pkgutil.walk_packages(airflow_provider_sei.__path__, "airflow_provider_sei.")
    loaded: list[Any] = [importlib.import_module(each.name) for each in modules if not each.name.endswith("__main__")]
    return {name for module in loaded for name in vars(module) if name.startswith("SEI")}


def test_every_example_and_marked_part_is_shown_by_a_guide_that_the_index_links() -> None:
    """Sphinx checks the other direction: the markers that a guide names exist."""
    guides = [page for page in (DOCS / "howto").glob("*.md") if page.name != "index.md"]
    shown, marked = set(), set()
    for page in guides:
        for token in tokens(page):
            if token.type == "fence" and token.info.startswith("{literalinclude}"):
                file = (page.parent / token.info.split()[1]).resolve()
                shown.add(file)
                marked |= {(file, mark) for mark in MARK.findall(token.content)}
    assert shown == set((ROOT / "dags_examples").glob("example_*.py"))
    assert {(file, mark) for file in shown for mark in MARK.findall(file.read_text())} <= marked
    index = (DOCS / "howto" / "index.md").read_text()
    assert [page.name for page in guides if f"({page.name})" not in index] == []
