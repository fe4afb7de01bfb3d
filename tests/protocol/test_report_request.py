"""Requests for legacy reports."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.protocol.http import Api
from airflow_provider_sei.protocol.report_request import REPORT_FIELDS, ReportRequest, check_report
from tests.protocol.strategies import ANYTHING, json_values, outcome, texts
from tests.protocol.strategies import sent as encoded

PERIOD = {"date_start": "2024-01-01", "date_end": "2024-12-31"}
CONTRIBUTOR = {"report_type": "contributor"}
ALL: dict[str, Any] = {"metrics": []}
RATED = {"includeRatings": True}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"report_type": "teams"}, "report_type", "did you mean 'team'"),
    ({"report_type": None}, "report_type", "is not one of team, contributor"),
    ({"date_start": "2024-1-1"}, "date_start", "yyyy-MM-dd"),
    ({"date_end": "2023-12-31"}, "date_start", "is after"),
    *(({"collection_id": nothing}, "collection_id", "copy the number after collectionId=") for nothing in (None, " ")),
    ({"collection_id": True}, "collection_id", "must be text, not bool"),
    ({"collection_id": "team-1"}, "collection_id", 'identifier_fields=["collectionId"]'),
    *(({"collection_id": odd}, "collection_id", "is not a number") for odd in ("²", "-1", "1" * 19, "1" * 5000)),
    ({"identifier_fields": ["teamRefID", "collectonId"]}, "identifier_fields", "did you mean 'collectionId'"),
    ({"granularity": 5.5}, "granularity", "must be text, not float"),
    ({"calculation_type": "MEAN"}, "calculation_type", "applies to efficiency_metrics"),
    ({"efficiency_metrics": [], "calculation_type": "p99"}, "calculation_type", "MEAN, MEDIAN, P90, P95"),
    ({**CONTRIBUTOR, "calculation_type": "MEAN"}, "calculation_type", "applies to efficiency_metrics"),
    ({"include_rating": True}, "include_rating", "did you mean 'include_ratings'"),
    ({**CONTRIBUTOR, "include_ratings": "yes"}, "include_ratings", "must be true or false"),
    ({"productivity_metrics": 5}, "productivity_metrics", "must be a list of names"),
    ({"extra_body": "x"}, "extra_body", "must be a mapping"),
]


def arguments(report_type: str = "team", **changes: Any) -> dict[str, Any]:
    """Return arguments for collection 123 over a year, with changes."""
    return {"report_type": report_type, "collection_id": "123", **PERIOD} | changes


def body(report_type: str = "team", **changes: Any) -> dict[str, Any]:
    """Return the body of a request with these arguments."""
    return dict(ReportRequest.from_arguments(**arguments(report_type, **changes)).body)


class TestTeamReport:
    """A row per team."""

    @pytest.mark.parametrize(
        ("fields", "collection_id", "sent"),
        [
            (None, " 0123 ", {"collectionId": "0123", "teamRefId": 123}),
            (None, 123, {"collectionId": "123", "teamRefId": 123}),
            ([], "1" * 18, {"collectionId": "1" * 18, "teamRefId": int("1" * 18)}),
            (["collectionId"], "c-1", {"collectionId": "c-1"}),
            ("teamrefid", "123", {"teamRefId": 123}),
            (["teamRefId", "collectionId"], "123", {"collectionId": "123", "teamRefId": 123}),
        ],
    )
    def test_both_identifiers_are_set_from_one(
        self, fields: object, collection_id: object, sent: dict[str, Any]
    ) -> None:
        """The vendor: collectionId (text) and teamRefId (a 64-bit number) are the same.

        Either can be omitted: the OpenAPI document lacks teamRefId, two of the prose's examples lack collectionId.
        """
        made = body(identifier_fields=fields, collection_id=collection_id)
        assert {key: made[key] for key in ("collectionId", "teamRefId") if key in made} == sent

    @pytest.mark.parametrize(
        ("parts", "sent"),
        [
            *((nothing, {"productivity": ALL, "efficiency": ALL}) for nothing in ({}, {"contributor_metrics": ""})),
            ({"productivity_metrics": []}, {"productivity": ALL}),
            ({"efficiency_metrics": ["A"], "calculation_type": ""}, {"efficiency": {"metrics": ["A"]}}),
            (
                {"efficiency_metrics": "A", "calculation_type": "p90"},
                {"efficiency": {"metrics": ["A"], "calculationType": "P90"}},
            ),
        ],
    )
    def test_a_part_that_is_not_given_is_omitted(self, parts: dict[str, Any], sent: dict[str, Any]) -> None:
        """An empty list means all of its metrics; if neither part is given, both are sent so."""
        made = body(**parts)
        assert {key: made[key] for key in ("productivity", "efficiency") if key in made} == sent

    @pytest.mark.parametrize(
        ("granularity", "sent"),
        [("daily", "daily"), ("WEEKLY", "WEEKLY"), (" Monthly ", "Monthly"), ("", None), (None, None)],
    )
    def test_the_granularity_is_sent_as_written(self, granularity: str | None, sent: str | None) -> None:
        """The documents show both cases; weekly is the default."""
        assert body(granularity=granularity).get("granularity") == sent
        assert body()["granularity"] == "weekly"


class TestContributorReport:
    """A row per developer."""

    @pytest.mark.parametrize(
        ("changes", "sent", "warned"),
        [
            # The example of the ratings has DORA metrics, and the parent team's row.
            (
                {**CONTRIBUTOR, "include_ratings": True, "efficiency_metrics": "MEAN_TIME_TO_RESTORE"},
                RATED | {"efficiency": {"metrics": ["MEAN_TIME_TO_RESTORE"]}, "productivityContributors": ALL},
                [],
            ),
            ({"include_ratings": True}, RATED | {"productivity": ALL, "efficiency": ALL}, []),
            (
                {"include_ratings": "true", "efficiency_metrics": [], "calculation_type": "P90"},
                RATED | {"efficiency": {**ALL, "calculationType": "P90"}},
                [],
            ),
            (
                {**CONTRIBUTOR, "productivity_metrics": [], "efficiency_metrics": []},
                dict.fromkeys(("productivity", "efficiency", "productivityContributors"), ALL),
                ["'productivity'", "'efficiency'"],
            ),
            ({"contributor_metrics": []}, {"productivityContributors": ALL}, ["'productivityContributors'"]),
            (
                {"granularity": " sprint", "productivity_metrics": []},
                {"granularity": "sprint", "productivity": ALL},
                ["'sprint'"],
            ),
        ],
    )
    def test_what_is_documented_nowhere_is_sent_with_one_warning(
        self, changes: dict[str, Any], sent: dict[str, Any], warned: list[str]
    ) -> None:
        """The document has examples and common values here, no closed lists."""
        made = ReportRequest.from_arguments(**arguments(**{"granularity": None} | changes))
        check_report(arguments(**changes), lambda _: True)
        envelope = ("collectionId", "teamRefId", "dateStart", "dateEnd")
        assert encoded({key: made.body[key] for key in made.body if key not in envelope}) == encoded(sent)
        assert len(made.warnings) == len(warned)
        assert all(
            word in warning and "not documented" in warning for word, warning in zip(warned, made.warnings, strict=True)
        )

    def test_without_metrics_all_are_requested(self) -> None:
        """Ratings are left to the server's default."""
        blank = dict.fromkeys(("contributor_metrics", "include_ratings", "productivity_metrics"), "")
        assert body("contributor", **blank)["productivityContributors"] == {"metrics": []}
        assert "includeRatings" not in body("contributor", **blank)
        assert body("contributor", include_ratings=False)["includeRatings"] is False


