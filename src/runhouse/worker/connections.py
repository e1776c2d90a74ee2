"""Connections from clients, served by a few threads without a hand-over between them.

Every thread waits on one epoll set in which each socket is armed for one event. The thread that
gets the event reads the frame, arms the socket again and acts on the frame itself: a call runs on
the thread that received it, while another thread watches the same socket for a cancel or a hang-up.
An idle connection costs a file descriptor and no thread.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from typing import TYPE_CHECKING

from runhouse.wire import frames, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.wire.frames import Buffer, Frame

log = logging.getLogger(__name__)

_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
# Threads beyond this number end when they find nothing to do.
_SPARE_THREADS = 4


class Connection:
    """Hold one client's socket; frames of several threads do not mix on it."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected, blocking socket."""
        self.sock = sock
        self._lock = threading.Lock()
        self.finished_run: str | None = None
        self.closed = False

    def send(self, pieces: list[Buffer]) -> bool:
        """Write the pieces of one or more frames; return False when the client is gone."""
        try:
            with self._lock:
                frames.send_pieces(self.sock, pieces)
        except OSError:
            # The reading side sees the hang-up too, and cleans up.
            self.hang_up()
            return False
        return True

    def send_file(self, file: int, start: int, end: int) -> bool:
        """Write a range of a file that holds frames; return False when the client is gone."""
        try:
            with self._lock:
                stored.send_range(self.sock, file, start, end)
        except OSError:
            self.hang_up()
            return False
        return True

    def hang_up(self) -> None:
        """End the connection in both directions; the file descriptor is closed by its reader."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the peer was quicker

    def close(self) -> None:
        """Close the socket when nobody is writing to it any more."""
        self.closed = True
        self.hang_up()
        with self._lock:
            self.sock.close()


class Connections:
    """Serve all connections of the worker."""

    def __init__(
        self,
        on_frame: Callable[[Connection, Frame], None],
        on_closed: Callable[[Connection], None],
    ) -> None:
        """Store what to call; threads start with the first connection."""
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._epoll = select.epoll()
        self._lock = threading.Lock()
        self._waiting = 0
        self._open: dict[int, Connection] = {}

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    def add(self, sock: socket.socket) -> None:
        """Take over a connected socket."""
        sock.setblocking(True)
        with self._lock:
            self._open[sock.fileno()] = Connection(sock)
            missing = self._waiting == 0
        self._epoll.register(sock.fileno(), _EVENTS)
        if missing:
            self._start_thread()

    def _start_thread(self) -> None:
        with self._lock:
            self._waiting += 1
        threading.Thread(target=self._serve, name="runhouse-call", daemon=True).start()

    def _serve(self) -> None:
        """Wait for events and act on them, for ever or until there are enough other threads."""
        while True:
            events = self._epoll.poll(maxevents=1)
            with self._lock:
                self._waiting -= 1
                missing = self._waiting == 0
            if missing:
                self._start_thread()
            for descriptor, _ in events:
                connection = self._open[descriptor]
                try:
                    self._act(connection)
                except Exception:
                    log.exception("a client sent something that cannot be acted on")
                    connection.hang_up()
            with self._lock:
                if self._waiting >= _SPARE_THREADS:
                    return
                self._waiting += 1

    def _act(self, connection: Connection) -> None:
        """Read one frame, let the socket be watched again, and do what the frame says."""
        try:
            frame = frames.receive(connection.sock)
        except (OSError, frames.FrameError):
            frame = None
        if frame is None:
            self._close(connection)
            return
        self._epoll.modify(connection.sock.fileno(), _EVENTS)
        try:
            self._on_frame(connection, frame)
        except frames.FrameError as error:
            log.warning("a connection is closed: %s", error)
            connection.hang_up()

    def _close(self, connection: Connection) -> None:
        # The server may hold the same socket for a moment longer, which would keep it in the set.
        self._epoll.unregister(connection.sock.fileno())
        with self._lock:
            del self._open[connection.sock.fileno()]
        connection.close()
        self._on_closed(connection)
