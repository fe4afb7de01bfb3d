"""What the tests of the operators share: operators whose time passes without waiting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_sei.operators.sei import SEIExportOperator

JANUARY = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
REQUEST = {"family": "productivity", "team_id": "456", **JANUARY}
Make = Callable[..., SEIExportOperator]
Defer = Callable[..., TaskDeferred]


@pytest.fixture
def make(sei_connection: str, worker_clock: Any, tmp_path: Path) -> Make:
    """Make an ``SEIExportOperator`` for January of team 456."""
    assert worker_clock.pauses == []
    arguments = {"task_id": "export", "destination": f"{tmp_path}/", "sei_conn_id": sei_connection, **REQUEST}
    return lambda **changes: SEIExportOperator(**arguments | changes)


@pytest.fixture
def defer(sei_server: Any, worker_clock: Any) -> Defer:
    """Run an operator up to its deferral. Exports take a minute from now on."""
    sei_server.reset(clock_speed=0.0, seconds_to_complete=60.0, queued_seconds=10.0)
    worker_clock.now = sei_server.clock()

    def run(operator: SEIExportOperator, context: Any = None) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            operator.execute(context or {})
        return caught.value

    return run


@pytest.fixture
def end(sei_server: Any, fire: Any) -> Callable[[TaskDeferred], Any]:
    """Run the trigger of a deferral until its export has ended; return its event, as Airflow stores it."""

    def run(deferral: TaskDeferred) -> Any:
        sei_server.clock.advance(60)
        return json.loads(json.dumps(fire(deferral.trigger)))

    return run


def operations(sei_server: Any) -> list[str]:
    """Return the server's requests in order, by operation."""
    return [request.operation for request in sei_server.requests]
