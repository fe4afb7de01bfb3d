"""``python -m airflow_provider_sei.local_server``: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import signal
import sys
from collections.abc import Sequence
from typing import Any

from airflow_provider_sei.local_server.server import LocalServer
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.state import ServerState


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_sei.local_server",
        description="A local server that implements the Harness SEI export API. Prints its base URL when it is ready.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; other than loopback opens /_local/ too"
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    for field in dataclasses.fields(ServerSettings):
        argument = dict(field.metadata["argument"])
        if isinstance(field.default, bool):
            argument["action"] = argparse.BooleanOptionalAction
        elif field.default is not None and "nargs" not in argument and "choices" not in argument:
            argument["type"] = type(field.default)
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, default=field.default, help=field.metadata["help"], **argument)
    return parser


async def _serve(host: str, port: int, settings: ServerSettings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = LocalServer(ServerState(settings))
    port = await server.start(host, port)
    print(f"SEI server ready at http://{host}:{port}{settings.base_path.rstrip('/')}", flush=True)
    await stopped.wait()
    await server.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server and return the exit code."""
    options = vars(_parser().parse_args(arguments))
    host, port = options.pop("host"), options.pop("port")
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    asyncio.run(_serve(host, port, ServerSettings(**settings)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
