"""The arguments of all operators and the sensor: templates, defaults, and what is rejected when a DAG is parsed."""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators._base import CONNECTION_FIELDS
from airflow_provider_sei.operators.sei import (
    SEICreateExportOperator,
    SEIDownloadExportOperator,
    SEIExportOperator,
    SEIExportSummaryOperator,
    SEILegacyReportOperator,
    SEIListExportsOperator,
    SEIListTeamsOperator,
    SEIReferenceDataOperator,
)
from airflow_provider_sei.sensors.sei import SEIExportSensor
from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup
from tests.operators.conftest import Make

MINIMUM: dict[type, dict[str, Any]] = {
    SEICreateExportOperator: {"family": "ba", "team_id": "1"},
    SEIDownloadExportOperator: {"family": "ba", "export_id": "exp_1", "destination": "/x/"},
    SEIExportOperator: {"family": "ba", "team_id": "1", "destination": "/x/"},
    SEIExportSensor: {"family": "ba", "export_id": "exp_1"},
    SEILegacyReportOperator: {"collection_id": "1", "destination": "/x/"},
    SEIListExportsOperator: {"family": "ba"},
    SEIListTeamsOperator: {},
    SEIReferenceDataOperator: {"kind": "teams", "destination": "/x/"},
}
NOT_TEMPLATES = {
    *("deferrable", "verify_size", "verify_rows", "wait_timeout", "poll_interval", "download_timeout", "create_jitter"),
    *("reused_failed", "layout", "compression", "overwrite", "empty", "fail_on_failed_teams", "trigger_rule"),
    *("output", "column_types", "column_names", "expect_columns", "on_schema_change", "periods_ago"),
}
PERIOD = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
FULL = {kind: needed | (PERIOD if "date_start" in kind.template_fields else {}) for kind, needed in MINIMUM.items()}
EVERY = [*MINIMUM, SEIExportSummaryOperator, SEITeamExportsTaskGroup]
GROUP = {"group_id": "g", "family": "ba", "destination": "/x/"}
ORDER: list[tuple[str, ...]] = [
    (),  # what is asked for
    (
        *("destination", "layout", "compression", "overwrite", "empty"),
        *("output", "column_types", "column_names", "expect_columns", "on_schema_change"),
        *("asset_partitions", "team_outlets"),
    ),
    ("fail_on_failed_teams", "max_parallel", "deferrable", "wait_timeout", "poll_interval", "trigger_rule"),
    (
        *("create_jitter", "reused_failed", "download_timeout", "verify_size", "verify_rows"),
        *("max_exports", "limit", "page"),
    ),
    (*CONNECTION_FIELDS, "kwargs"),
]
operators = pytest.mark.parametrize("kind", MINIMUM, ids=lambda kind: kind.__name__)
everything = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)


def own_arguments(kind: type) -> set[str]:
    """Return the arguments that this package's classes declare."""
    own = [base for base in kind.__mro__ if base.__module__.startswith("airflow_provider_sei.")]
    declared = [each for base in own for each in inspect.signature(base.__init__).parameters.values()]
    return {each.name for each in declared if each.kind is inspect.Parameter.KEYWORD_ONLY}


