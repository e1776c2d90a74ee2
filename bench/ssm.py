"""Figures of our Session Manager client, against the box of the tests.

The peers are a bare websocket with the same framing and the same kind of loop, as a proxy command
to the same port; a websocket echo, as the library `websockets` has it; and the box's own client,
which is written for being read (asyncio, one message at a time).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import connect

from bench.limits import MEGABYTE, free_port, wait_for_port
from bench.local import interleaved
from bench.rows import Row
from tests.rigs import namespaces
from tests.rigs.sagemakerbox import life
from tests.rigs.sagemakerbox.box import Box
from tests.rigs.ssm import SERVICE, Target, start_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PIECE = 1 << 18
_WAIT_S = 10.0
_LONGEST_S = 900.0
_NAIVE = "a plain asyncio client"

# A websocket server that says back what comes.
_ECHO = """
import asyncio, sys
from websockets.asyncio.server import serve

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), compression=None):
        await asyncio.Event().wait()
asyncio.run(main())
"""
# One that leads to a port.
_FORWARDER = """
import asyncio, sys
from websockets.server import ServerProtocol
from tests.rigs.sagemakerbox.gateway import Frames, frame

class Port(asyncio.Protocol):
    def __init__(self, client):
        self.client = client
    def data_received(self, data):
        self.client.write(frame(0x82, data))

class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.upgrade, self.frames = transport, ServerProtocol(), Frames()
    def data_received(self, data):
        if self.upgrade is not None:
            self.task = asyncio.create_task(self.open(data))
        else:
            self.port.write(b"".join(payload for _, payload in self.frames.feed(data)))
    async def open(self, data):
        made = lambda: Port(self.transport)
        self.port, _ = await loop.create_connection(made, "127.0.0.1", int(sys.argv[2]))
        self.upgrade.receive_data(data)
        for request in self.upgrade.events_received():
            self.upgrade.send_response(self.upgrade.accept(request))
        data, self.upgrade = b"".join(self.upgrade.data_to_send()), None
        self.transport.write(data)

async def main():
    global loop
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""
# A proxy command over a bare websocket, with the framing and the loop of ours.
_TUNNEL = """
import os, select, sys
from runhouse.ssh.ssm.frames import FrameReader, Opcode, write_frames
from runhouse.ssh.ssm.link import Link
link, reader, poll = Link(sys.argv[1], {}, timeout_s=10), FrameReader(), select.poll()
poll.register(0, select.POLLIN)
poll.register(link, select.POLLIN)
while True:
    for descriptor, _ in poll.poll():
        if descriptor:
            for _, payload in reader.feed(link.receive()):
                os.write(1, payload)
        elif data := os.read(0, 1 << 16):
            link.send(write_frames(Opcode.BINARY, [data]))
        else:
            sys.exit()
"""


def ssm_rows(*, quick: bool) -> list[Row]:
    """Measure speed, round trips, loss and the time to connect; needs root."""
    reason = namespaces.why_not()
    if reason is not None:
        pytest.skip(reason)
    with TemporaryDirectory(prefix="rh-b-") as folder:
        key = Path(folder, "key")
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=_WAIT_S
        )
        with life.running(Box.private()) as box:
            public = Path(f"{key}.pub").read_text()
            target = start_target(box, environment={"AUTHORIZED_KEY": public})
            rows = _speed_rows(target, quick=quick)
            rows += _trip_rows(target, _ssh(target, key), quick=quick)
            rows += _connect_rows(target, quick=quick)
            rows += _ssh_rows(target, _ssh(target, key), quick=quick)
            return rows


def _ssh(target: Target, key: Path) -> list[str]:
    proxy = " ".join(target.command(port=22))
    options = [
        f"ProxyCommand={proxy}",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "LogLevel=ERROR",
    ]
    words = [word for option in options for word in ("-o", option)]
    return ["ssh", "-F", "none", "-i", str(key), *words, "root@box"]


def _speed_rows(target: Target, *, quick: bool) -> list[Row]:
    size = 10 * MEGABYTE if quick else 100 * MEGABYTE
    ours, naive = target.command(), target.naive_command()
    rows = []
    for name, loss, measure, count, bound in (
        ("SSM, 1 KiB messages up", 0.0, _up, size, 25),
        ("SSM, down", 0.0, _down, size, 25),
        ("SSM, up at 1 % loss", 0.01, _up, size, 10),
        ("SSM, down at 1 % loss", 0.01, _down, size // 50, 0.4),
    ):
        target.fail(**({"loss": loss} if loss else {}))
        rounds = 1 if quick or loss else 3
        first = partial(measure, target, ours, count)
        second = partial(measure, target, naive, count)
        mine, theirs = [], []
        for _ in range(rounds):
            mine.append(count / 1e6 / first())
            theirs.append(count / 1e6 / second())
        figures = median(mine), "MB/s", median(theirs)
        rows.append(Row(name, *figures, _NAIVE, bound, bound, "more", by="figure"))
    target.fail()
    return rows


def _connected(process: subprocess.Popen[bytes]) -> None:
    """Wait until a proxy command's session is there: the time for that is another figure."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"ready\n")
    assert _read(process, 6) == b"ready\n"


def _read(process: subprocess.Popen[bytes], size: int) -> bytes:
    assert process.stdout is not None
    parts = []
    while size:
        data = process.stdout.read(size)
        assert data, process.stderr.read() if process.stderr is not None else "it ended"
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _up(target: Target, command: list[str], size: int) -> float:
    """Send bytes, have their digest compared, and return the seconds."""
    block = os.urandom(_PIECE)
    digest = hashlib.sha256()
    with target.start(command) as process:
        _connected(process)
        began = time.perf_counter()
        _feed(process, f"up {size}\n".encode(), block, size, digest)
        told = _read(process, 64)
        took = time.perf_counter() - began
        process.kill()
    assert told.decode() == digest.hexdigest()
    return took


def _feed(
    process: subprocess.Popen[bytes], head: bytes, block: bytes, size: int, digest: hashlib._Hash
) -> None:
    assert process.stdin is not None
    process.stdin.write(head)
    while size:
        piece = block[:size]
        digest.update(piece)
        size -= len(piece)
        while piece:
            piece = piece[process.stdin.write(piece) :]


def _down(target: Target, command: list[str], size: int) -> float:
    """Take bytes, compare their digest, and return the seconds."""
    with target.start(command) as process:
        _connected(process)
        assert process.stdin is not None
        began = time.perf_counter()
        process.stdin.write(f"down {size}\n".encode())
        data = _read(process, size)
        told = _read(process, 64)
        took = time.perf_counter() - began
        process.kill()
    assert told.decode() == hashlib.sha256(data).hexdigest()
    return took


@contextmanager
def _server(script: str, *words: str) -> Iterator[str]:
    """Start a websocket server, and give its URL."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", script, str(port), *words]) as server:
        try:
            wait_for_port(port)
            yield f"ws://127.0.0.1:{port}/"
        finally:
            server.kill()


