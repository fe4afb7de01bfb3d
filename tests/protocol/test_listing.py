"""The list: its filters, its pages in every shape, and the walk that always ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import count, islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import (
    SEIArgumentError,
    SEIBadRequestError,
    SEIResponseError,
    SEIUnexpectedResponseError,
)
from airflow_provider_sei.protocol.exports import ExportStatus
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily
from airflow_provider_sei.protocol.http import HttpResponse
from airflow_provider_sei.protocol.listing import (
    MAX_LIMIT,
    MAX_PAGES,
    ExportPage,
    PageWalk,
    list_call,
    list_query,
    on_page,
    with_plain_dates,
)
from tests.protocol.strategies import ANYTHING, families, json_values, outcome, responses, texts

SPRINT = FAMILIES["sprint"]


def read(value: Any, family: ExportFamily = SPRINT) -> ExportPage:
    """Return the page that a JSON answer is read as."""
    return list_call(family, ()).parse(HttpResponse(200, {}, json.dumps(value).encode()))


def records(*numbers: int) -> list[dict[str, str]]:
    """Return export records with these numbers in their ids."""
    return [{"exportId": f"exp_{number}", "status": "completed"} for number in numbers]


def walk(server: Callable[[int], Any], limit: int = 2) -> tuple[list[str], int]:
    """Return the ids that a walk over a server's pages meets, and how many pages it has asked for."""
    pages = PageWalk(limit)
    met: list[str] = []
    while not pages.done:
        met += [export.export_id for export in pages.take(read(server(pages.page)))]
    return met, pages.page


class TestQuery:
    """The filters."""

    def test_page_and_limit_are_always_said(self) -> None:
        """The server's defaults are the server's to change."""
        assert list_query() == (("limit", "100"), ("page", "0"))

    def test_every_documented_filter(self) -> None:
        """Names as the document spells them; the status in upper case, as the OpenAPI document wants it."""
        query = list_query(
            status="completed",
            scope="MINE",
            team_id=456,
            created_by="user_1",
            date_from="2024-01-01",
            date_to=date(2024, 2, 1),
            limit=50,
            page=3,
            sort_by="completedat",
            sort_order="ASC",
        )
        assert query == (
            ("status", "COMPLETED"),
            ("scope", "mine"),
            ("teamId", "456"),
            ("createdBy", "user_1"),
            ("dateFrom", "2024-01-01T00:00:00Z"),
            ("dateTo", "2024-02-01T00:00:00Z"),
            ("limit", "50"),
            ("page", "3"),
            ("sortBy", "completedAt"),
            ("sortOrder", "asc"),
        )

    @pytest.mark.parametrize(
        ("limit", "sent"), [(0, "1"), (-5, "1"), (1, "1"), (100, "100"), (101, "100"), (10_000, "100"), ("20", "20")]
    )
    def test_the_limit_is_cut_to_what_the_vendor_allows(self, limit: object, sent: str) -> None:
        """One to a hundred."""
        assert dict(list_query(limit=limit))["limit"] == sent

    @pytest.mark.parametrize(
        ("moment", "sent"),
        [
            ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"),
            (" 2024-01-31T12:00:00+02:00 ", "2024-01-31T10:00:00Z"),
            ("2024-01-31T12:00:00", "2024-01-31T12:00:00Z"),
            (datetime(2024, 1, 31, 12, tzinfo=UTC), "2024-01-31T12:00:00Z"),
            (datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "2024-01-31T10:00:00Z"),
        ],
    )
    def test_a_moment_is_sent_in_utc(self, moment: object, sent: str) -> None:
        """A day is its midnight."""
        assert dict(list_query(date_from=moment))["dateFrom"] == sent

    @pytest.mark.parametrize("name", ["status", "scope", "team_id", "created_by", "date_from", "sort_by", "sort_order"])
    @pytest.mark.parametrize("blank", [None, ""])
    def test_blank_filters_are_not_sent(self, name: str, blank: str | None) -> None:
        """An empty parameter might match nothing."""
        assert list_query(**{name: blank}) == list_query()

    @pytest.mark.parametrize(
        ("filters", "words"),
        [
            ({"status": "complete"}, "status 'complete' is not one of QUEUED.*did you mean 'COMPLETED'"),
            ({"scope": "team"}, "scope 'team' is not one of all, mine"),
            ({"sort_by": "name"}, "sort_by 'name' is not one of createdAt, completedAt, status"),
            ({"sort_order": "up"}, "sort_order 'up' is not one of asc, desc"),
            ({"date_from": "2024-1-1"}, "date_from '2024-1-1' is not a day"),
            ({"date_to": "Tuesday"}, "date_to 'Tuesday' is neither a day .* nor a moment"),
            ({"limit": "many"}, "limit must be a whole number, not 'many'"),
            ({"limit": True}, "limit must be text, not bool"),
            ({"page": "1" * 5000}, "page must be a whole number"),
            ({"page": "--1"}, "page must be a whole number"),
            ({"team_id": ["1"]}, "team_id must be text, not list"),
        ],
    )
    def test_a_filter_that_the_documents_do_not_know_is_refused(self, filters: dict[str, Any], words: str) -> None:
        """A filter that the server ignores would list everything."""
        with pytest.raises(SEIArgumentError, match=words) as caught:
            list_query(**filters)
        assert caught.value.field in filters

    @ANYTHING
    @given(
        st.dictionaries(
            st.sampled_from(["status", "team_id", "created_by", "date_from", "date_to", "limit", "page", "sort_by"]),
            json_values | texts | st.dates() | st.datetimes(timezones=st.timezones()),
        )
    )
    def test_any_filters_are_a_query_or_a_usage_error(self, filters: dict[str, Any]) -> None:
        """Whatever a template renders to."""
        query = outcome(SEIArgumentError, list_query, **filters)
        if isinstance(query, SEIArgumentError):
            assert query.field in filters
            return
        assert all(isinstance(value, str) and value for _, value in query)
        assert 1 <= int(dict(query)["limit"]) <= MAX_LIMIT

    def test_another_page_is_the_same_query(self) -> None:
        """Only the number changes."""
        assert on_page(list_query(status="failed"), 7) == (("status", "FAILED"), ("limit", "100"), ("page", "7"))

    def test_moments_can_be_cut_to_days(self) -> None:
        """For a server that takes the prose at its word."""
        query = with_plain_dates(list_query(date_from="2024-01-01", date_to="2024-02-01", created_by="2024-01-01T"))
        assert dict(query) | {"limit": ""} == {
            "dateFrom": "2024-01-01",
            "dateTo": "2024-02-01",
            "createdBy": "2024-01-01T",
            "limit": "",
            "page": "0",
        }