class TestDeclarations:
    """Arguments and template fields."""

    @everything
    def test_the_signature_has_every_argument_by_name(self, kind: type) -> None:
        """Keyword-only, so that new ones can be added anywhere; and help() explains each, in the same order.

        The request comes first, the connection last; also in Airflow's Rendered Templates.
        """
        *named, rest = (each for name, each in inspect.signature(kind).parameters.items() if name != "group_id")
        names = [each.name for each in named]
        assert (rest.name, rest.kind) == ("kwargs", inspect.Parameter.VAR_KEYWORD)
        assert {each.kind for each in named} == {inspect.Parameter.KEYWORD_ONLY}
        assert own_arguments(kind) == set(names)
        explained = re.findall(r"(?m)^ \|  :param (\w+): \S", pydoc.render_doc(kind, renderer=pydoc.plaintext))
        assert [name for name in explained if name != "group_id"] == [*names, "kwargs"]
        places = [next((part for part, some in enumerate(ORDER) if name in some), 0) for name in explained]
        assert places == sorted(places)
        templates = getattr(kind, "template_fields", ())
        assert list(templates) == [name for name in names if name in templates]

    def test_a_task_group_has_the_arguments_of_its_exports(self) -> None:
        """With the same defaults, apart from the delay that many exports need; of periods, it takes several."""
        group, export = (inspect.signature(kind).parameters for kind in (SEITeamExportsTaskGroup, SEIExportOperator))
        different = {name for name in export if name not in group or group[name] != export[name]}
        assert different == {"team_id", "create_jitter", "periods_ago"}

    @pytest.mark.parametrize("kind", [*MINIMUM, SEIExportSummaryOperator], ids=lambda kind: kind.__name__)
    def test_values_are_templates_and_switches_are_not(self, kind: type) -> None:
        """No field is rendered twice, none has the name of an argument of Airflow's, and no constructor changes one."""
        fields = list(kind.template_fields)
        assert len(set(fields)) == len(fields)
        assert own_arguments(kind) - set(fields) == own_arguments(kind) & NOT_TEMPLATES
        assert not set(fields) & set(inspect.signature(BaseOperator.__init__).parameters)
        given = {name: f"{{{{ {name} }}}}" for name in fields}
        task = kind(task_id="t", **given)
        assert all(getattr(task, name) is value for name, value in given.items())

    @operators
    def test_default_args_of_a_dag_apply_unless_they_are_for_other_providers(self, kind: type) -> None:
        """No argument here has the name of another provider's connection or timeout."""
        plain = kind(task_id="t", **MINIMUM[kind])
        assert plain.sei_conn_id == "sei_default"
        own = {"sei_conn_id": "sei_eu", "org_identifier": "team_org"}
        others = {"conn_id": "x", "http_conn_id": "x", "aws_conn_id": "x", "endpoint": "x", "headers": {}, "data": "x"}
        others |= {"timeout": 7.0, "method": "x", "endpoint_url": "x", "bucket": "x", "key": "x", "poke_interval": 9.0}
        with DAG("d", default_args={**own, **others, "pool": "small", "retries": 3}, schedule=None):
            task = kind(task_id="t", **MINIMUM[kind])
        for name in own_arguments(kind) - {"output"}:  # Airflow's attribute of that name is the task's result
            assert getattr(task, name) == own.get(name, getattr(plain, name))
        assert (task.pool, task.retries) == ("small", 3)
        # These two are Airflow's own arguments of a sensor.
        assert (getattr(task, "timeout", 7.0), getattr(task, "poke_interval", 9.0)) == (7.0, 9.0)

    @everything
    def test_a_mistyped_argument_is_an_import_error_with_a_hint(self, kind: type) -> None:
        """Also of Airflow's arguments, and of a mapped task; the value may be personal data."""
        given = MINIMUM.get(kind, GROUP if kind is SEITeamExportsTaskGroup else {"export_task_id": "export"})
        name = next(iter(given), "include")
        words = rf"^{kind.__name__} has no argument '%s': did you mean '%s'\?$"
        with DAG("d", schedule=None):
            for wrong, right in ((f"{name[:-1]}x", name), ("retriess", "retries")):
                with pytest.raises(TypeError, match=words % (wrong, right)):
                    kind(**{"task_id": "t"} if issubclass(kind, BaseOperator) else {}, **given, **{wrong: "secret"})
                if issubclass(kind, BaseOperator):
                    with pytest.raises(TypeError, match=words % (wrong, right)):
                        kind.partial(task_id="t", **{wrong: "secret"})


def test_the_page_of_a_task_says_what_it_does_and_to_what() -> None:
    """As it is written, templates included, without personal data; a user's own text stays."""
    given = {"family": "ba", "destination": "/x/", "manager_email_id": "jane@company.example"}
    words = "Create an export, wait for it, and deliver its file, in one task.\n\n- family: `ba`\n"
    text = SEIExportOperator(task_id="t", team_id="{{ x }}", **given).doc_md
    assert text == f"{words}- team_id: `{{{{ x }}}}`\n- destination: `/x/`"
    assert SEIExportOperator(task_id="t", doc_md="mine", **FULL[SEIExportOperator]).doc_md == "mine"
    with DAG("d", schedule=None):  # of a mapped task, what is the same for all
        create = SEICreateExportOperator(task_id="ids", **MINIMUM[SEICreateExportOperator])
        mapped = SEIExportOperator.partial(task_id="t", **given).expand(team_id=create.output)
    assert mapped.doc_md == f"{words}- destination: `/x/`"


