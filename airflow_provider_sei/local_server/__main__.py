"""``python -m airflow_provider_sei.local_server``: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import signal
import sys
from collections.abc import Sequence

from airflow_provider_sei.local_server.app import LocalServer
from airflow_provider_sei.local_server.settings import ServerSettings
from airflow_provider_sei.local_server.world import World

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_sei.local_server",
        description="A local stand-in for the Harness SEI export API. It prints its base URL when it is ready.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; anything but loopback opens /_local/ too")
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0 takes any free port")
    for field in dataclasses.fields(ServerSettings):
        argument = dict(field.metadata["argument"])
        if isinstance(field.default, bool):
            argument["action"] = argparse.BooleanOptionalAction
        elif field.default is not None and "nargs" not in argument and "choices" not in argument:
            argument["type"] = type(field.default)
        # ArgumentDefaultsHelpFormatter reads percent signs; no meaning here holds one.
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", default=field.default, help=field.metadata["help"], **argument
        )
    return parser


async def _serve(host: str, port: int, settings: ServerSettings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = LocalServer(World(settings))
    runner, port = await server.start(host, port)
    sys.stdout.write(f"SEI server ready at http://{host}:{port}{settings.base_path.rstrip('/')}\n")
    sys.stdout.flush()
    await stopped.wait()
    await server.stop(runner)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; return the exit code."""
    options = vars(_parser().parse_args(arguments))
    host, port = options.pop("host"), options.pop("port")
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    asyncio.run(_serve(host, port, ServerSettings().changed(settings)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
