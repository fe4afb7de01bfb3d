"""The documentation as it is built: it builds without a warning, and everything in it leads somewhere."""

from __future__ import annotations

import importlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from sphinx.util.inventory import InventoryFile

from tests.docs.pages import DOCS, PAGES, README, ROOT, links, name_of
from tests.test_public_names import PUBLIC

# What others build on, and what its docstrings lead to. Fixtures have no place in Sphinx: a page tells of them.
EXPLAINED = ("airflow_provider_sei.assets", "airflow_provider_sei.exceptions", "airflow_provider_sei.retry_policy")
REFERENCE = {module: names for module, names in PUBLIC.items() if module != "airflow_provider_sei.pytest_plugin"} | {
    module: {*importlib.import_module(module).__all__} - {"emit_asset_events"} for module in EXPLAINED
}


class _Page(HTMLParser):
    """The ids of a page, and what it refers to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.followed: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given["id"]} if "id" in given else set()
        if tag == "a" and "href" in given:
            self.followed.add(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.add(given["href"])
        elif tag in ("img", "script", "source", "iframe") and "src" in given:
            self.loaded.add(given["src"])


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, _Page]:
    """All pages."""
    return {file: _Page(file) for file in built.rglob("*.html")}


def test_every_page_is_built(built: Path) -> None:
    """None is left out of the tables of contents unnoticed: Sphinx warns of those."""
    sources = {page.relative_to(DOCS).with_suffix(".html") for page in PAGES if page != README}
    assert sources <= {page.relative_to(built) for page in built.rglob("*.html")}


def test_every_internal_link_leads_somewhere(pages: dict[Path, _Page]) -> None:
    """To a page that is there, and to a place that it has."""
    broken = []
    for file, page in pages.items():
        for link in page.followed:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            is_page = parts.fragment and target in pages
            if not target.exists() or (is_page and unquote(parts.fragment) not in pages[target].ids):
                broken.append((file.name, link))
    assert broken == []


def test_a_page_loads_nothing_from_elsewhere(pages: dict[Path, _Page]) -> None:
    """It can be read without a network, and tells nobody that it is."""
    loaded = {(file, link) for file, page in pages.items() for link in page.loaded}
    assert {link for _, link in loaded if urlsplit(link).scheme or link.startswith("//")} == set()
    assert [link for file, link in loaded if not (file.parent / urlsplit(link).path).exists()] == []


@pytest.mark.parametrize(("module", "names"), REFERENCE.items())
def test_what_is_public_is_in_the_reference(built: Path, module: str, names: set[str]) -> None:
    """Each name that others build on."""
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="")
    known = {name for kind in inventory.data.values() for name in kind}
    assert {name for name in names if f"{module}.{name}" not in known} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_to_elsewhere_are_whole(page: Path) -> None:
    """By their form; nothing is called."""
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            assert "." in parts.netloc, link
            assert re.fullmatch(r"[!-~]+", link), link


def test_links_of_the_readme_lead_somewhere() -> None:
    """It is read in the repository, not built."""
    for link in links(README):
        if not urlsplit(link).scheme:
            assert (ROOT / urlsplit(link).path).exists(), link


def test_tables_that_are_made_of_the_code_are_not_kept() -> None:
    """They are written anew by each build."""
    assert "docs/_build/" in (ROOT / ".gitignore").read_text().splitlines()
    made = {f"/_build/tables/{file.name}" for file in (DOCS / "_build" / "tables").glob("*.md")}
    text = "".join(page.read_text() for page in PAGES)
    assert {name for name in made if f"{{include}} {name}\n" not in text} == set()
