"""Requests that the server answers by itself: keys, runs, limits, autostop and tokens."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from runhouse.server.autostop import LONGEST_MINS, NEVER, STOPS, Setting
from runhouse.server.fields import Query, is_boolean, is_count, read_object, refuse, take
from runhouse.server.json_response import AsciiJSONResponse
from runhouse.server.names import RULE, is_name
from runhouse.server.problem import ProblemError
from runhouse.server.runs import matching
from runhouse.wire.messages import Limits

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from runhouse.server.daemon import Daemon

_LIMITS = {"concurrency": 1, "queue": 0, "memory_bytes": 1}


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
            Route("/workers/{id}/restart", self.restart_worker, methods=["POST"]),
            Route("/objects", self.clear, methods=["DELETE"]),
            Route("/objects/delete", self.delete, methods=["POST"]),
            Route("/objects/{key}", self.rename, methods=["PATCH"]),
            Route("/objects/{key}", self.delete_one, methods=["DELETE"]),
            Route("/limits/{env}", self.limits, methods=["GET"]),
            Route("/limits/{env}", self.set_limits, methods=["PUT"]),
            Route("/autostop", self.autostop, methods=["GET"]),
            Route("/autostop", self.set_autostop, methods=["PUT"]),
            Route("/runs", self.runs),
            Route("/runs/cancel", self.cancel_all, methods=["POST"]),
            Route("/runs/{id}", self.run),
            Route("/runs/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/tokens", self.tokens, methods=["GET"]),
            Route("/tokens", self.make_token, methods=["POST"]),
            Route("/tokens/{name}", self.revoke_token, methods=["DELETE"]),
        ]

    async def check(self, _: Request) -> Response:
        """Tell that the server answers."""
        return AsciiJSONResponse({"ok": True})

    async def status(self, _: Request) -> Response:
        """Tell what runs and how busy it is."""
        return AsciiJSONResponse(await self._daemon.status())

    # -- objects ------------------------------------------------------------------------------

    async def keys(self, request: Request) -> Response:
        """List the objects."""
        query = Query(request, ("env", "sizes"))
        entries: list[dict[str, Any]] = list(self._daemon.keys.listing(query.text("env")))
        if query.boolean("sizes"):
            sizes = await self._daemon.keys.sizes()
            entries = [{**entry, "size_bytes": sizes.get(entry["key"])} for entry in entries]
        return AsciiJSONResponse({"keys": entries})

    async def clear(self, _: Request) -> Response:
        """Delete all objects."""
        return AsciiJSONResponse({"deleted": await self._daemon.keys.delete(None)})

    async def delete(self, request: Request) -> Response:
        """Delete some objects; keys without one do not matter."""
        asked = await read_object(request, ("keys",))
        keys = take(asked, "keys", _is_list_of_texts, "a list of keys")
        return AsciiJSONResponse({"deleted": await self._daemon.keys.delete(keys)})

    async def delete_one(self, request: Request) -> Response:
        """Delete one object."""
        key = request.path_params["key"]
        deleted = await self._daemon.keys.delete([key])
        if not deleted:
            raise ProblemError("object-not-found", f"There is no object {key!r}.", key=key)
        return AsciiJSONResponse({"deleted": deleted})

    async def rename(self, request: Request) -> Response:
        """Give an object another key."""
        new = take(await read_object(request, ("key",)), "key", is_name, RULE)
        key = request.path_params["key"]
        if not await self._daemon.keys.rename(key, new):
            raise ProblemError("object-not-found", f"There is no object {key!r}.", key=key)
        return AsciiJSONResponse({"key": new})

    async def limits(self, request: Request) -> Response:
        """Tell what an env's workers take."""
        limits = self._daemon.workers.limits(_name(request, "env"))
        return AsciiJSONResponse((limits or Limits()).to_meta())

    async def set_limits(self, request: Request) -> Response:
        """Bound what an env's workers take."""
        env, asked = _name(request, "env"), await read_object(request, tuple(_LIMITS))
        limits = Limits(
            **{
                name: take(asked, name, is_count(least), f"a whole number from {least} on", None)
                for name, least in _LIMITS.items()
            }
        )
        self._daemon.workers.set_limits(env, limits)
        return AsciiJSONResponse(limits.to_meta())

    # -- autostop -----------------------------------------------------------------------------

    async def autostop(self, _: Request) -> Response:
        """Tell whether the host is in use, and when it is stopped; null when nobody has set it."""
        await self._daemon.workers.refresh()
        return AsciiJSONResponse(self._daemon.keeper.to_json())

    async def set_autostop(self, request: Request) -> Response:
        """Take what stops the host when, and how it is told that the host is in use."""
        asked = await read_object(request, ("autostop_mins", "pulse", "stops"))
        minutes = f"a whole number of minutes from 1 to {LONGEST_MINS}, or {NEVER}: never"
        command = "a list of texts, a program and its arguments"
        setting = Setting(
            take(asked, "autostop_mins", _is_autostop, minutes),
            tuple(take(asked, "pulse", _is_command, command, [])),
            take(asked, "stops", STOPS.__contains__, f"one of {', '.join(STOPS)}", STOPS[0]),
        )
        self._daemon.keeper.set(setting)
        return AsciiJSONResponse(self._daemon.keeper.to_json())

    # -- runs ---------------------------------------------------------------------------------

    async def runs(self, request: Request) -> Response:
        """List the runs, the newest first; `now` is for whoever asks again for what has changed."""
        query = Query(request, ("search", "after", "limit"))
        after, limit = query.seconds("after") or 0.0, query.count("limit")
        now = time.time()
        infos = matching(await self._daemon.runs.all(), query.text("search") or "", after)
        shown = infos if limit is None else infos[:limit]
        return AsciiJSONResponse(
            {"runs": [info.to_meta() for info in shown], "total": len(infos), "now": now}
        )

    async def run(self, request: Request) -> Response:
        """Tell about one run."""
        key = request.path_params["id"]
        info = await self._daemon.runs.find(key)
        if info is None:
            raise _no_run(key)
        return AsciiJSONResponse(info.to_meta())

    async def cancel(self, request: Request) -> Response:
        """Cancel one run."""
        key = request.path_params["id"]
        info = await self._daemon.runs.cancel(key, force=await _force(request))
        if info is None:
            raise _no_run(key)
        return AsciiJSONResponse(info.to_meta())

    async def cancel_all(self, request: Request) -> Response:
        """Cancel all runs."""
        infos = await self._daemon.runs.cancel_all(force=await _force(request))
        return AsciiJSONResponse({"runs": [info.to_meta() for info in infos]})

    async def restart_worker(self, request: Request) -> Response:
        """End a worker with all that runs in it and all that it holds, and start another one."""
        await read_object(request, ())
        worker = self._daemon.workers.find(request.path_params["id"])
        if worker is None:
            detail = "There is no such worker. It may have ended already; look at /status."
            raise ProblemError("worker-not-found", detail, worker=request.path_params["id"])
        cancelled = await self._daemon.runs.end_worker(worker)
        replaced = None
        if not worker.retired:  # a newer one has taken its place
            timeout_s = self._daemon.config.start_timeout_s
            replaced = (await self._daemon.workers.obtain(worker.env, worker.scope, timeout_s)).id
        told = {"ended": worker.id, "started": replaced, "cancelled": [run.id for run in cancelled]}
        return AsciiJSONResponse(told)

    # -- tokens -------------------------------------------------------------------------------

    async def tokens(self, _: Request) -> Response:
        """List the tokens that were made for others."""
        return AsciiJSONResponse({"tokens": [asdict(info) for info in self._daemon.tokens.list()]})

    async def make_token(self, request: Request) -> Response:
        """Make a token, which is shown this once."""
        asked = await read_object(request, ("name", "read_only"))
        name = take(asked, "name", is_name, RULE)
        read_only = take(asked, "read_only", is_boolean, "true or false", default=False)
        token = self._daemon.tokens.create(name, read_only=read_only)
        return AsciiJSONResponse({"token": token}, 201, headers={"Cache-Control": "no-store"})

    async def revoke_token(self, request: Request) -> Response:
        """Make a token invalid."""
        return AsciiJSONResponse({"revoked": self._daemon.tokens.revoke(_name(request, "name"))})


def _name(request: Request, what: str) -> str:
    found: str = request.path_params[what]
    if not is_name(found):
        raise refuse(what, RULE)
    return found


def _no_run(key: str) -> ProblemError:
    return ProblemError("run-not-found", f"There is no run {key!r}.", run=key)


async def _force(request: Request) -> bool:
    asked = await read_object(request, ("force",))
    return bool(take(asked, "force", is_boolean, "true or false", default=False))


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_autostop(value: Any) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and (value == NEVER or 1 <= value <= LONGEST_MINS)


def _is_command(value: Any) -> bool:
    return _is_list_of_texts(value) and value[:1] != [""] and "\0" not in "".join(value)
