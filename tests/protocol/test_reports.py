"""The legacy reports' requests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.http import Api, encode_json
from airflow_provider_sei.protocol.report_request import _LONGEST_NUMBER, ReportRequest, report_request
from tests.protocol.strategies import ANYTHING, json_values, outcome, texts


def spec(report_type: str = "team", **request: Any) -> ReportRequest:
    """Return a checked request for collection 123 over a year, with changes."""
    return ReportRequest.from_arguments(
        **{
            "report_type": report_type,
            "collection_id": "123",
            "date_start": "2024-01-01",
            "date_end": "2024-12-31",
        }
        | request
    )


class TestTeamReport:
    """A row a team."""

    def test_one_identifier_fills_both_fields(self) -> None:
        """The vendor says that collectionId (text) and teamRefId (number) are the same."""
        body = spec(collection_id=" 0123 ").body
        assert (body["collectionId"], body["teamRefId"]) == ("0123", 123)
        assert spec(collection_id=123).body["collectionId"] == "123"

    @pytest.mark.parametrize(
        ("fields", "kept"),
        [
            (["collectionId"], {"collectionId": "123"}),
            ("teamrefid", {"teamRefId": 123}),
            (["teamRefId", "collectionId"], {"collectionId": "123", "teamRefId": 123}),
            ([], {"collectionId": "123", "teamRefId": 123}),
        ],
    )
    def test_either_field_can_be_left_out(self, fields: object, kept: dict[str, Any]) -> None:
        """The vendor's OpenAPI document does not know teamRefId, two of its examples do not have collectionId."""
        body = spec(identifier_fields=fields).body
        assert {key: body[key] for key in ("collectionId", "teamRefId") if key in body} == kept

    def test_a_collection_that_is_no_number_needs_no_team_ref(self) -> None:
        """Only teamRefId must be one."""
        assert spec(collection_id="c-1", identifier_fields=["collectionId"]).body["collectionId"] == "c-1"

    def test_without_metrics_everything_is_asked_for(self) -> None:
        """An empty list means all of its kind."""
        body = spec().body
        assert (body["productivity"], body["efficiency"]) == ({"metrics": []}, {"metrics": []})

    def test_a_part_that_is_not_given_is_left_out(self) -> None:
        """An empty one asks for all."""
        assert "efficiency" not in spec(productivity_metrics=[]).body
        assert spec(productivity_metrics=[]).body["productivity"] == {"metrics": []}
        assert "productivity" not in spec(efficiency_metrics=["LEAD_TIME_FOR_CHANGES"]).body

    def test_a_calculation_type_goes_with_the_efficiency_part(self) -> None:
        """In upper case, however it is written."""
        part = spec(efficiency_metrics=["LEAD_TIME_FOR_CHANGES"], calculation_type="p90").body["efficiency"]
        assert part == {"metrics": ["LEAD_TIME_FOR_CHANGES"], "calculationType": "P90"}

    @pytest.mark.parametrize(
        ("granularity", "sent"), [("daily", "daily"), ("WEEKLY", "WEEKLY"), (" Monthly ", "Monthly")]
    )
    def test_the_granularity_is_sent_as_written(self, granularity: str, sent: str) -> None:
        """The documents show both cases."""
        assert spec(granularity=granularity).body["granularity"] == sent

    def test_the_granularity_is_weekly_unless_said(self) -> None:
        """Required by one table, left out by the examples."""
        assert spec().body["granularity"] == "weekly"
        assert "granularity" not in spec(granularity=None).body


class TestContributorReport:
    """A row a developer."""

    def test_its_body(self) -> None:
        """By the documents it has no teamRefId."""
        body = spec("Contributor", contributor_metrics="CODING_DAYS,PR_VELOCITY", include_ratings="True").body
        assert encode_json(body) == encode_json(
            {
                "collectionId": "123",
                "dateStart": "2024-01-01",
                "dateEnd": "2024-12-31",
                "granularity": "weekly",
                "includeRatings": True,
                "productivityContributors": {"metrics": ["CODING_DAYS", "PR_VELOCITY"]},
            }
        )

    def test_without_metrics_everything_is_asked_for(self) -> None:
        """Ratings are left to the server's default."""
        body = spec("contributor").body
        assert body["productivityContributors"] == {"metrics": []}
        assert "includeRatings" not in body

    @pytest.mark.parametrize(("value", "sent"), [(False, False), ("false", False), (" TRUE ", True), (True, True)])
    def test_ratings_may_come_from_a_template(self, value: object, *, sent: bool) -> None:
        """A rendered boolean is text."""
        assert spec("contributor", include_ratings=value).body["includeRatings"] is sent


