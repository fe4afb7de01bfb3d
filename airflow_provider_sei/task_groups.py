"""A task group that exports every team: list the teams, export each, summarize the results."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

from airflow.providers.common.compat.sdk import BaseOperator, TaskGroup

from airflow_provider_sei.exceptions import SEIArgumentError
from airflow_provider_sei.operators._base import (
    CONNECTION_FIELDS,
    OPTIONS,
    check_mapped,
    check_names,
    complete,
    is_known,
    parse_destination,
)
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.operators.teams import SEIExportSummaryOperator, SEIListTeamsOperator
from airflow_provider_sei.protocol.export_request import REQUEST_FIELDS, check_request

CREATE_JITTER, MAX_PARALLEL = 30.0, 16
"""Defaults of the exports in the group, which start together; the first is in seconds."""

_EXPORT = inspect.signature(SEIExportOperator).parameters.keys() - {"org_tree_name", "team_id", "kwargs"}
_SHARED = (*_EXPORT, "outlets", "map_index_template")  # default arguments that the group itself needs
_Init = TypeVar("_Init", bound=Callable[..., None])
_GROUP_ARGUMENTS = (
    *("prefix_group_id", "parent_group", "dag", "default_args", "tooltip", "ui_color", "ui_fgcolor"),
    *("add_suffix_on_collision", "group_display_name"),
)

_PERIOD = "{% if task.periods_ago %}period {{ '%+d' % -task.periods_ago }}: {% endif %}"
# Airflow renders it when a task starts and again when it ends; the second time it already has the first result.
_TEAM_TITLE = """
{%- set id = task.team_id | string %}{% set shown = ti.rendered_map_index or "" -%}
{%- if shown.endswith("(" ~ id ~ ")") -%}
{{ shown }}
{%- else -%}
{%- set teams = ti.xcom_pull(task_ids="LIST_TASK", key="teams") or [] -%}
{%- set names = teams | selectattr("team_id", "eq", id) | map(attribute="name") -%}
PERIOD{{ names | first | default("team") | truncate(100, True) }} ({{ id }})
{%- endif -%}
"""


def _with_defaults(declared: _Init) -> _Init:
    """Make the group first, and take from its default arguments what is not given, as Airflow does for an operator."""

    @wraps(declared)
    def init(self: Any, group_id: str, **kwargs: Any) -> None:
        check_names(type(self), kwargs, BaseOperator)
        group = {name: kwargs.pop(name) for name in _GROUP_ARGUMENTS if name in kwargs}
        TaskGroup.__init__(self, group_id=group_id, **group)
        given = {**self.dag.default_args, **self.default_args, **kwargs}
        if "max_active_tis_per_dagrun" in given:
            kwargs.setdefault("max_parallel", given["max_active_tis_per_dagrun"])
        declared(self, group_id, **{name: given[name] for name in _SHARED if name in given} | kwargs)

    return cast("_Init", init)


class SEITeamExportsTaskGroup(TaskGroup):
    """Export each team of an organisation, and summarize the results.

    ::

        SEITeamExportsTaskGroup(
            group_id="productivity",
            org_tree_name="Engineering",
            exclude=["* (archived)"],
            family="productivity",
            metric_groups=["activity", "velocity"],
            destination="s3://aws_default@lake/sei/",
            pool="sei",
        )

    Its tasks are ``list_teams`` (``SEIListTeamsOperator``), ``export`` (``SEIExportOperator``, mapped over the teams)
    and ``summary`` (``SEIExportSummaryOperator``), also as the attributes ``list_teams`` (or ``None``), ``exports``
    (``exports.output`` is the list of all results) and ``summary``. A team's failure does not affect the others; it
    fails the summary in the end, and so the run. Arguments without templates are checked when the DAG is parsed.

    Give the exports ``retries``: Airflow can take a task that returns quickly from the triggerer for a lost one, and
    fail that try (apache/airflow#67287, seen on 3.3.2).

    :param group_id: the group's id, the prefix of its tasks' ids. A DAG can have several groups.
    :param org_tree_name: the organisation tree whose leaf teams are exported; ``None`` exports those of all trees.
    :param include: only these teams: patterns, see ``SEIListTeamsOperator``.
    :param exclude: not these teams: patterns, likewise.
    :param team_ids: these teams, without a task that lists them: ids, or another task's output.
    :param periods_ago: as of ``SEIExportOperator``, or several, to deliver again what may have been corrected since:
        ``range(3)`` exports the run's period and the two before, ``[-1, 0]`` also the one that is running. With
        ``overwrite="skip"``, only what has changed is written; the summary says which periods that were.
    :param max_parallel: limit of a run's concurrent exports, from start to delivery (deferred ones count on Airflow 3.2
        and newer); ``None``: no limit; by default 16, or ``max_active_tis_per_dagrun`` of ``default_args``.
    :param fail_on_failed_teams: whether failed teams fail the summary.
    :param team_outlets: outlets of each team's export, for consumers that start once for each team. ``outlets`` are the
        summary's: they have one event, with counts and files, when every team has been exported.
    :param create_jitter: as of ``SEIExportOperator``, but 30 seconds, since all start together.
    :param kwargs: the arguments of ``TaskGroup`` (``default_args``, ``tooltip``, ...) apply to the group, all others to
        the exports (``pool``, ``retries``, ...), but ``outlets`` to the summary. ``map_index_template`` shows the team.
        ``trigger_rule`` of ``default_args`` applies to the first task only, ``do_xcom_push`` to the summary only.
    :raises SEIArgumentError: an argument without templates is invalid.
    """

    @_with_defaults
    def __init__(
        self,
        group_id: str,
        *,
        org_tree_name: str | None = None,
        include: Sequence[str] | str | None = None,
        exclude: Sequence[str] | str | None = None,
        team_ids: Any = None,
        family: str,
        manager_email_id: str | None = None,
        scope: Mapping[str, Any] | None = None,
        date_start: str | None = None,
        date_end: str | None = None,
        periods_ago: Sequence[int] | int = 0,
        metric_groups: Sequence[str] | str | None = None,
        metrics: Sequence[str] | str | None = None,
        granularity: str | None = None,
        level: str | None = None,
        aggregation: str | None = None,
        computation_mode: str | None = None,
        issue_statuses: Sequence[str] | str | None = None,
        terminal_date_column: str | None = None,
        work_category_filter: Sequence[str] | str | None = None,
        file_format: str | None = None,
        export_compression: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        destination: str,
        layout: str = "flat",
        compression: str = "keep",
        overwrite: str = "replace",
        empty: str = "deliver",
        output: str = "csv",
        column_types: Mapping[str, str] | None = None,
        column_names: str = "keep",
        expect_columns: Sequence[str] | None = None,
        on_schema_change: str = "fail",
        asset_partitions: Sequence[str] | str | None = None,
        team_outlets: Sequence[Any] = (),
        fail_on_failed_teams: bool = True,
        max_parallel: int | None = MAX_PARALLEL,
        deferrable: bool = True,
        wait_timeout: float = 3 * 60 * 60,
        poll_interval: float | None = None,
        create_jitter: float = CREATE_JITTER,
        reused_failed: str = "fail",
        download_timeout: float = 60 * 60,
        verify_size: bool = True,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        options = {name: value for name, value in locals().items() if name in _EXPORT} | kwargs
        search = {"org_tree_name": org_tree_name, "include": include, "exclude": exclude}
        _check_teams(team_ids, search)
        periods = _parse_periods(periods_ago)
        over = {"periods_ago": periods} if len(periods) > 1 else {}
        options |= {"periods_ago": periods[0]}
        _check_export(options, max_parallel, over)
        options = {name: value for name, value in options.items() if name not in over}
        with self:
            self.list_teams: SEIListTeamsOperator | None = None
            title, teams = _PERIOD + "team {{ task.team_id }}", team_ids
            if team_ids is None:
                listing: dict[str, Any] = {name: value for name, value in search.items() if value is not None}
                listing |= {name: options[name] for name in CONNECTION_FIELDS}
                listing |= {"map_index_template": None, "outlets": [], "do_xcom_push": True, "multiple_outputs": False}
                self.list_teams = SEIListTeamsOperator(task_id="list_teams", **listing)
                title = _TEAM_TITLE.replace("LIST_TASK", self.list_teams.task_id).replace("PERIOD", _PERIOD)
                teams = self.list_teams.output
                options.setdefault("trigger_rule", "all_success")
            options, outlets = {"map_index_template": title} | options, options.get("outlets")
            options |= {"max_active_tis_per_dagrun": max_parallel, "do_xcom_push": True, "outlets": list(team_outlets)}
            self.exports = SEIExportOperator.partial(task_id="export", **options).expand(team_id=teams, **over)
            self.summary = SEIExportSummaryOperator(
                task_id="summary",
                export_task_id=self.exports.task_id,
                list_task_id=self.list_teams.task_id if self.list_teams else None,
                team_ids=team_ids,
                fail_on_failed_teams=fail_on_failed_teams,
                outlets=outlets,
                asset_partitions=asset_partitions,
                trigger_rule="all_done",
                map_index_template=None,
            )
            self.exports >> self.summary


def _check_teams(team_ids: object, search: Mapping[str, object]) -> None:
    if team_ids is None:
        return
    for name, value in search.items():
        if value is not None:
            msg = f"{name} lists teams, but team_ids already gives them: omit one of the two"
            raise SEIArgumentError(msg, field=name)
    if isinstance(team_ids, list) and len({str(one) for one in team_ids}) < len(team_ids):
        twice = next(one for one in team_ids if sum(str(one) == str(other) for other in team_ids) > 1)
        msg = f"team_ids has {twice!r} twice: each team is exported once"
        raise SEIArgumentError(msg, field="team_ids")
    if isinstance(team_ids, Sequence) and not team_ids:
        msg = "team_ids is empty: give at least one team, or omit it to have the teams listed"
        raise SEIArgumentError(msg, field="team_ids")


def _parse_periods(given: object) -> list[int]:
    several = list(given) if isinstance(given, Iterable) else [given]
    periods = [OPTIONS["periods_ago"](one, field="periods_ago") for one in several]
    if not periods or len(set(periods)) < len(periods):
        msg = f"periods_ago must be whole numbers, each once, such as range(3); not {given!r}"
        raise SEIArgumentError(msg, field="periods_ago")
    return periods


def _check_export(arguments: Mapping[str, Any], limit: object, over: Mapping[str, Any]) -> None:
    """Check the exports' arguments, which Airflow does not before a mapped task runs."""
    if limit is not None and (type(limit) is not int or limit < 1):
        msg = f"max_parallel must be a whole number, at least 1, or None for no limit; not {limit!r}"
        raise SEIArgumentError(msg, field="max_parallel")
    check_mapped(parse_destination(arguments, is_known), {"team_id": None, **over})
    check_request({name: arguments.get(name) for name in REQUEST_FIELDS} | {"team_id": "0"}, is_known)
    for name in OPTIONS.keys() & arguments.keys():
        OPTIONS[name](arguments[name], field=name)


complete(SEITeamExportsTaskGroup, SEIExportOperator)
