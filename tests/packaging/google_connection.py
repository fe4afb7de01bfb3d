"""Delivers to a Google Cloud Storage emulator by an Airflow connection with a service account's key.

Runs in the environment of the ``gcs`` extra; prints the delivery and the number of requested tokens. The key and the
tokens are generated here: nothing leaves the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

BLOCK = b"ab,c\n" * 100_000
BLOCKS = 40  # 20 MB: several parts of an upload


class TokenHandler(BaseHTTPRequestHandler):
    """Issue a token for each signed request."""

    issued = 0

    def do_POST(self) -> None:
        """Issue one."""
        TokenHandler.issued += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


def connection(token_uri: str, storage: str) -> str:
    """Return a connection with a key file as Google's console creates it."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "k",
        "private_key": private.decode(),
        "client_email": "exports@tests.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
    extra = {"keyfile_dict": json.dumps(key), "project": "tests", "gcs.endpoint": storage}
    return json.dumps({"conn_type": "google_cloud_platform", "extra": extra})


def main() -> None:
    """Deliver one file."""
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # else it waits a minute for gRPC
    from gcp_storage_emulator.server import create_server

    from airflow_provider_sei.delivery.destination import Destination
    from airflow_provider_sei.delivery.pipeline import ExpectedFile, deliver

    tokens = ThreadingHTTPServer(("127.0.0.1", 0), TokenHandler)
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    emulator = create_server("127.0.0.1", 0, in_memory=True, default_bucket="lake")
    emulator.start()
    storage = f"http://127.0.0.1:{emulator._api._httpd.server_port}"
    os.environ["AIRFLOW_CONN_GOOGLE"] = connection(f"http://127.0.0.1:{tokens.server_port}/token", storage)

    destination = Destination.from_arguments("gs://google@lake/sei/file.csv")
    body = SimpleNamespace(
        headers={"content-length": str(BLOCKS * len(BLOCK))}, chunks=lambda: (BLOCK for _ in range(BLOCKS))
    )
    delivered = deliver(body, destination, ExpectedFile(description="the file"))

    import gcsfs

    stored = gcsfs.GCSFileSystem(endpoint_url=storage, token="anon", project="tests").cat("lake/sei/file.csv")
    found = {
        "uri": delivered.uri,
        "same": hashlib.sha256(stored).hexdigest() == delivered.sha256 and stored == BLOCK * BLOCKS,
        "rows": delivered.rows,
        "tokens": TokenHandler.issued,
    }
    emulator.stop()
    tokens.shutdown()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
