"""What tests of a worker's parts need: connections of socket pairs, and a disk that is full."""

from __future__ import annotations

import contextlib
import resource
import socket
from typing import TYPE_CHECKING

from runhouse.wire import frames
from runhouse.worker.connections import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runhouse.wire.frames import Frame


class Lines(contextlib.ExitStack):
    """Make connections between a client and a worker, closed at the end."""

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Return two connected sockets; the first one does not wait for ever."""
        ours, theirs = map(self.enter_context, socket.socketpair())
        ours.settimeout(10)
        return ours, theirs

    def connect(self) -> tuple[socket.socket, Connection]:
        """Return the client's socket and the worker's connection."""
        ours, theirs = self.pair()
        return ours, Connection(theirs)


def read(sock: socket.socket) -> Frame:
    """Return the next frame of a socket."""
    frame = frames.receive(sock)
    assert frame is not None
    return frame


@contextlib.contextmanager
def full_disk(free_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