@contextmanager
def _websocket_echo() -> Iterator[Callable[[], None]]:
    """Give a round trip over a websocket of the library."""
    with _server(_ECHO) as url, connect(url, compression=None) as link:

        def trip() -> None:
            link.send(b"x")
            assert link.recv(_WAIT_S) == b"x"

        yield trip


@contextmanager
def _tunnel(target: Target) -> Iterator[subprocess.Popen[bytes]]:
    """Give a proxy command over a bare websocket that leads to the same service as ours."""
    port = free_port()
    with subprocess.Popen([sys.executable, str(SERVICE), str(port)]) as service:
        try:
            wait_for_port(port)
            with (
                _server(_FORWARDER, str(port)) as url,
                target.start([sys.executable, "-c", _TUNNEL, url]) as process,
            ):
                yield process
                process.kill()
        finally:
            service.kill()


def _trip_rows(target: Target, ssh: list[str], *, quick: bool) -> list[Row]:
    rounds = 3 if quick else 15
    with (
        _websocket_echo() as echo,
        _tunnel(target) as tunnel,
        target.start(target.command()) as ours,
        target.start([*ssh, "exec cat"]) as through,
    ):
        for process in (ours, tunnel):
            _say(process, b"echo\n")
        by_us, bare, by_ssh = (partial(_trip, each) for each in (ours, tunnel, through))
        for trip in (by_us, bare, by_ssh):
            trip()
        mine, theirs = interleaved(by_us, bare, rounds, 100)
        again, echoed = interleaved(by_us, echo, rounds, 100)
        over_ssh, without = interleaved(by_ssh, by_us, rounds, 100)
        for process in (ours, through):
            process.kill()
    ms = [median(times) * 1e3 for times in (mine, theirs, again, echoed, over_ssh, without)]
    name, against = "SSM, round trip of a byte", "pipe, bare websocket, port, and back"
    return [
        Row(name, ms[0], "ms", ms[1], against, 3, 3, "less"),
        Row(name, ms[2], "ms", ms[3], "a websocket echo (websockets)", 3, 3, "less"),
        Row(f"{name} through ssh", ms[4], "ms", ms[5], "without ssh", 3, 2, "less"),
    ]


def _say(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)


def _trip(process: subprocess.Popen[bytes]) -> None:
    _say(process, b"x")
    assert _read(process, 1) == b"x"


def _connect_rows(target: Target, *, quick: bool) -> list[Row]:
    def connect() -> None:
        with target.start(target.command()) as process:
            _connected(process)
            process.kill()

    def load() -> None:
        code = "import boto3; boto3.client('ssm')"
        subprocess.run([sys.executable, "-c", code], check=True, env=target.box.environment())

    ours, peer = interleaved(connect, load, 2 if quick else 7, 1)
    name, against = "SSM, start -> first byte back", "loading boto3 and its client"
    return [Row(name, median(ours), "s", median(peer), against, 2, 1.5, "less")]


def _ssh_rows(target: Target, ssh: list[str], *, quick: bool) -> list[Row]:
    """Send 1 GB through ssh while one message in a hundred is lost, in each direction."""
    size = 20 * MEGABYTE if quick else 1000 * MEGABYTE
    target.fail(loss=0.01)
    digest = hashlib.sha256()
    with target.start([*ssh, "echo; sha256sum"]) as process:
        assert process.stdin is not None
        _read(process, 1)
        began = time.perf_counter()
        feeder = Thread(target=_feed, args=(process, b"", os.urandom(_PIECE), size, digest))
        feeder.start()
        feeder.join(_LONGEST_S)
        process.stdin.close()
        told = _read(process, 64)
        took = time.perf_counter() - began
        process.kill()
    target.fail()
    assert told.decode() == digest.hexdigest()
    name = f"SSM, {size // MEGABYTE} MB through ssh at 1 % loss"
    return [Row(name, size / 1e6 / took, "MB/s", None, "-", 10, 10, "more")]
