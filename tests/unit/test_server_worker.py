"""A worker that is too busy to read what it is told is told all the same, in order."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, cast

from runhouse.server.worker import Worker
from runhouse.wire import control
from runhouse.wire.messages import Scope

if TYPE_CHECKING:
    from asyncio.subprocess import Process

MANY = 900  # a few hundred fit


def worker_and_its_end() -> tuple[Worker, socket.socket]:
    """Return a worker without a process, and the socket on which it would be told things."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    nobody = cast("Process", None)
    return Worker("id", "env", Scope(), nobody, ours, (-1, -1), Path(), 0.0), theirs


def test_what_does_not_fit_is_sent_when_there_is_room() -> None:
    async def talk() -> list[object]:
        worker, theirs = worker_and_its_end()
        client, other = socket.socketpair()
        assert all(worker.tell({"n": n}, client if n == MANY - 1 else None) for n in range(MANY))
        client.close()  # the server has handed it over
        told: list[object] = []
        descriptor: int | None = None
        with theirs, other:
            while len(told) < MANY:
                received = await asyncio.to_thread(control.receive, theirs)
                assert received is not None
                told.append(received[0]["n"])
                descriptor = received[1]
            assert descriptor is not None
            os.write(descriptor, b"hello")
            os.close(descriptor)
            assert other.recv(10) == b"hello"
            assert other.recv(10) == b"", "somebody has kept the client's socket"
            worker.ended()
        return told

    assert asyncio.run(talk()) == list(range(MANY))


def test_a_worker_that_ends_is_told_nothing_more() -> None:
    async def talk() -> None:
        worker, theirs = worker_and_its_end()
        client, other = socket.socketpair()
        for _ in range(MANY):
            assert worker.tell({"op": "connection"}, client)
        client.close()
        theirs.close()
        worker.ended()
        assert not worker.tell({"op": "ping"})
        assert other.recv(10) == b""
        other.close()

    asyncio.run(talk())
