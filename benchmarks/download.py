"""How fast and how lean a delivery is, each figure beside its peer in the same run: ``python benchmarks/download.py``.

``--quick`` (the default) takes files of 16 and 256 MB, ``--full`` also 1 GB and more repetitions. Prints a table, and
writes ``results/download.json`` beside this file. Everything goes over loopback, from memory to memory.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from download_workers import PARQUET_TYPES

HERE = Path(__file__).parent
MB = 1_000_000
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - files in memory, so that no disk is measured

CHECKED_CURL = "curl, sha256sum, wc"  # what a user would run for the guarantees of a verified delivery

Measured = dict[str, float]
Row = dict[str, Any]


def csv_rows(kind: str) -> bytes:
    """Return some 4 MB of CSV as a server would make it.

    Args:
        kind: ``csv`` has a quoted cell in every fiftieth row, ``mixed`` one in each, ``quoted`` quotes every cell.
    """
    chance = random.Random(7)  # noqa: S311 - test data, the same in each run
    lines = []
    for number in range(40_000):
        name = f"Developer {chance.randrange(900)}"
        if kind == "mixed" or number % 50 == 0:
            name = f'"{name}, Jr."'
        numbers = [f"{chance.random() * 100:.2f}" for _ in range(9)]
        cells = ["monthly", f"Team {chance.randrange(300)}", "Engineering/Platform", "2024-01-01", name, *numbers]
        lines.append(",".join(f'"{cell.strip(chr(34))}"' if kind == "quoted" else cell for cell in cells))
    return ("\n".join(lines) + "\n").encode()


def make_files(folder: Path, sizes: list[int]) -> None:
    """Write the files that the server gives: plain, gzip, and with every cell quoted."""
    largest = max(sizes)
    for kind in ("csv", "mixed", "quoted"):
        block = csv_rows(kind)
        for size in sizes if kind == "csv" else [largest]:
            with (folder / f"{size}.{kind}").open("wb") as file:
                for _ in range(size * MB // len(block) + 1):
                    file.write(block)
    for size in sizes:
        with (folder / f"{size}.table").open("wb") as file:
            file.write(",".join(PARQUET_TYPES).encode() + b"\n")
            block = csv_rows("csv")
            for _ in range(size * MB // len(block) + 1):
                file.write(block)
    block, packer = csv_rows("csv"), zlib.compressobj(6, zlib.DEFLATED, 31)
    with (folder / f"{largest}.gz").open("wb") as file:
        for _ in range(largest * MB // len(block) + 1):
            file.write(packer.compress(block))
        file.write(packer.flush())
    tiny = b"a,b\n1,2\n"
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    packed = packer.compress(tiny) + packer.flush()
    header, row = ",".join(PARQUET_TYPES), csv_rows("csv").splitlines()[0].decode()
    for file in list(folder.iterdir()):
        (folder / f"{file.name}.tiny").write_bytes(f"{header}\n{row}\n".encode() if file.suffix == ".table" else tiny)
        (folder / f"{file.name}.tiny.gz").write_bytes(packed)


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """Run one of the two servers; yield its address."""
    command = [sys.executable, str(HERE / "servers.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def run_programs(*commands: list[str]) -> Measured:
    """Run the machine's own programs one after the other: the peers that everybody has."""
    started = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.perf_counter() - started}


