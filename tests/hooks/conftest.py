"""A hook on the local SEI server, whose time passes without waiting."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_sei.hooks.sei import SEIHook


@pytest.fixture
def hook(sei_connection: str, worker_clock: Any) -> SEIHook:
    """The hook of ``sei_default``."""
    assert worker_clock.pauses == []
    return SEIHook(sei_connection)
