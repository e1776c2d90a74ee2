"""HTTP/1.1 on one connection: uvicorn's own, with an end for those who keep it waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from runhouse.server.problem import MEDIA_TYPE, ProblemError

if TYPE_CHECKING:
    import asyncio


class Protocol(H11Protocol):
    """Close connections that do not come to the point, and answer what is no HTTP with a problem.

    Whoever can connect holds one of the server's file descriptors, with or without a token.
    """

    head_timeout_s: ClassVar[float] = 10.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what has come; the time for a request does not begin anew with each byte."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._rest()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless an answer has begun already."""
        del msg
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            detail = "This is not an HTTP/1.1 request, or its head is too large. Correct it."
            body = bytes(ProblemError("bad-request", detail).response().body)
            head = (
                f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _watch(self) -> None:
        """Watch the time while no request is being answered: its head, or what came after it."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._rest()
        elif self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(self.head_timeout_s, self._expire)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        """Close the connection, unless an answer has begun or ended in the meantime."""
        self._timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
