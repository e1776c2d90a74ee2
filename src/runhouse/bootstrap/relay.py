"""A TCP port that leads to another one of this machine: what a tunnel is where no SSH is needed."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from runhouse.lazy import LazyModule

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType
else:
    asyncio = LazyModule("asyncio")

_LOOPBACK = "127.0.0.1"
_CHUNK = 64 * 1024


class LocalTunnel(contextlib.AbstractContextManager["LocalTunnel"]):
    """Stand for a tunnel where none is needed: both ends are one port of this machine.

    Attributes:
        local_port: The port to connect to.
        remote_port: The port that it leads to.
    """

    def __init__(self, local_port: int, remote_port: int) -> None:
        """Store the ports."""
        self.local_port = local_port
        self.remote_port = remote_port

    def close(self) -> None:
        """End the tunnel; safe to repeat."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the tunnel."""
        self.close()


class Relay(LocalTunnel):
    """Lead `127.0.0.1:local_port` to `127.0.0.1:remote_port` until closed, or this process ends."""

    def __init__(self, listener: socket.socket, remote_port: int) -> None:
        """Serve a listening socket in a thread of its own."""
        super().__init__(int(listener.getsockname()[1]), remote_port)
        self._loop = asyncio.new_event_loop()
        self._stopped: asyncio.Event | None = None
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(listener, ready), name="rh-relay", daemon=True
        )
        self._thread.start()
        ready.wait()

    def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._run(listener, ready))

    async def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._pass_on, sock=listener)
        ready.set()
        await self._stopped.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy both ways until both have ended."""
        try:
            far_reader, far_writer = await asyncio.open_connection(_LOOPBACK, self.remote_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    def close(self) -> None:
        """Stop listening, and end the connections; safe to repeat."""
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            self._loop.call_soon_threadsafe(stopped.set)
            self._thread.join()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the reader ends, then end the writer's side."""
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()


def open_relay(local_port: int, remote_port: int, attempts: int) -> Relay | None:
    """Return a relay from the first port that is free, or None when all are taken."""
    for candidate in range(local_port, min(65535, local_port + attempts - 1) + 1):
        try:
            listener = socket.create_server((_LOOPBACK, candidate))
        except OSError:
            continue
        return Relay(listener, remote_port)
    return None
