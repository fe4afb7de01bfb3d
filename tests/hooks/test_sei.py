"""The hook's calls against the local SEI server."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_sei import exceptions
from airflow_provider_sei.hooks.sei import SEIHook
from airflow_provider_sei.protocol.exports import status_call
from airflow_provider_sei.protocol.families import FAMILIES
from airflow_provider_sei.protocol.waiting import WaitPlan

JANUARY = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
REQUEST = {"family": "productivity", "team_id": "456", **JANUARY}


def operations(sei_server: Any) -> list[tuple[str, int | None]]:
    """Return what the server was asked and how it answered."""
    return [(request.operation, request.status) for request in sei_server.requests]


class TestCreateExport:
    """``create_export``."""

    @pytest.mark.parametrize("family", list(FAMILIES))
    def test_a_new_export_is_not_a_reused_one(self, hook: SEIHook, sei_server: Any, family: str) -> None:
        """202 and 200 are told apart by the status code."""
        request = REQUEST | {"family": family, "metric_groups": FAMILIES[family].metric_groups[:1]}
        first, second = hook.create_export(**request), hook.create_export(**request)
        assert (first.reused, second.reused) == (False, True)
        assert [export.export_id for export in sei_server.exports] == [first.export_id]

    def test_its_transport_is_at_hand(self, hook: SEIHook, sei_server: Any) -> None:
        """``get_conn`` gives what makes the hook's calls."""
        call = status_call(FAMILIES["productivity"], hook.create_export(**REQUEST).export_id)
        assert hook.get_conn().run(call).export_id == sei_server.exports[0].export_id

    def test_the_message_decides_nothing(self, hook: SEIHook, sei_server: Any) -> None:
        """Its words change, the status code does not."""
        sei_server.faults.add("create", "fields", changes={"message": "Using existing export of Jane Smith"})
        assert hook.create_export(**REQUEST).reused is False

    def test_the_other_spelling_of_a_path_is_tried(self, hook: SEIHook, sei_server: Any, task_log: Any) -> None:
        """The vendor writes ``sprint`` here and ``sprints`` there; nothing was created by the refused call."""
        sei_server.reset(collection_paths="alternate")
        export = hook.create_export(**REQUEST | {"family": "sprint"})
        assert operations(sei_server) == [("unknown", 404), ("create", 202)]
        assert [record.export_id for record in sei_server.exports] == [export.export_id]
        assert "trying v2/insights/sprints/exports" in task_log.text

    def test_a_wrong_method_counts_as_a_wrong_path(self, hook: SEIHook, sei_server: Any) -> None:
        """Some gateways answer 405 where others answer 404."""
        sei_server.faults.add("create", "answer", status=405)
        hook.create_export(**REQUEST | {"family": "sprint"})
        assert operations(sei_server) == [("create", 405), ("create", 202)]
        assert sei_server.requests[1].path.endswith("/sprints/exports")

    @pytest.mark.parametrize("status", [400, 403, 409])
    def test_other_refusals_are_final(self, hook: SEIHook, sei_server: Any, status: int) -> None:
        """They would be the same at the other path."""
        sei_server.faults.add("create", "answer", status=status, times=None)
        with pytest.raises(exceptions.SEIResponseError):
            hook.create_export(**REQUEST | {"family": "sprint"})
        assert len(sei_server.requests) == 1

    def test_a_family_with_one_spelling_has_no_second_try(self, hook: SEIHook, sei_server: Any) -> None:
        """Its 404 is final."""
        sei_server.faults.add("create", "answer", status=404)
        with pytest.raises(exceptions.SEINotFoundError):
            hook.create_export(**REQUEST)
        assert len(sei_server.requests) == 1

    def test_what_the_documents_do_not_know_is_sent_and_told(
        self, hook: SEIHook, sei_server: Any, task_log: Any
    ) -> None:
        """The vendor may have added it since."""
        hook.create_export(**REQUEST, metrics=["PR_MERGD"])
        assert "'PR_MERGD', which is not documented" in task_log.text
        assert "PR_MERGED" in task_log.text
        assert sei_server.exports[0].request["metrics"] == ["PR_MERGD"]

    def test_a_level_that_the_server_does_not_read_is_told(self, hook: SEIHook, sei_server: Any, task_log: Any) -> None:
        """The documents differ about the key that it travels under."""
        answer = {"options": {"metricLevel": "developer"}}
        sei_server.faults.add("create", "fields", changes={"metadata": answer})
        hook.create_export(**REQUEST, level="team")
        assert "the server exports by developer, not by team as asked: set level_key" in task_log.text

    def test_a_level_that_is_kept_is_not_worth_a_line(self, hook: SEIHook, task_log: Any) -> None:
        """Only differences are told."""
        hook.create_export(**REQUEST, level="team")
        assert "exports by" not in task_log.text

    def test_a_refused_request_is_never_sent(self, hook: SEIHook, sei_server: Any) -> None:
        """It ends the task without a retry."""
        with pytest.raises(AirflowFailException, match="did you mean 'productivity'"):
            hook.create_export(**REQUEST | {"family": "productivty"})
        assert sei_server.requests == []


