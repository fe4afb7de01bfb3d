"""The hook's calls against the local SEI server."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_sei import exceptions
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.exports import status_call
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.protocol.listing import list_query
from airflow_provider_sei.protocol.waiting import WaitPlan

JANUARY = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
REQUEST = {"family": "productivity", "team_id": "456", **JANUARY}


def operations(sei_server: Any) -> list[tuple[str, int | None]]:
    """Return the server's requests, by operation, with their status codes."""
    return [(request.operation, request.status) for request in sei_server.requests]


class TestCreateExport:
    """``create_export``."""

    @pytest.mark.parametrize("family", list(FAMILIES))
    def test_a_new_export_and_a_reused_one_differ(self, hook: SEIHook, sei_server: Any, family: str) -> None:
        """By the status code, 202 or 200."""
        request = REQUEST | {"family": family, "metric_groups": FAMILIES[family].metric_groups[:1]}
        first, second = hook.create_export(**request), hook.create_export(**request)
        assert (first.reused, second.reused) == (False, True)
        assert [export.export_id for export in sei_server.exports] == [first.export_id]

    def test_the_other_spelling_of_a_path_is_tried(self, hook: SEIHook, sei_server: Any, task_log: Any) -> None:
        """The vendor documents ``sprint`` and ``sprints``; the rejected call has created nothing."""
        sei_server.reset(collection_paths="alternate")
        export = hook.create_export(**REQUEST | {"family": "sprint"})
        assert operations(sei_server) == [("unknown", 404), ("create", 202)]
        assert [record.export_id for record in sei_server.exports] == [export.export_id]
        assert "trying v2/insights/sprints/exports" in task_log.text

    @pytest.mark.parametrize(("family", "status"), [("sprint", 400), ("sprint", 403), ("sprint", 409), ("ba", 404)])
    def test_other_errors_are_final(self, hook: SEIHook, sei_server: Any, *, family: str, status: int) -> None:
        """As is a 404 of a family with one path."""
        sei_server.faults.add("create", "answer", status=status, times=None)
        with pytest.raises(exceptions.SEIResponseError):
            hook.create_export(**REQUEST | {"family": family})
        assert len(sei_server.requests) == 1

    def test_an_undocumented_metric_is_sent_with_a_warning(self, hook: SEIHook, sei_server: Any, task_log: Any) -> None:
        """The vendor may have added it since."""
        hook.create_export(**REQUEST, metrics=["PR_MERGD"], aggregation="p90")
        assert "'PR_MERGD', which is not documented" in task_log.text
        assert "PR_MERGED" in task_log.text
        assert task_log.text.count("aggregation has 'p90', which is not documented for productivity exports") == 1
        assert sei_server.exports[0].request["metrics"] == ["PR_MERGD"]
        assert sei_server.exports[0].request["options"] == {"aggregation": "p90"}

    def test_an_ignored_level_is_a_warning(self, hook: SEIHook, sei_server: Any, task_log: Any) -> None:
        """The vendor's documents differ about the level's key. Without a difference, nothing is logged."""
        hook.create_export(**REQUEST, level="team")
        assert "exports by" not in task_log.text
        metadata = {"options": {"metricLevel": "developer"}}
        sei_server.faults.add("create", "fields", changes={"metadata": metadata})
        hook.create_export(**REQUEST | {"team_id": "123"}, level="team")
        assert "the server exports by developer, not by team" in task_log.text

    @pytest.mark.parametrize("status", [200, 403, 404, 503])
    def test_a_hint_that_cannot_be_made_is_omitted(
        self, hook: SEIHook, sei_server: Any, task_log: Any, status: int
    ) -> None:
        """The list call is made once; the error of the request stays the reason."""
        sei_server.faults.add("create", "answer", status=400, body={"message": "no team Plattform"})
        sei_server.faults.add("search_teams", "answer", status=status, times=None, body="no")
        with pytest.raises(
            exceptions.SEIBadRequestError, match=r'no team Plattform".*; correct the request.s arguments$'
        ):
            hook.create_export(**REQUEST | {"team_id": "Plattform"})
        assert operations(sei_server) == [("create", 400), ("search_teams", status)]
        assert "list teams" not in task_log.text

    def test_an_invalid_request_is_never_sent(self, hook: SEIHook, sei_server: Any) -> None:
        """It fails the task without a retry."""
        with pytest.raises(AirflowFailException, match="did you mean 'productivity'"):
            hook.create_export(**REQUEST | {"family": "productivty"})
        with pytest.raises(AirflowFailException, match="is not an export id"):
            hook.get_export("productivity", "../x")
        assert sei_server.requests == []


