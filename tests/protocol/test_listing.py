"""The list of exports: its filters, its pages in every shape, and a pager that always ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.exports import ExportStatus
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily
from airflow_provider_sei.protocol.http import HttpResponse
from airflow_provider_sei.protocol.listing import (
    MAX_LIMIT,
    Page,
    Pager,
    list_call,
    list_query,
    with_plain_dates,
)
from tests.protocol.strategies import ANYTHING, families, json_values, outcome, responses, texts

SPRINT = FAMILIES["sprint"]


def read(value: Any) -> Page[Any]:
    """Return the page that a JSON response is read as."""
    return list_call(SPRINT, {}).parse(HttpResponse(200, {}, json.dumps(value).encode()))


def records(*numbers: int) -> list[dict[str, str]]:
    """Return export records with these numbers in their ids."""
    return [{"exportId": f"exp_{number}", "status": "completed"} for number in numbers]


def read_all(server: Callable[[int], Any]) -> tuple[list[str], int]:
    """Return the ids on all pages of a server, and how many pages were requested."""
    pager: Pager[Any] = Pager("list them")
    found: list[str] = []
    while not pager.done:
        found += [export.export_id for export in pager.take(read(server(pager.page)))]
    return found, pager.page


class TestQuery:
    """The filters."""

    def test_every_documented_filter_is_sent(self) -> None:
        """Statuses in upper case, as the OpenAPI document requires; a day is its midnight in UTC."""
        days = {"date_from": "2024-01-01", "date_to": date(2024, 2, 1)}
        order = {"limit": 50, "page": 3, "sort_by": "completedat", "sort_order": "ASC"}
        query = list_query(status="completed", scope="MINE", team_id=456, created_by="user_1", **days, **order)
        times = {"dateFrom": "2024-01-01T00:00:00Z", "dateTo": "2024-02-01T00:00:00Z"}
        page = {"limit": "50", "page": "3", "sortBy": "completedAt", "sortOrder": "asc"}
        assert query == {
            "status": "COMPLETED",
            "scope": "mine",
            "teamId": "456",
            "createdBy": "user_1",
            **times,
            **page,
        }

    @pytest.mark.parametrize("name", ["status", "scope", "team_id", "created_by", "date_from", "sort_by", "sort_order"])
    @pytest.mark.parametrize("blank", [None, ""])
    def test_blank_filters_are_not_sent(self, name: str, blank: str | None) -> None:
        """Page and limit always are, because the server may change its defaults. Page and times can be changed."""
        query = list_query(date_from="2024-01-01", date_to="2024-02-01", created_by="2024-01-01T")
        assert list_call(SPRINT, query, 7).request.query == {**query, "page": "7"}
        assert with_plain_dates(query) == {**query, "dateFrom": "2024-01-01", "dateTo": "2024-02-01"}
        assert list_query(**{name: blank}) == {"limit": "50", "page": "0"}

    @pytest.mark.parametrize(
        ("time", "sent"),
        [
            ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"),
            (" 2024-01-31T12:00:00+02:00 ", "2024-01-31T10:00:00Z"),
            ("2024-01-31T12:00:00", "2024-01-31T12:00:00Z"),
            (datetime.fromisoformat("2024-01-31T12:00:00"), "2024-01-31T12:00:00Z"),
            (datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "2024-01-31T10:00:00Z"),
        ],
    )
    def test_a_time_is_sent_in_utc(self, time: object, sent: str, in_tokyo: None) -> None:
        """One without an offset is in UTC, whatever the machine's timezone."""
        assert in_tokyo is None
        assert list_query(date_from=time)["dateFrom"] == sent

    @pytest.mark.parametrize(
        ("filters", "words"),
        [
            ({"status": "complete"}, "is not one of QUEUED.*did you mean 'COMPLETED'"),
            ({"scope": "team"}, "is not one of all, mine"),
            ({"sort_by": "name"}, "is not one of createdAt, completedAt, status"),
            ({"sort_order": "up"}, "is not one of asc, desc"),
            ({"date_from": "2024-1-1"}, "'2024-1-1' is not a day"),
            ({"date_to": "Tuesday"}, "'Tuesday' is neither a day .* nor a time"),
            *(({"limit": odd}, "limit must be") for odd in ("many", True, "1" * 5000, "--1", 2.5)),
            *(({"limit": odd}, "limit must be a whole number from 1 to 100, not") for odd in (0, -5, 101, "500")),
            ({"page": -1}, "page must be a whole number from 0"),
            ({"team_id": ["1"]}, "must be text, not list"),
        ],
    )
    def test_an_undocumented_filter_is_refused(self, filters: dict[str, Any], words: str) -> None:
        """A server that ignores it would list everything."""
        with pytest.raises(errors.SEIArgumentError, match=words) as caught:
            list_query(**filters)
        assert caught.value.field in filters

    @ANYTHING
    @given(
        st.dictionaries(
            st.sampled_from(["status", "team_id", "created_by", "date_from", "date_to", "limit", "page", "sort_by"]),
            json_values | texts | st.dates() | st.datetimes(timezones=st.timezones()),
        )
    )
    def test_any_filters_are_a_query_or_refused(self, filters: dict[str, Any]) -> None:
        """Whatever a template renders to."""
        query = outcome(errors.SEIArgumentError, list_query, **filters)
        if isinstance(query, errors.SEIArgumentError):
            assert query.field in filters
            return
        assert all(isinstance(value, str) and value for value in query.values())
        assert 1 <= int(query["limit"]) <= MAX_LIMIT


