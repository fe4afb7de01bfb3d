"""``SEIListTeamsOperator``."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import SEIListTeamsOperator

List = Callable[..., tuple[list[str], list[dict[str, Any]]]]


@pytest.fixture
def listed(sei_connection: str, worker_clock: Any) -> List:
    """Run the operator; return its result and the XCom with the names."""
    assert worker_clock.pauses == []

    def run(**arguments: Any) -> tuple[list[str], list[dict[str, Any]]]:
        pushed: dict[str, Any] = {}
        ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
        result = SEIListTeamsOperator(task_id="t", sei_conn_id=sei_connection, **arguments).execute({"ti": ti})
        return result, pushed["teams"]

    return run


class TestResult:
    """What the task returns."""

    def test_ids_and_names_are_in_one_order(self, listed: List, sei_server: Any) -> None:
        """The server's, which a mapped task's indexes follow."""
        ids, teams = listed(org_tree_name="Engineering")
        leaves = list(sei_server.organisation.trees_by_name["Engineering"].root.leaves())
        assert ids == [str(team.ref_id) for team in leaves]
        assert teams == [
            {"team_id": str(team.ref_id), "name": team.name, "org_tree_name": "Engineering"} for team in leaves
        ]

    def test_without_a_tree_all_teams_come(self, listed: List) -> None:
        """An empty text, as templates render nothing, is no tree."""
        everything = listed()
        assert {team["org_tree_name"] for team in everything[1]} == {"Engineering", "Support"}
        assert listed(org_tree_name="") == everything

    def test_patterns_choose(self, listed: List) -> None:
        """One, or a list, by name or id; a comma belongs to the name."""
        assert listed(include=["tier ?", "456"])[0] == ["456", *listed(org_tree_name="Support")[0]]
        assert listed(include='Search, "Ranking" & Feeds')[0] == ["123"]
        assert len(listed(org_tree_name="Engineering", exclude="['Platform', '123']")[0]) == 5

    @pytest.mark.sei_server(leaf_teams=120)
    def test_there_is_a_pause_between_pages(self, listed: List, worker_clock: Any, sei_server: Any) -> None:
        """The vendor asks for one; none before the first call and none after the last."""
        listed(org_tree_name="Engineering")
        assert len(sei_server.requests) == 3
        assert worker_clock.pauses == [0.2, 0.2]


class TestTrouble:
    """What fails, and whether a retry can help."""

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"include": "Plattform"}, "include pattern 'Plattform' matches none of 7 teams: did you mean 'Platform'"),
            ({"include": ["P*", "Zoo*"]}, r"pattern 'Zoo\*' matches none of 7 teams: 'Platform', 'Search, "),
            ({"exclude": "*"}, r"no team is left: exclude \['\*'\] leaves out all of 'Platform', "),
            ({"org_tree_name": "Enginering"}, "no leaf team in an organisation tree called 'Enginering'"),
        ],
    )
    def test_nothing_to_export_is_a_mistake(self, listed: List, *, arguments: dict[str, Any], words: str) -> None:
        """A retry would find the same."""
        with pytest.raises(exceptions.SEIArgumentError, match=words) as caught:
            listed(**{"org_tree_name": "Engineering", **arguments})
        assert isinstance(caught.value, AirflowFailException)

    def test_an_organisation_without_teams_is_said_to_be_so(self, listed: List, sei_server: Any) -> None:
        """It may be the key."""
        sei_server.faults.add("search_teams", "answer", status=200, body={"items": []}, times=None)
        with pytest.raises(exceptions.SEIArgumentError, match="SEI lists no leaf team: the API key may not see any"):
            listed()

    def test_an_exclusion_of_nobody_warns(self, listed: List, task_log: Any) -> None:
        """The team may be gone for good."""
        assert len(listed(org_tree_name="Engineering", exclude="Gone*")[0]) == 7
        assert "exclude pattern 'Gone*' matches none of 7 teams" in task_log.text

    def test_more_than_airflow_maps_over_is_refused_with_the_remedy(
        self, listed: List, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exactly as many are still fine."""
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "7")
        assert len(listed(org_tree_name="Engineering")[0]) == 7
        monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "6")
        words = "7 teams are more than the 6 that Airflow maps over: narrow them .*AIRFLOW__CORE__MAX_MAP_LENGTH"
        with pytest.raises(exceptions.SEIArgumentError, match=words):
            listed(org_tree_name="Engineering")

    def test_the_servers_trouble_is_left_to_retries(self, listed: List, sei_server: Any) -> None:
        """A wrong key is not."""
        sei_server.faults.add("search_teams", "answer", status=503, times=None)
        with pytest.raises(exceptions.SEIServerError) as caught:
            listed()
        assert isinstance(caught.value, AirflowException)
        assert not isinstance(caught.value, AirflowFailException)
        sei_server.reset(api_key="another")
        with pytest.raises(exceptions.SEIAuthError):
            listed()
