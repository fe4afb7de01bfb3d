"""What ``make docs`` checks in the pages that it has built: no broken links, and a complete reference."""

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
from tests.docs.pages import DOCS, PAGES, README, ROOT, tokens
from tests.test_public_names import PUBLIC

BUILT = DOCS / "_build" / "html"
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
def pages() -> dict[Path, _Page]:
    """All pages."""
    return {file: _Page(file) for file in BUILT.rglob("*.html")}


def test_every_internal_link_resolves(pages: dict[Path, _Page]) -> None:
    """To an existing page, and to an existing id on it; pages, search and pictures load nothing from elsewhere."""
    broken = []
    for file, page in pages.items():
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme:
                if link in page.loaded and parts.scheme != "data":
                    broken.append((file.name, link))
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            has_id = parts.fragment and target in pages
            if not target.exists() or (has_id and unquote(parts.fragment) not in pages[target].ids):
                broken.append((file.name, link))
    assert broken == []


def test_the_index_and_the_list_of_plain_texts_have_every_page(pages: dict[Path, _Page]) -> None:
    """``llms.txt`` names each page and its text."""
    names = {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES if page != README}
    linked = {link.partition("#")[0] for link in pages[BUILT / "index.html"].links}
    assert {f"{name}.html" for name in names - {"index"}} <= linked
    listed = re.findall(r"^- \[.+\]\((.+)\)$", (BUILT / "llms.txt").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(f"text/{name}.txt" for name in names)
    assert [name for name in listed if not (BUILT / name).read_text().strip()] == []


def test_public_names_are_in_the_reference() -> None:
    """In the inventory that Sphinx writes."""
    inventory = InventoryFile.loads((BUILT / "objects.inv").read_bytes(), uri="")
    known = {name for kind in inventory.data.values() for name in kind}
    assert {f"{module}.{name}" for module, names in REFERENCE.items() for name in names} - known == set()


def test_the_reference_has_one_complete_table_of_arguments_for_each_class() -> None:
    """With the defaults, in the order of the signature, all on one page."""
    found = [
        re.findall(r'<tr class="row-\w+"><td><p><code[^>]*><span[^>]*>(\w+)<', table)
        for table in (BUILT / "api" / "operators.html").read_text().split("<table")[1:]
    ]
    kinds = [vars(import_module(module))[name] for module, names in REFERENCE.items() for name in names]
    kinds = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseOperator | TaskGroup)]
    assert sorted(found) == sorted(list(signature(kind).parameters) for kind in kinds)


def test_external_links_are_https_and_links_of_the_readme_exist() -> None:
    """Nothing is called. The README is not built, so its links are checked here."""
    for page in PAGES:
        for link in (str(token.attrs["href"]) for token in tokens(page) if token.type == "link_open"):
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme == "https", link
                assert re.fullmatch(r"[!-~]+", link), link
            elif page == README:
                assert (ROOT / parts.path).exists(), link
