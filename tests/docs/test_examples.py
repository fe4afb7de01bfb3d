"""The how-to guides show every part of the example DAGs."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import DOCS, ROOT, tokens

EXAMPLES = sorted((ROOT / "dags_examples").glob("example_*.py"))
GUIDES = sorted((DOCS / "howto").glob("*.md"))


def test_every_example_and_marked_part_is_shown_by_a_guide() -> None:
    """Sphinx checks the other direction: the markers that a guide names exist."""
    shown, markers = set(), set()
    for page in GUIDES:
        for token in tokens(page):
            if token.type == "fence" and token.info.startswith("{literalinclude}"):
                file = (page.parent / token.info.split()[1]).resolve()
                shown.add(file)
                markers |= {(file, mark) for mark in re.findall(r"\[(?:START|END) \w+\]", token.content)}
    assert shown == set(EXAMPLES)
    for file in EXAMPLES:
        in_file: list[str] = re.findall(r"\[(?:START|END) \w+\]", Path(file).read_text())
        assert {mark for mark in in_file if (file, mark) not in markers} == set()


def test_the_index_links_every_guide() -> None:
    """In its table."""
    index = (DOCS / "howto" / "index.md").read_text()
    assert {page.name for page in GUIDES if page.name != "index.md" and f"({page.name})" not in index} == set()
