"""Requests for exports: what arguments are sent as, and which are refused."""

from __future__ import annotations

import hashlib
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.export_request import REQUEST_FIELDS, ExportRequest, check_request, fingerprint
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily
from tests.protocol.strategies import ANYTHING, json_values, outcome, sent, texts

YEAR = {"date_start": "2024-01-01", "date_end": "2024-12-31"}
IDENTIFIERS = {"org_identifier": "O", "project_identifier": "P"}
SOURCE: dict[str, str | None] = {"account": "A", **IDENTIFIERS}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"family": "velocity"}, "family", "known: productivity, efficiency"),
    ({"family": "spirnt"}, "family", "did you mean 'sprint'"),
    ({"date_start": None}, "date_start", "date_start is missing"),
    ({"date_end": ""}, "date_end", "date_end is missing"),
    ({"date_start": "2024-1-1"}, "date_start", "yyyy-MM-dd"),
    ({"date_start": "2025-01-01"}, "date_start", "after date_end 2024-12-31"),
    ({"granularity": "montly"}, "granularity", "did you mean 'monthly'"),
    ({"granularity": "daily"}, "granularity", "productivity exports take weekly, monthly, quarterly"),
    ({"granularity": 5}, "granularity", "5 is unknown; productivity exports take weekly"),
    ({"family": "sprint", "aggregation": 5}, "aggregation", "sprint exports take text"),
    ({"aggregation": 5}, "aggregation", "productivity exports take mean"),
    ({"level": "org"}, "level", "take developer, team"),
    ({"family": "ba", "level": "team"}, "level", "not an option of ba exports; known: granularity"),
    ({"family": "ba", "computation_mode": "TICKETS"}, "computation_mode", "not an option of ba exports"),
    ({"file_format": "json"}, "file_format", "productivity exports take csv"),
    *(({"family": name, "file_format": "json"}, "file_format", "take csv") for name in ("sprint", "ba", "ticket-data")),
    ({"family": "efficiency", "file_format": "xml"}, "file_format", "efficiency exports take csv, json"),
    ({"issue_statuses": ["Done"]}, "issue_statuses", "not a field of productivity exports"),
    ({"issue_statuses": 5}, "issue_statuses", "must be a list of names"),
    ({"family": "efficiency", "metric_groups": []}, "metric_groups", "need some of lttc, df, mttr"),
    ({"metrics": [5]}, "metrics", "5 is not text"),
    ({"metric_groups": {"a": 1}}, "metric_groups", "must be a list of names"),
    ({"team_id": ["456"]}, "team_id", "must be text, not list"),
    ({"org_tree_name": True}, "org_tree_name", "must be text, not bool"),
    ({"scope": "team"}, "scope", "must be a mapping"),
    ({"scope": {"teamId": "457"}}, "scope", "give it once"),
    ({"extra_body": [1]}, "extra_body", "must be a mapping"),
    ({"extra_body": {"a": float("inf")}}, "extra_body", "cannot be sent as JSON"),
]


def arguments(family: str = "productivity", **changes: Any) -> dict[str, Any]:
    """Return arguments for team 456 over a year, with changes."""
    needed = {"metric_groups": ["lttc"]} if family == "efficiency" else {}
    return {"family": family, "team_id": "456", **YEAR, **needed} | changes


def request(family: str = "productivity", **changes: Any) -> ExportRequest:
    """Return a parsed request for team 456 over a year, with changes."""
    return ExportRequest.from_arguments(**arguments(family, **changes))


