"""Servers: in a thread, in a process, with families of tomorrow."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
import requests
from airflow.sdk import Connection

from airflow_provider_sei.local_server.__main__ import main
from airflow_provider_sei.local_server.clock import ManualClock, ServerClock
from airflow_provider_sei.local_server.routes import Routes
from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.protocol.families import FAMILIES, ExportFamily


class TestRunningServer:
    """A server in a thread."""

    def test_it_is_gone_when_the_context_is_left(self) -> None:
        """Nobody listens there any more."""
        with RunningServer() as server:
            assert requests.get(f"{server.origin}/_local/health", timeout=10).ok
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{server.origin}/_local/health", timeout=10)

    def test_it_listens_on_loopback_only(self) -> None:
        """A test server is nobody else's business."""
        with RunningServer() as server:
            assert server.origin.startswith("http://127.0.0.1:")

    def test_a_port_in_use_is_told(self) -> None:
        """The start fails with the reason as its cause."""
        with RunningServer() as server:
            port = int(server.origin.rpartition(":")[2])
            with pytest.raises(RuntimeError, match=str(port)) as caught, RunningServer(port=port):
                pass
        assert isinstance(caught.value.__cause__, OSError)

    def test_it_is_used_as_a_context(self) -> None:
        """Before that it has no state to show."""
        with pytest.raises(RuntimeError, match="context manager"):
            RunningServer().faults  # noqa: B018 - reading it is the test

    def test_ending_an_unknown_export_is_an_error(self, server: RunningServer) -> None:
        """A test that names the wrong export should not pass."""
        with pytest.raises(LookupError, match="exp_none"):
            server.end_export("exp_none", "failed")

    def test_an_unknown_setting_is_an_error(self, server: RunningServer) -> None:
        """The message names it."""
        with pytest.raises(ValueError, match="seconds_to_finish"):
            server.reset(seconds_to_finish=1)

    def test_both_forms_of_the_connection_mean_the_same(self, server: RunningServer) -> None:
        """Airflow reads the JSON and the URI alike."""
        from_json = Connection.from_json(server.connection_json(), conn_id="sei_default")
        from_uri = Connection.from_uri(server.connection_uri, conn_id="sei_default")
        for connection in (from_json, from_uri):
            assert connection.conn_type == "harness_sei"
            assert (connection.host, connection.password) == (server.base_url, server.api_key)
            assert connection.extra_dejson == {"project_identifier": server.project, "org_identifier": server.org}

    def test_many_clients_are_served_at_once(self) -> None:
        """Connections that stay open are counted once each."""

        async def poll(server: RunningServer, export_id: str) -> set[int]:
            headers = {"authorization": f"ApiKey {server.api_key}"}
            url = f"{server.base_url}/v2/insights/ba/exports/{export_id}"
            query = {"projectIdentifier": server.project, "orgIdentifier": server.org}
            async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=8)) as session:

                async def one() -> int:
                    async with session.get(url, params=query) as answer:
                        await answer.read()
                        return answer.status

                return set(await asyncio.gather(*(one() for _ in range(200))))

        with RunningServer(clock=ManualClock()) as server:
            assert asyncio.run(poll(server, "exp_unknown")) == {404}
            assert len(server.requests) == 200
            assert server.connections <= 8


class TestClock:
    """The server's time."""

    def test_a_clock_runs_as_fast_as_it_is_told(self) -> None:
        """Simulations let a minute pass in a second."""
        now = [100.0]
        clock = ServerClock(lambda: now[0], speed=60)
        now[0] += 1
        assert clock() == 160.0
        clock.advance(5)
        assert clock() == 165.0

    def test_a_manual_clock_moves_only_when_told(self) -> None:
        """Two readings are the same."""
        clock = ManualClock(start=50.0)
        clock.advance(1)
        assert (clock(), clock()) == (51.0, 51.0)


class TestFamilies:
    """Families are data."""

    def test_a_family_that_is_declared_is_served(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sixth one needs nothing here: it is created, listed and downloaded like the others."""
        path = "v2/insights/security/exports"
        family = ExportFamily(name="security", title="Security", collection_path=path, item_path=path)
        monkeypatch.setitem(FAMILIES, "security", family)
        with RunningServer(ServerSettings(seconds_to_complete=0)) as server:
            headers = {"authorization": f"ApiKey {server.api_key}"}
            query = f"?projectIdentifier={server.project}&orgIdentifier={server.org}"
            body = {"scope": {"teamId": "456"}, "dateRange": {"start": "2024-01-01", "end": "2024-01-31"}}
            url = f"{server.base_url}/{path}"
            export_id = requests.post(url + query, json=body, headers=headers, timeout=10).json()["exportId"]
            assert (
                requests.get(f"{url}/{export_id}{query}", headers=headers, timeout=10).json()["status"] == "COMPLETED"
            )
            content = requests.get(f"{url}/{export_id}/download{query}", headers=headers, timeout=10).content
            assert content == server.exports[0].csv

    @pytest.mark.parametrize("family", list(FAMILIES.values()), ids=list(FAMILIES))
    def test_every_declared_path_is_served(self, family: ExportFamily) -> None:
        """The vendor's paths stand in one place."""
        routes = Routes(ServerSettings(base_path="/api"))
        assert routes.resolve("POST", f"/api/{family.collection_path}").family == family
        assert routes.resolve("GET", f"/api/{family.collection_path}").operation == "list"
        assert routes.resolve("GET", f"/api/{family.item_path}/exp_1").item == "exp_1"
        assert routes.resolve("GET", f"/api/{family.item_path}/exp_1/download").operation == "download"


class TestCommandLine:
    """``python -m airflow_provider_sei.local_server``."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_prints_its_base_url_and_ends_on_a_signal(self, number: signal.Signals) -> None:
        """One line when it is ready, and exit code 0."""
        command = [sys.executable, "-m", "airflow_provider_sei.local_server"]
        command += ["--base-path", "/x/api", "--api-key", "k", "--download-bytes", "5000", "--no-strict-body"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split()[-1]
            answer = requests.get(f"{url}/v2/insights/ba/exports", headers={"SEI_API_KEY": "wrong"}, timeout=10)
            process.send_signal(number)
            rest, _ = process.communicate(timeout=10)
        assert url.endswith("/x/api")
        assert answer.status_code == 401
        assert (process.returncode, rest) == (0, "")

    def test_help_explains_every_setting(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Names and meanings come from the settings themselves."""
        with pytest.raises(SystemExit):
            main(["--help"])
        shown: Any = capsys.readouterr().out
        assert "--seconds-to-complete" in shown
        assert "--no-download-aliases" in shown


def test_only_the_http_layer_loads_an_http_library() -> None:
    """Everything between a call and its answer works without aiohttp, and nothing here needs Airflow."""
    code = "import sys, airflow_provider_sei.local_server.world; print({'aiohttp', 'airflow'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert shown.stdout.strip() == "set()"
