"""Runs the example DAGs on real Airflow processes of this machine; ``make demo``, ``make up`` and ``make down``.

Not shipped with the package: it serves whoever tries the provider from a checkout, and the project's own checks.
"""

from __future__ import annotations
