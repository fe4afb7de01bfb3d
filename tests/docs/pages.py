"""The documentation taken apart: its pages, their code blocks, links, tables, and words in backticks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.front_matter import front_matter_plugin

if TYPE_CHECKING:
    from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = (README, *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts))


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    """From 1, of the fence."""
    language: str
    text: str

    @property
    def place(self) -> str:
        """Return where it stands, as compilers write it."""
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    """Return a page's path as people say it."""
    return page.relative_to(ROOT).as_posix()


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    """Return what a page is made of, inline parts in line with the others."""
    parser = MarkdownIt("commonmark").enable("table").use(deflist_plugin).use(front_matter_plugin)
    parsed = parser.parse(page.read_text())
    return tuple(part for token in parsed for part in (token, *(token.children or ())))


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages that are in one of these languages."""
    return [
        Block(name_of(page), (token.map or [0])[0] + 1, token.info.strip(), token.content)
        for page in PAGES
        for token in tokens(page)
        if token.type == "fence" and token.info.strip() in languages
    ]


def block(page: Path, words: str) -> str:
    """Return the text of the one block of a page that holds these words."""
    [found] = [token.content for token in tokens(page) if token.type == "fence" and words in token.content]
    return found


def links(page: Path) -> Iterator[str]:
    """Yield where a page's links lead."""
    for token in tokens(page):
        if token.type == "link_open":
            yield str(token.attrs["href"])


def codes(page: Path) -> Iterator[str]:
    """Yield what stands in backticks within a page's sentences and tables."""
    for token in tokens(page):
        if token.type == "code_inline":
            yield token.content


def table(page: Path, head: str) -> list[list[str]]:
    """Return the rows below the one that holds ``head``, cell by cell, as written."""
    lines = page.read_text().splitlines()
    [start] = [number for number, line in enumerate(lines) if line.startswith("|") and head in line]
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows
