"""Mapped tasks, with values as DAG authors and templates write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_a_value_means_the_same_empty_false_or_rendered_to_text(run: Callable[..., Any], sei_server: Any) -> None:
    """What is empty is not sent, a number is a name, and the text of a list is the list."""
    assert run("mapped_values").state == "success"
    sent = {export.family: export.request for export in sei_server.exports}
    assert sent["productivity"]["scope"] == {"orgTreeName": "Engineering"}
    assert sent["productivity"]["metricGroups"] == ["velocity"]
    assert "metrics" not in sent["productivity"]
    assert sent["ba"]["scope"] == {"teamId": "456"}
    assert sent["ba"]["dateRange"] == {"start": "2024-02-01", "end": "2024-02-29"}
    assert "metricGroups" not in sent["ba"]
    assert sent["sprint"]["scope"] == {"teamId": "456"}
    assert sent["sprint"]["metricGroups"] == ["velocity"]
    assert "metrics" not in sent["sprint"]
