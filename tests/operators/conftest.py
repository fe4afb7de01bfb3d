"""Operators that deliver to a folder of their own, in a time that passes without waiting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
