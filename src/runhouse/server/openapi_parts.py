"""What descriptions of HTTP pages are made of: schemas, parameters, bodies and operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runhouse.server.answers import EVENTS_TYPE, LINES_TYPE
from runhouse.server.names import PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json = dict[str, Any]
ANY: Json = {}
NAME: Json = {"type": "string", "pattern": PATTERN}
TEXT: Json = {"type": "string"}
YES: Json = {"type": "boolean"}
SECONDS: Json = {"type": "number", "exclusiveMinimum": 0}
WHOLE: Json = {"type": "integer", "minimum": 1}
OPTIONS: Mapping[str, Json] = {
    "stream_logs": YES,
    "run_name": NAME,
    "timeout": SECONDS,
    "background": YES,
    "keep": NAME,
    "serialization": {"enum": ["json", "pickle", "none"]},
}
ARGUMENTS: Json = {
    "type": "object",
    "properties": {"args": {"type": "array"}, "kwargs": {"type": "object"}},
    "additionalProperties": False,
}
FORCE: Json = {"type": "object", "properties": {"force": YES}, "additionalProperties": False}
COUNT: Json = {"type": ["integer", "null"], "minimum": 1}
LIMITS: Json = {
    "type": "object",
    "properties": {"concurrency": COUNT, "queue": COUNT | {"minimum": 0}, "memory_bytes": COUNT},
    "additionalProperties": False,
}


def record(required: Sequence[str], **properties: Json) -> Json:
    """Return the schema of an object with some fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def parameter(place: str, name: str, schema: Json, *, required: bool = False) -> Json:
    """Return what is told about a parameter."""
    return {"name": name, "in": place, "required": required or place == "path", "schema": schema}


def content(*types: str, schema: Json = ANY) -> Json:
    """Return what is told about a body of some media types."""
    return {kind: {"schema": schema} for kind in types}


def operation(
    summary: str,
    *,
    query: Mapping[str, Json] | None = None,
    body: Json | None = None,
    body_types: Sequence[str] = ("application/json",),
    answers: Mapping[str, Json] | None = None,
) -> Json:
    """Return what is told about one method of a page."""
    answers = answers or {"200": content("application/json")}
    told: Json = {
        "summary": summary,
        "responses": {
            **{status: {"description": "Done", "content": c} for status, c in answers.items()},
            "default": {"$ref": "#/components/responses/problem"},
        },
    }
    if query:
        told["parameters"] = [parameter("query", name, s) for name, s in query.items()]
    if body is not None:
        told["requestBody"] = {"required": True, "content": content(*body_types, schema=body)}
    return told


VALUE = {
    "200": content("application/json", LINES_TYPE, EVENTS_TYPE),
    "201": content("application/json"),
    "202": content("application/json"),
}


def post(summary: str, body: Json, returns: Json) -> Json:
    """Return what is told about a call with a JSON body."""
    answers = {**VALUE, "200": content(LINES_TYPE, EVENTS_TYPE)}
    answers["200"] |= content("application/json", schema=returns)
    return operation(summary, query=OPTIONS, body=body, answers=answers)
