"""Faults in what answers say and in what files are."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from airflow_provider_sei.local_server.fault_table import NASTY_FILENAMES
from airflow_provider_sei.local_server.file_answers import content_disposition
from airflow_provider_sei.local_server.running import RunningServer


class TestStatusAnswers:
    """What JSON answers say."""

    @pytest.mark.parametrize("family", ["productivity", "efficiency", "ticket-data"])
    @pytest.mark.parametrize(
        ("form", "url"),
        [
            ("absolute", "{origin}{base}{path}"),
            ("both", "{origin}{base}{path}{query}"),
            ("with_identifiers", "{path}{query}"),
            ("foreign", "https://files.example{base}{path}"),
            ("downloadUrl", "{path}"),
            ("absent", None),
        ],
    )
    def test_the_file_is_named_in_every_form(
        self, api: Any, server: RunningServer, family: str, form: str, url: str | None
    ) -> None:
        """Absolute or relative, with identifiers or without, at home or elsewhere, or nowhere."""
        export_id = api.finished(family)
        server.faults.add("status", "download_url", form=form)
        answer = api.status(export_id, family).json()
        named = answer.get("download", {}).get("url") or answer.get("downloadUrl")
        path = f"/v2/insights/{family}/exports/{export_id}/download"
        parts = {"origin": server.origin, "base": "/prod1/sei/api", "path": path}
        query = "?projectIdentifier=demo_project&orgIdentifier=default"
        assert named == (url and url.format(**parts, query=query))

    def test_the_announced_size_can_be_wrong(self, api: Any, server: RunningServer) -> None:
        """The file is not."""
        export_id = api.finished()
        server.faults.add("status", "size_bytes", delta=-10)
        announced = api.status(export_id).json()["download"]["sizeBytes"]
        assert announced == len(api.download(export_id).content) - 10

    def test_the_export_id_can_be_missing_or_another(self, api: Any, server: RunningServer) -> None:
        """In the answer alone."""
        server.faults.add("create", "export_id")
        server.faults.add("status", "export_id", export_id="exp_other", times=None)
        assert "exportId" not in api.create().json()

    def test_any_field_can_be_another(self, api: Any, server: RunningServer) -> None:
        """Set, or left out by null."""
        server.faults.add("status", "fields", changes={"status": None, "createdAt": 5})
        answer = api.status(api.created()).json()
        assert answer["createdAt"] == 5
        assert "status" not in answer

    @pytest.mark.parametrize("name", list(NASTY_FILENAMES))
    def test_files_have_nasty_names(self, api: Any, server: RunningServer, name: str) -> None:
        """In the status as they are, in the header as far as HTTP allows."""
        export_id = api.finished()
        server.faults.add("any", "filename", name=name, times=None)
        assert api.status(export_id).json()["download"]["filename"] == NASTY_FILENAMES[name]
        answer = api.download(export_id)
        assert answer.headers["Content-Disposition"] == content_disposition(NASTY_FILENAMES[name])
        assert "X-Injected" not in answer.headers

    def test_a_name_can_come_in_the_rfc_5987_form(self, api: Any, server: RunningServer) -> None:
        """Percent-encoded UTF-8, and no plain form beside it."""
        export_id = api.finished()
        server.faults.add("download", "filename", name="a/ö.csv", rfc5987=True)
        header = api.download(export_id).headers["Content-Disposition"]
        assert header == "attachment; filename*=UTF-8''a%2F%C3%B6.csv"


class TestFiles:
    """What the file is."""

    def test_a_file_can_be_empty(self, api: Any, server: RunningServer) -> None:
        """Announced and sent: nothing."""
        export_id = api.finished()
        server.faults.add("download", "empty")
        assert api.download(export_id).headers["Content-Length"] == "0"

    @pytest.mark.parametrize("asked", ["gzip", "plain"])
    def test_a_file_can_be_what_its_name_denies(self, api: Any, server: RunningServer, asked: str) -> None:
        """Plain text called .csv.gz, and gzip called .csv."""
        export_id = api.finished(options={"compression": "gzip"} if asked == "gzip" else {})
        server.faults.add("download", "mislabel")
        answer = api.download(export_id)
        assert (".csv.gz" in answer.headers["Content-Disposition"]) == (asked == "gzip")
        assert (answer.content[:2] == b"\x1f\x8b") == (asked == "plain")

    def test_a_gzip_file_can_have_members(self, api: Any, server: RunningServer) -> None:
        """Three of them, which together are the CSV."""
        export_id = api.finished()
        server.faults.add("download", "multi_member", members=3)
        content = api.download(export_id).content
        first = zlib.decompressobj(31)
        assert 0 < len(first.decompress(content)) < len(server.exports[0].csv)
        assert gzip.decompress(content) == server.exports[0].csv

    @pytest.mark.parametrize("where", ["data", "trailer"])
    def test_a_gzip_file_can_be_damaged(self, api: Any, server: RunningServer, where: str) -> None:
        """Its length is announced rightly all the same."""
        export_id = api.finished()
        server.faults.add("download", "corrupt_gzip", where=where)
        content = api.download(export_id).content
        with pytest.raises((EOFError, OSError, zlib.error)):
            gzip.decompress(content)

    @pytest.mark.parametrize("of", ["plain", "gzip"])
    def test_a_file_can_be_content_encoded(self, api: Any, server: RunningServer, of: str) -> None:
        """Once undone by the client, it is the CSV, or a gzip file of it."""
        export_id = api.finished()
        server.faults.add("download", "content_encoding", of=of)
        content = api.download(export_id).content
        assert (gzip.decompress(content) if of == "gzip" else content) == server.exports[0].csv

    def test_a_small_file_can_unpack_to_a_huge_one(self, api: Any, server: RunningServer) -> None:
        """A gigabyte of zeros in a megabyte or so."""
        export_id = api.finished()
        server.faults.add("download", "bomb", expanded_bytes=1 << 30)
        content = api.download(export_id).content
        assert len(content) < 4 << 20
        assert int.from_bytes(content[-4:], "little") == 1 << 30
