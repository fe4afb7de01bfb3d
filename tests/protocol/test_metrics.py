"""The documented metrics."""

from __future__ import annotations

import pytest

from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.protocol.metrics import UNKNOWN_UNIT, Metric, metric_names, metrics

EXPORTS = (*FAMILIES, "team-report/productivity", "team-report/efficiency", "contributor-report")
ALL = sorted({known for export in EXPORTS for known in metrics(export)}, key=lambda known: known.name)


COUNTS = {"productivity": 24, "efficiency": 18, "sprint": 18, "ba": 0, "ticket-data": 0, "unknown": 0}
COUNTS |= {"team-report/productivity": 6, "team-report/efficiency": 5, "contributor-report": 7}


@pytest.mark.parametrize(("export", "count"), COUNTS.items())
def test_every_export_has_its_documented_metrics(export: str, count: int) -> None:
    """As many as its table in the documents."""
    assert len(set(metrics(export))) == count
    assert metric_names(export) == tuple(known.name for known in metrics(export))


def test_a_metric_names_all_exports_that_accept_it() -> None:
    """Families and legacy reports, all of which exist. Its name is unique in any case."""
    [found] = [known for known in ALL if known.name == "AVG_TIME_TO_COMPLETE"]
    assert found.unit == "days"
    assert found.exports == ("productivity", "team-report/productivity", "contributor-report")
    assert len({known.name.casefold() for known in ALL}) == len(ALL)
    assert {export for known in ALL for export in known.exports} <= set(EXPORTS)


@pytest.mark.parametrize("known", ALL, ids=lambda known: known.name)
def test_every_metric_has_a_description_and_a_unit(known: Metric) -> None:
    """The description is a sentence, not the name again; the unit agrees with the name."""
    assert known.description.endswith(".")
    assert known.name.replace("_", " ").casefold() not in known.description.casefold().rstrip(".").split(", ")
    assert known.unit == known.unit.strip() != ""
    for part, unit in (("_PERCENT", "percent"), ("CFR", "percent"), ("_HRS_", "hours"), ("_DAYS", "days")):
        if part in known.name.upper():
            assert known.unit.startswith(unit)


def test_few_units_are_not_documented() -> None:
    """Those that no document has."""
    assert {known.name for known in ALL if known.unit == UNKNOWN_UNIT} == {
        "MTTR",
        "TOTAL_DELIVERED_WORK_VS_COMMITTED_WORK",
        "PREDICTABILITY_DELIVERY_CONSISTENCY",
        "PREDICTABILITY_RELIABILITY_OF_COMMITMENT",
    }
