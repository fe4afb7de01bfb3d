"""A user's words, read or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.arguments import (
    is_missing,
    merged,
    parse_choice,
    parse_date,
    parse_mapping,
    parse_names,
    parse_period,
    parse_text,
    undocumented,
)
from airflow_provider_sei.protocol.http import encode_json
from tests.protocol.strategies import ANYTHING, json_values, texts

arguments = json_values | texts | st.binary() | st.dates() | st.datetimes()


class TestDates:
    """Days and periods."""

    @pytest.mark.parametrize(
        "value", ["2024-02-29", " 2024-02-29\n", date(2024, 2, 29), datetime(2024, 2, 29, 23, 59, tzinfo=UTC)]
    )
    def test_a_day_is_sent_as_the_vendor_takes_it(self, value: object) -> None:
        """Text, a date and a moment all name one day."""
        assert parse_date(value, "date_start") == "2024-02-29"

    @pytest.mark.parametrize("value", [None, "", "  "])
    def test_a_missing_day_is_told_as_missing(self, value: object) -> None:
        """An empty template result is no day."""
        with pytest.raises(SEIArgumentError, match=r"date_end is missing: give a day as yyyy-MM-dd") as caught:
            parse_date(value, "date_end")
        assert caught.value.field == "date_end"

    @pytest.mark.parametrize(
        "value",
        [
            "2024-1-1",
            "01.02.2024",
            "20240101",
            "2024-01-01T00:00:00",
            "2023-02-29",
            "2024-13-01",
            "\u0662\u0660\u0662\u0664-01-01",
            20240101,
            True,
        ],
    )
    def test_another_form_of_day_is_refused(self, value: object) -> None:
        """The message shows the value and the form that works."""
        with pytest.raises(SEIArgumentError, match=r"is not a day written yyyy-MM-dd \(2024-01-31\)") as caught:
            parse_date(value, "date_start")
        assert repr(value) in str(caught.value)

    def test_a_period_may_be_one_day_long(self) -> None:
        """Both days are included."""
        assert parse_period("2024-01-01", "2024-01-01") == ("2024-01-01", "2024-01-01")

    def test_a_period_that_ends_before_it_starts_is_refused(self) -> None:
        """Both days are in the message."""
        with pytest.raises(SEIArgumentError, match=r"date_start 2024-02-01 comes after date_end 2024-01-31") as caught:
            parse_period("2024-02-01", "2024-01-31")
        assert caught.value.field == "date_start"


class TestText:
    """Ids and names."""

    @pytest.mark.parametrize(
        ("value", "text"), [(None, None), ("", None), (" \n", None), (" 456 ", "456"), (456, "456"), (0, "0")]
    )
    def test_numbers_are_text_and_blanks_are_nothing(self, value: object, text: str | None) -> None:
        """An id may be written without quotes; zero is an id too."""
        assert parse_text(value, "team_id") == text

    @pytest.mark.parametrize("value", [True, 4.5, ["456"], {"id": 1}, b"456"])
    def test_anything_else_is_refused(self, value: object) -> None:
        """The message names the argument and what it got."""
        with pytest.raises(SEIArgumentError, match=rf"team_id must be text, not {type(value).__name__}"):
            parse_text(value, "team_id")

    def test_the_word_none_is_refused(self) -> None:
        """A template whose value is missing renders to it, and a team of that name would be asked for."""
        with pytest.raises(
            SEIArgumentError, match=r"team_id is the text 'None', which a template renders to"
        ) as caught:
            parse_text("None", "team_id")
        assert caught.value.field == "team_id"
        assert parse_text("none", "team_id") == "none"

    def test_half_a_character_is_refused(self) -> None:
        """No encoding can carry it to the server."""
        with pytest.raises(SEIArgumentError, match=r"team_id .* half a character"):
            parse_text("a\ud800", "team_id")


class TestNames:
    """Lists of names."""

    @pytest.mark.parametrize(
        ("value", "names"),
        [
            (None, ()),
            ("", ()),
            ([], ()),
            ("PR_MERGED", ("PR_MERGED",)),
            ("PR_MERGED, CFR,, PR_MERGED", ("PR_MERGED", "CFR")),
            (["b", " a ", "", "b"], ("b", "a")),
            (("In Progress", "To Do"), ("In Progress", "To Do")),
            ("['In, Progress', 'To Do']", ("In, Progress", "To Do")),
            ('["In, Progress", "To Do"]', ("In, Progress", "To Do")),
            (" []", ()),
            ("[broken", ("[broken",)),
        ],
    )
    def test_a_name_or_a_list_or_its_rendered_text_is_read(self, value: object, names: tuple[str, ...]) -> None:
        """A template renders a list to the list's text; order stays, repeats go."""
        assert parse_names(value, "metrics") == names

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (5, "must be a list of names, not int"),
            ({"PR_MERGED": True}, "must be a list of names, not dict"),
            (b"PR_MERGED", "must be a list of names, not bytes"),
            (["PR_MERGED", 5], "must be a list of names; 5 is not text"),
            ("[1, 2]", "must be a list of names; 1 is not text"),
            (["\ud800"], "half a character"),
        ],
    )
    def test_what_is_no_list_of_names_is_refused(self, value: object, words: str) -> None:
        """The message names the argument."""
        with pytest.raises(SEIArgumentError, match=r"^metrics ") as caught:
            parse_names(value, "metrics")
        assert words in str(caught.value)
        assert caught.value.field == "metrics"

    @ANYTHING
    @given(arguments | texts.map("[{}".format))
    def test_any_value_is_names_or_a_usage_error(self, value: object) -> None:
        """Names that are returned are not blank, and can be sent."""
        try:
            names = parse_names(value, "metrics")
        except SEIArgumentError:
            return
        assert len(set(names)) == len(names)
        assert all(name.strip() == name and name and name.encode() for name in names)


