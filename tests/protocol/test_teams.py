"""Teams, from three endpoints in several shapes."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.http import HttpResponse
from airflow_provider_sei.protocol.listing import Page, Pager
from airflow_provider_sei.protocol.teams import (
    MAX_PAGES,
    Team,
    hierarchy_csv,
    leaf_teams,
    org_tree_teams_call,
    org_trees,
    org_trees_page_call,
    select_teams,
    similar_name,
    teams_page_call,
    without_match,
)
from tests.protocol.strategies import ANYTHING, outcome, responses

PAGE_SIZE = 50
CALLS = [teams_page_call("Engineering", 0), org_trees_page_call("Engineering", 0), org_tree_teams_call("7")]


def response(value: Any) -> HttpResponse:
    """Return a successful response with a JSON body."""
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


class TestCalls:
    """What is requested."""

    def test_teams_and_trees_are_requested_by_page(self) -> None:
        """With page and size, because the vendor's defaults differ between calls, as does the page's name."""
        teams, trees = teams_page_call("Engineering", 2).request, org_trees_page_call("Engineering", 1).request
        assert [(each.method, each.path) for each in (teams, trees)] == [
            ("POST", "v2/teams/list"),
            ("POST", "v2/org-trees/list"),
        ]
        assert teams.query == {"page": "2", "pageSize": "50"}
        assert teams.body == {"leafTeamsOnly": True, "searchKey": "orgTreeName", "searchValue": "Engineering"}
        assert teams_page_call(None, 0).request.body == {"leafTeamsOnly": True}
        assert trees.query == {"pageIndex": "1", "pageSize": "50"}
        assert trees.body == {"searchKey": "name", "searchValue": "Engineering"}
        for tree_id, quoted in (("7", "7"), ("a/b", "a%2Fb"), ("a\ud800", "a%3F")):
            request = org_tree_teams_call(tree_id).request
            assert (request.method, request.path) == ("GET", f"v2/org-trees/{quoted}/teams")

    @pytest.mark.parametrize("call", CALLS, ids=lambda call: call.description)
    @pytest.mark.parametrize("value", [{}, {"items": {}}, {"a": 1}, "x", 5, None])
    def test_a_response_without_a_list_is_an_error(self, call: Any, value: Any) -> None:
        """Not an empty list: nothing would be exported, silently."""
        with pytest.raises(errors.SEIUnexpectedResponseError, match=f"no list.*: could not {call.description}"):
            call.parse(response(value))
        with pytest.raises(errors.SEIUnexpectedResponseError, match=r'no list \("No such tree"\): '):
            call.parse(response({"message": "No such tree"}))
        with pytest.raises(errors.SEIResponseError, match=f"400.*: could not {call.description}"):
            call.parse(HttpResponse(400))


class TestPages:
    """Pages of teams and of trees."""

    @pytest.mark.parametrize(
        ("value", "page", "more"),
        [
            ({"items": [{"refId": 1}], "hasNext": True, "totalPages": 1}, 0, True),
            ({"items": [{"refId": 1}], "hasNext": False, "totalPages": 9}, 0, False),
            ({"content": [{"refId": 1}], "totalPages": 2}, 0, True),
            ({"teams": [{"refId": 1}], "totalPages": 2}, 1, False),
            ({"records": [{"refId": 1}], "totalCount": 51}, 0, 51),
            ({"items": None, "records": [{"refId": 1}], "totalItems": 100}, 1, 100),
            ({"items": [{"refId": 1}]}, 0, None),
            ([{"refId": 1}], 0, None),
        ],
    )
    def test_records_and_totals_have_several_names(self, value: Any, page: int, *, more: bool | int | None) -> None:
        """``None``: the server does not say whether more follow. A number: how many there are."""
        expected = Page(({"refId": 1},), more) if more in {True, False, None} else Page(({"refId": 1},), None, more)
        for call in (teams_page_call(None, page), org_trees_page_call("x", page)):
            assert call.parse(response(value)) == expected

    @pytest.mark.parametrize(
        ("pages", "found"),
        [
            ([Page(({"refId": 1},), None, 1)], 1),
            ([Page(({"refId": 1},), None), Page(({"refId": 2},), None), Page((), None)], 2),
            ([Page(({"refId": 1},), None, 3), Page(({"refId": 2}, {"refId": 3}), None, 3)], 3),
            ([Page(({"refId": 1},), more=True), Page((), more=True)], 1),
            ([Page(({"refId": 1},), more=True), Page(({"refId": 2},), more=False)], 2),
        ],
    )
    def test_all_pages_are_read(self, pages: list[Page[Any]], found: int) -> None:
        """Whatever their sizes."""
        pager: Pager[Any] = Pager("list teams")
        assert sum(len(pager.take(page)) for page in pages) == found
        assert pager.done

    @pytest.mark.parametrize(
        ("pages", "items", "more"), [(2, ({"refId": 0},), True), (2000, None, True), (2000, None, None)]
    )
    def test_a_list_without_an_end_is_an_error(self, pages: int, items: Any, *, more: bool | None) -> None:
        """Whether it repeats a page or goes on: a part of the teams would pass for all of them."""
        pager: Pager[Any] = Pager("list teams", max_pages=MAX_PAGES)
        for number in range(pages - 1):
            pager.take(Page(items or tuple({"refId": PAGE_SIZE * number + each} for each in range(PAGE_SIZE)), more))
        with pytest.raises(errors.SEIUnexpectedResponseError, match="could not list teams to the end"):
            pager.take(Page(items or tuple({"refId": -each} for each in range(1, PAGE_SIZE + 1)), more))

    @pytest.mark.parametrize("records", [[{"teamId": 1}], [{"refId": None}, {"refId": " "}]])
    def test_records_without_an_id_are_an_error(self, records: Any) -> None:
        """Ignoring all of them would mean that there is no team."""
        with pytest.raises(errors.SEIUnexpectedResponseError, match=r"no refId.*: could not list teams"):
            teams_page_call(None, 0).parse(response({"items": records}))

    @ANYTHING
    @given(responses())
    def test_any_response_is_distinct_teams_or_an_error(self, any_response: HttpResponse) -> None:
        """From each of the endpoints."""
        for call in CALLS:
            found = outcome(errors.SEIResponseError, call.parse, any_response)
            if not isinstance(found, errors.SEIResponseError):
                records = found.items if isinstance(found, Page) else found
                teams = leaf_teams(records, "E")
                assert all(team.team_id and team.name for team in teams)
                assert len({team.team_id for team in teams}) == len(teams)


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
    def test_they_are_found_in_every_shape(self, value: Any) -> None:
        """A tree, an array of trees, a page, and a flat array with parents."""
        found = leaf_teams(org_tree_teams_call("1").parse(response(value)))
        assert found == [Team(team_id="4", name="Build"), Team(team_id="3", name="Apps")]

    def test_what_a_record_says_of_itself_counts(self) -> None:
        """Whatever is below it, and of which tree: the server may search by a part of its name.

        What is no record, or has no id, is ignored.
        """
        records: Any = [
            {"refId": 1, "name": "A", "leaf": True, "children": [{"refId": 2, "name": "B", "leaf": False}]},
            *("x", None, {"name": "x"}, {"refId": True}, {"refId": " "}, {"refId": 0}),
        ]
        found = leaf_teams(org_tree_teams_call("1").parse(response(records)))
        assert found == [Team(team_id="1", name="A"), Team(team_id="0", name="0")]
        trees: Any = [{"name": "Engineering"}, {"name": "Engineering East"}, None]
        teams = [{"refId": number, "leaf": True, "orgTree": tree} for number, tree in enumerate(trees)]
        assert [team.team_id for team in leaf_teams(teams, "Engineering")] == ["0", "2"]
        assert {team.org_tree_name for team in leaf_teams(teams, "Engineering")} == {"Engineering"}
        assert len(leaf_teams(teams)) == 3

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("\x1b[31mred\n[2026-01-01] ERROR forged", "[31mred [2026-01-01] ERROR forged"),
            ("left\u202eright\x00", "left right"),
            ("\x1b", "unnamed"),
            ("\n", "7"),
            ("x" * 100_000, "x" * 1000),
        ],
    )
    def test_a_name_is_one_printable_line(self, name: str, shown: str) -> None:
        """Users of SEI choose it, and it is in logs, XCom and the grid."""
        assert leaf_teams([{"refId": 7, "name": name}]) == [Team(team_id="7", name=shown)]

    def test_a_tree_may_be_deeper_than_pythons_stack(self) -> None:
        """The server chooses the depth."""
        tree: dict[str, Any] = {"refId": 0, "name": "leaf"}
        for number in range(1, 100_000):
            tree = {"refId": number, "children": [tree]}
        assert leaf_teams([tree]) == [Team(team_id="0", name="leaf")]


class TestOrgTrees:
    """A tree by its name."""

    def test_the_name_must_match_exactly(self) -> None:
        """The server may return similar ones first."""
        trees = [
            {"id": 1, "name": "Engineering East"},
            {"id": None, "name": "Engineering"},
            {"id": 2, "name": "Engineering"},
        ]
        assert org_trees(trees, "Engineering") == [trees[2]]
        assert org_trees(trees, None) == [trees[0], trees[2]]

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            (["Engineering", "A"], "found: A, Engineering$"),
            ([f"T{number:02}" for number in range(12)], "found: T00, .*T09$"),
            (["x" * 5000] * 50, r"found: x+\.\.\."),
            ([], "called 'Enginering'$"),
        ],
    )
    def test_an_unknown_tree_is_reported_with_some_that_exist(self, names: list[str], words: str) -> None:
        """In a message of bounded length."""
        with pytest.raises(errors.SEINotFoundError, match=words) as caught:
            org_trees([{"id": 1, "name": name} for name in names], "Enginering")
        assert len(str(caught.value)) < 2500


def test_parents_are_those_that_a_team_names_or_is_nested_in() -> None:
    """The vendor's example has no parentRefId; a cycle and any depth end."""
    nested = {"refId": 100, "name": "E", "children": [{"refId": 101, "name": "a,b", "leaf": True}, {}, None]}
    flat = [{"refId": 1, "parentRefId": 2, "name": "x"}, {"refId": 2, "parentRefId": 1, "name": "y"}]
    table = hierarchy_csv([({"id": 7, "name": "T"}, [nested]), ({"id": "6", "name": "S"}, flat)])
    header, *rows = csv.reader(table.decode().splitlines(), strict=True)
    assert [row[:4] for row in rows] == [
        *(["6", "S", "1", "x"], ["6", "S", "2", "y"]),
        *(["7", "T", "100", "E"], ["7", "T", "101", "a,b"]),
    ]
    assert [row[4:] for row in rows[2:]] == [["", "E", "false", ""], ["100", "E/a,b", "true", ""]]
    assert header[4:] == ["parent_team_id", "path", "leaf", "developers"]
    assert {row[5].count("/") for row in rows[:2]} == {99}


