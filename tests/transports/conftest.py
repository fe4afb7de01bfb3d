"""Both transports behind one interface, a server with a certificate, and a proxy."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tenacity import AsyncRetrying

from airflow_provider_sei.protocol.http import Call
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports._common import retry_arguments
from airflow_provider_sei.transports.aio import AiohttpTransport
from airflow_provider_sei.transports.sync import RequestsTransport

KEY = "demo-key"


class Driver:
    """Makes calls with one of the transports; its pauses are noted, not made."""

    def __init__(self, kind: str, base_url: Callable[[], str]) -> None:
        self.kind = kind
        self.pauses: list[float] = []
        self._base_url = base_url

    def run(
        self, *calls: Call[Any], host: str = "", key: str = KEY, backoff: Backoff | None = None, **extra: Any
    ) -> Any:
        """Return what the last of the calls returns, all made by one transport, by default to the local SEI server."""
        extra = {"project_identifier": "demo_project", "org_identifier": "default", **extra}
        settings = SEISettings.from_fields(host=host or self._base_url(), password=key, extra=extra)
        if self.kind == "aiohttp":
            return asyncio.run(self._run(settings, calls, backoff))
        transport = RequestsTransport(settings, sleep=self.pauses.append, backoff=backoff)
        try:
            return [transport.run(call) for call in calls][-1]
        finally:
            transport.close()

    async def _run(self, settings: SEISettings, calls: tuple[Call[Any], ...], backoff: Backoff | None) -> Any:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        transport = AiohttpTransport()  # its callers retry
        retrying = AsyncRetrying(sleep=sleep, **retry_arguments(backoff or Backoff()))
        try:
            return [await retrying(transport.run, call, settings) for call in calls][-1]
        finally:
            await transport.close()


def _local_server(request: pytest.FixtureRequest) -> Callable[[], str]:
    return lambda: request.getfixturevalue("sei_server").base_url


@pytest.fixture(params=["requests", "aiohttp"])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each of the two transports."""
    return Driver(request.param, _local_server(request))


@pytest.fixture
def both(request: pytest.FixtureRequest) -> tuple[Driver, Driver]:
    """Both transports, to be compared."""
    return Driver("requests", _local_server(request)), Driver("aiohttp", _local_server(request))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and sei.example, with its private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "local")])
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("sei.example")]
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "local.pem"
    path.write_bytes(signed.public_bytes(pem) + private)
    return path


@pytest.fixture
def tls_server(raw_server: Callable[..., Any], certificate: Path) -> Any:
    """An https server that answers every request with an empty list."""
    body = b'{"exports": []}'
    return raw_server(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body), certificate
    )


class Proxy:
    """A proxy that tunnels every CONNECT to one port of this machine, and keeps the requests."""

    def __init__(self, port: int) -> None:
        self.asked: list[bytes] = []
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://user:proxy-secret@127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as upstream:
            head = b""
            while b"\r\n\r\n" not in head and (chunk := client.recv(4096)):
                head += chunk
            self.asked.append(head)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
            back.start()
            _pump(client, upstream)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def proxy(tls_server: Any) -> Iterator[Proxy]:
    """Run a proxy that leads to ``tls_server``, whatever host it is asked for."""
    running = Proxy(tls_server.port)
    yield running
    running.close()
