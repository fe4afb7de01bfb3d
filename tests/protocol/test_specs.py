"""What a user asks of a family, and the body that says it."""

from __future__ import annotations

import hashlib
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.export_request import ExportRequest, fingerprint
from airflow_provider_sei.protocol.exports import Export
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily
from airflow_provider_sei.protocol.http import encode_json
from tests.protocol.strategies import ANYTHING, json_values, outcome, texts

YEAR = {"date_start": "2024-01-01", "date_end": "2024-12-31"}
IDENTIFIERS = {"org_identifier": "O", "project_identifier": "P"}


def spec(family: str = "productivity", **request: Any) -> ExportRequest:
    """Return a checked request for team 456 over a year, with changes."""
    needed = {"metric_groups": ["lttc"]} if family == "efficiency" else {}
    return ExportRequest.from_arguments(**{"family": family, "team_id": "456", **YEAR, **needed} | request)


def refused(**request: Any) -> SEIArgumentError:
    """Return the error that a request is refused with."""
    with pytest.raises(SEIArgumentError) as caught:
        spec(**request)
    return caught.value


class TestContradictions:
    """What the server says of an export, beside what was asked for."""

    def told(self, asked: ExportRequest, **said: str) -> list[str]:
        """Return the sentences about an export of which the server says so."""
        return asked.mismatches(Export(export_id="exp_1", family="productivity", **said))

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ({"team_id": "7"}, "has teamId '7', but '456' is asked for"),
            ({"date_start": "2023-01-01"}, "has dateRange.start '2023-01-01', but '2024-01-01' is asked for"),
            ({"date_end": "2024-12-30T23:59:59Z"}, "has dateRange.end '2024-12-30', but '2024-12-31' is asked for"),
        ],
    )
    def test_another_scope_or_period_is_told(self, said: dict[str, str], words: str) -> None:
        """The file would be called after something that it is not."""
        [sentence] = self.told(spec(), **said)
        assert sentence.startswith(f"the server says that productivity export exp_1 {words}")
        assert self.told(spec(org_tree_name="East"), org_tree_name="West")

    def test_what_is_said_otherwise_or_not_at_all_contradicts_nothing(self) -> None:
        """Not every answer echoes the request, and days may be moments."""
        assert self.told(spec()) == []
        assert self.told(spec(), team_id="456", date_start="2024-01-01T00:00:00Z", org_tree_name="East") == []

    def test_what_was_sent_counts(self) -> None:
        """``extra_body`` has the last word on it, whatever it makes of it."""
        assert self.told(spec(extra_body={"scope": {"teamId": 9}}), team_id="9") == []
        assert self.told(spec(extra_body={"dateRange": None, "scope": "all"}), team_id="9", date_end="2020-01-01") == []


class TestBody:
    """What is sent."""

    def test_the_smallest_request(self) -> None:
        """Nothing is sent that was not asked for."""
        assert spec().body(**IDENTIFIERS) == {
            "scope": {"teamId": "456"},
            "dateRange": {"start": "2024-01-01", "end": "2024-12-31"},
        }

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_every_option_goes_under_the_vendors_name_in_the_vendors_case(self, family: ExportFamily) -> None:
        """DAG authors write one name and any case for all families."""
        for option in family.options:
            for value in option.values or ("P99",):
                written = value.swapcase() if option.values else value
                body = spec(family.name, **{option.argument: written}).body()
                assert body["options"][option.key] == value

    @pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
    def test_all_fields_of_a_family_at_once(self, family: ExportFamily) -> None:
        """The body's keys stand in the order of the vendor's examples."""
        body = spec(
            family.name,
            metric_groups=family.metric_groups,
            metrics=family.metrics,
            issue_statuses=["In Progress", "Done"] if family.takes_issue_statuses else None,
            **{option.argument: (option.values or ("sum",))[0] for option in family.options},
        ).body()
        expected: dict[str, Any] = {
            "scope": {"teamId": "456"},
            "dateRange": {"start": "2024-01-01", "end": "2024-12-31"},
        }
        if family.metric_groups:
            expected["metricGroups"] = list(family.metric_groups)
        if family.metrics:
            expected["metrics"] = list(family.metrics)
        if family.takes_issue_statuses:
            expected["issueStatuses"] = ["In Progress", "Done"]
        expected["options"] = {option.key: (option.values or ("sum",))[0] for option in family.options}
        assert encode_json(body) == encode_json(expected)

    @pytest.mark.parametrize(
        ("family", "granularity"), [("efficiency", "MONTHLY"), ("sprint", "MONTHLY"), ("ba", "MONTHLY")]
    )
    def test_a_granularity_that_the_vendor_requires_has_a_default(self, family: str, granularity: str) -> None:
        """Blank means "not given", as a template may render it."""
        for blank in (None, "", " "):
            assert spec(family, granularity=blank).body()["options"] == {"granularity": granularity}

    @pytest.mark.parametrize("family", ["productivity", "ticket-data"])
    def test_no_other_option_is_sent_unasked(self, family: str) -> None:
        """The server's own defaults stay the server's."""
        assert "options" not in spec(family, granularity=None, level="").body()

    def test_groups_and_metrics_may_stand_together(self) -> None:
        """The server merges them; neither document agrees whether that is allowed, so both are sent as given."""
        body = spec(metric_groups="activity", metrics=["PR_Merged", "pr_other"]).body()
        assert (body["metricGroups"], body["metrics"]) == (["activity"], ["PR_Merged", "pr_other"])


