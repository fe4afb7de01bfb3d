"""The four stores that deliveries are tested on, each started from a package, and deliveries that need no server."""

from __future__ import annotations

import base64
import fcntl
import json
import multiprocessing
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.pipeline import DeliveryResult, ExpectedFile, deliver, find_store
from airflow_provider_sei.hooks.sei import SEIHook

os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # else gcsfs, once imported, waits a minute for gRPC
AZURITE = "azurite@3.35.0"
_START_SECONDS = 60.0
_CACHE = Path(__file__).parents[2] / ".cache" / "azurite"

# Start from a process that has imported what takes seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "airflow_provider_sei.operators.sei", "adlfs", "gcsfs", "s3fs"])

# Azure's client sends a block as raw bytes, which aiohttp warns of; the clients close when the process ends.
_IGNORED = ("ignore:Sending a large body:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the stores' own clients warn."""
    for item in items:
        if {"store", "azure", "google"} & set(getattr(item, "fixturenames", ())):
            for warning in _IGNORED:
                item.add_marker(pytest.mark.filterwarnings(warning))


@dataclass
class Store:
    """One empty place to deliver to."""

    url: str
    """A folder, with the Airflow connection that leads to it."""
    objects: Callable[[], dict[str, bytes]]
    """Reads everything that anybody can see in the folder."""
    put: Callable[[str, bytes], object]
    """Puts an older object there."""
    unfinished: Callable[[], list[str]] = list
    """Lists what is not visible yet takes up space; always empty where a store shows no such thing."""


@pytest.fixture(autouse=True)
def _no_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Airflow forget the file systems that another test's connections led to."""
    monkeypatch.setattr("airflow.sdk.io.store._STORE_CACHE", {})


@pytest.fixture(params=["disk", "s3", "azure", "google"])
def store(request: pytest.FixtureRequest) -> Any:
    """Each store in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def disk(tmp_path: Path) -> Store:
    """A folder of the local disk; its hidden files are as visible as all others."""
    folder = tmp_path / "store"
    folder.mkdir()
    return Store(
        url=f"{folder}/",
        objects=lambda: {path.name: path.read_bytes() for path in folder.iterdir()},
        put=lambda name, data: (folder / name).write_bytes(data),
    )


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """Moto's server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A bucket of its own in moto's server."""
    import boto3

    place, bucket = {"endpoint_url": s3_address, "region_name": "us-east-1"}, _name()
    client = boto3.client("s3", **place, aws_access_key_id="x", aws_secret_access_key="x")
    client.create_bucket(Bucket=bucket)
    connection = {"conn_type": "aws", "login": "x", "password": "x", "extra": place}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(connection))

    def objects() -> dict[str, bytes]:
        keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
        return {_last(key): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    return Store(
        url=f"s3://lake@{bucket}/sei/",
        objects=objects,
        put=lambda name, data: client.put_object(Bucket=bucket, Key=f"sei/{name}", Body=data),
        unfinished=lambda: [each["Key"] for each in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())],
    )


@pytest.fixture(scope="session")
def azure_connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Azurite, as a connection string."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    port = _free_port()
    command = [
        *(str(_azurite()), "--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--skipApiVersionCheck", "--inMemoryPersistence", "--silent", "--disableTelemetry"),
    ]
    given: Any = {"env": {**os.environ, "AZURITE_ACCOUNTS": f"tests:{key}"}, "cwd": tmp_path_factory.mktemp("azurite")}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **given) as process:
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


@pytest.fixture
def azure(azure_connection: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A container of its own in Azurite."""
    from azure.storage.blob import ContainerClient

    container = _name()
    connection = {"conn_type": "adls", "extra": {"connection_string": azure_connection}}
    monkeypatch.setenv("AIRFLOW_CONN_BLOBS", json.dumps(connection))

    def opened() -> Any:
        return ContainerClient.from_connection_string(azure_connection, container)

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

    return Store(f"abfs://blobs@{container}/sei/", objects, put, unfinished)


@pytest.fixture(scope="session")
def google_emulator() -> Iterator[tuple[str, dict[str, Any]]]:
    """The Google Cloud Storage emulator: its address, and its unfinished uploads by their ids."""
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


@pytest.fixture
def google(google_emulator: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Store:
    """A bucket of its own in the emulator, attached as Airflow lets one attach any fsspec file system.

    The google provider, which does that from a connection, cannot be installed beside Airflow's newest dependencies;
    ``tests/packaging/google_connection.py`` delivers by one in an environment of its own.
    """
    import gcsfs
    from airflow.sdk.io.store import attach

    (address, resumable), bucket = google_emulator, _name()
    fs = gcsfs.GCSFileSystem(endpoint_url=address, token="anon", project="tests", access="full_control")
    fs.mkdir(bucket)
    attach("gs", "google", fs=fs)
    monkeypatch.setenv("TEST_GOOGLE", address)

    def objects() -> dict[str, bytes]:
        fs.invalidate_cache()
        return {_last(path): fs.cat_file(path) for path in fs.find(bucket)}

    return Store(
        url=f"gs://google@{bucket}/sei/",
        objects=objects,
        put=lambda name, data: fs.pipe_file(f"{bucket}/sei/{name}", data),
        unfinished=lambda: [upload for upload in resumable if upload.startswith(bucket)],
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_open(port: int) -> None:
    give_up_at = time.monotonic() + _START_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)


def _name() -> str:
    return f"bucket-{secrets.token_hex(6)}"


def _last(path: str) -> str:
    return path.rpartition("/")[2]


@pytest.fixture
def hook(sei_connection: str, worker_clock: Any) -> SEIHook:
    """The hook of ``sei_default``, in a time that needs no waiting."""
    assert worker_clock.pauses == []
    return SEIHook(sei_connection)


@pytest.fixture
def export(hook: SEIHook) -> Any:
    """A completed export."""
    made = hook.create_export(
        family="productivity", team_id="456", date_start="2024-01-01", date_end="2024-03-31", metric_groups=["work"]
    )
    return hook.get_export("productivity", made.export_id)


def open_sink(folder: str, name: str) -> Any:
    """Open an object of a folder."""
    kind, path = find_store(folder)
    return kind(path / name)


def send(
    url: object,
    *pieces: bytes,
    body: Iterable[bytes] = (),
    headers: Mapping[str, str | None] | None = None,
    step: float = 0.0,
    fields: Mapping[str, str] | None = None,
    size_bytes: int | None = None,
    **arguments: Any,
) -> DeliveryResult:
    """Deliver a body of these pieces, or of what ``body`` yields, by a destination of these arguments.

    :param headers: its own; ``None`` removes the right ``content-length``.
    :param step: seconds that pass each time the clock is read.
    :param fields: of the request.
    """
    given = {"content-length": str(sum(map(len, pieces)))} | dict(headers or {})
    opened = SimpleNamespace(
        headers={name: value for name, value in given.items() if value is not None}, chunks=lambda: body or iter(pieces)
    )
    destination = Destination.from_arguments(str(url), **arguments).resolve(fields or {})
    expected = ExpectedFile(description="the file", export_id=(fields or {}).get("export_id"), size_bytes=size_bytes)
    ticks = iter(range(1, 1 << 40))
    return deliver(opened, destination, expected, clock=lambda: next(ticks) * step)
