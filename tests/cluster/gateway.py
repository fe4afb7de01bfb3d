"""``python -m tests.cluster.gateway PORT TARGET_PORT``: a TCP proxy for the local SEI server that can be killed.

The server keeps its exports in memory, so it must not be killed itself. To clients it looks the same: connections
break, and new ones are refused.
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
    # If either side closes, close both: a killed client must not leave its request at the server.
    writer.close()


async def main(port: int, target_port: int) -> None:
    """Forward connections to ``port`` until the process ends."""

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
