"""The example DAGs and the pages that show them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import DOCS, ROOT, tokens

EXAMPLES = sorted((ROOT / "dags_examples").glob("example_*.py"))
HOW_TO = sorted((DOCS / "howto").glob("*.md"))


def included(page: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each file that a page shows a part of, with the words that say which."""
    for token in tokens(page):
        if token.type == "fence" and token.info.startswith("{literalinclude}"):
            file = (page.parent / token.info.split()[1]).resolve()
            yield file, re.findall(r'^:(?:start|end)-[a-z]+: "?(.+?)"?$', token.content, re.MULTILINE)


SHOWN = [(page, *part) for page in HOW_TO for part in included(page)]


def test_every_example_is_shown_by_a_how_to() -> None:
    """A new one is noticed."""
    assert {file for _, file, _ in SHOWN} == set(EXAMPLES)


def test_every_marked_part_is_shown() -> None:
    """And every marker that a page names is there, once."""
    marked = {(file, mark) for file in EXAMPLES for mark in re.findall(r"# (\[(?:START|END) .+\])", file.read_text())}
    named = {(file, mark) for _, file, marks in SHOWN for mark in marks}
    assert {(file.name, mark) for file, mark in marked - named} == set()
    assert {(file.name, mark) for file, mark in named if file.read_text().count(mark) < 1} == set()


def test_every_how_to_is_in_the_table_of_them() -> None:
    """Where people look for what they want."""
    index = (DOCS / "howto" / "index.md").read_text()
    assert {page.name for page in HOW_TO if page.name != "index.md" and f"({page.name})" not in index} == set()
