"""Twenty concurrent exports, one for each team, delivered to S3."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_sei.operators.sei import SEIExportOperator

# Leaf teams of the local SEI server: five with the ids of the vendor's examples, the others numbered.
TEAMS = ["456", "123", "789", "6036", "1", *(str(1001 + number) for number in range(5, 20))]

with DAG("sei_cluster", schedule=None):
    SEIExportOperator.partial(
        task_id="export",
        family="productivity",
        date_start="2024-01-01",
        date_end="2024-12-31",
        metric_groups=["activity", "velocity"],
        aggregation="mean",
        level="developer",
        granularity="monthly",
        destination="s3://aws_default@lake/exports/",
        # The default schedule grows, so the test would have to wait.
        poll_interval=2,
        retries=5,
        retry_delay=timedelta(seconds=1),
    ).expand(team_id=TEAMS)
