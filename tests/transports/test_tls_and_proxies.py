"""Certificates, proxies and ``~/.netrc``: none of them replaces or learns the key, in either transport."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import certifi
import pytest

from airflow_provider_sei import exceptions as errors
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings
from airflow_provider_sei.transports._common import proxy_for

LIST = list_call(get_family("productivity"), list_query())
ONE_TRY = Backoff(attempts=1)
BUNDLES = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
BEHIND_PROXY = "https://sei.example/sei"


class TestCertificates:
    """The server's certificate is always verified."""

    def test_an_unknown_certificate_is_refused(self, driver: Any, tls_server: Any) -> None:
        """Nothing is sent, and the error names the setting that helps."""
        with pytest.raises(errors.SEIConnectionError, match="set the connection's ca_bundle"):
            driver.run(LIST, host=tls_server.origin, backoff=ONE_TRY)
        assert tls_server.received == []

    @pytest.mark.parametrize(("variable", "of_connection"), [("", True), *product(BUNDLES, (True, False))])
    def test_the_connections_bundle_goes_before_the_environments(
        self, driver: Any, tls_server: Any, *, certificate: Path, monkeypatch: Any, variable: str, of_connection: bool
    ) -> None:
        """A bundle that is set for one connection is meant for it; the environment's holds in both transports."""
        if variable:
            monkeypatch.setenv(variable, certifi.where() if of_connection else str(certificate))
        driver.run(LIST, host=tls_server.origin, **({"ca_bundle": str(certificate)} if of_connection else {}))
        assert b"authorization: ApiKey demo-key\r\n" in tls_server.received[0]

    @pytest.mark.parametrize(
        ("source", "content"),
        [("ca_bundle", None), *((source, b"no certificate") for source in ("ca_bundle", *BUNDLES))],
    )
    def test_an_unusable_bundle_is_an_argument_error(
        self, driver: Any, tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch, source: str, content: bytes | None
    ) -> None:
        """A wrong path is a mistake in the connection or the environment, not a network error, and is named."""
        bundle = tmp_path / "bundle.pem"
        bundle.write_bytes(content or b"")
        path = str(bundle) if content else f"{bundle}/missing"
        extra = {"ca_bundle": path} if source == "ca_bundle" else {}
        monkeypatch.setenv(source, path)
        with pytest.raises(
            errors.SEIArgumentError, match=rf"{source} .*bundle\.pem.* is not a file or folder"
        ) as caught:
            driver.run(LIST, host="https://127.0.0.1:1/", **extra)
        assert caught.value.field == "ca_bundle"

    @pytest.mark.parametrize("variable", BUNDLES)
    def test_without_tls_the_environments_bundle_is_not_read(
        self, driver: Any, sei_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        """Which would take longer than a small download."""
        (tmp_path / "bundle.pem").write_bytes(b"no certificate")
        monkeypatch.setenv(variable, str(tmp_path / "bundle.pem"))
        driver.run(LIST)
        assert len(sei_server.requests) == 1


class TestNetrc:
    """A ``.netrc`` entry for the server's host is for other programs."""

    @pytest.fixture(autouse=True)
    def _netrc(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        netrc = tmp_path / ".netrc"
        netrc.write_text("".join(f"machine {host} login me password other\n" for host in ("127.0.0.1", "sei.example")))
        netrc.chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(netrc))

    def test_it_does_not_replace_the_key(
        self, driver: Any, sei_server: Any, tls_server: Any, *, proxy: Any, certificate: Path, monkeypatch: Any
    ) -> None:
        """Neither on loopback, where it is not read at all, nor where the environment is read for its proxies."""
        driver.run(LIST)
        assert [(request.auth, request.status) for request in sei_server.requests] == [("authorization", 200)]
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        driver.run(LIST, host=BEHIND_PROXY, ca_bundle=str(certificate))
        [request] = tls_server.received
        assert b"authorization: ApiKey demo-key\r\n" in request


class TestProxies:
    """The environment's proxy is used, and learns nothing."""

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
    @pytest.mark.parametrize("shorten", [lambda url: url, lambda url: url.rpartition("@")[2]], ids=["url", "host:port"])
    def test_it_tunnels_without_the_key(
        self,
        driver: Any,
        tls_server: Any,
        *,
        proxy: Any,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
        variable: str,
        shorten: Callable[[str], str],
    ) -> None:
        """It gets a host and a port; its own password is sent to nobody else."""
        monkeypatch.setenv(variable, shorten(proxy.url))
        driver.run(LIST, host=BEHIND_PROXY, ca_bundle=str(certificate))
        [asked] = proxy.asked
        assert asked.startswith(b"CONNECT sei.example:443 ")
        assert b"demo-key" not in asked
        assert b"proxy-authorization" not in tls_server.received[0].lower()

    def test_no_proxy_is_respected(
        self, driver: Any, proxy: Any, *, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A host that is listed there is called directly: here, its name cannot be resolved."""

        def fail(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "sei.example")
        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(errors.SEIConnectionError):
            driver.run(LIST, host=BEHIND_PROXY, ca_bundle=str(certificate), backoff=ONE_TRY)
        assert proxy.asked == []

    def test_loopback_is_called_directly(
        self, driver: Any, tls_server: Any, *, proxy: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No proxy could reach it."""
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        driver.run(LIST, host=tls_server.origin, ca_bundle=str(certificate))
        assert proxy.asked == []

    @pytest.mark.parametrize(
        ("variable", "proxy_url", "expected"),
        [
            ("HTTPS_PROXY", "http://user:proxy-secret@127.0.0.1:1", errors.SEIConnectionError),
            ("HTTPS_PROXY", "http://user:proxy-secret@127.0.0.1:x", errors.SEIArgumentError),
            ("HTTPS_PROXY", "http:///user:proxy-secret@", errors.SEIArgumentError),
            *(
                (variable, f"{scheme}://user:proxy-secret@127.0.0.1:1", errors.SEIArgumentError)
                for variable in ("HTTPS_PROXY", "all_proxy")
                for scheme in ("socks4", "socks5", "socks5h")
            ),
        ],
    )
    def test_an_unusable_proxy_is_our_error(
        self, driver: Any, monkeypatch: pytest.MonkeyPatch, *, variable: str, proxy_url: str, expected: type
    ) -> None:
        """The same in both transports, permanent if no try can help, without the proxy's password."""
        monkeypatch.setenv(variable, proxy_url)
        with pytest.raises(expected) as caught:
            driver.run(LIST, host=BEHIND_PROXY, backoff=ONE_TRY)
        assert "proxy-secret" not in str(caught.value)
        if expected is errors.SEIArgumentError:
            assert "HTTPS_PROXY or ALL_PROXY is not the URL of an http or https proxy" in str(caught.value)

    @pytest.mark.parametrize(
        ("no_proxy", "host", "is_proxied"),
        [
            ("10.0.0.0/8", "10.1.2.3", False),
            ("10.0.0.0/8", "192.0.2.1", True),
            ("fd00::/8", "[fd00::1]:8443", False),
            ("a.example, sei.example:8443", "sei.example:8443", False),
            ("sei.example:8443", "sei.example", True),
            (".example", "sei.example", False),
            ("example", "sei.notexample", True),
            ("*", "sei.example", False),
            ("10.0.0.0/99,/", "10.1.2.3", True),
        ],
    )
    def test_no_proxy_has_names_and_networks(
        self, monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, *, is_proxied: bool
    ) -> None:
        """One rule for both transports, whose libraries read it differently; lower case goes first."""
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
        monkeypatch.setenv("NO_PROXY", "unused.example")
        monkeypatch.setenv("no_proxy", no_proxy)
        settings = SEISettings.from_fields(host=f"https://{host}/sei", password="demo-key")
        assert proxy_for(settings) == ("http://proxy.example:3128" if is_proxied else None)

    @pytest.mark.parametrize("status", [403, 407, 502])
    def test_a_proxys_refusal_is_quoted_without_its_password(
        self, driver: Any, raw_server: Any, *, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        """The errors of aiohttp quote the proxy's whole URL."""
        server = raw_server(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
        monkeypatch.setenv("HTTPS_PROXY", server.origin.replace("://", "://user:proxy-secret@"))
        with pytest.raises(errors.SEIConnectionError, match=str(status)) as caught:
            driver.run(LIST, host=BEHIND_PROXY, backoff=ONE_TRY)
        assert "proxy-secret" not in str(caught.value)


@pytest.fixture
def full_server() -> Iterator[str]:
    """A server whose backlog is full: another connection is neither accepted nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for client in waiting:
            client.settimeout(0.0)
            client.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for client in waiting:
            client.close()


def test_connecting_is_bounded(driver: Any, full_server: str) -> None:
    """By ``connect_timeout``, long before ``read_timeout``."""
    with pytest.raises(errors.SEIConnectionError):
        driver.run(LIST, host=full_server, connect_timeout=0.1, backoff=ONE_TRY)
