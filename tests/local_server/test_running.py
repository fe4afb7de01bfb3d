"""Servers in a thread and in a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import requests
from airflow.sdk import Connection

from airflow_provider_sei.links import insights_url
from airflow_provider_sei.local_server.__main__ import main
from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.local_server.state import ServerClock
from airflow_provider_sei.protocol.settings import SEISettings


def test_it_listens_on_loopback_until_the_context_is_left() -> None:
    """Then nothing listens there any more. A port in use is an error, whose cause says why."""
    with RunningServer() as server:
        assert server.origin.startswith("http://127.0.0.1:")
        assert requests.get(f"{server.origin}/_local/health", timeout=10).ok
        port = int(server.origin.rpartition(":")[2])
        with pytest.raises(RuntimeError, match=str(port)) as caught, RunningServer(port=port):
            pass
        assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.origin}/_local/health", timeout=10)


def test_both_forms_of_the_connection_mean_the_same(server: RunningServer) -> None:
    """JSON and URI, as Airflow reads them. Wrong use is an error: no context, an unknown export or setting."""
    from_json = Connection.from_json(server.connection_json(), conn_id="sei_default")
    from_uri = Connection.from_uri(server.connection_uri, conn_id="sei_default")
    for connection in (from_json, from_uri):
        assert connection.conn_type == "harness_sei"
        assert (connection.host, connection.password) == (server.base_url, server.api_key)
        assert connection.extra_dejson == {"project_identifier": server.project, "org_identifier": server.org}
    with pytest.raises(RuntimeError, match="context manager"):
        RunningServer().faults  # noqa: B018 - reading it is the test
    with pytest.raises(LookupError, match="exp_none"):
        server.end_export("exp_none", "failed")
    with pytest.raises(TypeError, match="seconds_to_finish"):
        server.reset(seconds_to_finish=1)


def test_a_clock_has_a_start_and_a_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed 0 stops it; it can always be moved forward."""
    now = [100.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    fast, stopped = ServerClock(speed=60), ServerClock(50.0, speed=0)
    now[0] += 1
    assert (fast(), stopped()) == (160.0, 50.0)
    fast.advance(5)
    stopped.advance(1)
    assert (fast(), stopped()) == (165.0, 51.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_base_url_and_ends_on_a_signal(number: signal.Signals) -> None:
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


def test_the_commands_help_has_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and meanings come from the settings."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "--seconds-to-complete" in shown
    assert "--no-download-aliases" in shown


def test_the_service_loads_no_http_library() -> None:
    """Nor Airflow."""
    code = "import sys, airflow_provider_sei.local_server.service; print({'aiohttp', 'airflow'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert shown.stdout.strip() == "set()"


def test_the_insights_link_of_a_task_leads_to_a_page(server: RunningServer) -> None:
    """As plain text, because it repeats the address."""
    extra = {"account_id": "demo_account"}
    url = insights_url(SEISettings.from_fields(host=server.base_url, password="key", extra=extra), "dora", "456")
    answer = requests.get(url or "", timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert "/ng/account/demo_account/module/sei/insights/dora?insightType=dora&collectionId=456" in answer.text