class TestIterExports:
    """``iter_exports``."""

    @pytest.fixture
    def ids(self, hook: SEIHook) -> list[str]:
        """Five exports, newest first."""
        made = [hook.create_export(**REQUEST | {"team_id": team}) for team in ("456", "123", "789", "6036", "1")]
        return [export.export_id for export in made][::-1]

    def test_all_pages_are_walked(self, hook: SEIHook, ids: list[str], sei_server: Any) -> None:
        """From page 0 on, until the server says that there are no more."""
        found = [export.export_id for export in hook.iter_exports("productivity", limit=2)]
        assert sorted(found) == sorted(ids)
        pages = [dict(request.query)["page"] for request in sei_server.requests if request.operation == "list"]
        assert pages == ["0", "1", "2"]

    @pytest.mark.parametrize("shape", ["bare", "_metadata", "other_key", "repeating", "always_more", "no_pagination"])
    @pytest.mark.parametrize("limit", [1, 2, 5, 100])
    def test_every_shape_is_walked_and_ends(
        self, hook: SEIHook, ids: list[str], sei_server: Any, *, shape: str, limit: int
    ) -> None:
        """Each export once; a server that repeats its first page can show no more than that."""
        sei_server.faults.add("list", "shape", shape=shape, times=None)
        found = [export.export_id for export in hook.iter_exports("productivity", limit=limit)]
        assert len(found) == len(set(found)) == (min(limit, 5) if shape == "repeating" else 5)
        assert set(found) <= set(ids)

    def test_an_endless_list_is_bounded(self, hook: SEIHook, sei_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Even one whose every page is new."""
        monkeypatch.setattr("airflow_provider_sei.protocol.listing.MAX_PAGES", 3)
        sei_server.faults.add("list", "shape", shape="endless", times=None)
        assert len(list(hook.iter_exports("productivity", limit=10))) == 30

    def test_pages_are_asked_for_as_they_are_needed(self, hook: SEIHook, ids: list[str], sei_server: Any) -> None:
        """The first exports cost one call."""
        assert next(hook.iter_exports("productivity", limit=2)).export_id in ids
        assert [operation for operation, _ in operations(sei_server)].count("list") == 1

    def test_all_filters_reach_the_server(self, hook: SEIHook, sei_server: Any) -> None:
        """In the vendor's words and case."""
        filters = {
            "status": "completed",
            "scope": "Mine",
            "team_id": 456,
            "created_by": "user_123",
            "date_from": "2024-01-01",
            "date_to": "2024-02-01",
            "sort_by": "createdat",
            "sort_order": "ASC",
        }
        assert list(hook.iter_exports("ba", limit=1000, **filters)) == []
        query = dict(sei_server.requests[0].query)
        identifiers = {query.pop("projectIdentifier"), query.pop("orgIdentifier")}
        assert identifiers == {sei_server.project, sei_server.org}
        assert query == {
            "status": "COMPLETED",
            "scope": "mine",
            "teamId": "456",
            "createdBy": "user_123",
            "dateFrom": "2024-01-01T00:00:00Z",
            "dateTo": "2024-02-01T00:00:00Z",
            "limit": "100",
            "page": "0",
            "sortBy": "createdAt",
            "sortOrder": "asc",
        }

    def test_plain_dates_are_tried_after_a_refusal(self, hook: SEIHook, sei_server: Any, task_log: Any) -> None:
        """The prose speaks of dates, the OpenAPI document of date-times; later pages know which."""
        sei_server.faults.add("list", "answer", status=400, body={"message": "dateFrom"})
        page = {"exports": [{"exportId": "exp_1"}], "pagination": {"hasMore": True}}
        sei_server.faults.add("list", "answer", status=200, body=page, nth=2)
        sei_server.faults.add("list", "answer", status=200, body={"exports": []}, nth=3)
        assert len(list(hook.iter_exports("ba", date_from="2024-01-01"))) == 1
        dates = [dict(request.query)["dateFrom"] for request in sei_server.requests]
        assert dates == ["2024-01-01T00:00:00Z", "2024-01-01", "2024-01-01"]
        assert "trying plain dates" in task_log.text

    def test_a_refusal_without_dates_is_final(self, hook: SEIHook, sei_server: Any) -> None:
        """There is nothing to write in another way."""
        sei_server.faults.add("list", "answer", status=400, times=None)
        with pytest.raises(exceptions.SEIBadRequestError):
            list(hook.iter_exports("ba"))
        assert len(sei_server.requests) == 1

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
            ("ba", {"date_from": "2024-1-1"}, "date_from '2024-1-1' is not a day"),
            ("ba", {"sort_order": "up"}, "sort_order 'up' is not one of asc, desc"),
        ],
    )
    def test_a_wrong_filter_is_refused_at_once(
        self, hook: SEIHook, sei_server: Any, *, family: str, filters: dict[str, Any], words: str
    ) -> None:
        """Before the first export is asked for."""
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
    def test_the_search_answers_page_by_page(self, hook: SEIHook, sei_server: Any) -> None:
        """One paged call serves a whole tree."""
        assert self.found(hook) == self.leaves(sei_server)
        assert {operation for operation, _ in operations(sei_server)} == {"search_teams"}

    def test_without_a_tree_all_teams_come(self, hook: SEIHook, sei_server: Any) -> None:
        """Of every tree."""
        both = self.leaves(sei_server) + self.leaves(sei_server, "Support")
        assert self.found(hook, None) == sorted(both)

    @pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
    @pytest.mark.parametrize("shape", [None, "bare", "records"])
    def test_the_tree_answers_where_the_search_does_not(
        self, hook: SEIHook, sei_server: Any, *, status: int, shape: str | None
    ) -> None:
        """Found by its name; as nested teams or as a flat list."""
        sei_server.faults.add("search_teams", "answer", status=status, times=None)
        if shape:
            sei_server.faults.add("org_tree_teams", "shape", shape=shape, times=None)
        assert self.found(hook) == self.leaves(sei_server)
        assert [operation for operation, _ in operations(sei_server)][-2:] == ["search_org_trees", "org_tree_teams"]

    def test_a_tree_that_does_not_exist_is_named_with_those_that_do(self, hook: SEIHook, sei_server: Any) -> None:
        """So that a slip of the pen shows."""
        sei_server.faults.add("search_teams", "answer", status=404, times=None)
        with pytest.raises(exceptions.SEINotFoundError, match="called 'Enginering'; found: Engineering, Support"):
            hook.list_teams("Enginering")

    def test_a_wrong_key_is_not_tried_elsewhere(self, hook: SEIHook, sei_server: Any) -> None:
        """It is as wrong there."""
        sei_server.reset(api_key="another")
        with pytest.raises(exceptions.SEIAuthError):
            hook.list_teams("Engineering")
        assert len(sei_server.requests) == 1

    def test_without_a_tree_there_is_no_other_endpoint(self, hook: SEIHook, sei_server: Any) -> None:
        """The others ask for one."""
        sei_server.faults.add("search_teams", "answer", status=404, times=None)
        with pytest.raises(exceptions.SEINotFoundError):
            hook.list_teams()

    def test_a_repeating_server_is_an_error(self, hook: SEIHook, sei_server: Any) -> None:
        """A page that brings nothing new, and is not the last one: a part of the teams must not pass for all."""
        page = {"items": [{"refId": 1, "name": "One", "leaf": True}], "hasNext": True}
        sei_server.faults.add("search_teams", "answer", status=200, body=page, times=None)
        with pytest.raises(
            exceptions.SEIUnexpectedResponseError, match=r"list teams to the end: .* but repeats a page"
        ):
            hook.list_teams("Engineering")
        assert len(sei_server.requests) == 2