class TestScope:
    """Whose metrics are exported."""

    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_team_a_tree_or_both_are_sent(self, family: str) -> None:
        """Both together are documented for productivity only, elsewhere the user is told."""
        tree = {"orgTreeName": "Engineering"}
        inside = {} if family == "productivity" else {"orgIdentifier": "O", "projectIdentifier": "P"}
        both = spec(family, org_tree_name=" Engineering ")
        assert spec(family, team_id=456).body(**IDENTIFIERS)["scope"] == {"teamId": "456"}
        assert spec(family, team_id=None, org_tree_name="Engineering").body(**IDENTIFIERS)["scope"] == tree | inside
        assert both.body(**IDENTIFIERS)["scope"] == tree | {"teamId": "456"} | inside
        assert any("one or the other" in warning for warning in both.warnings) is (family != "productivity")

    def test_identifiers_that_the_user_has_put_there_stay(self) -> None:
        """They may name another project than the call does."""
        scope = spec("ba", team_id=None, org_tree_name="E", scope={"orgIdentifier": "X"}).body(**IDENTIFIERS)["scope"]
        assert scope == {"orgTreeName": "E", "orgIdentifier": "X", "projectIdentifier": "P"}

    def test_identifiers_that_are_not_known_are_left_out(self) -> None:
        """An empty one would be worse than none."""
        assert spec("ba", team_id=None, org_tree_name="E").body(org_identifier="")["scope"] == {"orgTreeName": "E"}

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
    def test_further_keys_are_sent_as_written(self, scope: dict[str, Any]) -> None:
        """The vendor's OpenAPI document knows more ways to say whose metrics are wanted."""
        assert spec(team_id=None, scope=scope).body()["scope"] == scope

    @pytest.mark.parametrize(
        "request_",
        [
            {},
            {"team_id": " ", "org_tree_name": ""},
            {"scope": {"orgIdentifier": "O"}},
            {"scope": {"teamId": ""}},
            {"scope": {"developerIds": []}},
            {"extra_body": {"scope": {"teamId": None}}},
        ],
    )
    def test_nobody_in_particular_is_refused(self, request_: dict[str, Any]) -> None:
        """Neither team nor tree would mean the whole account."""
        error = refused(**{"team_id": None} | request_)
        assert error.field == "team_id"
        assert "neither team_id nor org_tree_name is given" in str(error)

    def test_two_different_teams_are_refused(self) -> None:
        """The same one twice is harmless."""
        assert "give it once" in str(refused(scope={"teamId": "457"}))
        assert spec(scope={"teamId": 456}).body()["scope"]["teamId"] == "456"


class TestExtraBody:
    """What the package does not know yet."""

    def test_it_is_laid_over_the_finished_body_unchecked(self) -> None:
        """The way around every rule: new fields, other cases, other values."""
        body = spec(
            granularity="weekly",
            metrics=["PR_MERGED"],
            extra_body={"options": {"granularity": "Hourly", "x": None}, "metrics": ["A"], "sprintIds": [1]},
        ).body()
        assert body["options"] == {"granularity": "Hourly", "x": None}
        assert (body["metrics"], body["sprintIds"]) == (["A"], [1])

    def test_it_may_name_the_scope(self) -> None:
        """Then no argument has to."""
        body = spec(team_id=None, extra_body={"scope": {"teamId": "9"}}).body()
        assert body["scope"] == {"teamId": "9"}

    def test_it_may_name_the_metrics(self) -> None:
        """Where a family needs some."""
        assert spec("efficiency", metric_groups=None, extra_body={"metricGroups": ["new"]}).body()["metricGroups"] == [
            "new"
        ]


