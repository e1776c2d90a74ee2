"""Print docs/http-routes.md: every route of the HTTP API, from what `/openapi.json` is made of.

`scripts/docs.sh --write` writes the page; `make check` fails when it is not the present one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runhouse.server.names import PATTERN
from runhouse.server.openapi import fixed_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """\
# HTTP routes

All routes of the [HTTP API](http.md), from the description that every server gives at
`/openapi.json`. A running server adds a page for each function and method that is there. Every
request but `GET /check` and those for the files of the [dashboard](dashboard.md) carries
`Authorization: Bearer TOKEN`; what goes wrong is answered with a [problem](http.md#errors).
"""
_WORDS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "any value"),
    ({"type": "boolean"}, "true or false"),
    ({"type": "string"}, "a text"),
    ({"type": "string", "pattern": PATTERN}, "a name: letters, digits, `-`, `_`, `.`; at most 63"),
    ({"type": "number", "exclusiveMinimum": 0}, "a number above 0"),
    ({"type": "integer", "minimum": 0}, "a whole number"),
    ({"type": "integer", "minimum": 1}, "a whole number from 1 on"),
    ({"type": ["integer", "null"], "minimum": 1}, "a whole number from 1 on, or null for no limit"),
    ({"type": ["integer", "null"], "minimum": 0}, "a whole number from 0 on, or null for no limit"),
    ({"type": "array"}, "a list"),
    ({"type": "object"}, "an object"),
    ({"type": "array", "items": {"type": "string"}}, "a list of texts"),
)
_METHODS = ("get", "post", "put", "patch", "delete")


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for path, told in fixed_pages().items():
        for method in _METHODS:
            if method in told:
                parts += _route(f"{method.upper()} {path}", told[method])
    return "\n".join(parts)


def _route(name: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the parts of one route."""
    yield f"## `{name}`\n\n{operation['summary']}.\n"
    rows = [*_parameters(operation), *_body(operation), *_answers(operation)]
    if rows:
        yield "| | | |\n|---|---|---|"
        yield from rows
        yield ""


def _parameters(operation: dict[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        about = _schema(parameter["schema"])
        yield f"| {parameter['in']} | `{parameter['name']}` | {about} |"


def _body(operation: dict[str, Any]) -> Iterator[str]:
    """Yield the rows of what is sent."""
    body = operation.get("requestBody")
    if body is None:
        return
    kinds, schema = list(body["content"]), next(iter(body["content"].values()))["schema"]
    if not schema.get("properties"):
        yield f"| body | {_codes(kinds)} | any value |"
    for name, each in schema.get("properties", {}).items():
        needed = ", required" if name in schema.get("required", ()) else ""
        yield f"| body | `{name}` | {_schema(each)}{needed} |"


def _answers(operation: dict[str, Any]) -> Iterator[str]:
    """Yield the rows of what is answered."""
    for status, answer in operation["responses"].items():
        if status != "default":
            kinds = list(answer.get("content", ()))
            yield f"| answer | {status} | {_codes(kinds) or 'no body'} |"


def _schema(schema: dict[str, Any]) -> str:
    """Return a JSON schema in words, or as it is when there are none for it."""
    words = {json.dumps(known): text for known, text in _WORDS}
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    return words.get(json.dumps(schema)) or f"`{json.dumps(schema)}`"


def _codes(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    print(page(), end="")
