"""What a cluster needs beside Airflow: PostgreSQL, Redis, S3 (moto's server), and the local SEI server.

All of them listen on loopback, on free ports, keep their files in one temporary folder, and end with the test.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from demo.local_airflow import LOOPBACK, free_ports
from demo.processes import Processes
from demo.targets import local_server
from tests.postgres import MissingServiceError, Postgres

ROOT = Path(__file__).parents[2]
GONE_SECONDS = 10.0
"""How long the SEI server is out of reach after its gateway was killed."""
FILE_BYTES = 13_000_000
"""Of each exported file: enough for an upload to S3 in several parts."""
LEAF_TEAMS = 20
AWS_KEY = "testing"  # moto takes any
BUCKET = "lake"


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services of one cluster."""

    folder: Path
    postgres: Postgres
    redis: str
    redis_port: int
    s3_port: int
    sei_port: int
    gateway_port: int

    @classmethod
    def at(cls, folder: Path) -> Services:
        """Return services with their files in ``folder`` and on free ports."""
        names = ("redis_port", "s3_port", "sei_port", "gateway_port")
        postgres_port, *ports = free_ports(len(names) + 1)
        redis = shutil.which("redis-server")
        if redis is None:
            msg = "redis-server is not installed (Debian, Ubuntu: apt-get install redis-server)"
            raise MissingServiceError(msg)
        postgres = Postgres.at(folder, postgres_port)
        return cls(folder=folder, postgres=postgres, redis=redis, **dict(zip(names, ports, strict=True)))

    @property
    def database(self) -> str:
        """URL of Airflow's database."""
        return f"postgresql+psycopg2://airflow@{LOOPBACK}:{self.postgres.port}/postgres"

    @property
    def broker(self) -> str:
        """URL of Celery's queues."""
        return f"redis://{LOOPBACK}:{self.redis_port}/0"

    @property
    def connections(self) -> dict[str, str]:
        """The Airflow connections, as JSON by connection id."""
        extra = {"endpoint_url": self.s3_url, "region_name": "us-east-1"}
        aws = {"conn_type": "aws", "login": AWS_KEY, "password": AWS_KEY, "extra": extra}
        return {"sei_default": local_server(self.gateway_port).connection, "aws_default": json.dumps(aws)}

    @property
    def s3_url(self) -> str:
        """URL of S3."""
        return f"http://{LOOPBACK}:{self.s3_port}"

    @property
    def processes(self) -> Processes:
        """The commands."""
        python = [sys.executable, "-m"]
        redis = ["--port", str(self.redis_port), "--bind", LOOPBACK, "--save", "", "--dir", str(self.folder)]
        sei = {
            "--port": self.sei_port,
            # The test moves the server's clock: nothing completes before it says so.
            "--clock-speed": 0,
            "--leaf-teams": LEAF_TEAMS,
            "--download-bytes": FILE_BYTES,
            "--compression": "plain",
        }
        gateway = [str(GONE_SECONDS), *python, "tests.cluster.gateway", str(self.gateway_port), str(self.sei_port)]
        return Processes(
            folder=self.folder,
            steps=self.postgres.steps,
            components={
                **self.postgres.components,
                "redis": [self.redis, *redis],
                "s3": [*python, "moto.server", "-H", LOOPBACK, "-p", str(self.s3_port)],
                "sei-server": [*python, "airflow_provider_sei.local_server", *(str(x) for y in sei.items() for x in y)],
                "gateway": [*python, "tests.cluster.keeper", *gateway],
            },
        )

    def ready(self) -> bool:
        """Return whether all services accept connections."""
        return all(map(_listens, (self.postgres.port, self.redis_port, self.s3_port, self.sei_port, self.gateway_port)))


def _listens(port: int) -> bool:
    """Return whether a loopback port accepts connections."""
    with suppress(ConnectionError), socket.create_connection((LOOPBACK, port), timeout=5):
        return True
    return False
