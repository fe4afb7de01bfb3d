"""Only what was really delivered is read, from any store; and the page appears as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from dora_report.files import Missing, fetch, write_page

from tests.delivery import store_servers


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[store_servers.Store]:
    """An S3 bucket that only its own Airflow connection leads to."""
    monkeypatch.setattr("airflow.sdk.io.store._STORE_CACHE", {})
    with store_servers.s3_server() as address:
        store = store_servers.s3_store(address)
        for name, value in store.connections.items():
            monkeypatch.setenv(name, value)
        yield store


class TestFetch:
    """``fetch``."""

    @pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
    def test_a_copy_is_what_was_delivered(self, deliver: Any, tmp_path: Path, ending: str) -> None:
        """Under a name of its own: that of a file may be a pattern to DuckDB."""
        teams, results = deliver(b"a\n1\n", b"b\n", ending=ending)
        found, missing = fetch(teams, results, tmp_path, "/x/")
        assert missing == []
        assert [file.path.name for file in found] == [f"0{ending}", f"1{ending}"]
        assert [file.path.read_bytes() for file in found] == [
            Path(result["uri"].removeprefix("file://")).read_bytes() for result in results
        ]
        assert [(file.team, file.export_id, file.rows) for file in found] == [
            ("Team 0", "exp_0", 1),
            ("Team 1", "exp_1", 0),
        ]

    def test_a_team_without_a_result_is_missing(self, deliver: Any, tmp_path: Path) -> None:
        """By name and id; the others are there."""
        teams, results = deliver(b"a\n", b"b\n")
        found, missing = fetch(teams, [None, results[1]], tmp_path, "/x/")
        assert [file.team for file in found] == ["Team 1"]
        assert missing == [Missing("Team 0 (0)", "its export did not succeed; the log of its task says why")]

    def test_a_file_that_has_changed_since_is_not_read(self, deliver: Any, tmp_path: Path) -> None:
        """The page would say something of a file that nobody has."""
        teams, results = deliver(b"a\n")
        Path(results[0]["uri"].removeprefix("file://")).write_bytes(b"b\n")
        found, [lacking] = fetch(teams, results, tmp_path, "/x/")
        assert found == []
        assert "no longer what was delivered" in lacking.reason

    def test_a_file_that_is_gone_is_missing(self, deliver: Any, tmp_path: Path) -> None:
        """It does not keep the others from being read."""
        teams, results = deliver(b"a\n", b"b\n")
        Path(results[0]["uri"].removeprefix("file://")).unlink()
        found, [lacking] = fetch(teams, results, tmp_path, "/x/")
        assert [file.team for file in found] == ["Team 1"]
        assert "cannot be read" in lacking.reason

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_an_object_store_is_read_and_written_by_its_connection(
        self, bucket: store_servers.Store, deliver: Any, tmp_path: Path
    ) -> None:
        """The URI of a result does not name it."""
        teams, [result] = deliver(b"a\n1\n")
        bucket.put("a.csv", b"a\n1\n")
        folder = ObjectStoragePath(bucket.url)
        uri = re.sub("//.*@", "//", str(folder / "a.csv"))
        [file], missing = fetch(teams, [{**result, "uri": uri}], tmp_path, bucket.url)
        assert (file.path.read_bytes(), missing) == (b"a\n1\n", [])
        write_page("<p>é", folder / "page.html")
        assert bucket.objects()["page.html"] == "<p>é".encode()


class TestWritePage:
    """``write_page``."""

    def test_an_older_page_is_replaced(self, tmp_path: Path) -> None:
        """In a folder that is made if need be, and nothing is left beside it."""
        target = ObjectStoragePath(f"file://{tmp_path}/new/page.html")
        for text in ("old", "new é"):
            uri = write_page(text, target)
        [page] = (tmp_path / "new").iterdir()
        assert (page.read_text("utf-8"), uri, page.stat().st_mode & 0o777) == ("new é", f"file://{page}", 0o644)

    def test_a_page_that_cannot_be_finished_leaves_the_older_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whole, and no torso beside it."""
        target = ObjectStoragePath(f"{tmp_path}/page.html")
        write_page("old", target)

        def fails(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", fails)
        with pytest.raises(OSError, match="No space"):
            write_page("new", target)
        assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "old")]
