"""Make one HTML page of delivered DORA files: ratings, figures and charts. Needs ``duckdb`` and ``matplotlib``.

The charts are SVG pictures in the page, which is small, works offline and contains no script.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import math
import re
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

__all__ = ["write_report"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#757575", "#3b1f8c")
GREY = "#d0d4da"
"""Of all teams if there are more than colours; then the median is highlighted."""
RATINGS = ("Elite", "High", "Medium", "Low")
ROLLING = 3
"""Months that ratings and tiles are about; a single month says little."""
QUERY = """
    WITH records AS (
        SELECT {path} AS path, Team AS name, date_trunc('month', TRY_CAST(Start_Date AS DATE))::DATE AS month,
               [{cells}] AS cells, [{numbers}] AS numbers, {rating} AS rating,
               [CASE WHEN isfinite(number) THEN number END FOR number IN numbers] AS figures,
               len([1 FOR cell IN cells IF cell <> '']) - len([1 FOR figure IN figures IF figure IS NOT NULL]) AS bad
        FROM files
    )
    SELECT CASE WHEN min(path) OVER same = max(path) OVER same THEN name ELSE path END AS team,
           month, count(*), sum(bad)::INTEGER, any_value(figures), any_value(rating)
    FROM records GROUP BY path, name, month WINDOW same AS (PARTITION BY name) ORDER BY lower(team), path, month
"""
TEMPLATE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>DORA metrics of {{ organisation }}, {{ span }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430 }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); gap: 1rem }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)) }
.card { border: 1px solid #dfe3e8; border-radius: 8px; padding: 1rem; margin: 1rem 0; overflow: auto }
.grid .card { margin: 0 } h2 { font-size: 1.1rem; margin: 0 } p { margin: .2rem 0 } .big { font-size: 1.8rem }
small { color: #5a6675 } img { width: 100% } ul { padding-left: 1.2rem } code { overflow-wrap: anywhere }
.legend { list-style: none; padding: 0 } .legend li { display: inline } summary { cursor: pointer }
table { border-collapse: collapse } th, td { padding: .25rem .7rem; border-bottom: 1px solid #dfe3e8; text-align: left }
.number { text-align: right } b { border-radius: 4px; padding: .1rem .5rem; white-space: nowrap }
.Elite { background: #c8ecd9 } .High { background: #d8e8f8 } .Medium { background: #fdeec4 }
.Low { background: #f9d5cb }
</style>
<h1>DORA metrics of {{ organisation }}</h1>
<p>{{ span }}, from efficiency exports of Harness SEI.</p>
<section class="card"><h2>Ratings</h2>
{% if counts %}<p>{{ newest }}:{% for rating, count in counts %}
  {{ count }} <b class="{{ rating }}">{{ rating }}</b>{% endfor %}</p>
{% else %}<p>SEI has given no ratings for this period.</p>{% endif %}
<table><tr><th>Team<th>Rating<th>Three months before
{%- for each in metrics %}<th class="number">{{ each.title }}<br><small>{{ each.unit }}</small>{% endfor %}</tr>
{% for team, (now, before) in latest %}<tr><td>{{ team }}
<td>{% if now %}<b class="{{ now }}">{{ now }}</b>{% else %}–{% endif %}<td>{{ before or "–" }}
{%- for each in metrics %}<td class="number">{{ each.text(each.averages[team]) }}{% endfor %}</tr>{% endfor %}</table>
<small>Figures are averages, {{ recent }}.</small></section>
<p>Medians of the teams' averages, {{ recent }}:</p>
<div class="grid">{% for each in metrics %}
  <div class="card"><h2>{{ each.title }}</h2>
  <p>{% if each.now is none %}no data{% else %}<span class="big">{{ each.text(each.now) }}
  {{- each.unit if each.unit == "%" }}</span>{{ " " ~ each.unit if each.unit != "%" }}{% endif %}</p>
  <small>{{ each.note }}</small></div>{% endfor %}
</div>
<ul class="legend">{% for name, colour in legend.items() %}
  <li><span style="color: {{ colour }}">&#9679;</span> {{ name }} &ensp;</li>{% endfor %}
</ul>
<div class="grid charts">{% for each in metrics %}
  <section class="card"><h2>{{ each.title }}</h2>
  <small>{{ each.unit }} {{ "&middot;"|safe if each.unit }} elite teams: {{ each.elite }}</small>
  {% if each.now is not none %}<img alt="{{ each.title }} by month; the table has the figures" src="{{ each.chart }}">
  {% elif each.column %}<p>No data: the column {{ each.column }} has no numbers in this period.</p>
  {% else %}<p>No data: the files have no column for this metric.</p>{% endif %}</section>{% endfor %}
</div>
<details class="card"><summary>Figures by month</summary><table>
<tr><th>Team<th>Month<th>Rating{% for each in metrics %}<th class="number">{{ each.title }}<br>
<small>{{ each.unit }}</small>{% endfor %}</tr>
{% for team, row in rows.items() %}{% for rating, figures in row %}<tr><td>{{ team }}<td>
{{- months[loop.index0].strftime("%b %Y") }}<td>{{ rating or "–" }}{% for each in figures %}<td class="number">
{{- metrics[loop.index0].text(each) }}{% endfor %}</tr>{% endfor %}{% endfor %}</table></details>
{% if warnings %}<div class="card"><h2>Missing data</h2>
<ul>{% for each in warnings %}<li>{{ each }}</li>{% endfor %}</ul></div>{% endif %}
<details class="card"><summary>Files</summary><table>
<tr><th>Team<th>Records<th>File, sha256 and export</tr>
{% for team, file in files %}<tr><td>{{ team }}<td>{{ file.rows }}
<td><code>{{ file.uri }}<br>{{ file.sha256 }}<br>{{ file.export_id }}</code></tr>{% endfor %}</table></details>
</html>"""


