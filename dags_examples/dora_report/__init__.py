"""The page of ``sei_dora_report``: delivered DORA files in, one HTML page out.

Copy this folder beside the DAG file. ``files`` fetches and stores, ``figures`` reads with DuckDB, ``charts`` computes
where the lines go, ``page`` and ``page.html`` put it together.
"""

from __future__ import annotations