class TestPage:
    """One page."""

    @pytest.mark.parametrize(
        ("value", "more"),
        [
            ({"exports": records(1, 2), "pagination": {"page": 0, "totalPages": 2, "hasMore": True}}, True),
            ({"exports": records(1, 2), "pagination": {"hasMore": False, "page": 0, "totalPages": 9}}, False),
            ({"exports": records(1, 2), "pagination": {"page": 0, "totalPages": 2}}, True),
            ({"exports": records(1, 2), "pagination": {"page": 1, "totalPages": 2}}, False),
            *(
                ({"exports": records(1, 2), "pagination": incomplete}, None)
                for incomplete in ({"hasMore": "yes"}, {"page": 0}, {"totalPages": 3}, {"page": "0", "totalPages": 3})
            ),
            ({"items": records(1, 2), "_metadata": {"page_size": 2, "has_next": True}}, True),
            ({"anything": records(1, 2), "_metadata": {"has_next": False}}, False),
            ({"content": records(1, 2), "errors": [], "tags": ["a"]}, None),
            ({"exports": None, "data": records(1, 2)}, None),
            ({"filters": records(3), "exports": records(1, 2)}, None),
            (records(1, 2), None),
            ([None, *records(1), 5, {"exportId": ""}, *records(2), {"exportId": "a/b"}], None),
        ],
    )
    def test_records_are_found_in_every_shape(self, value: Any, *, more: bool | None) -> None:
        """The OpenAPI document's, the general guide's, a bare array, and one array under any name."""
        page = read(value)
        assert [export.export_id for export in page.items] == ["exp_1", "exp_2"]
        assert page.more is more

    @pytest.mark.parametrize(
        "value",
        [
            *({}, {"exports": {}}, "exp_1", 5, None, {"a": ["x"]}, {"a": records(1), "b": records(2)}),
            {"exports": [{"id": "exp_1"}, None]},
        ],
    )
    def test_a_response_without_one_list_of_exports_is_an_error(self, value: Any) -> None:
        """Not an empty list, which may come too: that would say that there are no exports."""
        assert [read(empty).items for empty in ({"exports": []}, [], {"data": []})] == [(), (), ()]
        with pytest.raises(errors.SEIBadRequestError, match="could not list sprint exports"):
            list_call(SPRINT, {}).parse(HttpResponse(400))
        with pytest.raises(errors.SEIUnexpectedResponseError, match="could not list sprint exports"):
            read(value)
        with pytest.raises(errors.SEIUnexpectedResponseError, match=r'no list of exports \("Team not found"\): '):
            read({"message": "Team not found", "owners": ["Jane"]})

    def test_a_record_is_read_like_a_status(self) -> None:
        """But is marked, because it has neither the file's name nor its size."""
        [export] = read({"exports": [{"exportId": "e", "status": "FAILED", "downloadUrl": "/d", "error": "x"}]}).items
        assert (export.status, export.download_url, export.error_message) == (ExportStatus.FAILED, "/d", "x")
        assert (export.family, export.summary) == ("sprint", True)

    @ANYTHING
    @given(families, responses())
    def test_any_response_is_a_page_or_an_error(self, family: ExportFamily, response: HttpResponse) -> None:
        """Requested from the family's path with the query as it is; each export has an id."""
        request = list_call(family, list_query()).request
        assert (request.method, request.path, request.query) == ("GET", family.collection_path, list_query())
        page = outcome(errors.SEIResponseError, list_call(family, ()).parse, response)
        if isinstance(page, Page):
            assert all(export.export_id for export in page.items)


