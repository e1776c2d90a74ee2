"""A relay in front of a Unix socket whose connections a test can cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from runhouse.wire import frames as wire
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


class Cutter:
    """Pass bytes both ways until told to cut, or until so many bytes have come back."""

    def __init__(self, path: Path, behind: str) -> None:
        """Listen on a path and lead to the socket behind."""
        self.path = path
        self._behind = behind
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(100)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.refusing = False
        self.connections = 0
        self.limits: list[int] = []
        """Bytes after which each of the next connections is cut, in the direction of the client."""
        self.frames: list[int] = []
        """The same in frames, beginning with the answer to the greeting."""
        self.requests: list[int] = []
        """Bytes after which each of the next connections is cut, in the direction of the server."""
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._behind)
            except OSError:
                client.close()
                server.close()
                continue
            self.connections += 1
            limits = (_next(self.requests), _next(self.limits), _next(self.frames))
            with self._lock:
                self._open |= {client, server}
            relay = threading.Thread(
                target=self._relay, args=(client, server, *limits), daemon=True
            )
            relay.start()

    def _relay(
        self,
        client: socket.socket,
        server: socket.socket,
        request: int | None,
        limit: int | None,
        frames: int | None,
    ) -> None:
        """Pass bytes both ways, and close both sockets in the end."""
        back = threading.Thread(target=self._pass, args=(server, client, limit), daemon=True)
        if frames is not None:
            arguments = (server, client, frames)
            back = threading.Thread(target=_pass_frames, args=arguments, daemon=True)
        back.start()
        self._pass(client, server, request)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pass(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536 if limit is None else max(1, min(65536, limit))):
                sink.sendall(data)
                if limit is not None:
                    limit -= len(data)
                    if limit <= 0:
                        break
        _break(source, sink)

    def cut(self) -> None:
        """Break all connections that are open."""
        with self._lock:
            _break(*self._open)

    def close(self) -> None:
        """End the relay."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepter.join()
        self.cut()
        wait_until(lambda: not self._open)


def _next(limits: list[int]) -> int | None:
    return limits.pop(0) if limits else None


def _pass_frames(source: socket.socket, sink: socket.socket, count: int) -> None:
    """Pass the answer to the greeting and so many frames, then break both connections."""
    with contextlib.suppress(OSError):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = source.recv(1)
            if not byte:
                break
            head += byte
        if count > 0:
            sink.sendall(head)
        for _ in range(count - 1):
            frame = wire.receive(source)
            if frame is None:
                break
            wire.send(sink, frame)
    _break(source, sink)


def _break(*sockets: socket.socket) -> None:
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
