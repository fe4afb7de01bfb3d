"""The vendor's OpenAPI document: what we send validates against it, what it answers is understood.

The document does not forbid further fields, so a field that it lacks would pass unseen. Here every schema is closed,
and what is then left over must be a contradiction that is known; one that has gone must be struck off.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.export_request import ExportRequest
from airflow_provider_sei.protocol.exports import ExportStatus, create_call, download_request, status_call
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily
from airflow_provider_sei.protocol.http import HttpRequest, HttpResponse, check_status
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.report_request import ReportRequest, report_request
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.protocol.teams import org_tree_teams_call, teams_page_call
from tests.protocol.strategies import ANYTHING

DOCUMENT = json.loads((Path(__file__).parent / "samples" / "vendor_openapi.json").read_text("utf-8"))
OPERATIONS = {(operation["method"], operation["path"]): operation for operation in DOCUMENT["operations"]}
IN_DOCUMENT = ("productivity", "sprint")

# Known mismatches between the document and the pages, by their row in SPEC_VS_PROSE.md; the pages are followed in
# what to send, and by none of these has the document ever been seen to refuse a request.
BODY_CONTRADICTIONS = {
    "options.aggregationLevel": 20,
    "options.metricLevel": 20,
    "options.computationMode": 21,
}
REPORT_CONTRADICTIONS = {"teamRefId": 45, "dateStart is no date-time": 46, "dateEnd is no date-time": 46}
PATH_CONTRADICTIONS = {("POST", "/v2/insights/sprint/exports"): 2, ("GET", "/v2/insights/sprint/exports"): 2}
QUERY_CONTRADICTIONS = {"projectIdentifier": 10, "orgIdentifier": 10}

formats = FormatChecker(formats=[])


@formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or ("T" in value and datetime.fromisoformat(value).tzinfo is not None)


def _closed(schema: Any) -> Any:
    """Return a schema in which no object may have a property that is not declared."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return closed | {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else closed


def deviations(body: Any, schema: str, *, closed: bool = True) -> set[str]:
    """Return in what a body differs from a schema of the document."""
    schemas = {name: _closed(known) if closed else known for name, known in DOCUMENT["schemas"].items()}
    validator = Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": schemas}, format_checker=formats)
    found: set[str] = set()
    for error in validator.iter_errors(body):
        place = [str(step) for step in error.absolute_path]
        if error.validator == "additionalProperties":
            found |= {".".join([*place, extra]) for extra in error.instance.keys() - error.schema["properties"].keys()}
        elif error.validator == "format":
            found.add(f"{'.'.join(place)} is no {error.validator_value}")
        else:
            found.add(f"{'.'.join(place)}: {error.message}")
    return found


def create_operation(family: ExportFamily) -> dict[str, Any]:
    """Return the document's operation for creating an export of a family."""
    found: dict[str, Any] = OPERATIONS["POST", f"/{family.alternate_collection_path or family.collection_path}"]
    return found


def all_specs(family: ExportFamily) -> Iterator[ExportRequest]:
    """Return a request for every value of every option, scope and choice of metrics."""
    scopes: list[dict[str, Any]] = [
        {"team_id": 456},
        {"org_tree_name": "Engineering"},
        {"org_tree_name": "Engineering", "team_id": "456"},
        {"scope": {"managerEmailId": "manager"}},
        {"scope": {"developerIds": ["1"], "developerAttributes": [{"key": "role", "value": ["lead"]}]}},
    ]
    metrics: list[dict[str, Any]] = [
        {},
        {"metric_groups": family.metric_groups},
        {"metrics": family.metrics},
        {"metric_groups": family.metric_groups[0], "metrics": family.metrics[0]},
    ]
    options: list[dict[str, Any]] = [{}] + [
        {option.argument: value} for option in family.options for value in option.values or ("mean",)
    ]
    if family.option("level"):
        options += [{"level": "team", "level_key": key} for key in ("metricLevel", "aggregationLevel")]
    for scope, names, option in product(scopes, metrics, options):
        yield ExportRequest.from_arguments(
            family=family.name, date_start="2024-01-01", date_end="2024-12-31", **scope, **names, **option
        )


def is_not_none(text: str) -> bool:
    """Return whether a text is another than the word that a template renders a missing value to."""
    return text.strip() != "None"


