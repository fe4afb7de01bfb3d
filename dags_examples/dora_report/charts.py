"""Where the lines of a chart go: a series and a width in, coordinates out. The page's template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from dora_report.figures import Series

__all__ = ["MOST_LINES", "Chart", "Label", "Line", "Marker", "chart", "figure", "style_of", "symbol"]

MOST_LINES = 12
"""With more teams, all lines are grey and bare, and the median stands out: nobody tells twenty colours apart."""
_COLOURS, _SHAPES = 8, 4
_HEIGHT = 250
_TOP, _BOTTOM, _LEFT, _RIGHT = 12, 26, 40, 32
_LABELS = 166
"""Room for the names at the lines' ends."""
_LABEL_HEIGHT = 15
_LONGEST_LABEL = 22  # characters
_MONTH_WIDTH = 58
_INSET = 8
"""From the ends of the grid to the first and the last month."""


@dataclass(frozen=True)
class Marker:
    """One value: a symbol with a title."""

    path: str
    title: str


@dataclass(frozen=True)
class Label:
    """A name at the right, led to from the line's last value."""

    text: str
    x: float
    y: float
    leader: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One team, or the median of all."""

    number: int | None
    """The team's; ``None`` for the median."""
    name: str
    style: str
    """CSS classes: the same team looks the same in all charts."""
    path: str
    """Interrupted where a month has no value."""
    markers: Sequence[Marker]
    label: Label | None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Everything that is drawn, in units of the SVG's own size."""

    width: int
    height: int
    left: float
    right: float
    """Of the plotting area, without the labels."""
    values: Sequence[tuple[float, str]]
    """Grid lines: y and text."""
    months: Sequence[tuple[float, str]]
    """x and text."""
    lines: Sequence[Line]
    elite: float | None
    """y of the elite threshold, if it lies within the scale."""


def chart(series: Series, teams: Sequence[str], months: Sequence[date], *, width: int, labelled: bool) -> Chart:
    """Return the chart of a metric.

    Args:
        series: the metric; it has data.
        teams: names, in the order of the series' rows.
        months: in the order of the series' columns.
        width: of the drawing.
        labelled: whether the lines end in names, for which it takes some width.
    """
    labelled = labelled and len(teams) <= MOST_LINES
    scale = _Scale(
        left=_LEFT,
        right=width - (_LABELS if labelled else _RIGHT),
        top=_TOP,
        bottom=_HEIGHT - _BOTTOM,
        months=len(months),
        ticks=_ticks(max(value for row in series.values for value in row if value is not None)),
    )
    names = {month: f"{month:%b %Y}" for month in months}
    crowded = len(teams) > MOST_LINES
    rows = [
        (index, name, "faint" if crowded else style_of(index), values)
        for index, (name, values) in enumerate(zip(teams, series.values, strict=True))
    ]
    if crowded:
        rows.append((len(teams), f"Median of {len(teams)} teams", "median", series.medians))
    labels = _labels(scale, [(name, values) for _, name, _, values in rows], width) if labelled else [None] * len(rows)
    lines = []
    for (index, name, style, values), label in zip(rows, labels, strict=True):
        points = [scale.point(at, value) for at, value in enumerate(values)]
        lines.append(
            Line(
                number=index if index < len(teams) else None,
                name=name,
                style=style,
                path=_path(points),
                markers=[
                    Marker(
                        symbol(index, *point), f"{name}, {names[month]}: {figure(value)} {series.unit or ''}".rstrip()
                    )
                    for point, month, value in zip(points, months, values, strict=True)
                    if point is not None and value is not None and style != "faint"
                ],
                label=label,
            )
        )
    every = math.ceil(_MONTH_WIDTH * (len(months) - 1) / (scale.right - scale.left - 2 * _INSET)) or 1
    threshold = series.metric.elite.get(series.unit or "")
    return Chart(
        width=width,
        height=_HEIGHT,
        left=scale.left,
        right=scale.right,
        values=[(scale.y(tick), f"{tick:,g}") for tick in scale.ticks],
        # From the end: the newest month always has its name.
        months=[(scale.x(at), names[months[at]]) for at in range(len(months) - 1, -1, -every)][::-1],
        lines=lines,
        elite=scale.y(threshold) if threshold is not None and threshold <= scale.ticks[-1] else None,
    )


