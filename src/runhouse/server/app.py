"""The HTTP API, served on the server's HTTP socket (and on TCP when asked for)."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from runhouse.errors import WorkerStartError
from runhouse.server.auth import HOLDER, Access, Tokens
from runhouse.server.calls import CallRoutes
from runhouse.server.env_routes import EnvRoutes
from runhouse.server.keys import WakeError
from runhouse.server.look import LookRoutes
from runhouse.server.openapi import OpenAPIRoutes
from runhouse.server.page import PAGE_PATHS, PageRoutes
from runhouse.server.problem import ProblemError
from runhouse.server.protocol import Protocol
from runhouse.server.routes import Routes
from runhouse.server.worker import WorkerSilentError

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import ASGIApp, Receive, Scope, Send

    from runhouse.server.daemon import Daemon

log = logging.getLogger(__name__)

_OPEN_PATHS = frozenset({"/check"}) | PAGE_PATHS
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
# What a token that only allows to look may get.
_READABLE = (
    *("/status", "/keys", "/objects", "/runs", "/openapi.json"),
    *("/metrics", "/nodes", "/whoami"),
)
_HTTP = {
    404: ("not-found", "There is no such page here. Look at /openapi.json."),
    405: ("method-not-allowed", "Use a method that the Allow header names."),
}


class Gate:
    """Refuse requests without a token that allows them, but for the paths that tell nothing."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        """Store the application behind, and the tokens."""
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer why not."""
        problem = self._refusal(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await problem.response()(scope, receive, send)

    def _refusal(self, scope: Scope) -> ProblemError | None:
        headers = dict(scope["headers"])
        if scope["path"] not in _OPEN_PATHS:
            given = headers.get(b"authorization", b"").decode("latin-1")
            name, access = self._tokens.holder(given)
            scope[HOLDER] = name, access
            if access < Access.READ:
                return ProblemError("unauthorized", "The bearer token is missing or wrong.")
            if access < Access.FULL and not _only_looks(scope):
                return ProblemError("forbidden", "The token does not allow this.")
        if scope.get("client") and not _is_local(headers.get(b"host", b"").decode("latin-1")):
            # A page that a browser has loaded under another name must not get through to here.
            return ProblemError("wrong-host", "Over TCP, this server is localhost only.")
        return None


def _only_looks(scope: Scope) -> bool:
    """Tell whether a request changes nothing and runs no code of the user's choice."""
    path = scope["path"]
    return scope["method"] in ("GET", "HEAD") and any(
        path == place or path.startswith(f"{place}/") for place in _READABLE
    )


def _is_local(host: str) -> bool:
    """Tell whether a Host header names this machine from its own point of view."""
    name, _, port = host.rpartition(":")
    if not (name and port.isdigit()):
        name = host
    return name.lower() in _LOCAL_HOSTS


async def _on_problem(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        sort, detail = _HTTP.get(error.status_code, ("bad-request", error.detail))
        response = ProblemError(sort, detail).response()
        response.headers.update(error.headers or {})
        return response
    if isinstance(error, ProblemError):
        return error.response()
    return ProblemError("unavailable", str(error)).response()


async def _on_failure(_: Request, error: Exception) -> Response:
    """Answer a request that the server has failed at; uvicorn logs why."""
    return ProblemError(
        "internal", f"{type(error).__name__}; the server's log says more."
    ).response()


def create_app(daemon: Daemon) -> Starlette:
    """Return the application of one server."""
    calls, openapi = CallRoutes(daemon), OpenAPIRoutes(daemon)
    gone = (ClientDisconnect,)  # within a body; nobody reads the answer
    known = (HTTPException, ProblemError, WakeError, WorkerSilentError, WorkerStartError, *gone)
    routes = [
        *Routes(daemon).table(),
        *LookRoutes(daemon).table(),
        *EnvRoutes(daemon).table(),
        *calls.table(),
        *openapi.table(),
        *PageRoutes().table(),
    ]
    return guarded(routes, daemon.tokens, known)


def guarded(routes: Sequence[Route], tokens: Tokens, known: Sequence[type[Exception]]) -> Starlette:
    """Return an application behind a gate.

    Args:
        routes: What it answers.
        tokens: Who may ask.
        known: Errors that whoever has asked is told.
    """
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Gate, tokens=tokens)],
        exception_handlers={**dict.fromkeys(known, _on_problem), Exception: _on_failure},
    )
    app.router.redirect_slashes = False  # what is no page is a problem
    return app


class _Server(uvicorn.Server):
    """Leave signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Do nothing."""
        yield


async def serve(app: Starlette, listeners: list[socket.socket]) -> None:
    """Serve HTTP on listening sockets until cancelled."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
    )
    await _Server(config).serve(sockets=listeners)
