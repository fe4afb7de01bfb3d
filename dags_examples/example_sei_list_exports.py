"""List exports and teams with the hook."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_sei.hooks.sei import SEIHook

PARAMS = {
    "org_tree_name": Param("Engineering", type="string", description="Organisation tree, as SEI names it"),
    "date_from": Param("2024-01-01", type="string", format="date", description="Only exports created since"),
}

with DAG("sei_list_exports", schedule=None, params=PARAMS, tags=["sei"], doc_md=__doc__):
    # [START howto_hook_sei_list_exports]
    @task
    def completed_exports(date_from: str) -> list[dict[str, str | None]]:
        """Return the completed exports, newest first."""
        exports = SEIHook().iter_exports("productivity", status="completed", date_from=date_from, sort_by="completedAt")
        return [{"export_id": export.export_id, "completed_at": export.completed_at} for export in exports]

    # [END howto_hook_sei_list_exports]

    # [START howto_hook_sei_list_teams]
    @task
    def leaf_teams(org_tree_name: str) -> list[dict[str, str]]:
        """Return the teams that can be exported."""
        return [{"team_id": team.team_id, "name": team.name} for team in SEIHook().list_teams(org_tree_name)]

    # [END howto_hook_sei_list_teams]

    completed_exports("{{ params.date_from }}")
    leaf_teams("{{ params.org_tree_name }}")