def style_of(index: int) -> str:
    """Return the CSS classes of a team: colour, and dashes once the colours repeat."""
    return f"colour-{index % _COLOURS}" + (" dashed" if index >= _COLOURS else "")


def figure(value: float) -> str:
    """Return a number for people: as many digits as tell something."""
    if abs(value) >= 1e7:  # noqa: PLR2004 - nothing that a team does in a month
        return f"{value:.2e}"
    if value == int(value) or abs(value) >= 100:  # noqa: PLR2004 - three digits do
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


def symbol(index: int, x: float, y: float) -> str:
    """Return the path of a team's symbol around a point: a circle, a square, a triangle or a diamond."""
    # Moved on by one when the colours begin again, so that no two teams share both.
    match (index + index // _COLOURS) % _SHAPES:
        case 0:
            return f"M{x - 3.5:g} {y:g}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z"
        case 1:
            return f"M{x - 3.2:g} {y - 3.2:g}h6.4v6.4h-6.4z"
        case 2:
            return f"M{x:g} {y - 4.2:g}l4.2 7.2h-8.4z"
        case _:
            return f"M{x:g} {y - 4.6:g}l4.6 4.6l-4.6 4.6l-4.6 -4.6z"


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Months and values as coordinates."""

    left: float
    right: float
    top: float
    bottom: float
    months: int
    ticks: Sequence[float]

    def x(self, month: int) -> float:
        if self.months == 1:
            return (self.left + self.right) / 2
        return round(self.left + _INSET + (self.right - self.left - 2 * _INSET) * month / (self.months - 1), 1)

    def y(self, value: float) -> float:
        lowest, highest = self.ticks[0], self.ticks[-1]
        return round(self.bottom - (self.bottom - self.top) * (value - lowest) / (highest - lowest), 1)

    def point(self, month: int, value: float | None) -> tuple[float, float] | None:
        return None if value is None else (self.x(month), self.y(value))


def _ticks(highest: float) -> list[float]:
    """Return round values from zero to ``highest`` or a little more."""
    if highest <= 0:
        return [0.0, 1.0]
    rough = highest / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [round(step * count, 12) for count in range(math.ceil(highest / step * 0.999999) + 1)]


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    parts: list[str] = []
    before = None
    for point in points:
        if point is not None:
            # The line of no length makes a dot of a value without neighbours.
            parts.append(f"{'L' if before else 'M'}{point[0]:g} {point[1]:g}{'' if before else 'h0'}")
        before = point
    return "".join(parts)


def _labels(scale: _Scale, rows: Sequence[tuple[str, Sequence[float | None]]], width: int) -> list[Label | None]:
    """Return a label for each row that has a value, none over another."""
    ends: list[tuple[float, float, int]] = []
    for index, (_, values) in enumerate(rows):
        points = [scale.point(month, value) for month, value in enumerate(values)]
        last = next((point for point in reversed(points) if point), None)
        if last:
            ends.append((last[1], last[0], index))
    ends.sort()
    places = [y for y, _, _ in ends]
    # Down where the one above is too near, then up from the floor.
    for at in range(1, len(places)):
        places[at] = max(places[at], places[at - 1] + _LABEL_HEIGHT)
    floor = scale.bottom + 4
    for at in range(len(places) - 1, -1, -1):
        places[at] = min(places[at], floor)
        floor = places[at] - _LABEL_HEIGHT
    x = width - _LABELS + 22
    labels: list[Label | None] = [None] * len(rows)
    for (y, end, index), place in zip(ends, places, strict=True):
        name = rows[index][0]
        text = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1].rstrip()}…"
        labels[index] = Label(text, x, place, f"M{end + 5:g} {y:g}L{x - 4:g} {place:g}")
    return labels
