"""The page: complete, self-contained, and nothing but text comes from a file."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from dora_report.files import Missing
from dora_report.page import page

from tests.dora_report.conftest import csv

NOW = datetime(2024, 4, 1, 6, 30, tzinfo=UTC)
HOSTILE = (
    "</title><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "</style></svg><iframe src=//example.com>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp;",
    "javascript:alert(1)",
)


class Reader(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in {"href", "src", "xlink:href", "action", "data"}}

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.words += data.split("\n")

    @property
    def text(self) -> str:
        """All texts, with a space between elements."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def shown(figures: Any) -> Any:
    """Make a page of files."""

    def make(*files: bytes, **how: Any) -> Reader:
        return Reader(page(figures(*files, **how), NOW))

    return make


PLAIN = csv("Core|2024-01-01|4,10,20,3", "Core|2024-02-01|5,20,10,3"), csv("Search|2024-01-01|4,10,20,3")


class TestSafety:
    """What a hostile file can do."""

    @pytest.mark.parametrize("name", HOSTILE)
    @pytest.mark.parametrize("place", ["team", "missing", "uri"])
    def test_text_from_a_file_stays_text(self, figures: Any, name: str, place: str) -> None:
        """The page has the same elements and attributes as a harmless one, and shows the text as it is."""
        found = figures(csv(f"{name if place == 'team' else 'a'}|2024-01-01|4,10,20,3"), rows=1)
        harmless = Reader(page(replace(found, teams=["x"], missing=[Missing("x", "y")]), NOW))
        if place == "uri":
            found = replace(found, files=[replace(found.files[0], uri=name, sha256=name)])
        missing = [Missing(name, name)] if place == "missing" else [Missing("x", "y")]
        reader = Reader(page(replace(found, missing=missing), NOW))
        assert reader.tags == harmless.tags
        assert reader.attributes == harmless.attributes
        assert reader.links == harmless.links
        assert name in reader.text

    def test_nothing_is_loaded_or_run(self, figures: Any) -> None:
        """No address but those within the page, no script, and a policy that forbids both."""
        html = page(figures(*PLAIN), NOW)
        reader = Reader(html)
        assert reader.links == {"#files"}
        assert reader.tags.isdisjoint(
            {"script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "use"}
        )
        assert not any(name.startswith("on") for name in reader.attributes)
        for word in ("http://", "https://", "url(", "@import", "src="):
            assert word not in html
        assert "default-src 'none'; style-src 'unsafe-inline'" in html


class TestContent:
    """What the page says."""

    def test_it_says_what_it_is_made_of(self, figures: Any) -> None:
        """Period, teams, records, and each file with its sha256."""
        found = figures(*PLAIN)
        text = Reader(page(found, NOW)).text
        assert "1 January 2024 to 31 March 2024, by month · 2 teams · 3 records from 2 files" in text
        assert "2024-04-01 06:30 UTC" in text
        for file in found.files:
            assert f"{file.uri} sha256 {file.sha256} {file.export_id}" in text

    def test_each_metric_has_title_and_unit(self, shown: Any) -> None:
        """In its chart and in the table."""
        text = shown(*PLAIN).text
        for title in (
            "Lead time for changes in days",
            "Deployment frequency in deployments per month",
            "Change failure rate in percent",
            "Time to restore in hours",
        ):
            assert title in text

    def test_the_figures_stand_in_the_table(self, shown: Any) -> None:
        """A dash where there is none."""
        text = shown(*PLAIN).text
        assert "Core Jan 2024 4 10 20 3 Feb 2024 5 20 10 3 Mar 2024 – – – –" in text

    def test_the_last_median_is_compared_with_the_month_before(self, shown: Any) -> None:
        """And judged: more deployments are better, more of anything else is worse."""
        text = shown(csv("Core|2024-01-01|4,10,20,3", "Core|2024-02-01|5,20,10,3")).text
        assert "median of the teams, February 2024 25 % above January – worse" in text
        assert "100 % above January – better" in text
        assert "50 % below January – better" in text
        assert "as in January" in text

    def test_there_is_no_comparison_over_a_gap(self, shown: Any) -> None:
        """Nor with zero."""
        text = shown(csv("Core|2024-01-01|4,0,20,3", "Core|2024-02-01|,5,,", "Core|2024-03-01|5,,10,3")).text
        assert "above" not in text
        assert "below January" not in text

    def test_a_metric_without_data_says_so(self, shown: Any) -> None:
        """Where its chart would be, and why; the others have theirs."""
        text = shown(csv("Core|2024-01-01|4,10,", columns="LTTC_Mean_Days,DF_Deployment_Count,CFR_Percent")).text
        assert "No data The files have no column for this metric." in text
        assert "No data The column CFR_Percent has no number." in text
        assert text.count("No data") == 2

    def test_a_unit_that_nobody_documents_is_not_made_up(self, shown: Any) -> None:
        """The vendor's pages do not tell that of MTTR."""
        assert "Time to restore (unit not documented)" in shown(csv("Core|2024-01-01|4", columns="MTTR")).text

    def test_teams_that_are_missing_are_named(self, shown: Any) -> None:
        """Those whose export failed, and those without data."""
        text = shown(PLAIN[0], PLAIN[1], b"", lost=[1]).text
        assert "Not in this report Team 1 (1) : its export did not succeed" in text
        assert "Team 2 : its file has no records" in text

    def test_a_page_that_lacks_nothing_has_no_notice(self, shown: Any) -> None:
        """No empty box."""
        assert "Not in this report" not in shown(*PLAIN).text

    def test_what_was_left_out_is_told(self, shown: Any) -> None:
        """In words."""
        assert "Left out: 1 cell without a number" in shown(csv("Core|2024-01-01|x,10,20,3")).text

    @pytest.mark.parametrize("teams", [1, 12, 13, 40])
    def test_any_number_of_teams_makes_a_page(self, shown: Any, teams: int) -> None:
        """Each of them is named."""
        text = shown(*(csv(f"Squad {number}|2024-01-01|4,10,20,3") for number in range(teams))).text
        assert all(f"Squad {number} Jan 2024" in text for number in range(teams))

    def test_a_page_of_nothing_can_be_made(self, shown: Any) -> None:
        """All files were empty: it says so."""
        text = shown(b"").text
        assert text.count("No data") == 4
        assert "Team 0 : its file has no records" in text
