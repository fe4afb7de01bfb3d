"""The operator that tells what became of the exports of many teams."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_sei.exceptions import airflow_errors
from airflow_provider_sei.operators.base import SEIBaseOperator, checked_flag, is_constant
from airflow_provider_sei.operators.teams import TEAMS_KEY
from airflow_provider_sei.protocol.checks import checked_names
from airflow_provider_sei.protocol.errors import SEITeamExportsError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_sei.protocol.summary import TeamExport

__all__ = ["SEIExportSummaryOperator"]

_UNMAPPED = -1
_LEVELS = {"failed": logging.ERROR, "unknown": logging.WARNING}


class SEIExportSummaryOperator(BaseOperator):
    """Tell what became of the exports of many teams, whatever their ends.

    ::

        SEIExportSummaryOperator(task_id="summary", export_task_id="export", list_task_id="teams")

    It runs when all mapped tasks of the ``SEIExportOperator`` upstream have ended. The task's result is a dict:
    ``counts`` (``teams``, ``delivered``, ``empty``, ``failed``, ``skipped``, ``unknown``), ``rows`` and ``bytes`` in
    total, and under each outcome its teams, with ``team_id``, ``name`` and ``map_index``; see
    :mod:`airflow_provider_sei.protocol.summary`. The log has the totals, and a line for each team without rows or
    without a file.

    Airflow judges a run by its last tasks, and this one may well be the last. So it fails if a team's export has
    failed, at once and after all is told; the run would be green otherwise.

    :param export_task_id: the mapped export task, with its task group in front (``productivity.export``).
    :param list_task_id: the ``SEIListTeamsOperator`` whose result the exports are mapped over, for the teams' names.
    :param team_ids: the team ids that the exports are mapped over, where no task lists them.
    :param fail_on_failed_teams: whether teams that failed fail this task. It fails anyway if no export was started, and
        if one team's file took the place of another's.
    """

    template_fields: Sequence[str] = ("export_task_id", "list_task_id", "team_ids", "fail_on_failed_teams")
    ui_color = SEIBaseOperator.ui_color

    def __init__(
        self,
        *,
        export_task_id: str,
        list_task_id: str | None = None,
        team_ids: Sequence[str | int] | str | None = None,
        fail_on_failed_teams: bool = True,
        trigger_rule: str = "all_done",
        **kwargs: Any,
    ) -> None:
        super().__init__(trigger_rule=trigger_rule, **kwargs)
        self.export_task_id = export_task_id
        self.list_task_id = list_task_id
        self.team_ids = team_ids
        self.fail_on_failed_teams = fail_on_failed_teams
        if is_constant(fail_on_failed_teams):
            with airflow_errors():
                checked_flag(fail_on_failed_teams, "fail_on_failed_teams")

    def execute(self, context: Context) -> dict[str, Any]:
        """Gather what is known, tell it, and fail if a team's export has failed."""
        from airflow_provider_sei.protocol.summary import failure, news, overwritten, summary

        with airflow_errors():
            fails = checked_flag(self.fail_on_failed_teams, "fail_on_failed_teams")
        states = _states(context, self.export_task_id)
        # A mapped task that was never expanded has one instance, without an index.
        unexpanded = states.pop(_UNMAPPED, None) if states else "missing"
        exports = list(self._exports(context, states))
        problem = overwritten(exports) if exports else self._why_none(context, unexpanded)
        told = summary(exports, problem)
        for outcome, line in news(exports, self.export_task_id) if exports else ():
            self.log.log(_LEVELS.get(outcome, logging.INFO), "%s", line)
        error = problem if unexpanded != "skipped" else None
        if exports and fails:
            error = "; ".join(filter(None, (problem, failure(exports, self.export_task_id))))
        if error:
            # What is told must not be lost with the failure.
            context["ti"].xcom_push(key="return_value", value=told)
            with airflow_errors():
                raise SEITeamExportsError(error)
        if problem:
            self.log.warning("%s", problem)
        return told

    def _exports(self, context: Mapping[str, Any], states: Mapping[int, str | None]) -> Iterator[TeamExport]:
        """Yield one export for each map index, with its team and its result."""
        from airflow_provider_sei.protocol.summary import TeamExport

        ti, teams = context["ti"], self._teams(context)
        for map_index, state in sorted(states.items()):
            team = teams[map_index] if map_index < len(teams) else {}
            result = ti.xcom_pull(task_ids=self.export_task_id, map_indexes=map_index) if state == "success" else None
            yield TeamExport(
                map_index=map_index,
                state=state,
                team_id=team.get("team_id"),
                name=team.get("name"),
                result=result if isinstance(result, Mapping) else None,
            )

    def _teams(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the teams in the order of the map indexes; none if they are not known."""
        if self.list_task_id:
            return list(context["ti"].xcom_pull(task_ids=self.list_task_id, key=TEAMS_KEY) or ())
        given = self.team_ids
        with airflow_errors():
            ids = checked_names(given, "team_ids") if isinstance(given, str) else map(str, given or ())
        return [{"team_id": team_id} for team_id in ids]

    def _why_none(self, context: Mapping[str, Any], state: str | None) -> str:
        if state == "missing":
            return f"there is no task {self.export_task_id} in this run: check export_task_id"
        if state == "success":
            return f"{self.export_task_id} is not mapped: this is a summary of one export for each of many teams"
        why = f"no team was exported: {self.export_task_id} is {state or 'not begun'}"
        if self.list_task_id:
            [listed] = _states(context, self.list_task_id).values() or ["missing"]
            if listed != "success":
                return f"{why}, because {self.list_task_id} is {listed or 'not begun'}; see its log"
        return why


def _states(context: Mapping[str, Any], task_id: str) -> dict[int, str | None]:
    """Return the states of a task's instances in this run, by map index; -1 is the index of one that is not mapped."""
    ti = context["ti"]
    if hasattr(ti, "get_task_states"):  # Airflow 3
        found = ti.get_task_states(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id]).get(ti.run_id, {})
        # Its keys are the task's id, with an underscore and the map index behind where there is one.
        states = {int(key[len(task_id) + 1 :] or _UNMAPPED): state for key, state in found.items()}
    else:
        instances = (one for one in context["dag_run"].get_task_instances() if one.task_id == task_id)
        states = {one.map_index: one.state for one in instances}
    # "removed" are instances of an earlier, longer list of teams.
    plain = {index: None if state is None else str(getattr(state, "value", state)) for index, state in states.items()}
    return {index: state for index, state in plain.items() if state != "removed"}
