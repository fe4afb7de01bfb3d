"""Deliveries as Parquet: types, what is no table, the expected columns, and the file's metadata."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sei import __version__
from airflow_provider_sei.delivery import destination as destinations
from airflow_provider_sei.delivery.destination import Destination
from airflow_provider_sei.delivery.pipeline import DeliveryResult
from airflow_provider_sei.exceptions import SEIArgumentError, SEIDownloadError, SEISchemaError
from airflow_provider_sei.protocol.metrics import column_type
from tests.delivery.conftest import send

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra, which not every environment has")

Deliver = Callable[..., DeliveryResult]
CSV = 'Team,Start_Date,PR_Merged,Note\n007,2024-01-01,1.5,\nNaN,,—,NaN\n8,2024-01-31,NaN,"a\n""b"""\n,2024-01-31,"",—\n'
SECRET = "jane.doe@company.example"


@pytest.fixture
def to_parquet(tmp_path: Path) -> Deliver:
    """Deliver CSV to ``x.parquet``; the keywords are arguments of the destination."""

    def run(csv: str | bytes, export_id: str = "exp_1", **arguments: Any) -> DeliveryResult:
        data = csv.encode() if isinstance(csv, str) else csv
        given = {"output": "parquet", "url": f"{tmp_path}/x.parquet"} | arguments
        return send(given.pop("url"), data, fields={"family": "ba", "export_id": export_id}, **given)

    return run


@pytest.mark.parametrize(
    "csv",
    [CSV, gzip.compress(CSV.encode(), mtime=0), "\ufeff\r\n\n" + CSV.replace("\n", "\r\n")],
    ids=["plain", "gzip", "byte order mark and blank lines"],
)
def test_types_are_known_before_a_row_is_read(to_parquet: Deliver, tmp_path: Path, csv: Any) -> None:
    """Ids stay text, also if they are digits; blank, NaN and the dash are null, but in text they are themselves."""
    result = to_parquet(csv)
    table = parquet.read_table(tmp_path / "x.parquet")
    assert [str(kind) for kind in table.schema.types] == ["string", "date32[day]", "double", "string"]
    found = table.to_pydict() | {"Note": [text.replace("\r", "") for text in table.to_pydict()["Note"]]}
    assert found == {
        "Team": ["007", "NaN", "8", ""],
        "Start_Date": [date(2024, 1, 1), None, date(2024, 1, 31), date(2024, 1, 31)],
        "PR_Merged": [1.5, None, None, None],
        "Note": ["", "NaN", 'a\n"b"', "—"],
    }
    [file] = tmp_path.iterdir()
    assert (result.rows, result.columns, result.bytes) == (4, tuple(table.column_names), file.stat().st_size)


def test_the_user_knows_types_better(to_parquet: Deliver, tmp_path: Path) -> None:
    """By the name in the file or by that in the table; a column that is not there is a mistake."""
    csv = "Team Id,PR_Merged,whole,local,ok\n1,a,2,2024-01-01 12:00,true\n"
    types = {"Team Id": "Integer", "pr_merged": "text", "whole": "number", "local": "timestamp", "ok": "boolean"}
    result = to_parquet(csv, column_types=types, column_names="snake")
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC).replace(tzinfo=None)
    row = {"team_id": 1, "pr_merged": "a", "whole": 2.0, "local": noon, "ok": True}
    assert parquet.read_table(tmp_path / "x.parquet").to_pylist() == [row]
    assert result.columns == tuple(row)
    with pytest.raises(SEIArgumentError, match="column_types has 'wrong', which is no column of the file; it has a"):
        to_parquet("a,b\n1,2\n", column_types={"wrong": "text"})


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("date", "Start_Date end_date"),
        ("number", "PR_Merged LTTC_Mean_Days MTTR_P90_Hours KTLO_story_points in_progress_hours total_issues CFR"),
        ("number", "CODING_DAYS,Lead Time for Changes (mean),Coding Days per Developer,Review Intensity,PR Hygiene"),
        ("text", "Granularity Team Team_Hierarchy Developer Sprint MTTR OVERALL_RATING team_id PR_Velocity_Rating"),
        ("text", "Collection Name,Overall DORA Score,Deployment Frequency Rating,Something new,"),
    ],
)
def test_the_catalogue_knows_a_column_by_its_name(kind: str, names: str) -> None:
    """In the spellings of exports and of legacy reports; MTTR has a unit only where its column says so."""
    found = names.split("," if "," in names else " ")
    assert {name: column_type(name) for name in found} == dict.fromkeys(found, kind)


