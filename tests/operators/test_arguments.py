"""What all operators and the sensor promise about their arguments, and what is refused when a DAG is parsed."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_sei import exceptions
from airflow_provider_sei.operators.sei import (
    SEICreateExportOperator,
    SEIDownloadExportOperator,
    SEIExportOperator,
    SEILegacyReportOperator,
    SEIListTeamsOperator,
)
from airflow_provider_sei.sensors.sei import SEIExportSensor

CLASSES = (
    SEICreateExportOperator,
    SEIDownloadExportOperator,
    SEIExportOperator,
    SEIExportSensor,
    SEILegacyReportOperator,
    SEIListTeamsOperator,
)
MINIMUM: dict[type, dict[str, Any]] = {
    SEICreateExportOperator: {"family": "ba", "team_id": "1"},
    SEIDownloadExportOperator: {"family": "ba", "export_id": "exp_1", "destination": "/x/"},
    SEIExportOperator: {"family": "ba", "team_id": "1", "destination": "/x/"},
    SEIExportSensor: {"family": "ba", "export_id": "exp_1"},
    SEILegacyReportOperator: {"collection_id": "1", "destination": "/x/"},
    SEIListTeamsOperator: {},
}
PERIOD = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
FULL = {kind: needed | (PERIOD if "date_start" in kind.template_fields else {}) for kind, needed in MINIMUM.items()}
by_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def own_arguments(kind: type) -> set[str]:
    """Return the names that the classes of this package take."""
    return {
        name
        for base in kind.__mro__
        if base.__module__.startswith("airflow_provider_sei.")
        for name, parameter in inspect.signature(base.__init__).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


class TestDeclarations:
    """Arguments and template fields."""

    @by_class
    def test_arguments_are_given_by_name(self, kind: type) -> None:
        """So that new ones can be added anywhere."""
        for base in kind.__mro__:
            if base.__module__.startswith("airflow_provider_sei."):
                parameters = inspect.signature(base.__init__).parameters.values()
                named_only = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
                assert [each.name for each in parameters if each.kind not in named_only] == ["self"]
        with pytest.raises(TypeError):
            kind("task")

    @by_class
    def test_every_argument_but_deferrable_is_a_template(self, kind: type) -> None:
        """Whatever a DAG author writes may come from a run."""
        assert own_arguments(kind) - set(kind.template_fields) == ({"deferrable"} & own_arguments(kind))
        assert len(set(kind.template_fields)) == len(kind.template_fields)

    @by_class
    def test_template_fields_are_kept_as_they_were_given(self, kind: type) -> None:
        """A constructor that changes one would change a template."""
        given = {name: f"{{{{ {name} }}}}" for name in own_arguments(kind) & set(kind.template_fields)}
        task = kind(task_id="t", **given)
        for name, value in given.items():
            assert getattr(task, name) is value

    @by_class
    def test_no_template_field_is_one_of_airflows_own_arguments(self, kind: type) -> None:
        """Airflow refuses to serialise such a class."""
        assert not set(kind.template_fields) & set(inspect.signature(BaseOperator.__init__).parameters)

    @by_class
    def test_the_smallest_task_needs_little(self, kind: type) -> None:
        """Everything else has a default."""
        assert kind(task_id="t", **MINIMUM[kind]).sei_conn_id == "sei_default"

    @by_class
    def test_default_args_of_a_dag_apply(self, kind: type) -> None:
        """The connection and the destination are the same for many tasks of a DAG."""
        defaults = {"sei_conn_id": "sei_eu", "org_identifier": "team_org", "retries": 3}
        with DAG("d", default_args=defaults, schedule=None):
            task = kind(task_id="t", **MINIMUM[kind])
        assert (task.sei_conn_id, task.org_identifier, task.retries) == ("sei_eu", "team_org", 3)

    @by_class
    def test_default_args_that_are_meant_for_others_change_nothing(self, kind: type) -> None:
        """What other providers call their connection or time limit, no argument of these is called."""
        plain = kind(task_id="t", **MINIMUM[kind])
        others = {"conn_id": "x", "http_conn_id": "x", "aws_conn_id": "x", "endpoint": "x", "headers": {}, "data": "x"}
        others |= {"timeout": 7.0, "method": "x", "endpoint_url": "x", "bucket": "x", "key": "x", "poke_interval": 9.0}
        with DAG("d", default_args={**others, "pool": "small", "priority_weight": 5}, schedule=None):
            task = kind(task_id="t", **MINIMUM[kind])
        for name in own_arguments(kind):
            assert getattr(task, name) == getattr(plain, name)
        assert (task.pool, task.priority_weight) == ("small", 5)
        # Of a sensor, these two are Airflow's own.
        assert (getattr(task, "timeout", 7.0), getattr(task, "poke_interval", 9.0)) == (7.0, 9.0)

    @by_class
    def test_an_unknown_argument_is_a_mistake(self, kind: type) -> None:
        """Airflow names it."""
        with pytest.raises(TypeError, match="granularty"):
            kind(task_id="t", granularty="weekly", **MINIMUM[kind])


class TestConstants:
    """Constant values are checked when the DAG is parsed."""

    @pytest.mark.parametrize(
        ("kind", "changes", "words"),
        [
            (SEICreateExportOperator, {"family": "bah"}, "family 'bah' .* did you mean 'ba'"),
            (SEICreateExportOperator, {"date_start": None}, "date_start is missing: give both days .* or neither"),
            (SEIExportOperator, {"date_end": " "}, "date_end is missing: give both days .* or neither"),
            (SEIExportOperator, {"family": "{{ x }}", "date_end": None}, "date_end is missing: give both days"),
            (SEILegacyReportOperator, {"date_end": None}, "date_end is missing: give both days .* or neither"),
            (SEICreateExportOperator, {"date_start": "2024-1-1"}, "date_start '2024-1-1' is not a day"),
            (SEICreateExportOperator, {"date_start": "2024-03-01"}, "comes after date_end 2024-01-31"),
            (SEICreateExportOperator, {"team_id": None}, "neither team_id nor org_tree_name"),
            (SEICreateExportOperator, {"granularity": "weekley"}, "did you mean 'WEEKLY'"),
            (SEICreateExportOperator, {"level": "team"}, "level is not an option of ba exports"),
            (SEICreateExportOperator, {"issue_statuses": ["Done"]}, "issue_statuses is not a field of ba exports"),
            (SEICreateExportOperator, {"family": "efficiency"}, "metric_groups is missing"),
            (SEICreateExportOperator, {"metrics": 7}, "metrics must be a list of names"),
            (SEICreateExportOperator, {"extra_body": []}, "extra_body must be a mapping"),
            (SEICreateExportOperator, {"reused_failed": "retyr"}, "did you mean 'retry'"),
            (SEICreateExportOperator, {"create_jitter": -1}, "create_jitter must be a number of seconds"),
            (SEIExportOperator, {"create_jitter": "soon"}, "create_jitter must be a number of seconds"),
            # beside a template, a constant is still one
            (SEICreateExportOperator, {"date_start": "{{ ds }}", "date_end": "2024-1-1"}, "date_end '2024-1-1'"),
            (SEICreateExportOperator, {"date_end": "{{ ds }}", "date_start": "2024-1-1"}, "date_start '2024-1-1'"),
            (SEICreateExportOperator, {"family": "{{ x }}", "date_end": "2024-1-1"}, "date_end '2024-1-1'"),
            (SEICreateExportOperator, {"team_id": "{{ x }}", "granularity": "dayly"}, "granularity 'dayly'"),
            (SEIExportOperator, {"wait_timeout": "long"}, "wait_timeout must be a number of seconds"),
            (SEIExportOperator, {"poll_interval": 0}, "poll_interval must be a number of seconds, at least 1"),
            (SEIExportOperator, {"verify_size": "maybe"}, "verify_size must be true or false"),
            (SEIExportOperator, {"deferrable": "no"}, "deferrable must be true or false"),
            (SEIExportSensor, {"deferrable": "{{ x }}"}, "deferrable must be true or false"),
            (SEIExportOperator, {"destination": ""}, "destination '' is not a path"),
            (SEIExportOperator, {"destination": "{{ x }}", "compression": "gz"}, "compression 'gz' is not one of"),
            (SEIExportOperator, {"layout": "hives"}, "layout 'hives' is not one of flat, hive: did you mean 'hive'"),
            (SEIExportOperator, {"layout": "hive", "destination": "/x/a.csv"}, "'/x/a.csv' is a full object name"),
            (SEIDownloadExportOperator, {"layout": "hive", "destination": "/x"}, "'/x' is a full object name"),
            (SEILegacyReportOperator, {"layout": "hive", "use_server_name": True}, "leave out one of the two"),
            (SEIExportOperator, {"destination": "{{ x }}", "download_timeout": 0}, "download_timeout must be"),
            (SEIDownloadExportOperator, {"export_id": "a/b"}, "export_id 'a/b' is not an export id"),
            (SEIDownloadExportOperator, {"export_id": None}, "export_id 'None' is not an export id"),
            (SEIDownloadExportOperator, {"family": "bah", "export_id": "{{ x }}"}, "family 'bah'"),
            (SEIDownloadExportOperator, {"verify_size": "maybe"}, "verify_size must be true or false"),
            (SEIExportSensor, {"export_id": ""}, "export_id '' is not an export id"),
            (SEIExportSensor, {"family": "bah"}, "family 'bah'"),
            (SEIExportSensor, {"poll_interval": "often"}, "poll_interval must be a number"),
            (SEILegacyReportOperator, {"report_type": "teem"}, "did you mean 'team'"),
            (SEILegacyReportOperator, {"collection_id": ""}, "collection_id is missing"),
            (SEILegacyReportOperator, {"collection_id": "{{ x }}", "date_end": "2024-1-1"}, "date_end '2024-1-1'"),
            (SEILegacyReportOperator, {"calculation_type": "MEAN"}, "calculation_type belongs to efficiency_metrics"),
            (SEILegacyReportOperator, {"include_ratings": True}, "include_ratings does not go with a team report"),
            (SEILegacyReportOperator, {"granularity": "hourly"}, "granularity 'hourly' is not one of"),
            (SEILegacyReportOperator, {"destination": "{{ x }}", "overwrite": "no"}, "overwrite 'no' is not one of"),
        ],
    )
    def test_a_wrong_one_breaks_the_import(self, kind: type, changes: dict[str, Any], words: str) -> None:
        """With the argument's name and the remedy, in the import errors of Airflow's UI."""
        with pytest.raises(exceptions.SEIArgumentError, match=words):
            kind(task_id="t", **FULL[kind] | changes)

    @pytest.mark.parametrize(
        ("kind", "changes"),
        [
            (SEICreateExportOperator, {"family": "{{ x }}", "team_id": None}),
            (SEICreateExportOperator, {"family": "productivity", "team_id": None, "org_tree_name": "{{ x }}"}),
            (SEICreateExportOperator, {"team_id": None, "org_tree_name": "{{ x }}"}),
            (SEICreateExportOperator, {"team_id": "{{ x }}", "org_tree_name": "{{ y }}"}),
            (SEICreateExportOperator, {"team_id": None, "scope": {"developerIds": ["{{ x }}"]}}),
            (SEICreateExportOperator, {"team_id": None, "extra_body": {"scope": {"teamId": "{{ x }}"}}}),
            (SEICreateExportOperator, {"family": "efficiency", "metrics": ["{{ x }}"]}),
            (SEICreateExportOperator, {"family": "efficiency", "metric_groups": "{{ x }}"}),
            (SEICreateExportOperator, {"family": "efficiency", "extra_body": {"metricGroups": "{{ x }}"}}),
            (SEICreateExportOperator, {"date_start": "{{ ds }}"}),
            (SEICreateExportOperator, {"date_start": "{{ x }}", "date_end": None}),
            (SEILegacyReportOperator, {"date_start": "", "date_end": "{{ x }}"}),
            (SEICreateExportOperator, {"family": "{{ x }}", "date_start": None, "date_end": None}),
            (SEIExportOperator, {"destination": "{{ x }}", "layout": "hive", "use_server_name": "{{ y }}"}),
            (SEIExportOperator, {"destination": "/x/a.csv", "layout": "{{ y }}"}),
            (SEICreateExportOperator, {"date_end": "{% if x %}2024-01-01{% endif %}"}),
            (SEICreateExportOperator, {"metrics": ["BRAND_NEW"], "metric_groups": ["newer"]}),
            (SEICreateExportOperator, {"create_jitter": "{{ x }}"}),
            (SEIExportOperator, {"wait_timeout": "{{ x }}", "poll_interval": "{{ y }}", "verify_size": "{{ z }}"}),
            (SEIExportOperator, {"destination": "{{ x }}", "compression": "{{ y }}", "use_server_name": "{{ z }}"}),
            (SEILegacyReportOperator, {"report_type": "{{ x }}", "include_ratings": True}),
            (SEILegacyReportOperator, {"efficiency_metrics": "{{ x }}", "calculation_type": "P90"}),
            (SEILegacyReportOperator, {"collection_id": "abc", "identifier_fields": "{{ x }}"}),
            (SEILegacyReportOperator, {"report_type": "contributor", "contributor_metrics": ["{{ x }}"]}),
        ],
    )
    def test_what_a_template_may_still_make_right_is_let_pass(self, kind: type, changes: dict[str, Any]) -> None:
        """It is checked again when it is rendered."""
        kind(task_id="t", **FULL[kind] | changes)

    @pytest.mark.parametrize("kind", [SEIExportOperator, SEIExportSensor])
    def test_whether_to_defer_may_come_as_text(self, kind: type) -> None:
        """As an environment variable or a Variable gives it."""
        assert kind(task_id="t", **MINIMUM[kind] | {"deferrable": "False"}).deferrable is False

    def test_another_tasks_output_is_no_constant(self) -> None:
        """An id that is yet to be made is not checked now."""
        with DAG("d", schedule=None):
            create = SEICreateExportOperator(task_id="create", **MINIMUM[SEICreateExportOperator])
            sensor = SEIExportSensor(task_id="wait", family="ba", export_id=create.output)
            SEIDownloadExportOperator(
                task_id="download", family="ba", export_id=create.output, destination=create.output
            )
        assert sensor.upstream_task_ids == {"create"}
