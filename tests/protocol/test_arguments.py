"""What a user says about one export and the wait for it."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.arguments import (
    REUSED_FAILED,
    parse_create_jitter,
    parse_export_id,
    parse_reused_failed,
    parse_wait,
)
from tests.protocol.strategies import ANYTHING, json_values, texts


class TestExportId:
    """What may be an id."""

    @pytest.mark.parametrize("given_id", ["exp_7a8b9c0d", " exp_7a8b9c0d\n", "EXP-1", "a.b", "é", "a" * 200])
    def test_an_id_is_opaque(self, given_id: str) -> None:
        """No pattern is promised."""
        assert parse_export_id(given_id) == given_id.strip()

    @pytest.mark.parametrize(
        "given_id",
        [None, "", "  ", 5, "a/b", "a\\b", "a?b", "a#b", "a%2Fb", "a b", ".", "..", "a\x00", "a" * 201, "\ud800"],
    )
    def test_what_would_change_the_url_is_refused(self, given_id: object) -> None:
        """An id is one segment of a path."""
        with pytest.raises(errors.SEIArgumentError, match=r"is not an export id; it is the text that") as caught:
            parse_export_id(given_id)
        assert caught.value.field == "export_id"


class TestReusedFailed:
    """What to do about an older export that has failed."""

    def test_an_unknown_policy_is_refused(self) -> None:
        """There are two."""
        assert [parse_reused_failed(policy) for policy in REUSED_FAILED] == ["fail", "retry"]
        with pytest.raises(errors.SEIArgumentError, match=r"reused_failed 'retri' .*did you mean 'retry'") as caught:
            parse_reused_failed("retri")
        assert caught.value.field == "reused_failed"


class TestCheckedWait:
    """What a user asks of a wait."""

    @pytest.mark.parametrize(
        ("timeout", "interval", "read"),
        [
            (60, None, (60.0, None)),
            ("90.5", "", (90.5, None)),
            (0, 1, (0.0, 1.0)),
            (60, "2.5", (60.0, 2.5)),
        ],
    )
    def test_numbers_and_their_text_are_seconds(
        self, timeout: object, interval: object, read: tuple[float, float | None]
    ) -> None:
        """A template renders a number to text."""
        assert parse_wait(timeout, interval) == read

    @pytest.mark.parametrize(
        ("timeout", "interval", "field"),
        [
            (-1, None, "wait_timeout"),
            ("soon", None, "wait_timeout"),
            (None, None, "wait_timeout"),
            (True, None, "wait_timeout"),
            (float("inf"), None, "wait_timeout"),
            (float("nan"), None, "wait_timeout"),
            (10**400, None, "wait_timeout"),
            (timedelta(hours=1), None, "wait_timeout"),
            (367 * 24 * 3600, None, "wait_timeout"),
            (60, 0.5, "poll_interval"),
            (60, "often", "poll_interval"),
            (60, [], "poll_interval"),
        ],
    )
    def test_what_is_no_number_of_seconds_is_refused(self, timeout: object, interval: object, field: str) -> None:
        """Before anything is created."""
        with pytest.raises(errors.SEIArgumentError, match=rf"{field} must be a number of seconds, at least") as caught:
            parse_wait(timeout, interval)
        assert caught.value.field == field

    @ANYTHING
    @given(json_values | texts, json_values | texts)
    def test_any_values_are_seconds_or_a_usage_error(self, timeout: object, interval: object) -> None:
        """Whatever a template renders to."""
        try:
            seconds, pause = parse_wait(timeout, interval)
        except errors.SEIArgumentError:
            return
        assert seconds >= 0
        assert pause is None or pause >= 1


class TestJitter:
    """The seconds that a user may write."""

    @pytest.mark.parametrize(("value", "seconds"), [(0, 0.0), (0.5, 0.5), ("90", 90.0), (86_400, 86_400.0)])
    def test_a_number_up_to_a_day_is_taken(self, value: object, seconds: float) -> None:
        """Also as the text that a template renders to."""
        assert parse_create_jitter(value) == seconds

    @pytest.mark.parametrize("value", [-1, "soon", None, True, math.nan, math.inf, 86_401, ""])
    def test_anything_else_is_refused(self, value: object) -> None:
        """By the argument's name."""
        with pytest.raises(errors.SEIArgumentError, match="create_jitter must be") as caught:
            parse_create_jitter(value)
        assert caught.value.field == "create_jitter"
