"""The DORA page: what it shows of the delivered files, and that it is complete and safe."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import pytest
from dora_report import COLOURS, GREY, write_report
from fsspec.implementations.memory import MemoryFileSystem

HEADER = "Granularity,Team,Team_Hierarchy,Start_Date,End_Date,"
METRICS = "LTTC_Mean_Days,DF_Deployment_Count,CFR_Percent,MTTR_Mean_Hours"
RATED = f"{METRICS},Overall_Rating"


def csv(*records: str, columns: str = METRICS) -> bytes:
    """Return a file of records written as ``team|day|figures``."""
    lines = [HEADER + columns]
    for record in records:
        team, day, figures = record.split("|")
        cells = [f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in (team, f"Engineering > {team}")]
        lines.append(",".join(("monthly", *cells, day, day, figures)))
    return "".join(f"{line}\n" for line in lines).encode()


def sha256(content: bytes) -> str:
    """Return the digest that a page lists."""
    return hashlib.sha256(content).hexdigest()


def result_of(uri: str, content: bytes, rows: int) -> dict[str, Any]:
    """Return what an export task returns."""
    return {"uri": uri, "rows": rows, "sha256": sha256(content), "export_id": "exp_1"}


class Page(HTMLParser):
    """A page as a browser reads it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.charts: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element's name and attributes, and the charts as SVG."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        for name, value in attrs:
            if name in {"src", "href", "action", "data"}:
                assert value is not None
                assert value.startswith("data:image/svg+xml;base64,")
                self.charts.append(base64.b64decode(value.partition(",")[2]).decode())

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.words += data.split()

    @property
    def text(self) -> str:
        """All texts, with a space between elements."""
        return " ".join(self.words)


@pytest.fixture
def show(tmp_path: Path) -> Callable[..., Page]:
    """Deliver files for the teams 0, 1, ..., make the page for months of 2024, and read it."""

    def make(*files: bytes | None, compress: bool = False, end: str = "2024-03-31") -> Page:
        results = []
        for number, content in enumerate(files):
            path = tmp_path / f"delivered [{number}]*.csv"
            stored = gzip.compress(content or b"", mtime=0) if compress else content or b""
            path.write_bytes(stored)
            rows = max((content or b"").count(b"\n") - 1, 0)
            results.append(None if content is None else result_of(f"file://{path}", stored, rows))
        teams = [{"team_id": str(number), "name": f"Team {number}"} for number in range(len(files))]
        dates = {"date_start": "2024-01-01", "date_end": end, "org_tree_name": "R&D"}
        returned = write_report(teams, results, {"destination": f"{tmp_path}/", **dates})
        assert returned["page"] == f"file://{tmp_path}/dora_2024-01-01_{end}.html"
        return Page(Path(returned["page"].removeprefix("file://")).read_text("utf-8"))

    return make


def test_each_team_has_its_figures_by_month(show: Any) -> None:
    """With a dash where there are none; deployments by day; each metric has a chart with a line for elite."""
    b, a = csv("B|2024-01-01|1.5,31,20,3", "B|2024-02-01|2,58,,4"), csv("a|2024-01-01|3.5,6.2,30,5")
    page = show(b, a, compress=True)
    missing = "– – – – –"
    assert f"a Jan 2024 – 3.5 0.20 30.0 5.0 a Feb 2024 {missing} a Mar 2024 {missing} B Jan 2024 – 1.5 1" in page.text
    assert "B Feb 2024 – 2.0 2.00 – 4.0" in page.text
    assert [chart.count(">elite</text>") for chart in page.charts] == [1] * 4
    assert page.text.startswith("DORA metrics of R&D, January to March 2024 ")
    assert "Missing data" not in page.text
    # The files are folded away below everything else.
    assert page.text.index("Figures") < page.text.index("Files") < page.text.index(sha256(gzip.compress(a, mtime=0)))


def test_ratings_come_first(show: Any) -> None:
    """The best teams first, with the rating of three months before and the averages of three months."""
    months = [f"2024-{month:02}-01" for month in range(1, 7)]
    a = csv(*(f"a|{day}|9,{day[6]}0,20,3,{'LOW' if day < '2024-04' else 'Medium'}" for day in months), columns=RATED)
    b = csv(*(f"b|{day}|{day[6]},,20,,Elite" for day in months), columns=RATED)
    page = show(a, b, csv("c|2024-06-01|,,,,—", columns=RATED), end="2024-06-30")
    assert page.text.index("June 2024: 1 Elite 1 Medium Team") < page.text.index("Deployment frequency per day")
    assert "b Elite Elite 5.0 – 20.0 – a Medium Low 9.0 1.65 20.0 3.0 c – – – – – –" in page.text
    assert "Lead time for changes 7.0 days up 27% from January to March 2024 (worse)" in page.text
    assert "Change failure rate 20.0% as before" in page.text


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ("LTTC", ["Lead time for changes 7.0 in LTTC"]),
        ("lttc_p90_days,MTTR_Mean_Days", ["Lead time for changes 7.0 days", "Time to restore 7.0 days"]),
        ("DEPLOYMENT_FREQUENCY", ["Deployment frequency 7.00 in DEPLOYMENT_FREQUENCY"]),
        ("CFR_Percent", ["Change failure rate 7.0%"]),
        ("DF_Rating,CFR_Rating,LTTC_Trend,TOTAL_FAILURES", []),  # although their names begin like a metric's
    ],
)
def test_columns_are_found_by_metric(show: Any, columns: str, shown: list[str]) -> None:
    """With aggregation and unit in their names or without, in any case; units are not invented."""
    page = show(csv("a|2024-01-01|7" + ",7" * columns.count(","), columns=columns))
    assert [words for words in shown if words not in page.text] == []
    assert (page.text.count("No data: the files have no column"), len(page.charts)) == (4 - len(shown), len(shown))