class TestPage:
    """One page of the list."""

    @pytest.mark.parametrize(
        ("value", "more"),
        [
            (
                {"exports": records(1, 2), "pagination": {"total": 87, "page": 0, "totalPages": 2, "hasMore": True}},
                True,
            ),
            ({"exports": records(1, 2), "pagination": {"hasMore": False, "page": 0, "totalPages": 9}}, False),
            ({"exports": records(1, 2), "pagination": {"page": 0, "totalPages": 2}}, True),
            ({"exports": records(1, 2), "pagination": {"page": 1, "totalPages": 2}}, False),
            ({"exports": records(1, 2), "pagination": {"hasMore": "yes"}}, None),
            ({"items": records(1, 2), "_metadata": {"page_size": 2, "has_next": True}}, True),
            ({"anything": records(1, 2), "_metadata": {"has_next": False}}, False),
            ({"content": records(1, 2), "errors": [], "tags": ["a"]}, None),
            ({"exports": None, "data": records(1, 2)}, None),
            (records(1, 2), None),
            ([None, *records(1), 5, {"exportId": ""}, *records(2), {"exportId": "a/b"}], None),
        ],
    )
    def test_records_are_found_in_every_shape(self, value: Any, *, more: bool | None) -> None:
        """The OpenAPI document's, the general guide's, a bare array, and one array under any name."""
        page = read(value)
        assert [export.export_id for export in page.exports] == ["exp_1", "exp_2"]
        assert page.more is more

    @pytest.mark.parametrize(
        "value", [{}, {"exports": {}}, "exp_1", 5, None, {"a": ["x"]}, {"a": records(1), "b": records(2)}]
    )
    def test_an_answer_without_one_list_is_unreadable(self, value: Any) -> None:
        """Taking it for an empty list would say that there are no exports."""
        with pytest.raises(
            SEIUnexpectedResponseError, match=r"could not list sprint exports: the answer holds no list"
        ):
            read(value)

    def test_records_that_are_no_exports_are_unreadable(self) -> None:
        """An empty list of them would keep an asset watcher waiting for ever, without a word."""
        with pytest.raises(SEIUnexpectedResponseError, match="none of the answer's 2 records has a usable exportId"):
            read({"exports": [{"id": "exp_1"}, None]})

    @pytest.mark.parametrize("value", [{"exports": []}, [], {"data": []}])
    def test_an_empty_list_is_one(self, value: Any) -> None:
        """There may be no exports."""
        assert read(value).exports == ()

    def test_a_record_of_the_list_is_read_like_a_status(self) -> None:
        """Its file is under another name there."""
        export = read({"exports": [{"exportId": "e", "status": "FAILED", "downloadUrl": "/d", "error": "x"}]}).exports[
            0
        ]
        assert (export.status, export.download_url, export.error_message) == (ExportStatus.FAILED, "/d", "x")
        assert (export.family, export.summary) == ("sprint", True)

    def test_a_refusal_is_an_error(self) -> None:
        """As of every call."""
        with pytest.raises(SEIBadRequestError):
            list_call(SPRINT, ()).parse(HttpResponse(400))

    def test_it_is_asked_for_where_exports_are_created(self) -> None:
        """With the query as it is."""
        request = list_call(SPRINT, list_query()).request
        assert (request.method, request.path, request.query) == ("GET", SPRINT.collection_path, list_query())

    @ANYTHING
    @given(families, responses())
    def test_any_answer_is_a_page_or_an_error_of_ours(self, family: ExportFamily, response: HttpResponse) -> None:
        """Whatever the server says."""
        try:
            page = list_call(family, ()).parse(response)
        except SEIResponseError:
            return
        assert all(export.export_id for export in page.exports)


