"""What the tests of the operators share: operators whose time passes without waiting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_sei.operators.sei import SEIExportOperator

REQUEST = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}


@pytest.fixture
def export_operator(sei_connection: str, worker_clock: Any, tmp_path: Path) -> Callable[..., SEIExportOperator]:
    """Make an ``SEIExportOperator`` for January of team 456."""
    assert worker_clock.pauses == []

    def make(**changes: Any) -> SEIExportOperator:
        arguments = {"task_id": "export", "destination": f"{tmp_path}/", "sei_conn_id": sei_connection, **REQUEST}
        return SEIExportOperator(**arguments | changes)

    return make


@pytest.fixture
def defer(sei_server: Any, worker_clock: Any) -> Callable[..., TaskDeferred]:
    """Run an operator up to its deferral. Exports take a minute from now on."""
    sei_server.reset(clock_speed=0.0, seconds_to_complete=60.0, queued_seconds=10.0)
    worker_clock.now = sei_server.clock()

    def run(operator: SEIExportOperator, context: Any = None) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            operator.execute(context or {})
        return caught.value

    return run


def operations(sei_server: Any) -> list[str]:
    """Return the server's requests in order, by operation."""
    return [request.operation for request in sei_server.requests]