class Metric(NamedTuple):
    """A metric: the names of its column, and what is elite, as a text and as a number for each unit."""

    title: str
    names: str
    elite: str
    limits: Mapping[str, float]
    decimals: int = 1

    def text(self, value: float | None) -> str:
        """Return a figure as text; all figures of a metric have the same decimals."""
        return "–" if value is None else f"{value:,.{self.decimals}f}"


METRICS = (  # elite values: the customer's API document, section on efficiency metrics
    Metric("Lead time for changes", "LTTC|LEAD_TIME_FOR_CHANGES", "under 1 day", {"days": 1, "hours": 24}),
    Metric("Deployment frequency", "DF|DEPLOYMENT_FREQUENCY", "more than 1 per day", {"per day": 1}, 2),
    Metric("Change failure rate", "CFR|CHANGE_FAILURE_RATE", "below 15%", {"%": 15}),
    Metric("Time to restore", "MTTR|MEAN_TIME_TO_RESTORE", "under 1 hour", {"hours": 1, "days": 1 / 24}),
)
MORE_IS_BETTER = "Deployment frequency"
UNITS = {"days": "days", "hours": "hours", "percent": "%", "count": "per day"}
# A column can have its aggregation and unit in its name, as in LTTC_Mean_Days.
SUFFIXES = rf"(_(mean|median|p90|p95|deployment|{'|'.join(UNITS)}))*"
Month = tuple[str | None, tuple[float | None, ...]]
"""The rating, and the figures of the metrics."""
Teams = dict[str, dict[date, Month]]
NOTHING: Month = (None, (None,) * len(METRICS))


