"""A delivered file passes only if it is what its task says and what the server generated."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
from pathlib import Path

import pytest

from demo.deliveries import Delivery, Generated, Page, page_problems, problems

CSV = 'Name,Value\n"Ada\nAbara",1\nBjörn,2\n'.encode()


def form(content: bytes) -> tuple[int, str]:
    """Return what the server would list for ``content``."""
    return len(content), hashlib.sha256(content).hexdigest()


def delivered(path: Path, content: bytes = CSV) -> Delivery:
    """Write ``content`` and return what a truthful task says of it."""
    path.write_bytes(content)
    size, sha256 = form(content)
    return Delivery(uri=path.as_uri(), bytes=size, rows=2, sha256=sha256, export_id="exp_1")


@pytest.fixture
def generated() -> list[Generated]:
    """Two exports, the second in both forms."""
    other = Generated(export_id="exp_0", rows=1, forms=frozenset({form(b"a\n1\n")}))
    return [
        other,
        Generated(export_id="exp_1", rows=2, forms=frozenset({form(CSV), form(gzip.compress(CSV, mtime=0))})),
    ]


class TestRightFile:
    """``problems`` of a file that is right."""

    def test_the_generated_csv_passes(self, tmp_path: Path, generated: list[Generated]) -> None:
        """Equal bytes, sha256 and rows leave nothing to say; a line break within a cell is no row."""
        assert problems(delivered(tmp_path / "a b.csv"), generated) == []

    def test_the_generated_gzip_file_passes(self, tmp_path: Path, generated: list[Generated]) -> None:
        """The form in which the server hands the file out is as good as the CSV, and its rows are the CSV's."""
        assert problems(delivered(tmp_path / "a.csv.gz", gzip.compress(CSV, mtime=0)), generated) == []

    def test_without_a_server_that_tells_the_tasks_word_counts(self, tmp_path: Path) -> None:
        """A real account publishes no checksums, so the file is held against its task's own figures."""
        assert problems(delivered(tmp_path / "a.csv"), None) == []


class TestWrongFile:
    """``problems`` of a file that is not."""

    @pytest.mark.parametrize("content", [b"", CSV[:-1], CSV + CSV, CSV.replace(b"2", b"3")])
    def test_other_content_is_refused(self, tmp_path: Path, generated: list[Generated], content: bytes) -> None:
        """A file that differs from the generated one by a single byte is refused, whatever its task says of it."""
        delivery = delivered(tmp_path / "a.csv", content)
        assert any("not what the server generated" in one for one in problems(delivery, generated))

    @pytest.mark.parametrize("wrong", [{"rows": 3}, {"bytes": 1}, {"sha256": "0" * 64}])
    def test_a_task_that_reports_wrong_figures_is_refused(
        self, tmp_path: Path, generated: list[Generated], wrong: dict[str, object]
    ) -> None:
        """Each figure is computed from the file again and compared with the reported one."""
        delivery = dataclasses.replace(delivered(tmp_path / "a.csv"), **wrong)
        [(name, value)] = wrong.items()
        assert f"the task says {name}={value}" in problems(delivery, generated)[0]

    def test_the_file_of_another_export_is_refused(self, tmp_path: Path, generated: list[Generated]) -> None:
        """Content that the server generated for another export does not pass."""
        assert problems(dataclasses.replace(delivered(tmp_path / "a.csv"), export_id="exp_0"), generated) != []

    def test_an_export_that_the_server_does_not_know_is_refused(
        self, tmp_path: Path, generated: list[Generated]
    ) -> None:
        """An id from nowhere is told as such."""
        found = problems(dataclasses.replace(delivered(tmp_path / "a.csv"), export_id="exp_9"), generated)
        assert found == [f"{(tmp_path / 'a.csv').as_uri()}: the server knows no export exp_9"]

    def test_a_missing_file_is_refused(self, tmp_path: Path, generated: list[Generated]) -> None:
        """A URI without a file is one clear sentence."""
        delivery = delivered(tmp_path / "a.csv")
        delivery.path.unlink()
        assert "cannot be read" in problems(delivery, generated)[0]

    def test_another_number_of_rows_than_the_server_counted_is_refused(
        self, tmp_path: Path, generated: list[Generated]
    ) -> None:
        """Rows are compared with the server's count too, not only with the task's."""
        other = [dataclasses.replace(one, rows=7) for one in generated]
        assert problems(delivered(tmp_path / "a.csv"), other) == [
            f"{(tmp_path / 'a.csv').as_uri()}: 2 rows, the server generated 7"
        ]


class TestDelivery:
    """``Delivery``."""

    def test_its_line_names_file_rows_bytes_and_sha256(self, tmp_path: Path) -> None:
        """One line says what was delivered."""
        delivery = delivered(tmp_path / "a.csv")
        line = f"delivered {delivery.uri} rows=2 bytes={len(CSV)} sha256={form(CSV)[1]}"
        assert str(delivery) == line

    @pytest.mark.parametrize("returned", [None, "exp_1", {"uri": "file:///a"}, [1]])
    def test_other_return_values_are_no_deliveries(self, returned: object) -> None:
        """A task that returns an export id, or nothing, delivered nothing."""
        assert Delivery.of(returned) is None

    def test_a_legacy_report_has_no_export_id(self) -> None:
        """The dict of a legacy report, with keys the demo does not check, is a delivery."""
        returned = {"uri": "file:///a", "bytes": 0, "rows": 0, "sha256": "x", "export_id": None, "reused": False}
        assert Delivery.of(returned) == Delivery(uri="file:///a", bytes=0, rows=0, sha256="x", export_id=None)


class TestPage:
    """``Page`` and ``page_problems``."""

    def test_a_page_that_names_every_file_passes(self, tmp_path: Path) -> None:
        """By its sha256; a file without records need not be there."""
        delivery = delivered(tmp_path / "a.csv")
        (tmp_path / "a page.html").write_text(f"<p>{delivery.sha256}")
        page = Page.of({"page": f"file://{tmp_path}/a page.html", "teams": 1})
        assert page is not None
        empty = dataclasses.replace(delivery, rows=0, sha256="0" * 64)
        assert page_problems(page, [delivery, empty]) == []

    def test_a_page_that_lacks_a_file_is_refused(self, tmp_path: Path) -> None:
        """It is told which."""
        delivery = delivered(tmp_path / "a.csv")
        (tmp_path / "page.html").write_text("<p>")
        page = Page(uri=f"file://{tmp_path}/page.html")
        assert page_problems(page, [delivery]) == [f"{page.uri} does not tell of {delivery.uri}"]

    def test_a_page_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        """One clear sentence."""
        [problem] = page_problems(Page(uri=f"file://{tmp_path}/page.html"), [])
        assert "cannot be read" in problem

    @pytest.mark.parametrize("returned", [None, "page", ["page"], {"uri": "file:///a"}])
    def test_other_return_values_are_no_pages(self, returned: object) -> None:
        """Nor is a page a delivery."""
        assert Page.of(returned) is None
        assert Delivery.of({"page": "file:///a", "teams": 1, "missing": []}) is None
