"""When a call is made again, and after how long."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.exceptions import SEIBadRequestError, SEIConnectionError, SEIRateLimitError, SEIServerError
from airflow_provider_sei.protocol.retry import Backoff, retry_after_seconds
from tests.protocol.strategies import ANYTHING

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def delay(error: errors.SEIError, attempt: int = 1, *, chance: float = 0.5, left: float | None = None) -> float | None:
    """Return what the default rule says."""
    return Backoff().delay(error, attempt, chance=chance, now=NOW, left=left)


class TestDelay:
    """Whether to try again, and when."""

    @pytest.mark.parametrize(
        ("kind", "again"),
        [
            (errors.SEIConnectionError, True),
            (errors.SEIRateLimitError, True),
            (errors.SEIServerError, True),
            (errors.SEIDownloadError, True),
            (errors.SEIAuthError, False),
            (errors.SEINotFoundError, False),
            (errors.SEIBadRequestError, False),
            (errors.SEIUnexpectedResponseError, False),
            (errors.SEIArgumentError, False),
            (errors.SEIExportFailedError, False),
        ],
    )
    def test_only_what_can_pass_is_tried_again(self, kind: type[errors.SEIError], *, again: bool) -> None:
        """A 4xx is final, no answer and a 5xx are not."""
        assert (delay(kind("trouble")) is not None) is again

    def test_waits_double_with_jitter(self) -> None:
        """Half to one and a half times 1, 2, 4 and 8 seconds."""
        error = SEIConnectionError("cut off")
        assert [delay(error, attempt) for attempt in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 8.0]
        assert delay(error, 3, chance=0.0) == 2.0
        assert delay(error, 3, chance=0.999) == pytest.approx(6.0, rel=0.01)

    def test_tries_are_bounded(self) -> None:
        """The fifth try is the last."""
        assert delay(SEIConnectionError("cut off"), 4) is not None
        assert delay(SEIConnectionError("cut off"), 5) is None

    def test_no_wait_of_our_own_is_longer_than_the_longest(self) -> None:
        """Doubling ends somewhere."""
        backoff = Backoff(attempts=100, longest=10.0)
        assert backoff.delay(SEIConnectionError("x"), 50, chance=0.5, now=NOW) == 10.0

    def test_retry_after_is_honoured(self) -> None:
        """The server knows best when it will serve again; never earlier than our own wait."""
        assert delay(SEIRateLimitError("slow down", retry_after="30")) == 30.0
        assert delay(SEIServerError("later", retry_after="0")) == 1.0

    def test_retry_after_is_not_obeyed_without_bounds(self) -> None:
        """A day is not waited for inside one call."""
        assert delay(SEIRateLimitError("slow down", retry_after="86400")) == 300.0

    def test_a_wait_beyond_the_time_left_gives_up_at_once(self) -> None:
        """Sleeping into the deadline would only hide the error."""
        error = SEIRateLimitError("slow down", retry_after="30")
        assert delay(error, left=30.0) is None
        assert delay(error, left=31.0) == 30.0
        assert delay(SEIBadRequestError("no"), left=1000.0) is None


class TestRetryAfter:
    """What the server asks for."""

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (None, None),
            ("", None),
            ("  ", None),
            ("0", 0.0),
            (" 120 ", 120.0),
            ("1" * 400, 111_111_111.0),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("٣", None),
            (format_datetime(datetime(2026, 1, 1, 0, 1, tzinfo=UTC), usegmt=True), 60.0),
            ("Thu, 01 Jan 2026 00:01:00 -0000", 60.0),
            ("Thu, 01 Jan 2026 01:01:00 +0100", 60.0),
            ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
            ("Thu, 01 Jan 99999 00:00:00 GMT", None),
            ("Thu, 01 Jan 99999999999 00:00:00 GMT", None),
            ("Thu, 99999999999999999999 Jan 2026 00:00:00 GMT", None),
            ("Thu, 01 Jan 2026 00:00:00 +99999999999999", None),
        ],
    )
    def test_seconds_and_dates_are_read(self, value: str | None, seconds: float | None) -> None:
        """Both documented forms; what is neither is as good as absent."""
        assert retry_after_seconds(value, NOW) == seconds

    @ANYTHING
    @given(
        st.text(st.characters(), max_size=40)
        | st.from_regex(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,5} [\d:]{1,9} [-+A-Z\d]{1,6}", fullmatch=True)
    )
    @example("Mon, 01 Jan 0001 00:00:00 +2359")
    @example("Fri, 31 Dec 9999 23:59:59 -2359")
    def test_any_header_is_seconds_or_nothing(self, value: str) -> None:
        """No header a server can send raises anything."""
        seconds = retry_after_seconds(value, NOW)
        assert seconds is None or seconds >= 0.0


def test_a_backoff_obeys_a_date_too() -> None:
    """Half a minute from now, as HTTP writes it."""
    asked = format_datetime(datetime.fromtimestamp(NOW + 30.0, UTC), usegmt=True)
    delay = Backoff().delay(SEIRateLimitError("slow", retry_after=asked), 1, now=NOW, left=None, chance=0.0)
    assert delay == pytest.approx(30.0, abs=1.0)