class TestBody:
    """What is sent."""

    def test_nothing_is_sent_that_was_not_requested(self) -> None:
        """Of a family without required options."""
        assert request().body(**IDENTIFIERS) == {
            "scope": {"teamId": "456"},
            "dateRange": {"start": "2024-01-01", "end": "2024-12-31"},
        }
        for family in ("productivity", "ticket-data"):
            assert "options" not in request(family, granularity=None, level="").body()

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_options_have_the_vendors_names_and_case(self, family: ExportFamily) -> None:
        """Whichever case they are written in."""
        for option in family.options:
            for value in option.values or ("P99",):
                written = value.swapcase() if option.values else value
                sent = request(family.name, **{option.argument: written}).body()["options"][option.key]
                assert sent == ([value] if option.many else value)

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_all_fields_are_in_the_order_of_the_vendors_examples(self, family: ExportFamily) -> None:
        """Groups and metrics may be given together: the documents disagree whether that is allowed."""
        body = request(
            family.name,
            metric_groups=family.metric_groups,
            metrics=family.metrics,
            issue_statuses=["In Progress", "Done"] if family.takes_issue_statuses else None,
            **{option.argument: (option.values or ("sum",))[0] for option in family.options},
        ).body()
        expected: dict[str, Any] = {
            "scope": {"teamId": "456"},
            "dateRange": {"start": "2024-01-01", "end": "2024-12-31"},
            "metricGroups": list(family.metric_groups),
            "metrics": list(family.metrics),
            "issueStatuses": ["In Progress", "Done"] if family.takes_issue_statuses else [],
            "options": {
                option.key: list(option.values[:1]) if option.many else (option.values or ("sum",))[0]
                for option in family.options
            },
        }
        assert sent(body) == sent({key: value for key, value in expected.items() if value})

    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("blank", [None, "", " "])
    def test_a_blank_option_is_not_given(self, family: str, blank: str | None) -> None:
        """As a template may render it; not refused for another family either. A required granularity has a default."""
        default = {"granularity": "MONTHLY"} if family in {"efficiency", "sprint", "ba"} else {}
        blanks = request(family, granularity=blank, level=blank, computation_mode=blank)
        assert blanks.body().get("options", {}) == default

    @pytest.mark.parametrize(
        ("family", "key"),
        [("productivity", "aggregationLevel"), ("sprint", "metricLevel"), ("ticket-data", "aggregationLevel")],
    )
    def test_the_level_has_the_familys_own_key(self, family: str, key: str) -> None:
        """The documents have two; extra_body can send the other."""
        one = request(family, level="TEAM", granularity=None)
        assert (one.level, one.body()["options"][key]) == ("team", "team")
        assert request("ba").level is request().level is None

    def test_extra_body_is_merged_into_the_finished_body_unchecked(self) -> None:
        """It can replace and add anything, the scope and the required metrics included."""
        extra = {"options": {"granularity": "Hourly", "x": None}, "metrics": ["A"], "sprintIds": [1]}
        body = request(granularity="weekly", metrics=["PR_MERGED"], extra_body=extra).body()
        assert {key: body[key] for key in extra} == extra
        for extra in ({"metricGroups": ["new"], "scope": {"teamId": "9"}}, {"metrics": ["new"], "scope": "all"}):
            body = request("efficiency", team_id=None, metric_groups=None, extra_body=extra).body()
            assert {key: body[key] for key in extra} == extra


