"""Errors as RFC 9457 problem details: each has a stable type, a status and a title."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runhouse.server.json_response import AsciiJSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Sort:
    """Hold one sort of problem.

    Attributes:
        status: The HTTP status.
        title: What it is, for a person; the same for every problem of the sort.
    """

    status: int
    title: str


SORTS: Mapping[str, Sort] = {
    "bad-request": Sort(400, "The request cannot be understood"),
    "unauthorized": Sort(401, "A valid token is needed"),
    "forbidden": Sort(403, "The token does not allow this"),
    "not-found": Sort(404, "There is no such page"),
    "object-not-found": Sort(404, "There is no such object or function"),
    "method-not-found": Sort(404, "The object has no such method"),
    "run-not-found": Sort(404, "There is no such run"),
    "worker-not-found": Sort(404, "There is no such worker"),
    "method-not-allowed": Sort(405, "The page does not take this HTTP method"),
    "not-acceptable": Sort(406, "The value has no form that was asked for"),
    "run-exists": Sort(409, "A run of this name is going on"),
    "run-cancelled": Sort(409, "The run was cancelled"),
    "run-lost": Sort(410, "The run was lost"),
    "length-required": Sort(411, "The length of the body must be told"),
    "too-large": Sort(413, "The body is too large"),
    "wrong-host": Sort(421, "This is not the host that was asked for"),
    "invalid": Sort(422, "The request has a value that cannot be used"),
    "raised": Sort(500, "The function raised an exception"),
    "internal": Sort(500, "The server has failed"),
    "worker-died": Sort(502, "The worker has ended during the call"),
    "queue-full": Sort(503, "Too many calls are waiting"),
    "store-full": Sort(503, "The object store has reached its limit"),
    "unavailable": Sort(503, "The worker cannot be reached now"),
    "run-timeout": Sort(504, "The call took longer than was allowed"),
}

# What a worker tells by the type of an exception. Everything else was raised by the user's code.
_OF_ERRORS: Mapping[str, str] = {
    "ArgumentsError": "invalid",
    "MethodNotFoundError": "method-not-found",
    "NotSerializableError": "not-acceptable",
    "ObjectNotFoundError": "object-not-found",
    "QueueFullError": "queue-full",
    "RunCancelledError": "run-cancelled",
    "RunExistsError": "run-exists",
    "RunLostError": "run-lost",
    "RunTimeoutError": "run-timeout",
    "StoreFullError": "store-full",
}
_ERRORS = "runhouse.errors."


class ProblemError(Exception):
    """End a request with a problem.

    Attributes:
        sort: Its sort.
        detail: What went wrong this time, for a person.
        facts: What else a program may want to know.
    """

    def __init__(self, sort: str, detail: str, **facts: object) -> None:
        """Store what the caller is told."""
        super().__init__(detail)
        self.sort = sort
        self.detail = detail
        self.facts = facts

    def body(self) -> dict[str, object]:
        """Return the problem as a JSON object."""
        sort = SORTS[self.sort]
        return {
            "type": f"urn:runhouse:{self.sort}",
            "title": sort.title,
            "status": sort.status,
            "detail": self.detail,
            **self.facts,
        }

    def response(self) -> AsciiJSONResponse:
        """Return the problem as an answer."""
        headers = {"Retry-After": "1"} if self.sort in ("queue-full", "unavailable") else {}
        if self.sort == "unauthorized":
            headers["WWW-Authenticate"] = "Bearer"
        status = SORTS[self.sort].status
        return AsciiJSONResponse(self.body(), status, headers=headers, media_type=MEDIA_TYPE)


def problem_of(meta: Mapping[str, object]) -> ProblemError:
    """Return the problem that the last event of a failed run stands for.

    Args:
        meta: The event's message: `type`, `message` and `traceback` of an exception.
    """
    kind, message = str(meta.get("type", "")), str(meta.get("message", ""))
    sort = _OF_ERRORS.get(kind.removeprefix(_ERRORS)) if kind.startswith(_ERRORS) else None
    if sort is not None:
        return ProblemError(sort, message)
    raised = {"type": kind, "message": message, "traceback": str(meta.get("traceback", ""))}
    return ProblemError("raised", f"{kind}: {message}", exception=raised)
