"""Faults: which calls they befall, what these calls get instead, and how exports end."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_sei.local_server.fault_table import EFFECTS, OPERATIONS
from airflow_provider_sei.local_server.running import RunningServer


class TestWhom:
    """Which calls a fault befalls."""

    def test_a_fault_befalls_one_call_by_default(self, api: Any, server: RunningServer) -> None:
        """The next call is well again."""
        server.faults.add("list", "answer", status=503)
        assert [api.list().status_code for _ in range(2)] == [503, 200]

    def test_nth_and_times_choose_among_the_matching_calls(self, api: Any, server: RunningServer) -> None:
        """The second and third of them."""
        server.faults.add("list", "answer", nth=2, times=2)
        assert [api.list().status_code for _ in range(4)] == [200, 500, 500, 200]

    def test_a_fault_can_be_about_one_family_or_one_export(self, api: Any, server: RunningServer) -> None:
        """All other calls go on."""
        server.faults.add("any", "answer", family="ba", times=None)
        one, other = api.created(), api.created(scope={"teamId": "123"})
        server.faults.add("status", "answer", export_id=other)
        assert api.create("ba").status_code == 500
        assert api.status(one).status_code == 200
        assert api.status(other).status_code == 500

    def test_refused_callers_use_up_no_fault(self, api: Any, server: RunningServer) -> None:
        """A call with a wrong key is not counted."""
        server.faults.add("list", "answer")
        requests.get(f"{server.base_url}/v2/insights/ba/exports", timeout=10)
        assert api.list().status_code == 500

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (("status", "anwser"), "did you mean 'answer'"),
            (("download", "outcome"), "create"),
            (("statsu", "answer"), "status"),
        ],
    )
    def test_a_misspelt_fault_is_refused(self, server: RunningServer, arguments: tuple[str, str], word: str) -> None:
        """The message says what is known."""
        with pytest.raises(ValueError, match=word):
            server.faults.add(*arguments)

    def test_an_unknown_parameter_is_refused(self, server: RunningServer) -> None:
        """A fault that would do nothing is no fault."""
        with pytest.raises(ValueError, match="after_bytes"):
            server.faults.add("download", "cut", bytes=3)

    @pytest.mark.parametrize(
        ("choice", "word"),
        [({"family": "sprintt"}, "did you mean 'sprint'"), ({"nth": 0}, "nth=0"), ({"times": 0}, "times=0")],
    )
    def test_a_fault_that_would_meet_no_call_is_refused(
        self, server: RunningServer, choice: dict[str, Any], word: str
    ) -> None:
        """A misspelt family, or a count below one."""
        with pytest.raises(ValueError, match=word):
            server.faults.add("status", "answer", **choice)

    @pytest.mark.parametrize("effect", list(EFFECTS))
    def test_every_effect_names_calls_that_exist(self, effect: str) -> None:
        """The table refers to operations of the API."""
        assert set(EFFECTS[effect].operations) <= set(OPERATIONS)


class TestInstead:
    """Answers in place of the API's."""

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 429, 500, 502, 503, 504])
    def test_any_status_comes_in_the_vendors_shape(self, api: Any, server: RunningServer, status: int) -> None:
        """Without a body of its own a fault answers as the endpoint would."""
        server.faults.add("create", "answer", status=status)
        answer = api.create()
        assert answer.status_code == answer.json()["status"] == status
        assert server.exports == []

    @pytest.mark.parametrize(
        ("parameters", "content_type", "start"),
        [
            ({"body": "upstream down"}, "text/plain", "upstream"),
            ({"body": {"code": 1}}, "application/json", '{"code"'),
            ({"kind": "html"}, "text/html", "<!DOCTYPE html>"),
            ({"body": "<html>", "content_type": "text/csv"}, "text/csv", "<html>"),
        ],
    )
    def test_bodies_are_text_json_or_html(
        self, api: Any, server: RunningServer, parameters: dict[str, Any], content_type: str, start: str
    ) -> None:
        """Also with 200, in place of a file."""
        export_id = api.finished()
        server.faults.add("download", "answer", status=200, **parameters)
        answer = api.download(export_id)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(content_type)
        assert answer.text.startswith(start)

    @pytest.mark.parametrize("value", [7, "Wed, 21 Oct 2026 07:28:00 GMT"])
    def test_retry_after_is_seconds_or_a_date(self, api: Any, server: RunningServer, value: object) -> None:
        """Both forms are sent as given."""
        server.faults.add("list", "answer", status=429, retry_after=value)
        assert api.list().headers["Retry-After"] == str(value)

    def test_a_redirect_leads_elsewhere_or_back(self, api: Any, server: RunningServer) -> None:
        """Without a target it is the same address."""
        export_id = api.finished()
        server.faults.add("download", "redirect", to="https://files.example/x", status=307)
        server.faults.add("download", "redirect", nth=2)
        away, back = api.download(export_id), api.download(export_id)
        assert (away.status_code, away.headers["Location"]) == (307, "https://files.example/x")
        assert api.session.get(back.headers["Location"], timeout=10).content == server.exports[0].csv

    def test_a_closed_connection_has_no_answer(self, api: Any, server: RunningServer) -> None:
        """Nothing was done."""
        server.faults.add("create", "close")
        with pytest.raises(requests.ConnectionError):
            api.create()
        assert server.exports == []
        assert server.requests[-1].status is None

    def test_a_connection_can_close_after_the_work(self, api: Any, server: RunningServer) -> None:
        """The export exists, and the repeated request gets it."""
        server.faults.add("create", "close", after_work=True)
        with pytest.raises(requests.ConnectionError):
            api.create()
        assert api.create().status_code == 200
        assert [record.requested for record in server.exports] == [2]

    def test_a_delay_comes_before_the_work(self, api: Any, server: RunningServer) -> None:
        """A client that gives up first has created nothing."""
        server.faults.add("create", "delay", seconds=60)
        with pytest.raises(requests.ReadTimeout):
            api.session.post(
                f"{server.base_url}/v2/insights/ba/exports", params=api.identifiers, json=api.body(), timeout=(10, 0.05)
            )
        assert server.exports == []


