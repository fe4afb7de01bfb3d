"""The five export families, as the vendor's documents describe them."""

from __future__ import annotations

import pytest

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily, Option, did_you_mean, get_family

GROUPS = {
    "productivity": {"activity", "velocity", "volume", "quality", "collaboration"},
    "efficiency": {"lttc", "df", "mttr", "cfr", "summary", "work_items", "deployment_frequency", "rating"},
    "sprint": {"work", "delivery", "deliveryAnalysis", "analysis", "predictability", "velocity"},
    "ba": {"CATEGORIZED", "UNCATEGORIZED"},
    "ticket-data": set(),
}
OPTIONS = {
    ("productivity", "aggregation"): ("aggregation", ("mean",)),
    ("productivity", "level"): ("aggregationLevel", ("developer", "team")),
    ("productivity", "granularity"): ("granularity", ("weekly", "monthly", "quarterly")),
    ("efficiency", "granularity"): ("granularity", ("WEEKLY", "MONTHLY", "QUARTERLY")),
    ("efficiency", "aggregation"): ("aggregation", ("mean", "median", "p90", "p95")),
    ("efficiency", "work_category_filter"): ("workCategoryFilter", ("ALL", "BUGS", "FEATURES")),
    ("sprint", "computation_mode"): ("computationMode", ("STORY_POINTS", "TICKETS")),
    ("sprint", "level"): ("metricLevel", ("team", "sprint")),
    ("sprint", "granularity"): ("granularity", ("SPRINT", "WEEKLY", "MONTHLY", "QUARTERLY")),
    ("sprint", "aggregation"): ("aggregation", ()),
    ("ba", "granularity"): ("granularity", ("WEEKLY", "MONTHLY", "QUARTERLY")),
    ("ticket-data", "level"): ("aggregationLevel", ("sprint", "team")),
    ("ticket-data", "granularity"): ("granularity", ("daily", "weekly", "monthly", "quarterly")),
    ("ticket-data", "terminal_date_column"): ("terminalDateColumn", ("issue_resolved_at", "version_release_date")),
    **{(family, "file_format"): ("format", ("csv",)) for family in GROUPS},
    ("efficiency", "file_format"): ("format", ("csv", "json")),
    **{(family, "export_compression"): ("compression", ("gzip",)) for family in GROUPS},
}


class TestDeclarations:
    """What is declared for each family."""

    def test_families_options_and_groups_are_the_documented_ones(self) -> None:
        """Every spelling of a group that a document has; options by the operators' argument, in the vendor's case."""
        assert list(FAMILIES) == list(GROUPS)
        for name, family in FAMILIES.items():
            assert GROUPS[name] <= set(family.metric_groups)
            assert bool(GROUPS[name]) == bool(family.metric_groups)
        assert {
            (family.name, option.argument): (option.key, option.values)
            for family in FAMILIES.values()
            for option in family.options
        } == OPTIONS

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_defaults_are_documented_values_and_paths_are_relative(self, family: ExportFamily) -> None:
        """To the base URL."""
        assert all(option.default is None or option.default in option.values for option in family.options)
        for path in (family.collection_path, family.item_path, family.alternate_collection_path or "v2/insights/x"):
            assert path.startswith("v2/insights/")
            assert not path.endswith("/")

    @pytest.mark.parametrize("status", [404, 405])
    def test_only_sprint_has_an_alternate_path(self, status: int) -> None:
        """One page creates at the singular, everything else is at the plural; it is tried once.

        After errors other than of a path that does not exist, an export may have been created.
        """
        alternate = FAMILIES["sprint"].alternate(status)
        assert alternate is not None
        assert FAMILIES["sprint"].collection_path == "v2/insights/sprint/exports"
        assert alternate.collection_path == alternate.item_path == "v2/insights/sprints/exports"
        assert alternate.alternate(status) is None
        assert {family.name for family in FAMILIES.values() if family.alternate(status)} == {"sprint"}
        assert not any(map(FAMILIES["sprint"].alternate, (None, 200, 400, 401, 403, 429, 500)))


class TestNames:
    """Names and values that users write."""

    @pytest.mark.parametrize("name", ["ticket-data", "Ticket_Data", " TICKET-DATA "])
    def test_a_family_is_found_in_any_case_and_with_underscores(self, name: str) -> None:
        """Python names have no dashes."""
        assert get_family(name).name == "ticket-data"

    @pytest.mark.parametrize("name", ["", None, 5, True, ["sprint"], "sprints/../x", "productivty"])
    def test_an_unknown_family_is_refused_with_the_known_ones(self, name: object) -> None:
        """And with a guess, if there is a close one."""
        with pytest.raises(
            SEIArgumentError, match="known: productivity, efficiency, sprint, ba, ticket-data"
        ) as caught:
            get_family(name)
        assert caught.value.field == "family"
        assert ("did you mean 'productivity'" in str(caught.value)) is (name == "productivty")

    def test_an_option_has_the_documented_case_or_any_text(self) -> None:
        """Where no values are documented, none is refused."""
        option = Option(argument="granularity", key="granularity", values=("WEEKLY",))
        assert [option.documented(value) for value in (" weekly ", "daily")] == ["WEEKLY", None]
        assert Option(argument="aggregation", key="aggregation").documented(" P99 ") == "P99"
        option = Option("aggregation", "aggregation", ("mean",), open_ended=True)
        assert [option.documented(value) for value in (" MEAN", " P99 ")] == ["mean", "P99"]
        open_ended = {each.name: [one.argument for one in each.options if one.open_ended] for each in FAMILIES.values()}
        assert {name: found for name, found in open_ended.items() if found} == {"productivity": ["aggregation"]}
        assert FAMILIES["ba"].option("level") is None

    @pytest.mark.parametrize(
        ("word", "close"),
        [("montly", True), (" MONTHLI ", True), ("xyz", False), ("", False), (None, False), (5, False)],
    )
    def test_only_a_close_word_is_suggested(self, word: object, *, close: bool) -> None:
        """In its own case."""
        assert ("'Monthly'" in did_you_mean(word, ["Weekly", "Monthly"])) is close