class TestRefused:
    """Certain mistakes."""

    @pytest.mark.parametrize(("changes", "field", "words"), REFUSED)
    def test_by_name_before_anything_is_sent(self, changes: dict[str, Any], field: str, words: str) -> None:
        """When the task runs, and when the DAG is parsed."""
        for check in (
            lambda given: ReportRequest.from_arguments(**given),
            lambda given: check_report(given, lambda _: True),
        ):
            with pytest.raises(SEIArgumentError) as caught:
                check(arguments(**changes))
            assert caught.value.field == field
            assert words in str(caught.value)
            assert field in str(caught.value)

    @pytest.mark.parametrize("name", REPORT_FIELDS)
    def test_templates_are_not_refused_when_the_dag_is_parsed(self, name: str) -> None:
        """Days that are known still are, if they are wrong."""
        template = object()
        check_report(arguments(**{name: template}), lambda value: value is not template)
        if not name.startswith("date"):
            with pytest.raises(SEIArgumentError, match="yyyy-MM-dd"):
                check_report(arguments(date_start="x", **{name: template}), lambda value: value is not template)


class TestRequest:
    """The call."""

    def test_it_is_a_call_of_the_legacy_api(self) -> None:
        """With its own key header, account parameter and read timeout; extra fields are merged into the body."""
        made = ReportRequest.from_arguments(**arguments("contributor"))
        sent = made.http_request()
        assert (sent.method, sent.path, sent.query) == ("POST", "v2/insights/teams/reports", {"format": "csv"})
        assert (sent.api, sent.account_parameter, sent.identifiers_required) == (Api.LEGACY, "accountId", False)
        assert sent.read_timeout == 300.0
        assert sent.accept.startswith("text/csv")
        assert sent.body == made.body
        extra = body(extra_body={"sprintInsights": {"metrics": []}, "productivity": {"x": 1}})
        assert (extra["sprintInsights"], extra["productivity"]) == ({"metrics": []}, {"metrics": [], "x": 1})
        assert (made.report_type, made.collection_id, made.date_start, made.date_end) == (
            "contributor",
            "123",
            *PERIOD.values(),
        )

    def test_only_undocumented_metrics_are_warned_of(self) -> None:
        """Those of another part, too: the server may omit them; they are sent as written."""
        odd = arguments(productivity_metrics=["DEPLOYMENT_FREQUENCY"], efficiency_metrics=["LEAD_TIME_FOR_CHANGE"])
        first, second = ReportRequest.from_arguments(**odd).warnings
        assert "productivity_metrics has 'DEPLOYMENT_FREQUENCY', which is not documented" in first
        assert "did you mean 'LEAD_TIME_FOR_CHANGES'" in second
        assert body(**odd)["productivity"] == {"metrics": ["DEPLOYMENT_FREQUENCY"]}
        for fine in (
            arguments(productivity_metrics=["coding_days_per_dev"], efficiency_metrics=["OVERALL_DORA"]),
            arguments("contributor", contributor_metrics=["work_type_completed"]),
        ):
            assert ReportRequest.from_arguments(**fine).warnings == ()


@ANYTHING
@given(
    st.fixed_dictionaries(
        {"report_type": st.sampled_from(["team", "contributor"])},
        optional={
            name: st.sampled_from(["123", "weekly", "['a']", "true", "P90", "teamRefId"]) | json_values | texts
            for name in REPORT_FIELDS
            if name != "report_type"
        },
    )
)
def test_any_arguments_are_a_request_that_can_be_sent_or_refused(changes: dict[str, Any]) -> None:
    """Whatever a template renders to."""
    made = outcome(SEIArgumentError, ReportRequest.from_arguments, **arguments(**changes))
    if isinstance(made, SEIArgumentError):
        assert made.field in {"date_start", *changes}
    else:
        encoded(made.body)
