"""One call, or the watching of one run: moves the bytes, and mends the connection when it breaks.

What to send and what an answer means is decided in `exchange.py`; `aio.py` is the same for asyncio.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

from runhouse.client.endpoint import Connection, Target
from runhouse.client.exchange import (
    Event,
    Exchange,
    Item,
    Kept,
    Logs,
    Raised,
    Result,
    Started,
    Unknown,
)
from runhouse.client.logs import show
from runhouse.client.reconnect import Reconnect
from runhouse.errors import CallError, RunLostError, RunNotFoundError, ServerLostError
from runhouse.wire import frames
from runhouse.wire.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from runhouse.client.client import Client

# poll(2) takes its milliseconds as a C int: less than 25 days.
_LONGEST_POLL_S = 24 * 3600.0


def outcome(event: Event) -> Any:
    """Return the value that an event holds, or raise its exception."""
    if isinstance(event, Raised):
        try:
            raise event.error
        finally:
            del event  # no reference cycle through the traceback
    if isinstance(event, (Result, Item)):
        return event.value
    if isinstance(event, Kept):
        return event
    msg = f"The worker sent {type(event).__name__} where a result was due. Report this as a bug."
    raise CallError(msg)


class Talk:
    """Move the bytes of one call."""

    def __init__(self, client: Client, target: Target, exchange: Exchange) -> None:
        """Store the call; nothing is connected before it is needed."""
        self._client = client
        self._target = target
        self._exchange = exchange
        self._connection: Connection | None = None
        self._mended = False
        self._attempts: Reconnect | None = None
        self.deadline: float | None = None

    def _open(self) -> None:
        """Open the first connection, or get it back."""
        if self._exchange.worker_id is None:
            self._connect()
        else:
            self._mend()

    def _connect(self) -> None:
        """Open a connection for a call that has not arrived yet, and send it."""
        self._connection = self._client.take(self._target)
        self._exchange.worker_id = self._connection.worker_id
        self._send(self._exchange.call_pieces())

    def _send(self, pieces: list[frames.Buffer]) -> None:
        """Send, and leave a broken connection for `next_event` to notice and mend."""
        if self._connection is None:
            return
        try:
            frames.send_pieces(self._connection.sock, pieces)
        except OSError:
            self._drop()
        except BaseException:
            self.cancel()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.sock.close()

    def next_event(self) -> Event:
        """Wait for what comes next; mend the connection when it breaks.

        Raises:
            TimeoutError: The deadline has passed.
        """
        try:
            event = self._receive()
        except BaseException:
            self.cancel()
            raise
        if self._exchange.ended:
            self._release()
        return event

    def next_outcome(self) -> Event:
        """Wait for an item or the end, and show output meanwhile."""
        while True:
            event = self.next_event()
            if isinstance(event, Logs):
                show(event.entries)
            elif not isinstance(event, Started):
                return event

    def _receive(self) -> Event:
        while True:
            if self._connection is None:
                self._open()
                continue
            self._wait()
            try:
                frame = frames.receive(self._connection.sock)
            except (OSError, FrameError):
                frame = None
            if frame is None:
                self._drop()
                continue
            event = self._take_in(frame)
            if event is not None:
                return event

    def _take_in(self, frame: frames.Frame) -> Event | None:
        """Return what a frame means, or None when it is of no concern to the caller."""
        event = self._exchange.receive(frame)
        if isinstance(event, Unknown):
            self._send_again()
            return None
        self._attempts = None
        acknowledgement = self._exchange.acknowledging()
        if acknowledgement is not None:
            self._send(acknowledgement)
        return event

    def _wait(self) -> None:
        """Wait until something has arrived, if there is a deadline."""
        if self.deadline is None or self._connection is None:
            return
        poller = select.poll()
        poller.register(self._connection.sock, select.POLLIN)
        left_s = self.deadline - time.monotonic()
        while not poller.poll(max(0.0, min(left_s, _LONGEST_POLL_S)) * 1000):
            left_s = self.deadline - time.monotonic()
            if left_s <= 0:
                raise self._not_in_time()

    def _not_in_time(self) -> TimeoutError:
        return TimeoutError(
            f"The run {self._exchange.run_id} has not ended in time. It goes on there. "
            "Wait longer, or stop it with cancel()."
        )

    def _send_again(self) -> None:
        """Send a call that has never arrived; look again for a run that has left its worker."""
        if self._exchange.call is None or self._exchange.received:
            self._drop()
        else:
            self._send(self._exchange.call_pieces())

    def _mend(self) -> None:
        """Get the call's connection back; one that brings nothing is followed by a pause."""
        within_s = self._client.settings.reconnect_timeout_s
        if self.deadline is not None:
            left_s = self.deadline - time.monotonic()
            if left_s <= 0:
                raise self._not_in_time()
            within_s = min(within_s, left_s)
        if self._attempts is None:
            self._attempts = Reconnect(within_s)
        elif self._mended:
            pause = self._attempts.next_pause()
            if pause is None:
                raise self._nothing_comes()
            time.sleep(min(pause, within_s))
        self._mended = True
        exchange = self._exchange
        target = Target(worker_id=exchange.worker_id or "")
        if exchange.recorded:
            target = Target(run=exchange.run_id)
        try:
            self._connection = self._client.reopen(target, exchange.run_id, within_s)
        except RunNotFoundError:
            if exchange.call is None or exchange.received:
                raise
            self._connect()
            return
        except ServerLostError:
            if self.deadline is not None and time.monotonic() >= self.deadline:
                raise self._not_in_time() from None
            raise
        self._send(exchange.attaching())

    def _nothing_comes(self) -> RunLostError:
        return RunLostError(
            f"The run {self._exchange.run_id} cannot be followed. Its server answers but has no "
            "more of it. Look at cluster.runs() and `rh logs`."
        )

    def _release(self) -> None:
        """Keep the connection for other calls, unless it shows a run.

        After starting a run, the next call may go to another worker, which has less to do.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        exchange = self._exchange
        if (exchange.recorded and self._mended) or (exchange.only_starts and connection.shared):
            connection.sock.close()
        else:
            self._client.give_back(self._target, connection)

    def cancel(self) -> None:
        """Stop the call and give up its connection; safe to repeat. A watched run goes on."""
        if self._exchange.ended or self._exchange.worker_id is None:
            self._drop()  # it is still there when the answer could not be read
            return
        self._exchange.ended = True
        self._drop()
        if self._exchange.call is not None:
            self._client.send_cancel(self._exchange)

    def items(self) -> Iterator[Any]:
        """Yield the items of a generator; closing the iterator stops it there."""
        return self._items()

    def _items(self) -> Generator[Any, None, None]:
        try:
            while True:
                event = self.next_outcome()
                if isinstance(event, Item):
                    yield event.value
                else:
                    outcome(event)
                    return
        finally:
            self.cancel()
