"""Groups that export many teams: listed ones and given ones; and summaries of the wrong tasks."""

from __future__ import annotations

from airflow.sdk import DAG, Asset

from airflow_provider_sei.operators.sei import SEIExportOperator, SEIExportSummaryOperator
from airflow_provider_sei.task_groups import SEITeamExportsTaskGroup

REQUEST = {
    "family": "productivity",
    "date_start": "2024-01-01",
    "date_end": "2024-01-31",
    "level": "developer",
    "destination": "{{ params.destination }}",
    "create_jitter": 0,
}
PARAMS = {"destination": "given by the run", "include": None, "exclude": None}

# What a DAG may have for its other tasks.
DEFAULTS = {
    "do_xcom_push": False,
    "multiple_outputs": True,
    "trigger_rule": "none_failed",
    "map_index_template": "team {{ task.team_id }}",
    "outlets": [Asset("everything")],
}

for dag_id, fails, defaults in (("team_exports", True, {}), ("lenient_team_exports", False, DEFAULTS)):
    with DAG(dag_id, schedule=None, params=PARAMS, default_args={"retries": 1, **defaults}):
        SEITeamExportsTaskGroup(
            group_id="developers",
            org_tree_name="Engineering",
            include="{{ params.include or '' }}",
            exclude="{{ params.exclude or '' }}",
            fail_on_failed_teams=fails,
            team_outlets=[Asset("one_team")],
            **({} if defaults else {"outlets": [Asset("all_teams")]}),
            **REQUEST,
        )

with DAG("several_periods", schedule=None, params=PARAMS):
    SEITeamExportsTaskGroup(
        group_id="weeks",
        org_tree_name="Engineering",
        include=["Platform", "R&D / Labs"],
        periods_ago=[-1, 0, 1],
        granularity="weekly",
        layout="hive",
        overwrite="skip",
        **{name: value for name, value in REQUEST.items() if not name.startswith("date_")},
    )

with DAG("other_summaries", schedule=None, params=PARAMS):
    SEITeamExportsTaskGroup(group_id="given", team_ids=[456, "789"], **REQUEST)
    export = SEIExportOperator(task_id="export", team_id="456", **REQUEST)
    export >> SEIExportSummaryOperator(task_id="summary", export_task_id="export")
    export >> SEIExportSummaryOperator(task_id="mistyped", export_task_id="exprot")
