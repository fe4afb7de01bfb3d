"""One cluster for all tests of this folder, and the story that runs on it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from demo.local_airflow import LOOPBACK, free_ports
from demo.rest import AirflowApi
from tests.cluster.processes import Cluster
from tests.cluster.services import AWS_KEY, BUCKET, ROOT, Services
from tests.cluster.story import DAG_ID, SEIServer, Story
from tests.postgres import MissingServiceError

HOME = ROOT / ".demo" / "cluster"
_START_SECONDS = 120.0


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The services beside Airflow, not started yet."""
    folder = Path(tempfile.mkdtemp(prefix="sei-cluster-"))
    try:
        yield Services.at(folder)
    except MissingServiceError as error:
        pytest.skip(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def story(services: Services) -> Iterator[Story]:
    """The story at its end; the cluster keeps running."""
    [port] = free_ports(1)
    dags = Path(__file__).parent / "dags"
    cluster = Cluster(
        home=HOME, dags_folder=dags, port=port, connections=services.connections, beside={}, services=services
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NO_PROXY", LOOPBACK)
        environment.setenv("no_proxy", LOOPBACK)
        played = Story(
            services=services,
            cluster=cluster,
            api=AirflowApi(cluster.url),
            sei=SEIServer(services.sei_port),
            s3=boto3.client(
                "s3",
                endpoint_url=services.s3_url,
                region_name="us-east-1",
                aws_access_key_id=AWS_KEY,
                aws_secret_access_key=AWS_KEY,
            ),
        )
        services.postgres.prepare()
        with services.processes.running(cluster.environment(os.environ)):
            played.until("the services are ready", services.ready, _START_SECONDS)
            played.s3.create_bucket(Bucket=BUCKET)
            played.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
            with cluster.running():
                played.until("the DAG is there", lambda: played.api.dag_exists(DAG_ID))
                played.until("both workers are ready", cluster.workers_ready)
                played.play()
                yield played
