"""Make one HTML page with charts of delivered DORA files. Needs ``duckdb`` and ``matplotlib``.

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
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["write_report"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#757575", "#3b1f8c")
GREY = "#d0d4da"
"""Of all teams if there are more than colours; then the median is highlighted."""
QUERY = """
    WITH records AS (
        SELECT {path} AS path, Team AS name, date_trunc('month', TRY_CAST(Start_Date AS DATE))::DATE AS month,
               [{cells}] AS cells, [TRY_CAST(cell AS DOUBLE) FOR cell IN cells] AS numbers,
               [CASE WHEN isfinite(number) THEN number END FOR number IN numbers] AS figures,
               len([1 FOR cell IN cells IF cell <> '']) - len([1 FOR figure IN figures IF figure IS NOT NULL]) AS bad
        FROM files
    )
    SELECT CASE WHEN min(path) OVER same = max(path) OVER same THEN name ELSE path END AS team,
           month, count(*), sum(bad)::INTEGER, any_value(figures)
    FROM records GROUP BY path, name, month WINDOW same AS (PARTITION BY name) ORDER BY lower(team), path, month
"""
TEMPLATE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>DORA metrics, {{ start }} to {{ end }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430 }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); gap: 1rem }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)) }
.card { border: 1px solid #dfe3e8; border-radius: 8px; padding: 1rem; margin: 1rem 0 } .grid .card { margin: 0 }
h2 { font-size: 1.1rem; margin: 0 } p { margin: .2rem 0 } .big { font-size: 1.8rem } small { color: #5a6675 }
img { width: 100% } ul { padding-left: 1.2rem } .legend { list-style: none; padding: 0 } .legend li { display: inline }
table { border-collapse: collapse } th, td { padding: .25rem .7rem; border-bottom: 1px solid #dfe3e8; text-align: left }
details { overflow: auto } td, code { overflow-wrap: anywhere }
</style>
<h1>DORA metrics by team</h1>
<p>{{ start }} to {{ end }}, from efficiency exports of Harness SEI. Tiles show the median of the teams.</p>
<div class="grid">{% for each in metrics %}
  <div class="card"><h2>{{ each.title }}</h2>
  <p><span class="big">{{ each.newest if each.newest else "no data" }}</span> {{ each.unit }}</p>
  <small>{{ each.note }}</small></div>{% endfor %}
</div>
<ul class="legend">{% for name, colour in legend.items() %}
  <li><span style="color: {{ colour }}">&#9679;</span> {{ name }} &ensp;</li>{% endfor %}
</ul>
<div class="grid charts">{% for each in metrics %}
  <section class="card"><h2>{{ each.title }}</h2>
  <small>{{ each.unit }} {{ "&middot;"|safe if each.unit }} elite: {{ each.elite }}</small>
  {% if each.newest %}<img alt="{{ each.title }} by month; the table has the figures" src="{{ each.chart }}">
  {% elif each.column %}<p>No data: the column {{ each.column }} has no numbers in this period.</p>
  {% else %}<p>No data: the files have no column for this metric.</p>{% endif %}</section>{% endfor %}
</div>
{% if warnings %}<div class="card"><h2>Missing data</h2>
<ul>{% for each in warnings %}<li>{{ each }}</li>{% endfor %}</ul></div>{% endif %}
<details class="card" open><summary>Figures</summary><table>
<tr><th>Team<th>Month{% for each in metrics %}<th>{{ each.title }}<br><small>{{ each.unit }}</small>{% endfor %}</tr>
{% for team, figures in teams.items() %}{% for month, values in figures.items() %}<tr><td>{{ team }}<td>
{{- month.strftime("%b %Y") }}{% for each in values %}<td>
{{- "–" if each is none else "{:,.4g}".format(each) }}{% endfor %}</tr>{% endfor %}{% endfor %}</table></details>
<details class="card"><summary>Files</summary><table>
<tr><th>Team<th>Records<th>File, sha256 and export</tr>
{% for team, file in files %}<tr><td>{{ team }}<td>{{ file.rows }}
<td><code>{{ file.uri }}<br>{{ file.sha256 }}<br>{{ file.export_id }}</code></tr>{% endfor %}</table></details>
</html>"""


METRICS = (  # elite values: the customer's API document, section on efficiency metrics
    ("Lead time for changes", "LTTC|LEAD_TIME_FOR_CHANGES", "under 1 day"),
    ("Deployment frequency", "DF|DEPLOYMENT_FREQUENCY", "several deployments a day"),
    ("Change failure rate", "CFR|CHANGE_FAILURE_RATE", "below 15%"),
    ("Time to restore", "MTTR|MEAN_TIME_TO_RESTORE", "under 1 hour"),
)
MORE_IS_BETTER = "Deployment frequency"
UNITS = {"days": "days", "hours": "hours", "percent": "%", "count": "per month"}
# A column can have its aggregation and unit in its name, as in LTTC_Mean_Days.
SUFFIXES = rf"(_(mean|median|p90|p95|deployment|{'|'.join(UNITS)}))*"


