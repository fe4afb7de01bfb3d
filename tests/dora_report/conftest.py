"""Files as the export task delivers them, made of short texts."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from dora_report.figures import Figures, read
from dora_report.files import fetch

HEADER = "Granularity,Team,Team_Hierarchy,Start_Date,End_Date,"
METRICS = "LTTC_Mean_Days,DF_Deployment_Count,CFR_Percent,MTTR_Mean_Hours"


def csv(*records: str, columns: str = METRICS) -> bytes:
    """Return a file of records that are written as ``team|day|figures``."""
    lines = [HEADER + columns]
    for record in records:
        team, day, figures = record.split("|")
        cells = [f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in (team, f"Engineering > {team}")]
        lines.append(",".join(("monthly", *cells, day, day, figures)))
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture
def deliver(tmp_path: Path) -> Callable[..., tuple[list[dict[str, str]], list[dict[str, Any]]]]:
    """Store files; return the teams, called ``Team 0`` and so on, and what their tasks have returned."""

    def store(*files: bytes, ending: str = ".csv", rows: int | None = None) -> tuple[list[Any], list[Any]]:
        results = []
        for number, content in enumerate(files):
            path = tmp_path / f"delivered [{number}]*{ending}"
            stored = gzip.compress(content) if ending == ".csv.gz" else content
            path.write_bytes(stored)
            results.append(
                {
                    "uri": f"file://{path}",
                    "rows": max(content.count(b"\n") - 1, 0) if rows is None else rows,
                    "bytes": len(stored),
                    "sha256": hashlib.sha256(stored).hexdigest(),
                    "export_id": f"exp_{number}",
                }
            )
        return [{"team_id": str(number), "name": f"Team {number}"} for number in range(len(files))], results

    return store


@pytest.fixture
def figures(deliver: Any, tmp_path: Path) -> Callable[..., Figures]:
    """Deliver files and read them, for January to March 2024."""

    def make(*files: bytes, lost: Sequence[int] = (), end: str = "2024-03-31", **how: Any) -> Figures:
        teams, results = deliver(*files, **how)
        (tmp_path / "copies").mkdir()
        found = [None if number in lost else result for number, result in enumerate(results)]
        return read(*fetch(teams, found, tmp_path / "copies", "/x/"), "2024-01-01", end)

    return make
