"""Requests that a worker answers: calls, objects, and what runs have made."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from runhouse.server.answers import EVENTS_TYPE, PICKLE_TYPE, Answer, Wanted, entry_of
from runhouse.server.auth import HOLDER
from runhouse.server.conversation import Conversation, FileSource, WorkerSource, once
from runhouse.server.fields import Query, accepts, body_of, refuse
from runhouse.server.journals import is_open, open_events
from runhouse.server.json_response import AsciiJSONResponse
from runhouse.server.names import DEFAULT_ENV, RULE, is_name
from runhouse.server.problem import ProblemError
from runhouse.wire import stored
from runhouse.wire.messages import Call, Format, Kind, RunInfo, Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

    from runhouse.server.daemon import Daemon
    from runhouse.server.worker import Worker

_OPTIONS = ("stream_logs", "run_name", "timeout", "background", "keep", "serialization")
_ANSWERS: dict[str, Format] = {"json": "json", "pickle": "whole", "none": "none"}


class CallRoutes:
    """Answer requests that workers do."""

    def __init__(self, daemon: Daemon) -> None:
        """Store the server."""
        self._daemon = daemon
        self._workers = daemon.workers

    def table(self) -> list[Route]:
        """Return what is answered."""
        return [
            Route("/call/{key}", self.get, methods=["GET"]),
            Route("/call/{key}/{method}", self.get, methods=["GET"]),
            Route("/call/{key}", self.post, methods=["POST"]),
            Route("/call/{key}/{method}", self.post, methods=["POST"]),
            Route("/objects/{key}", self.object, methods=["GET"]),
            Route("/objects/{key}", self.put, methods=["PUT"]),
            Route("/runs/{id}/result", self.result, methods=["GET"]),
            Route("/runs/{id}/logs", self.logs, methods=["GET"]),
        ]

    # -- calls --------------------------------------------------------------------------------

    async def get(self, request: Request) -> Response:
        """Call something with the arguments of the query."""
        texts: dict[str, list[str]] = {}
        for name, text in request.query_params.multi_items():
            texts.setdefault(name, []).append(text)
        body = json.dumps({"kwargs": texts}).encode()
        wanted = Wanted(events=accepts(request, EVENTS_TYPE))
        fields = {"arguments": "text", "answer": "json", "logs": False}
        return await self._call(request, once(body), len(body), fields, wanted)

    async def post(self, request: Request) -> Response:
        """Call something with the arguments of the body, which goes to the worker unopened."""
        query = Query(request, _OPTIONS)
        serialization = query.one_of("serialization", tuple(_ANSWERS))
        logs, background = query.boolean("stream_logs"), query.boolean("background")
        name = query.name("run_name")
        fields = {
            "arguments": "json",
            "answer": _ANSWERS[serialization],
            "logs": logs,
            "timeout_s": query.seconds("timeout") or 0.0,
            "keep": query.name("keep"),
            "name": name,
            "record": background or bool(name),
            "watch": not background,
        }
        wanted = Wanted(
            events=(logs or accepts(request, EVENTS_TYPE)) and not background,
            logs=logs,
            wrapped=serialization == "pickle",
            background=background,
        )
        body, size = await body_of(request)
        return await self._call(request, body, size, fields, wanted)

    async def _call(
        self,
        request: Request,
        body: AsyncIterator[bytes],
        size: int,
        fields: dict[str, Any],
        wanted: Wanted,
    ) -> Response:
        key, method = request.path_params["key"], request.path_params.get("method", "")
        keys = self._daemon.keys
        worker = await keys.locate(key) or keys.locate_code(key)
        if worker is None:
            raise _no_object(key)
        caller = request.scope[HOLDER][0]
        call = _call("method", key, method=method, caller=caller, **fields)
        return await self._converse(worker, call, body, size, wanted)

    async def _converse(
        self, worker: Worker, call: Call, body: AsyncIterator[bytes], size: int, wanted: Wanted
    ) -> Response:
        """Send a call to a worker, and answer with what it tells."""
        source = await WorkerSource.open(self._workers, worker)
        conversation = Conversation(source, call.run_id, recorded=call.record)
        try:
            await conversation.call(call, body, size)
        except ClientDisconnect:
            conversation.close()
            return Response()  # nobody reads it
        except BaseException:
            conversation.close()
            raise
        return cast("Response", Answer(conversation, wanted))

    # -- objects ------------------------------------------------------------------------------

    async def put(self, request: Request) -> Response:
        """Keep a JSON value or a pickle under a key."""
        key = request.path_params["key"]
        if not is_name(key):
            raise refuse("key", RULE)
        query = Query(request, ("env", "persist"))
        env, persist = query.name("env") or DEFAULT_ENV, query.boolean("persist")
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        arguments = "whole" if content_type == PICKLE_TYPE else "json"
        body, size = await body_of(request)
        if not size:
            raise ProblemError("bad-request", "The body is empty. Send a JSON value or a pickle.")
        worker = await self._workers.obtain(env, Scope(), self._daemon.config.start_timeout_s)
        call = _call(
            "put", key, new_key=key, persist=persist, arguments=arguments, answer="none", logs=False
        )
        wanted = Wanted(instead={"key": key})
        return await self._converse(worker, call, body, size, wanted)

    async def object(self, request: Request) -> Response:
        """Return an object as JSON or as a pickle."""
        Query(request, ())
        key = request.path_params["key"]
        worker = await self._daemon.keys.locate(key)
        if worker is None:
            raise _no_object(key)
        raw = accepts(request, PICKLE_TYPE)
        call = _call("get", key, arguments="json", answer="whole" if raw else "json", logs=False)
        return await self._converse(worker, call, once(b""), 0, Wanted(raw=raw))

    # -- runs ---------------------------------------------------------------------------------

    async def _recorded(self, key: str) -> tuple[RunInfo, Path]:
        """Return a recorded run and its file.

        Raises:
            ProblemError: There is none.
        """
        info = await self._daemon.runs.find(key)
        path = self._daemon.runs.journals.path(info) if info is not None else None
        if info is None or path is None:
            raise ProblemError("run-not-found", f"There is no recorded run {key!r}.", run=key)
        return info, path

    async def _follow(self, key: str, received: int, wanted: Wanted) -> Response:
        """Answer with the events of a recorded run, wherever they are.

        A client that has had the last one is told that there is nothing more, for which browsers'
        event streams stop asking again.

        Raises:
            ProblemError: There is no such run.
        """
        info, path = await self._recorded(key)
        worker = self._workers.find(info.worker_id)
        if worker is None or not is_open(path):
            file = await FileSource.open(path, received)
            conversation = Conversation(file, info.id, recorded=True, received=received)
            if received and file.spent:
                conversation.close()
                return Response(status_code=204)
            return cast("Response", Answer(conversation, wanted))
        source = await WorkerSource.open(self._workers, worker)
        conversation = Conversation(source, info.id, recorded=True, received=received)
        conversation.attach()
        return cast("Response", Answer(conversation, wanted))

    async def result(self, request: Request) -> Response:
        """Return what a recorded run has made, once it has ended."""
        query, key = Query(request, ("timeout",)), request.path_params["id"]
        wanted = Wanted(
            events=accepts(request, EVENTS_TYPE),
            mixed=True,
            raw=accepts(request, PICKLE_TYPE),
            wait_s=query.seconds("timeout"),
            info=None if accepts(request, EVENTS_TYPE) else self._info_of(key),
        )
        return await self._follow(key, _received(request) if wanted.events else 0, wanted)

    async def logs(self, request: Request) -> Response:
        """Return what a recorded run has printed until now, or follow it to the end."""
        query, key = Query(request, ("follow",)), request.path_params["id"]
        if not query.boolean("follow"):
            _, path = await self._recorded(key)
            return AsciiJSONResponse({"entries": await asyncio.to_thread(_entries, path)})
        wanted = Wanted(events=True, logs=True, info=self._info_of(key))
        return await self._follow(key, _received(request), wanted)

    def _info_of(self, key: str) -> Any:
        async def info() -> dict[str, object]:
            return (await self._recorded(key))[0].to_meta()

        return info


def _call(op: Any, key: str, **fields: Any) -> Call:
    """Return a call of the server's own: it ends with the connection."""
    return Call(secrets.token_hex(16), op, key, grace_s=0.0, **fields)


def _no_object(key: str) -> ProblemError:
    detail = f"There is no object, function or class {key!r}. Put it there, or send it with .to()."
    return ProblemError("object-not-found", detail, key=key)


def _received(request: Request) -> int:
    """Return how many events of a run the client has already.

    Raises:
        ProblemError: It names an event that cannot be one.
    """
    last = request.headers.get("last-event-id", "-1")
    if not (last == "-1" or (last.isascii() and last.isdigit() and len(last) < 10)):
        raise refuse("Last-Event-ID", "the id of an event of this run")
    return int(last) + 1


def _entries(path: Path) -> list[dict[str, object]]:
    """Return the output in a run's file."""
    entries: list[dict[str, object]] = []
    with open_events(path) as file:
        for frame, _, _ in stored.walk(file.fileno()):
            if frame.kind == Kind.LOG:
                logged: Any = frame.meta["entries"]
                entries += [entry_of(*entry) for entry in logged]
    return entries
