"""Teams, from three endpoints in several shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_sei.exceptions import (
    SEIArgumentError,
    SEINotFoundError,
    SEIResponseError,
    SEIUnexpectedResponseError,
)
from airflow_provider_sei.protocol.http import HttpResponse
from airflow_provider_sei.protocol.teams import (
    MAX_PAGES,
    PAGE_SIZE,
    Team,
    leaf_teams,
    org_tree_id,
    org_tree_teams_call,
    org_trees_page_call,
    select_teams,
    teams_page_call,
    without_match,
)
from tests.protocol.strategies import ANYTHING, json_values, responses, texts


def answer(value: Any) -> HttpResponse:
    """Return a successful answer with a JSON body."""
    return HttpResponse(200, {}, json.dumps(value).encode())


TREE = {
    "refId": 1,
    "name": "Engineering",
    "leaf": False,
    "children": [
        {"refId": 2, "name": "Platform", "leaf": False, "children": [{"refId": 4, "name": "Build", "leaf": True}]},
        {"refId": 3, "name": "Apps", "leaf": True, "children": []},
    ],
}
LEAVES = [Team(team_id="4", name="Build"), Team(team_id="3", name="Apps")]


class TestCalls:
    """What is asked."""

    def test_leaf_teams_are_asked_for_by_page(self) -> None:
        """Page, size and kind are said, because the vendor's defaults differ by method."""
        request = teams_page_call("Engineering", 2).request
        assert (request.method, request.path) == ("POST", "v2/teams/list")
        assert request.query == (("page", "2"), ("pageSize", "50"))
        assert request.body == {"leafTeamsOnly": True, "searchKey": "orgTreeName", "searchValue": "Engineering"}
        assert teams_page_call(None, 0).request.body == {"leafTeamsOnly": True}

    def test_a_tree_is_searched_by_its_name(self) -> None:
        """Its paging parameters are called otherwise."""
        request = org_trees_page_call("Engineering", 1).request
        assert (request.method, request.path) == ("POST", "v2/org-trees/list")
        assert request.query == (("pageIndex", "1"), ("pageSize", "50"))
        assert request.body == {"searchKey": "name", "searchValue": "Engineering"}

    def test_a_trees_teams_are_asked_for_by_its_id(self) -> None:
        """The id is one segment of the path."""
        request = org_tree_teams_call("a/b").request
        assert (request.method, request.path) == ("GET", "v2/org-trees/a%2Fb/teams")


class TestPages:
    """One page of an answer."""

    @pytest.mark.parametrize(
        ("value", "page", "more"),
        [
            ({"items": [{"refId": 1}], "hasNext": True, "totalPages": 1}, 0, True),
            ({"items": [{"refId": 1}], "hasNext": False, "totalPages": 9}, 0, False),
            ({"items": [{"refId": 1}], "totalPages": 2}, 0, True),
            ({"items": [{"refId": 1}], "totalPages": 2}, 1, False),
            ({"records": [{"refId": 1}], "totalCount": 51}, 0, True),
            ({"records": [{"refId": 1}], "totalCount": 50}, 0, False),
            ({"items": None, "records": [{"refId": 1}], "totalItems": 100}, 1, False),
            ({"items": [{"refId": 1}]}, 0, False),
            ([{"refId": 1}], 0, False),
            ([{"refId": 1}] * PAGE_SIZE, 0, True),
            ({"items": [{"refId": 1}], "hasNext": False}, MAX_PAGES - 1, False),
            ({"items": [], "hasNext": True}, 0, False),
        ],
    )
    def test_whether_more_follow_is_read_from_what_there_is(self, value: Any, page: int, *, more: bool) -> None:
        """Totals have five names; a full page without any may be followed by another."""
        assert teams_page_call(None, page).parse(answer(value)).more is more

    def test_a_list_without_an_end_is_an_error(self) -> None:
        """A part of it would pass for the whole."""
        with pytest.raises(SEIUnexpectedResponseError, match="the server's list goes on after 2000 pages"):
            teams_page_call(None, MAX_PAGES - 1).parse(answer({"items": [{"refId": 1}], "hasNext": True}))

    @pytest.mark.parametrize("records", [[{"teamId": 1}], [{"refId": None}, {"refId": " "}]])
    def test_records_without_an_id_are_unreadable(self, records: Any) -> None:
        """Leaving them out would say that there is no team."""
        with pytest.raises(
            SEIUnexpectedResponseError, match="could not list teams: the answer's records have no refId"
        ):
            teams_page_call(None, 0).parse(answer({"items": records}))

    @pytest.mark.parametrize("value", [{}, {"items": {}}, "x", 5, None])
    def test_an_answer_without_a_list_is_unreadable(self, value: Any) -> None:
        """Taking it for an empty one would export nothing, in silence."""
        for call in (teams_page_call(None, 0), org_trees_page_call("E", 0), org_tree_teams_call("1")):
            with pytest.raises(SEIUnexpectedResponseError, match=r"the answer holds no list"):
                call.parse(answer(value))

    @ANYTHING
    @given(responses())
    def test_any_answer_is_teams_or_an_error_of_ours(self, response: HttpResponse) -> None:
        """From each of the endpoints, down to the teams."""
        try:
            page = teams_page_call("E", 0).parse(response)
            assert all(team.team_id and team.name for team in leaf_teams(page.records, "E"))
            assert leaf_teams(org_tree_teams_call("1").parse(response)) is not None
            assert org_tree_teams_call(org_tree_id(page.records, "E")).request.path
        except SEIResponseError:
            return


