"""The stores as fixtures, and bodies that need no server."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_sei.delivery.pipeline import ExpectedFile, find_store

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode leaves a test's own folder out

import store_servers

# Start from a process that has imported what takes seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "airflow_provider_sei.operators.sei", "adlfs", "gcsfs", "s3fs"])

# Azure's client sends a block as raw bytes, which aiohttp warns of; the clients close when the process ends.
IGNORED = ("ignore:Sending a large body:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the stores' own clients warn."""
    for item in items:
        if {"store", "parts_store", "azure", "google"} & set(getattr(item, "fixturenames", ())):
            for warning in IGNORED:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """Moto's server."""
    with store_servers.s3_server() as address:
        yield address


@pytest.fixture(scope="session")
def azure_connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Azurite."""
    with store_servers.azure_server(tmp_path_factory.mktemp("azurite")) as connection:
        yield connection


@pytest.fixture(scope="session")
def google_emulator() -> Iterator[tuple[str, dict[str, Any]]]:
    """The Google Cloud Storage emulator."""
    with store_servers.google_server() as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def _no_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Airflow forget the file systems that another test's connections led to."""
    monkeypatch.setattr("airflow.sdk.io.store._STORE_CACHE", {})


def _connected(store: store_servers.Store, monkeypatch: pytest.MonkeyPatch) -> store_servers.Store:
    for name, value in store.connections.items():
        monkeypatch.setenv(name, value)
    return store


@pytest.fixture
def disk(tmp_path: Path) -> store_servers.Store:
    """A folder."""
    return store_servers.disk_store(tmp_path / "store")


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> store_servers.Store:
    """A bucket."""
    return _connected(store_servers.s3_store(s3_address), monkeypatch)


@pytest.fixture
def azure(azure_connection: str, monkeypatch: pytest.MonkeyPatch) -> store_servers.Store:
    """A container."""
    return _connected(store_servers.azure_store(azure_connection), monkeypatch)


@pytest.fixture
def google(google_emulator: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> store_servers.Store:
    """A bucket."""
    return _connected(store_servers.google_store(*google_emulator), monkeypatch)


@pytest.fixture(params=["disk", "s3", "azure", "google"])
def store(request: pytest.FixtureRequest) -> Any:
    """Each store in turn."""
    return request.getfixturevalue(request.param)


def open_sink(folder: str, name: str) -> Any:
    """Open an object of a folder."""
    kind, path = find_store(folder)
    return kind(path / name)


class FakeBody:
    """A body that comes in the given pieces."""

    def __init__(self, *pieces: bytes, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._pieces = pieces

    def chunks(self) -> Iterator[bytes]:
        """Return them."""
        return iter(self._pieces)


@pytest.fixture
def body() -> Callable[..., Callable[[], AbstractContextManager[Any]]]:
    """Make what opens a body of announced length; ``content_length`` announces another one, or with ``None`` none."""

    def make(*pieces: bytes, content_length: int | None = -1, **headers: str) -> Any:
        length = sum(map(len, pieces)) if content_length == -1 else content_length
        announced = {} if length is None else {"content_length": str(length)}
        return lambda: nullcontext(FakeBody(*pieces, **announced, **headers))

    return make


@pytest.fixture
def expected() -> ExpectedFile:
    """What is promised of a file that nobody has announced anything of."""
    return ExpectedFile(description="the file")


@pytest.fixture
def ticking() -> Callable[[float], Callable[[], float]]:
    """Make a clock on which so many seconds pass with each look at it."""

    def clock(step: float) -> Callable[[], float]:
        state = SimpleNamespace(now=0.0)

        def look() -> float:
            state.now += step
            return state.now

        return look

    return clock