class TestPager:
    """Page after page, to the end."""

    @pytest.mark.parametrize(
        ("pages", "more", "found", "requested"),
        [
            pytest.param([(1, 2), (3,), (4, 5), ()], None, 5, 4, id="only an empty page is the last"),
            pytest.param([(3, 2), (2, 1), ()], None, 3, 3, id="a new export moves an old one to the next page"),
            pytest.param([(1, 2), (1, 2)], None, 2, 2, id="a server that ignores the page number"),
            pytest.param([(1, 2)], [False], 2, 1, id="no more"),
            pytest.param([(1,), (2,), (3,)], [True, True, False], 3, 3, id="short pages with more to come"),
            pytest.param([(1, 2), ()], [True, True], 2, 2, id="an empty page"),
        ],
    )
    def test_each_export_is_found_once(
        self, pages: list[tuple[int, ...]], more: list[bool] | None, found: int, requested: int
    ) -> None:
        """Without requesting more pages than necessary; the server's word counts, whether or not pages are full."""

        def answer(page: int) -> Any:
            listed = records(*pages[page])
            return {"exports": listed, "pagination": {"hasMore": more[page]}} if more else listed

        ids, count_ = read_all(answer)
        assert (sorted(ids), count_) == ([f"exp_{number}" for number in range(1, found + 1)], requested)

    def test_a_list_that_never_ends_is_an_error(self) -> None:
        """Ever new exports, or always the same: by an error, because nobody knows what is missing."""
        pager: Pager[Any] = Pager("list them")
        numbers = count()
        for _ in range(9_999):
            pager.take(Page(read(records(next(numbers))).items, more=True))
        with pytest.raises(errors.SEIUnexpectedResponseError, match="goes on after 10000 pages"):
            pager.take(Page(read(records(next(numbers))).items, more=True))
        with pytest.raises(errors.SEIUnexpectedResponseError, match=r"repeats a page: could not list them to the end"):
            read_all(lambda _: {"exports": records(1, 2), "pagination": {"total": 3}})

    @ANYTHING
    @given(
        st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=4), st.sampled_from([True, False, None])), min_size=1)
    )
    def test_any_pages_end_and_give_each_item_once(self, answers: list[tuple[list[int], bool | None]]) -> None:
        """However the server repeats, shortens and contradicts itself."""
        pager: Pager[int] = Pager("list them")
        found: list[int] = []
        for index in range(12):
            items, more = answers[index % len(answers)]
            taken = outcome(errors.SEIUnexpectedResponseError, pager.take, Page(tuple(items), more))
            found += taken if isinstance(taken, list) else []
            if pager.done:
                break
        assert pager.done
        assert len(found) == len(set(found))
