"""Exports over HTTP: create, wait, download, reuse, and the shapes of the answers."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pytest
import requests

from airflow_provider_sei.local_server.running import RunningServer
from airflow_provider_sei.protocol.families import FAMILIES


class TestLifecycle:
    """From create to download."""

    @pytest.mark.parametrize("family", list(FAMILIES))
    def test_an_export_is_queued_then_processed_then_completed(
        self, api: Any, server: RunningServer, family: str
    ) -> None:
        """The status follows from the clock alone."""
        export_id = api.created(family)
        words = []
        for seconds in (0, 1, 1, 1):
            server.clock.advance(seconds)
            words.append(api.status(export_id, family).json()["status"].lower())
        assert words == ["queued", "processing", "processing", "completed"]

    @pytest.mark.parametrize("family", list(FAMILIES))
    def test_the_download_is_what_the_server_says_it_generated(
        self, api: Any, server: RunningServer, family: str
    ) -> None:
        """Length, digest and number of records are known without a download."""
        answer = api.download(api.finished(family), family)
        record = server.exports[0]
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == record.csv_sha256 == record.body_sha256
        assert int(answer.headers["Content-Length"]) == record.csv_bytes == len(answer.content)
        assert answer.content == record.csv
        assert (record.downloads, record.requested) == (1, 1)

    def test_what_is_not_completed_cannot_be_downloaded(self, api: Any) -> None:
        """The vendor answers 404 for an unknown export and for one that is not ready."""
        export_id = api.created()
        assert api.download(export_id).status_code == api.download("exp_unknown").status_code == 404

    def test_an_export_belongs_to_its_family(self, api: Any) -> None:
        """Asked for under another family's path it is not there."""
        assert api.status(api.created("ba"), "productivity").status_code == 404

    @pytest.mark.parametrize(("field", "value"), [("teamId", "99"), ("orgTreeName", "Nowhere")])
    def test_an_unknown_scope_fails_the_export(self, api: Any, field: str, value: str) -> None:
        """The request is taken; the export fails and says why."""
        answer = api.status(api.finished(scope={field: value})).json()
        assert answer["status"] == "failed"
        assert answer["error"] == {"code": "EXPORT_FAILED", "message": f"Invalid {field}"}
        assert "download" not in answer

    def test_ids_repeat_with_the_requests(self, api: Any, server: RunningServer) -> None:
        """The first export of every server has the same id."""
        first = api.created()
        server.reset()
        assert api.created() == first


class TestReuse:
    """Identical requests within 30 minutes."""

    def test_an_identical_request_gets_the_existing_export(self, api: Any, server: RunningServer) -> None:
        """The answer is 200 instead of 202; the order of the fields does not matter."""
        export_id = api.created()
        server.clock.advance(1799)
        answer = api.create(dateRange={"end": "2024-01-31", "start": "2024-01-01"})
        assert (answer.status_code, answer.json()["exportId"]) == (200, export_id)
        assert answer.json()["message"].endswith("created by Jane Smith")
        assert [record.requested for record in server.exports] == [2]

    def test_after_thirty_minutes_a_new_export_is_made(self, api: Any, server: RunningServer) -> None:
        """The reuse window counts from the creation."""
        api.created()
        server.clock.advance(1800)
        assert api.create().status_code == 202

    def test_a_failed_export_is_reused_too(self, api: Any) -> None:
        """Any state will do for the vendor."""
        api.finished(scope={"teamId": "99"})
        assert api.create(scope={"teamId": "99"}).status_code == 200

    def test_another_request_is_another_export(self, api: Any) -> None:
        """A different team makes a different export."""
        assert api.created() != api.created(scope={"teamId": "123"})

    def test_a_colleagues_export_is_reused(self, api: Any, server: RunningServer) -> None:
        """What is reused may belong to somebody else."""
        api.session.headers["authorization"] = f"ApiKey {server.settings.colleague_key}"
        api.created()
        api.session.headers["authorization"] = f"ApiKey {server.api_key}"
        answer = api.create()
        assert answer.status_code == 200
        assert answer.json()["createdBy"]["name"] == "John Doe"


