"""A port on the loopback device of the outside that leads to a port inside another network.

It is where a test cuts the network: whatever the relay does not pass on is lost in a black hole.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.rigs.namespaces import enter_network

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 256 * 1024
_PATIENCE_S = 10
_RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Side:
    """Hold one of the two sockets of a connection and what is still to be sent to it."""

    sock: socket.socket
    pending: memoryview = field(default_factory=lambda: memoryview(b""))
    has_ended: bool = False
    other: _Side = field(init=False)


class Relay:
    """Pass connections on to 127.0.0.1 in the network of a process.

    One thread does everything; commands reach it through a pipe and have been obeyed when the
    method that gives them returns.
    """

    def __init__(self, pid: int, port: int, *, ipv6: bool = False) -> None:
        """Listen on a free port, and start the thread.

        Args:
            pid: A process in the network that is led to.
            port: The port there.
            ipv6: Whether to listen on `::1` as well, on the same port.
        """
        self._pid, self._target = pid, ("127.0.0.1", port)
        self._listeners = _listen(ipv6)
        self.port = int(self._listeners[0].getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._commands: list[tuple[Callable[[], None], threading.Event]] = []
        self._sides: set[_Side] = set()
        self._is_cut = False
        self._is_closed = False
        self._buffer = bytearray(_PIECE)
        self._thread = threading.Thread(target=self._work, name="relay", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._sides) // 2

    def cut(self) -> None:
        """Let nothing through any more, and close nothing; safe to repeat."""
        self._command(self._cut)

    def restore(self) -> None:
        """Let everything through again, with what has been held back; safe to repeat."""
        self._command(self._restore)

    def reset(self) -> None:
        """End all connections with a TCP reset, in both directions."""
        self._command(self._reset)

    def close(self) -> None:
        """End all connections and the thread; safe to repeat."""
        if not self._is_closed:
            self._command(self._close)
            self._thread.join()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _command(self, command: Callable[[], None]) -> None:
        if self._is_closed:
            return
        done = threading.Event()
        self._commands.append((command, done))
        os.write(self._wake_write, b"x")
        assert done.wait(_PATIENCE_S), "the thread of a relay has ended"

    # What follows runs in the thread.

    def _work(self) -> None:
        enter_network(self._pid)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._obey)
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, listener)
        while not self._is_closed:
            for key, events in self._selector.select():
                if not isinstance(key.data, (_Side, socket.socket)):
                    self._obey()
                elif self._is_cut or self._is_closed:
                    pass  # by a command that came before it in this round
                elif isinstance(key.data, socket.socket):
                    self._accept(key.data)
                elif key.data in self._sides:
                    self._serve(key.data, events)
        self._selector.close()

    def _obey(self) -> None:
        os.read(self._wake_read, 4096)
        while self._commands:
            command, done = self._commands.pop(0)
            command()
            done.set()

    def _cut(self) -> None:
        self._is_cut = True
        for sock in [*self._listeners, *(side.sock for side in self._sides)]:
            self._forget(sock)

    def _restore(self) -> None:
        self._is_cut = False
        for listener in self._listeners:
            if listener not in self._selector.get_map():
                self._selector.register(listener, selectors.EVENT_READ, listener)
        for side in self._sides:
            self._watch(side)

    def _reset(self) -> None:
        while self._sides:
            self._end(next(iter(self._sides)))

    def _close(self) -> None:
        self._is_closed = True
        self._reset()
        for listener in self._listeners:
            self._forget(listener)
            listener.close()

    def _forget(self, sock: socket.socket) -> None:
        with suppress(KeyError):
            self._selector.unregister(sock)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            client = _Side(listener.accept()[0])
            server = _Side(socket.socket())
            client.other, server.other = server, client
            for side in (client, server):
                side.sock.setblocking(False)
                side.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sides.add(side)
            # A refusal shows when the socket is used for the first time.
            result = server.sock.connect_ex(self._target)
            if result in {0, errno.EINPROGRESS}:
                self._watch(client)
                self._watch(server)
            else:
                self._end(client)

    def _watch(self, side: _Side) -> None:
        """Wait for what this side can do now: be read if the other can take it, be written to."""
        events = 0
        if not side.has_ended and not side.other.pending:
            events |= selectors.EVENT_READ
        if side.pending:
            events |= selectors.EVENT_WRITE
        known = self._selector.get_map().get(side.sock)
        if known is not None and known.events == events:
            return
        if known is not None and events:
            self._selector.modify(side.sock, events, side)
        elif events and not self._is_cut:
            self._selector.register(side.sock, events, side)
        elif known is not None:
            self._selector.unregister(side.sock)

    def _serve(self, side: _Side, events: int) -> None:
        try:
            with suppress(BlockingIOError):  # it was ready, but is not any more
                if events & selectors.EVENT_WRITE:
                    self._send(side)
                if events & selectors.EVENT_READ and not side.other.pending:
                    self._receive(side)
        except OSError:
            self._end(side)
            return
        if side.has_ended and side.other.has_ended and not side.pending and not side.other.pending:
            self._end(side, gently=True)
            return
        self._watch(side)
        self._watch(side.other)

    def _receive(self, side: _Side) -> None:
        count = side.sock.recv_into(self._buffer)
        if count:
            side.other.pending = memoryview(self._buffer)[:count]
            self._send(side.other)
            if side.other.pending:  # the buffer is needed for others meanwhile
                side.other.pending = memoryview(bytes(side.other.pending))
        else:
            side.has_ended = True
            if not side.other.pending:
                side.other.sock.shutdown(socket.SHUT_WR)

    def _send(self, side: _Side) -> None:
        with suppress(BlockingIOError):
            while side.pending:
                side.pending = side.pending[side.sock.send(side.pending) :]
        if not side.pending and side.other.has_ended:
            side.sock.shutdown(socket.SHUT_WR)

    def _end(self, side: _Side, *, gently: bool = False) -> None:
        for each in (side, side.other):
            self._forget(each.sock)
            self._sides.discard(each)
            if not gently:
                with suppress(OSError):
                    each.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.sock.close()


def _listen(ipv6: bool) -> list[socket.socket]:
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=512)]
    if ipv6:
        port = listeners[0].getsockname()[1]
        listeners.append(socket.create_server(("::1", port), family=socket.AF_INET6, backlog=512))
    for listener in listeners:
        listener.setblocking(False)
    return listeners