class TestIterExports:
    """``iter_exports``."""

    @pytest.fixture
    def ids(self, hook: SEIHook) -> list[str]:
        """Five exports, newest first."""
        made = [hook.create_export(**REQUEST | {"team_id": team}) for team in ("456", "123", "789", "6036", "1")]
        return [export.export_id for export in made][::-1]

    @pytest.mark.parametrize("shape", ["bare", "_metadata", "other_key", "always_more", "no_pagination"])
    @pytest.mark.parametrize("limit", [1, 2, 5, 100])
    def test_it_ends_with_every_shape_of_page(
        self, hook: SEIHook, ids: list[str], sei_server: Any, *, shape: str, limit: int
    ) -> None:
        """Each export once."""
        sei_server.faults.add("list", "shape", shape=shape, times=None)
        found = [export.export_id for export in hook.iter_exports("productivity", limit=limit)]
        assert sorted(found) == sorted(ids)

    @pytest.mark.parametrize("about", [None, {}, {"pagination": {"total": 25}}, {"_metadata": {"total_count": 25}}])
    def test_a_short_page_is_not_the_last(self, hook: SEIHook, sei_server: Any, task_log: Any, about: Any) -> None:
        """A server may allow fewer exports per page than requested; what cannot be read is counted in the log."""
        for page in range(4):
            listed = [{"exportId": f"exp_{number}"} for number in range(25)[page * 10 : page * 10 + 10]]
            listed += [{"exportId": None}, 7] if page == 1 else []
            body = listed if about is None else {"exports": listed, **about}
            sei_server.faults.add("list", "answer", status=200, body=body, nth=page + 1)
        assert len(list(hook.iter_exports("ba"))) == 25
        assert "2 records of the list have no usable exportId" in task_log.text

    @pytest.mark.parametrize(
        ("arguments", "expected", "pages"),
        [
            ({}, slice(5), ["0", "1", "2"]),
            ({"page": 1}, slice(2, 5), ["1", "2"]),
            ({"page": "2", "max_exports": 9}, slice(4, 5), ["2"]),
            ({"page": 9}, slice(9, 9), ["9"]),
            ({"max_exports": "3"}, slice(3), ["0", "1"]),
            ({"max_exports": 2}, slice(2), ["0"]),
        ],
    )
    def test_it_begins_and_ends_as_requested(
        self,
        hook: SEIHook,
        ids: list[str],
        sei_server: Any,
        *,
        arguments: dict[str, Any],
        expected: slice,
        pages: list[str],
    ) -> None:
        """At a page, and after a number of exports."""
        sei_server.clock.advance(1)
        everything = [export.export_id for export in hook.iter_exports("productivity")]
        before = len(sei_server.requests)
        found = [export.export_id for export in hook.iter_exports("productivity", limit=2, **arguments)]
        assert set(everything) == set(ids)
        assert found == everything[expected]
        assert [dict(request.query)["page"] for request in sei_server.requests[before:]] == pages
        before = len(sei_server.requests)
        next(hook.iter_exports("productivity", limit=2))
        assert len(sei_server.requests) == before + 1, "pages are read as needed"

    def test_all_filters_reach_the_server(self, hook: SEIHook, sei_server: Any) -> None:
        """In the vendor's spelling."""
        filters: dict[str, Any] = {"status": "completed", "scope": "Mine", "team_id": 456, "created_by": "user_123"}
        filters |= {"date_from": "2024-01-01", "date_to": "2024-02-01", "sort_by": "createdat", "sort_order": "ASC"}
        assert list(hook.iter_exports("ba", **filters)) == []
        identifiers = {("projectIdentifier", sei_server.project), ("orgIdentifier", sei_server.org)}
        assert {*sei_server.requests[0].query} == identifiers | {*list_query(**filters).items()}

    def test_plain_dates_are_tried_after_a_400(self, hook: SEIHook, sei_server: Any, task_log: Any) -> None:
        """The vendor's prose has dates, the OpenAPI document date-times; further pages use what worked."""
        sei_server.faults.add("list", "answer", status=400, body={"message": "dateFrom"})
        page = {"exports": [{"exportId": "exp_1"}], "pagination": {"hasMore": True}}
        sei_server.faults.add("list", "answer", status=200, body=page, nth=2)
        sei_server.faults.add("list", "answer", status=200, body={"exports": []}, nth=3)
        assert len(list(hook.iter_exports("ba", date_from="2024-01-01"))) == 1
        dates = [dict(request.query)["dateFrom"] for request in sei_server.requests]
        assert dates == ["2024-01-01T00:00:00Z", "2024-01-01", "2024-01-01"]
        assert "trying plain dates" in task_log.text
        sei_server.faults.add("list", "answer", status=400, times=None)
        with pytest.raises(exceptions.SEIBadRequestError):
            list(hook.iter_exports("ba"))
        assert len(sei_server.requests) == 4, "without dates there is nothing else to try"

    def test_the_other_spelling_of_a_path_is_listed(self, hook: SEIHook, sei_server: Any) -> None:
        """All pages of a sprint list, on a server that knows ``sprints`` alone."""
        sei_server.reset(collection_paths="alternate")
        for team in ("456", "123", "789"):
            hook.create_export(**REQUEST | {"family": "sprint", "team_id": team})
        before = len(sei_server.requests)
        assert len(list(hook.iter_exports("sprint", limit=1))) == 3
        assert [status for _, status in operations(sei_server)[before:]] == [404, 200, 200, 200]

    @pytest.mark.parametrize(
        ("family", "filters", "words"),
        [
            ("productivty", {}, "did you mean 'productivity'"),
            ("ba", {"status": "complete"}, "did you mean 'COMPLETED'"),
            ("ba", {"max_exports": 0}, "max_exports must be a whole number from 1"),
        ],
    )
    def test_an_invalid_filter_is_rejected_immediately(
        self, hook: SEIHook, sei_server: Any, *, family: str, filters: dict[str, Any], words: str
    ) -> None:
        """Before the first export is requested."""
        with pytest.raises(exceptions.SEIArgumentError, match=words):
            hook.iter_exports(family, **filters)
        assert sei_server.requests == []


