"""The vendor's OpenAPI document: requests validate against it, and its example responses are understood.

So are those of the vendor's pages; the requests that the pages show are in ``tests/operators``.

The document allows additional properties, so a field that it lacks would go unnoticed. Here every schema is closed, and
each deviation must be a known one; a known one that has disappeared must be removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.export_request import ExportRequest
from airflow_provider_sei.protocol.exports import ExportStatus, create_call, download_requests, status_call
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily
from airflow_provider_sei.protocol.http import Call, HttpResponse, check_status
from airflow_provider_sei.protocol.listing import Page, list_call, list_query
from airflow_provider_sei.protocol.report_request import ReportRequest
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.protocol.teams import org_tree_teams_call, teams_page_call
from tests.protocol.strategies import ANYTHING

SAMPLES = Path(__file__).parent / "samples"
PAGES = json.loads((SAMPLES / "documented_examples.json").read_text("utf-8"))
DOCUMENT = json.loads((SAMPLES / "vendor_openapi.json").read_text("utf-8"))
OPERATIONS = {(operation["method"], operation["path"]): operation for operation in DOCUMENT["operations"]}
IN_DOCUMENT = ("productivity", "sprint")
IDENTIFIERS = "projectIdentifier=P&orgIdentifier=O"
CONNECTION = SEISettings.from_fields(
    host="eu", password="KEY", extra={"project_identifier": "P", "org_identifier": "O"}
)

# Where the document contradicts the vendor's pages, which are followed, by the row in SPEC_VS_PROSE.md.
BODY_CONTRADICTIONS = {"options.aggregationLevel": 20, "options.metricLevel": 20, "options.computationMode": 21}
REPORT_CONTRADICTIONS = {"teamRefId": 45, "dateStart is no date-time": 46, "dateEnd is no date-time": 46}
PATH_CONTRADICTIONS = {("POST", "/v2/insights/sprint/exports"): 2, ("GET", "/v2/insights/sprint/exports"): 2}
QUERY_CONTRADICTIONS = {"projectIdentifier": 10, "orgIdentifier": 10}  # required for all calls, declared for one

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


@cache
def validator(schema: str, *, closed: bool) -> Any:
    """Return the validator of a schema of the document."""
    schemas = {name: _closed(known) if closed else known for name, known in DOCUMENT["schemas"].items()}
    return Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": schemas}, format_checker=formats)


def deviations(body: Any, schema: str, *, closed: bool = True) -> set[str]:
    """Return how a body deviates from a schema of the document."""
    found: set[str] = set()
    for error in validator(schema, closed=closed).iter_errors(body):
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


def all_requests(family: ExportFamily) -> Iterator[ExportRequest]:
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
    options += [{"extra_body": {"options": {key: "team"}}} for key in ("metricLevel", "aggregationLevel")]
    for scope, names, option in product(scopes, metrics, options):
        yield ExportRequest.from_arguments(
            family=family.name, date_start="2024-01-01", date_end="2024-12-31", **scope, **names, **option
        )


def _is_not_none(text: str) -> bool:
    return text.strip() != "None"  # refused, because a template without a value renders to it


def test_every_create_body_validates_except_for_known_fields() -> None:
    """Each value of each option, with each scope and each choice of metrics."""
    found: set[str] = set()
    for family in (FAMILIES[name] for name in IN_DOCUMENT):
        schema = create_operation(family)["body"]
        for request in all_requests(family):
            body = request.body(org_identifier="O", project_identifier="P")
            assert deviations(body, schema, closed=False) == set()
            found |= deviations(body, schema)
    assert found == BODY_CONTRADICTIONS.keys()


@ANYTHING
@given(st.sampled_from(IN_DOCUMENT), st.data())
def test_any_mixture_of_arguments_validates(name: str, data: st.DataObject) -> None:
    """Options together, names in any number, texts of any kind."""
    family = FAMILIES[name]
    options = {option.argument: st.sampled_from(option.values or ("mean", "p99")) for option in family.options}
    names = st.lists(st.text(min_size=1, max_size=8), max_size=3)
    request = ExportRequest.from_arguments(
        family=name,
        date_start=data.draw(st.dates()).isoformat(),
        date_end="9999-12-31",
        team_id=data.draw(st.integers(0) | st.from_regex(r"\w+", fullmatch=True).filter(_is_not_none)),
        org_tree_name=data.draw(st.none() | st.text().filter(_is_not_none)),
        metric_groups=data.draw(names),
        metrics=data.draw(names),
        **data.draw(st.fixed_dictionaries({}, optional=options)),
    )
    assert deviations(request.body(org_identifier="O"), create_operation(family)["body"]) <= BODY_CONTRADICTIONS.keys()


def test_a_wrong_body_would_be_noticed() -> None:
    """A missing object, a wrong type, an unknown field."""
    wrong = {"scope": {"teamId": 456}, "metricLevel": "team"}
    assert deviations(wrong, "MetricsExportRequestDTO") == {
        ": 'dateRange' is a required property",
        "scope.teamId: 456 is not of type 'string'",
        "metricLevel",
    }


def test_reports_deviate_as_known() -> None:
    """The pages require days and teamRefId; the document has neither."""
    found: set[str] = set()
    for arguments in (
        {"report_type": "team"},
        {"report_type": "team", "efficiency_metrics": ["LEAD_TIME_FOR_CHANGES"], "calculation_type": "P90"},
        {"report_type": "contributor", "include_ratings": True, "contributor_metrics": ["CODING_DAYS"]},
    ):
        report = ReportRequest.from_arguments(
            collection_id="1", date_start="2024-01-01", date_end="2024-12-31", **arguments
        )
        found |= deviations(report.body, "ExportRequestDTO")
    assert found == REPORT_CONTRADICTIONS.keys()


def test_requests_of_teams_and_reports_have_the_documents_parameters() -> None:
    """With and without an organisation tree; a report has its own parameter for the account."""
    operation = OPERATIONS["POST", "/v2/teams/list"]
    for tree in ("Engineering", None):
        request = teams_page_call(tree, 0).request
        assert deviations(request.body, operation["body"]) == set()
        assert request.query.keys() <= operation["query"].keys()
    days = {"date_start": "2024-01-01", "date_end": "2024-12-31"}
    report = ReportRequest.from_arguments(collection_id="1", **days).http_request()
    operation = OPERATIONS[report.method, f"/{report.path}"]
    assert {*report.query, report.account_parameter} <= operation["query"].keys()


@pytest.mark.parametrize("family", [FAMILIES[name] for name in IN_DOCUMENT], ids=IN_DOCUMENT)
def test_every_call_has_an_operation_or_is_a_known_contradiction(family: ExportFamily) -> None:
    """The document lacks the path that the page creates sprint exports at, and has its alternate."""
    calls: list[Call[Any]] = [
        create_call(family, {}),
        create_call(family.alternate(404) or family, {}),
        status_call(family, "exp_1"),
        list_call(family, ()),
        org_tree_teams_call("7"),
    ]
    paths = [call.request.path.replace("exp_1", "{exportId}").replace("/7/", "/{orgTreeId}/") for call in calls]
    missing = {(call.request.method, f"/{path}") for call, path in zip(calls, paths, strict=True)} - set(OPERATIONS)
    assert missing == (set(PATH_CONTRADICTIONS) if family.name == "sprint" else set())
    declared = [OPERATIONS.get((call.request.method, f"/{path}"), {}) for call, path in zip(calls, paths, strict=True)]
    assert declared[1]["query"].keys() == QUERY_CONTRADICTIONS.keys()
    assert declared[2]["query"] == {}
    assert all(call.request.identifiers_required for call in calls)


def test_list_filters_are_those_of_the_document() -> None:
    """Names, values and formats."""
    declared = OPERATIONS["GET", "/v2/insights/productivity/exports"]["query"]
    for status in ("queued", "processing", "completed", "failed", "cancelled"):
        days = {"date_from": "2024-01-01", "date_to": "2024-12-31"}
        order = {"sort_by": "status", "sort_order": "asc"}
        query = list_query(status=status, scope="all", team_id=1, created_by="u", **days, **order)
        assert query.keys() == declared.keys()
        for key, value in query.items():
            parsed = int(value) if declared[key]["type"] == "integer" else value
            Draft202012Validator(declared[key], format_checker=formats).validate(parsed)


def _parsed(operation: dict[str, Any], answer: dict[str, Any]) -> Any:
    """Return what an operation's call reads from an example response."""
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


