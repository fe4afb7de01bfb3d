"""The four stores that deliveries are tested on, each started from a package: disk, S3, Azure Blob, Google Storage."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # else gcsfs, once imported, waits a minute for gRPC
AZURITE = "azurite@3.35.0"
_START_SECONDS = 60.0
_CACHE = Path(__file__).parents[2] / ".cache" / "azurite"


@dataclass
class Store:
    """One empty place to deliver to."""

    url: str
    """A folder, with the Airflow connection that leads to it."""
    connections: dict[str, str]
    """The environment that defines that connection."""
    objects: Callable[[], dict[str, bytes]]
    """Reads everything that anybody can see in the folder."""
    put: Callable[[str, bytes], None]
    """Puts an older object there."""
    unfinished: Callable[[], list[str]]
    """Lists what is not visible yet takes up space; always empty where a store shows no such thing."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's server; yield its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def azure_server(folder: Path) -> Iterator[str]:
    """Run Azurite; yield a connection string."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    port = _free_port()
    command = [
        *(str(_azurite()), "--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--skipApiVersionCheck", "--inMemoryPersistence", "--silent", "--disableTelemetry"),
    ]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"tests:{key}"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, cwd=folder) as process:
        try:
            _wait_until_open(port)
            endpoint = f"http://127.0.0.1:{port}/tests"
            yield f"DefaultEndpointsProtocol=http;AccountName=tests;AccountKey={key};BlobEndpoint={endpoint};"
        finally:
            process.kill()


def _azurite() -> Path:
    """Return Azurite's program, installed into the project's cache on first use."""
    program = _CACHE / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            reason = "Azure Blob is tested with Azurite, which npm installs: there is no npm on this machine"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        _CACHE.mkdir(parents=True, exist_ok=True)
        options = ("--no-audit", "--no-fund", "--loglevel=error")
        with (_CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another of the test processes may be installing it
            if not program.exists():
                subprocess.run([npm, "install", "--prefix", str(_CACHE), *options, AZURITE], check=True, timeout=300)
    return program


@contextmanager
def google_server() -> Iterator[tuple[str, dict[str, Any]]]:
    """Run the Google Cloud Storage emulator; yield its address, and its unfinished uploads by their ids."""
    from gcp_storage_emulator import server as emulator

    def cancel(request: Any, response: Any, storage: Any) -> None:
        storage.delete_resumable_file_obj(request.query["upload_id"][0])
        response.status = HTTPStatus.NO_CONTENT  # the real store says 499, which the emulator has no word for

    # The emulator knows no cancelling of an upload.
    uploads = next(methods for path, methods in emulator.HANDLERS if path.startswith("^/upload/"))
    uploads["DELETE"] = cancel
    port = _free_port()
    server = emulator.create_server("127.0.0.1", port, in_memory=True)
    server.start()
    yield f"http://127.0.0.1:{port}", server._storage.resumable
    server.stop()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_open(port: int) -> None:
    give_up_at = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
        else:
            return


def disk_store(folder: Path) -> Store:
    """Return a folder of the local disk; its hidden files are as visible as all others."""
    folder.mkdir()
    return Store(
        url=f"{folder}/",
        connections={},
        objects=lambda: {path.name: path.read_bytes() for path in folder.iterdir()},
        put=lambda name, data: [(folder / name).write_bytes(data)].clear(),
        unfinished=list,
    )


def s3_store(address: str) -> Store:
    """Return a bucket of its own in moto's server."""
    import boto3

    extra = {"endpoint_url": address, "region_name": "us-east-1"}
    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    bucket = _name()
    client.create_bucket(Bucket=bucket)

    def objects() -> dict[str, bytes]:
        keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
        return {_last(key): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    return Store(
        url=f"s3://lake@{bucket}/sei/",
        connections={
            "AIRFLOW_CONN_LAKE": json.dumps({"conn_type": "aws", "login": "x", "password": "x", "extra": extra})
        },
        objects=objects,
        put=lambda name, data: client.put_object(Bucket=bucket, Key=f"sei/{name}", Body=data),
        unfinished=lambda: [each["Key"] for each in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())],
    )


def azure_store(connection_string: str) -> Store:
    """Return a container of its own in Azurite."""
    from azure.storage.blob import ContainerClient

    container = _name()

    def opened() -> Any:
        return ContainerClient.from_connection_string(connection_string, container)

    with opened() as client:
        client.create_container()

    def objects() -> dict[str, bytes]:
        with opened() as client:
            return {_last(blob.name): client.download_blob(blob.name).readall() for blob in client.list_blobs()}

    def put(name: str, data: bytes) -> None:
        with opened() as client:
            client.upload_blob(f"sei/{name}", data)

    def unfinished() -> list[str]:
        with opened() as client:
            names = [blob.name for blob in client.list_blobs(include=["uncommittedblobs"])]
            return [name for name in names if client.get_blob_client(name).get_block_list("uncommitted")[1]]

    extra = {"connection_string": connection_string}
    return Store(
        url=f"abfs://blobs@{container}/sei/",
        connections={"AIRFLOW_CONN_BLOBS": json.dumps({"conn_type": "adls", "extra": extra})},
        objects=objects,
        put=put,
        unfinished=unfinished,
    )


def google_store(address: str, resumable: dict[str, Any]) -> Store:
    """Return a bucket of its own in the emulator, attached as Airflow lets one attach any fsspec file system.

    The google provider, which does that from a connection, cannot be installed beside Airflow's newest dependencies;
    ``tests/packaging/google_connection.py`` delivers by one in an environment of its own.
    """
    import gcsfs
    from airflow.sdk.io.store import attach

    fs = gcsfs.GCSFileSystem(endpoint_url=address, token="anon", project="tests", access="full_control")
    bucket = _name()
    fs.mkdir(bucket)
    attach("gs", "google", fs=fs)

    def objects() -> dict[str, bytes]:
        fs.invalidate_cache()
        return {_last(path): fs.cat_file(path) for path in fs.find(bucket)}

    return Store(
        url=f"gs://google@{bucket}/sei/",
        connections={"TEST_GOOGLE": address},
        objects=objects,
        put=lambda name, data: fs.pipe_file(f"{bucket}/sei/{name}", data),
        unfinished=lambda: [upload for upload in resumable if upload.startswith(bucket)],
    )


def _name() -> str:
    return f"bucket-{secrets.token_hex(6)}"


def _last(path: str) -> str:
    return path.rpartition("/")[2]
