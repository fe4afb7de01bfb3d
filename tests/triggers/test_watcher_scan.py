"""Which completed exports are new, whatever order and times a list has."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.exports import Export, ExportStatus
from airflow_provider_sei.protocol.listing import Page
from airflow_provider_sei.triggers.watcher import CompletionScan, Watermark, parse_since

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def done(name: str, seconds: float | None, **changes: Any) -> Export:
    """Return an export that was completed so many seconds after noon."""
    at = None if seconds is None else datetime.fromtimestamp(NOON + seconds, UTC).isoformat()
    return Export(**{"export_id": name, "family": "ba", "status": ExportStatus.COMPLETED, "completed_at": at} | changes)


def scan(
    known: Watermark | None, *pages: Iterable[Export], now: float = NOON + 3600, tree: str | None = None
) -> tuple[list[str], Watermark]:
    """Return the ids that are new on these pages, and the watermark after them, as it comes back from a store."""
    walk = CompletionScan(known, now=now)
    for page in pages:
        assert not walk.done
        walk.take(Page(tuple(page), None))
    new, after = walk.result(tree)
    restored = Watermark.from_dict(json.loads(json.dumps(asdict(after))))
    assert restored == after
    return [export.export_id for export in new], after


class TestFirstScan:
    """Nothing is known yet."""

    def test_what_is_there_already_is_not_new(self) -> None:
        """A new DAG does not begin with the history of a year."""
        new, after = scan(None, [done("b", 50), done("a", 10)])
        assert new == []
        assert scan(after, [done("c", 51), done("b", 50), done("a", 10)])[0] == ["c"]

    def test_an_empty_list_is_a_beginning_too(self) -> None:
        """What comes next is new, even if our clock is hours ahead of the server's; but not what is a day old."""
        _, after = scan(None, [], now=NOON + 36_000)
        assert scan(after, [done("a", 20)], now=NOON + 36_030)[0] == ["a"]
        _, after = scan(None, [], now=NOON + 100_000)
        assert scan(after, [done("b", 50_000), done("a", 0)], now=NOON + 100_060)[0] == ["b"]
        _, known = scan(Watermark(NOON), [], now=NOON + 86_400)
        assert scan(known, [done("a", 20)], now=NOON + 86_410)[0] == ["a"], "one that comes later moves nothing"

    def test_a_list_that_ends_long_ago_is_known_to_its_end(self) -> None:
        """What appears beside its newest is new, though it is older than a day."""
        _, after = scan(None, [done("a", -100_000)])
        assert scan(after, [done("b", -99_990), done("a", -100_000)])[0] == ["b"]

    def test_since_reports_what_is_there_already(self) -> None:
        """From that time on, and nothing before it."""
        new, after = scan(
            Watermark(parse_since("2026-03-01T12:00:10Z") or 0.0),
            [done(n, s) for n, s in (("c", 20), ("b", 10), ("a", 9))],
        )
        assert new == ["b", "c"]
        assert scan(after, [done("c", 20), done("b", 10), done("a", 9)])[0] == []


class TestNew:
    """Later scans."""

    def test_each_is_reported_once_oldest_first(self) -> None:
        """However often it is listed; also one of the same second."""
        _, known = scan(None, [done("a", 0)])
        new, known = scan(known, [done("c", 20), done("b", 10), done("s", 0), done("a", 0)])
        assert new == ["s", "b", "c"]
        assert scan(known, [done("c", 20), done("b", 10), done("s", 0), done("a", 0)]) == ([], known)

    def test_one_that_appears_late_is_reported_but_none_again(self) -> None:
        """A list may have gaps, and a server whose clock is nine minutes behind completes exports in the past."""
        _, known = scan(None, [done("a", 600)])
        new, known = scan(known, [done("a", 600), done("b", 60), done("old", -1)])
        assert new == ["b"]
        _, known = scan(known, [done("b", 60)])
        _, known = scan(known, [])
        assert scan(known, [done("a", 600), done("b", 60)])[0] == []

    def test_a_time_in_the_future_hides_nothing(self) -> None:
        """A server's clock may run ahead."""
        _, known = scan(None, [done("a", 10)], now=NOON + 20)
        new, known = scan(known, [done("x", 86_400), done("a", 10)], now=NOON + 30)
        assert new == ["x"]
        assert scan(known, [done("x", 86_400), done("b", 40), done("a", 10)], now=NOON + 50)[0] == ["b"]

    def test_only_completed_ones_count(self) -> None:
        """A server may ignore the filter; one without a time is counted and ignored."""
        _, known = scan(None, [done("a", 0)])
        others = [done(word.value, 5, status=word) for word in ExportStatus if word is not ExportStatus.COMPLETED]
        assert scan(known, [*others, done("a", 0)])[0] == []
        walk = CompletionScan(known, now=NOON)
        walk.take(Page((done("b", None), done("c", 0, completed_at="soon")), None))
        assert (walk.undated, walk.result()[0]) == (2, [])

    def test_a_tree_is_filtered_here(self) -> None:
        """The list has no filter for it."""
        _, known = scan(None, [done("a", 0)])
        page = [done("c", 20, org_tree_name="Sales"), done("b", 10, org_tree_name="Engineering"), done("n", 5)]
        assert scan(known, page, tree="Engineering")[0] == ["b"]

    def test_what_is_stored_does_not_grow(self) -> None:
        """Ids older than the overlap are forgotten."""
        _, known = scan(None, [done("a", 0)])
        for hour in range(1, 50):
            _, known = scan(known, [done(f"h{hour}", hour * 3600)], now=NOON + hour * 3600)
        assert set(known.seen) == {"h49"}


@pytest.mark.parametrize(
    ("seconds", "more", "further"),
    [
        ((10, -1), True, False),  # ends in what is known
        ((10, 0), True, True),
        ((-1, 10, -5), True, True),  # not in the order asked for: until a whole page is old
        ((-9, -1, -5), True, False),
        ((10,), False, False),
        ((), True, False),
    ],
)
def test_a_further_page_is_read_where_it_may_have_something_new(
    seconds: tuple[float, ...], *, more: bool, further: bool
) -> None:
    """In most scans, the first one is enough."""
    walk = CompletionScan(Watermark(NOON), now=NOON + 10_000)
    walk.take(Page(tuple(done(f"e{number}", at) for number, at in enumerate(seconds)), more))
    assert walk.done is not further


@pytest.mark.parametrize(
    "value", [None, "x", [], {}, {"low": 1.0}, {"low": "soon", "seen": {}}, {"low": 1.0, "seen": {"a": None}}]
)
def test_a_watermark_that_cannot_be_read_is_none(value: Any) -> None:
    """The watch begins anew then."""
    assert Watermark.from_dict(value) is None


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00", "2026-03-01T12:00:00Z", "2026-03-01T21:00:00+09:00"])
def test_since_without_an_offset_is_in_utc(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the triggerer runs. What cannot be read is refused with the form that can."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert parse_since(text) == NOON
    time.tzset()
    for value in ("yesterday", "", 5):
        with pytest.raises(SEIArgumentError, match="since must be a time written") as caught:
            parse_since(value)
        assert caught.value.field == "since"