SOME = [
    Team(team_id=team_id, name=name)
    for team_id, name in [
        ("10", "Search, Ranking"),
        ("t11", "[Core] Payments"),
        ("12", "Straße"),
        ("110", "Search Ops"),
    ]
]


class TestSelect:
    """Which teams are exported."""

    @pytest.mark.parametrize(
        ("include", "exclude", "ids"),
        [
            ([], [], ["10", "t11", "12", "110"]),
            (["search*"], [], ["10", "110"]),
            (["Search, Ranking"], [], ["10"]),
            (["SEARCH OPS", "10"], [], ["10", "110"]),
            (["1?"], [], ["10", "12"]),
            (["STRASSE"], [], ["12"]),
            (["[core] payments"], [], ["t11"]),
            (["T11"], [], ["t11"]),
            (["[[]core]*"], [], ["t11"]),
            (["[rs]t*"], [], ["12"]),
            ([], ["search*", "12"], ["t11"]),
            (["s*"], ["*ops"], ["10", "12"]),
            ([], ["nobody"], ["10", "t11", "12", "110"]),
        ],
    )
    def test_patterns_match_whole_names_and_ids_in_any_case(
        self, include: list[str], exclude: list[str], ids: list[str]
    ) -> None:
        """A name can be given as it is, with brackets and with SEI's invisible characters; the order stays."""
        [team] = leaf_teams([{"refId": 1, "name": "Café\xa0Ops"}])
        assert select_teams([team], include=["café\xa0ops"]) == [team]
        assert [team.team_id for team in select_teams(SOME, include, exclude)] == ids

    @pytest.mark.parametrize("pattern", ["Serch Ops", "** Serch Ops ??"])
    def test_an_include_pattern_without_a_match_is_refused_with_a_guess(self, pattern: str) -> None:
        """A renamed team would be missing silently."""
        with pytest.raises(errors.SEIArgumentError, match="none of 4 teams: did you mean 'Search Ops'") as caught:
            select_teams(SOME, ["10", pattern])
        assert caught.value.field == "include"

    @pytest.mark.parametrize(("count", "end"), [(10, "'Team 9'"), (11, "'Team 9' and 1 more"), (500, " and 490 more")])
    def test_a_message_has_at_most_ten_names(self, count: int, end: str) -> None:
        """Of those that exist, and of those that are excluded."""
        many = [Team(team_id=f"{number}0", name=f"Team {number}") for number in range(count)]
        for field, arguments in (("include", (["zzz"], [])), ("exclude", ([], ["t*"]))):
            with pytest.raises(errors.SEIArgumentError, match=f"'Team 0', .*{end}$") as caught:
                select_teams(many, *arguments)
            assert caught.value.field == field

    def test_patterns_without_a_match_are_listed(self) -> None:
        """In their order. No teams at all are not an error here: the caller knows why."""
        assert without_match(SOME, ["x", "search*", "y"]) == ["x", "y"]
        assert select_teams([]) == []


@pytest.mark.parametrize(
    ("value", "is_tree", "hint"),
    [
        ("apps", False, ": did you mean '3', which is called 'Apps'?"),
        *((value, False, "") for value in ("3", "Nome", "zzz")),
        ("apps", True, ": did you mean 'Apps'?"),
        *((value, True, "") for value in ("Apps", "Nome")),
    ],
)
def test_a_similar_name_is_suggested(value: str, *, is_tree: bool, hint: str) -> None:
    """Not for an id or a tree that exists; records without a name are ignored."""
    assert similar_name([{}, {"refId": 3, "name": "Apps"}, {"name": None}], value, is_tree=is_tree) == hint