class TestLevel:
    """What a row stands for."""

    @pytest.mark.parametrize(
        ("family", "key"),
        [("productivity", "aggregationLevel"), ("sprint", "metricLevel"), ("ticket-data", "aggregationLevel")],
    )
    def test_one_argument_goes_under_the_familys_own_key(self, family: str, key: str) -> None:
        """The documents have two names for it."""
        assert spec(family, level="team", granularity=None).body()["options"][key] == "team"
        assert spec(family, level="team").level == "team"

    def test_the_key_can_be_changed(self) -> None:
        """The vendor's newer page says metricLevel where the older one says aggregationLevel."""
        changed = spec(level="TEAM", level_key="metricLevel")
        assert changed.body()["options"] == {"metricLevel": "team"}
        assert changed.level == "team"
        assert spec(level="team", level_key="").body()["options"] == {"aggregationLevel": "team"}

    def test_without_a_level_there_is_none(self) -> None:
        """Nothing to compare with what the server says."""
        assert spec().level is None
        assert spec("ba").level is None


class TestRefused:
    """What cannot work."""

    @pytest.mark.parametrize(
        ("request_", "field", "words"),
        [
            ({"family": "velocity"}, "family", "known: productivity, efficiency"),
            ({"family": "spirnt"}, "family", "did you mean 'sprint'"),
            ({"date_start": None}, "date_start", "date_start is missing"),
            ({"date_end": ""}, "date_end", "date_end is missing"),
            ({"date_start": "2024-1-1"}, "date_start", "'2024-1-1' is not a day written yyyy-MM-dd"),
            ({"date_start": "2025-01-01"}, "date_start", "comes after date_end 2024-12-31"),
            ({"granularity": "montly"}, "granularity", "granularity 'montly': did you mean 'monthly'?"),
            ({"granularity": "daily"}, "granularity", "productivity exports take weekly, monthly, quarterly"),
            ({"granularity": 5}, "granularity", "5 is not documented"),
            ({"family": "sprint", "aggregation": 5}, "aggregation", "sprint exports take text"),
            ({"aggregation": "p90"}, "aggregation", "productivity exports take mean"),
            ({"level": "org"}, "level", "take developer, team"),
            ({"family": "ba", "level": "team"}, "level", "level is not an option of ba exports; known: granularity"),
            ({"family": "ba", "computation_mode": "TICKETS"}, "computation_mode", "not an option of ba exports"),
            ({"granularty": "weekly"}, "granularty", "did you mean 'granularity'"),
            ({"file_format": "json"}, "file_format", "take csv"),
            ({"issue_statuses": ["Done"]}, "issue_statuses", "is not a field of productivity exports"),
            ({"family": "efficiency", "metric_groups": []}, "metric_groups", "needs some of lttc, df, mttr"),
            ({"metrics": [5]}, "metrics", "5 is not text"),
            ({"metric_groups": {"a": 1}}, "metric_groups", "must be a list of names"),
            ({"team_id": ["456"]}, "team_id", "must be text, not list"),
            ({"org_tree_name": True}, "org_tree_name", "must be text, not bool"),
            ({"scope": "team"}, "scope", "must be a mapping"),
            ({"extra_body": [1]}, "extra_body", "must be a mapping"),
            ({"extra_body": {"a": float("inf")}}, "extra_body", "cannot be sent as JSON"),
            ({"level": "team", "level_key": 5.0}, "level_key", "must be text, not float"),
        ],
    )
    def test_a_certain_mistake_is_refused_by_name(self, request_: dict[str, Any], field: str, words: str) -> None:
        """Before anything is sent, in one sentence with the field, the value and what works."""
        error = refused(**request_)
        assert error.field == field
        assert words in str(error)
        assert field.split("_", maxsplit=1)[0] in str(error)
        assert "\n" not in str(error)


class TestWarnings:
    """What may not work."""

    def test_a_request_by_the_documents_has_none(self) -> None:
        """A warning means something."""
        assert spec(metric_groups=["activity", "codingdays"], metrics=["PR_Merged"]).warnings == ()

    def test_what_the_vendor_may_have_added_is_sent_and_told(self) -> None:
        """An unknown metric or group is no mistake for certain."""
        odd = spec(metric_groups=["activty"], metrics=["NEW_METRIC"])
        assert odd.body()["metricGroups"] == ["activty"]
        assert odd.warnings == (
            "metric_groups has 'activty', which is not documented for productivity exports: did you mean 'activity'?",
            "metrics has 'NEW_METRIC', which is not documented for productivity exports",
        )

    def test_a_one_day_period_is_told(self) -> None:
        """By the vendor's wording the start must lie before the end."""
        assert "the same day, 2024-01-01" in spec(date_end="2024-01-01").warnings[0]


