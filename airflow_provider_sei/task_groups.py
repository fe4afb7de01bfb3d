"""A task group that exports every team: list, export each, tell what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import DAG, TaskGroup

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.operators.base import is_constant
from airflow_provider_sei.operators.sei import SEIExportOperator
from airflow_provider_sei.operators.summary import SEIExportSummaryOperator
from airflow_provider_sei.operators.teams import TEAMS_KEY, SEIListTeamsOperator
from airflow_provider_sei.protocol.errors import SEIUsageError

__all__ = ["SEITeamExportsTaskGroup"]

CREATE_JITTER = 30.0
"""Seconds. The default of the exports in the group: those that begin together do not all call at once."""

_GROUP_ARGUMENTS = (
    *("prefix_group_id", "parent_group", "dag", "default_args", "tooltip", "ui_color", "ui_fgcolor"),
    *("add_suffix_on_collision", "group_display_name"),
)
_CONNECTION_ARGUMENTS = ("sei_conn_id", "project_identifier", "org_identifier", "account_id", "auth_header")

# Airflow renders it when a task starts and again when it ends; the second time it has the first one's words already.
_TEAM_TITLE = """
{%- set id = task.team_id | string %}{% set shown = ti.rendered_map_index or "" -%}
{%- if shown.endswith("(" ~ id ~ ")") -%}
{{ shown }}
{%- else -%}
{%- set teams = ti.xcom_pull(task_ids="LIST_TASK", key="TEAMS_KEY") or [] -%}
{%- set names = teams | selectattr("team_id", "eq", id) | map(attribute="name") -%}
{{ names | first | default("team") | truncate(100, True) }} ({{ id }})
{%- endif -%}
"""


class SEITeamExportsTaskGroup(TaskGroup):
    """Export each team of an organisation, and tell what became of all of them.

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
    and ``summary`` (``SEIExportSummaryOperator``). One team's failure neither stops nor hides the others; it fails the
    summary in the end, and with it the run. What holds no template is checked when the DAG is parsed.

    :param group_id: the group's id, which its tasks' ids begin with. A DAG can have several groups.
    :param org_tree_name: the organisation tree whose leaf teams are exported; ``None`` exports those of all trees.
    :param include: only these teams: patterns, see ``SEIListTeamsOperator``.
    :param exclude: not these teams: patterns, likewise.
    :param team_ids: these teams instead, and no task that lists them: ids, or what another task returns.
    :param max_parallel: exports of one run under way at once, from their first step to their delivery; the other teams
        wait in Airflow, not at SEI. Waits in the triggerer count on Airflow 3.2 and newer; before, only exports that
        hold a worker do, so that this limits creates and downloads. ``None`` sets no limit.
    :param fail_on_failed_teams: whether a team that failed fails the summary.
    :param kwargs: what ``TaskGroup`` takes (``default_args``, ``tooltip``, ...) is for the group, everything else for
        ``SEIExportOperator`` (``pool``, ``retries``, ``outlets``, ``granularity``, ...). The connection's arguments are
        for the list too. ``create_jitter`` is 30 seconds here, and ``map_index_template`` shows the team.

    Give the exports ``retries``: Airflow can take a task that comes back soon from the triggerer for a lost one, and
    fail that try (apache/airflow#67287, seen on 3.3.2).

    The tasks are the attributes ``list_teams`` (or ``None``), ``exports`` and ``summary``; ``exports.output`` is the
    list of all results.

    :raises SEIUsageError: a constant argument cannot work.
    """

    def __init__(
        self,
        group_id: str,
        *,
        org_tree_name: str | None = None,
        include: Sequence[str] | str | None = None,
        exclude: Sequence[str] | str | None = None,
        team_ids: Any = None,
        max_parallel: int | None = 16,
        fail_on_failed_teams: bool = True,
        **kwargs: Any,
    ) -> None:
        group = {name: kwargs.pop(name) for name in _GROUP_ARGUMENTS if name in kwargs}
        super().__init__(group_id=group_id, **group)
        defaults = {**self.dag.default_args, **self.default_args}
        if "create_jitter" not in defaults:
            kwargs.setdefault("create_jitter", CREATE_JITTER)
        with airflow_errors():
            _check_limit(max_parallel)
            _check_teams(team_ids, {"org_tree_name": org_tree_name, "include": include, "exclude": exclude})
        _check_export(kwargs, defaults)
        with self:
            self.list_teams: SEIListTeamsOperator | None = None
            if team_ids is None:
                self.list_teams = SEIListTeamsOperator(
                    task_id="list_teams",
                    org_tree_name=org_tree_name,
                    include=include,
                    exclude=exclude,
                    **{name: kwargs[name] for name in _CONNECTION_ARGUMENTS if name in kwargs},
                )
                title = _TEAM_TITLE.replace("LIST_TASK", self.list_teams.task_id).replace("TEAMS_KEY", TEAMS_KEY)
            else:
                title = "team {{ task.team_id }}"
            options = {"map_index_template": title, "max_active_tis_per_dagrun": max_parallel, **kwargs}
            teams = self.list_teams.output if self.list_teams else team_ids
            self.exports = SEIExportOperator.partial(task_id="export", **options).expand(team_id=teams)
            self.summary = SEIExportSummaryOperator(
                task_id="summary",
                export_task_id=self.exports.task_id,
                list_task_id=self.list_teams.task_id if self.list_teams else None,
                team_ids=team_ids,
                fail_on_failed_teams=fail_on_failed_teams,
            )
            self.exports >> self.summary


def _check_limit(max_parallel: object) -> None:
    if max_parallel is not None and (type(max_parallel) is not int or max_parallel < 1):
        msg = f"max_parallel must be a whole number, at least 1, or None for no limit; not {max_parallel!r}"
        raise SEIUsageError(msg, field="max_parallel")


def _check_teams(team_ids: object, search: Mapping[str, object]) -> None:
    """Raise ``SEIUsageError`` if teams are both given and searched for, or given and none."""
    if team_ids is None:
        return
    for name, value in search.items():
        if value is not None:
            msg = f"{name} is for listing teams, but team_ids gives them already: leave out one of the two"
            raise SEIUsageError(msg, field=name)
    twice = next((one for one in team_ids if team_ids.count(one) > 1), None) if isinstance(team_ids, list) else None
    if twice is not None:
        msg = f"team_ids has {twice!r} twice: each team is exported once"
        raise SEIUsageError(msg, field="team_ids")
    if isinstance(team_ids, Sequence) and not team_ids:
        msg = "team_ids is empty: give at least one team, or leave it out to have the teams listed"
        raise SEIUsageError(msg, field="team_ids")


def _check_export(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check the arguments of the exports as one export's: Airflow does not look at them before a mapped task runs.

    Raises:
        SEIUsageError: a constant cannot work.
        TypeError: there is no such argument.
    """
    destination = {**defaults, **arguments}.get("destination")
    if isinstance(destination, str) and is_constant(destination) and not destination.strip().endswith("/"):
        msg = (
            f"destination {destination!r} is one object, and each team would take the place of the one before: give a"
            " folder, ending with a slash, or name the team in it ('{{ task.team_id }}')"
        )
        with airflow_errors():
            raise SEIUsageError(msg, field="destination")
    # What another task returns has no place in this DAG, and is not known yet.
    known: dict[str, Any] = {name: value if is_constant(value) else "{{ later }}" for name, value in arguments.items()}
    with DAG("checked_and_thrown_away", schedule=None, auto_register=False, default_args=dict(defaults)):
        SEIExportOperator(task_id="export", team_id="0", **known)
