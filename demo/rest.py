"""The few calls of Airflow's REST API that the demo makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from demo import DemoError

__all__ = ["AirflowApi", "ApiError"]

_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
_TIMEOUT_SECONDS = 30.0


class ApiError(DemoError):
    """A call failed; the message has the call and the response."""


class AirflowApi:
    """One Airflow's API.

    :param check: called before each call; raises if there is no point in calling.
    """

    def __init__(self, url: str, *, check: Callable[[], None] = lambda: None) -> None:
        self._url = url
        self._check = check
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc for loopback
        # SQLite can be locked briefly, which Airflow answers with 500.
        retry = Retry(total=4, backoff_factor=0.3, status_forcelist=(500, 502, 503, 504), raise_on_status=False)
        self._session.mount(f"{url}/api/v2/dags", HTTPAdapter(max_retries=retry))

    def healthy(self) -> bool:
        """Return whether the API responds and all other components had a recent heartbeat."""
        self._check()
        try:
            health = self._session.get(f"{self._url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return all((health.get(name) or {}).get("status") == "healthy" for name in _COMPONENTS)

    def dag_exists(self, dag_id: str) -> bool:
        """Return whether the DAG has been parsed."""
        return self._send("GET", f"dags/{dag_id}", none_for=404) is not None

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the files that could not be parsed, each with ``filename`` and ``stack_trace``."""
        return list(self._send("GET", "importErrors")["import_errors"])

    def unpause(self, dag_id: str) -> None:
        """Unpause the DAG."""
        self._send("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def start_run(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run with ``conf`` for its params and return the run's id."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self._send("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the run's state: queued, running, success or failed."""
        return str(self._send("GET", f"dags/{dag_id}/dagRuns/{quote(run_id)}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances, each with ``task_id``, ``map_index``, ``state`` and ``try_number``."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances"
        return list(self._send("GET", path)["task_instances"])

    def returned(self, dag_id: str, run_id: str, task: Mapping[str, Any]) -> Any:
        """Return what a task instance returned, or ``None``."""
        query = f"stringify=false&map_index={task['map_index']}"
        path = f"{self._task(dag_id, run_id, task)}/xcomEntries/return_value?{query}"
        answer = self._send("GET", path, none_for=404)
        return answer and answer["value"]

    def log_lines(self, dag_id: str, run_id: str, task: Mapping[str, Any]) -> list[str]:
        """Return the log of a task instance's last try, one line per event and exception."""
        path = f"{self._task(dag_id, run_id, task)}/logs/{max(task['try_number'], 1)}?map_index={task['map_index']}"
        content = self._send("GET", f"{path}&full_content=true")["content"]
        lines = []
        for event in content if isinstance(content, list) else [{"event": content}]:
            lines.append(" ".join(str(event[key]) for key in ("timestamp", "level", "event") if event.get(key)))
            lines += [
                f"    {error.get('exc_type')}: {error.get('exc_value')}" for error in event.get("error_detail") or ()
            ]
        return lines

    @staticmethod
    def _task(dag_id: str, run_id: str, task: Mapping[str, Any]) -> str:
        return f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task['task_id']}"

    def _send(self, method: str, path: str, body: object = None, *, none_for: int | None = None) -> Any:
        self._check()
        try:
            if "Authorization" not in self._session.headers:
                token = self._session.get(f"{self._url}/auth/token", timeout=_TIMEOUT_SECONDS).json()["access_token"]
                self._session.headers["Authorization"] = f"Bearer {token}"
            answer = self._session.request(method, f"{self._url}/api/v2/{path}", json=body, timeout=_TIMEOUT_SECONDS)
        except requests.RequestException as error:
            msg = f"{method} {path} failed: {error}"
            raise ApiError(msg) from error
        if answer.status_code == none_for:
            return None
        if not answer.ok:
            msg = f"{method} {path} returned {answer.status_code}: {answer.text[:500]}"
            raise ApiError(msg)
        return answer.json()