class TestConstants:
    """Constants are checked when the DAG is parsed."""

    @pytest.mark.parametrize(
        ("kind", "changes", "words"),
        [
            (SEICreateExportOperator, {"family": "bah"}, "family 'bah' .* did you mean 'ba'"),
            (SEICreateExportOperator, {"date_start": None}, "date_start is missing: give both days .* or neither"),
            (SEIExportOperator, {"date_end": " "}, "date_end is missing: give both days .* or neither"),
            (SEIExportOperator, {"family": "{{ x }}", "date_end": None}, "date_end is missing: give both days"),
            (SEILegacyReportOperator, {"date_end": None}, "date_end is missing: give both days .* or neither"),
            (SEICreateExportOperator, {"team_id": None}, "neither team_id nor org_tree_name"),
            (SEICreateExportOperator, {"level": "team"}, "level is not an option of ba exports"),
            (SEICreateExportOperator, {"metrics": 7}, "metrics must be a list of names"),
            (SEICreateExportOperator, {"family": "efficiency"}, "metric_groups is missing"),
            (SEICreateExportOperator, {"issue_statuses": ["Done"]}, "issue_statuses is not a field of ba exports"),
            (SEICreateExportOperator, {"extra_body": []}, "extra_body must be a mapping"),
            (SEICreateExportOperator, {"reused_failed": "retyr"}, "did you mean 'retry'"),
            (SEICreateExportOperator, {"create_jitter": -1}, "create_jitter must be a number of seconds"),
            (SEIExportOperator, {"create_jitter": "{{ x }}"}, "create_jitter must be a number of seconds"),
            # a constant beside a template
            (SEICreateExportOperator, {"date_start": "{{ ds }}", "date_end": "2024-1-1"}, "date_end '2024-1-1'"),
            (SEICreateExportOperator, {"date_end": "{{ ds }}", "date_start": "2024-1-1"}, "date_start '2024-1-1'"),
            (SEICreateExportOperator, {"team_id": "{{ x }}", "granularity": "dayly"}, "granularity 'dayly'"),
            (SEIExportOperator, {"wait_timeout": "long"}, "wait_timeout must be a number of seconds"),
            (SEIExportOperator, {"poll_interval": 0}, "poll_interval must be a number of seconds from 1"),
            (SEIExportOperator, {"verify_size": "maybe"}, "verify_size must be true or false"),
            (SEIExportOperator, {"deferrable": "no"}, "deferrable must be true or false"),
            (SEIExportOperator, {"destination": ""}, "destination '' is not a path"),
            (SEIExportOperator, {"destination": "/x/{tema_id}.csv"}, "{tema_id}.*did you mean 'team_id'"),
            (SEIExportOperator, {"destination": "{{ x }}", "compression": "gz"}, "compression 'gz' is not one of"),
            (SEIExportOperator, {"destination": "{{ x }}", "download_timeout": 0}, "download_timeout must be"),
            (SEIExportOperator, {"layout": "hives"}, "layout 'hives' is not one of flat, hive: did you mean 'hive'"),
            (
                SEIExportOperator,
                {"output": "parquet", "column_types": {"Team": "x"}},
                "'x' is not one of text, integer",
            ),
            (SEIDownloadExportOperator, {"layout": "hive", "destination": "/x.csv"}, "'/x.csv' is a full object name"),
            (SEIDownloadExportOperator, {"export_id": "a/b"}, "export_id 'a/b' is not an export id"),
            (SEIDownloadExportOperator, {"export_id": None}, "export_id 'None' is not an export id"),
            (SEIDownloadExportOperator, {"family": "bah", "export_id": "{{ x }}"}, "family 'bah'"),
            (SEIDownloadExportOperator, {"verify_size": "maybe"}, "verify_size must be true or false"),
            (SEIExportSensor, {"export_id": ""}, "export_id '' is not an export id"),
            (SEIExportSensor, {"deferrable": "{{ x }}"}, "deferrable must be true or false"),
            (SEIExportSensor, {"poll_interval": "0.1"}, "poll_interval must be a number of seconds from 1"),
            (SEILegacyReportOperator, {"report_type": "teem"}, "did you mean 'team'"),
            (SEILegacyReportOperator, {"collection_id": ""}, "collection_id is missing"),
            (SEILegacyReportOperator, {"collection_id": "{{ x }}", "date_end": "2024-1-1"}, "date_end '2024-1-1'"),
            (SEILegacyReportOperator, {"calculation_type": "MEAN"}, "calculation_type .* efficiency_metrics"),
            (SEILegacyReportOperator, {"destination": "{{ x }}", "overwrite": "no"}, "overwrite 'no' is not one of"),
            (SEIDownloadExportOperator, {"empty": "skp"}, "empty 'skp' is not one of .* did you mean 'skip'"),
            (SEIListTeamsOperator, {"include": 7}, "include must be a list of names"),
            *(
                (kind, {"destination": "{{ x }}", "asset_partitions": [2024]}, "asset_partitions .* 2024 is not text")
                for kind in (SEIExportOperator, SEIDownloadExportOperator, SEILegacyReportOperator)
            ),
            (SEIExportOperator, {"asset_partitions": "x" * 251}, "asset_partitions has a key of 251 characters"),
            (SEIExportSummaryOperator, {"asset_partitions": [2024]}, "asset_partitions .* 2024 is not text"),
            (SEIListExportsOperator, {"family": "bah"}, "family 'bah' .* did you mean 'ba'"),
            (SEIListExportsOperator, {"limit": 500}, "limit must be a whole number from 1 to 100"),
            (SEIListExportsOperator, {"status": "complete", "page": "{{ x }}"}, "did you mean 'COMPLETED'"),
            (SEIListExportsOperator, {"max_exports": -1, "team_id": "{{ x }}"}, "max_exports must be"),
        ],
    )
    def test_an_invalid_one_is_an_import_error(self, kind: type, changes: dict[str, Any], words: str) -> None:
        """With the argument's name and the correction."""
        with pytest.raises(exceptions.SEIArgumentError, match=words):
            kind(task_id="t", **FULL.get(kind, {"export_task_id": "export"}) | changes)

    @pytest.mark.parametrize(
        ("kind", "changes"),
        [
            (SEICreateExportOperator, {"family": "{{ x }}", "team_id": None}),
            (SEICreateExportOperator, {"team_id": None, "org_tree_name": "{{ x }}"}),
            (SEICreateExportOperator, {"team_id": "{{ x }}", "org_tree_name": "{{ y }}"}),
            (SEICreateExportOperator, {"team_id": None, "extra_body": {"scope": {"teamId": "{{ x }}"}}}),
            (SEICreateExportOperator, {"family": "efficiency", "metric_groups": "{{ x }}"}),
            (SEICreateExportOperator, {"date_start": "{{ x }}", "date_end": None}),
            (SEILegacyReportOperator, {"date_start": "", "date_end": "{{ x }}"}),
            (SEICreateExportOperator, {"family": "{{ x }}", "date_start": None, "date_end": None}),
            (SEICreateExportOperator, {"date_end": "{% if x %}2024-01-01{% endif %}"}),
            (SEIExportOperator, {"destination": "{{ x }}", "layout": "hive"}),
            (SEILegacyReportOperator, {"report_type": "{{ x }}", "include_ratings": True}),
            (SEILegacyReportOperator, {"efficiency_metrics": "{{ x }}", "calculation_type": "P90"}),
            (SEILegacyReportOperator, {"collection_id": "abc", "identifier_fields": "{{ x }}"}),
            (SEILegacyReportOperator, {"report_type": "contributor", "contributor_metrics": ["{{ x }}"]}),
            # not documented, but the vendor may have added them
            (SEICreateExportOperator, {"metrics": ["BRAND_NEW"], "metric_groups": ["newer"]}),
            (SEICreateExportOperator, {"family": "productivity", "aggregation": "p90"}),
            (SEILegacyReportOperator, {"include_ratings": True, "granularity": "hourly"}),
            # text, as environment variables and Airflow variables have it
            (SEIExportOperator, {"deferrable": "False", "verify_size": "true", "wait_timeout": "60"}),
        ],
    )
    def test_what_may_become_valid_is_accepted(self, kind: type, changes: dict[str, Any]) -> None:
        """Templates are checked after rendering."""
        kind(task_id="t", **FULL[kind] | changes)

    @pytest.mark.parametrize("kind", [SEIExportOperator, SEIExportSensor])
    def test_a_switch_as_text_means_what_it_says(self, kind: type) -> None:
        """The text ``False`` is not true."""
        assert kind(task_id="t", **MINIMUM[kind] | {"deferrable": "False"}).deferrable is False

    def test_the_output_of_another_task_is_accepted(self) -> None:
        """An id that does not exist yet is not checked."""
        with DAG("d", schedule=None):
            ids = SEICreateExportOperator(task_id="create", **MINIMUM[SEICreateExportOperator]).output
            sensor = SEIExportSensor(task_id="wait", family="ba", export_id=ids)
            SEIDownloadExportOperator(task_id="download", family="ba", export_id=ids, destination=ids)
        assert sensor.upstream_task_ids == {"create"}