class TestOutcome:
    """How exports end."""

    @pytest.mark.parametrize("error", ["Out of memory", {"code": "E1", "message": "m"}, ["odd"], None])
    def test_an_export_fails_with_any_kind_of_error(self, api: Any, server: RunningServer, error: Any) -> None:
        """Text, an object, something else, or nothing at all."""
        server.faults.add("create", "outcome", status="failed", error=error)
        answer = api.status(api.finished("ba"), "ba").json()
        assert answer["status"] == "FAILED"
        assert answer.get("error") == error

    def test_an_export_can_be_cancelled_while_it_is_waited_for(self, api: Any, server: RunningServer) -> None:
        """As somebody would in the vendor's UI."""
        export_id = api.finished()
        server.end_export(export_id, "cancelled")
        answer = api.status(export_id).json()
        assert answer["status"] == "cancelled"
        assert {"cancelledAt", "cancelledBy"} <= set(answer)

    def test_an_export_can_vanish(self, api: Any, server: RunningServer) -> None:
        """Known first, then 404, in no list, and made anew when asked for again."""
        server.faults.add("create", "outcome", vanishes_after_seconds=2)
        export_id = api.created()
        assert api.status(export_id).status_code == 200
        server.clock.advance(2)
        assert api.status(export_id).status_code == 404
        assert api.list().json()["exports"] == []
        assert api.create().status_code == 202

    def test_an_export_can_go_on_for_ever(self, api: Any, server: RunningServer) -> None:
        """It stays in processing."""
        server.faults.add("create", "outcome", never=True)
        export_id = api.created()
        server.clock.advance(10_000_000)
        assert api.status(export_id).json()["status"] == "processing"

    def test_an_export_can_end_in_a_word_nobody_knows(self, api: Any, server: RunningServer) -> None:
        """There is nothing to download then."""
        server.faults.add("create", "outcome", status="archived")
        export_id = api.finished()
        assert api.status(export_id).json()["status"] == "archived"
        assert api.download(export_id).status_code == 404

    def test_a_status_can_go_backwards(self, api: Any, server: RunningServer) -> None:
        """One answer says queued again."""
        export_id = api.finished()
        server.faults.add("status", "status_word", word="queued", nth=2)
        assert [api.status(export_id).json()["status"] for _ in range(3)] == ["completed", "queued", "completed"]

    def test_one_export_can_have_a_size_of_its_own(self, api: Any, server: RunningServer) -> None:
        """Other exports keep theirs."""
        server.faults.add("create", "outcome", file_bytes=200_000)
        large, small = api.finished(), api.finished(scope={"teamId": "123"})
        assert len(api.download(large).content) == 200_000
        assert len(api.download(small).content) < 100_000
