"""A worker without a process: its connections, its runs, and functions to call."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from runhouse.wire import frames
from runhouse.wire.exceptions import load_error
from runhouse.wire.frames import Frame
from runhouse.wire.messages import Call, Kind
from runhouse.wire.pickling import dumps, loads_frame
from runhouse.wire.stored import ENDED
from runhouse.worker.connections import Connections
from runhouse.worker.inside import Inside
from runhouse.worker.operations import Operations
from runhouse.worker.runs import Runs
from runhouse.worker.store import Objects
from tests.unit.wiring import read
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Host:
    """Be a worker in this process."""

    def __init__(self, root: Path) -> None:
        """Define what tests call."""
        self.told: list[dict[str, Any]] = []
        self.names: dict[str, str] = {}
        self.heard: Callable[[dict[str, Any]], None] = lambda message: None
        self.counted = 0
        self.released = threading.Event()
        self.cancelled = threading.Event()
        self.root = root
        self.objects = Objects(lambda *change: None)
        operations = Operations(self.objects, root / "objects", self.tell)
        identity = Inside("worker", "server", "env", root, self.objects)
        self.runs = Runs(identity, operations, self.tell, self.note, lambda: None)
        self.connections = Connections(self.runs.on_frame, self.runs.on_closed)
        self._stack = contextlib.ExitStack()
        for name in ("count", "wait", "spin", "doze", "fail", "numbers", "endless"):
            self.objects.define(name, getattr(self, name))

    def tell(self, message: dict[str, Any]) -> None:
        """Take what the server is told."""
        self.told.append(message)
        run = message.get("run", message)
        has_ended = run.get("status") in ENDED or message["op"] == "unclaim"
        if has_ended and self.names.get(run.get("name", "")) == run["id"]:
            del self.names[run["name"]]
        self.heard(message)

    def note(self, message: dict[str, Any]) -> dict[str, Any]:
        """Give a name to the first run that asks for it, as the server does."""
        assert message["op"] == "claim"
        return {"taken": self.names.setdefault(message["name"], message["id"]) != message["id"]}

    def count(self) -> int:
        """Return how often this was called."""
        self.counted += 1
        return self.counted

    def wait(self, text: str = "") -> str:
        """Wait until the test says so."""
        self.counted += 1
        assert self.released.wait(20)
        return text

    def spin(self) -> None:
        """Compute until somebody stops it."""
        self.counted += 1
        try:
            while not self.released.is_set():
                sum(range(100))
        finally:
            self.cancelled.set()

    async def doze(self) -> None:
        """Await what never comes."""
        self.counted += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    def fail(self) -> None:
        """Raise an error."""
        self.counted += 1
        message = "as it should"
        raise ValueError(message)

    def numbers(self, count: int) -> Iterator[int]:
        """Yield numbers."""
        yield from range(count)

    def endless(self) -> Iterator[int]:
        """Yield numbers until nobody wants them."""
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            self.cancelled.set()

    def connect(self) -> socket.socket:
        """Return the client's end of a new connection."""
        ours, theirs = socket.socketpair()
        ours.settimeout(10)
        self.connections.add(theirs)
        return self._stack.enter_context(ours)

    def send(self, sock: socket.socket, call: Call, *args: object) -> None:
        """Send a call."""
        frames.send(sock, Frame(Kind.CALL, call.to_meta(), dumps((args, {})).body))

    def ask(self, call: Call, *args: object) -> Frame:
        """Make a call on a connection of its own, and return the first answer."""
        sock = self.connect()
        self.send(sock, call, *args)
        return read(sock)

    def close(self) -> None:
        """End everything."""
        self.released.set()
        self._stack.close()
        wait_until(lambda: not self.runs.running and not len(self.connections))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give a worker for one test."""
    made = Host(tmp_path)
    yield made
    made.close()


def value(frame: Frame) -> Any:
    """Return the result in a frame."""
    assert frame.kind == Kind.RESULT, frame
    return loads_frame(frame)


def error(frame: Frame) -> BaseException:
    """Return the error in a frame."""
    assert frame.kind == Kind.ERROR, frame
    return load_error(frame)


def recorded(run_id: str, key: str, **fields: Any) -> Call:
    """Return a call that is recorded."""
    return Call(run_id, "call", key, record=True, **fields)


def rest(sock: socket.socket) -> list[Frame]:
    """Read up to the last event of a run."""
    got = [read(sock)]
    while got[-1].kind not in (Kind.RESULT, Kind.ERROR):
        got.append(read(sock))
    return got
