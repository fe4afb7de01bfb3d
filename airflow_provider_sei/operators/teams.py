"""Operators for many teams: list them to map exports over, and summarize what became of the exports."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, conf

from airflow_provider_sei.exceptions import SEIArgumentError, SEITeamExportsError
from airflow_provider_sei.operators._base import SEIBaseOperator, complete, is_known, parse_partitions
from airflow_provider_sei.protocol.arguments import parse_names, parse_text

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

TEAMS_KEY = "teams"  # XCom key of the teams with their names; the task's result has only their ids
OUTCOMES = ("delivered", "empty", "failed", "skipped", "unknown")
"""``empty``: delivered, without rows. ``failed``: every state but success and skipped. ``unknown``: a success without a
result, such as one that a user has marked."""
MAX_LISTED = 1024  # teams per outcome in the summary: Airflow's default [core] max_map_length
_DETAILS = {"delivered": ("rows", "bytes"), "failed": ("state",)}
_MAX_IN_ERROR, _MAX_NAME = 20, 100
_UNMAPPED = -1  # the map index of a task that is not mapped


@complete
class SEIListTeamsOperator(SEIBaseOperator):
    """List the leaf teams of an organisation tree, to export each of them.

    ::

        teams = SEIListTeamsOperator(task_id="teams", org_tree_name="Engineering", exclude=["* (archived)"])
        SEIExportOperator.partial(task_id="export", ...).expand(team_id=teams.output)

    The task's result is a list of team ids, as text, in the server's order. The XCom ``teams`` has the same teams as
    dicts with ``team_id``, ``name`` and ``org_tree_name``. A task can be mapped over at most ``[core] max_map_length``
    (1024) teams; more fail this task with advice.

    :param org_tree_name: the organisation tree, exactly as SEI names it; ``None`` lists the teams of all trees.
    :param include: only these: a pattern or a list of patterns, matched against name and id in any case, with ``*``,
        ``?`` and ``[...]``. One that matches no team fails the task.
    :param exclude: not these, likewise; one that matches no team is logged as a warning.
    """

    def __init__(
        self,
        *,
        org_tree_name: str | None = None,
        include: Sequence[str] | str | None = None,
        exclude: Sequence[str] | str | None = None,
        sei_conn_id: str = "sei_default",
        project_identifier: str | None = None,
        org_identifier: str | None = None,
        account_id: str | None = None,
        auth_header: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._accept(locals())
        for name in ("include", "exclude"):
            if is_known(getattr(self, name)):
                self._patterns(name)

    def execute(self, context: Context) -> list[str]:
        """List the teams and select the requested ones."""
        from airflow_provider_sei.protocol.teams import select_teams, without_match

        tree = parse_text(self.org_tree_name, "org_tree_name")
        include, exclude = self._patterns("include"), self._patterns("exclude")
        found = self.hook.list_teams(tree)
        if not found:
            msg = "SEI lists no leaf team: the API key may not have access to any"
            if tree:
                guess = self.hook.suggest("org_tree_name", tree) or ": check the spelling"
                msg = f"SEI lists no leaf team in an organisation tree called {tree!r}{guess}"
            raise SEIArgumentError(msg, field="org_tree_name")
        for pattern in without_match(found, exclude):
            self.log.warning("exclude pattern %r matches none of %d teams", pattern, len(found))
        teams = select_teams(found, include, exclude)
        most = conf.getint("core", "max_map_length", fallback=1024)
        if len(teams) > most:
            msg = (
                f"{len(teams)} teams are more than the {most} that Airflow maps over: use org_tree_name, include or"
                " exclude, or raise [core] max_map_length (AIRFLOW__CORE__MAX_MAP_LENGTH) on API server and workers"
            )
            raise SEIArgumentError(msg, field="include")
        self.log.info("%d of %d leaf teams of %s", len(teams), len(found), tree or "all organisation trees")
        context["ti"].xcom_push(key=TEAMS_KEY, value=[asdict(team) for team in teams])
        return [team.team_id for team in teams]

    def _patterns(self, name: str) -> tuple[str, ...]:
        return parse_names(getattr(self, name), name, separator=None)  # a team's name may contain a comma


@complete
class SEIExportSummaryOperator(SEIBaseOperator):
    """Summarize the exports of many teams, whatever their outcomes.

    ::

        SEIExportSummaryOperator(task_id="summary", export_task_id="export", list_task_id="teams")

    It runs when all mapped tasks of the upstream ``SEIExportOperator`` have ended. The task's result is a dict:
    ``counts`` (``teams``, ``delivered``, ``empty``, ``failed``, ``skipped``, ``unknown``), ``rows`` and ``bytes`` in
    total, ``periods`` (a list of dicts with ``date_start``, ``date_end``, the number of ``files``, and how many of them
    were ``written``, not the same as before), ``problem`` (why there are none, or why files are lost), and for each
    outcome a list of at most 1,024 exports with ``team_id``, ``name``, ``map_index``, and ``rows`` and ``bytes``
    (delivered) or ``state`` (failed). The log has the totals, and a line for each team without rows or without a file.

    If the exports are mapped over more than teams, such as ``periods_ago``, the teams must be the first; ``counts`` are
    then of exports, but ``teams``.

    Airflow determines the state of a run from its last tasks, and this may be the last one, so it fails if a team's
    export has failed. Events of its ``outlets`` have ``counts``, ``rows``, ``bytes``, family, period and ``files``: the
    exports' results with ``team_id``. If a team has failed or there is no file, no event: it fails or is skipped.

    :param export_task_id: the mapped export task, prefixed with its task group (``productivity.export``).
    :param list_task_id: the ``SEIListTeamsOperator`` whose result the exports are mapped over, for the teams' names.
    :param team_ids: the team ids that the exports are mapped over, if no task lists them.
    :param fail_on_failed_teams: whether failed teams fail this task. It always fails if no export was started, and if
        one team's file replaced another's.
    :param asset_partitions: partition keys for the events of the outlets (Airflow 3.3 and newer).
    :param trigger_rule: when it runs; by default when all exports have ended, however.
    """

    def __init__(
        self,
        *,
        export_task_id: str,
        list_task_id: str | None = None,
        team_ids: Sequence[str | int] | str | None = None,
        asset_partitions: Sequence[str] | str | None = None,
        fail_on_failed_teams: bool = True,
        trigger_rule: str = "all_done",
        **kwargs: Any,
    ) -> None:
        super().__init__(trigger_rule=trigger_rule, **kwargs)
        self._accept(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        """Collect the results, log and return the summary, and fail if a team's export has failed."""
        states = _states(context, self.export_task_id)
        # A mapped task that was never expanded has one instance, without an index.
        unexpanded = states.pop(_UNMAPPED, None) if states else "missing"
        exports = self._read_exports(context, states)
        by_outcome = {outcome: [each for each in exports if each["outcome"] == outcome] for outcome in OUTCOMES}
        problem = _overwritten(exports) if exports else self._why_none(context, unexpanded)
        counts = {"teams": len({each["team_id"] or each["map_index"] for each in exports})}
        counts |= {outcome: len(found) for outcome, found in by_outcome.items()}
        rows, size = (sum(each[name] or 0 for each in exports) for name in ("rows", "bytes"))
        periods = _periods(exports)
        result = {"counts": counts, "rows": rows, "bytes": size, "periods": periods, "problem": problem}
        for outcome, found in by_outcome.items():
            names = ("team_id", "name", "map_index", *_DETAILS.get(outcome, ()))
            result[outcome] = [{name: each[name] for name in names} for each in found[:MAX_LISTED]]
        if exports:
            number = f"{len(exports)} export{'s' if len(exports) > 1 else ''}: "
            self._log(by_outcome, number, f"; {rows:,} rows, {size:,} bytes")
            for period in filter(lambda each: each["date_start"], periods):
                self.log.info("%(date_start)s to %(date_end)s: %(written)d of %(files)d files written", period)
        error = problem if unexpanded != "skipped" else None
        failed = by_outcome["failed"]
        if failed and self.fail_on_failed_teams:
            failure = (
                f"{len(failed)} of {len(exports)} exports failed: {_titles(failed)}. See the logs of"
                f" {self.export_task_id} for the reasons; clear its failed tasks, with those downstream, to repeat them"
            )
            error = f"{problem}; {failure}" if problem else failure
        no_event = self.outlets and (failed or not counts["delivered"] + counts["empty"])  # a success would have one
        if error or no_event:
            context["ti"].xcom_push(key="return_value", value=result)  # a failed or skipped task returns nothing
            msg = f"no asset event: {problem or 'not every team was exported'}"
            raise SEITeamExportsError(error) if error else AirflowSkipException(msg)
        if problem:
            self.log.warning("%s", problem)
        if self.outlets:
            self._emit(context, exports, result)
        return result

    def _emit(self, context: Context, exports: Sequence[Mapping[str, Any]], result: dict[str, Any]) -> None:
        from airflow_provider_sei.assets import emit_asset_events

        files = [{"team_id": each["team_id"], **each["result"]} for each in exports if each["rows"] is not None]
        columns = [file.pop("columns", None) for file in files]  # the same of all, and not a thousand times
        extra = {name: result[name] for name in ("counts", "rows", "bytes")} | {"files": files}
        extra |= {"family": files[0].get("family"), "columns": columns[0]}
        first, *_, last = (result["periods"] or [{}]) * 2
        extra |= {"date_start": first.get("date_start"), "date_end": last.get("date_end")}
        emit_asset_events(context, self.outlets, extra, parse_partitions(self.asset_partitions))

    def _read_exports(self, context: Mapping[str, Any], states: Mapping[int, str | None]) -> list[dict[str, Any]]:
        """Return a dict for each team: what it is, how its task ended, and what that returned."""
        ti, exports = context["ti"], []
        teams = [{"team_id": team_id} for team_id in parse_names(self.team_ids, "team_ids", positional=True)]
        if self.list_task_id:
            teams = list(ti.xcom_pull(task_ids=self.list_task_id, key=TEAMS_KEY) or ())
        per_team = max(1, len(states) // len(teams)) if teams else 1
        for map_index, state in sorted(states.items()):
            team = teams[map_index // per_team] if map_index // per_team < len(teams) else {}
            result = ti.xcom_pull(task_ids=self.export_task_id, map_indexes=map_index) if state == "success" else None
            result = result if isinstance(result, Mapping) else {}
            rows, size = (value if type(value := result.get(name)) is int else None for name in ("rows", "bytes"))
            outcome = "unknown" if rows is None else "delivered" if rows else "empty"
            if state != "success":
                outcome = "skipped" if state == "skipped" else "failed"
            team_id, name = team.get("team_id"), " ".join((team.get("name") or "").split())
            name = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
            title = f"map index {map_index}" if team_id is None else f"team {team_id}"
            title = f"{name} ({team_id})" if team_id and name and name != team_id else title
            title += f", {map_index % per_team + 1} of {per_team}" if per_team > 1 else ""
            export: dict[str, Any] = {"team_id": team_id, "name": name or None, "map_index": map_index, "title": title}
            export |= {"outcome": outcome, "state": state, "rows": rows, "bytes": size, "result": result}
            exports.append(export)
        return exports

    def _log(self, by_outcome: Mapping[str, list[dict[str, Any]]], teams: str, totals: str) -> None:
        """Log the totals, and each team that was not delivered, failed ones first."""
        counts = (f"{len(found)} {outcome}" for outcome, found in by_outcome.items() if found or outcome == "failed")
        self.log.info("%s%s%s", teams, ", ".join(counts), totals)
        levels = {"failed": logging.ERROR, "empty": logging.INFO, "skipped": logging.INFO, "unknown": logging.WARNING}
        for outcome, level in levels.items():
            for each in by_outcome[outcome]:
                task, remark = f"{self.export_task_id}, map index {each['map_index']}", ""
                if outcome == "failed":
                    state = "" if each["state"] == "failed" else f" is {each['state'] or 'not started'}:"
                    remark = f" -{state} see the log of {task}"
                elif outcome == "unknown":
                    remark = f" - {task} succeeded without a result"
                self.log.log(level, "%s: %s%s", outcome, each["title"], remark)

    def _why_none(self, context: Mapping[str, Any], state: str | None) -> str:
        if state == "missing":
            return f"there is no task {self.export_task_id} in this run: check export_task_id"
        if state == "success":
            return f"{self.export_task_id} is not mapped: a summary needs one export for each of many teams"
        why = f"no team was exported: {self.export_task_id} is {state or 'not started'}"
        if self.list_task_id:
            [listed] = _states(context, self.list_task_id).values() or ["missing"]
            if listed != "success":
                return f"{why}, because {self.list_task_id} is {listed or 'not started'}; see its log"
        return why


def _overwritten(exports: Sequence[Mapping[str, Any]]) -> str | None:
    by_uri: dict[str, dict[object, Mapping[str, Any]]] = {}
    for each in exports:
        if isinstance(each["result"].get("uri"), str):
            by_uri.setdefault(each["result"]["uri"], {})[each["team_id"] or each["map_index"]] = each
    for uri, found in by_uri.items():
        if len(found) > 1:
            return (
                f"{len(found)} teams were delivered to one object, {uri}, which can have only one of them:"
                f" {_titles(list(found.values()))}. Use a folder as destination, or the team in its name ({{team_id}})"
            )
    return None


def _periods(exports: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each period how many files it has, and how many of them were written."""
    found: dict[tuple[str | None, ...], list[bool]] = {}
    for result in (each["result"] for each in exports if each["rows"] is not None):
        days = tuple(result.get(name) for name in ("date_start", "date_end"))
        found.setdefault(days, []).append(result.get("written") is not False)
    names = ("date_start", "date_end", "files", "written")
    return [dict(zip(names, (*days, len(all_), sum(all_)), strict=True)) for days, all_ in sorted(found.items())]


def _titles(exports: Sequence[Mapping[str, Any]]) -> str:
    more = len(exports) - _MAX_IN_ERROR
    return ", ".join(each["title"] for each in exports[:_MAX_IN_ERROR]) + (f" and {more} more" if more > 0 else "")


def _states(context: Mapping[str, Any], task_id: str) -> dict[int, str | None]:
    """Return the states of a task's instances in this run, by map index."""
    ti = context["ti"]
    if hasattr(ti, "get_task_states"):  # Airflow 3
        found = ti.get_task_states(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id]).get(ti.run_id, {})
        # The keys are the task's id, followed by an underscore and the map index if there is one.
        states = {int(key[len(task_id) + 1 :] or _UNMAPPED): state for key, state in found.items()}
    else:
        instances = (one for one in context["dag_run"].get_task_instances() if one.task_id == task_id)
        states = {one.map_index: one.state for one in instances}
    # "removed" are instances of an earlier, longer list of teams.
    plain = {index: None if state is None else str(getattr(state, "value", state)) for index, state in states.items()}
    return {index: state for index, state in plain.items() if state != "removed"}