class TestLeafTeams:
    """The leaves of a tree."""

    @pytest.mark.parametrize(
        "value",
        [
            TREE,
            [TREE],
            {"records": [TREE]},
            {"items": TREE["children"]},
            [
                {"refId": 1, "name": "Engineering"},
                {"refId": 2, "name": "Platform", "parentRefId": 1},
                {"refId": "4", "name": "Build", "parentRefId": 2},
                {"refId": 3, "name": "Apps", "parentRefId": 1},
                {"refId": 3, "name": "Apps again", "parentRefId": 1},
            ],
        ],
    )
    def test_leaves_are_found_in_every_shape(self, value: Any) -> None:
        """A tree, an array of trees, a page, and a flat array that names parents."""
        assert leaf_teams(org_tree_teams_call("1").parse(answer(value))) == LEAVES

    def test_teams_of_other_trees_are_left_out(self) -> None:
        """The server's search may be a substring's."""
        teams = [
            {"refId": 1, "name": "A", "leaf": True, "orgTree": {"name": "Engineering"}},
            {"refId": 2, "name": "B", "leaf": True, "orgTree": {"name": "Engineering East"}},
            {"refId": 3, "name": "C", "leaf": True, "orgTree": None},
        ]
        assert leaf_teams(teams, "Engineering") == [
            Team(team_id="1", name="A", org_tree_name="Engineering"),
            Team(team_id="3", name="C", org_tree_name="Engineering"),
        ]
        assert len(leaf_teams(teams)) == 3

    def test_a_team_without_a_name_goes_by_its_id(self) -> None:
        """A record without an id is no team."""
        assert leaf_teams([{"refId": 0}, {"name": "x"}, {"refId": True}, {"refId": " "}]) == [
            Team(team_id="0", name="0")
        ]

    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("\x1b[31mred\n[2026-01-01] ERROR forged", "[31mred [2026-01-01] ERROR forged"),
            ("left\u202eright\x00", "left right"),
            ("\x1b", "unnamed"),
            ("\n", "7"),
            ("x" * 100_000, "x" * 1000),
        ],
    )
    def test_a_name_is_one_line_of_plain_text(self, given: str, name: str) -> None:
        """It goes to logs, XCom and the grid, and is whatever somebody has typed at SEI."""
        assert leaf_teams([{"refId": 7, "name": given}]) == [Team(team_id="7", name=name)]

    def test_a_tree_may_be_deeper_than_pythons_stack(self) -> None:
        """Its depth is the server's to choose."""
        tree: dict[str, Any] = {"refId": 0, "name": "leaf"}
        for number in range(1, 100_000):
            tree = {"refId": number, "children": [tree]}
        assert leaf_teams([tree]) == [Team(team_id="0", name="leaf")]

    @ANYTHING
    @given(json_values)
    def test_any_records_are_teams(self, value: Any) -> None:
        """Each once."""
        teams = leaf_teams(value if isinstance(value, list) else [value])
        assert len({team.team_id for team in teams}) == len(teams)


