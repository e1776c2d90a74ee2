"""Errors as RFC 9457 problem details."""

from __future__ import annotations

from starlette.responses import JSONResponse


def problem(status: int, detail: str, **facts: object) -> JSONResponse:
    """Return an error answer.

    Args:
        status: The HTTP status.
        detail: What went wrong, for a person.
        **facts: What else a program may want to know.
    """
    return JSONResponse(
        {"status": status, "detail": detail, **facts},
        status_code=status,
        media_type="application/problem+json",
    )
