"""Run the example DAGs and check what they deliver; or start the same Airflow (``up``), and stop it (``down``)."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from demo import DemoError, store
from demo.local_airflow import LOOPBACK, LocalAirflow, free_ports
from demo.processes import Processes
from demo.run import run_examples
from demo.targets import Target, choose_target

ROOT = Path(__file__).parent.parent
HOMES = ROOT / ".demo"
OUTPUT = ROOT / "demo-output"
EXAMPLES = ROOT / "dags_examples"
OWN_DAGS = ROOT / "my_dags"
BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
NOTE = """
Airflow      {url} - no login: everybody on this machine is its admin
Try it       trigger any DAG with its defaults; it exports from {title}
Connections  sei_default and aws_default, in Admin > Connections
Files        in /tmp/sei/, or in the bucket of a local stand-in for S3: {bucket}/lake
Your DAGs    save them in {own}/; they appear within ten seconds
Stop         make down; it forgets the runs and the bucket
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run() -> None:
    """Run the example DAGs, check every delivered file, and stop everything."""
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:6.1f}s {text}", flush=True)

    target, airflow, bucket = _prepare(HOMES / "run", EXAMPLES)
    output = OUTPUT / target.name
    if target.admin_url:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    with airflow.running() as api:
        say("Airflow is healthy")
        pages = run_examples(api, target, f"{output}/", bucket, say)
    say("everything is stopped")
    for page in pages:
        print(f"Open {page}")


def up() -> None:
    """Start Airflow, unless it is running, and print where the UI is."""
    home = HOMES / "up"
    note = home / "note.txt"
    if not note.exists() or not any(record.find() for record in Processes(folder=home, components={}).records()):
        OWN_DAGS.mkdir(exist_ok=True)
        target, airflow, bucket = _prepare(home, EXAMPLES, OWN_DAGS)
        with airflow.running(detach=True):
            note.write_text(NOTE.format(url=airflow.url, bucket=bucket, own=OWN_DAGS, title=target.title))
    print(note.read_text().strip())


def down() -> None:
    """Stop what ``up`` started, and what a killed ``run`` left behind."""
    for home, command in ((HOMES / "up", "make up"), (HOMES / "run", "make demo")):
        processes = Processes(folder=home, components={})
        if starter := processes.starter():
            print(f"`{command}` is at work (process {starter.pid}); stop it with Ctrl-C")
        elif count := processes.stop():
            print(f"stopped {count} processes of `{command}` and everything they started")
        else:
            print(f"nothing of `{command}` is running")


def _prepare(home: Path, *folders: Path) -> tuple[Target, LocalAirflow, str]:
    """Return what the demo exports from, an Airflow with ``folders`` of DAGs, and the address of the S3 stand-in."""
    target_port, airflow_port, store_port = free_ports(3)
    target = choose_target(os.environ, port=target_port)
    airflow = LocalAirflow(
        home=home,
        dags_folder=EXAMPLES,
        settings={
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
                [{"name": folder.name, "classpath": BUNDLE, "kwargs": {"path": str(folder)}} for folder in folders]
            ),
            # Airflow can fail the try of a task that returns from the triggerer quickly (apache/airflow#67287).
            "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "1",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
        },
        port=airflow_port,
        connections={"sei_default": target.connection, "aws_default": store.connection(store_port)},
        beside={**target.programs, "store": store.command(store_port)},
    )
    print(f"Starting Airflow and {target.title} (within a minute); their output: {home}/*.log", flush=True)
    return target, airflow, f"http://{LOOPBACK}:{store_port}"


def exit_on_signals() -> None:
    """Let signals raise ``SystemExit``, so that ``with`` blocks clean up; further signals do not interrupt that."""

    def leave(number: int, _frame: object) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        print("interrupted; stopping everything ...", file=sys.stderr, flush=True)
        sys.exit(128 + number)

    for each in SIGNALS:
        signal.signal(each, leave)


if __name__ == "__main__":
    commands = {"run": run, "up": up, "down": down}
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", nargs="?", choices=commands, default="run")
    command = commands[parser.parse_args().command]
    exit_on_signals()
    try:
        command()
    except DemoError as error:
        sys.exit(str(error))
