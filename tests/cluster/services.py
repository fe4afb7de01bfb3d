"""What a cluster needs beside Airflow: PostgreSQL, Redis, S3 (moto's server), and the local SEI server.

All of them listen on loopback, on free ports, keep their files in one temporary folder, and end with the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.local_airflow import LOOPBACK, free_ports
from demo.processes import Processes
from demo.targets import local_server

ROOT = Path(__file__).parents[2]
GONE_SECONDS = 10.0
"""How long the SEI server is out of reach after its gateway was killed."""
FILE_BYTES = 13_000_000
"""Of each exported file: enough for an upload to S3 in several parts."""
LEAF_TEAMS = 20
AWS_KEY = "testing"  # moto takes any
_UNPRIVILEGED = ("postgres", "nobody")


class MissingServiceError(Exception):
    """A program is not installed; the message says which package has it."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """The installed programs."""

    initdb: str
    postgres: str
    redis: str
    as_user: str | None
    """The user for PostgreSQL if this process is root, which PostgreSQL refuses."""

    @classmethod
    def find(cls) -> Programs:
        """Find the programs, or raise ``MissingServiceError``."""
        redis = shutil.which("redis-server")
        if redis is None:
            msg = "redis-server is not installed (Debian, Ubuntu: apt-get install redis-server)"
            raise MissingServiceError(msg)
        # Debian keeps each major version in a folder of its own, off the PATH.
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
        initdb = str(found[-1]) if found else shutil.which("initdb")
        if initdb is None:
            msg = "PostgreSQL's server is not installed (Debian, Ubuntu: apt-get install postgresql)"
            raise MissingServiceError(msg)
        users = {user.pw_name for user in pwd.getpwall()}
        as_user = next((name for name in _UNPRIVILEGED if name in users), None) if os.geteuid() == 0 else None
        if os.geteuid() == 0 and (as_user is None or shutil.which("setpriv") is None):
            msg = f"PostgreSQL refuses to run as root, and there is no setpriv or no user {' or '.join(_UNPRIVILEGED)}"
            raise MissingServiceError(msg)
        return cls(initdb=initdb, postgres=str(Path(initdb).with_name("postgres")), redis=redis, as_user=as_user)

    def unprivileged(self, *command: str) -> list[str]:
        """Return ``command`` as PostgreSQL's user runs it."""
        if self.as_user is None:
            return list(command)
        # A change of user clears the signal that the kernel would send at the death of the test: it is asked for anew.
        return ["setpriv", f"--reuid={self.as_user}", "--clear-groups", "--pdeathsig=INT", *command]


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services of one cluster."""

    programs: Programs
    folder: Path
    postgres_port: int
    redis_port: int
    s3_port: int
    sei_port: int
    gateway_port: int

    @classmethod
    def at(cls, folder: Path) -> Services:
        """Return services with their files in ``folder`` and on free ports."""
        names = ("postgres_port", "redis_port", "s3_port", "sei_port", "gateway_port")
        return cls(programs=Programs.find(), folder=folder, **dict(zip(names, free_ports(len(names)), strict=True)))

    @property
    def database(self) -> str:
        """URL of Airflow's database."""
        return f"postgresql+psycopg2://airflow@{LOOPBACK}:{self.postgres_port}/postgres"

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
        data = str(self.folder / "postgres")
        python = [sys.executable, "-m"]
        initdb = [self.programs.initdb, "--auth=trust", "--username=airflow", "--encoding=UTF8", "--no-locale"]
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.postgres_port,
            "unix_socket_directories": "",
            # The files live as long as the test: they need not survive the machine's end.
            "fsync": "off",
        }
        postgres = [self.programs.postgres, "-D", data, *(f"--{name}={value}" for name, value in settings.items())]
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
            steps={"initdb": self.programs.unprivileged(*initdb, "--no-sync", "-D", data)},
            components={
                "postgres": self.programs.unprivileged(*postgres),
                "redis": [self.programs.redis, *redis],
                "s3": [*python, "moto.server", "-H", LOOPBACK, "-p", str(self.s3_port)],
                "sei-server": [*python, "airflow_provider_sei.local_server", *(str(x) for y in sei.items() for x in y)],
                "gateway": [*python, "tests.cluster.keeper", *gateway],
            },
        )

    def reachable(self) -> bool:
        """Return whether the gateway accepts connections."""
        return _listens(self.gateway_port)

    def ready(self) -> bool:
        """Return whether all services accept connections."""
        return all(map(_listens, (self.postgres_port, self.redis_port, self.s3_port, self.sei_port, self.gateway_port)))

    @contextlib.contextmanager
    def running(self, environment: Mapping[str, str]) -> Iterator[None]:
        """Start the services, and stop them at the end."""
        if self.programs.as_user:
            (self.folder / "postgres").mkdir()
            shutil.chown(self.folder / "postgres", self.programs.as_user)
            self.folder.chmod(0o711)
        with self.processes.running(environment):
            yield


def _listens(port: int) -> bool:
    """Return whether a loopback port accepts connections."""
    with contextlib.suppress(ConnectionError), socket.create_connection((LOOPBACK, port), timeout=5):
        return True
    return False
