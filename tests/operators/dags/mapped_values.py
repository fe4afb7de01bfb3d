"""An operator mapped over families and periods, with empty and false values, and text in place of other types."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_sei.operators.sei import SEIExportOperator

JANUARY = {"date_start": "2024-01-01", "date_end": "2024-01-31"}
FEBRUARY = {"date_start": "2024-02-01", "date_end": "2024-02-29"}
EXPORTS = [
    {"family": "productivity", "org_tree_name": "Engineering", "metric_groups": ["velocity"], **JANUARY}
    | {"team_id": "", "metrics": [], "level": "", "verify_size": False, "create_jitter": 0, "poll_interval": None},
    {"family": "ba", "org_tree_name": None, "team_id": 456, "metric_groups": None, **FEBRUARY}
    | {"scope": {}, "extra_body": {}, "asset_partitions": []},
    {"family": "{{ 'sprint' }}", "team_id": "{{ 456 }}", "metric_groups": "{{ ['velocity'] }}", **JANUARY}
    | {"metrics": "{{ [] }}", "extra_body": "{{ {} }}", "verify_size": "False", "create_jitter": "0"}
    | {"wait_timeout": "600"},
]

with DAG("mapped_values", schedule=None, params={"destination": "given by the run"}):
    SEIExportOperator.partial(task_id="export", destination="{{ params.destination }}").expand_kwargs(EXPORTS)
