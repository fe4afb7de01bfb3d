"""Read the documentation's pages: code blocks, links, tables, and inline code."""

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

    place: str
    """Page and line of the fence."""
    text: str


def name_of(page: Path) -> str:
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    """Return a page's tokens, inline ones included."""
    parser = MarkdownIt("commonmark").enable("table").use(deflist_plugin).use(front_matter_plugin)
    parsed = parser.parse(page.read_text())
    return tuple(part for token in parsed for part in (token, *(token.children or ())))


def blocks(language: str) -> list[Block]:
    """Return all pages' blocks in a language."""
    return [
        Block(f"{name_of(page)}:{(token.map or [0])[0] + 1}", token.content)
        for page in PAGES
        for token in tokens(page)
        if token.type == "fence" and token.info.strip() == language
    ]


def block(page: Path, words: str) -> str:
    """Return the one block of a page that contains these words."""
    [found] = [token.content for token in tokens(page) if token.type == "fence" and words in token.content]
    return found


def codes(page: Path) -> Iterator[str]:
    """Yield the code in a page's sentences and tables."""
    return (token.content for token in tokens(page) if token.type == "code_inline")