@pytest.mark.parametrize(
    ("csv", "words"),
    [
        (f'{SECRET},"1,234.5"', "row 2, column 'PR_Merged', has a number with a thousands separator, but its type"),
        (f"{SECRET},12 %", "row 2, column 'PR_Merged', has a percentage, but its type is number; column_types="),
        (f'{SECRET},"12,5"', "has a number with a decimal comma"),
        (f"{SECRET},3 days", "has a number with a unit"),
        (f"{SECRET},{SECRET}", "row 2, column 'PR_Merged', has text"),
        (f"{SECRET}, ", "has text"),
        (f"{SECRET},0,3", "row 2 has 3 instead of 2 cells"),
        (SECRET, "row 2 has 1 instead of 2 cells"),
        (b"\xff" + SECRET.encode() + b",1", "row 2 has bytes that are not UTF-8"),
        (f"{SECRET},\udcff", "row 2 has bytes that are not UTF-8"),
        ("x" * 2_000_000 + ",1", "row 2 is too long, or has a quote where none may be"),
        (",".join(["x" * 9] * 100_000), "row 2 has 100000 instead of 2 cells"),
    ],
    ids=range(12),
)
def test_what_is_no_table_is_told_by_its_place_without_the_cell(
    *, to_parquet: Deliver, tmp_path: Path, csv: str | bytes, words: str
) -> None:
    """In any row; nothing is published or retried, the older file stays, and as CSV it is delivered."""
    row = csv if isinstance(csv, bytes) else csv.encode(errors="surrogateescape")
    types = {"Start_Date": "text"}
    whole = b"Start_Date,PR_Merged\na,1\n" + row + b"\n" + b"2024-01-01,1\n" * 200_000
    to_parquet("Start_Date,PR_Merged\na,1\n", column_types=types)
    before = [(file.name, file.read_bytes()) for file in tmp_path.iterdir()]
    with pytest.raises(SEISchemaError) as caught:
        to_parquet(whole, column_types=types)
    assert str(caught.value).startswith("the file is no table: row 2")
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)
    assert (caught.value.__suppress_context__, caught.value.retryable) == (True, False)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == before
    assert to_parquet(whole, output="csv", url=f"{tmp_path}/x.csv").rows == 200_002


@pytest.mark.parametrize(
    ("csv", "words"),
    [
        ("2024-02-30", "has a day that does not exist or is not written as 2024-01-31, but its type is date"),
        ("31.01.2024", "has a day that does not exist or is not written as 2024-01-31"),
        ("2024-01-31T00:00:00Z", "has text"),
        ("7.5", "has a number"),
    ],
)
def test_a_day_is_a_day(to_parquet: Deliver, csv: str, words: str) -> None:
    """It exists, and is written as ISO 8601 has it."""
    with pytest.raises(SEISchemaError, match=f"row 1, column 'Start_Date', {words}"):
        to_parquet(f"Start_Date\n{csv}\n")


@pytest.mark.parametrize(
    ("header", "names", "words"),
    [
        ("a,b,a", "keep", "column 3 has no name of its own in UTF-8: 'a'"),
        ("PR Merged,b,pr_merged", "snake", "column 3 has no name of its own in UTF-8: 'pr_merged'"),
        ("a,b,", "keep", "column 3 has no name of its own in UTF-8: ''"),
        ("a,b,%", "snake", "column 3 has no name of its own in UTF-8: ''"),
        (b"a,b,\xff", "keep", "column 3 has no name of its own in UTF-8: '\ufffd'"),
        (f"a,b,{'c' * 70_000}", "keep", "it has no header, or one of more than 64 KiB"),
    ],
)
def test_columns_have_names_of_their_own(
    *, to_parquet: Deliver, tmp_path: Path, header: Any, names: str, words: str
) -> None:
    """Engines read columns by name."""
    csv = (header if isinstance(header, bytes) else header.encode()) + b"\n1,2,3\n"
    with pytest.raises(SEISchemaError, match=f"the file is no table: {words}"):
        to_parquet(csv, column_names=names)
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_rows_has_columns_nevertheless(to_parquet: Deliver, tmp_path: Path) -> None:
    """Those of its header, else the expected ones, as of a legacy report of 0 bytes."""
    for csv in ("Team,PR_Merged", "Team,PR_Merged\n", "", "\n"):
        assert to_parquet(csv, expect_columns=["Team", "PR_Merged"]).rows == 0
        assert str(parquet.read_schema(tmp_path / "x.parquet").types) == "[DataType(string), DataType(double)]"
    with pytest.raises(SEISchemaError, match="it has no header, or one of more than 64 KiB: give expect_columns"):
        to_parquet("")


def test_full_memory_is_not_needed(to_parquet: Deliver, tmp_path: Path) -> None:
    """Rows are written in groups, and all arrive."""
    assert to_parquet("Team,PR_Merged\n" + "007,1.25\n" * 1_500_000).rows == 1_500_000
    found = parquet.read_metadata(tmp_path / "x.parquet")
    assert (found.num_rows, found.num_row_groups > 1) == (1_500_000, True)


def test_metadata_tell_where_the_figures_come_from(to_parquet: Deliver, tmp_path: Path) -> None:
    """With the sha256 of the CSV, which another delivery of it has as well."""
    to_parquet(CSV, export_id="exp_7")
    metadata = parquet.read_metadata(tmp_path / "x.parquet").metadata
    csv, types = to_parquet(CSV, output="csv", url=f"{tmp_path}/x.csv"), ("text", "date", "number", "text")
    assert {key.decode(): text.decode() for key, text in metadata.items() if key.startswith(b"sei.")} == {
        "sei.export_id": "exp_7",
        "sei.request": json.dumps({"family": "ba"}),
        "sei.csv_sha256": csv.sha256,
        "sei.provider_version": __version__,
        "sei.columns": json.dumps([dict(zip(csv.columns, types, strict=True)), "zstd"]),
    }


