"""The backfill example over half a year. ``test_backfill_lab`` runs Airflow's own backfill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pendulum import datetime as moment

from tests.test_backfill_lab import files
from tests.test_dags_examples import results

MONTHS = [(2023, 10), (2023, 11), (2023, 12), (2024, 1), (2024, 2), (2024, 3)]
TEAMS = ("456", "123")


def backfill(run: Any, months: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Run the example on the first day after each month; return the results of the exports."""
    moments = [{"logical_date": moment(year, month, 1, 2).add(months=1)} for year, month in months]
    return [result for each in moments for result in results(run("sei_backfill", each), "export")]


def test_each_month_is_delivered_once_and_not_written_again(run: Any, sei_server: Any, tmp_path: Path) -> None:
    """A later run of a month creates new exports, but their content is the same."""
    first = backfill(run, MONTHS)
    delivered = files(tmp_path)
    assert set(delivered) == {
        f"family=productivity/period={year}-{month:02d}/team={team}/productivity_c9d8bf79.csv"
        for year, month in MONTHS
        for team in TEAMS
    }
    requested = {(str(one.request["dateRange"]), one.request["scope"]["teamId"]) for one in sei_server.exports}
    assert len(requested) == len(sei_server.exports) == len(first) == 12
    assert all(result["written"] for result in first)

    sei_server.clock.advance(30 * 60 + 1)
    again = backfill(run, MONTHS[:2])
    assert len(sei_server.exports) == 12 + 4
    assert not any(result["written"] for result in again)
    assert [result["uri"] for result in again] == [result["uri"] for result in first[:4]]
    assert files(tmp_path) == delivered
