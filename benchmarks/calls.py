"""How many files, functions and calls of the package one deferred export enters, and how large the package is.

    python benchmarks/calls.py [--check]

One ``SEIExportOperator`` runs as Airflow runs it: made, executed up to its deferral, waited for by a trigger made from
its serialized form, made again, resumed and delivered to local disk. Beside it, if its provider is installed, runs dbt
Cloud's operator, which downloads nothing. ``calls`` includes each resumption of a generator or coroutine; ``functions``
leaves out comprehensions, generator expressions and lambdas, ``with inner`` counts them. Functions that only run while
modules are imported are not counted. ``--check`` exits with 1 above the limits.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import inspect
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from itertools import chain
from pathlib import Path
from pkgutil import walk_packages
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

from report import print_table

MAX_FILES, MAX_FUNCTIONS = 22, 130
_DBT_PROVIDER = "airflow.providers.dbt.cloud"


class Counter:
    """Counts the calls of functions that a package defines, in all threads."""

    def __init__(self, package: str) -> None:
        root = import_module(package)
        self._folder = f"{root.__path__[0]}{os.sep}"
        self._phases: dict[str, list[CodeType]] = {}
        for module in walk_packages(root.__path__, f"{package}."):
            if "local_server" not in module.name:
                with suppress(Exception):  # a module whose optional dependency is missing
                    import_module(module.name)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what is called within the block."""
        codes = self._phases[name] = []

        def profile(frame: FrameType, event: str, _: object) -> None:
            code = frame.f_code
            # Modules and the bodies of classes are not optimized code.
            if event == "call" and code.co_flags & inspect.CO_OPTIMIZED and code.co_filename.startswith(self._folder):
                codes.append(code)

        threading.setprofile(profile)
        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each phase, and one for all of them."""
        rows = []
        for name, codes in {**self._phases, "total": [*chain.from_iterable(self._phases.values())]}.items():
            named = [code for code in codes if not code.co_name.startswith("<")]
            counts = {"files": len({code.co_filename for code in codes})}
            for suffix, some in (("", named), (" with inner", codes)):
                counts[f"functions{suffix}"] = len({(code.co_filename, code.co_firstlineno) for code in some})
                counts[f"calls{suffix}"] = len(some)
            rows.append({"phase": name, **counts})
        return rows


def count_run(package: str, make: Callable[[], Any]) -> list[dict[str, Any]]:
    """Run one deferrable operator and return the counts."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    counter = Counter(package)
    stored: dict[str, Any] = {}
    task = SimpleNamespace(try_number=1, max_tries=0, start_date=None, xcom_push=lambda **_: None)
    context = {"ti": task, "task_state_store": SimpleNamespace(get=stored.get, set=stored.__setitem__)}
    with counter.phase("__init__"):
        operator = make()
    with counter.phase("execute"):
        try:
            operator.execute(context)
        except TaskDeferred as error:
            deferred = error
    with counter.phase("trigger"):
        event = asyncio.run(_wait(*deferred.trigger.serialize()))
    with counter.phase("__init__ again"):
        operator = make()
    with counter.phase(deferred.method_name):
        operator.resume_execution(deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context)
    return counter.rows()


async def _wait(classpath: str, arguments: dict[str, Any]) -> Any:
    module, _, name = classpath.rpartition(".")
    async for event in getattr(import_module(module), name)(**json.loads(json.dumps(arguments))).run():
        return event.payload
    return None


