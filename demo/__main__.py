"""Run the example DAGs and check what they deliver; or start the same Airflow (``up``), and stop it (``down``)."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from demo import DemoError
from demo.local_airflow import LocalAirflow, free_ports
from demo.processes import Processes
from demo.run import run_examples
from demo.targets import Target, choose_target

ROOT = Path(__file__).parent.parent
HOMES = ROOT / ".demo"
OUTPUT = ROOT / "demo-output"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run() -> None:
    """Run the example DAGs, check every delivered file, and stop everything."""
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:6.1f}s {text}", flush=True)

    target, airflow = _prepare(HOMES / "run")
    output = OUTPUT / target.name
    if target.admin_url:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    with airflow.running() as api:
        say("Airflow is healthy")
        pages = run_examples(api, target, f"{output}/", say)
    say("everything is stopped")
    for page in pages:
        print(f"Open {page}")


def up() -> None:
    """Start Airflow, unless it is running, and print where the UI is."""
    home = HOMES / "up"
    note = home / "note.txt"
    if not note.exists() or not any(record.find() for record in Processes(folder=home, components={}).records()):
        _, airflow = _prepare(home)
        with airflow.running(detach=True):
            note.write_text(
                f"Airflow is running at {airflow.url} (no login). Stop it with: make down\n"
                f"Unpause a DAG and trigger it with the destination {OUTPUT / 'up'}/\n"
                f"It reads DAG files from {airflow.dags_folder}.\n"
                "The connection sei_default comes from the environment, so the UI does not list it.\n"
            )
    print(note.read_text().rstrip())


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


def _prepare(home: Path) -> tuple[Target, LocalAirflow]:
    target_port, airflow_port = free_ports(2)
    target = choose_target(os.environ, port=target_port)
    airflow = LocalAirflow(
        home=home,
        dags_folder=ROOT / "dags_examples",
        port=airflow_port,
        connections={"sei_default": target.connection},
        beside=target.programs,
    )
    print(f"Starting Airflow and {target.title}; their output: {home}/*.log", flush=True)
    return target, airflow


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
