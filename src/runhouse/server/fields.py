"""What requests say: query parameters, headers and small JSON bodies, checked one by one."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from runhouse.server.conversation import once
from runhouse.server.names import RULE, is_name
from runhouse.server.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from starlette.requests import Request

_LARGEST_BODY = 16 * 1024 * 1024
_MOST_BYTES = 2**40
_BOOLEANS = {"true": True, "1": True, "": True, "false": False, "0": False}
MISSING: Any = object()


def refuse(name: str, expected: str) -> ProblemError:
    """Return the problem of a value that cannot be used."""
    return ProblemError(
        "invalid",
        f"{name!r} cannot be used. It must be {expected}. Correct it and ask again.",
        parameter=name,
        expected=expected,
    )


class Query:
    """Take the parameters of a query, each with a check."""

    def __init__(self, request: Request, known: Collection[str]) -> None:
        """Store the query.

        Raises:
            ProblemError: It has a parameter that is not known.
        """
        self._given = dict(request.query_params.items())
        unknown = sorted(set(self._given) - set(known))
        if unknown:
            raise refuse(unknown[0], f"one of {', '.join(known)}" if known else "left out")

    def text(self, name: str) -> str | None:
        """Return a text, or None."""
        return self._given.get(name)

    def name(self, name: str) -> str:
        """Return a name, or an empty text."""
        found = self._given.get(name, "")
        if found and not is_name(found):
            raise refuse(name, RULE)
        return found

    def boolean(self, name: str) -> bool:
        """Return a yes or no; no when it is not there."""
        found = _BOOLEANS.get(self._given.get(name, "false").lower())
        if found is None:
            raise refuse(name, "true or false")
        return found

    def seconds(self, name: str) -> float | None:
        """Return a number of seconds, or None."""
        if name not in self._given:
            return None
        try:
            found = float(self._given[name])
        except ValueError:
            found = math.nan
        if not 0 < found < math.inf:
            raise refuse(name, "a number of seconds above 0")
        return found

    def count(self, name: str) -> int | None:
        """Return a whole number from 1 on, or None."""
        given = self._given.get(name)
        if given is None:
            return None
        if not (given.isascii() and given.isdigit() and len(given) < 19 and int(given)):
            raise refuse(name, "a whole number from 1 on")
        return int(given)

    def one_of(self, name: str, options: Collection[str]) -> str:
        """Return one of some words; the first of them when it is not there."""
        found = self._given.get(name, next(iter(options)))
        if found not in options:
            raise refuse(name, f"one of {', '.join(options)}")
        return found


async def read_object(request: Request, known: Collection[str]) -> dict[str, Any]:
    """Return the JSON object that is the body of a request; empty when there is no body.

    Raises:
        ProblemError: The body is too large, is something else, or has a field that is not known.
    """
    raw = await _read_small(request)
    if raw is None:
        raise ProblemError("too-large", f"The body has more than {_LARGEST_BODY} bytes.")
    if not raw:
        return {}
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProblemError("bad-request", f"The body is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ProblemError("bad-request", "The body is not a JSON object.")
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise refuse(unknown[0], f"one of {', '.join(known)}")
    return found


def take(
    fields: dict[str, Any],
    name: str,
    fits: Callable[[Any], bool],
    expected: str,
    default: Any = MISSING,
) -> Any:
    """Return a field of a body, checked.

    Raises:
        ProblemError: It does not fit, or is missing and has no default.
    """
    found = fields.get(name, default)
    if found is MISSING or not (name not in fields or fits(found)):
        raise refuse(name, expected)
    return found


def is_boolean(value: object) -> bool:
    """Tell whether a JSON value is true or false."""
    return isinstance(value, bool)


def is_count(least: int) -> Callable[[object], bool]:
    """Return a check for whole numbers from `least` on, or null."""
    return lambda value: (
        value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= least)
    )


async def _read_small(request: Request) -> bytes | None:
    """Return a body that is held whole; None when it is too large for that."""
    raw = bytearray()
    async for data in request.stream():
        raw += data
        if len(raw) > _LARGEST_BODY:
            return None
    return bytes(raw)


async def body_of(request: Request) -> tuple[AsyncIterator[bytes], int]:
    """Return a body, which goes on to a worker as it comes, and how many bytes it has.

    Raises:
        ProblemError: It is larger than any memory; or it is large, and the request does not tell.
    """
    if "transfer-encoding" in request.headers:
        raw = await _read_small(request)
        if raw is None:
            detail = f"Send a body of more than {_LARGEST_BODY} bytes with a Content-Length."
            raise ProblemError("length-required", detail)
        return once(raw), len(raw)
    size = int(request.headers.get("content-length", "0"))
    if size > _MOST_BYTES:
        raise ProblemError("too-large", f"The body has more than {_MOST_BYTES} bytes.")
    return request.stream(), size


def accepts(request: Request, media_type: str) -> bool:
    """Tell whether a request names a media type as one that it takes."""
    given = ",".join(request.headers.getlist("accept")).lower().split(",")
    return any(part.partition(";")[0].strip() == media_type for part in given)
