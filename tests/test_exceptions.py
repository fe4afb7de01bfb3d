"""The errors as Airflow sees them."""

from __future__ import annotations

import pickle
import traceback

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_sei import exceptions
from airflow_provider_sei import exceptions as errors

CORE = [getattr(errors, name) for name in errors.__all__]
# The others only sort these.
LEAVES = [kind for kind in CORE if kind.__name__ not in {"SEIError", "SEIResponseError", "SEIExportError"}]


def raised(kind: type[errors.SEIError]) -> errors.SEIError:
    """Return an error of that kind with everything it can carry."""
    if issubclass(kind, errors.SEIArgumentError):
        return kind("the message", field="team_id", export_id="exp_1")
    return kind(
        "the message", status_code=418, vendor_code="E1", vendor_message="why", export_id="exp_1", retry_after="9"
    )


@pytest.mark.parametrize("kind", LEAVES)
class TestFaces:
    """Each error of the core has a face that Airflow knows."""

    def test_it_has_the_same_name(self, kind: type[errors.SEIError]) -> None:
        """And can be imported from ``airflow_provider_sei.exceptions``."""
        face = getattr(exceptions, kind.__name__)
        assert type(exceptions.as_airflow_error(raised(kind))) is face
        assert face.__name__ in exceptions.__all__
        assert issubclass(face, kind)

    def test_what_can_pass_is_left_to_retries(self, kind: type[errors.SEIError]) -> None:
        """Everything else fails the task at once."""
        face = exceptions.as_airflow_error(raised(kind))
        assert isinstance(face, AirflowException)
        assert isinstance(face, AirflowFailException) is not kind.retryable

    def test_it_carries_all_the_facts(self, kind: type[errors.SEIError]) -> None:
        """Message, codes, the vendor's words, the export."""
        error = raised(kind)
        face = exceptions.as_airflow_error(error)
        assert (str(face), vars(face)) == (str(error), vars(error))

    def test_it_survives_a_process_boundary(self, kind: type[errors.SEIError]) -> None:
        """Airflow may pickle what a task raises."""
        face = exceptions.as_airflow_error(raised(kind))
        again = pickle.loads(pickle.dumps(face))  # noqa: S301 - our own bytes
        assert (type(again), str(again), vars(again)) == (type(face), str(face), vars(face))

    def test_it_is_translated_once(self, kind: type[errors.SEIError]) -> None:
        """A second translation keeps it as it is."""
        face = exceptions.as_airflow_error(raised(kind))
        assert exceptions.as_airflow_error(face) is face

    def test_one_clause_catches_it(self, kind: type[errors.SEIError]) -> None:
        """``except SEIError``."""
        with pytest.raises(exceptions.SEIError), exceptions.airflow_errors():
            raise raised(kind)


def test_an_error_of_no_known_kind_is_retryable() -> None:
    """Nothing is known about it that would forbid another try."""
    face = exceptions.as_airflow_error(errors.SEIError("unreadable event"))
    assert isinstance(face, AirflowException)
    assert not isinstance(face, AirflowFailException)


def test_a_kind_that_is_new_takes_its_parents_face() -> None:
    """A release can add one without losing what Airflow does about it."""

    class SEITeapotError(errors.SEIBadRequestError):
        """A new kind."""

    assert type(exceptions.as_airflow_error(SEITeapotError("x"))) is exceptions.SEIBadRequestError


def test_the_log_has_one_traceback_with_the_cause() -> None:
    """Not the same words twice."""
    said = "no answer"
    try:
        with exceptions.airflow_errors():
            raise errors.SEIConnectionError(said) from ConnectionError("refused by the network")
    except exceptions.SEIConnectionError as error:
        text = "".join(traceback.format_exception(error))
    assert text.count(f"SEIConnectionError: {said}") == 1
    assert text.count("ConnectionError: refused by the network") == 1
    assert "another exception occurred" not in text


def test_other_errors_pass_unchanged() -> None:
    """A bug is a bug."""
    with pytest.raises(ZeroDivisionError), exceptions.airflow_errors():
        raise ZeroDivisionError