class TestListTeams:
    """``list_teams``."""

    def leaves(self, sei_server: Any, tree: str = "Engineering") -> list[tuple[str, str]]:
        """Return the ids and names of a tree's leaf teams, as the server knows them."""
        return sorted(
            (str(team.ref_id), team.name) for team in sei_server.organisation.trees_by_name[tree].root.leaves()
        )

    def found(self, hook: SEIHook, tree: str | None = "Engineering") -> list[tuple[str, str]]:
        """Return the same, as the hook finds them."""
        return sorted((team.team_id, team.name) for team in hook.list_teams(tree))

    @pytest.mark.sei_server(leaf_teams=120)
    def test_the_search_returns_a_whole_tree(self, hook: SEIHook, sei_server: Any) -> None:
        """Page by page; without a tree, all teams of every tree."""
        assert self.found(hook) == self.leaves(sei_server)
        assert self.found(hook, None) == sorted(self.leaves(sei_server) + self.leaves(sei_server, "Support"))
        assert {operation for operation, _ in operations(sei_server)} == {"search_teams"}

    @pytest.mark.parametrize("about", [{}, {"totalItems": 25}, {"totalCount": 25}])
    def test_a_short_page_is_not_the_last(self, hook: SEIHook, sei_server: Any, task_log: Any, about: Any) -> None:
        """A server may allow fewer teams per page than requested; what cannot be read is counted in the log."""
        for page in range(4):
            listed = [{"refId": number, "leaf": True} for number in range(25)[page * 10 : page * 10 + 10]]
            listed += [{"name": "x", "children": [{"leaf": True}]}, 7] if page == 1 else []
            sei_server.faults.add("search_teams", "answer", status=200, body={"items": listed, **about}, nth=page + 1)
        assert len(hook.list_teams()) == 25
        assert "3 records of the list of teams have no usable refId" in task_log.text

    @pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
    @pytest.mark.parametrize("shape", [None, "bare", "records"])
    def test_the_tree_is_read_if_there_is_no_search(
        self, hook: SEIHook, sei_server: Any, *, status: int, shape: str | None
    ) -> None:
        """Found by its name; as nested teams or as a flat list."""
        sei_server.faults.add("search_teams", "answer", status=status, times=None)
        if shape:
            sei_server.faults.add("org_tree_teams", "shape", shape=shape, times=None)
        assert self.found(hook) == self.leaves(sei_server)
        assert [operation for operation, _ in operations(sei_server)][-2:] == ["search_org_trees", "org_tree_teams"]

    @pytest.mark.parametrize(
        ("tree", "status", "kind"),
        [("Engineering", 401, exceptions.SEIAuthError), (None, 404, exceptions.SEINotFoundError)],
    )
    def test_the_tree_is_not_read_in_vain(
        self, hook: SEIHook, sei_server: Any, *, tree: str | None, status: int, kind: type[Exception]
    ) -> None:
        """A wrong key is as wrong for the other endpoints, and they need a tree."""
        sei_server.faults.add("search_teams", "answer", status=status, times=None)
        with pytest.raises(kind):
            hook.list_teams(tree)
        assert len(sei_server.requests) == 1