class Run:
    """One run of the benchmark: its files, its servers and its figures."""

    def __init__(self, folder: Path, files: str, s3: str, repeats: int) -> None:
        self.rows: list[Row] = []
        self._folder = folder
        self._files = files
        self._repeats = repeats
        connection = {"conn_type": "aws", "login": "x", "password": "y", "extra": {"endpoint_url": s3}}
        http = {"conn_type": "http", "host": files}
        self._environment = {
            **os.environ,
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
            "AIRFLOW_CONN_FILES": json.dumps(http),
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONPATH": str(HERE.parent),
            "PYTHONWARNINGS": "ignore",
        }

    def compare(self, figure: str, limit: float | None, *, ours: str, peer: str, file: str, target: str) -> None:
        """Measure ours and its peer by turns, and hold the ratio of their times against ``limit``, if there is one."""
        measured: dict[str, list[Measured]] = {ours: [], peer: []}
        for _ in range(self._repeats):
            for name in (peer, ours):
                measured[name].append(self._once(name, file, target))
        times = {name: [each["seconds"] for each in each_time] for name, each_time in measured.items()}
        ratios = [own / other for own, other in zip(times[ours], times[peer], strict=True)]
        self.add(
            figure,
            statistics.median(ratios),
            limit,
            least_ratio=min(times[ours]) / min(times[peer]),
            seconds=times[ours],
            peer=peer,
            peer_seconds=times[peer],
            extra_mb=max(each["extra_mb"] for each in measured[ours]),
            peer_extra_mb=max(each.get("extra_mb", 0.0) for each in measured[peer]),
        )

    def memory(self, figure: str, limit: float, *, files: list[str], target: str) -> None:
        """Measure the extra memory of ours for each file, and hold the largest against ``limit``."""
        ours = "deliver_parquet" if target.endswith(".parquet") else "deliver"
        extra = {file: self._once(ours, file, target)["extra_mb"] for file in files}
        self.add(figure, max(extra.values()), limit, each=extra)

    def add(self, figure: str, value: float, limit: float | None, **details: Any) -> None:
        """Keep a figure and print it."""
        met = None if limit is None else value <= limit
        self.rows.append({"figure": figure, "value": value, "limit": limit, "met": met, **details})
        line = f"{figure:58} {value:6.2f}"
        line += f" [{details['least_ratio']:.2f}]" if "least_ratio" in details else " " * 7
        line += " " * 15 if limit is None else f" <= {limit:<4g} {'met   ' if met else 'MISSED'}"
        if "seconds" in details:
            line += f"  ours {min(details['seconds']):.2f} s, peer {min(details['peer_seconds']):.2f} s"
            line += f", extra {details['extra_mb']:.1f} and {details['peer_extra_mb']:.1f} MB"
        if "each" in details:
            line += "  " + " / ".join(f"{mb:.1f}" for mb in details["each"].values())
        print(line, flush=True)

    def _once(self, name: str, file: str, target: str) -> Measured:
        self._have_memory_at_hand(file)
        url = f"{self._files}/{file}"
        if name.startswith("curl"):
            file = str(self._folder / "out" / "curl.csv")
            checks = [["sha256sum", file], ["wc", "-l", file]] if name == CHECKED_CURL else []
            return run_programs(["curl", "-s", "-o", file, url], *checks)
        if "://" not in target:
            target = str(self._folder / "out" / target)
        command = [sys.executable, str(HERE / "download_workers.py"), name, url, target]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
        result: Measured = json.loads(done.stdout.splitlines()[-1])
        return result

    def _have_memory_at_hand(self, file: str) -> None:
        # A virtual machine gives free memory back to its host, and fetches it again page by page, which takes longer
        # than all that is measured here. A file in memory that replaces another needs fresh pages, an emptied one not.
        scratch = self._folder / "scratch"
        shutil.copyfile(self._folder / "files" / f"{Path(file).stem}.csv", scratch)
        scratch.unlink()


def measure(run: Run, sizes: list[int]) -> None:
    """Take every figure."""
    largest = max(sizes)
    csvs = [f"{size}.csv" for size in sizes]
    all_sizes = " / ".join(map(str, sizes))
    s3 = "s3://aws_default@bench/ours.csv"
    run.memory(f"file: extra memory in MB, {all_sizes} MB", 4, files=csvs, target="ours.csv")
    run.memory(f"S3: extra memory in MB, {all_sizes} MB", 40, files=csvs, target=s3)
    for size in sizes[1:]:
        file = f"{size}.csv"
        figure = f"file, {size} MB, unverified: time / curl -o"
        run.compare(figure, 0.75, ours="stream_to_file", peer="curl", file=file, target="ours.csv")
        figure = f"file, {size} MB, verified: time / {CHECKED_CURL}"
        run.compare(figure, 0.6, ours="deliver", peer=CHECKED_CURL, file=file, target="ours.csv")
    for kind, words in {"mixed": "one cell a row quoted", "quoted": "all cells quoted"}.items():
        figure = f"  the same, {words}"
        run.compare(figure, None, ours="deliver", peer=CHECKED_CURL, file=f"{largest}.{kind}", target="ours.csv")
    file = f"{largest}.csv"
    figure = f"S3, {largest} MB: time / HttpToS3Operator"
    run.compare(figure, 0.6, ours="deliver", peer="http_to_s3_operator", file=file, target=s3)
    tables = [f"{size}.table" for size in sizes]
    run.memory(f"Parquet: extra memory in MB, {all_sizes} MB", 120, files=tables, target="ours.parquet")
    figure = f"Parquet, {largest} MB, verified: time / curl, then pyarrow"
    run.compare(figure, 1.3, ours="deliver_parquet", peer="arrow_to_parquet", file=tables[-1], target="ours.parquet")
    figure = f".gz to CSV, {largest} MB, verified: time / gzip.GzipFile"
    file = f"{largest}.gz"
    run.compare(figure, 0.45, ours="deliver_unpacked", peer="gzip_file", file=file, target="ours.csv")
    figure = "  the same, unverified: time / gzip.GzipFile"
    run.compare(figure, None, ours="unpack_to_file", peer="gzip_file", file=file, target="ours.csv")


def main() -> int:
    """Run the benchmark; 1 if a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--quick", action="store_true", help="16 and 256 MB, 3 repetitions (the default)")
    choice.add_argument("--full", action="store_true", help="16, 256 and 1024 MB, 5 repetitions")
    full = parser.parse_args().full
    if shutil.which("curl") is None:
        sys.exit("curl is needed, as the peer")
    sizes = [16, 256, 1024] if full else [16, 256]
    where = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="sei-bench-", dir=where) as name:
        folder = Path(name)
        (folder / "out").mkdir()
        (folder / "files").mkdir()
        make_files(folder / "files", sizes)
        with server("files", str(folder / "files")) as files, server("s3") as s3:
            run = Run(folder, files, s3, repeats=5 if full else 3)
            measure(run, sizes)
    report = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "figures": run.rows,
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "download.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row["met"] is not False for row in run.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
