"""The tree of errors: what each carries, and whether a retry can help."""

from __future__ import annotations

import pickle
import re

import pytest

from airflow_provider_sei import exceptions as errors

KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_in_the_drawing(kind: type[errors.SEIError]) -> None:
    """The module's docstring shows the whole tree, and which of its leaves can be tried again."""
    line = re.search(rf"^.*\b{kind.__name__}\b.*$", errors.__doc__ or "", re.MULTILINE)
    assert line is not None
    if kind is not errors.SEIError:
        assert ("[a retry can help]" in line.group(0)) is kind.retryable


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_carries_the_same_details(kind: type[errors.SEIError]) -> None:
    """A handler needs no case for each kind."""
    error = kind("what happened", export_id="exp_1")
    assert isinstance(error, errors.SEIError)
    assert (str(error), error.export_id) == ("what happened", "exp_1")
    assert error.status_code is error.vendor_code is error.vendor_message is error.retry_after is None


def test_a_usage_error_is_a_value_error_with_the_fields_name() -> None:
    """Python's own word for a wrong argument is understood too."""
    error = errors.SEIArgumentError("team_id is missing", field="team_id")
    assert isinstance(error, ValueError)
    assert error.field == "team_id"


@pytest.mark.parametrize("kind", KINDS)
def test_errors_travel_between_processes(kind: type[errors.SEIError]) -> None:
    """Airflow pickles what its workers raise."""
    error = kind("what happened", export_id="exp_1")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert (str(copy), copy.export_id) == ("what happened", "exp_1")


def test_an_error_keeps_what_the_server_said() -> None:
    """Field by field."""
    details = {"status_code": 429, "vendor_code": "T", "vendor_message": "m", "export_id": "e", "retry_after": "7"}
    error = errors.SEIRateLimitError("slow", **details)
    assert {name: getattr(error, name) for name in details} == details
