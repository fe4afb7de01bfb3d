"""The operator that lists teams, for exports to be mapped over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.operators.base import SEIBaseOperator, is_constant
from airflow_provider_sei.protocol.checks import checked_names, checked_text
from airflow_provider_sei.protocol.errors import SEIUsageError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_sei.protocol.teams import Team

__all__ = ["TEAMS_KEY", "SEIListTeamsOperator"]

TEAMS_KEY = "teams"
"""XCom key of the teams with their names; the task's result has their ids alone."""


class SEIListTeamsOperator(SEIBaseOperator):
    """List the leaf teams of an organisation tree, ready to export each.

    ::

        teams = SEIListTeamsOperator(task_id="teams", org_tree_name="Engineering", exclude=["* (archived)"])
        SEIExportOperator.partial(task_id="export", ...).expand(team_id=teams.output)

    The task's result is a list of team ids, as text, in the server's order. The XCom ``teams`` has the same teams as
    dicts with ``team_id``, ``name`` and ``org_tree_name``. A task that maps over the result can be expanded by as many
    teams as ``[core] max_map_length`` says (1024); more fail this task, with what to do.

    :param org_tree_name: the organisation tree, exactly as SEI names it; ``None`` lists the teams of all trees.
    :param include: only these: a pattern or a list of patterns, matched against name and id in any case, with ``*``,
        ``?`` and ``[...]``. One that matches no team fails the task.
    :param exclude: not these, likewise; one that matches no team only warns.

    All other arguments: :class:`SEIBaseOperator <airflow_provider_sei.operators.base.SEIBaseOperator>`.
    """

    template_fields: Sequence[str] = ("org_tree_name", "include", "exclude", *SEIBaseOperator.template_fields)

    def __init__(
        self,
        *,
        org_tree_name: str | None = None,
        include: Sequence[str] | str | None = None,
        exclude: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.org_tree_name = org_tree_name
        self.include = include
        self.exclude = exclude
        with airflow_errors():
            for name in ("include", "exclude"):
                if is_constant(getattr(self, name)):
                    _patterns(getattr(self, name), name)

    def execute(self, context: Context) -> list[str]:
        """Ask SEI for the teams and keep those that are asked for."""
        from airflow_provider_sei.protocol.teams import select_teams, without_match

        with airflow_errors():
            tree = checked_text(self.org_tree_name, "org_tree_name")
            include, exclude = _patterns(self.include, "include"), _patterns(self.exclude, "exclude")
        found = self.hook.list_teams(tree)
        for pattern in without_match(found, exclude):
            self.log.warning("exclude pattern %r matches none of %d teams", pattern, len(found))
        with airflow_errors():
            _check_any(found, tree)
            teams = select_teams(found, include, exclude)
            _check_mappable(len(teams), conf.getint("core", "max_map_length", fallback=1024))
        self.log.info("%d of %d leaf teams of %s", len(teams), len(found), tree or "all organisation trees")
        context["ti"].xcom_push(key=TEAMS_KEY, value=[asdict(team) for team in teams])
        return [team.team_id for team in teams]


def _patterns(value: object, field_name: str) -> tuple[str, ...]:
    return checked_names(value, field_name, separator=None)  # a team's name may hold a comma


def _check_any(found: Sequence[Team], tree: str | None) -> None:
    if not found:
        msg = "SEI lists no leaf team: the API key may not see any"
        if tree:
            msg = f"SEI lists no leaf team in an organisation tree called {tree!r}: check the spelling of org_tree_name"
        raise SEIUsageError(msg, field="org_tree_name")


def _check_mappable(count: int, most: int) -> None:
    if count > most:
        msg = (
            f"{count} teams are more than the {most} that Airflow maps over: narrow them by org_tree_name, include or "
            "exclude, or raise [core] max_map_length (AIRFLOW__CORE__MAX_MAP_LENGTH) on API server and workers"
        )
        raise SEIUsageError(msg, field="include")
