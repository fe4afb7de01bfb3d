"""The documented metrics: what each measures, in which unit, and which exports accept it. The data is metrics.toml.

The vendor adds metrics over time, so an unknown name is sent as written, with a warning. Business alignment and time in
status have no metrics.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

UNKNOWN_UNIT = "not documented"
_WORDS = re.compile(r"[\W_]+")
_AGGREGATION = re.compile(r"_(?:mean|median|p90|p95)$")
_UNIT = re.compile(r"_(?:days|hours|hrs|percent|story_points|tickets)$|^total_issues$")
# The legacy reports, by their arguments productivity_metrics, efficiency_metrics and contributor_metrics.
TEAM_REPORT_PRODUCTIVITY = "team-report/productivity"
TEAM_REPORT_EFFICIENCY = "team-report/efficiency"
CONTRIBUTOR_REPORT = "contributor-report"


@dataclass(frozen=True)
class Metric:
    """One metric. Names are case-insensitive, for the vendor as well."""

    name: str
    unit: str
    """Unit of the values in the file. ``per period`` means per ``granularity`` step."""
    description: str
    exports: tuple[str, ...]
    """The families and legacy reports that accept it; a report is one of the constants of this module."""
    title: str = ""  # of its column in legacy reports, where it is not the metric's name


@cache
def _all_metrics() -> tuple[Metric, ...]:
    rows = tomllib.loads(files(__package__).joinpath("metrics.toml").read_text("utf-8"))["metrics"]
    return tuple(Metric(**row | {"exports": tuple(row["exports"])}) for row in rows)


@cache
def metrics(export: str) -> tuple[Metric, ...]:
    """Return the documented metrics of an export family or of a legacy report; none if there are none."""
    return tuple(known for known in _all_metrics() if export in known.exports)


def metric_names(export: str) -> tuple[str, ...]:
    """Return the names of :func:`metrics`."""
    return tuple(known.name for known in metrics(export))


@cache
def column_type(name: str) -> str:
    """Return the type of a file's column by its name: ``date``, ``number``, or ``text`` if it is not known as one."""
    word = _WORDS.sub("_", name.casefold()).rstrip("_")
    known = [metric for metric in _all_metrics() if metric.unit not in (UNKNOWN_UNIT, "rating")]
    numbers = {_WORDS.sub("_", title.casefold()) for each in known for title in (each.name, each.title or each.name)}
    is_number = _UNIT.search(word) or _AGGREGATION.sub("", word) in numbers
    return "date" if word in ("start_date", "end_date") else "number" if is_number else "text"
