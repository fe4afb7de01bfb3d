"""``python -m tests.cluster.keeper PAUSE COMMAND...``: starts a command again ``PAUSE`` seconds after it ended.

As systemd or Kubernetes restart processes on a cluster.
"""

from __future__ import annotations

import subprocess
import sys
import time

from demo.processes import die_with_parent

_MOST_STARTS = 6
"""A command that ends immediately, each time, is broken; the test then fails."""


def main(pause: float, command: list[str]) -> None:
    """Run ``command`` again and again, but not for ever."""
    for _ in range(_MOST_STARTS):
        # The kernel ends the command with its keeper, as it ends the keeper with the test.
        code = subprocess.run(command, check=False, preexec_fn=die_with_parent).returncode
        sys.stdout.write(f"--- ended with {code}; starting again in {pause:g} s\n")
        sys.stdout.flush()
        time.sleep(pause)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
    sys.exit("ended too often")