class TestWaitForExport:
    """``wait_for_export``, which holds the worker."""

    @pytest.fixture
    def plan(self, hook: SEIHook, sei_server: Any, worker_clock: Any) -> WaitPlan:
        """Ten minutes of waiting for an export that takes two."""
        sei_server.reset(clock_speed=0.0, seconds_to_complete=120.0, queued_seconds=10.0)
        export = hook.create_export(**REQUEST)
        now = worker_clock.now = sei_server.clock()
        return WaitPlan(family="productivity", export_id=export.export_id, started_at=now, deadline=now + 600)

    def test_it_returns_the_completed_export(self, hook: SEIHook, plan: WaitPlan, worker_clock: Any) -> None:
        """Soon after it has completed, by a schedule that grows."""
        outcome = hook.wait_for_export(plan)
        assert outcome.export is not None
        assert outcome.export.status.value == "completed"
        assert 120 <= sum(worker_clock.pauses) <= 140
        assert min(worker_clock.pauses) >= 4.5

    def test_it_tells_changes_only(self, hook: SEIHook, plan: WaitPlan, task_log: Any) -> None:
        """Not every look."""
        hook.wait_for_export(plan)
        lines = [line for line in task_log.messages if f"export {plan.export_id} is " in line]
        assert [line.split(" is ")[1].split(" after ")[0] for line in lines] == ["queued", "processing", "completed"]

    def test_the_deadline_is_kept_though_the_server_asks_for_patience(
        self, hook: SEIHook, plan: WaitPlan, sei_server: Any, worker_clock: Any
    ) -> None:
        """``Retry-After`` is no way around it, and the last state is told."""
        sei_server.faults.add("status", "answer", status=503, retry_after=290, times=None, nth=2)
        outcome = hook.wait_for_export(plan)
        assert isinstance(outcome.error, exceptions.errors.SEIExportTimeoutError)
        assert "still 'queued'" in str(outcome.error)
        assert "503" in str(outcome.error)
        assert worker_clock.now == pytest.approx(plan.deadline, rel=0, abs=1)

    def test_a_dead_export_ends_it(self, hook: SEIHook, plan: WaitPlan, sei_server: Any) -> None:
        """With the server's reason."""
        sei_server.end_export(plan.export_id, "failed", "Invalid teamId")
        outcome = hook.wait_for_export(plan)
        assert isinstance(outcome.error, exceptions.errors.SEIExportFailedError)
        assert outcome.error.vendor_message == "Invalid teamId"

    def test_a_vanished_export_is_an_error_of_its_own(self, hook: SEIHook, plan: WaitPlan, sei_server: Any) -> None:
        """A 404 after a good answer, once it has lasted."""
        sei_server.faults.add("status", "answer", status=404, times=None, nth=3)
        outcome = hook.wait_for_export(plan)
        assert isinstance(outcome.error, exceptions.errors.SEIExportNotFoundError)
        assert outcome.error.status_code == 404

    def test_a_short_absence_is_borne(self, hook: SEIHook, plan: WaitPlan, sei_server: Any) -> None:
        """A replica may lag behind."""
        sei_server.faults.add("status", "answer", status=404, times=2)
        outcome = hook.wait_for_export(plan)
        assert outcome.error is None


