"""What a run has to tell: events (output, items, the result), numbered from 0.

Here are what all runs share and the outbox of a call with one caller, which keeps events in memory
until the caller has them. A caller whose connection broke attaches again, says how many events it
has received, and gets the rest: nothing is lost or repeated. `journal.py` has the other sort.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING

from runhouse.wire import frames
from runhouse.wire.frames import Buffer, Frame
from runhouse.wire.messages import Kind, LogEntry, RunStatus

if TYPE_CHECKING:
    from runhouse.worker.connections import Connection

# A generator runs ahead of its caller by at most this much.
_WINDOW_EVENTS = 1000
_WINDOW_BYTES = 16 * 1024 * 1024
# Unread output of a caller that is away: older output is dropped beyond this.
_KEPT_LOG_BYTES = 32 * 1024 * 1024
# Output is sent at once, then gathered for this long.
_GATHER_S = 0.02


class OutboxClosedError(Exception):
    """Tell a generator that nobody wants its items any more."""


class Outbox(ABC):
    """Take the events of one run, and gather its output."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._log: list[LogEntry] = []
        self._flushed_at = 0.0
        self._closed = False

    @abstractmethod
    def _put(self, pieces: list[Buffer]) -> None:
        """Take one event; the lock is held."""

    @abstractmethod
    def attach(self, connection: Connection, received: int) -> None:
        """Send events over a connection from now on, from the one with number `received` on."""

    @abstractmethod
    def detach(self, connection: Connection) -> bool:
        """Forget a connection that has closed; return whether the run has lost its caller."""

    @property
    def abandoned(self) -> bool:
        """Tell whether the run's caller is away."""
        return False

    @abstractmethod
    def acknowledge(self, received: int) -> None:
        """Note that the caller has the first `received` events."""

    @abstractmethod
    def close(self, status: RunStatus) -> None:
        """Note what has become of the run, after its last event."""

    def _has_room(self) -> bool:
        return True

    def log(self, entry: LogEntry) -> None:
        """Add output; it is sent at once, or with what follows within a few milliseconds.

        An unfinished line waits for its rest, so that lines of several calls do not mix in the
        middle.
        """
        with self._lock:
            if self._closed:
                return
            if self._log and self._log[-1][0] == entry[0] != "record":
                entry = (entry[0], f"{self._log[-1][1]}{entry[1]}")
                self._log[-1] = entry
            else:
                self._log.append(entry)
            whole = entry[0] == "record" or str(entry[1]).endswith("\n")
            if not whole or time.monotonic() - self._flushed_at < _GATHER_S:
                flusher.add(self)
                return
            self.flush()

    def flush(self) -> None:
        """Send the output that was gathered."""
        with self._lock:
            if self._log:
                self._put(self._take_log())

    def _take_log(self) -> list[Buffer]:
        pieces = frames.encode(Frame(Kind.LOG, {"entries": self._log}))
        self._log = []
        self._flushed_at = time.monotonic()
        return pieces

    def item(self, frame: Frame) -> None:
        """Add an item of a generator; wait while the caller is too far behind.

        Raises:
            OutboxClosedError: The caller does not want any more.
        """
        with self._room:
            while not self._closed and not self._has_room():
                self._room.wait()
            if self._closed:
                raise OutboxClosedError
            self.flush()
            self._put(frames.encode(frame))

    def finish(self, frame: Frame) -> bool:
        """Add the last event, after output that was gathered.

        Returns:
            Whether it counts: what comes after the first last event is ignored.
        """
        with self._room:
            if self._closed:
                return False
            if self._log:
                self._put(self._take_log())
            self._put(frames.encode(frame))
            self._closed = True
            self._room.notify_all()
            return True


class Mailbox(Outbox):
    """Hold the events of a call with one caller, and send them over its connection."""

    def __init__(self, connection: Connection | None) -> None:
        """Store the caller's connection."""
        super().__init__()
        self._connection = connection
        self._kept: deque[tuple[list[Buffer], int]] = deque()
        self._first = 0  # number of the oldest event kept
        self._kept_bytes = 0

    @property
    def connection(self) -> Connection | None:
        """Return the connection of the caller, or None while it is away."""
        return self._connection

    @property
    def abandoned(self) -> bool:
        """Tell whether the caller is away."""
        return self._connection is None

    def _has_room(self) -> bool:
        return len(self._kept) < _WINDOW_EVENTS and self._kept_bytes < _WINDOW_BYTES

    def _put(self, pieces: list[Buffer]) -> None:
        """Keep one event, and send it when the caller is there."""
        size = frames.pieces_size(pieces)
        self._kept.append((pieces, size))
        self._kept_bytes += size
        if self._connection is not None:
            if not self._connection.send(pieces):
                self._connection = None
        else:
            self._forget_old_output()

    def _forget_old_output(self) -> None:
        """Empty the oldest output of an absent caller, so that memory stays bounded."""
        if self._kept_bytes <= _KEPT_LOG_BYTES:
            return
        note: LogEntry = ("stderr", "[output was dropped here while the caller was away]\n")
        empty = frames.encode(Frame(Kind.LOG, {"entries": [note]}))
        small = frames.pieces_size(empty)
        for index, (pieces, size) in enumerate(self._kept):
            if pieces[0][0] == Kind.LOG and size > small:
                self._kept[index] = (empty, small)
                self._kept_bytes -= size - small
                return

    def acknowledge(self, received: int) -> None:
        """Drop the first `received` events: the caller has them."""
        with self._room:
            while self._first < received and self._kept:
                self._kept_bytes -= self._kept.popleft()[1]
                self._first += 1
            self._room.notify_all()

    def close(self, status: RunStatus) -> None:
        """Keep the events for as long as the caller lacks one."""

    def attach(self, connection: Connection, received: int) -> None:
        """Go on with another connection, from the event that the caller lacks."""
        self.acknowledge(received)
        with self._lock:
            self._connection = connection
            for pieces, _ in list(self._kept):
                if not connection.send(pieces):
                    self._connection = None
                    return

    def detach(self, connection: Connection) -> bool:
        """Forget a connection that has closed; return whether the caller is away now."""
        with self._lock:
            if self._connection is connection:
                self._connection = None
            return self._connection is None


class _Flusher:
    """Send gathered output a few milliseconds after it was written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dirty: set[Outbox] = set()
        self._wake = threading.Event()
        self._started = False

    def add(self, outbox: Outbox) -> None:
        """Flush this outbox soon."""
        with self._lock:
            self._dirty.add(outbox)
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="runhouse-flush", daemon=True).start()
        self._wake.set()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            self._wake.clear()
            pause.wait(_GATHER_S)
            with self._lock:
                dirty, self._dirty = self._dirty, set()
            for outbox in dirty:
                outbox.flush()


flusher = _Flusher()
