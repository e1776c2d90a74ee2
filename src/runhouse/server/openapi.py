"""The HTTP API told as OpenAPI 3.1: the fixed pages, and one page for each function and method."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.routing import Route

from runhouse.server import openapi_parts as parts
from runhouse.server.answers import EVENTS_TYPE, LINES_TYPE, PICKLE_TYPE
from runhouse.server.autostop import LONGEST_MINS, NEVER, STOPS
from runhouse.server.conversation import Conversation, WorkerSource, once
from runhouse.server.json_response import AsciiJSONResponse
from runhouse.server.problem import MEDIA_TYPE, SORTS, ProblemError
from runhouse.wire.messages import Call

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from runhouse.server.daemon import Daemon
    from runhouse.server.openapi_parts import Json
    from runhouse.server.worker import Worker

_DESCRIBE_S = 5.0


def fixed_pages() -> dict[str, Json]:
    """Return the pages that every server has."""
    pages: dict[str, Json] = {
        "/check": {"get": parts.operation("Tell that the server answers; needs no token")},
        "/status": {"get": parts.operation("Tell what runs, and how busy it is")},
        "/keys": {
            "get": parts.operation(
                "List the objects", query={"env": parts.NAME, "sizes": parts.YES}
            )
        },
        "/call/{key}": {
            "get": parts.operation(
                "Call a function with the arguments of the query", answers=parts.VALUE
            ),
            "post": parts.post("Call a function", parts.ARGUMENTS, parts.ANY),
        },
        "/call/{key}/{method}": {
            "get": parts.operation(
                "Call a method with the arguments of the query", answers=parts.VALUE
            ),
            "post": parts.post("Call a method", parts.ARGUMENTS, parts.ANY),
        },
        "/objects": {"delete": parts.operation("Delete all objects")},
        "/objects/delete": {
            "post": parts.operation(
                "Delete some objects",
                body=parts.record(["keys"], keys={"type": "array", "items": parts.TEXT}),
            )
        },
        "/objects/{key}": {
            "get": parts.operation(
                "Return an object",
                answers={"200": parts.content("application/json", PICKLE_TYPE)},
            ),
            "put": parts.operation(
                "Keep a value under a key",
                query={"env": parts.NAME, "persist": parts.YES},
                body=parts.ANY,
                body_types=("application/json", PICKLE_TYPE),
            ),
            "patch": parts.operation(
                "Give an object another key", body=parts.record(["key"], key=parts.NAME)
            ),
            "delete": parts.operation("Delete an object"),
        },
        "/limits/{env}": {
            "get": parts.operation("Tell what the workers of an env take"),
            "put": parts.operation("Bound what the workers of an env take", body=parts.LIMITS),
        },
    }
    own = _page_of_autostop() | _pages_of_runs() | _pages_of_tokens() | _pages_of_envs()
    return pages | own | _pages_to_look_at()


def _pages_to_look_at() -> dict[str, Json]:
    """Return the dashboard, and what it and programs like it look at."""
    html, metrics = parts.content("text/html"), parts.content("text/plain")
    return {
        "/": {
            "get": parts.operation("Return the dashboard; needs no token", answers={"200": html})
        },
        "/page/{name}": {
            "get": parts.operation(
                "Return a file of the dashboard; needs no token",
                answers={"200": parts.content("text/css", "text/javascript", "image/svg+xml")},
            )
        },
        "/whoami": {"get": parts.operation("Tell whose token a request has, and what that allows")},
        "/nodes": {
            "get": parts.operation(
                "Tell how busy the nodes were lately", query={"after": parts.SECONDS}
            )
        },
        "/metrics": {
            "get": parts.operation("Return the figures for Prometheus", answers={"200": metrics})
        },
        "/workers/{id}/restart": {
            "post": parts.operation(
                "End a worker, with its runs and objects, and start another one"
            )
        },
    }


def _pages_of_envs() -> dict[str, Json]:
    body = parts.record(
        ["digest"],
        digest=parts.TEXT | {"minLength": 1},
        prefix=parts.TEXT,
        python_version=parts.TEXT,
        variables={
            "type": ["object", "null"],
            "additionalProperties": parts.TEXT,
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
        },
        workers={"type": "integer", "minimum": 1},
        gpus={"type": ["integer", "null"], "minimum": 0},
        imports={"type": "array", "items": parts.TEXT},
        definition={"type": "object"},
    )
    return {
        "/envs": {"get": parts.operation("List the envs that have been set up")},
        "/envs/{env}": {
            "get": parts.operation("Tell what the name of an env stands for"),
            "put": parts.operation("Let a name stand for an env that is on the disk", body=body),
            "delete": parts.operation("Let a name stand for the host's own interpreter again"),
        },
    }


def _page_of_autostop() -> dict[str, Json]:
    minutes: Json = {"type": "integer", "minimum": NEVER, "maximum": LONGEST_MINS}
    body = parts.record(
        ["autostop_mins"],
        autostop_mins=minutes | {"not": {"const": 0}},
        pulse={"type": "array", "items": parts.TEXT},
        stops={"enum": STOPS},
    )
    return {
        "/autostop": {
            "get": parts.operation("Tell whether the host is in use, and when it is stopped"),
            "put": parts.operation(
                "Take when the host is stopped, and what keeps it up", body=body
            ),
        }
    }


def _pages_of_runs() -> dict[str, Json]:
    result = parts.content("application/json", LINES_TYPE, EVENTS_TYPE, PICKLE_TYPE)
    pages: dict[str, Json] = {
        "/runs": {
            "get": parts.operation(
                "List the runs",
                query={"search": parts.TEXT, "after": parts.SECONDS, "limit": parts.WHOLE},
            )
        },
        "/runs/cancel": {"post": parts.operation("Cancel all runs", body=parts.FORCE)},
        "/runs/{id}": {"get": parts.operation("Tell about a run")},
        "/runs/{id}/cancel": {"post": parts.operation("Cancel a run", body=parts.FORCE)},
        "/runs/{id}/logs": {
            "get": parts.operation(
                "Return what a run has printed, or follow it to its end",
                query={"follow": parts.YES},
                answers={"200": parts.content("application/json", EVENTS_TYPE), "204": {}},
            )
        },
        "/runs/{id}/result": {
            "get": parts.operation(
                "Return what a run has made, once it has ended",
                query={"timeout": parts.SECONDS},
                answers={**parts.VALUE, "200": result, "204": {}},
            )
        },
    }
    for page in ("/runs/{id}/logs", "/runs/{id}/result"):
        last: Json = {"type": "integer", "minimum": 0, "description": "Events after this one only"}
        pages[page]["get"]["parameters"].append(parts.parameter("header", "Last-Event-ID", last))
    for page in ("/runs/cancel", "/runs/{id}/cancel"):
        pages[page]["post"]["requestBody"]["required"] = False
    return pages


def _pages_of_tokens() -> dict[str, Json]:
    return {
        "/tokens": {
            "get": parts.operation("List the tokens that were made for others"),
            "post": parts.operation(
                "Make a token, which is shown this once",
                body=parts.record(["name"], name=parts.NAME, read_only=parts.YES),
                answers={"201": parts.content("application/json")},
            ),
        },
        "/tokens/{name}": {"delete": parts.operation("Make a token invalid")},
        "/openapi.json": {"get": parts.operation("Return this description")},
    }


def _with_path_parameters(pages: dict[str, Json]) -> dict[str, Json]:
    for path, page in pages.items():
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        if names:
            page["parameters"] = [parts.parameter("path", name, parts.TEXT) for name in names]
    return pages


# -- functions and methods ------------------------------------------------------------------------


def _callable_page(path: str, name: str, told: Json) -> Json:
    """Return the page of one function or method."""
    summary = told["doc"].partition("\n")[0] or f"Call {name}"
    parameters: list[Json] | None = told["parameters"]
    get = parts.operation(summary, answers=parts.VALUE)
    get["parameters"] = [
        _query_parameter(p) for p in parameters or () if p["kind"] != "VAR_KEYWORD"
    ]
    post = parts.post(summary, _body_of(parameters), told["returns"])
    for method, operation in (("get", get), ("post", post)):
        operation |= {"description": told["doc"], "operationId": f"{method} {path}", "tags": [name]}
    return {"get": get, "post": post}


def _query_parameter(parameter: Json) -> Json:
    schema: Json = parameter["schema"]
    if parameter["kind"] == "VAR_POSITIONAL":
        schema = {"type": "array", "items": schema}
    told = parts.parameter("query", parameter["name"], schema, required=parameter["required"])
    if schema.get("type") == "object":  # one text, which is JSON
        told["content"] = parts.content("application/json", schema=told.pop("schema"))
    return told


def _body_of(parameters: list[Json] | None) -> Json:
    """Return the schema of the arguments of a call."""
    if parameters is None:
        return parts.ARGUMENTS
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
    return parts.record((), args=args, kwargs=kwargs)


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
                "title": parts.TEXT,
                "status": {"type": "integer"},
                "detail": parts.TEXT,
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
                        "content": parts.content(MEDIA_TYPE, schema=problem),
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
