"""One call as its client sees it, without any I/O.

`client.py` and `aio.py` move the bytes; what to send and what an answer means is decided here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from runhouse.errors import ObjectNotFoundError, RunLostError
from runhouse.wire.exceptions import load_error
from runhouse.wire.frames import Buffer, Frame, encode
from runhouse.wire.messages import LOST, Call, Kind, LogEntry, RunInfo
from runhouse.wire.pickling import Pickled, receive_value

# A result from this size on is acknowledged at once, so that the worker can let go of it.
_LARGE = 64 * 1024
_ACK_EVENTS = 128
_ACK_BYTES = 1024 * 1024
# The first byte of every pickle (PEP 307), and of no JSON.
_PICKLE_MARK = 0x80


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
class Kept:
    """Tell that the call has ended, and that its result stays in the worker.

    Attributes:
        key: Its key in the object store.
        type: Its type, as `"module:name"`.
        attributes: The names of the public attributes that it has beside those of its class.
    """

    key: str
    type: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """Tell that a recorded run has arrived."""

    info: RunInfo


@dataclass(frozen=True, slots=True)
class Unknown:
    """Tell that the worker does not know the run."""


Event = Result | Kept | Raised | Streaming | Item | Logs | Started | Unknown


class Exchange:
    """Decide what to send for one call, and read the answers.

    Without a call it watches a run that somebody has started.
    """

    def __init__(
        self, call: Call | None = None, arguments: Pickled | None = None, *, run_id: str = ""
    ) -> None:
        """Store the call, or the run to watch."""
        self.call = call
        self.run_id = call.run_id if call is not None else run_id
        self.recorded = call is None or call.record
        self._arguments = arguments
        self.worker_id: str | None = "" if call is None else None
        self.received = 0
        self._unacknowledged = 0
        self._unacknowledged_bytes = 0
        self.ended = False

    @property
    def only_starts(self) -> bool:
        """Tell whether it is over once the call has started, which goes on by itself."""
        return self.call is not None and not self.call.watch

    def attaching(self) -> list[Buffer]:
        """Return what to send first on another connection: a request to go on with the call."""
        meta: dict[str, object] = {"id": self.run_id, "received": self.received}
        return encode(Frame(Kind.ATTACH, meta))

    def call_pieces(self) -> list[Buffer]:
        """Return the call itself; nothing when a run is only watched."""
        if self.call is None or self._arguments is None:
            return []
        pickled = self._arguments
        return encode(Frame(Kind.CALL, self.call.to_meta(), pickled.body, pickled.buffers))

    def cancelling(self) -> list[Buffer]:
        """Return what to send to cancel the call."""
        return encode(Frame(Kind.CANCEL, {"id": self.run_id}))

    def receive(self, frame: Frame) -> Event:
        """Say what a frame from the worker means."""
        kind = frame.kind
        if kind == Kind.UNKNOWN:
            return Unknown()
        self.received += 1
        self._unacknowledged += 1
        self._unacknowledged_bytes += len(frame.body) + sum(map(len, frame.buffers))
        if kind == Kind.LOG:
            entries: Any = frame.meta["entries"]
            return Logs([(name, what) for name, what in entries])
        if kind == Kind.ITEM:
            return Item(_value(frame))
        if kind == Kind.STREAM:
            return Streaming()
        if kind == Kind.STARTED:
            self.ended = self.only_starts
            return Started(RunInfo(**cast("dict[str, Any]", frame.meta)))
        self.ended = True
        if kind == Kind.RESULT and "kept" in frame.meta:
            attributes = tuple(cast("list[str]", frame.meta.get("attributes", [])))
            return Kept(str(frame.meta["kept"]), str(frame.meta["type"]), attributes)
        if kind == Kind.RESULT:
            return Result(_value(frame) if len(frame.body) else None)
        if frame.meta.get("type") == LOST:
            return Raised(RunLostError(str(frame.meta.get("message"))))
        error = load_error(frame)
        if isinstance(error, ObjectNotFoundError):
            error.worker_id = self.worker_id or ""
        return Raised(error)

    def acknowledging(self) -> list[Buffer] | None:
        """Return what to send so that the worker can let go of events, or None for now."""
        if self.recorded:
            return None  # the run's file keeps them
        if self.ended:
            if self._unacknowledged_bytes < _LARGE:
                return None  # the next call on the connection says it
        elif self._unacknowledged < _ACK_EVENTS and self._unacknowledged_bytes < _ACK_BYTES:
            return None
        self._unacknowledged = self._unacknowledged_bytes = 0
        meta: dict[str, object] = {"id": self.run_id, "received": self.received}
        if self.ended:
            meta["last"] = True
        return encode(Frame(Kind.ACK, meta))


def _value(frame: Frame) -> Any:
    """Return the value in a frame: a pickle, or JSON when whoever made the call wanted that."""
    if frame.body[0] == _PICKLE_MARK:
        return receive_value(frame)
    return json.loads(bytes(frame.body))
