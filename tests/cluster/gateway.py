"""``python -m tests.cluster.gateway PORT TARGET_PORT``: the way to the local SEI server, which can be cut.

The server itself keeps its exports in memory and must live on. When the gateway is killed, its clients see what they
would see of a server that is: connections break in the middle of what they carry, and new ones are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

LOOPBACK = "127.0.0.1"
_BLOCK = 1 << 16


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_BLOCK):
            writer.write(data)
            await writer.drain()
    # Either side's end ends both: a client that was killed must not leave its request behind at the server.
    writer.close()


async def main(port: int, target_port: int) -> None:
    """Pass on whatever comes to ``port``, until the process ends."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(LOOPBACK, target_port)
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))

    server = await asyncio.start_server(connected, LOOPBACK, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
