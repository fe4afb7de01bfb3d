"""The demo's table fits the examples that there are, and their params."""

from __future__ import annotations

from datetime import date
from typing import Any

from demo.examples import EXAMPLES
from demo.sources import LocalServer


def test_each_entry_is_an_example_once(dags: dict[str, Any]) -> None:
    """A renamed one is noticed before the demo waits for it."""
    ids = [example.dag_id for example in EXAMPLES]
    assert sorted(set(ids)) == sorted(ids)
    assert set(ids) <= set(dags)


def test_each_entry_gets_what_it_needs_from_the_local_server() -> None:
    """Everything in the table runs without an account."""
    for example in EXAMPLES:
        params = LocalServer(port=1).params(date(2026, 3, 31), example.months)
        assert example.needs is None or params[example.needs]


def test_waiting_is_shown() -> None:
    """At least one entry must be seen deferred."""
    assert any(example.defers for example in EXAMPLES)
