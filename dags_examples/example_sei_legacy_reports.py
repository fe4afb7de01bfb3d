"""Deliver the two reports of the legacy API: by team and by contributor."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_sei.operators.sei import SEILegacyReportOperator

PARAMS = {
    "team_id": Param("1", type="string", description="The team's collection id, from the address of its Insights page"),
    "date_start": Param(None, type=["null", "string"], format="date", description="First day (default: the run's)"),
    "date_end": Param(None, type=["null", "string"], format="date", description="Last day (inclusive)"),
    "destination": Param("/tmp/sei/", type="string", description="Folder (ends with a slash) or object"),
}

with DAG("sei_legacy_team_report", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_operator_sei_legacy_team]
    SEILegacyReportOperator(
        task_id="team_report",
        collection_id="{{ params.team_id }}",
        date_start="{{ params.date_start or '' }}",
        date_end="{{ params.date_end or '' }}",
        granularity="weekly",
        productivity_metrics=["PR_VELOCITY_PER_DEV", "CODING_DAYS_PER_DEV"],
        efficiency_metrics=["LEAD_TIME_FOR_CHANGES", "DEPLOYMENT_FREQUENCY"],
        calculation_type="MEAN",
        destination="{{ params.destination }}",
        doc_md="Delivers a row for the team and each child team. The call waits for the report.",
    )
    # [END howto_operator_sei_legacy_team]

with DAG("sei_legacy_contributor_report", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_operator_sei_legacy_contributor]
    SEILegacyReportOperator(
        task_id="contributor_report",
        report_type="contributor",
        collection_id="{{ params.team_id }}",
        date_start="{{ params.date_start or '' }}",
        date_end="{{ params.date_end or '' }}",
        include_ratings=True,
        contributor_metrics=["PR_VELOCITY", "CODING_DAYS", "TIME_TO_FIRST_COMMENT"],
        destination="{{ params.destination }}",
        doc_md="Delivers a row for each contributor, with ratings. The call waits for the report.",
    )
    # [END howto_operator_sei_legacy_contributor]
