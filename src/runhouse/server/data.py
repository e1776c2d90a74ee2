"""The data socket: check a connection's request, then hand it to its worker.

The request is the head of an HTTP/1.1 upgrade (see `wire.messages`). The server reads it, answers,
and passes the accepted socket on (SCM_RIGHTS); it never sees a byte of the calls. Only what a run
has left whose worker is gone is sent by the server itself, from the run's file.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
import os
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from runhouse.errors import WorkerStartError
from runhouse.server.auth import Access, Tokens
from runhouse.server.journals import is_open, open_events
from runhouse.server.keys import Keys, WakeError
from runhouse.server.names import RULE, is_name
from runhouse.server.worker import Worker
from runhouse.wire import frames, stored
from runhouse.wire.messages import (
    OUTDATED_HEADER,
    PROTOCOL,
    PYTHON_HEADER,
    SCOPE_HEADER,
    WORKER_HEADER,
    WORKERS_HEADER,
    Scope,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from pathlib import Path

    from runhouse.server.envs import Bindings
    from runhouse.server.runs import Runs
    from runhouse.server.workers import Workers

log = logging.getLogger(__name__)

_HEAD_LIMIT = 16 * 1024
_HEAD_TIMEOUT_S = 10.0
_SHOW_TIMEOUT_S = 300.0


class RefusedError(Exception):
    """Refuse a request with an HTTP status and a JSON body (RFC 9457)."""

    def __init__(self, status: int, detail: str, **facts: object) -> None:
        """Store the status and what the client is told."""
        super().__init__(detail)
        self.status = status
        self.body = {"status": status, "detail": detail, **facts}


@dataclass(frozen=True, slots=True)
class Head:
    """Hold a parsed request head: method, path, and headers with lower-case names."""

    method: str
    path: str
    headers: dict[str, str]

    @classmethod
    def parse(cls, raw: bytes) -> Head:
        """Take a request head apart.

        Raises:
            RefusedError: It is not the head of an HTTP/1.1 request.
        """
        try:
            first, *lines = raw.decode("ascii").split("\r\n")
            method, path, version = first.split(" ")
            headers = {
                name.strip().lower(): value.strip()
                for name, value in (line.split(":", 1) for line in lines)
            }
        except ValueError as error:
            raise RefusedError(400, "This is not an HTTP/1.1 request.") from error
        if not version.startswith("HTTP/1."):
            raise RefusedError(400, "This is not an HTTP/1.1 request.")
        return cls(method, path, headers)


class Parts(Protocol):
    """Be the server, as far as connections need it."""

    tokens: Tokens
    bindings: Bindings
    workers: Workers
    keys: Keys
    runs: Runs


class DataSocket:
    """Accept connections for workers."""

    def __init__(self, parts: Parts, start_timeout_s: float) -> None:
        """Store what knows the workers, and the longest wait for one to start."""
        self._parts = parts
        self._workers = parts.workers
        self._start_timeout_s = start_timeout_s
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept for ever."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                # Out of file descriptors: the ones in use come back.
                log.warning("cannot accept a connection: %s", error)
                await asyncio.sleep(0.1)
                continue
            sock.setblocking(False)
            task = asyncio.create_task(self._greet(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _greet(self, sock: socket.socket) -> None:
        """Read a request, answer it, and hand the socket over or close it."""
        with contextlib.closing(sock):
            try:
                raw = await asyncio.wait_for(self._read_head(sock), _HEAD_TIMEOUT_S)
            except (OSError, asyncio.TimeoutError):
                return
            with contextlib.suppress(OSError):  # the client is gone
                try:
                    worker = await self._route(Head.parse(raw))
                except RefusedError as refused:
                    await self._refuse(sock, refused)
                    return
                loop = asyncio.get_running_loop()
                if isinstance(worker, Worker):
                    outdated = self._parts.keys.outdated_by(worker)
                    count = self._workers.sharing(worker.env)
                    welcome = _welcome(worker.id, worker.python, outdated, count)
                    await loop.sock_sendall(sock, welcome)
                    self._workers.hand_over(worker, sock)
                else:
                    await loop.sock_sendall(sock, _welcome("", platform.python_version()))
                    await asyncio.to_thread(_show, sock, worker)

    async def _read_head(self, sock: socket.socket) -> bytes:
        """Read up to the empty line; the client sends nothing more before it has an answer."""
        raw = b""
        while not raw.endswith(b"\r\n\r\n"):
            data = await asyncio.get_running_loop().sock_recv(sock, _HEAD_LIMIT)
            raw += data
            if not data or len(raw) > _HEAD_LIMIT:
                msg = "no request"
                raise ConnectionError(msg)
        return raw[:-4]

    async def _route(self, head: Head) -> Worker | Path:
        """Find the worker that a request asks for, or the file of a run that has ended.

        Raises:
            RefusedError: Not authorized, malformed, or there is no such thing any more.
        """
        access = self._parts.tokens.access(head.headers.get("authorization", ""))
        if access < Access.READ:
            raise RefusedError(401, "The bearer token is missing or wrong.")
        if access < Access.FULL:
            raise RefusedError(403, "The token does not allow this.")
        _, _, path = head.path.partition("/")
        place, _, name = path.partition("/")
        find = {"workers": self._worker, "objects": self._holder, "runs": self._run}.get(place)
        if head.method != "GET" or find is None or head.headers.get("upgrade") != PROTOCOL:
            raise RefusedError(
                404,
                "This socket serves GET /workers/ENV, /objects/KEY and /runs/ID with Upgrade: "
                f"{PROTOCOL}.",
            )
        try:
            return await find(unquote(name), head)
        except WorkerStartError as error:
            raise RefusedError(503, str(error)) from error

    async def _worker(self, env: str, head: Head) -> Worker:
        wanted = head.headers.get(WORKER_HEADER.lower())
        if wanted:
            return await self._same_worker(wanted)
        if not is_name(env):
            raise RefusedError(400, f"{env!r} cannot be the name of an env. {RULE}.")
        try:
            scope = Scope(**json.loads(unquote(head.headers.get(SCOPE_HEADER.lower(), "{}"))))
        except (ValueError, TypeError) as error:
            raise RefusedError(400, f"The header {SCOPE_HEADER} is not a scope.") from error
        if not self._parts.bindings.has(env, scope.env):
            raise RefusedError(409, f"The env {env!r} is not set up as asked.", env=env)
        return await self._workers.obtain(env, scope, self._start_timeout_s)

    async def _holder(self, key: str, _: Head) -> Worker:
        """Return the worker that holds an object, or has the code of a public name."""
        keys = self._parts.keys
        try:
            worker = await keys.locate(key) or keys.locate_code(key)
        except WakeError as error:
            raise RefusedError(503, str(error)) from error
        if worker is None:
            raise RefusedError(404, f"There is nothing under the key {key!r}.", key=key)
        return worker

    async def _run(self, key: str, _: Head) -> Worker | Path:
        """Return the worker of a recorded run that goes on, or the file of one that has ended."""
        self._workers.read_all()
        info = self._parts.runs.journals.find(key)
        path = self._parts.runs.journals.path(info) if info is not None else None
        if info is None or path is None:
            raise RefusedError(404, f"There is no recorded run {key!r}.", run=key)
        worker = self._workers.find(info.worker_id)
        return worker if worker is not None and is_open(path) else path

    async def _same_worker(self, worker_id: str) -> Worker:
        """Return the worker with an id, or tell how it ended."""
        worker = self._workers.find(worker_id)
        if worker is not None:
            if not worker.process.returncode and worker.tell({"op": "ping"}):
                return worker
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(worker.dead.wait(), 2.0)
        death = self._workers.death(worker_id)
        facts = asdict(death) if death is not None else None
        raise RefusedError(410, "That worker is gone.", death=facts)

    async def _refuse(self, sock: socket.socket, refused: RefusedError) -> None:
        body = json.dumps(refused.body).encode()
        reason = http.HTTPStatus(refused.status).phrase
        head = (
            f"HTTP/1.1 {refused.status} {reason}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        await asyncio.get_running_loop().sock_sendall(sock, head.encode() + body)


def _welcome(worker_id: str, python: str, outdated: Sequence[str] = (), workers: int = 1) -> bytes:
    more = f"{OUTDATED_HEADER}: {json.dumps(outdated)}\r\n" if outdated else ""
    more += f"{WORKERS_HEADER}: {workers}\r\n" if workers > 1 else ""
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n"
        f"{WORKER_HEADER}: {worker_id}\r\n{PYTHON_HEADER}: {python}\r\n{more}\r\n"
    ).encode()


def _show(sock: socket.socket, path: Path) -> None:
    """Send the events of a run that has ended, from the one that the client asks for on."""
    sock.settimeout(_HEAD_TIMEOUT_S)
    with contextlib.suppress(OSError, frames.FrameError):  # the client is gone, or talks nonsense
        asked = frames.receive(sock)
        received = asked.meta.get("received") if asked is not None else None
        if isinstance(received, int):
            sock.settimeout(_SHOW_TIMEOUT_S)
            with open_events(path) as file:
                start = stored.skip(file.fileno(), received)
                stored.send_range(sock, file.fileno(), start, os.fstat(file.fileno()).st_size)
