"""The four DORA metrics: how to find each in a file of the efficiency export, and how to read its figures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_sei.protocol.metrics import UNKNOWN_UNIT, metric

__all__ = ["METRICS", "Dora"]


@dataclass(frozen=True, kw_only=True)
class Dora:
    """One of the four metrics, and how to find it in a file."""

    key: str
    title: str
    columns: re.Pattern[str]
    """Names that its column may have: that of the metric, or one with aggregation and unit, as ``LTTC_Mean_Days``."""
    catalogued: str
    """The metric's name in the catalogue, which tells the unit where the column's name does not."""
    more_is_better: bool = False
    elite: Mapping[str, float]
    """What elite performers stay below, by unit. Source: the customer's API document, efficiency metrics."""
    elite_words: str

    def unit(self, column: str) -> str | None:
        """Return the unit of the figures in ``column``: by its name, else by the catalogue; ``None`` if neither has."""
        for unit in ("days", "hours", "percent"):
            if unit in column.casefold().split("_"):
                return unit
        # The catalogue knows no length of period.
        unit = metric(self.catalogued).unit.replace("per period", "per month")
        return None if unit == UNKNOWN_UNIT else unit


def _columns(*names: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?:{'|'.join(names)})(?:_(?:mean|median|p90|p95|count|deployment|days|hours|percent))*", re.IGNORECASE
    )


METRICS = (
    Dora(
        key="lead_time",
        title="Lead time for changes",
        columns=_columns("LTTC", "LEAD_TIME_FOR_CHANGES"),
        catalogued="LTTC",
        elite={"days": 1, "hours": 24},
        elite_words="under 1 day",
    ),
    Dora(
        key="deployments",
        title="Deployment frequency",
        columns=_columns("DF", "DEPLOYMENT_FREQUENCY"),
        catalogued="DEPLOYMENT_FREQUENCY",
        more_is_better=True,
        elite={},
        elite_words="several deployments a day",
    ),
    Dora(
        key="failure_rate",
        title="Change failure rate",
        columns=_columns("CFR", "CHANGE_FAILURE_RATE"),
        catalogued="CFR",
        elite={"percent": 15},
        elite_words="below 15 %",
    ),
    Dora(
        key="restore",
        title="Time to restore",
        columns=_columns("MTTR", "MEAN_TIME_TO_RESTORE"),
        catalogued="MTTR",
        elite={"hours": 1, "days": 1 / 24},
        elite_words="under 1 hour",
    ),
)