class TestRendered:
    """Templates are rendered, then checked, then sent."""

    def test_every_field_of_the_request_is_rendered(self, make: Make, sei_server: Any) -> None:
        """Also inside of lists and mappings; an identifier that is rendered to nothing is the connection's."""
        operator = make(
            team_id="{{ team }}",
            date_start="{{ start }}",
            metric_groups=["{{ group }}"],
            level="{{ level }}",
            extra_body={"options": {"shape": "{{ shape }}"}},
            project_identifier="{{ nothing }}",
        )
        sei_server.reset(strict_body=False)
        values = {"team": 456, "start": "2024-01-15", "group": "activity", "level": "TEAM", "shape": "wide"}
        operator.render_template_fields(values | {"nothing": ""})
        operator.execute({})
        assert sei_server.exports[0].request == {
            "scope": {"teamId": "456"},
            "dateRange": {"start": "2024-01-15", "end": "2024-01-31"},
            "metricGroups": ["activity"],
            "options": {"aggregationLevel": "team", "shape": "wide"},
        }

    @pytest.mark.parametrize(
        ("field", "rendered", "words"),
        [
            ("family", "productivty", "did you mean 'productivity'"),
            ("date_start", "2024-1-1", "date_start '2024-1-1' is not a day"),
            ("date_end", "", "date_end is missing"),
            ("date_start", "2024-06-01", "date_start 2024-06-01 is after date_end 2024-01-31"),
            ("team_id", "", "neither team_id nor org_tree_name is given"),
            ("team_id", "None", "team_id is the text 'None'"),
            ("granularity", "montly", "granularity 'montly' is unknown: did you mean 'monthly'"),
            ("destination", "", "destination '' is not a path or URL"),
            ("destination", "/x/{nobody}/", "unknown field {nobody}"),
            ("asset_partitions", "[2024]", "asset_partitions must be a list of names; 2024 is not text"),
            ("asset_partitions", "x" * 251, "asset_partitions has a key of 251 characters"),
        ],
    )
    def test_a_mistake_sends_nothing(self, make: Make, sei_server: Any, field: str, rendered: str, words: str) -> None:
        """It is rejected before anything is sent, and a retry cannot help."""
        operator = make(**{field: "{{ value }}"})
        operator.render_template_fields({"value": rendered})
        with pytest.raises(exceptions.SEIArgumentError, match=words) as caught:
            operator.execute({})
        assert caught.value.field == field
        assert not caught.value.retryable
        assert sei_server.requests == []

    def test_mapped_values_may_be_empty_or_text(self, run: Callable[..., Any], sei_server: Any) -> None:
        """Empty values are not sent, a number is a name, and the text of a list is the list."""
        assert run("mapped_values").state == "success"
        sent = {export.family: export.request for export in sei_server.exports}
        assert sent["productivity"]["scope"] == {"orgTreeName": "Engineering"}
        assert sent["ba"]["scope"] == sent["sprint"]["scope"] == {"teamId": "456"}
        assert sent["ba"]["dateRange"] == {"start": "2024-02-01", "end": "2024-02-29"}
        assert "metricGroups" not in sent["ba"]
        for family in ("productivity", "sprint"):
            assert sent[family]["metricGroups"] == ["velocity"]
            assert "metrics" not in sent[family]