def write_report(
    teams: Sequence[Mapping[str, str]], results: Sequence[Mapping[str, Any] | None], params: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the page into the folder that the files were delivered to.

    :param teams: each with ``team_id`` and ``name``.
    :param results: for each team, what its export task returned; ``None`` if it failed.
    :param params: of the DAG run: ``destination``, ``date_start``, ``date_end``, ``org_tree_name``.
    :raises RuntimeError: nothing was delivered.
    :return: the page's URI, the number of files in it, and the warnings.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if not any(results):
        msg = f"no page is written: nothing was delivered for any of {len(teams)} teams"
        raise RuntimeError(msg)
    folder = ObjectStoragePath(params["destination"])
    conn_id = urlsplit(params["destination"]).username  # the results' URIs do not contain it
    warnings: list[str] = []
    files: list[tuple[str, Any]] = []
    with tempfile.TemporaryDirectory() as copies:
        for number, (team, result) in enumerate(zip(teams, results, strict=True)):
            try:
                content = _fetch(result, conn_id)
            except (OSError, ValueError) as error:
                warnings.append(f"{team['name']} ({team['team_id']}): {error}")
            else:
                Path(copies, f"{number}.csv").write_bytes(content)
                files.append((team["name"], result))
        html = _page([*Path(copies).iterdir()], files, warnings, params)
    page = folder / f"dora_{params['date_start']}_{params['date_end']}.html"
    page.write_text(html, encoding="utf-8")
    uri = str(page) if "://" in str(page) else f"file://{page}"
    return {"page": uri, "files": len(files), "warnings": warnings}


def _fetch(result: Mapping[str, Any] | None, conn_id: str | None) -> bytes:
    """Return the content of a delivered file. Raise ``ValueError`` if there is none, or not the same any more."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if not result or not result["rows"]:
        msg = "SEI has no data in this period" if result else "the export failed; the log of its task has the reason"
        raise ValueError(msg)
    content = ObjectStoragePath(result["uri"], conn_id=conn_id).read_bytes()
    if hashlib.sha256(content).hexdigest() != result["sha256"]:
        msg = f"{result['uri']} has been replaced since it was delivered"
        raise ValueError(msg)
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def _page(
    paths: Sequence[Path], files: Sequence[tuple[str, Any]], warnings: list[str], params: Mapping[str, Any]
) -> str:
    from jinja2 import Environment

    start, end = (date.fromisoformat(params[name]) for name in ("date_start", "date_end"))
    counted = range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    months = [date(count // 12, count % 12 + 1, 1) for count in counted]
    columns, teams = _read(paths, months, warnings)
    few = len(teams) <= len(COLOURS)
    legend = dict(zip(teams, COLOURS, strict=False)) if few else {f"median of {len(teams)} teams": COLOURS[0]}
    newest = max((months.index(month) for by_month in teams.values() for month in by_month), default=0)
    rows = {team: [by_month.get(month, NOTHING) for month in months] for team, by_month in teams.items()}
    metrics = []
    for at, (metric, column) in enumerate(zip(METRICS, columns, strict=True)):
        lines = {team: [figures[at] for _, figures in row] for team, row in rows.items()}
        tile = _tile(metric, months, newest, lines)
        if not few:
            medians = [_known(statistics.median, each) for each in zip(*lines.values(), strict=True)]
            lines = {**lines, next(iter(legend)): medians}
        chart = _chart(metric, column, months, lines, legend)
        metrics.append(
            {**metric._asdict(), "text": metric.text, "column": column, "unit": _unit(column), "chart": chart, **tile}
        )
    latest = {
        team: [row[at][0] if at >= 0 else None for at in (newest, newest - ROLLING)] for team, row in rows.items()
    }
    counts = Counter(now for now, _ in latest.values())
    template = Environment(autoescape=True).from_string(TEMPLATE)
    return template.render(
        organisation=params.get("org_tree_name") or "all teams",
        span=_span(months),
        recent=_span(months[max(newest + 1 - ROLLING, 0) : newest + 1]),
        newest=f"{months[newest]:%B %Y}",
        counts=[(rating, counts[rating]) for rating in RATINGS if counts[rating]],
        latest=sorted(latest.items(), key=lambda each: RATINGS.index(each[1][0]) if each[1][0] else len(RATINGS)),
        metrics=metrics,
        legend=legend,
        months=months,
        rows=rows,
        files=files,
        warnings=warnings,
    )


def _read(paths: Sequence[Path], months: Sequence[date], warnings: list[str]) -> tuple[list[str | None], Teams]:
    """Return the column of each metric, and what is in the files."""
    teams: Teams = {}
    if not paths:
        return [None] * len(METRICS), teams
    import duckdb

    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        options = {"header": True, "all_varchar": True, "union_by_name": True, "sep": ",", "quotechar": '"'}
        files: Any = connection.read_csv([str(path) for path in paths], **options)  # type: ignore[arg-type]  # its stub has neither lists nor untyped options
        patterns = [re.compile(f"({metric.names}){SUFFIXES}", re.IGNORECASE) for metric in METRICS]
        columns = [next(filter(pattern.fullmatch, files.columns), None) for pattern in patterns]
        rating = next((name for name in files.columns if name.upper() == "OVERALL_RATING"), "NULL")
        cells = ", ".join(f"trim({column})" if column else "NULL" for column in columns)
        per_day = [" / day(last_day(month))" if _unit(column) == "per day" else "" for column in columns]
        numbers = ", ".join(f"TRY_CAST(cells[{at}] AS DOUBLE){divided}" for at, divided in enumerate(per_day, 1))
        path = "coalesce(Team_Hierarchy, Team)" if "Team_Hierarchy" in files.columns else "Team"
        query = QUERY.format(path=path, cells=cells, numbers=numbers, rating=rating)
        found = files.query("files", query).fetchall()
    for team, month, records, unreadable, figures, rated in found:
        if month not in months:
            warnings.append(f"{team}: records outside of the period were left out ({records})")
            continue
        if unreadable:
            warnings.append(f"{team}, {month:%B %Y}: figures that are not numbers were left out ({unreadable})")
        known = (rated or "").strip().capitalize()
        teams.setdefault(team, {})[month] = (known if known in RATINGS else None, tuple(figures))
    return columns, teams


def _known(summarize: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    """Return the mean or median of the values that are known."""
    known = [value for value in values if value is not None]
    return summarize(known) if known else None


def _span(months: Sequence[date]) -> str:
    first, last = months[0], months[-1]
    if first == last:
        return f"{last:%B %Y}"
    return f"{first:%B} to {last:%B %Y}" if first.year == last.year else f"{first:%B %Y} to {last:%B %Y}"


def _unit(column: str | None) -> str:
    words = (column or "").lower().split("_")
    return next((unit for word, unit in UNITS.items() if word in words), f"in {column}" if column else "")


def _tile(
    metric: Metric, months: Sequence[date], newest: int, lines: Mapping[str, Sequence[float | None]]
) -> dict[str, Any]:
    """Return each team's average of the newest months, their median, and how it compares with the months before."""
    end, note = newest + 1, ""
    averages = {team: _known(statistics.mean, line[max(end - ROLLING, 0) : end]) for team, line in lines.items()}
    now = _known(statistics.median, averages.values())
    earlier = [line[end - 2 * ROLLING : end - ROLLING] for line in lines.values()] if end >= 2 * ROLLING else []
    before = _known(statistics.median, [_known(statistics.mean, values) for values in earlier])
    if now is not None and before:
        word = "better" if (now > before) == (metric.title == MORE_IS_BETTER) else "worse"
        change = f"{'up' if now > before else 'down'} {abs(now / before - 1):.0%}"
        note = (
            f"{change} from {_span(months[end - 2 * ROLLING : end - ROLLING])} ({word})"
            if now != before
            else "as before"
        )
    return {"averages": averages, "now": now, "note": note}


def _chart(
    metric: Metric,
    column: str | None,
    months: Sequence[date],
    lines: Mapping[str, Sequence[float | None]],
    legend: Mapping[str, str],
) -> str:
    """Return an SVG picture as a data URI, with a line where elite begins. It contains no text of the files."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    for name, values in lines.items():
        points = [math.nan if value is None else value for value in values]
        axes.plot(points, marker="o", markersize=4, color=legend.get(name, GREY))
    if limit := metric.limits.get(_unit(column)):
        axes.axhline(limit, color="#5a6675", linestyle="--", linewidth=1)
        axes.annotate("elite", (1, limit), xycoords=("axes fraction", "data"), va="center", color="#5a6675")
    step = math.ceil(len(months) / 8)
    ticks = range((len(months) - 1) % step, len(months), step)  # includes the newest month
    axes.set_xticks(ticks, [f"{months[at]:%b %Y}" for at in ticks], fontsize="small")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#dfe3e8")
    axes.spines[["top", "right", "left"]].set_visible(False)
    svg = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.getvalue()).decode()}"