class TestShapes:
    """Where the families' answers differ, as the documents show them."""

    @pytest.mark.parametrize(
        ("family", "status", "key"),
        [
            ("productivity", "completed", "download"),
            ("sprint", "completed", "download"),
            ("efficiency", "COMPLETED", "downloadUrl"),
            ("ba", "COMPLETED", "downloadUrl"),
            ("ticket-data", "COMPLETED", None),
        ],
    )
    def test_each_family_says_in_its_own_way_where_the_file_is(
        self, api: Any, family: str, status: str, key: str | None
    ) -> None:
        """In a download object, as a downloadUrl, or not at all."""
        answer = api.status(api.finished(family), family).json()
        assert answer["status"] == status
        assert {"download", "downloadUrl"} & set(answer) == ({key} if key else set())

    def test_the_download_object_describes_the_file(self, api: Any, server: RunningServer) -> None:
        """Url, name, size and type; compression only for gzip."""
        download = api.status(api.finished()).json()["download"]
        export = server.exports[0]
        assert download == {
            "url": f"/v2/insights/productivity/exports/{export.export_id}/download",
            "filename": export.filename,
            "sizeBytes": export.body_bytes,
            "contentType": "text/csv",
        }

    def test_a_sprint_download_url_is_the_alias_and_works(self, api: Any) -> None:
        """The OpenAPI document names sprint files by a second path of the same exports."""
        url = api.status(api.finished("sprint"), "sprint").json()["download"]["url"]
        assert url.startswith("/v2/insights/efficiency/sprints/export/")
        assert api.call("GET", url.lstrip("/")).status_code == 200

    def test_answers_name_the_person_who_created_an_export(self, api: Any) -> None:
        """Personal data is in the answers, so that tests can see it leak."""
        answer = api.status(api.created()).json()
        assert answer["createdBy"] == {
            "userId": "user_123",
            "name": "Jane Smith",
            "email": "jane.smith@company.example",
        }

    def test_the_level_comes_back_as_metric_level(self, api: Any) -> None:
        """Whatever key was sent."""
        answer = api.create(options={"aggregationLevel": "team"}).json()
        assert answer["metadata"]["options"] == {"metricLevel": "team"}


class TestCompression:
    """When a file is gzip."""

    def test_gzip_comes_when_asked_for(self, api: Any, server: RunningServer) -> None:
        """The name, the description and the content agree."""
        export_id = api.finished(options={"compression": "gzip"})
        download = api.status(export_id).json()["download"]
        answer = api.download(export_id)
        assert download["filename"].endswith(".csv.gz")
        assert (download["compression"], download["sizeBytes"]) == ("gzip", len(answer.content))
        assert gzip.decompress(answer.content) == server.exports[0].csv

    def test_large_exports_are_gzip_unasked(self, api: Any, server: RunningServer) -> None:
        """The vendor compresses large exports on its own account."""
        server.reset(large_bytes=100, seconds_to_complete=0)
        assert api.download(api.finished()).content[:2] == b"\x1f\x8b"

    def test_downloads_have_the_size_that_the_settings_ask_for(self, api: Any, server: RunningServer) -> None:
        """Sizes are those of the CSV."""
        server.reset(download_bytes=3_000_000, compression="plain", seconds_to_complete=0)
        assert len(api.download(api.finished()).content) == 3_000_000


def test_the_documented_script_runs_against_the_server(server: RunningServer) -> None:
    """The customer's Python example, with its SEI_API_KEY header, gets its file."""
    headers = {"SEI_API_KEY": server.api_key, "Content-Type": "application/json"}
    identifiers = f"?projectIdentifier={server.project}&orgIdentifier={server.org}"
    payload = {
        "scope": {"orgTreeName": "Engineering", "teamId": "456"},
        "dateRange": {"start": "2024-01-01", "end": "2024-12-31"},
        "metricGroups": ["activity", "velocity"],
        "options": {
            "aggregation": "mean",
            "aggregationLevel": "developer",
            "granularity": "monthly",
            "format": "csv",
        },
    }
    exports = f"{server.base_url}/v2/insights/productivity/exports"
    created = requests.post(exports + identifiers, headers=headers, json=payload, timeout=10)
    server.clock.advance(5)
    url = f"{exports}/{created.json()['exportId']}"
    assert requests.get(url + identifiers, headers=headers, timeout=10).json()["status"] == "completed"
    assert requests.get(f"{url}/download{identifiers}", headers=headers, timeout=10).text.startswith("Granularity,")