class TestOrgTreeId:
    """A tree by its name."""

    def test_the_name_must_match_exactly(self) -> None:
        """The server's search may answer with similar ones first."""
        trees = [
            {"id": 1, "name": "Engineering East"},
            {"id": None, "name": "Engineering"},
            {"id": 2, "name": "Engineering"},
        ]
        assert org_tree_id(trees, "Engineering") == "2"

    def test_an_unknown_tree_is_not_found(self) -> None:
        """The message shows the names that there are, in short."""
        with pytest.raises(SEINotFoundError, match=r"no organisation tree called 'Enginering'; found: A, Engineering"):
            org_tree_id([{"id": 1, "name": "Engineering"}, {"id": 2, "name": "A"}], "Enginering")
        with pytest.raises(SEINotFoundError) as caught:
            org_tree_id([{"id": 1, "name": "x" * 5000}] * 50, "E")
        assert len(str(caught.value)) < 2500

    @ANYTHING
    @given(json_values, texts)
    def test_any_id_makes_a_path_below_the_base(self, tree_id: Any, name: str) -> None:
        """A tree's id is the server's text."""
        try:
            found = org_tree_id([{"id": tree_id, "name": name}], name)
        except SEINotFoundError:
            return
        segments = org_tree_teams_call(found).request.path.split("/")
        assert len(segments) == 4
        assert (segments[:2], segments[3]) == (["v2", "org-trees"], "teams")


SOME = [
    Team(team_id=team_id, name=name)
    for team_id, name in [("10", "Search, Ranking"), ("11", "[Core] Payments"), ("12", "Straße"), ("110", "Search Ops")]
]


class TestSelect:
    """Which teams are exported."""

    @pytest.mark.parametrize(
        ("include", "exclude", "ids"),
        [
            ([], [], ["10", "11", "12", "110"]),
            (["search*"], [], ["10", "110"]),
            (["Search, Ranking"], [], ["10"]),
            (["SEARCH OPS", "10"], [], ["10", "110"]),
            (["1?"], [], ["10", "11", "12"]),
            (["STRASSE"], [], ["12"]),
            (["[core] payments"], [], ["11"]),
            (["[[]core]*"], [], ["11"]),
            (["[rs]t*"], [], ["12"]),
            ([], ["search*", "12"], ["11"]),
            (["s*"], ["*ops"], ["10", "12"]),
            ([], ["nobody"], ["10", "11", "12", "110"]),
        ],
    )
    def test_patterns_match_name_or_id_whole_and_in_any_case(
        self, include: list[str], exclude: list[str], ids: list[str]
    ) -> None:
        """The order stays; a name with brackets can be written as it is."""
        assert [team.team_id for team in select_teams(SOME, include, exclude)] == ids

    def test_a_pattern_is_read_as_names_are(self) -> None:
        """A name that is copied from SEI's pages matches, invisible characters included."""
        [team] = leaf_teams([{"refId": 1, "name": "Café\xa0Ops"}])
        assert select_teams([team], include=["café\xa0ops"]) == [team]

    def test_each_include_must_match(self) -> None:
        """A team that was renamed would be missing without a word."""
        words = "'Serch Ops' matches none of 4 teams: did you mean 'Search Ops'"
        with pytest.raises(SEIArgumentError, match=words) as caught:
            select_teams(SOME, ["10", "Serch Ops"])
        assert caught.value.field == "include"

    def test_the_names_that_there_are_are_shown_and_not_all_of_many(self) -> None:
        """Ten make the point."""
        many = [Team(team_id=str(number), name=f"Team {number}") for number in range(500)]
        with pytest.raises(
            SEIArgumentError, match=r"'zzz' matches none of 500 teams: 'Team 0', .*'Team 9' and 490 more$"
        ):
            select_teams(many, ["zzz"])
        with pytest.raises(SEIArgumentError, match=r"exclude \['t\*'\] leaves out all of 'Team 0', .* and 490 more$"):
            select_teams(many, [], ["t*"])

    def test_no_teams_are_no_teams(self) -> None:
        """Whoever asked knows why."""
        assert select_teams([]) == []

    def test_what_matches_nobody_is_told(self) -> None:
        """In the order given."""
        assert without_match(iter(SOME), ["x", "search*", "y"]) == ["x", "y"]


