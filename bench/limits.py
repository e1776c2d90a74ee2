"""Peers and limits: a plain HTTP echo, raw TCP, and OpenSSH by itself."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING

from bench.starts import run
from runhouse.server.unix_http import unix_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPConnection
    from pathlib import Path

MEGABYTE = 1_000_000
_WAIT_S = 15.0
_ITEM = 32

_ECHO = """
import sys, uvicorn
async def app(scope, receive, send):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, uds=sys.argv[1], loop="uvloop", http="httptools", log_level="error",
            access_log=False, lifespan="off")
"""

# Reads 8 bytes that say how much follows, reads that much, and answers one byte (or the reverse).
_BULK = """
import socket, struct, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
data = memoryview(bytearray(128_000_000))
while True:
    sock, _ = server.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        while head := sock.recv(9, socket.MSG_WAITALL):
            kind, size = struct.unpack("!cQ", head)
            if kind == b"t":
                done = 0
                while done < size:
                    done += sock.recv_into(data[done:size], size - done)
                sock.sendall(b"k")
            else:
                sock.sendall(data[:size])
"""

# Reads 8 bytes that say how many messages are wanted, and sends each by itself.
_ITEMS = f"""
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    sock, _ = server.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        while head := sock.recv(8, socket.MSG_WAITALL):
            for _ in range(int.from_bytes(head, "big")):
                sock.sendall(bytes({_ITEM}))
"""


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not is_so():
        if time.monotonic() > deadline:
            msg = f"{what} does not answer after {_WAIT_S} s"
            raise TimeoutError(msg)
        time.sleep(0.01)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def wait_for_port(port: int) -> None:
    """Wait until something listens."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    _wait(listens, f"port {port}")


@contextlib.contextmanager
def _service(program: str, *words: str) -> Iterator[int]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", program, str(port), *words]) as process:
        try:
            wait_for_port(port)
            yield port
        finally:
            process.kill()


@contextlib.contextmanager
def http_echo() -> Iterator[Callable[[], None]]:
    """Give a call of an HTTP echo (uvicorn, uvloop, httptools) over a Unix socket, as ours are.

    Each thread that calls it has one kept connection of its own.
    """
    own = threading.local()
    made: list[HTTPConnection] = []

    def echo() -> None:
        if not hasattr(own, "client"):
            own.client = unix_connection(path, _WAIT_S)
            made.append(own.client)
        own.client.request("POST", "/", body=b"0123456789")
        own.client.getresponse().read()

    with tempfile.TemporaryDirectory(prefix="rh-e-") as folder:
        path = f"{folder}/echo.sock"
        with subprocess.Popen([sys.executable, "-c", _ECHO, path]) as process:
            try:
                _wait(lambda: _answers(path), f"the HTTP echo at {path}")
                yield echo
            finally:
                for client in made:
                    client.close()
                process.kill()


@contextlib.contextmanager
def item_service() -> Iterator[Callable[[int], int]]:
    """Give a reader of many small messages, each sent and received by a system call of its own."""
    with _service(_ITEMS) as port, socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def read(count: int) -> int:
            sock.sendall(count.to_bytes(8, "big"))
            for _ in range(count):
                sock.recv(_ITEM, socket.MSG_WAITALL)
            return count

        yield read


@contextlib.contextmanager
def bulk_service() -> Iterator[int]:
    """Give the port of a service that takes or sends many bytes."""
    with _service(_BULK) as port:
        yield port


class Bulk:
    """Take and send bytes through a raw connection to a bulk service."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._memory = memoryview(bytearray(128 * MEGABYTE))

    def send(self, size: int) -> None:
        """Send that many bytes, and wait until they have arrived."""
        self._sock.sendall(b"t" + size.to_bytes(8, "big"))
        self._sock.sendall(self._memory[:size])
        self._sock.recv(1, socket.MSG_WAITALL)

    def receive(self, size: int) -> None:
        """Receive that many bytes."""
        self._sock.sendall(b"s" + size.to_bytes(8, "big"))
        done = 0
        while done < size:
            done += self._sock.recv_into(self._memory[done:size], size - done)

    def close(self) -> None:
        """End the connection."""
        self._sock.close()


def _ssh(config: Path) -> list[str]:
    """Return an ssh command with a connection of its own."""
    options = ("ControlPath=none", "BatchMode=yes", "StrictHostKeyChecking=accept-new")
    return ["ssh", "-q", "-F", str(config), *(word for o in options for word in ("-o", o))]


@contextlib.contextmanager
def ssh_forward(config: Path, host: str, remote_port: int) -> Iterator[int]:
    """Give a local port that OpenSSH by itself (`ssh -N -L`) leads to one of the host."""
    port = free_port()
    forward = f"127.0.0.1:{port}:127.0.0.1:{remote_port}"
    command = [*_ssh(config), "-N", "-L", forward, host]
    with subprocess.Popen(command) as process:
        try:
            wait_for_port(port)
            yield port
        finally:
            process.kill()


def cold_ssh(config: Path, host: str) -> None:
    """Run `true` over a connection of its own."""
    run([*_ssh(config), host, "true"])
