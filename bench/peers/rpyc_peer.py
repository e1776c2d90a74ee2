"""RPyC: a server with a thread for each connection; arrays go as pickles, not as references."""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import socket
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import rpyc
from figures import Peer, all_callers, main, wait_until
from rpyc.core.channel import Channel
from rpyc.utils.server import ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

Channel.COMPRESSION_THRESHOLD = 1 << 40  # compressing is slower than the connection
# It copies what is left of a message for each piece that the socket takes: a whole array lasts
# longer than its own time-out of 30 s.
_PIECE = 1 << 20


def pieces(array: Any) -> Iterator[bytes]:
    """Yield the parts of a pickled array."""
    pickled = pickle.dumps(array, protocol=5)
    return (pickled[at : at + _PIECE] for at in range(0, len(pickled), _PIECE))


class Work(rpyc.Service):
    """Do the work."""

    def __init__(self) -> None:
        """Begin without parts."""
        self._pieces: list[bytes] = []

    def exposed_identity(self, value: Any) -> Any:
        """Return the argument."""
        return value

    def exposed_take_piece(self, piece: bytes) -> None:
        """Keep a part of a pickled array."""
        self._pieces.append(piece)

    def exposed_size_of_pieces(self) -> int:
        """Return the size in bytes of the array whose parts have come."""
        array = pickle.loads(b"".join(self._pieces))
        self._pieces.clear()
        return int(array.nbytes)

    def exposed_make_array(self, size: int) -> Iterator[bytes]:
        """Yield the parts of a pickled array of that many bytes."""
        numpy = importlib.import_module("numpy")  # the first result must not wait for it
        yield from pieces(numpy.ones(size, dtype="u1"))

    def exposed_numbers(self, count: int) -> Iterator[int]:
        """Yield numbers."""
        yield from range(count)


def answers(path: str) -> bool:
    """Tell whether the server listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@contextlib.contextmanager
def start() -> Iterator[Peer]:
    """Start a server, and open a connection for each thread that calls."""
    path = f"{os.environ['HOME']}/rpyc.sock"
    own = threading.local()

    def root() -> Any:
        if not hasattr(own, "connection"):
            own.connection = rpyc.utils.factory.unix_connect(path)
            own.root = own.connection.root
            own.identity = own.root.identity  # looked up once: that is a round trip, too
        return own.root

    def identity(value: int) -> int:
        root()
        return int(own.identity(value))

    def take(array: Any) -> int:
        for piece in pieces(array):
            root().take_piece(piece)
        return int(root().size_of_pieces())

    with subprocess.Popen([sys.executable, __file__, "serve", path]) as server:
        try:
            wait_until(lambda: answers(path), 30)
            yield Peer(
                call=identity,
                many=partial(all_callers, identity),
                take=take,
                make=lambda size: pickle.loads(b"".join(root().make_array(size))),
                items=lambda count: root().numbers(count),
            )
        finally:
            server.kill()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        ThreadedServer(Work, socket_path=sys.argv[2]).start()
    else:
        main(start)
