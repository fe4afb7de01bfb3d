"""A verified CSV file as Parquet: received into a temporary file first, then converted in batches.

Types come from a column's name or from the user, never from a sample. Messages do not quote cells.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import tempfile
from contextlib import suppress
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow import csv as pa_csv
from pyarrow import parquet as pq

from airflow_provider_sei import __version__
from airflow_provider_sei.delivery.destination import COLUMN_TYPES
from airflow_provider_sei.delivery.pipeline import ContentPipeline, Sink
from airflow_provider_sei.delivery.records import RecordCounter
from airflow_provider_sei.exceptions import SEIArgumentError, SEISchemaError
from airflow_provider_sei.protocol.metrics import column_type

_BLOCK = 512 * 1024  # bytes of CSV that are converted together; no record may be longer
_ROW_GROUP = 16 * 1024 * 1024  # bytes in Arrow's form
_NULLS = ("", "NaN", "nan", "NAN", "—")
_KINDS = {
    "a percentage": r".*%",
    "a number with a thousands separator": r"[-+]?\d{1,3}(?:[,.' \xa0\u2009\u202f\u2019]\d{3})+(?:[.,]\d*)?",
    "a number with a decimal comma": r"[-+]?\d*,\d+",
    "a number": r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?",
    "a day that does not exist or is not written as 2024-01-31": r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}",
    "a number with a unit": r"[-+]?[\d.,]+\s*\D{1,20}|\D{1,3}\s*[\d.,]+",
}


class ParquetPipeline(ContentPipeline):
    """Receive and check a CSV file as every delivery does, and store it as Parquet."""

    counter: RecordCounter  # JSON has no columns
    _rows = _header_at = 0

    def run(self, sink: Sink) -> None:
        """Write the whole file, once it is a complete CSV file and every cell has the type of its column."""
        with tempfile.TemporaryFile(prefix="sei-") as spool, tempfile.TemporaryFile(prefix="sei-") as table:
            super().run(spool)  # type: ignore[arg-type]  # it has the "write" of a sink
            types, codec = self._column_types(), self._destination.compression.replace("keep", "zstd")
            self._metadata = {
                "sei.export_id": self._expected.export_id or "",
                "sei.request": self._destination.request,
                "sei.csv_sha256": self.sha256.hexdigest(),
                "sei.provider_version": __version__,
                "sei.columns": json.dumps([types, codec]),
            }
            try:
                self._convert(spool, table, types, codec)
            except pa.ArrowInvalid as error:
                spool.seek(self._header_at)
                self._refuse(self._misfit(spool, types, str(error)))
            if self._rows != self.counter.rows:
                self._refuse(f"Parquet would have {self._rows} of {self.counter.rows} rows: it has a stray quote")
            self.stored, self.sha256 = 0, hashlib.sha256()
            table.seek(0)
            while block := table.read(_BLOCK):
                self.sha256.update(block)
                self._store(block, sink)
            if self._destination.overwrite == "skip":
                self._keep_same(sink)

    def _keep_same(self, sink: Sink) -> None:
        """Deliver the object that is there already if it is the same table, perhaps of another export."""
        if size := sink.existing_size():
            with suppress(pa.ArrowInvalid), sink.open_existing() as file:
                found, names = pq.read_metadata(file).metadata, ("sei.csv_sha256", "sei.request", "sei.columns")
                if all(found.get(name.encode()) == self._metadata[name].encode() for name in names):
                    file.seek(0)
                    self.stored, self.sha256 = size, hashlib.file_digest(file, "sha256")

    def _refuse(self, words: str) -> NoReturn:
        error = self._expected.error(f"is no table: {words}", SEISchemaError)
        raise error from None  # the cause quotes the cell

    def _column_types(self) -> dict[str, str]:
        """Return the type of each column; engines read columns by name."""
        originals, given = self.counter.columns or self.columns, self._destination.column_types
        if not originals:
            self._refuse("it has no header, or one of more than 64 KiB: give expect_columns, or empty='skip'")
        for number, name in enumerate(self.columns):
            if not name.strip() or "\ufffd" in name or name in self.columns[:number]:
                self._refuse(f"column {number + 1} has no name of its own in UTF-8: {name!r}")
        if unknown := given.keys() - {*originals, *self.columns}:
            msg = f"column_types has {min(unknown)!r}, which is no column of {self._expected.description}; it has "
            raise SEIArgumentError(msg + ", ".join(self.columns), field="column_types")
        pairs = zip(self.columns, originals, strict=True)
        return {name: given.get(name) or given.get(original) or column_type(original) for name, original in pairs}

    def _convert(self, spool: Any, table: Any, types: dict[str, str], codec: str) -> None:
        schema = pa.schema([(name, pa.type_for_alias(COLUMN_TYPES[kind])) for name, kind in types.items()])
        batches: list[Any] = []
        spool.seek(0)
        start = spool.read(_BLOCK)
        # Arrow would take blank lines before the header for the header.
        self._header_at = len(start) - len(start.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"))
        spool.seek(self._header_at)
        # With threads, Arrow reads as many blocks ahead as the machine has processors.
        read = pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=[*types], skip_rows_after_names=1)
        parse = pa_csv.ParseOptions(delimiter=self.counter.separator, newlines_in_values=True)
        convert = pa_csv.ConvertOptions(column_types=schema, null_values=_NULLS)  # in columns of text, none is
        with pq.ParquetWriter(table, schema, compression=codec) as writer:
            writer.add_key_value_metadata(self._metadata)
            # Arrow needs a line end behind the header.
            for batch in pa_csv.open_csv(spool, read, parse, convert) if self.counter.rows else ():
                self.check_time()
                batches.append(batch)
                self._rows += batch.num_rows
                if sum(each.nbytes for each in batches) >= _ROW_GROUP:
                    writer.write_table(pa.Table.from_batches(batches))
                    batches.clear()
            writer.write_table(pa.Table.from_batches(batches, schema))

    def _misfit(self, spool: Any, types: dict[str, str], message: str) -> str:
        """Return the first place where the file does not fit, without the cell itself."""
        found = re.search(r"column #(\d+): .*'(.*)'", message, re.DOTALL)
        column, value = (int(found[1]), found[2].strip()) if found else (0, None)
        name, kind = list(types.items())[column]
        lines, row = (line.decode(errors="surrogateescape") for line in spool), 0
        with suppress(csv.Error):  # a cell of more than csv.field_size_limit()
            for row, cells in enumerate(filter(None, csv.reader(lines, delimiter=self.counter.separator))):
                self.check_time()
                if row <= self._rows:
                    continue
                if len(cells) != len(types):
                    return f"row {row} has {len(cells)} instead of {len(types)} cells"
                if re.search("[\udc80-\udcff]", "".join(cells)):
                    return f"row {row} has bytes that are not UTF-8"
                if cells[column] not in _NULLS and cells[column].strip() == value:
                    words = next((words for words, form in _KINDS.items() if re.fullmatch(form, value)), "text")
                    advice = f"column_types={{{name!r}: 'text'}} keeps it as it is"
                    return f"row {row}, column {name!r}, has {words}, but its type is {kind}; {advice}"
        return f"row {row + 1} is too long, or has a quote where none may be"
