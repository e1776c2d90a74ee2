"""The client for asyncio: the same calls, without blocking the event loop.

What a call means is decided in `exchange.py`, and connections come from the blocking client (they
are opened in a thread); only the moving of bytes is written here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runhouse.client import tracing
from runhouse.client.exchange import Event, Exchange, Item, Logs, Started, Streaming
from runhouse.client.logs import show
from runhouse.client.talk import Talk, outcome
from runhouse.lazy import LazyModule
from runhouse.wire import frames
from runhouse.wire.frames import Buffer, BufferSize, Frame, FrameError, Prefix

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import AsyncGenerator, Callable

    from runhouse.client.client import Client
    from runhouse.client.endpoint import Target
    from runhouse.wire.messages import Call
    from runhouse.wire.pickling import Pickled
else:
    asyncio = LazyModule("asyncio")


async def call_async(client: Client, target: Target, call: Call, arguments: Pickled) -> Any:
    """Run a call and wait for its end.

    Returns:
        The result, or an async generator over the items when the call made a generator.

    Raises:
        BaseException: What the call raised.
        RunhouseError: The call could not be made, or was lost.
    """
    with tracing.span(call, client.endpoint.host, target.env):
        talk = AsyncTalk(client, target, Exchange(call, arguments))
        event = await talk.next_outcome_async()
        if isinstance(event, Streaming):
            return talk.items_async()
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


async def _must_fill(sock: socket.socket, view: memoryview) -> None:
    if len(view) and not await _fill(sock, view):
        msg = "The peer closed the connection in the middle of a frame."
        raise ConnectionResetError(msg)


async def receive(sock: socket.socket) -> Frame | None:
    """Read one frame from a non-blocking socket (see `frames.receive`)."""
    raw = bytearray(frames.PREFIX_SIZE)
    if not await _fill(sock, memoryview(raw)):
        return None
    prefix = Prefix.parse(raw)
    head = bytearray(prefix.head_size)
    await _must_fill(sock, memoryview(head))
    meta, sizes = prefix.split(memoryview(head))
    memories: list[Buffer] = []
    for size in (BufferSize(prefix.body_size, is_bytes=False), *sizes):
        memory, view = size.allocate()
        await _must_fill(sock, view)
        memories.append(memory)
    return Frame(prefix.kind, meta, memories[0], memories[1:])


class AsyncTalk(Talk):
    """Move the bytes of one call without blocking the event loop.

    Connections are opened and mended in a thread, by what `Talk` has for it; only the receiving is
    written again.
    """

    async def _in_thread(self, action: Callable[[], None]) -> None:
        """Let a thread do what blocks; the socket is non-blocking at other times."""
        await asyncio.to_thread(action)
        if self._connection is not None:
            self._connection.sock.setblocking(False)

    async def next_outcome_async(self) -> Event:
        """Wait for an item or the end, and show output meanwhile."""
        while True:
            try:
                event = await self._receive_async()
            except BaseException:
                await self.cancel_async()
                raise
            if self._exchange.ended:
                self._release()
            if isinstance(event, Logs):
                show(event.entries)
            elif not isinstance(event, Started):
                return event

    async def _receive_async(self) -> Event:
        while True:
            if self._connection is None:
                await self._in_thread(self._open)
                continue
            try:
                frame = await receive(self._connection.sock)
            except (OSError, FrameError):
                frame = None
            if frame is None:
                self._drop()
                continue
            event = self._take_in(frame)
            if event is not None:
                return event

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.sock.setblocking(True)
        super()._release()

    async def cancel_async(self) -> None:
        """Stop the call and give up its connection; safe to repeat."""
        await asyncio.shield(asyncio.to_thread(self.cancel))

    async def items_async(self) -> AsyncGenerator[Any, None]:
        """Yield the items of a generator; closing the iterator stops it there."""
        try:
            while True:
                event = await self.next_outcome_async()
                if isinstance(event, Item):
                    yield event.value
                else:
                    outcome(event)
                    return
        finally:
            await self.cancel_async()
