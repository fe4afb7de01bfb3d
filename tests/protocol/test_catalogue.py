"""The metrics that the documents name."""

from __future__ import annotations

import pytest

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.protocol.metrics import UNKNOWN_UNIT, Metric, metric, metric_names, metrics

REPORTS = ("team-report/productivity", "team-report/efficiency", "contributor-report")
EVERYTHING = {known for name in (*FAMILIES, *REPORTS) for known in metrics(name)}


class TestMetrics:
    """The metrics of a family or a report."""

    @pytest.mark.parametrize(
        ("family", "count"),
        [
            ("productivity", 24),
            ("efficiency", 17),
            ("sprint", 18),
            ("ba", 0),
            ("ticket-data", 0),
            ("team-report/productivity", 6),
            ("team-report/efficiency", 5),
            ("team-report", 11),
            ("contributor-report", 7),
        ],
    )
    def test_every_export_has_its_documented_metrics(self, family: str, count: int) -> None:
        """As many as its table in the documents has."""
        assert len(metrics(family)) == count
        assert metric_names(family) == tuple(known.name for known in metrics(family))

    @pytest.mark.parametrize("spelling", ["Ticket_Data", " PRODUCTIVITY ", "Team_Report"])
    def test_case_and_underscores_do_not_matter(self, spelling: str) -> None:
        """As with the families' own names."""
        assert metrics(spelling) == metrics(spelling.strip().lower().replace("_", "-"))

    def test_an_unknown_family_is_refused(self) -> None:
        """The message guesses, and lists what there is."""
        with pytest.raises(SEIArgumentError, match=r"family 'productivty' .*did you mean 'productivity'.*ticket-data"):
            metrics("productivty")

    def test_every_family_can_be_asked_for(self) -> None:
        """A family that is declared has an entry here, even one without metrics."""
        for family in FAMILIES.values():
            assert family.metrics == metric_names(family.name)


class TestMetric:
    """One metric, by its name."""

    @pytest.mark.parametrize("name", ["PR_MERGED", "pr_merged", " PR_Merged "])
    def test_a_metric_is_found_in_any_case(self, name: str) -> None:
        """As the vendor compares names too."""
        assert metric(name) == Metric(
            "PR_MERGED", "pull requests", "Pull requests merged, of any size.", ("productivity",)
        )

    def test_one_name_is_one_metric_for_every_export_that_takes_it(self) -> None:
        """What is said of it is said once."""
        assert metric("AVG_TIME_TO_COMPLETE").exports == (
            "productivity",
            "team-report/productivity",
            "contributor-report",
        )

    def test_an_unknown_metric_is_refused(self) -> None:
        """The message guesses what was meant."""
        with pytest.raises(SEIArgumentError, match=r"metric 'LEAD_TIME' is not documented") as caught:
            metric("LEAD_TIME")
        assert caught.value.field == "metric"
        with pytest.raises(SEIArgumentError, match=r"did you mean 'LTTC'"):
            metric("LTC")

    @pytest.mark.parametrize("known", sorted(EVERYTHING, key=lambda known: known.name), ids=lambda known: known.name)
    def test_every_metric_says_what_it_measures_and_in_which_unit(self, known: Metric) -> None:
        """A sentence of its own, not its name once more."""
        assert known.description.endswith(".")
        assert known.name.replace("_", " ").casefold() not in known.description.casefold().rstrip(".").split(", ")
        assert known.unit == known.unit.strip() != ""
        if known.name.upper().endswith(("_PERCENT", "CFR")):
            assert known.unit == "percent"
        if "_HRS_" in known.name:
            assert known.unit == "hours"
        if "_DAYS" in known.name.upper():
            assert known.unit.startswith("days")

    def test_an_unknown_unit_is_the_exception(self) -> None:
        """It is said of those that no document gives a unit for."""
        assert {known.name for known in EVERYTHING if known.unit == UNKNOWN_UNIT} == {
            "MTTR",
            "TOTAL_DELIVERED_WORK_VS_COMMITTED_WORK",
            "PREDICTABILITY_DELIVERY_CONSISTENCY",
            "PREDICTABILITY_RELIABILITY_OF_COMMITMENT",
        }

    def test_names_are_unique_in_any_case(self) -> None:
        """Otherwise one of the two could never be found."""
        assert len({known.name.casefold() for known in EVERYTHING}) == len(EVERYTHING)


def test_an_unknown_family_is_answered_with_those_that_are_known() -> None:
    """And with the argument's name."""
    with pytest.raises(
        SEIArgumentError, match=r"^family 'x' is not in the metric catalogue; known: \w[\w/-]*(, [\w/-]+)+$"
    ) as caught:
        metrics("x")
    assert caught.value.field == "family"
    assert "ticket-data" in str(caught.value)