def count_sei(folder: str) -> list[dict[str, Any]]:
    """Count an export that completes a second after its creation; the server is another process."""
    command = [sys.executable, "-m", "airflow_provider_sei.local_server", "--queued-seconds", "0"]
    with subprocess.Popen([*command, "--seconds-to-complete", "1"], stdout=subprocess.PIPE, text=True) as server:
        try:
            host = (server.stdout.readline() if server.stdout else "").split()[-1]
            extra = {"project_identifier": "demo_project", "org_identifier": "default"}
            connection = {"conn_type": "harness_sei", "host": host, "password": "demo-key", "extra": extra}
            os.environ["AIRFLOW_CONN_SEI_DEFAULT"] = json.dumps(connection)

            def make() -> Any:
                from airflow_provider_sei.operators.sei import SEIExportOperator

                return SEIExportOperator(
                    task_id="export",
                    family="productivity",
                    team_id="456",
                    date_start="2024-01-01",
                    date_end="2024-01-31",
                    metric_groups=["velocity"],
                    destination=f"{folder}/",
                    deferrable=True,
                )

            rows = count_run("airflow_provider_sei", make)
            assert len(list(Path(folder).glob("*.csv"))) == 1
            return rows
        finally:
            server.terminate()


def count_dbt() -> list[dict[str, Any]]:
    """Count a run of dbt Cloud's operator, against a stub of its API that has it completed by the second request."""
    import requests
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator

    statuses = [10, 3]  # success, after running

    class Stub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            run = {"id": 1, "href": "https://dbt.example/", "status": 1 if self.command == "POST" else statuses.pop()}
            body = json.dumps({"data": run}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    url_and_params, prepare = DbtCloudHook.get_request_url_params, requests.Session.prepare_request

    def plain_url(*given: Any) -> Any:
        url, params = url_and_params(*given)
        return url.replace("https://", "http://"), params

    def plain_request(session: requests.Session, request: requests.Request) -> requests.PreparedRequest:
        request.url = str(request.url).replace("https://", "http://")
        return prepare(session, request)

    DbtCloudHook.get_request_url_params = staticmethod(plain_url)
    requests.Session.prepare_request = plain_request  # type: ignore[method-assign]  # patched for the measurement
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = {
            "conn_type": "dbt_cloud",
            "login": "1",
            "password": "x",
            "host": f"127.0.0.1:{server.server_port}",
        }
        os.environ["AIRFLOW_CONN_DBT_CLOUD_DEFAULT"] = json.dumps(connection)
        arguments = {"task_id": "run", "job_id": 1, "trigger_reason": "count", "deferrable": True}
        rows = count_run(_DBT_PROVIDER, lambda: DbtCloudRunJobOperator(**arguments))
        server.shutdown()
    return rows


def sizes() -> list[dict[str, Any]]:
    """Return the size of the package without its local server, and of the server."""
    package = Path(__file__).parent.parent / "airflow_provider_sei"
    rows = []
    for part, inside in (("package", False), ("local_server", True)):
        texts = {path: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
        texts = {path: text for path, text in texts.items() if ("local_server" in path.parts) is inside}
        lengths = [
            (node.end_lineno - node.lineno + 1, f"{path.relative_to(package)}:{node.name}")
            for path, text in texts.items()
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
        ]
        lines, (longest, name) = sum(len(text.splitlines()) for text in texts.values()), max(lengths)
        rows.append(
            {
                "part": part,
                "files": len(texts),
                "lines": lines,
                "functions": len(lengths),
                "longest": longest,
                "at": name,
            }
        )
    return rows


def main() -> int:
    """Count, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help=f"fail above {MAX_FILES} files or {MAX_FUNCTIONS} functions"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"
        folder = Path(home) / "lake"
        folder.mkdir()
        rows = count_sei(str(folder))
        print_table(rows)
        try:
            import_module(_DBT_PROVIDER)
        except ImportError:
            print(f"\n{_DBT_PROVIDER} is not installed")
        else:
            print("\ndbt Cloud's operator, without a download:\n")
            print_table(count_dbt())
    print()
    print_table(sizes())
    too_many = rows[-1]["files"] > MAX_FILES or rows[-1]["functions"] > MAX_FUNCTIONS
    print(f"\nlimits of the total: {MAX_FILES} files, {MAX_FUNCTIONS} functions{': exceeded' if too_many else ''}")
    return 1 if arguments.check and too_many else 0


if __name__ == "__main__":
    sys.exit(main())