class TestRefused:
    """What cannot work."""

    @pytest.mark.parametrize(
        ("request_", "field", "words"),
        [
            ({"report_type": "teams"}, "report_type", "did you mean 'team'"),
            ({"report_type": None}, "report_type", "is not one of team, contributor"),
            ({"date_start": "2024-1-1"}, "date_start", "is not a day written yyyy-MM-dd"),
            ({"date_end": "2023-12-31"}, "date_start", "comes after"),
            ({"collection_id": " "}, "collection_id", "copy the number after collectionId="),
            ({"collection_id": None}, "collection_id", "collection_id is missing"),
            ({"collection_id": True}, "collection_id", "must be text, not bool"),
            ({"collection_id": "team-1"}, "collection_id", 'identifier_fields=["collectionId"]'),
            ({"collection_id": "²"}, "collection_id", "is not a number"),
            ({"collection_id": "1" * 5000}, "collection_id", "is not a number"),
            ({"identifier_fields": ["teamRefID", "collectonId"]}, "identifier_fields", "did you mean 'collectionId'"),
            ({"granularity": "quarterly"}, "granularity", "is not one of daily, weekly, monthly"),
            ({"calculation_type": "MEAN"}, "calculation_type", "belongs to efficiency_metrics"),
            ({"efficiency_metrics": [], "calculation_type": "p99"}, "calculation_type", "MEAN, MEDIAN, P90, P95"),
            ({"include_ratings": True}, "include_ratings", "does not go with a team report"),
            ({"contributor_metrics": []}, "contributor_metrics", "does not go with a team report"),
            ({"report_type": "contributor", "productivity_metrics": []}, "productivity_metrics", "contributor report"),
            ({"report_type": "contributor", "efficiency_metrics": []}, "efficiency_metrics", "contributor report"),
            ({"report_type": "contributor", "calculation_type": "P90"}, "calculation_type", "contributor report"),
            ({"report_type": "contributor", "include_ratings": "yes"}, "include_ratings", "must be true or false"),
            ({"productivity_metrics": 5}, "productivity_metrics", "must be a list of names"),
            ({"extra_body": "x"}, "extra_body", "must be a mapping"),
        ],
    )
    def test_a_certain_mistake_is_refused_by_name(self, request_: dict[str, Any], field: str, words: str) -> None:
        """Before anything is sent."""
        with pytest.raises(SEIArgumentError) as caught:
            spec(**request_)
        assert caught.value.field == field
        assert words in str(caught.value)
        assert field in str(caught.value)


class TestWarnings:
    """What may not work."""

    def test_documented_metrics_have_none(self) -> None:
        """In any case."""
        assert spec(productivity_metrics=["coding_days_per_dev"], efficiency_metrics=["OVERALL_DORA"]).warnings == ()
        assert spec("contributor", contributor_metrics=["work_type_completed"]).warnings == ()

    def test_a_metric_of_another_part_is_told(self) -> None:
        """The server would leave it out, or refuse the request; it is sent as written."""
        odd = spec(productivity_metrics=["DEPLOYMENT_FREQUENCY"], efficiency_metrics=["LEAD_TIME_FOR_CHANGE"])
        assert odd.body["productivity"] == {"metrics": ["DEPLOYMENT_FREQUENCY"]}
        assert odd.warnings == (
            "productivity_metrics has 'DEPLOYMENT_FREQUENCY', which is not documented for legacy reports",
            (
                "efficiency_metrics has 'LEAD_TIME_FOR_CHANGE', which is not documented for legacy reports:"
                " did you mean 'LEAD_TIME_FOR_CHANGES'?"
            ),
        )


