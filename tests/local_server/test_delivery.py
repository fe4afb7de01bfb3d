"""Faults in how answers are sent."""

from __future__ import annotations

import http.client
import threading
from typing import Any

import pytest
import requests

from airflow_provider_sei.local_server.running import RunningServer


def raw(api: Any, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Download with no client that minds what is wrong; return the answer and the bytes that came before the end."""
    address = api.server.origin.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    query = "&".join(f"{key}={value}" for key, value in api.identifiers.items())
    headers = {"authorization": f"ApiKey {api.server.api_key}"}
    connection.request("GET", f"{api.server.settings.base_path}/{path}?{query}", headers=headers)
    response = connection.getresponse()
    try:
        body = response.read()
    except http.client.IncompleteRead as error:
        body = error.partial
    connection.close()
    return response, body


def raw_download(api: Any, export_id: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Download a productivity export the raw way."""
    return raw(api, f"v2/insights/productivity/exports/{export_id}/download")


class TestSending:
    """How answers are sent."""

    @pytest.mark.parametrize("reset", [False, True])
    @pytest.mark.parametrize("after", [0, 1, 500])
    def test_a_body_can_be_cut(self, api: Any, server: RunningServer, after: int, *, reset: bool) -> None:
        """The whole length was announced; what comes is the beginning."""
        export_id = api.finished()
        server.faults.add("download", "cut", after_bytes=after, reset=reset)
        if reset:
            with pytest.raises(requests.RequestException):
                api.download(export_id)
            return
        response, body = raw_download(api, export_id)
        assert response.headers["Content-Length"] == str(server.exports[0].csv_bytes)
        assert body == server.exports[0].csv[:after]

    def test_json_can_be_cut_too(self, api: Any, server: RunningServer) -> None:
        """Any answer can."""
        server.faults.add("list", "cut", after_bytes=5)
        assert raw(api, "v2/insights/ba/exports")[1] == b'{"exp'

    @pytest.mark.parametrize("delta", [1, 1000, -7])
    def test_the_announced_length_can_be_wrong(self, api: Any, server: RunningServer, delta: int) -> None:
        """Too long looks like a cut; too short loses the end unnoticed."""
        export_id = api.finished()
        server.faults.add("download", "content_length", delta=delta)
        response, body = raw_download(api, export_id)
        csv = server.exports[0].csv
        assert int(response.headers["Content-Length"]) == len(csv) + delta
        assert body == (csv if delta > 0 else csv[:delta])

    def test_a_body_can_come_without_a_length(self, api: Any, server: RunningServer) -> None:
        """In chunks, and whole."""
        export_id = api.finished()
        server.faults.add("download", "content_length", delta=None)
        answer = api.download(export_id)
        assert "Content-Length" not in answer.headers
        assert answer.content == server.exports[0].csv

    def test_a_cut_without_a_length_has_no_last_chunk(self, api: Any, server: RunningServer) -> None:
        """Faults of one call add up."""
        export_id = api.finished()
        server.faults.add("download", "content_length", delta=None)
        server.faults.add("download", "cut", after_bytes=100)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            api.download(export_id)

    def test_a_body_can_stall(self, api: Any, server: RunningServer) -> None:
        """The first bytes come, and then a client waits."""
        export_id = api.finished()
        server.faults.add("download", "stall", after_bytes=10)
        url = f"{server.base_url}/v2/insights/productivity/exports/{export_id}/download"
        with api.session.get(url, params=api.identifiers, stream=True, timeout=(10, 0.5)) as answer:
            assert answer.raw.read(10) == server.exports[0].csv[:10]
            with pytest.raises(Exception, match="timed out"):
                answer.raw.read(1)

    def test_a_body_can_drip(self, api: Any, server: RunningServer) -> None:
        """Piece by piece, and whole in the end."""
        export_id = api.finished()
        server.faults.add("download", "drip", chunk_bytes=500, seconds=0.001)
        assert api.download(export_id).content == server.exports[0].csv

    def test_a_stalled_body_does_not_keep_the_server_from_stopping(self) -> None:
        """Leaving the context ends whatever is still being sent."""
        with RunningServer() as server:
            server.faults.add("list", "stall")
            headers, done = {"authorization": f"ApiKey {server.api_key}"}, threading.Event()
            query = {"projectIdentifier": server.project, "orgIdentifier": server.org}
            url = f"{server.base_url}/v2/insights/ba/exports"

            def call() -> None:
                requests.get(url, headers=headers, params=query, timeout=30)
                done.set()

            thread = threading.Thread(target=call)
            thread.start()
            while not server.requests:  # the call has arrived as soon as it is in the journal
                threading.Event().wait(0.001)
        thread.join(10)
        assert done.is_set()