class TestScope:
    """Whose metrics are exported."""

    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_team_and_an_organisation_tree_are_sent(self, family: str) -> None:
        """Both together are documented for productivity only, elsewhere they are warned of."""
        tree = {"orgTreeName": "Engineering"}
        inside = {} if family == "productivity" else {"orgIdentifier": "O", "projectIdentifier": "P"}
        both = request(family, org_tree_name=" Engineering ")
        assert request(family, team_id=456).body(**IDENTIFIERS)["scope"] == {"teamId": "456"}
        assert request(family, team_id=None, org_tree_name="Engineering").body(**IDENTIFIERS)["scope"] == tree | inside
        assert both.body(**IDENTIFIERS)["scope"] == tree | {"teamId": "456"} | inside
        assert any("one or the other" in warning for warning in both.warnings) is (family != "productivity")

    def test_identifiers_that_the_user_gives_are_kept(self) -> None:
        """They may be another project's; empty ones are not sent."""
        scope = request("ba", team_id=None, org_tree_name="E", scope={"orgIdentifier": "X"}).body(**IDENTIFIERS)[
            "scope"
        ]
        assert scope == {"orgTreeName": "E", "orgIdentifier": "X", "projectIdentifier": "P"}
        assert request("ba", team_id=None, org_tree_name="E").body(org_identifier="")["scope"] == {"orgTreeName": "E"}

    @pytest.mark.parametrize(
        "scope",
        [
            {"developerIds": ["1", "2"]},
            {"managerEmailId": "manager"},
            {"developerAttributes": [{"key": "role", "value": ["lead"]}]},
            {"teamId": "7"},
            {"orgTreeName": "E"},
        ],
    )
    def test_other_keys_are_sent_as_written(self, scope: dict[str, Any]) -> None:
        """The vendor's OpenAPI document has further ways to select people. The same team may be given twice."""
        assert request(team_id=None, scope=scope).body()["scope"] == scope
        assert request(scope={"teamId": 456}).body()["scope"] == {"teamId": "456"}

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"team_id": " ", "org_tree_name": ""},
            {"scope": {"orgIdentifier": "O"}},
            {"scope": {"teamId": ""}},
            {"scope": {"developerIds": []}},
            {"extra_body": {"scope": {"teamId": None}}},
        ],
    )
    def test_no_scope_is_refused(self, changes: dict[str, Any]) -> None:
        """It would mean the whole account."""
        given = arguments(**{"team_id": None} | changes)
        with pytest.raises(SEIArgumentError, match="neither team_id nor org_tree_name is given") as caught:
            ExportRequest.from_arguments(**given)
        assert caught.value.field == "team_id"

    def test_a_manager_is_part_of_the_scope(self) -> None:
        """Alone or beside a team, given once; an address is personal data, so that no error repeats it."""
        assert request(manager_email_id=" m@x.example ").body()["scope"] == {
            "teamId": "456",
            "managerEmailId": "m@x.example",
        }
        alone = request(team_id=None, manager_email_id="m@x.example", scope={"managerEmailId": "m@x.example"})
        assert alone.body()["scope"] == {"managerEmailId": "m@x.example"}
        for wrong in ({"scope": {"managerEmailId": "other@x.example"}}, {"manager_email_id": ["m@x.example"]}):
            with pytest.raises(SEIArgumentError) as caught:
                request(**{"manager_email_id": "m@x.example"} | wrong)
            assert "x.example" not in str(caught.value)


class TestRefused:
    """Certain mistakes, which are refused before anything is sent."""

    @pytest.mark.parametrize(("changes", "field", "words"), REFUSED)
    def test_by_name_before_anything_is_sent(self, changes: dict[str, Any], field: str, words: str) -> None:
        """When the task runs, and when the DAG is parsed, also if an unrelated argument is a template."""
        template = object()
        complete = dict.fromkeys(REQUEST_FIELDS) | arguments(**changes)
        unrelated = "issue_statuses" if field in ("team_id", "org_tree_name", "scope", "extra_body") else "scope"
        for check in (
            lambda: request(**changes),
            lambda: check_request(complete, lambda _: True),
            lambda: check_request(complete | {unrelated: template}, lambda value: value is not template),
        ):
            with pytest.raises(SEIArgumentError) as caught:
                check()
            assert caught.value.field == field
            assert words in str(caught.value)
            assert field.split("_", maxsplit=1)[0] in str(caught.value)
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", REQUEST_FIELDS)
    def test_templates_are_not_refused(self, name: str) -> None:
        """Each could render to a value that makes the request valid."""
        template = object()
        given = dict.fromkeys(REQUEST_FIELDS) | arguments("efficiency") | {name: template}
        check_request(given, lambda value: value is not template)

    def test_an_unknown_argument_is_refused_with_a_guess(self) -> None:
        """A misspelt option must not be left out silently."""
        with pytest.raises(SEIArgumentError, match=r"granularty .*did you mean 'granularity'") as caught:
            request(granularty="weekly")
        assert caught.value.field == "granularty"