class TestRequest:
    """The call."""

    def test_it_is_a_call_of_the_legacy_api(self) -> None:
        """Its key header, its account parameter and its patience are its own."""
        request = report_request(spec())
        assert (request.method, request.path, request.query) == (
            "POST",
            "v2/insights/teams/reports",
            (("format", "csv"),),
        )
        assert request.api is Api.LEGACY
        assert request.account_parameter == "accountId"
        assert request.identifiers_required is False
        assert request.timeout == 300.0
        assert request.body == spec().body

    def test_extra_fields_are_merged_into_the_body(self) -> None:
        """The OpenAPI document knows fields that the prose does not."""
        body = spec(extra_body={"sprintInsights": {"metrics": []}, "productivity": {"x": 1}}).body
        assert body["sprintInsights"] == {"metrics": []}
        assert body["productivity"] == {"metrics": [], "x": 1}


@ANYTHING
@given(
    st.fixed_dictionaries(
        {"report_type": st.sampled_from(["team", "contributor"])},
        optional={
            name: st.sampled_from(["123", "weekly", "['a']", "true", "P90", "teamRefId"]) | json_values | texts
            for name in (
                *("collection_id", "date_start", "granularity", "productivity_metrics", "efficiency_metrics"),
                *("calculation_type", "include_ratings", "contributor_metrics", "identifier_fields", "extra_body"),
            )
        },
    )
)
def test_any_words_are_a_request_or_a_usage_error(request_: dict[str, Any]) -> None:
    """Whatever a template renders to; and what is accepted can be sent."""
    checked = outcome(SEIArgumentError, spec, **request_)
    if isinstance(checked, SEIArgumentError):
        assert checked.field in request_
    else:
        encode_json(checked.body)


class TestDetails:
    """What the request keeps, and what a mistake is answered with."""

    def test_the_request_says_what_it_is(self) -> None:
        """For names, lineage and logs."""
        made = spec("contributor")
        assert (made.report_type, made.collection_id) == ("contributor", "123")
        assert (made.date_start, made.date_end) == ("2024-01-01", "2024-12-31")
        assert report_request(made).accept == "text/csv, */*;q=0.5"

    def test_blank_arguments_are_none(self) -> None:
        """A template may render to nothing."""
        team = spec(granularity="", include_ratings="", contributor_metrics="", calculation_type="")
        assert "granularity" not in team.body
        rated = spec(efficiency_metrics=["OVERALL_DORA"], calculation_type="")
        assert rated.body["efficiency"] == {"metrics": ["OVERALL_DORA"]}
        assert "includeRatings" not in spec("contributor", include_ratings="", productivity_metrics="").body

    @pytest.mark.parametrize(
        ("changes", "field", "words"),
        [
            (
                {"calculation_type": "P90"},
                "calculation_type",
                "calculation_type belongs to efficiency_metrics, which is not given",
            ),
            (
                {"efficiency_metrics": 5},
                "efficiency_metrics",
                "efficiency_metrics must be a list of names, not int",
            ),
            (
                {"collection_id": None},
                "collection_id",
                (
                    "collection_id is missing: open the team on SEI's Insights page and copy the number after"
                    " collectionId= in the address"
                ),
            ),
            (
                {"collection_id": "c-1"},
                "collection_id",
                (
                    "collection_id 'c-1' is not a number, as teamRefId must be;"
                    ' identifier_fields=["collectionId"] leaves teamRefId out'
                ),
            ),
        ],
    )
    def test_a_mistake_is_told_in_full(self, changes: dict[str, Any], field: str, words: str) -> None:
        """With what to do."""
        with pytest.raises(SEIArgumentError) as caught:
            spec(**changes)
        assert (caught.value.field, str(caught.value)) == (field, words)

    def test_the_longest_number_is_one(self) -> None:
        """One digit more is none."""
        longest = "1" * _LONGEST_NUMBER
        assert spec(collection_id=longest).body["teamRefId"] == int(longest)
        with pytest.raises(SEIArgumentError, match="is not a number"):
            spec(collection_id=f"{longest}1")