class TestFingerprint:
    """What stands for a request."""

    def test_the_same_request_has_the_same_one(self) -> None:
        """Whoever sends it, and in whichever order its parts were written."""
        one = spec(granularity="weekly", level="team", extra_body={"a": 1, "b": 2})
        other = spec(extra_body={"b": 2, "a": 1}, level="TEAM", granularity="WEEKLY")
        assert one.fingerprint(**IDENTIFIERS) == other.fingerprint(**IDENTIFIERS)
        assert len(one.fingerprint()) == 64

    def test_every_difference_makes_another(self) -> None:
        """Metrics, options, dates, scope, project: all of it is the request."""
        requests = [
            spec().fingerprint(**IDENTIFIERS),
            spec().fingerprint(org_identifier="O"),
            spec("ticket-data").fingerprint(**IDENTIFIERS),
            spec(team_id="457").fingerprint(**IDENTIFIERS),
            spec(date_end="2024-12-30").fingerprint(**IDENTIFIERS),
            spec(metrics=["CFR"]).fingerprint(**IDENTIFIERS),
            spec(metric_groups=["CFR"]).fingerprint(**IDENTIFIERS),
            spec(granularity="weekly").fingerprint(**IDENTIFIERS),
            spec(level="team").fingerprint(**IDENTIFIERS),
            spec(level="team", level_key="metricLevel").fingerprint(**IDENTIFIERS),
            spec(extra_body={"x": 1}).fingerprint(**IDENTIFIERS),
        ]
        assert not [pair for pair in combinations(requests, 2) if pair[0] == pair[1]]

    def test_it_is_the_same_in_every_release(self) -> None:
        """DeliveryResult files are named by it, so a change would deliver everything anew."""
        assert fingerprint({"b": [1, "ü"], "a": None}) == (
            "e6079cc869da30fa7778650261b5c569a08642cba6de37e7cffd9ab5d28d87c8"
        )


@ANYTHING
@given(
    st.fixed_dictionaries(
        {"family": st.sampled_from(list(FAMILIES)) | json_values},
        optional={
            name: st.sampled_from(["2024-01-01", "team", "WEEKLY", "456", "['a']", "{'teamId': 1}"])
            | json_values
            | texts
            for name in (
                *("date_start", "date_end", "org_tree_name", "team_id", "scope", "metric_groups", "metrics", "level"),
                *("issue_statuses", "level_key", "extra_body", "granularity", "aggregation", "nonsense"),
            )
        },
    )
)
def test_any_words_are_a_request_or_a_usage_error(request_: dict[str, Any]) -> None:
    """Whatever a template renders to; and what is accepted can be sent."""
    checked = outcome(SEIArgumentError, ExportRequest.from_arguments, **{**YEAR, **request_})
    if isinstance(checked, SEIArgumentError):
        assert checked.field in {"team_id", "metric_groups", *request_}
    else:
        encode_json(checked.body(org_identifier="O"))
        checked.fingerprint()


class TestWords:
    """What a mistake is answered with, in full."""

    @pytest.mark.parametrize(
        ("changes", "field", "words"),
        [
            (
                {"team_id": None},
                "team_id",
                "neither team_id nor org_tree_name is given: say which team or organisation tree to export",
            ),
            (
                {"scope": {"teamId": "7"}},
                "scope",
                "scope says teamId '7', the argument of its own says '456': give it once",
            ),
            (
                {"colour": "red"},
                "colour",
                (
                    "colour is not an option of productivity exports; known: aggregation, level, granularity,"
                    " file_format, export_compression"
                ),
            ),
            ({"issue_statuses": 5}, "issue_statuses", "issue_statuses must be a list of names, not int"),
        ],
    )
    def test_it_names_the_argument(self, changes: dict[str, Any], field: str, words: str) -> None:
        """And what to do, or what there is."""
        request = {"family": "productivity", "team_id": "456", "date_start": "2024-01-01", "date_end": "2024-01-31"}
        with pytest.raises(SEIArgumentError) as caught:
            ExportRequest.from_arguments(**request | changes)
        assert (caught.value.field, str(caught.value)) == (field, words)

    def test_a_blank_option_that_a_family_has_not_is_none(self) -> None:
        """A template may render to nothing."""
        days = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
        spec = ExportRequest.from_arguments(family="ba", team_id="456", metric_groups=["CATEGORIZED"], level="", **days)
        assert "level" not in spec.options

    @pytest.mark.parametrize("key", ["metricGroups", "metrics"])
    def test_metrics_of_the_extra_body_are_metrics(self, key: str) -> None:
        """Under both of the vendor's names."""
        family = next(family.name for family in FAMILIES.values() if family.needs_metrics)
        days = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
        assert ExportRequest.from_arguments(family=family, team_id="456", extra_body={key: ["x"]}, **days).body()[
            key
        ] == ["x"]


def test_a_fingerprint_does_not_change_with_a_release() -> None:
    """Files of the same request keep their name; the letters of all scripts are in it."""
    assert (
        fingerprint(["ba", None, {"b": "Zürich", "a": 1}])
        == hashlib.sha256(b'["ba",null,{"a":1,"b":"Z\\u00fcrich"}]').hexdigest()
    )
