"""What the download benchmark measures: one transfer in a fresh process, its time and the memory it adds.

``python download_workers.py NAME URL TARGET``; prints one JSON object. The memory is the highest resident size during
the transfer, above the resident size of the same process once everything is imported and a tiny transfer is done.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BodyReader = Callable[[str, str], object]
# The columns of the files with a header: those of ``csv_rows`` in download.py.
PARQUET_TYPES = {
    **dict.fromkeys(("Granularity", "Team", "Team_Hierarchy"), "text"),
    "Start_Date": "date",
    "Developer": "text",
    **{f"Metric_{number}": "number" for number in range(9)},
}


def stream_to_file(url: str, target: str) -> None:
    """Our transport and our local sink, with nothing looked at on the way."""
    from airflow_provider_sei.delivery.pipeline import rechunk
    from airflow_provider_sei.delivery.sinks import LocalSink

    with _opened(url) as body:
        sink = LocalSink(Path(target))
        for block in rechunk(body.chunks()):
            sink.write(block)
        sink.commit(replace=True)


def deliver(url: str, target: str, *, compression: str = "keep") -> None:
    """What the operators do by default: lengths, sha256, records and gzip checked."""
    from airflow_provider_sei.delivery.destination import Destination
    from airflow_provider_sei.delivery.pipeline import ExpectedFile
    from airflow_provider_sei.delivery.pipeline import deliver as deliver_body

    destination = Destination.from_arguments(target, compression=compression)
    with _opened(url) as body:
        deliver_body(body, destination, ExpectedFile(description="the benchmark's file"))


def deliver_unpacked(url: str, target: str) -> None:
    """The same, from gzip to plain CSV."""
    deliver(url, target, compression="none")


def deliver_parquet(url: str, target: str) -> None:
    """The whole delivery as Parquet: received, checked, converted."""
    from airflow_provider_sei.delivery.destination import Destination
    from airflow_provider_sei.delivery.pipeline import ExpectedFile
    from airflow_provider_sei.delivery.pipeline import deliver as deliver_body

    destination = Destination.from_arguments(target, output="parquet", column_types=PARQUET_TYPES).resolve({})
    with _opened(url) as body:
        deliver_body(body, destination, ExpectedFile(description="the benchmark's file"))


def arrow_to_parquet(url: str, target: str) -> None:
    """Curl, then pyarrow's own reader and writer with the same types and codec: what a user would do in two steps."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    kinds = {"text": pa.string(), "number": pa.float64(), "date": pa.date32()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in PARQUET_TYPES.items()])
    options = csv.ReadOptions(column_names=schema.names, skip_rows_after_names=1)
    conversion = csv.ConvertOptions(column_types=schema)
    subprocess.run(["curl", "-s", "-o", f"{target}.csv", url], check=True)  # noqa: S607 - the machine's own
    reader = csv.open_csv(f"{target}.csv", options, convert_options=conversion)
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


def unpack_to_file(url: str, target: str) -> None:
    """Our transport, our unpacking and our local sink, with nothing counted or hashed."""
    from airflow_provider_sei.delivery.pipeline import Gunzip, rechunk
    from airflow_provider_sei.delivery.sinks import LocalSink

    with _opened(url) as body:
        sink, unpacker = LocalSink(Path(target)), Gunzip("the benchmark's file")
        for chunk in rechunk(body.chunks()):
            for piece in unpacker.feed(chunk):
                sink.write(piece)
        unpacker.close()
        sink.commit(replace=True)


def gzip_file(url: str, target: str) -> None:
    """Python's own gzip reader on requests' raw answer."""
    import requests

    with (
        requests.get(url, stream=True, timeout=60) as response,
        gzip.GzipFile(fileobj=response.raw) as unpacked,
        Path(target).open("wb") as file,
    ):
        shutil.copyfileobj(unpacked, file, 1 << 20)


def http_to_s3_operator(url: str, target: str) -> None:
    """The amazon provider's transfer operator."""
    from airflow.providers.amazon.aws.transfers.http_to_s3 import HttpToS3Operator

    parts = urlsplit(target)
    operator = HttpToS3Operator(
        task_id="peer",
        http_conn_id="files",
        endpoint=urlsplit(url).path,
        s3_bucket=parts.netloc.rpartition("@")[2],
        s3_key=parts.path.lstrip("/"),
        aws_conn_id="aws_default",
        replace=True,
    )
    operator.execute({})


@contextmanager
def _opened(url: str) -> Iterator[Any]:
    from airflow_provider_sei.protocol.http import HttpRequest
    from airflow_provider_sei.protocol.settings import SEISettings
    from airflow_provider_sei.transports.sync import RequestsTransport

    parts = urlsplit(url)
    settings = SEISettings.from_fields(
        host=f"{parts.scheme}://{parts.netloc}",
        password="benchmark",  # noqa: S106 - the server asks for none
        extra={"project_identifier": "p", "org_identifier": "o"},
    )
    transport = RequestsTransport(settings)
    with transport.stream(HttpRequest(method="GET", path=parts.path.lstrip("/")), "download the file") as body:
        yield body
    transport.close()


WORKERS: dict[str, BodyReader] = {
    worker.__name__: worker
    for worker in (
        *(stream_to_file, deliver, deliver_unpacked, unpack_to_file, gzip_file, http_to_s3_operator),
        *(deliver_parquet, arrow_to_parquet),
    )
}


def _memory(name: str) -> int:
    """Return a figure of this process in kB: VmRSS or VmHWM, the highest VmRSS so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name)))


def main() -> None:
    """Run one worker and print what it took."""
    name, url, target = sys.argv[1:4]
    warm_up = url + (".tiny.gz" if url.endswith(".gz") else ".tiny")
    WORKERS[name](warm_up, target)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM
    before = _memory("VmRSS")
    started, cpu = time.perf_counter(), time.process_time()
    WORKERS[name](url, target)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    extra = (_memory("VmHWM") - before) * 1024 / 1e6
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "extra_mb": extra}))


if __name__ == "__main__":
    main()
