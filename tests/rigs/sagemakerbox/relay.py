"""Inside a container's network: its way to AWS, and Session Manager's way in.

    relay.py AWS_SOCKET AWS_PORT IN_SOCKET

127.0.0.1:AWS_PORT leads to AWS_SOCKET. IN_SOCKET takes a line with a port number, and then leads to
that port of 127.0.0.1. It runs as a script, with nothing of this project in its path.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_PIECE = 1 << 16


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _join(one: Ends, two: Ends) -> None:
    await asyncio.gather(_pipe(one[0], two[1]), _pipe(two[0], one[1]))


async def _main(aws_socket: str, aws_port: int, in_socket: str) -> None:
    async def outward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_unix_connection(aws_socket)
        except OSError:  # the box ends
            writer.close()
            return
        await _join((reader, writer), there)

    async def inward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = int(await reader.readline())
        try:
            there = await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            writer.write(f"refused {error}\n".encode())
            writer.close()
            return
        writer.write(b"connected\n")
        await _join((reader, writer), there)

    await asyncio.start_server(outward, "127.0.0.1", aws_port)
    await asyncio.start_unix_server(inward, in_socket)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
