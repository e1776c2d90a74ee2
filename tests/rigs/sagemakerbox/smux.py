"""The server's side of smux v1, in which port forwarding sessions carry several connections.

A frame: version, command, length u16 little endian, stream u32 little endian.
See https://github.com/xtaci/smux
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tests.rigs.sagemakerbox.ssmproto import FLAG_CONNECT_TO_PORT_ERROR

Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
_HEAD = struct.Struct("<BBHI")
_OPEN, _FINISH, _PUSH, _LAST = 0, 1, 2, 3
_PIECE = 32768


class Smux:
    """Give each stream a connection of its own."""

    def __init__(
        self,
        dial: Dial,
        output: Callable[[bytes], Awaitable[None]],
        flag: Callable[[int], Awaitable[None]],
        fail: Callable[[str], Awaitable[None]],
    ) -> None:
        """Have no streams.

        Args:
            dial: Opens a connection to the port.
            output: Sends bytes to the client.
            flag: Sends a flag to the client.
            fail: Ends the session with a reason.
        """
        self._dial, self._output, self._flag, self._fail = dial, output, flag, fail
        self._streams: dict[int, asyncio.StreamWriter] = {}
        self._buffer = bytearray()
        self._tasks: set[asyncio.Task[Any]] = set()

    def close(self) -> None:
        """End all streams."""
        for writer in self._streams.values():
            writer.close()
        for task in self._tasks:
            task.cancel()

    def _begin(self, work: Any) -> None:
        # Not awaited where it is begun: acknowledgements come by that same loop.
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def feed(self, data: bytes) -> None:
        """Take bytes of the client."""
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            version, command, size, stream = _HEAD.unpack_from(self._buffer)
            if version != 1 or command > _LAST:
                await self._fail("smux: invalid protocol")
                return
            if len(self._buffer) < _HEAD.size + size:
                return
            body = bytes(self._buffer[_HEAD.size : _HEAD.size + size])
            del self._buffer[: _HEAD.size + size]
            await self._handle(command, stream, body)

    async def _handle(self, command: int, stream: int, body: bytes) -> None:
        if command == _OPEN:
            try:
                reader, self._streams[stream] = await self._dial()
            except OSError:
                self._begin(self._flag(FLAG_CONNECT_TO_PORT_ERROR))
                self._begin(self._output(_HEAD.pack(1, _FINISH, 0, stream)))
            else:
                self._begin(self._pump(stream, reader))
        elif command == _FINISH and stream in self._streams:
            self._streams.pop(stream).close()
        elif command == _PUSH and stream in self._streams:
            writer = self._streams[stream]
            if not writer.is_closing():
                writer.write(body)
                await writer.drain()

    async def _pump(self, stream: int, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                await self._output(_HEAD.pack(1, _PUSH, len(data), stream) + data)
        if self._streams.pop(stream, None) is not None:
            await self._output(_HEAD.pack(1, _FINISH, 0, stream))
