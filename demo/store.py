"""A stand-in for S3 on loopback, with one bucket. Its objects are gone when it stops.

``python -m demo.store PORT`` runs it: moto's server.
"""

from __future__ import annotations

import json
import sys
import threading

import requests

__all__ = ["BUCKET", "command", "connection", "read", "serve"]

BUCKET = "lake"
"""Where example DAGs deliver to by default, by the connection ``aws_default``."""


def command(port: int) -> list[str]:
    """Return the program that serves the bucket on ``port``."""
    return [sys.executable, "-m", "demo.store", str(port)]


def connection(port: int) -> str:
    """Return the Airflow connection to it, as JSON."""
    extra = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
    return json.dumps({"conn_type": "aws", "login": "demo-login", "password": "demo-secret", "extra": extra})


def read(address: str, key: str) -> bytes:
    """Return the content of ``<bucket>/<key>``.

    :raises OSError: there is no such object.
    """
    with requests.Session() as session:
        session.trust_env = False  # no proxy for loopback
        answer = session.get(f"{address}/{key}", timeout=30)
    answer.raise_for_status()
    return answer.content


def serve(port: int) -> None:
    """Serve until the process is stopped; a browser can open the objects."""
    from moto.server import ThreadedMotoServer

    ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False).start()
    bucket = f"http://127.0.0.1:{port}/{BUCKET}"
    everybody_reads = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/*",
    }
    with requests.Session() as session:
        session.trust_env = False
        session.put(bucket, timeout=30).raise_for_status()
        session.put(f"{bucket}?policy", json={"Statement": [everybody_reads]}, timeout=30).raise_for_status()
    threading.Event().wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
