"""When a call is made again, and after how long."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.exceptions import SEIBadRequestError, SEIConnectionError, SEIRateLimitError, SEIServerError
from airflow_provider_sei.protocol.retry import MAX_RETRY_AFTER, Backoff, retry_after_seconds
from tests.protocol.strategies import ANYTHING

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def delay(error: errors.SEIError, attempt: int = 1, *, jitter: float = 0.5, left: float | None = None) -> float | None:
    """Return what the default rule says."""
    return Backoff().delay(error, attempt, jitter=jitter, now=NOW, left=left)


class TestDelay:
    """Whether to retry, and when."""

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
    def test_only_retryable_errors_are_retried(self, kind: type[errors.SEIError], *, again: bool) -> None:
        """A 4xx is final, no answer and a 5xx are not."""
        assert (delay(kind("trouble")) is not None) is again

    def test_waits_double_with_jitter(self) -> None:
        """Half to one and a half times 1, 2, 4 and 8 seconds."""
        error = SEIConnectionError("cut off")
        assert [delay(error, attempt) for attempt in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 8.0]
        assert delay(error, 3, jitter=0.0) == 2.0
        assert delay(error, 3, jitter=0.999) == pytest.approx(6.0, rel=0.01)

    def test_attempts_are_bounded(self) -> None:
        """The fifth attempt is the last."""
        assert delay(SEIConnectionError("cut off"), 4) is not None
        assert delay(SEIConnectionError("cut off"), 5) is None

    def test_the_mean_pause_is_capped(self) -> None:
        """Also after any number of failures, and for errors that would not be retried."""
        backoff = Backoff(base=60.0, longest=900.0)
        pauses = [backoff.pause(ValueError(), count, jitter=0.5, now=NOW) for count in (1, 2, 3, 4, 5, 10_000)]
        assert pauses == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]

    def test_retry_after_is_respected(self) -> None:
        """The server knows best when it will serve again; never earlier than our own wait."""
        assert delay(SEIRateLimitError("slow down", retry_after="30")) == 30.0
        assert delay(SEIServerError("later", retry_after="0")) == 1.0

    def test_retry_after_is_capped(self) -> None:
        """A day is not waited for inside one call."""
        assert delay(SEIRateLimitError("slow down", retry_after="86400")) == 300.0

    def test_a_wait_beyond_the_time_left_gives_up(self) -> None:
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
            ("1" * 400, 300.0),
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
        assert retry_after_seconds(value, NOW, cap=0.0) == (None if seconds is None else 0.0)

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
        assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER
