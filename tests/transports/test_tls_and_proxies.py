"""Who is believed to be the server, what stands between, and that neither replaces or learns the key."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

from airflow_provider_sei.protocol import errors
from airflow_provider_sei.protocol.families import get_family
from airflow_provider_sei.protocol.listing import list_call, list_query
from airflow_provider_sei.protocol.retry import Backoff
from airflow_provider_sei.protocol.settings import SEISettings

LIST = list_call(get_family("productivity"), list_query())
ONE_TRY = Backoff(attempts=1)
SettingsFor = Callable[..., SEISettings]
BEHIND_PROXY = "https://sei.example/sei"


class TestCertificates:
    """The server's certificate is always verified."""

    def test_an_unknown_certificate_is_refused(self, driver: Any, settings_for: SettingsFor, tls_server: Any) -> None:
        """Nothing is sent, and the error says which setting helps."""
        with pytest.raises(errors.SEINoAnswerError, match="set the connection's ca_bundle"):
            driver.run(settings_for(tls_server.base_url), LIST, backoff=ONE_TRY)
        assert tls_server.headers == []

    def test_the_connections_bundle_vouches(
        self, driver: Any, settings_for: SettingsFor, tls_server: Any, certificate: Path
    ) -> None:
        """A company's own certificates need no change of the machine."""
        driver.run(settings_for(tls_server.base_url, ca_bundle=str(certificate)), LIST)
        assert tls_server.headers[0]["authorization"] == "ApiKey demo-key"

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
    def test_the_connection_goes_before_the_environment(
        self,
        driver: Any,
        settings_for: SettingsFor,
        tls_server: Any,
        *,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
        variable: str,
    ) -> None:
        """Who sets a bundle for one connection means that one."""
        monkeypatch.setenv(variable, certifi.where())
        driver.run(settings_for(tls_server.base_url, ca_bundle=str(certificate)), LIST)
        assert len(tls_server.headers) == 1

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
    def test_the_environments_bundle_vouches(
        self,
        driver: Any,
        settings_for: SettingsFor,
        tls_server: Any,
        *,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
        variable: str,
    ) -> None:
        """On the worker as in the triggerer, so that a wait does not fail where a create has worked."""
        monkeypatch.setenv(variable, str(certificate))
        driver.run(settings_for(tls_server.base_url), LIST)
        assert len(tls_server.headers) == 1

    @pytest.mark.parametrize("content", [None, b"no certificate"])
    def test_a_bundle_that_is_none_is_named(
        self, driver: Any, settings_for: SettingsFor, tmp_path: Path, content: bytes | None
    ) -> None:
        """A wrong path is a mistake in the connection, not trouble on the way."""
        bundle = tmp_path / "bundle.pem"
        if content is not None:
            bundle.write_bytes(content)
        with pytest.raises(errors.SEIUsageError, match=r"ca_bundle .*bundle\.pem.* is not a file or folder") as caught:
            driver.run(settings_for("https://127.0.0.1:1/", ca_bundle=str(bundle)), LIST)
        assert caught.value.field == "ca_bundle"


class TestHttps:
    """The key does not travel in the clear."""

    @pytest.mark.parametrize("host", ["http://sei.example/", "http://10.0.0.1", "http://127.0.0.1.example/"])
    def test_plain_http_is_for_this_machine_only(self, settings_for: SettingsFor, host: str) -> None:
        """A connection to anywhere else is refused before any call."""
        with pytest.raises(errors.SEIUsageError, match="would send the API key unencrypted"):
            settings_for(host)


