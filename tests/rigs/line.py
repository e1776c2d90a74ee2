"""A line from a loopback port of ours into a machine's own network; tests can cut it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_CHUNK = 256 * 1024


class Relay:
    """Pass connections on to a port in the network namespace of a process."""

    def __init__(self, pid: int, port: int) -> None:
        """Listen on a free loopback port."""
        self._namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._inside_port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = int(self._listener.getsockname()[1])
        self._passing = threading.Event()
        self._passing.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._lines: list[threading.Thread] = []
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    @staticmethod
    @contextlib.contextmanager
    def free_port() -> Iterator[int]:
        """Give a port that is free at this moment."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        yield port

    def _accept(self) -> None:
        while True:
            try:
                outside, _ = self._listener.accept()
            except OSError:
                return
            line = threading.Thread(target=self._serve, args=(outside,), daemon=True)
            self._lines.append(line)
            line.start()

    def _serve(self, outside: socket.socket) -> None:
        """Enter the namespace with this thread, connect there, and pass bytes both ways."""
        with outside:
            if ctypes.CDLL(None, use_errno=True).setns(self._namespace, _CLONE_NEWNET):
                return
            with socket.socket() as inside:
                try:
                    inside.connect(("127.0.0.1", self._inside_port))
                except OSError:
                    return
                with self._lock:
                    self._open |= {outside, inside}
                for sock in (outside, inside):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=self._pass, args=(inside, outside), daemon=True)
                back.start()
                self._pass(outside, inside)
                back.join()
                with self._lock:
                    self._open -= {outside, inside}

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._passing.wait()
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Let nothing through any more, as when a cable is pulled; connections stay open."""
        self._passing.clear()

    def restore(self) -> None:
        """Let everything through again."""
        self._passing.set()

    def reset(self) -> None:
        """Break all connections."""
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the relay."""
        self.restore()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepter.join()
        self.reset()
        for line in self._lines:
            line.join(timeout=5)
        os.close(self._namespace)
