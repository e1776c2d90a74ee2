"""JSON as an answer."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse


class AsciiJSONResponse(JSONResponse):
    """Answer with JSON in ASCII, which has a form for half a surrogate pair as well.

    File names that are not UTF-8 have such halves, and get into messages and output.
    """

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