class TestChoice:
    """One word of several."""

    def test_a_word_is_found_in_any_case(self) -> None:
        """It is returned in the documented case."""
        assert parse_choice(" MEDIAN\n", ("mean", "Median"), "calculation_type") == "Median"

    @pytest.mark.parametrize("value", [None, "", "medain", 5, True, ["mean"]])
    def test_any_other_is_refused_with_the_list(self, value: object) -> None:
        """The message shows what there is to choose from."""
        with pytest.raises(SEIArgumentError, match=r"calculation_type .* is not one of mean, median") as caught:
            parse_choice(value, ("mean", "median"), "calculation_type")
        assert ("did you mean 'median'" in str(caught.value)) is (value == "medain")


class TestMapping:
    """JSON objects."""

    @pytest.mark.parametrize(
        ("value", "mapping"),
        [
            (None, {}),
            ("", {}),
            (" ", {}),
            ({}, {}),
            ({"a": {"b": (1, None)}}, {"a": {"b": [1, None]}}),
            (MappingProxyType({"a": 1}), {"a": 1}),
            ("{'a': True, 'b': None}", {"a": True, "b": None}),
            ('{"a": true, "b": null}', {"a": True, "b": None}),
            ({1: "x", "a": 2}, {"1": "x", "a": 2}),
        ],
    )
    def test_an_object_or_its_rendered_text_is_read(self, value: object, mapping: dict[str, Any]) -> None:
        """It comes back as plain JSON, so that what is checked is what is sent."""
        assert parse_mapping(value, "extra_body") == mapping

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (["a"], "must be a mapping, not list"),
            ("a=1", "must be a mapping, not str"),
            ("[1]", "must be a mapping, not list"),
            (5, "must be a mapping, not int"),
            ({"a": date(2024, 1, 1)}, "cannot be sent as JSON (Object of type date"),
            ({"a": float("nan")}, "cannot be sent as JSON"),
            ({"a": {1, 2}}, "cannot be sent as JSON"),
            ({"a": "\ud800"}, "cannot be sent as JSON"),
            ({(1, 2): 3}, "cannot be sent as JSON"),
        ],
    )
    def test_what_cannot_be_sent_is_refused(self, value: object, words: str) -> None:
        """The message names the argument, before anything is created."""
        with pytest.raises(SEIArgumentError) as caught:
            parse_mapping(value, "extra_body")
        assert str(caught.value).startswith("extra_body ")
        assert words in str(caught.value)
        assert caught.value.field == "extra_body"

    def test_a_mapping_that_holds_itself_is_refused(self) -> None:
        """JSON has no form for it."""
        value: dict[str, Any] = {}
        value["a"] = value
        with pytest.raises(SEIArgumentError, match=r"cannot be sent as JSON"):
            parse_mapping(value, "scope")

    def test_the_users_own_object_is_not_shared(self) -> None:
        """A later change to it does not change the request."""
        given: dict[str, Any] = {"a": {"b": 1}}
        copy = parse_mapping(given, "extra_body")
        given["a"]["b"] = 2
        assert copy == {"a": {"b": 1}}

    @ANYTHING
    @given(arguments | texts.map("{{{}}}".format))
    def test_any_value_is_a_mapping_or_a_usage_error(self, value: object) -> None:
        """A mapping that is returned can be sent."""
        try:
            mapping = parse_mapping(value, "extra_body")
        except SEIArgumentError:
            return
        assert json.loads(encode_json(mapping)) == mapping


