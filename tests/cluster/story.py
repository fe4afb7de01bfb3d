"""Twenty exports, while one process after another is killed with SIGKILL and restarted.

1. Create calls stall at the server after the export was created: a worker that waits for them is killed.
2. The other exports are created; while some are waited for, the SEI server is unreachable for ten seconds.
3. All exports are waited for: a triggerer is killed, its waits move to the other one, which is killed then.
4. The exports complete, so late that another create call would create a second one. Downloads stall half-way, with
   their first parts at S3: a worker with such downloads is killed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests

from demo.local_airflow import LOOPBACK
from demo.rest import AirflowApi
from tests.cluster.processes import SLOTS, TRIGGERERS, WORKERS, Cluster, connections_to, kept, kill
from tests.cluster.services import BUCKET, FILE_BYTES, Services

if TYPE_CHECKING:
    import psutil

DAG_ID = "sei_cluster"
TASK_ID = "export"
PAST_REUSE_SECONDS = 3600.0
"""Twice the time in which the server reuses an export for an identical request."""
_STALL_SECONDS = 25.0
"""Enough for both workers to get there, and less than it takes to notice a lost task."""
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.5


class SEIServer:
    """The local SEI server's ``/_local/`` interface, bypassing the gateway, which the test kills."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{LOOPBACK}:{port}/_local"
        self._session = requests.Session()
        self._session.trust_env = False

    def exports(self) -> list[dict[str, Any]]:
        """Return all exports."""
        return self.send("GET", "exports").json()

    def advance(self, seconds: float) -> None:
        """Move the server's clock."""
        self.send("POST", "clock", {"advance": seconds})

    def send(self, method: str, path: str, body: object = None) -> requests.Response:
        """Make a call."""
        answer = self._session.request(method, f"{self._url}/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer


@dataclass(kw_only=True)
class Story:
    """One run of the DAG, and what was observed."""

    services: Services
    cluster: Cluster
    api: AirflowApi
    sei: SEIServer
    s3: Any
    run_id: str = ""
    holders: list[set[int]] = field(default_factory=list)
    """Triggerers that held the waits: before the first kill, after it, and after the second one."""

    started: float = field(default_factory=time.monotonic)
    """For the printed lines."""

    def play(self) -> None:
        """Play the story to the end of the run."""
        self.api.unpause(DAG_ID)
        self._stall("create", times=None)
        self.run_id = self.api.start_run(DAG_ID, {})
        self._kill_worker_in_create()
        self._cut_the_server_off()
        self._kill_both_triggerers()
        self._kill_worker_in_download()
        self.until("the run has ended", lambda: self.api.run_state(DAG_ID, self.run_id) in {"success", "failed"})

    def say(self, text: str) -> None:
        """Print a line with the seconds since the start, for ``pytest -s``."""
        sys.stdout.write(f"\n{time.monotonic() - self.started:6.1f}s {text}")
        sys.stdout.flush()

    def tasks(self) -> list[dict[str, Any]]:
        """Return the task instances, in the order of their map index."""
        return sorted(self.api.task_instances(DAG_ID, self.run_id), key=lambda task: int(task["map_index"]))

    def unfinished_uploads(self) -> int:
        """Return how many multipart uploads the bucket has."""
        return len(self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))

    def until(self, what: str, reached: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait for a state, or fail with the tasks' states."""
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                tasks = self.tasks() if self.run_id else []
                states = [(task["map_index"], task["state"], task["try_number"]) for task in tasks]
                pytest.fail(f"not after {seconds:.0f} s: {what}; tasks: {states}")
            time.sleep(_POLL_SECONDS)
        self.say(what)

    def _kill_worker_in_create(self) -> None:
        def created() -> bool:
            return len(self.sei.exports()) > len(WORKERS) and all(self._calls().values())

        self.until("both workers wait for create calls", created)
        self._kill_the_busiest_worker()
        self.sei.send("DELETE", "faults")  # those in progress go on

    def _cut_the_server_off(self) -> None:
        self.until("some exports are waited for", lambda: len(self._waits()) > len(WORKERS))
        self._kill(kept(self.services.processes, "gateway"), "the way to the SEI server")
        self.until("the SEI server can be reached again", self.services.ready)

    def _kill_both_triggerers(self) -> None:
        def all_wait() -> bool:
            holders = self._waits().values()
            return len(holders) == len(self.tasks()) and len(set(holders)) == len(TRIGGERERS)

        self.until("all exports are waited for, by both triggerers", all_wait)
        first = set(self._waits().values())
        self.holders.append(first)
        for left, name in reversed(tuple(enumerate(reversed(TRIGGERERS)))):
            self._kill(kept(self.cluster.processes, name), name)

            def moved(most: int = left) -> bool:
                waits = self._waits()
                return len(waits) == len(self.tasks()) and len(first & set(waits.values())) <= most

            self.until("its waits have moved", moved)
            self.holders.append(set(self._waits().values()))

    def _kill_worker_in_download(self) -> None:
        self._stall("download", times=SLOTS * len(WORKERS), after_bytes=FILE_BYTES * 2 // 3)
        self.sei.advance(PAST_REUSE_SECONDS)
        # More uploads than one worker has slots, so both have some.
        self.until("downloads have stalled half-way", lambda: self.unfinished_uploads() > SLOTS)
        self._kill_the_busiest_worker()

    def _stall(self, operation: str, **parameters: Any) -> None:
        fault = {"operation": operation, "effect": "stall", "seconds": _STALL_SECONDS, **parameters}
        self.sei.send("POST", "faults", fault)

    def _waits(self) -> dict[int, int]:
        """Return which triggerer holds each wait, by map index."""
        deferred = ((task["map_index"], task["trigger"] or {}) for task in self.tasks() if task["state"] == "deferred")
        return {index: trigger["triggerer_id"] for index, trigger in deferred if trigger.get("triggerer_id")}

    def _calls(self) -> dict[str, int]:
        """Return how many connections to the SEI server each worker's tasks hold."""
        port = self.services.gateway_port
        return {name: connections_to(port, kept(self.cluster.processes, name)) for name in WORKERS}

    def _kill_the_busiest_worker(self) -> None:
        calls = self._calls()
        name = max(calls, key=lambda name: calls[name])
        self._kill(kept(self.cluster.processes, name), f"{name}, with {calls[name]} calls under way")

    def _kill(self, process: psutil.Process | None, title: str) -> None:
        assert process, f"does not run: {title}"
        kill(process)
        self.say(f"killed: {title}")