class TestNetrc:
    """A ``.netrc`` entry for the server's host is for other programs."""

    @pytest.fixture(autouse=True)
    def _netrc(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        netrc = tmp_path / ".netrc"
        netrc.write_text("".join(f"machine {host} login me password other\n" for host in ("127.0.0.1", "sei.example")))
        netrc.chmod(0o600)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(netrc))

    def test_it_does_not_replace_the_key(self, driver: Any, settings: SEISettings, sei_server: Any) -> None:
        """On loopback, where it is not read at all."""
        driver.run(settings, LIST)
        assert [(request.auth, request.status) for request in sei_server.requests] == [("authorization", 200)]

    def test_it_does_not_replace_the_key_behind_a_proxy(
        self,
        driver: Any,
        settings_for: SettingsFor,
        tls_server: Any,
        *,
        proxy: Any,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Where the environment is read for its proxies."""
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        driver.run(settings_for(BEHIND_PROXY, ca_bundle=str(certificate)), LIST)
        assert [headers["authorization"] for headers in tls_server.headers] == ["ApiKey demo-key"]


class TestProxies:
    """A proxy of the environment is used, and learns nothing."""

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
    def test_it_tunnels_without_the_key(
        self,
        driver: Any,
        settings_for: SettingsFor,
        tls_server: Any,
        *,
        proxy: Any,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
        variable: str,
    ) -> None:
        """It is told a host and a port; its own password goes no further than to it."""
        monkeypatch.setenv(variable, proxy.url)
        driver.run(settings_for(BEHIND_PROXY, ca_bundle=str(certificate)), LIST)
        [asked] = proxy.asked
        assert asked.startswith(b"CONNECT sei.example:443 ")
        assert b"demo-key" not in asked
        assert "proxy-authorization" not in tls_server.headers[0]

    def test_its_address_needs_no_scheme(
        self,
        driver: Any,
        settings_for: SettingsFor,
        tls_server: Any,
        *,
        proxy: Any,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Many machines name a host and a port alone."""
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.rpartition("@")[2])
        driver.run(settings_for(BEHIND_PROXY, ca_bundle=str(certificate)), LIST)
        assert len(proxy.asked) == len(tls_server.headers) == 1

    def test_no_proxy_is_obeyed(
        self,
        driver: Any,
        settings_for: SettingsFor,
        proxy: Any,
        *,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A host that is listed there is called directly: here, nobody has that name."""
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "sei.example")
        monkeypatch.setattr(socket, "getaddrinfo", _nobody)
        with pytest.raises(errors.SEINoAnswerError):
            driver.run(settings_for(BEHIND_PROXY, ca_bundle=str(certificate)), LIST, backoff=ONE_TRY)
        assert proxy.asked == []

    def test_this_machine_needs_no_proxy(
        self,
        driver: Any,
        settings_for: SettingsFor,
        tls_server: Any,
        *,
        proxy: Any,
        certificate: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """No proxy could reach it."""
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.url)
        driver.run(settings_for(tls_server.base_url, ca_bundle=str(certificate)), LIST)
        assert proxy.asked == []

    @pytest.mark.parametrize(
        "url",
        [f"{scheme}://user:proxy-secret@127.0.0.1:{port}" for scheme in ("http", "socks5") for port in ("1", "x")],
    )
    def test_one_that_cannot_be_used_is_no_answer(
        self, driver: Any, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        """The error is ours, and does not tell the proxy's password."""
        monkeypatch.setenv("HTTPS_PROXY", url)
        with pytest.raises(errors.SEINoAnswerError) as caught:
            driver.run(settings_for(BEHIND_PROXY), LIST, backoff=ONE_TRY)
        assert "proxy-secret" not in str(caught.value)

    @pytest.mark.parametrize("status", [403, 407, 502])
    def test_one_that_refuses_is_quoted_without_its_password(
        self, driver: Any, settings_for: SettingsFor, raw_server: Any, *, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        """The words of aiohttp have the proxy's whole address."""
        server = raw_server(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
        monkeypatch.setenv("HTTPS_PROXY", server.origin.replace("://", "://user:proxy-secret@"))
        with pytest.raises(errors.SEINoAnswerError, match=str(status)) as caught:
            driver.run(settings_for(BEHIND_PROXY), LIST, backoff=ONE_TRY)
        assert "proxy-secret" not in str(caught.value)


class TestConnectTimeout:
    """Reaching the server is bounded too."""

    @pytest.fixture
    def full_server(self) -> Iterator[str]:
        """A server whose queue of connections is full: another one is neither taken nor refused."""
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

    def test_a_connection_that_is_not_taken_is_given_up(
        self, driver: Any, settings_for: SettingsFor, full_server: str
    ) -> None:
        """``connect_timeout`` ends it, long before ``read_timeout``."""
        with pytest.raises(errors.SEINoAnswerError):
            driver.run(settings_for(full_server, connect_timeout=0.1), LIST, backoff=ONE_TRY)


def _nobody(*_: Any, **__: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
