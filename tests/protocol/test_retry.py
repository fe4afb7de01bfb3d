"""After how long a call is made again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIRateLimitError
from airflow_provider_sei.protocol.retry import MAX_RETRY_AFTER, Backoff, retry_after_seconds
from tests.protocol.strategies import ANYTHING

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


class TestPause:
    """The seconds before the next attempt."""

    @pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
    def test_pauses_double_up_to_a_cap(self, jitter: float) -> None:
        """After any error, with jitter from half to one and a half times the mean."""
        backoff, counts = Backoff(base=60.0, longest=900.0), (1, 2, 3, 4, 5, 10_000)
        pauses = [backoff.pause(ValueError(), count, jitter=jitter, now=NOW) for count in counts]
        assert pauses == [mean * (0.5 + jitter) for mean in (60.0, 120.0, 240.0, 480.0, 900.0, 900.0)]

    @pytest.mark.parametrize(("asked", "pause"), [("30", 30.0), ("0", 1.0), ("86400", 300.0), (None, 1.0)])
    def test_retry_after_is_respected_up_to_a_cap(self, asked: str | None, pause: float) -> None:
        """Never earlier than the usual pause."""
        error = SEIRateLimitError("slow down", retry_after=asked)
        assert Backoff().pause(error, 1, jitter=0.5, now=NOW) == pause


class TestRetryAfter:
    """What the server asks for."""

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            *((nothing, None) for nothing in (None, "", "  ", "-5", "1.5", "soon", "٣")),
            *(("0", 0.0), (" 120 ", 120.0), ("1" * 400, 300.0)),
            (format_datetime(datetime(2026, 1, 1, 0, 1, tzinfo=UTC), usegmt=True), 60.0),
            ("Thu, 01 Jan 2026 00:01:00 -0000", 60.0),
            ("Thu, 01 Jan 2026 01:01:00 +0100", 60.0),
            ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
            *((f"Thu, 01 Jan {year} 00:00:00 GMT", None) for year in ("99999", "99999999999")),
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
