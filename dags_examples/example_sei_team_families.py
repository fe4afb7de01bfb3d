"""Export all five families of one team with one mapped task, each with its own metric groups and options."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_sei.operators.sei import SEIExportOperator

PARAMS = {
    "team_id": Param("456", type="string", description="Team, from the address of its Insights page"),
    "date_start": Param(None, type=["null", "string"], format="date", description="First day (default: the run's)"),
    "date_end": Param(None, type=["null", "string"], format="date", description="Last day (inclusive)"),
    "destination": Param("/tmp/sei/", type="string", description="Folder; ends with a slash"),
}

FAMILIES = [
    {"family": "productivity", "metric_groups": ["activity", "velocity"], "level": "developer"},
    {"family": "efficiency", "metric_groups": ["lttc", "df", "mttr", "cfr"], "aggregation": "median"},
    {"family": "sprint", "metric_groups": ["delivery", "predictability"], "computation_mode": "STORY_POINTS"},
    {"family": "ba", "metric_groups": ["CATEGORIZED"]},
    {"family": "ticket-data", "issue_statuses": ["In Progress", "In Review"]},
]

with DAG("sei_team_families", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_operator_sei_export_families]
    SEIExportOperator.partial(
        task_id="export",
        team_id="{{ params.team_id }}",
        date_start="{{ params.date_start or '' }}",
        date_end="{{ params.date_end or '' }}",
        granularity="monthly",
        destination="{{ params.destination }}",
        map_index_template="{{ task.family }}",
        doc_md="Delivers **one family** of the team; *Mapped task instances* lists the five.",
    ).expand_kwargs(FAMILIES)
    # [END howto_operator_sei_export_families]