def test_units_are_not_mixed(show: Any) -> None:
    """Of two columns for one metric, one is shown."""
    page = show(csv("a|2024-01-01|7", columns="MTTR_Mean_Hours"), csv("b|2024-01-01|8", columns="MTTR_Mean_Days"))
    assert "a Jan 2024 – – – – 7.0" in page.text
    assert "b Jan 2024 – – – – – b" in page.text


def test_teams_with_the_same_name_stay_apart(show: Any) -> None:
    """They are shown with their path."""
    content = csv("Core|2024-01-01|7", columns="CFR")
    page = show(content, content.replace(b"Engineering >", b"Support >"))
    assert "Engineering > Core Jan 2024 – – – 7.0" in page.text
    assert "Support > Core Jan 2024 – – – 7.0" in page.text


@pytest.mark.parametrize("teams", [8, 9])
def test_many_teams_are_grey_with_a_median(show: Any, teams: int) -> None:
    """Twenty colours cannot be distinguished."""
    page = show(*(csv(f"Squad {number}|2024-01-01|4,10,20,3") for number in range(teams)))
    assert all(f"Squad {number} Jan 2024 – 4.0 0.32" in page.text for number in range(teams))
    assert (f"median of {teams} teams" in page.text) == (teams > 8)
    assert {COLOURS[0] in chart for chart in page.charts} == {True}
    assert {GREY in chart for chart in page.charts} == {teams > 8}


def test_teams_without_data_are_named(show: Any) -> None:
    """With the reason, below the figures."""
    page = show(csv("a|2024-01-01|7", columns="CFR"), None, b"")
    assert "Team 1 (1): the export failed" in page.text
    assert "Team 2 (2): SEI has no data" in page.text
    assert page.text.index("Missing data") > page.text.index("Figures by month")


def test_a_page_without_any_records_says_so(show: Any) -> None:
    """All files were empty: four tiles and a warning."""
    page = show(b"")
    assert (page.text.count("no data"), page.charts) == (5, [])


def test_figures_that_are_not_numbers_are_counted(show: Any) -> None:
    """They are shown as missing."""
    cells = ("n/a", "nan", "-inf", "12 %")
    text = show(csv(*(f"a{at}|2024-01-01|{cell}" for at, cell in enumerate(cells)), columns="CFR_Percent")).text
    for at in range(4):
        assert f"a{at}, January 2024: figures that are not numbers were left out (1)" in text
    assert "No data: the column CFR_Percent has no numbers" in text


def test_records_outside_the_period_are_counted(show: Any) -> None:
    """Or without a readable date."""
    text = show(csv("a|2023-12-31|7", "a|soon|7", "a|2024-02-01|7", columns="CFR")).text
    assert "a Jan 2024 – – – – – a Feb 2024 – – – 7.0" in text
    assert text.count("a: records outside of the period were left out (1)") == 2


def test_nothing_delivered_is_an_error(show: Any, tmp_path: Path) -> None:
    """No page is written; an older one is kept."""
    older = tmp_path / "dora_2024-01-01_2024-03-31.html"
    older.write_text("older")
    with pytest.raises(RuntimeError, match="nothing was delivered for any of 2 teams"):
        show(None, None)
    assert older.read_text() == "older"


@pytest.mark.parametrize("content", [None, b"replaced"])
def test_a_file_that_is_gone_or_replaced_is_not_read(tmp_path: Path, content: bytes | None) -> None:
    """The page is about delivered files only."""
    path = tmp_path / "a.csv"
    if content:
        path.write_bytes(content)
    params = {"destination": f"{tmp_path}/", "date_start": "2024-01-01", "date_end": "2024-01-31"}
    returned = write_report([{"team_id": "1", "name": "A"}], [result_of(f"file://{path}", b"x", 1)], params)
    assert returned["files"] == 0
    assert str(path) in returned["warnings"][0]


def test_a_name_is_only_text(show: Any) -> None:
    """Whatever it means to HTML, templates, SQL or charts. The page loads nothing and has no script."""
    names = [
        *("</title><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "$x^2"),
        *("a'b", 'a"b', "&lt;"),
    ]
    page = show(csv(*(f"{name}|2024-01-01|4,10,20,3" for name in names)))
    for name in names:
        assert " ".join(f"{name} Jan 2024 – 4.0 0.32 20.0 3.0".split()) in page.text
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "form"})
    assert not any(name.startswith("on") for name in page.attributes)
    assert not any(re.search(r"<script|href=.http", chart) for chart in page.charts)


def test_files_and_page_can_be_in_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The destination names the connection, the URIs of the results do not."""
    from airflow.sdk.io.store import attach

    monkeypatch.setattr("airflow.sdk.io.store._STORE_CACHE", {})

    class Lake(MemoryFileSystem):
        """What the connection ``lake`` alone leads to."""

        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

    attach("memory", "lake", fs=Lake())
    content = csv("a|2024-01-01|4,10,20,3")
    Lake().pipe_file("/bucket/a.csv", content)
    params = {"destination": "memory://lake@bucket/", "date_start": "2024-01-01", "date_end": "2024-01-31"}
    write_report([{"team_id": "1", "name": "A"}], [result_of("memory://bucket/a.csv", content, 1)], params)
    page = Lake().cat_file("/bucket/dora_2024-01-01_2024-01-31.html")
    assert b"a<td>Jan 2024<td>" in page.replace(b"\n", b"")
