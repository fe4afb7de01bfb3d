"""The tree of errors: what each carries, and what Airflow does about it."""

from __future__ import annotations

import pickle
import re

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_sei import exceptions

KINDS = [kind for name, kind in vars(exceptions).items() if name.startswith("SEI")]
PERMANENT = {
    *("SEIArgumentError", "SEIAuthError", "SEINotFoundError", "SEIBadRequestError", "SEIUnexpectedResponseError"),
    *("SEIExportFailedError", "SEIExportCancelledError", "SEIExportNotFoundError", "SEITeamExportsError"),
    "SEISchemaError",
}
DETAILS = {"status_code": 418, "vendor_code": "E1", "vendor_message": "why", "export_id": "exp_1", "retry_after": "9"}


@pytest.mark.parametrize("kind", KINDS)
def test_permanent_errors_fail_the_task_without_retries(kind: type[exceptions.SEIError]) -> None:
    """All others are left to the task's retries. The module's docstring says which."""
    assert issubclass(kind, exceptions.SEIError)
    assert issubclass(kind, AirflowException)
    assert issubclass(kind, AirflowFailException) is (kind.__name__ in PERMANENT)
    assert kind.retryable is (kind.__name__ not in PERMANENT)
    line = re.search(rf"^.*\b{kind.__name__}\b.*$", exceptions.__doc__ or "", re.MULTILINE)
    assert line is not None
    assert ("permanent" in line.group(0)) is not kind.retryable


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_pickled_with_its_details(kind: type[exceptions.SEIError]) -> None:
    """Airflow passes errors between processes."""
    argument = issubclass(kind, exceptions.SEIArgumentError)
    details = {"field": "team_id", "export_id": "exp_1"} if argument else DETAILS
    error = kind("the message", **details)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(copy), str(copy), vars(copy)) == (kind, "the message", vars(error))
    assert {name: getattr(copy, name) for name in details} == details
    empty = kind("the message")
    assert {getattr(empty, name) for name in DETAILS} == {None}


def test_code_that_handles_one_kind_of_error_does_not_handle_others() -> None:
    """An invalid argument is what Python calls one; a reused export's failure is not permanent."""
    assert issubclass(exceptions.SEIArgumentError, ValueError)
    assert not issubclass(exceptions.SEIReusedExportFailedError, exceptions.SEIExportFailedError)
