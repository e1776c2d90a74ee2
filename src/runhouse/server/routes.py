"""Requests about keys and runs, answered as JSON."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.routing import Route

from runhouse.server.problem import problem
from runhouse.wire import stored
from runhouse.wire.messages import Kind, Limits

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from runhouse.server.daemon import Daemon


class Routes:
    """Answer requests about one server."""

    def __init__(self, daemon: Daemon) -> None:
        """Store the server."""
        self._daemon = daemon

    def table(self) -> list[Route]:
        """Return what is answered."""
        return [
            Route("/check", self.check),
            Route("/status", self.status),
            Route("/keys", self.keys),
            Route("/objects", self.clear, methods=["DELETE"]),
            Route("/objects/delete", self.delete, methods=["POST"]),
            Route("/objects/{key}", self.rename, methods=["PATCH"]),
            Route("/limits/{env}", self.set_limits, methods=["PUT"]),
            Route("/runs", self.runs),
            Route("/runs/cancel", self.cancel_all, methods=["POST"]),
            Route("/runs/{id}", self.run),
            Route("/runs/{id}/logs", self.logs),
            Route("/runs/{id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def check(self, _: Request) -> Response:
        """Tell that the server answers."""
        return JSONResponse({"ok": True})

    async def status(self, _: Request) -> Response:
        """Tell what runs and how busy it is."""
        return JSONResponse(await self._daemon.status())

    async def keys(self, request: Request) -> Response:
        """List the objects."""
        return JSONResponse({"keys": self._daemon.keys.listing(request.query_params.get("env"))})

    async def clear(self, _: Request) -> Response:
        """Delete all objects."""
        return JSONResponse({"deleted": await self._daemon.keys.delete(None)})

    async def delete(self, request: Request) -> Response:
        """Delete some objects."""
        asked = await request.json()
        return JSONResponse({"deleted": await self._daemon.keys.delete(asked["keys"])})

    async def rename(self, request: Request) -> Response:
        """Give an object another key."""
        asked = await request.json()
        key = request.path_params["key"]
        if not await self._daemon.keys.rename(key, asked["key"]):
            return problem(404, f"There is no object {key!r}.", key=key)
        return JSONResponse({"key": asked["key"]})

    async def set_limits(self, request: Request) -> Response:
        """Bound what an env's workers take."""
        limits = Limits(**await request.json())
        self._daemon.workers.set_limits(request.path_params["env"], limits)
        return JSONResponse(limits.to_meta())

    async def runs(self, _: Request) -> Response:
        """List the runs."""
        return JSONResponse({"runs": [i.to_meta() for i in await self._daemon.runs.all()]})

    async def run(self, request: Request) -> Response:
        """Tell about one run."""
        key = request.path_params["id"]
        info = await self._daemon.runs.find(key)
        if info is None:
            return problem(404, f"There is no run {key!r}.", run=key)
        return JSONResponse(info.to_meta())

    async def logs(self, request: Request) -> Response:
        """Return what a recorded run has printed until now."""
        key = request.path_params["id"]
        info = await self._daemon.runs.find(key)
        path = self._daemon.runs.journals.path(info) if info is not None else None
        if path is None:
            return problem(404, f"There is no recorded run {key!r}.", run=key)
        return JSONResponse({"entries": await asyncio.to_thread(_entries, path)})

    async def cancel(self, request: Request) -> Response:
        """Cancel one run."""
        key = request.path_params["id"]
        force = await _force(request)
        info = await self._daemon.runs.cancel(key, force=force)
        if info is None:
            return problem(404, f"There is no run {key!r}.", run=key)
        return JSONResponse(info.to_meta())

    async def cancel_all(self, request: Request) -> Response:
        """Cancel all runs."""
        infos = await self._daemon.runs.cancel_all(force=await _force(request))
        return JSONResponse({"runs": [info.to_meta() for info in infos]})


async def _force(request: Request) -> bool:
    body = await request.body()
    return bool(json.loads(body).get("force")) if body else False


def _entries(path: Path) -> list[Any]:
    """Return the output in a run's file."""
    entries: list[Any] = []
    with path.open("rb") as file:
        for frame, _, _ in stored.walk(file.fileno()):
            if frame.kind == Kind.LOG:
                logged: Any = frame.meta["entries"]
                entries += logged
    return entries
