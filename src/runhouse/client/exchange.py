"""One call as its client sees it, without any I/O.

`client.py` and `aio.py` move the bytes; what to send and what an answer means is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runhouse.wire.frames import Buffer, Frame, encode
from runhouse.wire.messages import Call, Kind, LogEntry
from runhouse.wire.pickling import Pickled, load_error, loads_frame

# A result from this size on is acknowledged at once, so that the worker can let go of it.
_LARGE = 64 * 1024
_ACK_EVENTS = 128
_ACK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """Tell that the call has ended with a value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """Tell that the call has ended with an exception."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Streaming:
    """Tell that the call made a generator; its items follow, then a result."""


@dataclass(frozen=True, slots=True)
class Item:
    """Hold one item of a generator."""

    value: Any


@dataclass(frozen=True, slots=True)
class Logs:
    """Hold output of the call."""

    entries: list[LogEntry]


@dataclass(frozen=True, slots=True)
class SendAgain:
    """Tell that the call has never arrived: send it (again) on this connection."""


Event = Result | Raised | Streaming | Item | Logs | SendAgain


class Exchange:
    """Decide what to send for one call, and read the answers."""

    def __init__(self, call: Call, arguments: Pickled) -> None:
        """Store the call."""
        self.call = call
        self._arguments = arguments
        self.worker_id: str | None = None
        self.received = 0
        self._unacknowledged = 0
        self._unacknowledged_bytes = 0
        self.ended = False

    def opening(self, worker_id: str) -> list[Buffer]:
        """Return what to send first on a connection: the call, or a request to go on with it."""
        if self.worker_id is None:
            self.worker_id = worker_id
            return self.call_pieces()
        meta: dict[str, object] = {"id": self.call.run_id, "received": self.received}
        return encode(Frame(Kind.ATTACH, meta))

    def call_pieces(self) -> list[Buffer]:
        """Return the call itself."""
        return encode(
            Frame(Kind.CALL, self.call.to_meta(), self._arguments.body, self._arguments.buffers)
        )

    def cancelling(self) -> list[Buffer]:
        """Return what to send to cancel the call."""
        return encode(Frame(Kind.CANCEL, {"id": self.call.run_id}))

    def receive(self, frame: Frame) -> Event:
        """Say what a frame from the worker means."""
        kind = frame.kind
        if kind == Kind.UNKNOWN:
            return SendAgain()
        self.received += 1
        self._unacknowledged += 1
        self._unacknowledged_bytes += len(frame.body) + sum(map(len, frame.buffers))
        if kind == Kind.LOG:
            entries: Any = frame.meta["entries"]
            return Logs([(name, what) for name, what in entries])
        if kind == Kind.ITEM:
            return Item(loads_frame(frame))
        if kind == Kind.STREAM:
            return Streaming()
        self.ended = True
        if kind == Kind.RESULT:
            return Result(loads_frame(frame) if len(frame.body) else None)
        return Raised(load_error(frame))

    def acknowledging(self) -> list[Buffer] | None:
        """Return what to send so that the worker can let go of events, or None for now."""
        if self.ended:
            if self._unacknowledged_bytes < _LARGE:
                return None  # the next call on the connection says it
        elif self._unacknowledged < _ACK_EVENTS and self._unacknowledged_bytes < _ACK_BYTES:
            return None
        self._unacknowledged = self._unacknowledged_bytes = 0
        meta: dict[str, object] = {"id": self.call.run_id, "received": self.received}
        if self.ended:
            meta["last"] = True
        return encode(Frame(Kind.ACK, meta))