class TestGetExport:
    """``get_export``."""

    def test_trouble_is_borne(self, hook: SEIHook, sei_server: Any, worker_clock: Any) -> None:
        """By trying again, unless the caller looks again anyway."""
        export_id = hook.create_export(**REQUEST).export_id
        sei_server.faults.add("status", "answer", status=503)
        assert hook.get_export("productivity", export_id).export_id == export_id
        assert len(worker_clock.pauses) == 1
        sei_server.faults.add("status", "answer", status=503)
        with pytest.raises(exceptions.SEIServerError) as caught:
            hook.get_export("productivity", export_id, retry=False)
        assert isinstance(caught.value, AirflowException)
        assert not isinstance(caught.value, AirflowFailException)

    @pytest.mark.parametrize("export_id", ["", "a/b", "../x", "a?b", "a b", "a\nb", "%2e", "x" * 300])
    def test_what_cannot_be_an_id_is_not_asked_for(self, hook: SEIHook, sei_server: Any, export_id: str) -> None:
        """It would change the meaning of the address."""
        with pytest.raises(exceptions.SEIArgumentError, match="is not an export id"):
            hook.get_export("productivity", export_id)
        assert sei_server.requests == []

    def test_another_exports_state_is_no_answer(self, hook: SEIHook, sei_server: Any) -> None:
        """A server that mixes exports up is not believed."""
        export_id = hook.create_export(**REQUEST).export_id
        sei_server.faults.add("status", "fields", changes={"exportId": "exp_other"})
        with pytest.raises(exceptions.SEIUnexpectedResponseError, match="answered for another export, exp_other"):
            hook.get_export("productivity", export_id)