class TestWalk:
    """Page after page, to the end."""

    def test_an_honest_server_is_read_to_its_end(self) -> None:
        """Each export once, and no page too many."""
        pages = [records(1, 2), records(3, 4), records(5)]
        assert walk(lambda page: pages[page]) == ([f"exp_{number}" for number in (1, 2, 3, 4, 5)], 3)

    def test_a_full_last_page_costs_one_empty_one(self) -> None:
        """Where the server does not say that it is the last."""
        assert walk(lambda page: records(1, 2) if page == 0 else []) == (["exp_1", "exp_2"], 2)

    def test_the_servers_word_saves_it(self) -> None:
        """hasMore: false is believed."""
        assert walk(lambda _: {"exports": records(1, 2), "pagination": {"hasMore": False}})[1] == 1

    def test_a_short_page_with_more_to_come_goes_on(self) -> None:
        """A server may allow fewer records than were asked for."""

        def server(page: int) -> Any:
            return {"exports": records(page), "pagination": {"hasMore": page < 4}}

        assert walk(server, limit=100) == ([f"exp_{number}" for number in range(5)], 5)

    @pytest.mark.parametrize("more", [True, None])
    def test_a_server_that_ignores_the_page_number_is_left(self, more: object) -> None:
        """It repeats its first page for ever."""
        assert walk(lambda _: {"exports": records(1, 2), "pagination": {"hasMore": more}}) == (["exp_1", "exp_2"], 2)

    def test_an_empty_page_ends_the_walk_though_more_is_promised(self) -> None:
        """A promise brings nothing."""
        assert walk(lambda page: {"exports": records(1, 2)[: 2 - 2 * page], "pagination": {"hasMore": True}})[1] == 2

    def test_a_page_that_moves_on_while_it_is_read_shows_no_export_twice(self) -> None:
        """New exports push old ones to the next page."""
        pages = [records(3, 2), records(2, 1), []]
        assert walk(lambda page: pages[page])[0] == ["exp_3", "exp_2", "exp_1"]

    def test_a_server_that_never_ends_is_left_at_a_bound(self) -> None:
        """Ever new exports, for ever."""
        pages = PageWalk(1)
        numbers = count()
        for _ in range(MAX_PAGES):
            assert not pages.done
            fresh = read(records(next(numbers)))
            list(pages.take(ExportPage(fresh.exports, more=True)))
        assert pages.done

    @ANYTHING
    @given(
        st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=4), st.sampled_from([True, False, None])), min_size=1)
    )
    def test_any_pages_end_and_show_every_export_once(self, answers: list[tuple[list[int], bool | None]]) -> None:
        """However a server repeats, shortens and contradicts itself."""

        def cycle() -> Iterator[ExportPage]:
            for index in count():
                numbers, more = answers[index % len(answers)]
                yield ExportPage(read(records(*numbers)).exports, more)

        pages, met = PageWalk(2), []
        for page in islice(cycle(), 100):
            met += [export.export_id for export in pages.take(page)]
            if pages.done:
                break
        assert pages.done
        assert len(met) == len(set(met)) <= 10


@pytest.mark.parametrize("moment", ["2024-01-31T12:00:00", "2024-01-31T12:00:00Z", "2024-01-31T21:00:00+09:00"])
def test_a_moment_without_an_offset_is_in_utc(moment: str, in_tokyo: None) -> None:
    """Wherever the worker runs."""
    assert in_tokyo is None
    assert dict(list_query(date_from=datetime.fromisoformat(moment)))["dateFrom"] == "2024-01-31T12:00:00Z"


def test_the_list_named_exports_goes_before_others() -> None:
    """An answer may have more than one."""
    page = read({"filters": [{"exportId": "no"}], "exports": [{"exportId": "exp_1", "status": "queued"}]})
    assert [export.export_id for export in page.exports] == ["exp_1"]


def test_a_refusal_names_the_list() -> None:
    """Both where it is made and where it is read."""
    call = list_call(SPRINT, ())
    assert call.description == "list sprint exports"
    with pytest.raises(SEIBadRequestError, match=r"^could not list sprint exports: "):
        call.parse(HttpResponse(400, {}, b"{}"))


@pytest.mark.parametrize("about", [{"page": 0}, {"totalPages": 3}, {"page": "0", "totalPages": 3}])
def test_half_a_word_about_pages_is_none(about: dict[str, Any]) -> None:
    """Whether more follow is told by both numbers, or not at all."""
    assert read({"exports": records(1), "pagination": about}).more is None