@pytest.mark.parametrize(("operation", "answer"), ANSWERS)
def test_each_example_is_understood(operation: dict[str, Any], answer: dict[str, Any]) -> None:
    """A value for each success, without personal data, and the right error for each failure."""
    refusals = {400: errors.SEIBadRequestError, 404: errors.SEINotFoundError}
    if answer["status"] in refusals:
        with pytest.raises(refusals[answer["status"]]) as caught:
            _parsed(operation, answer)
        assert caught.value.vendor_message == answer["body"]["message"]
        assert caught.value.vendor_code == answer["body"]["error"]
        return
    export = _parsed(operation, answer)
    if isinstance(export, Page):
        assert export.more is True
        (export,) = export.items
    assert export.export_id.startswith("exp_")
    assert export.created_at.startswith("2025-12-29T")
    assert not any(personal in repr(export) for personal in ("John", "Jane", "company.com"))
    if operation["method"] == "POST":
        assert export.reused is (answer["status"] == 200)
        return
    assert export.status is ExportStatus.COMPLETED
    assert export.level in ("developer", "sprint")
    url = answer["body"].get("download", {}).get("url") or answer["body"]["exports"][0]["downloadUrl"]
    called = CONNECTION.prepare(download_requests(export)[0], "")[0]
    assert called == f"https://accounts.eu.harness.io/sei/api{url}?{IDENTIFIERS}"
    if not export.summary:
        assert export.size_bytes == 245672


@pytest.mark.parametrize(
    "example", PAGES["answers"], ids=lambda example: f"{example['family']}-{example['call']}-{example['status']}"
)
def test_each_example_of_the_pages_is_understood(example: dict[str, Any]) -> None:
    """Including the file's URL, which keeps the base URL's path and has the identifiers once."""
    family, body = FAMILIES[example["family"]], example["body"]
    call = create_call(family, {}) if example["call"] == "create" else status_call(family, body["exportId"])
    export = call.parse(HttpResponse(example["status"], {}, json.dumps(body).encode()))
    assert (export.export_id, export.created_at) == (body["exportId"], body.get("createdAt"))
    assert "John" not in repr(asdict(export))
    if example["call"] == "create":
        assert export.reused is (example["status"] == 200)
        return
    assert (export.status, export.completed_at) == (ExportStatus.COMPLETED, body.get("completedAt"))
    path = f"{family.item_path}/{body['exportId']}/download"
    called = CONNECTION.prepare(download_requests(export)[0], "")[0]
    assert called == f"{CONNECTION.base_url.text}/{path}?{IDENTIFIERS}"
