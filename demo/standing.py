"""``make up`` and ``make down``: the same processes as the demo's, left running for a look at the UI."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from demo.airflow_processes import LabError, free_ports, lab_folder_taken, stop_lab
from demo.run import ROOT, end_in_order, make_lab
from demo.sources import source_from

__all__ = ["down", "up"]

_HOME = ROOT / ".demo" / "up"


def up() -> int:
    """Start everything unless it runs, print where the UI is, and return the exit code."""
    if lab_folder_taken(_HOME):
        print(_told(_HOME))
        return 0
    source_port, airflow_port = free_ports(2)
    source = source_from(os.environ, port=source_port)
    lab = make_lab(_HOME, source, port=airflow_port)
    end_in_order()
    print(f"Starting Airflow and {source.title} ...", flush=True)
    try:
        lab.start_detached()
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything is stopped", file=sys.stderr)
        return 130
    destination = (ROOT / "demo-output" / "up").as_uri()
    (_HOME / "note.txt").write_text(
        f"Airflow runs at {lab.url} (no login). Stop it with: make down\n"
        f"Unpause a DAG and trigger it, with the destination {destination}/\n"
    )
    print(_told(_HOME))
    return 0


def down() -> int:
    """Stop what ``up`` started and return the exit code."""
    running = stop_lab(_HOME)
    print(f"stopped {running} processes and what they had started" if running else "nothing of `make up` is running")
    return 0


def _told(home: Path) -> str:
    try:
        return (home / "note.txt").read_text().rstrip()
    except FileNotFoundError:
        return "another `make up` or `make down` is at work"
