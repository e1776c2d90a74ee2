"""Requests of those who watch a server: how busy it is and was, as figures and as metrics."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from runhouse.server import metrics
from runhouse.server.auth import HOLDER, Access
from runhouse.server.fields import Query
from runhouse.server.history import INTERVAL_S
from runhouse.server.json_response import AsciiJSONResponse
from runhouse.server.nodes import cpu_seconds, this_node

if TYPE_CHECKING:
    from starlette.requests import Request

    from runhouse.server.daemon import Daemon


class LookRoutes:
    """Answer requests that change nothing."""

    def __init__(self, daemon: Daemon) -> None:
        """Store the server."""
        self._daemon = daemon

    def table(self) -> list[Route]:
        """Return what is answered."""
        return [
            Route("/whoami", self.whoami),
            Route("/nodes", self.nodes),
            Route("/metrics", self.metrics),
        ]

    async def whoami(self, request: Request) -> Response:
        """Tell whose token a request has, what that allows, and which server this is."""
        name, access = request.scope[HOLDER]
        told = {"name": name, "read_only": access < Access.FULL}
        return AsciiJSONResponse({**told, "host": self._daemon.info.hostname})

    async def nodes(self, request: Request) -> Response:
        """Tell how busy the nodes were in the last hour, as far as anybody has looked."""
        after = Query(request, ("after",)).seconds("after") or 0.0
        samples, node = await asyncio.gather(self._daemon.history.since(after), this_node())
        told = {**node.to_json(), "samples": samples}
        return AsciiJSONResponse({"nodes": [told], "interval_s": INTERVAL_S, "now": time.time()})

    async def metrics(self, _: Request) -> Response:
        """Tell the figures of the server in the text format of Prometheus."""
        daemon = self._daemon
        status, runs = await asyncio.gather(daemon.status(), daemon.runs.all())
        text = metrics.render(status, runs, cpu_seconds())
        return Response(text, media_type=metrics.MEDIA_TYPE)
