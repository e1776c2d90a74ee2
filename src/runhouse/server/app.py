"""The HTTP API, served on the server's HTTP socket (and on TCP when asked for)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from runhouse.server.auth import is_authorized
from runhouse.server.problem import problem
from runhouse.server.routes import Routes

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from runhouse.server.daemon import Daemon

_OPEN_PATHS = frozenset({"/check"})


class BearerMiddleware:
    """Refuse every request without the token, but for the paths that tell nothing."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """Store the application behind and the token."""
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer 401."""
        if scope["type"] == "http" and scope["path"] not in _OPEN_PATHS:
            header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            if not is_authorized(header, self._token):
                response = problem(401, "The bearer token is missing or wrong.")
                response.headers["WWW-Authenticate"] = "Bearer"
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def create_app(daemon: Daemon) -> Starlette:
    """Return the application of one server."""
    return Starlette(
        routes=Routes(daemon).table(),
        middleware=[Middleware(BearerMiddleware, token=daemon.token)],
    )


class _Server(uvicorn.Server):
    """Leave signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Do nothing."""
        yield


async def serve(daemon: Daemon, listeners: list[socket.socket]) -> None:
    """Serve HTTP on listening sockets until cancelled."""
    config = uvicorn.Config(
        create_app(daemon), log_config=None, access_log=False, lifespan="off", ws="none"
    )
    await _Server(config).serve(sockets=listeners)
