"""The HTTP API told as OpenAPI 3.1: the fixed pages, and one page for each function and method."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.routing import Route

from runhouse.server.answers import EVENTS_TYPE, LINES_TYPE, PICKLE_TYPE
from runhouse.server.autostop import LONGEST_MINS, NEVER, STOPS
from runhouse.server.conversation import Conversation, WorkerSource, once
from runhouse.server.json_response import AsciiJSONResponse
from runhouse.server.names import PATTERN
from runhouse.server.problem import MEDIA_TYPE, SORTS, ProblemError
from runhouse.wire.messages import Call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from runhouse.server.daemon import Daemon
    from runhouse.server.worker import Worker

Json = dict[str, Any]
_DESCRIBE_S = 5.0
_ANY: Json = {}
_NAME: Json = {"type": "string", "pattern": PATTERN}
_TEXT: Json = {"type": "string"}
_YES: Json = {"type": "boolean"}
_SECONDS: Json = {"type": "number", "exclusiveMinimum": 0}
_OPTIONS: Mapping[str, Json] = {
    "stream_logs": _YES,
    "run_name": _NAME,
    "timeout": _SECONDS,
    "background": _YES,
    "keep": _NAME,
    "serialization": {"enum": ["json", "pickle", "none"]},
}
_ARGUMENTS: Json = {
    "type": "object",
    "properties": {"args": {"type": "array"}, "kwargs": {"type": "object"}},
    "additionalProperties": False,
}
_FORCE: Json = {"type": "object", "properties": {"force": _YES}, "additionalProperties": False}
_COUNT: Json = {"type": ["integer", "null"], "minimum": 1}
_LIMITS: Json = {
    "type": "object",
    "properties": {"concurrency": _COUNT, "queue": _COUNT | {"minimum": 0}, "memory_bytes": _COUNT},
    "additionalProperties": False,
}


def _object(required: Sequence[str], **properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _parameter(place: str, name: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": place, "required": required or place == "path", "schema": schema}


def _content(*types: str, schema: Json = _ANY) -> Json:
    return {kind: {"schema": schema} for kind in types}


def _operation(
    summary: str,
    *,
    query: Mapping[str, Json] | None = None,
    body: Json | None = None,
    body_types: Sequence[str] = ("application/json",),
    answers: Mapping[str, Json] | None = None,
) -> Json:
    """Return what is told about one method of a page."""
    answers = answers or {"200": _content("application/json")}
    told: Json = {
        "summary": summary,
        "responses": {
            **{status: {"description": "Done", "content": c} for status, c in answers.items()},
            "default": {"$ref": "#/components/responses/problem"},
        },
    }
    if query:
        told["parameters"] = [_parameter("query", name, s) for name, s in query.items()]
    if body is not None:
        told["requestBody"] = {"required": True, "content": _content(*body_types, schema=body)}
    return told


_VALUE = {
    "200": _content("application/json", LINES_TYPE, EVENTS_TYPE),
    "201": _content("application/json"),
    "202": _content("application/json"),
}


def _post(summary: str, body: Json, returns: Json) -> Json:
    """Return what is told about a call with a JSON body."""
    answers = {**_VALUE, "200": _content(LINES_TYPE, EVENTS_TYPE)}
    answers["200"] |= _content("application/json", schema=returns)
    return _operation(summary, query=_OPTIONS, body=body, answers=answers)


def fixed_pages() -> dict[str, Json]:
    """Return the pages that every server has."""
    pages: dict[str, Json] = {
        "/check": {"get": _operation("Tell that the server answers; needs no token")},
        "/status": {"get": _operation("Tell what runs, and how busy it is")},
        "/keys": {"get": _operation("List the objects", query={"env": _NAME})},
        "/call/{key}": {
            "get": _operation("Call a function with the arguments of the query", answers=_VALUE),
            "post": _post("Call a function", _ARGUMENTS, _ANY),
        },
        "/call/{key}/{method}": {
            "get": _operation("Call a method with the arguments of the query", answers=_VALUE),
            "post": _post("Call a method", _ARGUMENTS, _ANY),
        },
        "/objects": {"delete": _operation("Delete all objects")},
        "/objects/delete": {
            "post": _operation(
                "Delete some objects",
                body=_object(["keys"], keys={"type": "array", "items": _TEXT}),
            )
        },
        "/objects/{key}": {
            "get": _operation(
                "Return an object",
                answers={"200": _content("application/json", PICKLE_TYPE)},
            ),
            "put": _operation(
                "Keep a value under a key",
                query={"env": _NAME, "persist": _YES},
                body=_ANY,
                body_types=("application/json", PICKLE_TYPE),
            ),
            "patch": _operation("Give an object another key", body=_object(["key"], key=_NAME)),
            "delete": _operation("Delete an object"),
        },
        "/limits/{env}": {
            "get": _operation("Tell what the workers of an env take"),
            "put": _operation("Bound what the workers of an env take", body=_LIMITS),
        },
    }
    return pages | _page_of_autostop() | _pages_of_runs() | _pages_of_tokens()


def _page_of_autostop() -> dict[str, Json]:
    minutes: Json = {"type": "integer", "minimum": NEVER, "maximum": LONGEST_MINS}
    body = _object(
        ["autostop_mins"],
        autostop_mins=minutes | {"not": {"const": 0}},
        pulse={"type": "array", "items": _TEXT},
        stops={"enum": STOPS},
    )
    return {
        "/autostop": {
            "get": _operation("Tell whether the host is in use, and when it is stopped"),
            "put": _operation("Take when the host is stopped, and what keeps it up", body=body),
        }
    }


def _pages_of_runs() -> dict[str, Json]:
    result = _content("application/json", LINES_TYPE, EVENTS_TYPE, PICKLE_TYPE)
    pages: dict[str, Json] = {
        "/runs": {"get": _operation("List the runs")},
        "/runs/cancel": {"post": _operation("Cancel all runs", body=_FORCE)},
        "/runs/{id}": {"get": _operation("Tell about a run")},
        "/runs/{id}/cancel": {"post": _operation("Cancel a run", body=_FORCE)},
        "/runs/{id}/logs": {
            "get": _operation(
                "Return what a run has printed, or follow it to its end",
                query={"follow": _YES},
                answers={"200": _content("application/json", EVENTS_TYPE), "204": {}},
            )
        },
        "/runs/{id}/result": {
            "get": _operation(
                "Return what a run has made, once it has ended",
                query={"timeout": _SECONDS},
                answers={**_VALUE, "200": result, "204": {}},
            )
        },
    }
    for page in ("/runs/{id}/logs", "/runs/{id}/result"):
        last: Json = {"type": "integer", "minimum": 0, "description": "Events after this one only"}
        pages[page]["get"]["parameters"].append(_parameter("header", "Last-Event-ID", last))
    for page in ("/runs/cancel", "/runs/{id}/cancel"):
        pages[page]["post"]["requestBody"]["required"] = False
    return pages


def _pages_of_tokens() -> dict[str, Json]:
    return {
        "/tokens": {
            "get": _operation("List the tokens that were made for others"),
            "post": _operation(
                "Make a token, which is shown this once",
                body=_object(["name"], name=_NAME, read_only=_YES),
                answers={"201": _content("application/json")},
            ),
        },
        "/tokens/{name}": {"delete": _operation("Make a token invalid")},
        "/openapi.json": {"get": _operation("Return this description")},
    }


def _with_path_parameters(pages: dict[str, Json]) -> dict[str, Json]:
    for path, page in pages.items():
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if names:
            page["parameters"] = [_parameter("path", name, _TEXT) for name in names]
    return pages


# -- functions and methods ------------------------------------------------------------------------


def _callable_page(path: str, name: str, told: Json) -> Json:
    """Return the page of one function or method."""
    summary = told["doc"].partition("\n")[0] or f"Call {name}"
    parameters: list[Json] | None = told["parameters"]
    get = _operation(summary, answers=_VALUE)
    get["parameters"] = [
        _query_parameter(p) for p in parameters or () if p["kind"] != "VAR_KEYWORD"
    ]
    post = _post(summary, _body_of(parameters), told["returns"])
    for method, operation in (("get", get), ("post", post)):
        operation |= {"description": told["doc"], "operationId": f"{method} {path}", "tags": [name]}
    return {"get": get, "post": post}


def _query_parameter(parameter: Json) -> Json:
    schema: Json = parameter["schema"]
    if parameter["kind"] == "VAR_POSITIONAL":
        schema = {"type": "array", "items": schema}
    told = _parameter("query", parameter["name"], schema, required=parameter["required"])
    if schema.get("type") == "object":  # one text, which is JSON
        told["content"] = _content("application/json", schema=told.pop("schema"))
    return told


def _body_of(parameters: list[Json] | None) -> Json:
    """Return the schema of the arguments of a call."""
    if parameters is None:
        return _ARGUMENTS
    kinds = {parameter["kind"]: parameter for parameter in parameters}
    by_place = [p for p in parameters if p["kind"].startswith("POSITIONAL")]
    by_name = [p for p in parameters if p["kind"] in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")]
    args: Json = {"type": "array"}
    if by_place:
        args["prefixItems"] = [parameter["schema"] for parameter in by_place]
    if "VAR_POSITIONAL" in kinds:
        args["items"] = kinds["VAR_POSITIONAL"]["schema"]
    else:
        args["maxItems"] = len(by_place)
    kwargs: Json = {"type": "object", "properties": {p["name"]: p["schema"] for p in by_name}}
    kwargs["additionalProperties"] = "VAR_KEYWORD" in kinds and kinds["VAR_KEYWORD"]["schema"]
    return _object((), args=args, kwargs=kwargs)


def _pages_of(described: Json) -> dict[str, Json]:
    """Return the pages of what one worker has."""
    pages = {}
    for name, told in described["code"].items():
        path = f"/call/{quote(name, safe='')}"
        pages[path] = _callable_page(path, name, told)
    for key, methods in {**described["classes"], **described["objects"]}.items():
        for method, told in methods.items():
            path = f"/call/{quote(key, safe='')}/{quote(method, safe='')}"
            pages[path] = _callable_page(path, f"{key}.{method}", told)
    return pages


class OpenAPIRoutes:
    """Describe one server."""

    def __init__(self, daemon: Daemon) -> None:
        """Store the server."""
        self._daemon = daemon

    def table(self) -> list[Route]:
        """Return what is answered."""
        return [Route("/openapi.json", self.document)]

    async def document(self, _: Request) -> Response:
        """Return the description of all pages."""
        pages = _with_path_parameters(fixed_pages())
        for described in await self._ask_workers():
            pages.update(_pages_of(described))
        problem: Json = {
            "type": "object",
            "properties": {
                "type": {"enum": [f"urn:runhouse:{sort}" for sort in SORTS]},
                "title": _TEXT,
                "status": {"type": "integer"},
                "detail": _TEXT,
            },
            "required": ["type", "title", "status", "detail"],
        }
        document = {
            "openapi": "3.1.0",
            "info": {"title": "runhouse", "version": self._daemon.config.version},
            "security": [{"token": []}],
            "paths": pages,
            "components": {
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
                "responses": {
                    "problem": {
                        "description": "It went wrong (RFC 9457)",
                        "content": _content(MEDIA_TYPE, schema=problem),
                    }
                },
            },
        }
        return AsciiJSONResponse(document)

    async def _ask_workers(self) -> list[Json]:
        """Return what each worker tells; one that does not answer in time is left out."""
        self._daemon.workers.read_all()
        answers = await asyncio.gather(
            *(self._ask(worker) for worker in self._daemon.workers.alive())
        )
        return [answer for answer in answers if answer]

    async def _ask(self, worker: Worker) -> Json:
        index = self._daemon.index
        keys = [entry.key for entry in index.entries() if entry.worker_id == worker.id]
        names = {d.name: d.key for d in index.definitions() if d.worker_id == worker.id}
        if not keys and not names:
            return {}
        with contextlib.suppress(asyncio.TimeoutError, ProblemError):
            return await asyncio.wait_for(self._describe(worker, keys, names), _DESCRIBE_S)
        return {}

    async def _describe(self, worker: Worker, keys: list[str], names: dict[str, str]) -> Json:
        call = Call(
            secrets.token_hex(16),
            "describe",
            "",
            grace_s=0.0,
            logs=False,
            arguments="json",
            answer="json",
        )
        body = json.dumps({"args": keys, "kwargs": names}).encode()
        source = await WorkerSource.open(self._daemon.workers, worker)
        conversation = Conversation(source, call.run_id, recorded=False)
        try:
            await conversation.call(call, once(body), len(body))
            described: Json = json.loads(await conversation.result())
        finally:
            conversation.close()
        return described
