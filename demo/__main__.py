"""``python -m demo`` runs the demo; ``python -m demo up`` and ``down`` start and stop a standing Airflow."""

from __future__ import annotations

import argparse
import sys

from demo import run, standing
from demo.sources import SourceError

COMMANDS = {"run": run.main, "up": standing.up, "down": standing.down}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="run")
    try:
        sys.exit(COMMANDS[parser.parse_args().command]())
    except SourceError as error:
        sys.exit(str(error))
