"""The documented metrics: what each measures, in which unit, and which exports accept it. The data is metrics.toml.

The vendor adds metrics over time, so an unknown name is sent as written, with a warning. Business alignment and time in
status have no metrics.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

UNKNOWN_UNIT = "not documented"

TEAM_REPORT_PRODUCTIVITY = "team-report/productivity"
"""The legacy team report's ``productivity_metrics``."""
TEAM_REPORT_EFFICIENCY = "team-report/efficiency"
"""The legacy team report's ``efficiency_metrics``."""
CONTRIBUTOR_REPORT = "contributor-report"
"""The legacy contributor report's ``contributor_metrics``."""


@dataclass(frozen=True)
class Metric:
    """One metric. Names are case-insensitive, for the vendor as well."""

    name: str
    unit: str
    """Unit of the values in the file. ``per period`` means per ``granularity`` step."""
    description: str
    exports: tuple[str, ...]
    """The families and legacy reports that accept it; a report is one of the constants of this module."""


@cache
def _all_metrics() -> dict[str, Metric]:
    rows = tomllib.loads(files(__package__).joinpath("metrics.toml").read_text("utf-8"))["metrics"]
    return {row["name"].casefold(): Metric(**row | {"exports": tuple(row["exports"])}) for row in rows}


@cache
def metrics(export: str) -> tuple[Metric, ...]:
    """Return the documented metrics of an export family or a legacy report; none if there are none.

    :param export: a family's name, ``team-report`` (both parts), ``team-report/productivity``,
        ``team-report/efficiency`` or ``contributor-report``.
    """
    return tuple(
        known
        for known in _all_metrics().values()
        if any(name == export or name.startswith(f"{export}/") for name in known.exports)
    )


def metric_names(export: str) -> tuple[str, ...]:
    """Return the names of :func:`metrics`."""
    return tuple(known.name for known in metrics(export))


def metric(name: str) -> Metric | None:
    """Return the metric called ``name``, in any case, or ``None`` if it is not documented."""
    return _all_metrics().get(name.strip().casefold())
