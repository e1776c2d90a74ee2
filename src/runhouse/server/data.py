"""The data socket: check a connection's request, then hand it to its worker.

The request is the head of an HTTP/1.1 upgrade (see `wire.messages`). The server reads it, answers,
and passes the accepted socket on (SCM_RIGHTS); it never sees a byte of the calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from runhouse.errors import WorkerStartError
from runhouse.server.auth import is_authorized
from runhouse.wire.messages import PROTOCOL, PYTHON_HEADER, SCOPE_HEADER, WORKER_HEADER, Scope

if TYPE_CHECKING:
    import socket

    from runhouse.server.workers import Worker, Workers

log = logging.getLogger(__name__)

_HEAD_LIMIT = 16 * 1024
_HEAD_TIMEOUT_S = 10.0


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


class DataSocket:
    """Accept connections for workers."""

    def __init__(self, workers: Workers, token: str, start_timeout_s: float) -> None:
        """Store the workers and the token that every request must carry."""
        self._workers = workers
        self._token = token
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
                await asyncio.get_running_loop().sock_sendall(sock, _welcome(worker))
                self._workers.hand_over(worker, sock)

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

    async def _route(self, head: Head) -> Worker:
        """Find the worker that a request asks for.

        Raises:
            RefusedError: Not authorized, malformed, or there is no such worker any more.
        """
        if not is_authorized(head.headers.get("authorization", ""), self._token):
            raise RefusedError(401, "The bearer token is missing or wrong.")
        prefix, _, env = head.path.rpartition("/")
        if head.method != "GET" or prefix != "/workers" or head.headers.get("upgrade") != PROTOCOL:
            raise RefusedError(
                404, f"This socket serves GET /workers/ENV with Upgrade: {PROTOCOL}."
            )
        wanted = head.headers.get(WORKER_HEADER.lower())
        if wanted:
            return await self._same_worker(wanted)
        try:
            scope = Scope(**json.loads(unquote(head.headers.get(SCOPE_HEADER.lower(), "{}"))))
        except (ValueError, TypeError) as error:
            raise RefusedError(400, f"The header {SCOPE_HEADER} is not a scope.") from error
        try:
            return await self._workers.obtain(unquote(env), scope, self._start_timeout_s)
        except WorkerStartError as error:
            raise RefusedError(503, str(error)) from error

    async def _same_worker(self, worker_id: str) -> Worker:
        """Return the worker with an id, or tell how it ended."""
        worker = self._workers.find(worker_id)
        if worker is not None:
            if not worker.process.returncode and _answers(worker):
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


def _answers(worker: Worker) -> bool:
    """Tell whether the worker's end of the control socket is still open."""
    try:
        worker.control.send(b'{"op":"ping"}')
    except OSError:
        return False
    return True


def _welcome(worker: Worker) -> bytes:
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n"
        f"{WORKER_HEADER}: {worker.id}\r\n{PYTHON_HEADER}: {worker.python}\r\n\r\n"
    ).encode()
