"""Figures to one HTML page that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dora_report.charts import MOST_LINES, Chart, chart, figure, style_of, symbol
from dora_report.figures import Figures, Series

__all__ = ["page"]

_WIDE, _NARROW = 640, 340


@dataclass(frozen=True, kw_only=True)
class _Section:
    """One metric on the page."""

    series: Series
    wide: Chart | None
    """``None`` without data."""
    narrow: Chart | None
    """The same for a telephone, where the names are in the legend alone."""
    newest: str | None
    """The last median."""
    newest_month: str
    change: str
    """Of the last median on the one of the month before; empty where there is none."""
    better: bool | None


def page(figures: Figures, generated_at: datetime) -> str:
    """Return the page. Every text that comes from a file is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    return environment.get_template("page.html").render(
        figures=figures,
        sections=[_section(figures, series) for series in figures.series],
        legend=[
            (index, name, style_of(index), symbol(index, 9, 7))
            for index, name in enumerate(figures.teams)
            if len(figures.teams) <= MOST_LINES
        ],
        generated_at=generated_at,
    )


def _section(figures: Figures, series: Series) -> _Section:
    newest = max((at for at, value in enumerate(series.medians) if value is not None), default=None)
    if newest is None:
        return _Section(series=series, wide=None, narrow=None, newest=None, newest_month="", change="", better=None)
    change, better = _change(figures, series, newest)
    value = series.medians[newest]
    return _Section(
        series=series,
        wide=chart(series, figures.teams, figures.months, width=_WIDE, labelled=True),
        narrow=chart(series, figures.teams, figures.months, width=_NARROW, labelled=False),
        newest=figure(value) if value is not None else None,
        newest_month=f"{figures.months[newest]:%B %Y}",
        change=change,
        better=better,
    )


def _change(figures: Figures, series: Series, newest: int) -> tuple[str, bool | None]:
    """Return how the last median differs from that of the month before, in words, and whether that is good."""
    before, now = (_value(series.medians, at) for at in (newest - 1, newest))
    if not before or now is None:
        return "", None
    percent = round(100 * (now - before) / before)
    if not percent:
        return f"as in {figures.months[newest - 1]:%B}", None
    words = f"{abs(percent)} % {'above' if percent > 0 else 'below'} {figures.months[newest - 1]:%B}"
    return words, (percent > 0) == series.metric.more_is_better


def _value(values: Sequence[float | None], at: int) -> float | None:
    return values[at] if at >= 0 else None
