"""Which example DAGs the demo runs: each is one entry of the table below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["EXAMPLES", "Example"]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One DAG of ``dags_examples/``, and what the demo expects of it."""

    dag_id: str
    needs: str | None = None
    """The param that it cannot do without; with an account that does not give it, the example is left out."""
    months: int = 3
    """How many full months it exports."""
    conf: Mapping[str, Any] = field(default_factory=dict)
    """Params beside those that the source gives."""
    defers: bool = False
    """Whether a task of it must have been seen deferred. Not for a wait in a task of its own, which begins later: on a
    busy machine its export may be ready by then."""
    delivers: bool = True
    """Whether a task of it must have delivered a file."""


EXAMPLES = (
    Example(dag_id="sei_export_one_task", defers=True),
    Example(dag_id="sei_export_create_wait_download"),
    Example(dag_id="sei_legacy_team_report", needs="team_id"),
    Example(dag_id="sei_legacy_contributor_report", needs="team_id"),
    Example(dag_id="sei_dora_report", needs="team_ids", months=12),
)