@pytest.mark.parametrize(("compression", "codec"), [("keep", "ZSTD"), ("snappy", "SNAPPY"), ("none", "UNCOMPRESSED")])
def test_unchanged_figures_are_left_alone(to_parquet: Deliver, tmp_path: Path, compression: str, codec: str) -> None:
    """Though another export has them; other figures, types, names and codecs are not the same."""
    first = to_parquet(CSV, overwrite="skip", compression=compression)
    bytes_before = (tmp_path / "x.parquet").read_bytes()
    assert parquet.read_metadata(tmp_path / "x.parquet").row_group(0).column(0).compression == codec
    again = to_parquet(CSV, "exp_2", overwrite="skip", compression=compression)
    assert (again.written, again.sha256, again.bytes) == (False, first.sha256, len(bytes_before))
    assert (tmp_path / "x.parquet").read_bytes() == bytes_before
    same = {"overwrite": "skip", "compression": compression}
    for change in ({"column_types": {"PR_Merged": "text"}}, {"column_names": "snake"}, {"compression": "gzip"}):
        assert to_parquet(CSV, **same | change).written
    assert to_parquet(CSV.replace("1.5", "2.5"), **same).written
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    assert to_parquet(CSV, **same).written
    assert (tmp_path / "x.parquet").read_bytes() == bytes_before
    with pytest.raises(SEIArgumentError, match='exists already, and overwrite="fail"'):
        to_parquet(CSV, overwrite="fail")


def test_every_store_has_the_file(store: Any, to_parquet: Deliver) -> None:
    """By the same steps as a CSV file: complete under its name, or not there; all checks of CSV apply."""
    given = {"url": f"{store.url}x.parquet", "overwrite": "skip"}
    for csv, words in ((CSV.replace("1.5", "1 %"), "a percentage"), (f"{CSV}ERROR\n", "has 1 instead of 4")):
        with pytest.raises(SEIDownloadError, match=words):
            to_parquet(csv, **given)
    assert store.objects() == {}
    assert [to_parquet(CSV, **given).written for _ in range(2)] == [True, False]
    assert list(store.objects()) == ["x.parquet"]


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("output", {"output": "orc"}),
        ("destination", {"url": "/lake/x.csv"}),
        ("destination", {"url": "/lake/x.parquet.gz"}),
        ("compression", {"compression": "lz5"}),
        ("compression", {"output": "csv", "compression": "zstd"}),
        ("column_types", {"column_types": {"a": "varchar"}}),
        ("output", {"output": "csv", "column_types": {"a": "text"}}),
        ("output", {"output": "csv", "column_names": "snake"}),
        ("column_names", {"column_names": "camel"}),
        ("on_schema_change", {"on_schema_change": "ignore"}),
        ("expect_columns", {"expect_columns": 7}),
    ],
)
def test_an_argument_that_cannot_be_is_refused(field: str, arguments: dict[str, Any]) -> None:
    """With the argument's name."""
    with pytest.raises(SEIArgumentError) as caught:
        Destination.from_arguments(**{"url": "/lake/", "output": "parquet"} | arguments)
    assert caught.value.field == field


def test_a_worker_without_pyarrow_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """When names are resolved, which is before the export is created."""
    monkeypatch.setattr(destinations, "find_spec", lambda _: None)
    with pytest.raises(SEIArgumentError, match=r"install airflow-provider-sei\[parquet\]"):
        Destination.from_arguments("/lake/", output="parquet").resolve({"family": "ba"})


@pytest.mark.parametrize("output", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["b", "a, c"], ""),
        (["a, c", "b", "d"], "missing 'd'"),
        (["b"], "new 'a, c'"),
        (["a, c", "b_"], "renamed 'b_' to 'b'"),
        (["zz", "y", "B"], "missing 'zz', 'y'; new 'a, c'; renamed 'B' to 'b'"),
    ],
)
def test_a_change_of_columns_is_one_sentence(
    *, to_parquet: Deliver, tmp_path: Path, caplog: Any, output: str, columns: list[str], words: str
) -> None:
    """It fails the task, or warns and is delivered; their order is no change."""
    arguments = {"output": output, "url": f"{tmp_path}/x.{output}", "expect_columns": columns}
    sentence = f"the file has other columns than expect_columns: {words}"
    caplog.set_level(logging.WARNING, "airflow_provider_sei")
    if words:
        with pytest.raises(SEISchemaError) as caught:
            to_parquet('"a, c",b\n1,2\n', **arguments)
        assert str(caught.value) == f"{sentence}; nothing was published of the file"
        assert list(tmp_path.iterdir()) == []
    result = to_parquet('"a, c",b\n1,2\n', **arguments, on_schema_change="warn")
    warnings = [f"The {sentence.removeprefix('the ')}, in the file"] if words else []
    assert (result.columns, caplog.messages) == (("a, c", "b"), warnings)
