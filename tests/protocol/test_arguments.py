"""Parsers of arguments: what they return, and what they refuse under the argument's name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.arguments import (
    merged,
    parse_boolean,
    parse_choice,
    parse_date,
    parse_export_id,
    parse_mapping,
    parse_names,
    parse_number,
    parse_period,
    parse_text,
    undocumented,
)
from airflow_provider_sei.protocol.http import encode_json
from tests.protocol.strategies import ANYTHING, json_values, outcome, texts

arguments = json_values | texts | st.binary() | st.dates() | st.datetimes()


def refused(parse: Callable[..., object], *given_: Any, field: str = "field", **named: Any) -> str:
    """Return the message of a refusal, which is about ``field``, in one line."""
    with pytest.raises(SEIArgumentError) as caught:
        parse(*given_, **named)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestDates:
    """Days and periods."""

    @pytest.mark.parametrize(
        "value", ["2024-02-29", " 2024-02-29\n", date(2024, 2, 29), datetime(2024, 2, 29, 23, 59, tzinfo=UTC)]
    )
    def test_text_dates_and_datetimes_are_days(self, value: object) -> None:
        """The vendor takes yyyy-MM-dd only."""
        assert parse_date(value, "field") == "2024-02-29"

    @pytest.mark.parametrize(
        "value",
        [
            *("2024-1-1", "01.02.2024", "20240101", "2024-01-01T00:00:00", "2023-02-29", "2024-13-01"),
            *("\u0662\u0660\u0662\u0664-01-01", 20240101),
        ],
    )
    def test_other_forms_are_refused(self, value: object) -> None:
        """The message shows the value and the right form."""
        message = refused(parse_date, value, "field")
        assert repr(value) in message
        assert "yyyy-MM-dd" in message

    @pytest.mark.parametrize("value", [None, "", "  "])
    def test_a_missing_day_is_reported_as_missing(self, value: object) -> None:
        """An empty template result is not a malformed day."""
        assert "field is missing" in refused(parse_date, value, "field")

    def test_a_period_may_be_one_day_long(self) -> None:
        """Both days are inclusive."""
        assert parse_period("2024-01-01", "2024-01-01") == ("2024-01-01", "2024-01-01")

    @pytest.mark.parametrize(
        ("start", "end", "field", "words"),
        [
            ("2024-02-01", "2024-01-31", "date_start", "2024-02-01 is after date_end 2024-01-31"),
            (None, "2024-01-31", "date_start", "give both days"),
            ("2024-01-01", "", "date_end", "give both days"),
            ("2024-1-1", "2024-01-31", "date_start", "yyyy-MM-dd"),
            ("2024-01-01", "None", "date_end", "'None', which a template renders to"),
        ],
    )
    def test_a_wrong_period_is_refused_by_the_wrong_day(self, start: Any, end: Any, field: str, words: str) -> None:
        """When a DAG is parsed and when its task runs."""
        assert words in refused(parse_period, start, end, field=field)
        assert words in refused(parse_period, start, end, lambda _: True, field=field)

    def test_templates_and_the_runs_own_period_are_not_refused_at_parsing(self) -> None:
        """What is known is checked: a wrong first day beside a template is."""
        known = lambda value: not str(value).startswith("{{")  # noqa: E731 - shorter than a function
        for start, end in [(None, None), ("", " "), ("2024-02-01", "{{ ds }}"), (None, "{{ ds }}"), ("{{ ds }}", "")]:
            parse_period(start, end, known)
        assert "yyyy-MM-dd" in refused(parse_period, "2024-1-1", "{{ ds }}", known, field="date_start")


class TestText:
    """Ids, names and choices."""

    @pytest.mark.parametrize(
        ("value", "text"), [(None, None), ("", None), (" \n", None), (" 456 ", "456"), (456, "456"), (0, "0")]
    )
    def test_integers_are_text_and_blanks_are_missing(self, value: object, text: str | None) -> None:
        """Zero is an id, too."""
        assert parse_text(value, "field") == text

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            *((value, f"must be text, not {type(value).__name__}") for value in (True, 4.5, ["456"], {"id": 1}, b"4")),
            ("None", "which a template renders to"),
            ("a\ud800", "surrogate"),
        ],
    )
    def test_anything_else_is_refused(self, value: object, words: str) -> None:
        """Also the text that a template without a value renders to, and what no encoding has."""
        assert words in refused(parse_text, value, "field")
        assert parse_text("none", "field") == "none"

    def test_a_choice_is_returned_in_its_documented_case(self) -> None:
        """Written in any case, with blanks around."""
        assert parse_choice(" MEDIAN\n", ("mean", "Median"), "field") == "Median"

    @pytest.mark.parametrize("value", [None, "", "medain", 5, True, ["mean"]])
    def test_another_word_is_refused_with_the_choices(self, value: object) -> None:
        """And with a guess, if there is a close one."""
        message = refused(parse_choice, value, ("mean", "median"), "field")
        assert "is not one of mean, median" in message
        assert ("did you mean 'median'" in message) is (value == "medain")

    @pytest.mark.parametrize(
        ("value", "read"), [(True, True), (False, False), ("true", True), (" FALSE ", False), ("True", True)]
    )
    def test_a_boolean_may_be_text(self, value: object, *, read: bool) -> None:
        """A template renders it to text."""
        assert parse_boolean(value, "field") is read

    @pytest.mark.parametrize("value", [None, "", "yes", 1, 0, []])
    def test_nothing_else_is_a_boolean(self, value: object) -> None:
        """Not even 1 and 0."""
        assert "true or false" in refused(parse_boolean, value, "field")


class TestNumber:
    """Seconds and rates."""

    @pytest.mark.parametrize(("value", "number"), [(1, 1.0), ("90.5", 90.5), (100, 100.0), (" 2 ", 2.0)])
    def test_numbers_and_their_text_are_read(self, value: object, number: float) -> None:
        """Both ends of the range are in it."""
        assert parse_number(value, "field", least=1, most=100) == number

    @pytest.mark.parametrize(
        "value", [0.5, 101, -1, "soon", "", None, True, [], math.inf, math.nan, "nan", 10**400, timedelta(hours=1)]
    )
    def test_what_is_no_number_in_the_range_is_refused(self, value: object) -> None:
        """The message has the range and its unit."""
        assert "number of calls from 1 to 100" in refused(parse_number, value, "field", least=1, most=100, unit="calls")

    @ANYTHING
    @given(arguments)
    def test_any_value_is_a_number_in_the_range_or_refused(self, value: object) -> None:
        """Whatever a template renders to."""
        number = outcome(SEIArgumentError, parse_number, value, "field", least=0, most=1000)
        assert isinstance(number, SEIArgumentError) or 0 <= number <= 1000


class TestNames:
    """Lists of names."""

    @pytest.mark.parametrize(
        ("value", "names"),
        [
            *((nothing, ()) for nothing in (None, "", [], " []")),
            ("PR_MERGED", ("PR_MERGED",)),
            ("PR_MERGED, CFR,, PR_MERGED", ("PR_MERGED", "CFR")),
            (["b", " a ", "", "b", "None"], ("b", "a", "None")),
            (("In Progress", "To Do"), ("In Progress", "To Do")),
            ("['In, Progress', 'To Do']", ("In, Progress", "To Do")),
            ('["In, Progress", "To Do"]', ("In, Progress", "To Do")),
            ("[broken", ("[broken",)),
        ],
    )
    def test_a_name_a_list_and_a_rendered_list_are_read(self, value: object, names: tuple[str, ...]) -> None:
        """In their order, each once."""
        assert parse_names(value, "field") == names

    def test_a_name_may_contain_commas(self) -> None:
        """As workflow statuses and teams do."""
        assert parse_names("In Review, 2", "field", separator=None) == ("In Review, 2",)

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            *((value, f"names, not {type(value).__name__}") for value in (5, {"PR_MERGED": True}, b"PR_MERGED")),
            (["PR_MERGED", 5], "5 is not text"),
            ("[1, 2]", "1 is not text"),
            (["\ud800"], "surrogate"),
        ],
    )
    def test_what_is_no_list_of_names_is_refused(self, value: object, words: str) -> None:
        """A mapping is iterable, but not a list."""
        assert words in refused(parse_names, value, "field")

    @ANYTHING
    @given(arguments | texts.map("[{}]".format))
    def test_any_value_is_distinct_names_that_can_be_sent_or_refused(self, value: object) -> None:
        """None of them is blank."""
        names = outcome(SEIArgumentError, parse_names, value, "field")
        if not isinstance(names, SEIArgumentError):
            assert len(set(names)) == len(names)
            assert all(name.strip() == name and name and name.encode() for name in names)


class TestMapping:
    """JSON objects."""

    @pytest.mark.parametrize(
        ("value", "mapping"),
        [
            *((nothing, {}) for nothing in (None, "", " ", {})),
            ({"a": {"b": (1, None)}}, {"a": {"b": [1, None]}}),
            (MappingProxyType({"a": 1}), {"a": 1}),
            ("\n {'a': True, 'b': None}\n", {"a": True, "b": None}),
            ('{"a": true, "b": null}', {"a": True, "b": None}),
            ({1: "x", "a": 2}, {"1": "x", "a": 2}),
        ],
    )
    def test_a_mapping_and_its_rendered_text_are_read(self, value: object, mapping: dict[str, Any]) -> None:
        """As plain JSON, so that what is checked is what is sent."""
        assert parse_mapping(value, "field") == mapping

    @pytest.mark.parametrize(
        "value", [["a"], "a=1", "[1]", 5, "[" * 100_000, '{"a":' * 100_000, "{[]: 1}", "-" * 100_000 + "1", "\x00"]
    )
    def test_what_is_no_mapping_is_refused(self, value: object) -> None:
        """Each of Python's readers fails at some of these texts in another way."""
        assert "must be a mapping" in refused(parse_mapping, value, "field")

    @pytest.mark.parametrize(
        "value", [{"a": date(2024, 1, 1)}, {"a": math.nan}, {"a": {1, 2}}, {"a": "\ud800"}, {(1, 2): 3}]
    )
    def test_what_json_cannot_express_is_refused(self, value: dict[Any, Any]) -> None:
        """A mapping that contains itself, too."""
        itself: dict[str, Any] = {}
        itself["a"] = itself
        for given_ in (value, itself):
            assert "cannot be sent as JSON" in refused(parse_mapping, given_, "field")

    def test_the_result_is_a_copy(self) -> None:
        """A later change of the user's object does not change the request."""
        original: dict[str, Any] = {"a": {"b": 1}}
        copy = parse_mapping(original, "field")
        original["a"]["b"] = 2
        assert copy == {"a": {"b": 1}}

    @ANYTHING
    @given(arguments | texts.map("{{{}}}".format))
    def test_any_value_is_a_mapping_that_can_be_sent_or_refused(self, value: object) -> None:
        """Whatever a template renders to."""
        mapping = outcome(SEIArgumentError, parse_mapping, value, "field")
        assert isinstance(mapping, SEIArgumentError) or json.loads(encode_json(mapping)) == mapping

    def test_mappings_are_merged_and_other_values_replaced(self) -> None:
        """A list is one value; null replaces a value, too."""
        body = {"scope": {"teamId": "1", "deep": {"x": 1}}, "metrics": ["a"], "options": {"format": "csv"}}
        extra = {"scope": {"deep": {"y": 2}, "more": True}, "metrics": ["b"], "options": None}
        assert merged(body, extra) == {
            "scope": {"teamId": "1", "deep": {"x": 1, "y": 2}, "more": True},
            "metrics": ["b"],
            "options": None,
        }
        assert body["options"] == {"format": "csv"}


class TestExportId:
    """Ids of exports."""

    @pytest.mark.parametrize("given_id", ["exp_7a8b9c0d", " exp_7a8b9c0d\n", "EXP-1", "a.b", "é", "a" * 200])
    def test_ids_are_opaque(self, given_id: str) -> None:
        """The vendor promises no pattern."""
        assert parse_export_id(given_id) == given_id.strip()

    @pytest.mark.parametrize(
        "given_id",
        [None, "", "  ", 5, "a/b", "a\\b", "a?b", "a#b", "a%2Fb", "a b", ".", "..", "a\x00", "a" * 201, "\ud800"],
    )
    def test_what_would_change_the_url_is_refused(self, given_id: object) -> None:
        """And is quoted in part, if it is long."""
        assert len(refused(parse_export_id, given_id, field="export_id")) < 200


def test_undocumented_names_are_warned_of() -> None:
    """In any case, with a close documented name."""
    typing_error, new = undocumented(["pr_merged", "PR_MERGD", "NEW"], ("PR_MERGED",), "metrics", "sprint exports")
    assert "'PR_MERGD'" in typing_error
    assert "sprint exports: did you mean 'PR_MERGED'" in typing_error
    assert "'NEW'" in new