def write_report(
    teams: Sequence[Mapping[str, str]], results: Sequence[Mapping[str, Any] | None], params: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the page into the folder that the files were delivered to.

    :param teams: each with ``team_id`` and ``name``.
    :param results: for each team, what its export task returned; ``None`` if it failed.
    :param params: of the DAG run: ``destination``, ``date_start``, ``date_end``.
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
        html = _page([*Path(copies).iterdir()], files, warnings, params["date_start"], params["date_end"])
    page = folder / f"dora_{params['date_start']}_{params['date_end']}.html"
    page.write_text(html, encoding="utf-8")
    uri = str(page) if "://" in str(page) else f"file://{page}"
    return {"page": uri, "files": len(files), "warnings": warnings}


def _fetch(result: Mapping[str, Any] | None, conn_id: str | None) -> bytes:
    """Return the content of a delivered file. Raise ``ValueError`` if there is none, or not the same any more."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if not result or not result["rows"]:
        msg = "its file has no records" if result else "its export failed; see the log of its task"
        raise ValueError(msg)
    content = ObjectStoragePath(result["uri"], conn_id=conn_id).read_bytes()
    if hashlib.sha256(content).hexdigest() != result["sha256"]:
        msg = f"{result['uri']} has been replaced since it was delivered"
        raise ValueError(msg)
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def _page(paths: Sequence[Path], files: Sequence[tuple[str, Any]], warnings: list[str], start: str, end: str) -> str:
    from jinja2 import Environment

    first, last = (date.fromisoformat(day) for day in (start, end))
    counted = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    months = [date(count // 12, count % 12 + 1, 1) for count in counted]
    columns, teams = _read(paths, months, warnings)
    few = len(teams) <= len(COLOURS)
    legend = dict(zip(teams, COLOURS, strict=False)) if few else {f"median of {len(teams)} teams": COLOURS[0]}
    metrics = []
    for at, ((title, _, elite), column) in enumerate(zip(METRICS, columns, strict=True)):
        lines = {team: [figures[month][at] for month in months] for team, figures in teams.items()}
        medians = [_median(values) for values in zip(*lines.values(), strict=True)]
        chart = _chart(months, lines if few else {**lines, **dict.fromkeys(legend, medians)}, legend)
        newest, note = _tile(title, months, medians)
        shown = {"title": title, "elite": elite, "column": column, "unit": _unit(column), "chart": chart}
        metrics.append({**shown, "newest": newest, "note": note})
    template = Environment(autoescape=True).from_string(TEMPLATE)
    return template.render(
        start=start, end=end, metrics=metrics, legend=legend, teams=teams, files=files, warnings=warnings
    )


def _read(
    paths: Sequence[Path], months: Sequence[date], warnings: list[str]
) -> tuple[list[str | None], dict[str, dict[date, tuple[float | None, ...]]]]:
    """Return the column of each metric, and by team and month the figures of the metrics."""
    teams: dict[str, dict[date, tuple[float | None, ...]]] = {}
    if not paths:
        return [None] * len(METRICS), teams
    import duckdb

    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        options = {"header": True, "all_varchar": True, "union_by_name": True, "sep": ",", "quotechar": '"'}
        files: Any = connection.read_csv([str(path) for path in paths], **options)  # type: ignore[arg-type]  # its stub has neither lists nor untyped options
        patterns = [re.compile(f"({names}){SUFFIXES}", re.IGNORECASE) for _, names, _ in METRICS]
        columns = [next(filter(pattern.fullmatch, files.columns), None) for pattern in patterns]
        cells = ", ".join(f"trim({column})" if column else "NULL" for column in columns)
        path = "coalesce(Team_Hierarchy, Team)" if "Team_Hierarchy" in files.columns else "Team"
        found = files.query("files", QUERY.format(path=path, cells=cells)).fetchall()
    for team, month, records, unreadable, figures in found:
        if month not in months:
            warnings.append(f"{team}: {records} records outside the period")
            continue
        if unreadable:
            warnings.append(f"{team}, {month:%b %Y}: {unreadable} figures that are not numbers")
        teams.setdefault(team, dict.fromkeys(months, (None,) * len(METRICS)))[month] = tuple(figures)
    return columns, teams


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _unit(column: str | None) -> str:
    words = (column or "").lower().split("_")
    return next((unit for word, unit in UNITS.items() if word in words), f"in {column}" if column else "")


def _tile(title: str, months: Sequence[date], medians: Sequence[float | None]) -> tuple[str, str]:
    """Return the newest median, and how it compares with the one before."""
    known = [(month, value) for month, value in zip(months, medians, strict=False) if value is not None]
    if not known:
        return "", ""
    now, note = known[-1][1], f"{known[-1][0]:%B %Y}"
    if len(known) > 1 and (before := known[-2][1]):
        word = "better" if (now > before) == (title == MORE_IS_BETTER) else "worse"
        note += f", {now / before - 1:+.0%} on {known[-2][0]:%B}" + (f" ({word})" if now != before else "")
    return f"{now:,.3g}", note


def _chart(months: Sequence[date], lines: Mapping[str, Sequence[float | None]], legend: Mapping[str, str]) -> str:
    """Return an SVG picture as a data URI. It contains no text of the files."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    for name, values in lines.items():
        points = [math.nan if value is None else value for value in values]
        axes.plot(points, marker="o", markersize=4, color=legend.get(name, GREY))
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
