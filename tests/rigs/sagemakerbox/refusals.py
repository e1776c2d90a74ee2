"""Requests that the box refuses: missing permissions, expired credentials."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web

S3 = "S3"  # stands for all operations of S3, which are told by method and path
ALL = "*"
_QUERY = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
    "</Error><RequestId>refused</RequestId></ErrorResponse>"
)
_S3 = "<Error><Code>{code}</Code><Message>{message}</Message><RequestId>refused</RequestId></Error>"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Describe which requests are refused, and with which words.

    Attributes:
        action: The operation, as in `CreateTrainingJob`; `ALL` for all, `S3` for all of S3.
        code: The error's name.
        message: Its text.
    """

    action: str
    code: str = "AccessDeniedException"
    message: str = "User is not authorized to perform this action"

    def meets(self, operation: str, authorization: str) -> bool:
        """Tell whether a request is among these.

        Args:
            operation: What it asks for.
            authorization: Who asks; who does not say so asks for nothing of AWS.
        """
        return bool(authorization) and self.action in (ALL, operation)

    def answer(self, *, is_json: bool, is_s3: bool) -> web.Response:
        """Return the answer, in the form that the service has for errors."""
        if is_json:
            told = {"__type": self.code, "message": self.message}
            return web.json_response(told, status=400, content_type="application/x-amz-json-1.1")
        form = _S3 if is_s3 else _QUERY
        text = form.format(code=escape(self.code), message=escape(self.message))
        return web.Response(status=403, text=text, content_type="text/xml")


def dump(refusals: list[Refusal]) -> list[dict[str, Any]]:
    """Return refusals as JSON values."""
    return [asdict(each) for each in refusals]


def load(told: list[dict[str, Any]]) -> list[Refusal]:
    """Return the refusals that JSON values name."""
    return [Refusal(**each) for each in told]
