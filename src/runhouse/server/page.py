"""The dashboard: a page of files beside this one, which tells nothing without a token.

The page keeps the token to itself and sends it with each request, as every client does. There is no
cookie that a browser would add by itself, so no other page can have a request made in somebody's
name; and browsers keep what a page stores apart by port, which they do not do with cookies.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from runhouse.server.problem import ProblemError

if TYPE_CHECKING:
    from starlette.requests import Request

_FOLDER = Path(__file__).with_name("page")
_TYPES = {
    **{".html": "text/html", ".css": "text/css", ".js": "text/javascript"},
    ".svg": "image/svg+xml",
}
_FILES = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _TYPES}
_FRONT = "index.html"

PAGE_PATHS = frozenset({"/", *(f"/page/{name}" for name in _FILES if name != _FRONT)})
"""What browsers may load without a token."""

PAGE_HEADERS = {
    # https://www.w3.org/TR/CSP3/: own files only, no inline scripts or styles, and (trusted types)
    # no way to make elements of a text.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class PageRoutes:
    """Answer with the files of the page."""

    def table(self) -> list[Route]:
        """Return what is answered."""
        return [Route("/", self.front), Route("/page/{name}", self.file)]

    async def front(self, _: Request) -> Response:
        """Return the page."""
        return _answer(_FRONT)

    async def file(self, request: Request) -> Response:
        """Return a file that the page loads."""
        name = request.path_params["name"]
        if name not in _FILES or name == _FRONT:
            raise ProblemError("not-found", f"The page has no file {name!r}. Look at /.")
        return _answer(name)


def _answer(name: str) -> Response:
    path = _FILES[name]
    return Response(path.read_bytes(), headers=PAGE_HEADERS, media_type=_TYPES[path.suffix])