class TestWaitForExport:
    """``wait_for_export``, which occupies a worker."""

    @pytest.fixture
    def plan(self, hook: SEIHook, sei_server: Any, worker_clock: Any) -> WaitPlan:
        """Ten minutes of waiting for an export that takes two."""
        sei_server.reset(clock_speed=0.0, seconds_to_complete=120.0, queued_seconds=10.0)
        export = hook.create_export(**REQUEST)
        now = worker_clock.now = sei_server.clock()
        return WaitPlan(family="productivity", export_id=export.export_id, started_at=now, deadline=now + 600)

    def test_it_returns_the_completed_export(
        self, hook: SEIHook, plan: WaitPlan, worker_clock: Any, task_log: Any
    ) -> None:
        """Soon after it has completed, by a schedule that grows; it logs changes, not every poll."""
        outcome = hook.wait_for_export(plan)
        assert outcome.export is not None
        assert outcome.export.status.value == "completed"
        assert 120 <= sum(worker_clock.pauses) <= 140
        assert min(worker_clock.pauses) >= 4.5
        lines = [line.split(f"{plan.export_id}: ")[1] for line in task_log.messages if f"{plan.export_id}: " in line]
        assert [line.split(" ")[0] for line in lines] == ["queued", "processing", "completed"]

    def test_retry_after_does_not_extend_the_deadline(
        self, hook: SEIHook, plan: WaitPlan, sei_server: Any, worker_clock: Any
    ) -> None:
        """The error has the last status and the last error."""
        sei_server.faults.add("status", "answer", status=503, retry_after=290, times=None, nth=2)
        outcome = hook.wait_for_export(plan)
        assert isinstance(outcome.error, exceptions.SEIExportTimeoutError)
        assert "still 'queued'" in str(outcome.error)
        assert "503" in str(outcome.error)
        assert worker_clock.now == pytest.approx(plan.deadline, rel=0, abs=1)

    def test_an_export_that_cannot_complete_ends_it(self, hook: SEIHook, plan: WaitPlan, sei_server: Any) -> None:
        """With the server's reason; a lasting 404 after a good response is an error of its own."""
        sei_server.faults.add("status", "answer", status=404, times=None, nth=3)
        outcome = hook.wait_for_export(plan)
        assert isinstance(outcome.error, exceptions.SEIExportNotFoundError)
        assert outcome.error.status_code == 404
        sei_server.faults.clear()
        sei_server.end_export(plan.export_id, "failed", "Invalid teamId")
        outcome = hook.wait_for_export(plan)
        assert isinstance(outcome.error, exceptions.SEIExportFailedError)
        assert outcome.error.vendor_message == "Invalid teamId"

    @pytest.mark.parametrize("status", [401, 403, 404, 408, 425])
    def test_a_passing_error_is_tolerated(self, hook: SEIHook, plan: WaitPlan, sei_server: Any, status: int) -> None:
        """A replica may lag behind, a gateway may restart."""
        sei_server.faults.add("status", "answer", status=status, times=2, nth=3)
        assert hook.wait_for_export(plan).error is None


def test_transient_errors_are_retried(hook: SEIHook, sei_server: Any, worker_clock: Any) -> None:
    """Unless the caller polls anyway; ``get_conn`` returns the transport that makes the calls."""
    export_id = hook.create_export(**REQUEST).export_id
    sei_server.faults.add("status", "answer", status=503)
    assert hook.get_export("productivity", export_id).export_id == export_id
    assert len(worker_clock.pauses) == 1
    assert hook.get_conn().run(status_call(FAMILIES["productivity"], export_id)).export_id == export_id
    sei_server.faults.add("status", "answer", status=503)
    with pytest.raises(exceptions.SEIServerError) as caught:
        hook.get_export("productivity", export_id, retry=False)
    assert caught.value.retryable
