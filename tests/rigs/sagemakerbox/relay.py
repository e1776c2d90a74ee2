"""Inside a container's network: its way to AWS, and Session Manager's way in.

    relay.py AWS_SOCKET AWS_PORT IN_SOCKET

127.0.0.1:AWS_PORT leads to AWS_SOCKET. IN_SOCKET takes a line with a port number, and gives back
a socket that is connected to that port of 127.0.0.1. It runs as a script, with nothing of this
project in its path.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_PIECE = 1 << 16
_DIAL_S = 5.0


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

    await asyncio.start_server(outward, "127.0.0.1", aws_port)
    await asyncio.to_thread(_let_in, in_socket)


def _let_in(in_socket: str) -> None:
    """Hand out connections to ports, one after the other: a dial to here takes no time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(in_socket)
        listening.listen()
        while True:
            asking, _ = listening.accept()
            with asking:
                asking.settimeout(_DIAL_S)
                try:
                    port = int(asking.recv(16))
                    with socket.create_connection(("127.0.0.1", port), timeout=_DIAL_S) as there:
                        socket.send_fds(asking, [b"connected\n"], [there.fileno()])
                except (OSError, ValueError) as error:
                    with suppress(OSError):
                        asking.sendall(f"refused {error}\n".encode())


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
