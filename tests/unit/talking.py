"""A client that talks to a worker in this process, over connections that can be cut."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runhouse.client.client import Client
from runhouse.client.endpoint import Target
from runhouse.client.run import Run
from runhouse.errors import (
    ConnectError,
)
from runhouse.settings import Settings
from runhouse.wire.messages import Call
from runhouse.wire.pickling import dumps
from tests.unit.hosting import Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENV = Target(env="env")


class Line:
    """Be the endpoint of a server with one worker, and cut its connections."""

    host = "box"
    token = "secret"  # noqa: S105 - of a test
    server_id = "server"

    def __init__(self, worker: Host) -> None:
        """Lead to a worker."""
        self.worker = worker
        self.requests: list[str] = []
        self.revived: list[bool] = []
        self.socks: list[socket.socket] = []
        self.swallowed = 0
        self.down = False

    def connect(self) -> socket.socket:
        """Return a connection whose other end is greeted as the server does it."""
        if self.down:
            raise ConnectionRefusedError
        ours, theirs = socket.socketpair()
        self.socks.append(ours)
        threading.Thread(target=self._greet, args=(theirs,)).start()
        return ours

    def _greet(self, sock: socket.socket) -> None:
        try:
            self._answer(sock)
        except OSError:  # cut meanwhile
            sock.close()

    def _answer(self, sock: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            received = sock.recv(10_000)
            if not received:  # cut before it was greeted
                sock.close()
                return
            head += received
        assert b"\r\nAuthorization: Bearer secret\r\n" in head
        path = head.split(b" ")[1].decode()
        self.requests.append(path)
        if path.startswith("/runs/") and not list(self.worker.root.glob(f"{path[1:]}.*")):
            body = json.dumps({"detail": "no", "run": path[6:]}).encode()
            length = f"Content-Length: {len(body)}\r\n\r\n".encode()
            sock.sendall(b"HTTP/1.1 404 Not Found\r\n" + length + body)
            sock.close()
            return
        sock.sendall(b"HTTP/1.1 101 X\r\nRunhouse-Worker: worker\r\nRunhouse-Python: 3\r\n\r\n")
        if self.swallowed:
            self.swallowed -= 1
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        else:
            self.worker.connections.add(sock)

    def http_path(self) -> str:
        """Lead nowhere."""
        return "/nowhere"

    def revive(self, *, start: bool) -> None:
        """Note the attempt."""
        self.revived.append(start)
        if self.down and start:
            msg = "The host is down."
            raise ConnectError(msg, host=self.host)

    def cut(self) -> None:
        """Break all connections."""
        for sock in self.socks:
            with contextlib.suppress(OSError):  # closed already
                sock.shutdown(socket.SHUT_RDWR)
        self.socks.clear()


class Cluster:
    """Be the home of runs."""

    name = "box"

    def __init__(self, client: Client) -> None:
        """Have a client."""
        self.client = client
        self.stored: dict[str, object] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a stored object."""
        return self.stored.get(key, default)


class Rig:
    """Tie a client to a worker."""

    def __init__(self, root: Path) -> None:
        """Connect nothing yet."""
        self.worker = Host(root)
        self.line = Line(self.worker)
        self.client = Client(self.line, replace(Settings(), reconnect_timeout_s=5.0))
        self.cluster = Cluster(self.client)

    def call(self, key: str, *args: object, **fields: Any) -> Any:
        """Make a call."""
        call = Call(fields.pop("run_id", "id"), "call", key, **fields)
        return self.client.call(ENV, call, dumps((args, {})))

    def start(self, key: str, *args: object, **fields: Any) -> Run:
        """Start a recorded run."""
        call = Call(fields.pop("run_id", "id"), "call", key, record=True, watch=False, **fields)
        return Run(self.cluster, self.client.start(ENV, call, dumps((args, {}))))

    def meanwhile(self, act: Callable[[], None]) -> threading.Thread:
        """Do something while a call is waited for."""
        thread = threading.Thread(target=act)
        thread.start()
        return thread

    def close(self) -> None:
        """End everything."""
        self.client.close()
        self.line.cut()
        self.worker.close()
