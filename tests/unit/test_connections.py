"""A few threads serve all connections, and a hang-up is always noticed."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from runhouse.wire import frames
from runhouse.wire.frames import Frame
from runhouse.worker.connections import Connection, Connections
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Echo:
    """Answer every frame with itself; block or fail when told to."""

    def __init__(self) -> None:
        """Serve no connection yet."""
        self.release = threading.Event()
        self.blocked = 0
        self.closed: list[Connection] = []
        self.threads: set[int] = set()
        self.connections = Connections(self.on_frame, self.closed.append)
        self._stack = contextlib.ExitStack()

    def on_frame(self, connection: Connection, frame: Frame) -> None:
        """Act on a frame as its kind says."""
        self.threads.add(threading.get_ident())
        if frame.kind == 2:
            self.blocked += 1
            assert self.release.wait(10)
        if frame.kind == 3:
            msg = "this cannot be acted on"
            raise ValueError(msg)
        connection.send(frames.encode(frame))

    def connect(self) -> socket.socket:
        """Return the client's end of a new connection."""
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        self.connections.add(theirs)
        return self._stack.enter_context(ours)

    def close(self) -> None:
        """End all connections."""
        self.release.set()
        self._stack.close()
        wait_until(lambda: len(self.connections) == 0)


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Give a service of one test."""
    made = Echo()
    yield made
    made.close()


def ask(sock: socket.socket, kind: int = 1, size: int = 10) -> Frame | None:
    """Send a frame and return the answer."""
    frames.send(sock, Frame(kind, {"kind": kind}, b"x" * size))
    return frames.receive(sock)


def test_frames_are_answered_on_many_connections(echo: Echo) -> None:
    socks = [echo.connect() for _ in range(20)]
    for turn in range(5):
        for sock in socks:
            answer = ask(sock, size=turn * 100_000)
            assert answer is not None
            assert len(answer.body) == turn * 100_000
    assert len(echo.connections) == 20
    assert len(echo.threads) < 12


def test_a_call_that_takes_long_keeps_nobody_else_waiting(echo: Echo) -> None:
    slow = [echo.connect() for _ in range(10)]
    for sock in slow:
        frames.send(sock, Frame(2))
    wait_until(lambda: echo.blocked == 10)
    assert ask(echo.connect()) is not None
    assert ask(slow[0]) is not None, "the same connection is heard during its call"
    echo.release.set()
    for sock in slow:
        assert frames.receive(sock) is not None


def test_a_hang_up_is_noticed_during_a_call(echo: Echo) -> None:
    sock = echo.connect()
    frames.send(sock, Frame(2))
    wait_until(lambda: echo.blocked == 1)
    sock.close()
    wait_until(lambda: len(echo.closed) == 1)
    assert len(echo.connections) == 0


def test_what_cannot_be_acted_on_ends_only_its_connection(echo: Echo) -> None:
    bad, good = echo.connect(), echo.connect()
    frames.send(bad, Frame(3))
    assert bad.recv(100) == b""
    garbage = echo.connect()
    garbage.sendall(b"\xff" * 100)
    with contextlib.suppress(ConnectionResetError):
        assert garbage.recv(100) == b""
    for _ in range(10):
        assert ask(good) is not None


def test_sending_to_a_peer_that_is_gone_is_told(echo: Echo) -> None:
    ours, theirs = socket.socketpair()
    connection = Connection(theirs)
    ours.close()
    big = frames.encode(Frame(1, {}, b"x" * 1_000_000))
    assert connection.send(big) is False
    connection.hang_up()
    theirs.close()
    assert echo.connections is not None


def test_frames_of_several_threads_do_not_mix() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(theirs)

        def send(kind: int) -> None:
            for _ in range(50):
                connection.send(frames.encode(Frame(kind, {}, bytes([kind]) * 70_000)))

        threads = [threading.Thread(target=send, args=(kind,)) for kind in range(1, 5)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            frame = frames.receive(ours)
            assert frame is not None
            assert bytes(frame.body) == bytes([frame.kind]) * 70_000
        for thread in threads:
            thread.join()