class TestRequests:
    """What is sent."""

    @pytest.mark.parametrize("name", IN_DOCUMENT)
    def test_every_create_body_validates(self, name: str) -> None:
        """As the document stands: each value of each option, with each scope and each choice of metrics."""
        schema = create_operation(FAMILIES[name])["body"]
        for spec in all_specs(FAMILIES[name]):
            body = spec.body(org_identifier="O", project_identifier="P")
            assert deviations(body, schema, closed=False) == set()

    def test_what_the_document_lacks_is_known(self) -> None:
        """No field more, and none less: a contradiction that the vendor mends is to be struck off."""
        found: set[str] = set()
        for name in IN_DOCUMENT:
            for spec in all_specs(FAMILIES[name]):
                found |= deviations(spec.body(org_identifier="O"), create_operation(FAMILIES[name])["body"])
        assert found == BODY_CONTRADICTIONS.keys()

    @ANYTHING
    @given(st.sampled_from(IN_DOCUMENT), st.data())
    def test_any_mixture_of_arguments_validates(self, name: str, data: st.DataObject) -> None:
        """Options together, names in any number, texts of any kind."""
        family = FAMILIES[name]
        options = {option.argument: st.sampled_from(option.values or ("mean", "p99")) for option in family.options}
        names = st.lists(st.text(min_size=1, max_size=8), max_size=3)
        spec = ExportRequest.from_arguments(
            family=name,
            date_start=data.draw(st.dates()).isoformat(),
            date_end="9999-12-31",
            team_id=data.draw(st.integers(0) | st.from_regex(r"\w+", fullmatch=True).filter(is_not_none)),
            org_tree_name=data.draw(st.none() | st.text().filter(is_not_none)),
            metric_groups=data.draw(names),
            metrics=data.draw(names),
            **data.draw(st.fixed_dictionaries({}, optional=options)),
        )
        assert deviations(spec.body(org_identifier="O"), create_operation(family)["body"]) <= BODY_CONTRADICTIONS.keys()

    def test_a_wrong_body_would_be_seen(self) -> None:
        """The check can fail: a missing range, a number for a text, an unknown field."""
        wrong = {"scope": {"teamId": 456}, "metricLevel": "team"}
        assert deviations(wrong, "MetricsExportRequestDTO") == {
            ": 'dateRange' is a required property",
            "scope.teamId: 456 is not of type 'string'",
            "metricLevel",
        }

    def test_reports_differ_from_the_document_as_is_known_only(self) -> None:
        """The pages ask for days and for teamRefId; the document knows neither."""
        found: set[str] = set()
        for arguments in (
            {"report_type": "team"},
            {"report_type": "team", "efficiency_metrics": ["LEAD_TIME_FOR_CHANGES"], "calculation_type": "P90"},
            {"report_type": "contributor", "include_ratings": True, "contributor_metrics": ["CODING_DAYS"]},
        ):
            spec = ReportRequest.from_arguments(
                collection_id="1", date_start="2024-01-01", date_end="2024-12-31", **arguments
            )
            found |= deviations(spec.body, "ExportRequestDTO")
        assert found == REPORT_CONTRADICTIONS.keys()

    def test_the_search_for_teams_validates(self) -> None:
        """By tree or at large."""
        operation = OPERATIONS["POST", "/v2/teams/list"]
        for tree in ("Engineering", None):
            request = teams_page_call(tree, 0).request
            assert deviations(request.body, operation["body"]) == set()
            assert dict(request.query).keys() <= operation["query"].keys()


