"""Apache Airflow provider for the export API of Harness SEI (Software Engineering Insights)."""

from __future__ import annotations

__version__ = "0.1.0"
