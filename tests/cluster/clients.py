"""Clients for the local SEI server, the bucket and Airflow's API."""

from __future__ import annotations

import hashlib
from typing import Any

import boto3
import requests

from demo.local_airflow import LOOPBACK
from demo.rest import AirflowApi
from tests.cluster.services import AWS_KEY, Services

BUCKET = "lake"
_TIMEOUT_SECONDS = 60.0


class SEIServer:
    """The local SEI server's ``/_local/`` interface, bypassing the gateway, which the test kills."""

    def __init__(self, services: Services) -> None:
        self._url = f"http://{LOOPBACK}:{services.sei_port}/_local"
        self._session = requests.Session()
        self._session.trust_env = False

    def exports(self) -> list[dict[str, Any]]:
        """Return all exports."""
        exports: list[dict[str, Any]] = self._send("GET", "exports")
        return exports

    def add_fault(self, operation: str, effect: str, **parameters: Any) -> None:
        """Add a fault."""
        self._send("POST", "faults", {"operation": operation, "effect": effect, **parameters})

    def clear_faults(self) -> None:
        """Remove all faults; responses in progress are unaffected."""
        self._send("DELETE", "faults")

    def advance(self, seconds: float) -> None:
        """Move the server's clock."""
        self._send("POST", "clock", {"advance": seconds})

    def _send(self, method: str, path: str, body: object = None) -> Any:
        answer = self._session.request(method, f"{self._url}/{path}", json=body, timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.json()


class Bucket:
    """The versioned bucket that the exports are delivered to."""

    def __init__(self, services: Services) -> None:
        self._client = boto3.client(
            "s3",
            endpoint_url=services.s3_url,
            region_name="us-east-1",
            aws_access_key_id=AWS_KEY,
            aws_secret_access_key=AWS_KEY,
        )

    def create(self) -> None:
        """Create it."""
        self._client.create_bucket(Bucket=BUCKET)
        self._client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def published(self) -> list[str]:
        """Return the sorted names of all objects, each as often as it was published or deleted."""
        answer = self._client.list_object_versions(Bucket=BUCKET)
        return sorted(one["Key"] for kind in ("Versions", "DeleteMarkers") for one in answer.get(kind, ()))

    def unfinished_uploads(self) -> list[str]:
        """Return the names of objects with an unfinished multipart upload."""
        return [one["Key"] for one in self._client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())]

    def sha256(self, name: str) -> str:
        """Return the checksum of an object."""
        return hashlib.sha256(self._client.get_object(Bucket=BUCKET, Key=name)["Body"].read()).hexdigest()


class ClusterApi(AirflowApi):
    """Airflow's API, with a call that only this test needs."""

    def clear(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> None:
        """Clear one task instance, as a user does to run it again."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [[task_id, map_index]],
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self._send("POST", f"dags/{dag_id}/clearTaskInstances", body)
