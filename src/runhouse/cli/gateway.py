"""What `rh dashboard` shows a browser: the page, the saved clusters, and a way to each server.

It listens on this machine's loopback address and has a token of its own, which ends with it. The
clusters' tokens stay here: they are added to what is passed on, which is only what the page needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from typing import TYPE_CHECKING, Any

import h11
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.routing import Route

from runhouse.errors import RunhouseError
from runhouse.server.app import guarded
from runhouse.server.autostop import NEVER
from runhouse.server.fields import read_object
from runhouse.server.json_response import AsciiJSONResponse
from runhouse.server.page import PageRoutes
from runhouse.server.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import TypeVar

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from runhouse.cli.fleet import Fleet
    from runhouse.server.auth import Tokens

    T = TypeVar("T")

_PASSED_ON = {
    "GET": re.compile(r"/(status|nodes|keys|metrics|runs|runs/[^/]+|runs/[^/]+/logs)"),
    "POST": re.compile(r"/(runs/[^/]+/cancel|workers/[^/]+/restart)"),
}
_HEADERS_THERE = frozenset({"accept", "content-type", "last-event-id"})
_HEADERS_BACK = frozenset({b"content-type", b"cache-control", b"retry-after"})
_CHUNK = 64 * 1024
_ANSWER_S = 30.0
_CLOSED = "The connection to the server was closed before it had answered."


class Gateway:
    """Answer the browser of one user."""

    def __init__(self, fleet: Fleet) -> None:
        """Store the clusters."""
        self._fleet = fleet
        self._ways: dict[str, tuple[str, str]] = {}

    def app(self, tokens: Tokens) -> Starlette:
        """Return the application, which lets in those who have a token."""
        routes = [
            *PageRoutes().table(),
            Route("/whoami", self.whoami),
            Route("/clusters", self.clusters),
            Route("/clusters/{name}/stop", self.stop, methods=["POST"]),
            Route("/clusters/{name}/keep-warm", self.keep_warm, methods=["POST"]),
            Route("/at/{name}/{path:path}", self.pass_on, methods=["GET", "POST"]),
        ]
        return guarded(routes, tokens, (HTTPException, ProblemError))

    async def whoami(self, _: Request) -> Response:
        """Tell the page that it is shown by the owner, and of which clusters there are."""
        names = await _work(self._fleet.names)
        told = {"name": "dashboard", "read_only": False, "host": socket.gethostname()}
        return AsciiJSONResponse({**told, "clusters": names, "cluster": self._fleet.first})

    async def clusters(self, _: Request) -> Response:
        """Tell how the clusters stand."""
        return AsciiJSONResponse({"clusters": await _work(self._fleet.entries)})

    async def stop(self, request: Request) -> Response:
        """Stop a cluster."""
        await read_object(request, ())
        name = request.path_params["name"]
        stopped = await _work(self._fleet.stop, name)
        self._ways.pop(name, None)
        return AsciiJSONResponse({"name": name, "stopped": stopped})

    async def keep_warm(self, request: Request) -> Response:
        """Keep a cluster from stopping by itself."""
        await read_object(request, ())
        name = request.path_params["name"]
        await _work(self._fleet.keep_warm, name, NEVER)
        return AsciiJSONResponse({"name": name, "autostop_mins": NEVER})

    # -- to the servers -----------------------------------------------------------------------

    async def pass_on(self, request: Request) -> Response:
        """Have a cluster's server answer."""
        name = request.path_params["name"]
        # Percent signs are still in the raw path: what is one part of a path stays one.
        raw = bytes(request.scope["raw_path"]).decode("latin-1")
        target = "/" + raw.split("/", 3)[3]
        if not _PASSED_ON[_method(request)].fullmatch(target):
            raise ProblemError("not-found", "The dashboard passes no such request on.")
        query = request.scope["query_string"].decode("latin-1")
        headers = [(k, v) for k, v in request.headers.items() if k in _HEADERS_THERE]
        body = await request.body()
        asked = _Asked(request.method, f"{target}?{query}" if query else target, headers, body)
        try:
            return await self._answer(name, asked)
        except OSError as error:  # what was known is so no more: it was started again, or moved
            if self._ways.pop(name, None) is None:
                raise ProblemError("unavailable", f"{name} does not answer: {error}.") from error
        try:
            return await self._answer(name, asked)
        except OSError as error:
            raise ProblemError("unavailable", f"{name} does not answer: {error}.") from error

    async def _answer(self, name: str, asked: _Asked) -> Response:
        way = self._ways.get(name)
        if way is None:
            way = await _work(self._fleet.reach, name)
            self._ways[name] = way
        return await asked.at(*way)


def _method(request: Request) -> str:
    return "GET" if request.method == "HEAD" else request.method


async def _work(work: Callable[..., T], *args: Any) -> T:
    """Do something that takes its time; what the clusters say about it is told.

    Raises:
        ProblemError: It could not be done.
    """
    try:
        return await asyncio.to_thread(work, *args)
    except (RunhouseError, ImportError, ValueError, OSError) as error:
        raise ProblemError("unavailable", str(error)) from error


class _Asked:
    """Be one request, to be made of any server."""

    def __init__(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> None:
        self._method = method
        self._target = target
        self._headers = headers
        self._body = body

    async def at(self, path: str, token: str) -> Response:
        """Return what the server behind a Unix socket answers, as it comes.

        Raises:
            OSError: It cannot be reached, or does not answer in time.
        """
        reader, writer = await asyncio.open_unix_connection(path)
        answer = _Answer(reader, writer)
        try:
            writer.write(self._bytes(answer.connection, token))
            await writer.drain()
            head = await asyncio.wait_for(answer.next(), _ANSWER_S)
        except (asyncio.TimeoutError, h11.ProtocolError) as error:
            answer.close()
            raise ConnectionError(
                str(error) or f"nothing was said within {_ANSWER_S:g} s"
            ) from error
        except BaseException:
            answer.close()
            raise
        if not isinstance(head, h11.Response):
            answer.close()
            raise ConnectionResetError(_CLOSED)
        headers = {k.decode(): v.decode() for k, v in head.headers if k in _HEADERS_BACK}
        return StreamingResponse(answer.body(), head.status_code, headers=headers)

    def _bytes(self, connection: h11.Connection, token: str) -> bytes:
        own = [
            ("Host", "localhost"),
            ("Authorization", f"Bearer {token}"),
            ("Content-Length", str(len(self._body))),
            ("Connection", "close"),
        ]
        request = h11.Request(
            method=self._method, target=self._target, headers=[*own, *self._headers]
        )
        parts = [request, h11.Data(data=self._body), h11.EndOfMessage()]
        return b"".join(connection.send(part) or b"" for part in parts)


class _Answer:
    """Read one answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection = h11.Connection(h11.CLIENT)
        self._reader = reader
        self._writer = writer

    async def next(self) -> Any:
        """Return the next part of the answer."""
        while True:
            event = self.connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.connection.receive_data(await self._reader.read(_CHUNK))

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; let go of the server at its end, or when nobody reads it."""
        try:
            while isinstance(part := await self.next(), h11.Data):
                yield bytes(part.data)
        finally:
            self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.close()