class TestDetails:
    """What the calls say of themselves, and what is read of their answers."""

    @pytest.mark.parametrize(
        ("make", "arguments", "what"),
        [
            (teams_page_call, ("Engineering", 0), "list teams"),
            (org_trees_page_call, ("Engineering", 0), "find the organisation tree 'Engineering'"),
            (org_tree_teams_call, ("7",), "list the teams of organisation tree 7"),
        ],
    )
    def test_a_refusal_and_an_answer_without_a_list_say_what(
        self, make: Any, arguments: tuple[object, ...], what: str
    ) -> None:
        """Each call completes the sentence."""
        call = make(*arguments)
        assert call.description == what
        with pytest.raises(SEIResponseError, match=rf"^could not {what}: the server answered 400"):
            call.parse(HttpResponse(400))
        with pytest.raises(SEIUnexpectedResponseError) as caught:
            call.parse(answer({"a": 1}))
        assert str(caught.value) == f"could not {what}: the answer holds no list; check the connection's base URL"

    @pytest.mark.parametrize("key", ["items", "records", "content", "teams"])
    def test_records_stand_under_any_of_four_names(self, key: str) -> None:
        """Or are the answer."""
        assert teams_page_call(None, 0).parse(answer({key: [{"refId": 1}]})).records == ({"refId": 1},)

    @pytest.mark.parametrize("key", ["totalCount", "totalItems"])
    def test_a_total_tells_whether_more_follow(self, key: str) -> None:
        """Under either name."""
        value = {"items": [{"refId": 1}], key: PAGE_SIZE + 1}
        assert [org_trees_page_call("x", page).parse(answer(value)).more for page in (0, 1)] == [True, False]

    def test_the_last_page_that_is_asked_for_is_the_bound(self) -> None:
        """However many the server promises."""
        value = {"items": [{"refId": 1}], "hasNext": True}
        assert teams_page_call(None, MAX_PAGES - 2).parse(answer(value)).more
        with pytest.raises(SEIUnexpectedResponseError, match=f"goes on after {MAX_PAGES} pages"):
            teams_page_call(None, MAX_PAGES - 1).parse(answer(value))

    def test_half_a_character_in_a_trees_id_can_be_asked_for(self) -> None:
        """The server will not know it."""
        assert org_tree_teams_call("a\ud800/b").request.path == "v2/org-trees/a%3F%2Fb/teams"

    def test_a_team_that_says_it_is_a_leaf_is_one(self) -> None:
        """Whatever stands below it; and one that says it is none, is none."""
        said = {"refId": 1, "name": "A", "leaf": True, "children": [{"refId": 2, "name": "B", "leaf": False}]}
        assert leaf_teams([said]) == [Team(team_id="1", name="A")]

    def test_what_is_no_record_is_passed_over(self) -> None:
        """And the next one is read."""
        records: Any = ["x", None, {"refId": 1, "name": "A"}]
        assert leaf_teams(records) == [Team(team_id="1", name="A")]

    def test_a_tree_that_is_not_there_is_answered_with_ten_that_are(self) -> None:
        """Or with nothing, where there are none."""
        with pytest.raises(SEINotFoundError) as caught:
            org_tree_id([{"id": number, "name": f"T{number:02}"} for number in range(12)], "x")
        assert str(caught.value) == "there is no organisation tree called 'x'; found: " + ", ".join(
            f"T{number:02}" for number in range(10)
        )
        with pytest.raises(SEINotFoundError) as caught:
            org_tree_id([], "x")
        assert str(caught.value) == "there is no organisation tree called 'x'"


class TestSelectWords:
    """What a pattern that does not work is answered with."""

    @pytest.mark.parametrize(("count", "shown"), [(10, "'T0', "), (11, " and 1 more"), (12, " and 2 more")])
    def test_ten_names_are_shown(self, count: int, shown: str) -> None:
        """And how many more there are."""
        teams = [Team(team_id=f"{number}0", name=f"T{number}") for number in range(count)]
        with pytest.raises(SEIArgumentError) as caught:
            select_teams(teams, exclude=["*"])
        assert caught.value.field == "exclude"
        assert str(caught.value).startswith("no team is left: exclude ['*'] leaves out all of 'T0', 'T1'")
        assert shown in str(caught.value)
        assert str(caught.value).endswith(f" and {count - 10} more" if count > 10 else "'T9'")

    def test_a_pattern_is_guessed_at_without_its_stars(self) -> None:
        """Blanks go too, letters do not."""
        teams = [Team(team_id="1", name="Xerox")]
        with pytest.raises(SEIArgumentError, match=r"matches none of 1 teams: did you mean 'Xerox'\?$") as caught:
            select_teams(teams, include=["** Xerrox ??"])
        assert caught.value.field == "include"
