"""docs/errors.md: each error has its section there, and every message that is quoted is what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei import exceptions
from tests.docs.pages import DOCS, tokens
from tests.docs.trouble import SCENES, Stage, scenes

PAGE = DOCS / "errors.md"
RAISED = {
    name
    for name, found in vars(exceptions).items()
    if isinstance(found, type) and issubclass(found, exceptions.SEIError) and found.__module__ == exceptions.__name__
} - {"_SEIOtherError"}


def sections() -> dict[str, tuple[str, list[str]]]:
    """Return the first sentence of each section, and the messages that it quotes."""
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for before, token in zip(tokens(PAGE), tokens(PAGE)[1:], strict=False):
        if before.type == "heading_open" and before.tag == "h2":
            name = token.content
            found[name] = ("", [])
        elif token.type == "inline" and name and not found[name][0]:
            found[name] = (token.content, found[name][1])
        elif token.type == "fence" and name:
            found[name][1].append(token.content.strip())
    return found


@pytest.fixture
def stage(sei_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A server and a folder."""
    return Stage(server=sei_server, monkeypatch=monkeypatch, folder=f"{tmp_path}/")


def as_on_the_page(message: str, stage: Stage) -> str:
    """Replace what differs from run to run by what the page has in its place."""
    message = message.replace(f"file://{stage.folder}", "file:///data/sei/")
    return re.sub(
        r"exp_[a-z0-9]+", "exp_7a8b9c0d", re.sub(r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:8090", message)
    )


def test_every_error_has_a_section() -> None:
    """And no section is about an error that there is not."""
    assert {name for name in sections() if name.startswith("SEI")} == RAISED == set(SCENES)


def test_the_ones_that_are_never_raised_themselves_are_named() -> None:
    """They are what ``except`` clauses can catch a group by."""
    text = PAGE.read_text()
    classes = {name for name in exceptions.__all__ if name.startswith("SEI")}
    assert {name for name in classes - RAISED if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("name", sorted(RAISED))
def test_whether_a_retry_can_help_is_told(name: str) -> None:
    """By the same word that decides."""
    error = getattr(exceptions, name)
    assert sections()[name][0].startswith(f"*Retried: {'yes' if error.retryable else 'no'}.*")


@pytest.mark.parametrize("name", SCENES)
def test_every_quoted_message_is_shown_to_be_true(name: str) -> None:
    """One scene for each."""
    assert len(sections()[name][1]) == len(SCENES[name])


@pytest.mark.usefixtures("sei_connection", "worker_clock")
@pytest.mark.parametrize(("name", "number"), scenes())
def test_the_log_says_what_the_page_quotes(stage: Stage, name: str, number: int) -> None:
    """Word by word, but for ids, addresses and folders; and what was delivered before is as it was."""
    with pytest.raises(exceptions.SEIError) as caught:
        SCENES[name][number](stage)
    assert type(caught.value).__name__ == name
    assert as_on_the_page(str(caught.value), stage) == sections()[name][1][number]
