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
from tests.protocol.strategies import ANYTHING, json_values, outcome, sent, texts


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
        """The message shows the value and the right form; an empty template result is missing, not malformed."""
        message = refused(parse_date, value, "field")
        assert repr(value) in message
        assert "yyyy-MM-dd" in message
        for nothing in (None, "", "  "):
            assert "field is missing" in refused(parse_date, nothing, "field")

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
        """When a DAG is parsed and when its task runs. Both days are inclusive, so that they may be the same."""
        assert parse_period("2024-01-01", "2024-01-01") == ("2024-01-01", "2024-01-01")
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

    @pytest.mark.parametrize("value", [None, "", "medain", 5, True, ["mean"]])
    def test_a_word_that_is_no_choice_is_refused(self, value: object) -> None:
        """With the choices, and a guess if there is a close one. A choice is returned in its documented case."""
        message = refused(parse_choice, value, ("mean", "median"), "field")
        assert "is not one of mean, median" in message
        assert ("did you mean 'median'" in message) is (value == "medain")
        assert parse_choice(" MEDIAN\n", ("mean", "Median"), "field") == "Median"

    @pytest.mark.parametrize(
        ("value", "read"),
        [
            *((true, True) for true in (True, "true", "True")),
            *((false, False) for false in (False, " FALSE ")),
            *((odd, None) for odd in (None, "", "yes", 1, 0, [])),
        ],
    )
    def test_a_boolean_may_be_text(self, value: object, *, read: bool | None) -> None:
        """A template renders it to text; nothing else is one, not even 1 and 0."""
        if read is None:
            assert "true or false" in refused(parse_boolean, value, "field")
        else:
            assert parse_boolean(value, "field") is read


class TestNumber:
    """Seconds and rates."""

    @pytest.mark.parametrize(("value", "number"), [(1, 1.0), ("90.5", 90.5), (100, 100.0), (" 2 ", 2.0)])
    def test_numbers_and_their_text_are_read(self, value: object, number: float) -> None:
        """Both ends of the range are in it."""
        assert parse_number(value, "field", least=1, most=100) == number

    @pytest.mark.parametrize(("value", "number"), [(7, 7), ("7", 7), (7.0, 7), (7.5, None), ("1.5", None), (101, None)])
    def test_a_whole_number_is_an_integer(self, value: object, number: int | None) -> None:
        """Or refused, not rounded."""
        if number is None:
            assert "a whole number from 1 to 100" in refused(
                parse_number, value, "field", least=1, most=100, whole=True
            )
        else:
            assert str(parse_number(value, "field", least=1, most=100, whole=True)) == str(number)

    @pytest.mark.parametrize(
        "value", [0.5, 101, -1, "soon", "", None, True, [], math.inf, math.nan, "nan", 10**400, timedelta(hours=1)]
    )
    def test_what_is_no_number_in_the_range_is_refused(self, value: object) -> None:
        """The message has the range and its unit."""
        assert "number of calls from 1 to 100" in refused(parse_number, value, "field", least=1, most=100, unit="calls")


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
        """In their order, each once; workflow statuses and teams may contain commas."""
        assert parse_names("In Review, 2", "field", separator=None) == ("In Review, 2",)
        assert parse_names(value, "field") == names

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
        """As plain JSON, and a copy, so that what is checked is what is sent."""
        assert parse_mapping(value, "field") == mapping
        assert parse_mapping(inner := {"a": {"b": 1}}, "field")["a"] is not inner["a"]

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            *((value, "must be a mapping") for value in (["a"], "a=1", "[1]", 5, "{[]: 1}", "\x00")),
            *((deep * 100_000, "must be a mapping") for deep in ("[", '{"a":', "-")),
            *(({"a": odd}, "cannot be sent as JSON") for odd in (date(2024, 1, 1), math.nan, {1, 2}, "\ud800")),
            ({(1, 2): 3}, "cannot be sent as JSON"),
        ],
    )
    def test_what_is_no_mapping_is_refused(self, value: object, words: str) -> None:
        """Each of Python's readers fails at some of these texts in another way; one that contains itself is none."""
        assert words in refused(parse_mapping, value, "field")
        itself: dict[str, Any] = {}
        itself["a"] = itself
        assert "cannot be sent as JSON" in refused(parse_mapping, itself, "field")

    @ANYTHING
    @given(json_values | texts | texts.map("{{{}}}".format) | texts.map("[{}]".format) | st.binary() | st.datetimes())
    def test_any_value_is_read_or_refused(self, value: object) -> None:
        """Whatever a template renders to: what is read can be sent, names are distinct, numbers are in the range."""
        mapping = outcome(SEIArgumentError, parse_mapping, value, "field")
        assert isinstance(mapping, SEIArgumentError) or json.loads(sent(mapping)) == mapping
        names = outcome(SEIArgumentError, parse_names, value, "field")
        if not isinstance(names, SEIArgumentError):
            assert len(set(names)) == len(names)
            assert all(name.strip() == name and name and name.encode() for name in names)
        number = outcome(SEIArgumentError, parse_number, value, "field", least=0, most=1000)
        assert isinstance(number, SEIArgumentError) or 0 <= number <= 1000

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


@pytest.mark.parametrize(
    "given_id",
    [None, "", "  ", 5, "a/b", "a\\b", "a?b", "a#b", "a%2Fb", "a b", ".", "..", "a\x00", "a" * 201, "\ud800"],
)
def test_what_would_change_the_url_is_refused(given_id: object) -> None:
    """And is quoted in part, if it is long. Ids are opaque otherwise: the vendor promises no pattern."""
    assert len(refused(parse_export_id, given_id, field="export_id")) < 200
    for good in ("exp_7a8b9c0d", " exp_7a8b9c0d\n", "EXP-1", "a.b", "é", "a" * 200):
        assert parse_export_id(good) == good.strip()


def test_undocumented_names_are_warned_of() -> None:
    """In any case, with a close documented name."""
    typing_error, new = undocumented(["pr_merged", "PR_MERGD", "NEW"], ("PR_MERGED",), "metrics", "sprint exports")
    assert "'PR_MERGD'" in typing_error
    assert "sprint exports: did you mean 'PR_MERGED'" in typing_error
    assert "'NEW'" in new