class TestWarnings:
    """What may be a mistake, and is sent."""

    def test_undocumented_metrics_and_groups_are_sent_as_written(self) -> None:
        """The vendor may have added them."""
        odd = request(metric_groups=["activty"], metrics=["NEW_METRIC"])
        assert (odd.body()["metricGroups"], odd.body()["metrics"]) == (["activty"], ["NEW_METRIC"])
        groups, metrics = odd.warnings
        assert "did you mean 'activity'" in groups
        assert "'NEW_METRIC', which is not documented" in metrics

    def test_what_the_pages_exclude_has_one(self) -> None:
        """Groups beside metrics for efficiency, and a period of one day; a documented request has none, in any case."""
        both = {"metric_groups": ["lttc"], "metrics": ["LTTC"]}
        assert "the vendor documents one or the other for efficiency" in request("efficiency", **both).warnings[0]
        assert "the same day, 2024-01-01" in request(date_end="2024-01-01").warnings[0]
        assert request(metric_groups=["activity", "codingdays"], metrics=["PR_Merged"]).warnings == ()


class TestFingerprint:
    """What identifies a request."""

    def test_the_same_request_has_the_same_fingerprint(self) -> None:
        """In whichever order and case it was written."""
        one = request(granularity="weekly", level="team", extra_body={"a": 1, "b": 2})
        other = request(extra_body={"b": 2, "a": 1}, level="TEAM", granularity="WEEKLY")
        assert one.fingerprints(SOURCE) == other.fingerprints(SOURCE)

    def test_every_difference_makes_another(self) -> None:
        """Metrics, options, days, scope, account, organisation and project are parts of the request."""
        changes: list[dict[str, Any]] = [
            *({}, {"family": "ticket-data"}, {"team_id": "457"}, {"date_end": "2024-12-30"}, {"metrics": ["CFR"]}),
            *({"metric_groups": ["CFR"]}, {"granularity": "weekly"}, {"level": "team"}, {"extra_body": {"x": 1}}),
        ]
        found = [request().fingerprints(SOURCE | {name: "other"})["fingerprint"] for name in SOURCE]
        found += [request(**change).fingerprints(SOURCE)["fingerprint"] for change in changes]
        assert not [pair for pair in combinations(found, 2) if pair[0] == pair[1]]

    def test_it_is_the_same_in_every_release(self) -> None:
        """Names of delivered files have it, so a change would deliver everything again."""
        canonical = b'["ba",null,{"a":1,"b":"Z\\u00fcrich"}]'
        assert fingerprint(["ba", None, {"b": "Zürich", "a": 1}]) == hashlib.sha256(canonical).hexdigest()


@ANYTHING
@given(
    st.fixed_dictionaries(
        {"family": st.sampled_from(list(FAMILIES)) | json_values},
        optional={
            name: st.sampled_from(["2024-01-01", "team", "WEEKLY", "456", "['a']", "{'teamId': 1}"])
            | json_values
            | texts
            for name in (*REQUEST_FIELDS[1:], "nonsense")
        },
    )
)
def test_any_arguments_are_a_request_that_can_be_sent_or_refused(changes: dict[str, Any]) -> None:
    """Whatever a template renders to; and parsing accepts what the task accepts."""
    parsed = outcome(SEIArgumentError, ExportRequest.from_arguments, **{**YEAR, **changes})
    if isinstance(parsed, SEIArgumentError):
        assert parsed.field in {"date_start", "team_id", "metric_groups", *changes}
    else:
        sent(parsed.body(org_identifier="O"))
        parsed.fingerprints(SOURCE)
        check_request(dict.fromkeys(REQUEST_FIELDS) | YEAR | changes, lambda _: True)
