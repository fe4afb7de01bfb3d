"""The five families as they are declared."""

from __future__ import annotations

import pytest

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily, Option, family_names, get_family

GROUPS = {
    "productivity": {"activity", "velocity", "volume", "quality", "collaboration"},
    "efficiency": {"lttc", "df", "mttr", "cfr", "summary", "work_items", "deployment_frequency", "rating"},
    "sprint": {"work", "delivery", "deliveryAnalysis", "analysis", "predictability", "velocity"},
    "ba": {"CATEGORIZED", "UNCATEGORIZED"},
    "ticket-data": set(),
}
VALUES = {
    ("productivity", "aggregation"): ("aggregation", ("mean",)),
    ("productivity", "level"): ("aggregationLevel", ("developer", "team")),
    ("productivity", "granularity"): ("granularity", ("weekly", "monthly", "quarterly")),
    ("efficiency", "granularity"): ("granularity", ("WEEKLY", "MONTHLY", "QUARTERLY")),
    ("efficiency", "aggregation"): ("aggregation", ("mean", "median", "p90", "p95")),
    ("sprint", "computation_mode"): ("computationMode", ("STORY_POINTS", "TICKETS")),
    ("sprint", "level"): ("metricLevel", ("team", "sprint")),
    ("sprint", "granularity"): ("granularity", ("SPRINT", "WEEKLY", "MONTHLY", "QUARTERLY")),
    ("sprint", "aggregation"): ("aggregation", ()),
    ("ba", "granularity"): ("granularity", ("WEEKLY", "MONTHLY", "QUARTERLY")),
    ("ticket-data", "level"): ("aggregationLevel", ("sprint", "team")),
    ("ticket-data", "granularity"): ("granularity", ("daily", "weekly", "monthly", "quarterly")),
    ("ticket-data", "terminal_date_column"): (
        "terminalDateColumn",
        ("issue_resolved_at", "version_release_date"),
    ),
} | {
    (family, argument): option
    for family in GROUPS
    for argument, option in {
        "file_format": ("format", ("csv",)),
        "export_compression": ("compression", ("gzip",)),
    }.items()
}


class TestDeclarations:
    """What the documents say of each family."""

    def test_there_are_five(self) -> None:
        """The order is the documentation's."""
        assert family_names() == ("productivity", "efficiency", "sprint", "ba", "ticket-data")

    @pytest.mark.parametrize("name", FAMILIES)
    def test_documented_groups_are_known(self, name: str) -> None:
        """Each spelling that any document names."""
        assert GROUPS[name] <= set(FAMILIES[name].metric_groups)
        assert bool(GROUPS[name]) == bool(FAMILIES[name].metric_groups)

    def test_options_are_the_documented_ones_in_the_documented_case(self) -> None:
        """Names for users on the left, the vendor's on the right."""
        declared = {
            (family.name, option.argument): (option.key, option.values)
            for family in FAMILIES.values()
            for option in family.options
        }
        assert declared == VALUES

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_a_default_is_one_of_the_values(self, family: ExportFamily) -> None:
        """What is sent unasked must be right."""
        for option in family.options:
            assert option.default is None or option.default in option.values

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_paths_are_relative(self, family: ExportFamily) -> None:
        """Everything is relative to the base URL."""
        for path in (family.collection_path, family.item_path, family.alternate_collection_path or "v2/insights/x"):
            assert path.startswith("v2/insights/")
            assert not path.endswith("/")

    def test_sprint_has_two_spellings(self) -> None:
        """One page creates at the singular, all else is at the plural."""
        sprint = FAMILIES["sprint"]
        assert (sprint.collection_path, sprint.alternate_collection_path, sprint.item_path) == (
            "v2/insights/sprint/exports",
            "v2/insights/sprints/exports",
            "v2/insights/sprints/exports",
        )


class TestGetFamily:
    """A family by its name."""

    @pytest.mark.parametrize("name", ["ticket-data", "Ticket_Data", " TICKET-DATA "])
    def test_case_and_underscores_do_not_matter(self, name: str) -> None:
        """Python names have no dashes."""
        assert get_family(name).name == "ticket-data"

    @pytest.mark.parametrize("name", ["", None, 5, True, ["sprint"], "sprints/../x"])
    def test_an_unknown_family_is_refused_with_the_list(self, name: object) -> None:
        """The message shows what there is."""
        with pytest.raises(
            SEIArgumentError, match=r"known: productivity, efficiency, sprint, ba, ticket-data"
        ) as caught:
            get_family(name)
        assert caught.value.field == "family"

    def test_a_close_name_is_suggested(self) -> None:
        """A typing error is named as one."""
        with pytest.raises(SEIArgumentError, match=r"family 'productivty'.*did you mean 'productivity'"):
            get_family("productivty")


class TestOption:
    """One entry of a request's options."""

    def test_a_value_is_sent_in_the_documented_case(self) -> None:
        """The server may be strict about it."""
        option = Option(argument="granularity", key="granularity", values=("WEEKLY",))
        assert option.documented(" weekly ") == "WEEKLY"
        assert option.documented("daily") is None

    def test_free_text_is_sent_as_written(self) -> None:
        """Where no values are documented, none is refused."""
        assert Option(argument="aggregation", key="aggregation").documented(" P99 ") == "P99"

    def test_an_unknown_argument_is_no_option(self) -> None:
        """Business alignment has no level."""
        assert FAMILIES["ba"].option("level") is None