class TestUndocumented:
    """Names that no document has."""

    def test_only_unknown_names_are_told(self) -> None:
        """Case is no difference, and a close name is suggested."""
        assert undocumented(["pr_merged", "PR_MERGD", "NEW"], ("PR_MERGED",), "metrics", "sprint exports") == [
            "metrics has 'PR_MERGD', which is not documented for sprint exports: did you mean 'PR_MERGED'?",
            "metrics has 'NEW', which is not documented for sprint exports",
        ]


class TestMerged:
    """One object laid over another."""

    def test_objects_are_merged_and_all_else_is_replaced(self) -> None:
        """A list is one value; null takes a value's place."""
        body = {"scope": {"teamId": "1", "deep": {"x": 1}}, "metrics": ["a"], "options": {"format": "csv"}}
        extra = {"scope": {"deep": {"y": 2}, "more": True}, "metrics": ["b"], "options": None}
        assert merged(body, extra) == {
            "scope": {"teamId": "1", "deep": {"x": 1, "y": 2}, "more": True},
            "metrics": ["b"],
            "options": None,
        }
        assert body["options"] == {"format": "csv"}


class TestFieldNames:
    """An error names its argument, in words and as data."""

    @pytest.mark.parametrize(
        ("check", "field"),
        [
            (lambda: parse_period(None, "2024-01-31"), "date_start"),
            (lambda: parse_period("2024-01-01", ""), "date_end"),
            (lambda: parse_period("2024-1-1", "2024-01-31"), "date_start"),
            (lambda: parse_period("2024-01-01", "None"), "date_end"),
            (lambda: parse_text(["1"], "team_id"), "team_id"),
            (lambda: parse_choice("x", ("a",), "level"), "level"),
        ],
    )
    def test_it_is_that_of_the_dag_author(self, check: Callable[[], object], field: str) -> None:
        """Whatever is wrong with it."""
        with pytest.raises(SEIArgumentError, match=rf"^{field} ") as caught:
            check()
        assert caught.value.field == field

    def test_the_word_none_is_told_with_what_to_do(self) -> None:
        """In the template's own language."""
        with pytest.raises(SEIArgumentError) as caught:
            parse_date("None", "date_start")
        assert str(caught.value) == (
            "date_start is the text 'None', which a template renders to where its value is None: give it a value,"
            " or let the template say nothing ({{ ... or '' }})"
        )


@pytest.mark.parametrize(("value", "missing"), [(None, True), (" ", True), ("", True), (0, False), ("x", False)])
def test_nothing_and_blank_text_are_missing(value: object, *, missing: bool) -> None:
    """Zero is a value."""
    assert is_missing(value) is missing


def test_a_name_with_blanks_is_one_name() -> None:
    """Where a name may hold anything."""
    assert parse_names("In Review, 2", "issue_statuses", separator=None) == ("In Review, 2",)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "{[]: 1}", "-" * 100_000 + "1", "{'a': " + "-" * 100_000 + "1}", "\x00"],
    ids=["brackets", "braces", "a list as key", "signs", "signs inside", "a null"],
)
def test_text_that_no_reader_takes_is_refused(text: str) -> None:
    """Each of Python's readers gives up in a way of its own."""
    with pytest.raises(SEIArgumentError, match="extra_body must be a mapping, not str"):
        parse_mapping(text, "extra_body")
