"""The built documentation: no warnings, no broken links, and everything public is in the reference."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import import_module
from inspect import signature
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, TaskGroup
from sphinx.util.inventory import InventoryFile

from airflow_provider_sei import exceptions
from tests.docs.pages import DOCS, PAGES, README, ROOT, links, name_of
from tests.test_public_names import PUBLIC

# Fixtures are not Python objects of the reference; docs/testing.md describes them.
REFERENCE = {module: names for module, names in PUBLIC.items() if module != "airflow_provider_sei.pytest_plugin"} | {
    "airflow_provider_sei.assets": {"scope_asset"},
    "airflow_provider_sei.exceptions": {name for name in vars(exceptions) if name.startswith("SEI")},
    "airflow_provider_sei.retry_policy": {"SEIRetryPolicy"},
    "airflow_provider_sei.periods": {"split_period"},
}


class _Page(HTMLParser):
    """The ids of a page, and the links in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        elif tag in {"img", "script"} and "src" in given:
            self.loaded.add(given["src"])
        elif tag == "link" and given.get("rel") != "canonical":
            self.loaded.add(given["href"])


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, _Page]:
    """All pages."""
    return {file: _Page(file) for file in built.rglob("*.html")}


def test_every_internal_link_resolves(pages: dict[Path, _Page]) -> None:
    """To an existing page, and to an existing id on it."""
    broken = []
    for file, page in pages.items():
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            has_id = parts.fragment and target in pages
            if not target.exists() or (has_id and unquote(parts.fragment) not in pages[target].ids):
                broken.append((file.name, link))
    assert broken == []


def test_it_works_without_a_network(pages: dict[Path, _Page]) -> None:
    """Pages, search and pictures load nothing from elsewhere."""
    assert {
        link for page in pages.values() for link in page.loaded if urlsplit(link).scheme not in {"", "data"}
    } == set()


def test_the_index_and_the_list_of_plain_texts_have_every_page(built: Path, pages: dict[Path, _Page]) -> None:
    """``llms.txt`` names each page and its text."""
    names = {
        path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md") if "_build" not in path.parts
    }
    assert {f"{name}.html" for name in names - {"index"}} <= {
        link.partition("#")[0] for link in pages[built / "index.html"].links
    }
    listed = re.findall(r"^- \[.+\]\((.+)\)$", (built / "llms.txt").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(f"text/{name}.txt" for name in names)
    assert [name for name in listed if not (built / name).read_text().strip()] == []


@pytest.mark.parametrize(("module", "names"), REFERENCE.items())
def test_public_names_are_in_the_reference(built: Path, module: str, names: set[str]) -> None:
    """In the inventory that Sphinx writes."""
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="")
    known = {name for kind in inventory.data.values() for name in kind}
    assert {name for name in names if f"{module}.{name}" not in known} == set()


def test_the_reference_has_one_complete_table_of_arguments_for_each_class(built: Path) -> None:
    """With the defaults, in the order of the signature, all on one page."""
    page = (built / "api" / "operators.html").read_text()
    found = [
        re.findall(r'<tr class="row-\w+"><td><p><code[^>]*><span[^>]*>(\w+)<', table)
        for table in page.split("<table")[1:]
    ]
    kinds = [vars(import_module(module))[name] for module, names in REFERENCE.items() for name in names]
    kinds = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseOperator | TaskGroup)]
    assert sorted(found) == sorted(list(signature(kind).parameters) for kind in kinds)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_external_links_are_https_and_links_of_the_readme_exist(page: Path) -> None:
    """Nothing is called. The README is not built, so its links are checked here."""
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            assert re.fullmatch(r"[!-~]+", link), link
        elif page == README:
            assert (ROOT / parts.path).exists(), link