class TestAddresses:
    """Where it is sent."""

    @pytest.mark.parametrize("name", IN_DOCUMENT)
    def test_every_call_has_an_operation_or_a_known_reason(self, name: str) -> None:
        """One family is created at a path that the document does not have; its other spelling is there."""
        family = FAMILIES[name]
        calls = [
            create_call(family, {}),
            create_call(family, {}, alternate=True),
            status_call(family, "{exportId}"),
            list_call(family, ()),
        ]
        missing = {
            address
            for call in calls
            if (address := (call.request.method, "/" + call.request.path.replace("%7B", "{").replace("%7D", "}")))
            not in OPERATIONS
        }
        assert missing <= PATH_CONTRADICTIONS.keys()
        assert bool(missing) is (name == "sprint")
        assert (
            "GET",
            "/" + org_tree_teams_call("{orgTreeId}").request.path.replace("%7B", "{").replace("%7D", "}"),
        ) in (OPERATIONS)

    def test_the_lists_filters_are_the_documents(self) -> None:
        """Names, spellings and date-times."""
        declared = OPERATIONS["GET", "/v2/insights/productivity/exports"]["query"]
        for status in ("queued", "processing", "completed", "failed", "cancelled"):
            query = dict(
                list_query(
                    status=status,
                    scope="all",
                    team_id=1,
                    created_by="u",
                    date_from="2024-01-01",
                    date_to="2024-12-31",
                    sort_by="status",
                    sort_order="asc",
                )
            )
            assert query.keys() == declared.keys()
            for key, value in query.items():
                parsed = int(value) if declared[key]["type"] == "integer" else value
                Draft202012Validator(declared[key], format_checker=formats).validate(parsed)

    @pytest.mark.parametrize("name", IN_DOCUMENT)
    def test_identifiers_are_sent_though_only_create_declares_them(self, name: str) -> None:
        """Every page says that all calls need them."""
        family = FAMILIES[name]
        create = create_operation(family)["query"]
        item = OPERATIONS["GET", f"/{family.item_path}/{{exportId}}"]["query"]
        assert create.keys() == QUERY_CONTRADICTIONS.keys()
        assert item == {}
        assert status_call(family, "exp_1").request.identifiers_required

    def test_a_report_goes_to_the_documents_path_with_its_parameters(self) -> None:
        """The account goes under the name that this endpoint has for it."""
        spec = ReportRequest.from_arguments(
            report_type="team", collection_id="1", date_start="2024-01-01", date_end="2024-12-31"
        )
        request = report_request(spec)
        operation = OPERATIONS[request.method, f"/{request.path}"]
        assert {*dict(request.query), request.account_parameter} <= operation["query"].keys()


def _parsed(operation: dict[str, Any], answer: dict[str, Any]) -> Any:
    """Return what the call that belongs to an operation reads in an example answer."""
    name = "sprint" if "sprints" in operation["path"] else "productivity"
    response = HttpResponse(
        answer["status"], {"content-type": answer["content_type"]}, json.dumps(answer["body"]).encode()
    )
    if operation["path"].endswith("/download"):
        return check_status(response, "download it")
    if operation["method"] == "POST":
        return create_call(FAMILIES[name], {}).parse(response)
    if operation["path"].endswith("{exportId}"):
        return status_call(FAMILIES[name], "exp_7a8b9c0d").parse(response)
    return list_call(FAMILIES[name], ()).parse(response)


ANSWERS = [
    pytest.param(operation, answer, id=f"{operation['method']} {operation['path']} {answer['status']}")
    for operation in DOCUMENT["operations"]
    for answer in operation["answers"]
]


class TestAnswers:
    """What comes back."""

    def test_there_are_as_many_as_the_document_has(self) -> None:
        """Seven for each of its two families, and seven for the alias of one."""
        assert len(ANSWERS) == 21

    @pytest.mark.parametrize(("operation", "answer"), ANSWERS)
    def test_each_example_is_understood(self, operation: dict[str, Any], answer: dict[str, Any]) -> None:
        """A value for each success, an error of the right kind for each refusal, and nobody's name in either."""
        refusals = {400: errors.SEIBadRequestError, 404: errors.SEINotFoundError}
        if answer["status"] in refusals:
            with pytest.raises(refusals[answer["status"]]) as caught:
                _parsed(operation, answer)
            assert caught.value.vendor_message == answer["body"]["message"]
            assert caught.value.vendor_code == answer["body"]["error"]
            return
        read = _parsed(operation, answer)
        if operation["method"] == "GET" and "exports" in answer["body"]:
            assert read.more is True
            (export,) = read.exports
        else:
            export = read
        assert export.export_id.startswith("exp_")
        assert export.created_at.startswith("2025-12-29T")
        if operation["method"] == "POST":
            assert export.reused is (answer["status"] == 200)
        else:
            assert export.status is ExportStatus.COMPLETED
            assert export.level in ("developer", "sprint")
            self._check_file(export, answer)
        assert not {"John", "Jane", "company.com"} & set(
            repr(asdict(export)).replace("@", " ").replace("'", " ").split()
        )

    def _check_file(self, export: Any, answer: dict[str, Any]) -> None:
        connection = SEISettings.from_fields(
            host="eu", password="KEY", extra={"project_identifier": "P", "org_identifier": "O"}
        )
        named = answer["body"].get("download", {}).get("url") or answer["body"]["exports"][0]["downloadUrl"]
        assert connection.url(HttpRequest(method="GET", path=download_request(export).path)) == (
            f"https://accounts.eu.harness.io/sei/api{named}?projectIdentifier=P&orgIdentifier=O"
        )
        if not export.summary:
            assert (export.filename, export.size_bytes) == (answer["body"]["download"]["filename"], 245672)
