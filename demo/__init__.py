"""Runs the example DAGs on real Airflow processes. Not part of the wheel."""

from __future__ import annotations

__all__ = ["DemoError"]


class DemoError(Exception):
    """The demo cannot go on; the message says what happened and where to look."""
