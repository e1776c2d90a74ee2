"""The client for asyncio: the same calls, without blocking the event loop.

What a call means is decided in `exchange.py`, and connections come from the blocking client (they
are opened in a thread); only the moving of bytes is written here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from runhouse.client.client import Client, outcome
from runhouse.client.exchange import Event, Exchange, Item, Logs, SendAgain, Streaming
from runhouse.client.logs import show
from runhouse.wire import frames
from runhouse.wire.frames import Buffer, Frame, FrameError, Prefix

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

    from runhouse.client.endpoint import Connection, Target
    from runhouse.wire.messages import Call
    from runhouse.wire.pickling import Pickled


async def call_async(client: Client, target: Target, call: Call, arguments: Pickled) -> Any:
    """Run a call and wait for its end.

    Returns:
        The result, or an async generator over the items when the call made a generator.

    Raises:
        BaseException: What the call raised.
        RunhouseError: The call could not be made, or was lost.
    """
    talk = AsyncTalk(client, target, Exchange(call, arguments))
    await talk.open()
    event = await talk.next_event()
    if isinstance(event, Streaming):
        return talk.items()
    return outcome(event)


async def _fill(sock: socket.socket, view: memoryview) -> bool:
    """Receive until `view` is full; return False when the peer closed before the first byte."""
    loop = asyncio.get_running_loop()
    done = 0
    while done < len(view):
        count = await loop.sock_recv_into(sock, view[done:])
        if count == 0:
            if done == 0:
                return False
            msg = "The peer closed the connection in the middle of a frame."
            raise ConnectionResetError(msg)
        done += count
    return True


async def _must_fill(sock: socket.socket, memory: Buffer) -> None:
    if len(memory) and not await _fill(sock, memoryview(memory)):
        msg = "The peer closed the connection in the middle of a frame."
        raise ConnectionResetError(msg)


async def receive(sock: socket.socket) -> Frame | None:
    """Read one frame from a non-blocking socket (see `frames.receive`)."""
    raw = bytearray(frames.PREFIX_SIZE)
    if not await _fill(sock, memoryview(raw)):
        return None
    prefix = Prefix.parse(raw)
    head = bytearray(prefix.head_size)
    await _must_fill(sock, head)
    meta, sizes = prefix.split(memoryview(head))
    memories = []
    for size in (prefix.body_size, *sizes):
        memory = frames.allocate(size)
        await _must_fill(sock, memory)
        memories.append(memory)
    return Frame(prefix.kind, meta, memories[0], memories[1:])


class AsyncTalk:
    """Move the bytes of one call; the mirror of `client.Talk`."""

    def __init__(self, client: Client, target: Target, exchange: Exchange) -> None:
        """Store the call."""
        self._client = client
        self._target = target
        self._exchange = exchange
        self._connection: Connection | None = None

    async def open(self) -> None:
        """Open a connection and send the call."""
        self._connection = await asyncio.to_thread(self._client.take, self._target)
        self._connection.sock.setblocking(False)
        await self._send(self._exchange.opening(self._connection.worker_id))

    async def _send(self, pieces: list[Buffer]) -> None:
        if self._connection is None:
            return
        try:
            for piece in pieces:
                await asyncio.get_running_loop().sock_sendall(self._connection.sock, piece)
        except OSError:
            self._drop()
        except BaseException:
            await self.cancel()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.sock.close()

    async def next_event(self) -> Event:
        """Wait for what comes next; show output, and mend the connection when it breaks."""
        while True:
            try:
                event = await self._receive()
            except BaseException:
                await self.cancel()
                raise
            if isinstance(event, Logs):
                show(event.entries)
            elif not isinstance(event, SendAgain):
                if self._exchange.ended:
                    self._release()
                return event

    async def _receive(self) -> Event:
        while True:
            if self._connection is None:
                await self._mend()
                continue
            try:
                frame = await receive(self._connection.sock)
            except (OSError, FrameError):
                frame = None
            if frame is None:
                self._drop()
                continue
            event = self._exchange.receive(frame)
            if isinstance(event, SendAgain):
                await self._send(self._exchange.call_pieces())
                return event
            acknowledgement = self._exchange.acknowledging()
            if acknowledgement is not None:
                await self._send(acknowledgement)
            return event

    async def _mend(self) -> None:
        worker_id = self._exchange.worker_id or ""
        connection = await asyncio.to_thread(self._client.reopen, self._target, worker_id)
        connection.sock.setblocking(False)
        self._connection = connection
        await self._send(self._exchange.opening(worker_id))

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.sock.setblocking(True)
            self._client.give_back(self._target, connection)

    async def cancel(self) -> None:
        """Stop the call and give up its connection; safe to repeat."""
        if self._exchange.ended or self._exchange.worker_id is None:
            return
        self._exchange.ended = True
        self._drop()
        await asyncio.shield(
            asyncio.to_thread(self._client.send_cancel, self._target, self._exchange)
        )

    async def items(self) -> AsyncGenerator[Any, None]:
        """Yield the items of a generator; closing the iterator stops it there."""
        try:
            while True:
                event = await self.next_event()
                if isinstance(event, Item):
                    yield event.value
                else:
                    outcome(event)
                    return
        finally:
            await self.cancel()
