"""Runs: handles of calls that were recorded, from any process that can reach their cluster."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import quote

from runhouse.client.exchange import Item, Kept, Logs, Started, Streaming
from runhouse.client.talk import Talk, outcome
from runhouse.errors import CallError
from runhouse.wire.messages import LogEntry, RunInfo, RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runhouse.client.client import Client


class Home(Protocol):
    """Be the cluster that runs and objects are on."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def client(self) -> Client:
        """Return the client of its server."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a stored object."""


class Run:
    """Be the handle of one run: a call that goes on without its caller.

    Made by `f.run(...)`, `cluster.get_run(...)`, `cluster.runs()` and `runhouse.run.attach(...)`.
    It can be pickled, and used from any process or machine that reaches the cluster.

    Example:
        >>> import math
        >>> import runhouse as rh
        >>> run = rh.function(math.factorial).to(rh.here).run(5)
        >>> run.result()
        120
        >>> run.status
        'done'
    """

    def __init__(self, home: Home, info: RunInfo) -> None:
        """Store the cluster and what is known about the run."""
        self._home = home
        self._info = info

    def __repr__(self) -> str:
        """Return the key, what was called, and where."""
        return f"<runhouse.Run {self.key!r} of {self._info.call} on {self._home.name}>"

    @property
    def id(self) -> str:
        """Return the run's identity, which no other run has."""
        return self._info.id

    @property
    def key(self) -> str:
        """Return the name that the run was given, or else its id."""
        return self._info.name or self._info.id

    @property
    def call(self) -> str:
        """Return what was called, which is a function, or an object and its method."""
        return self._info.call

    @property
    def created_at(self) -> float:
        """Return when the run began, in seconds since the epoch."""
        return self._info.created_at

    def info(self, *, refresh: bool = True) -> RunInfo:
        """Return what is known about the run.

        Args:
            refresh: Ask the cluster; False: what it told when this handle was made, or last.

        Returns:
            What is known; see `RunInfo`.

        Raises:
            RunNotFoundError: The cluster does not know it (any more).
            ConnectError: The cluster cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> run = rh.function("math:factorial").to(rh.here).run(5)
            >>> _ = run.result()
            >>> run.info().status, run.info(refresh=False).env
            ('done', 'default')
        """
        if refresh:
            answer = self._home.client.request("GET", f"/runs/{quote(self.id, safe='')}")
            self._info = read_info(answer)
        return self._info

    @property
    def status(self) -> RunStatus:
        """Return the state of the run now.

        Returns:
            `"queued"`, `"running"`, `"done"`, `"failed"`, `"cancelled"`, or `"lost"`: its worker or
            server ended before it did.

        Raises:
            RunNotFoundError: The cluster does not know it (any more).
            ConnectError: The cluster cannot be reached.
        """
        return self.info().status

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result; safe to repeat.

        Args:
            timeout: How many seconds to wait at most; None for as long as it takes. Interrupting
                the wait does not stop the run.

        Returns:
            What the function returned; for a generator function, an iterator over its items from
            the first one on, which come as they are made.

        Raises:
            TypeError, ValueError: The timeout is no number of seconds.
            TimeoutError: It has not ended in time; it goes on.
            RunCancelledError: It was cancelled.
            RunLostError: Its worker or server ended before it did.
            RunNotFoundError: The cluster does not know it (any more).
            Exception: What the function itself raised.

        Example:
            >>> import runhouse as rh
            >>> run = rh.function("math:factorial").to(rh.here).run(5)
            >>> run.result(timeout=60)
            120
        """
        deadline = _deadline(timeout)
        talk = self._home.client.watch(self.id)
        talk.deadline = deadline
        while True:
            event = talk.next_event()
            if isinstance(event, Streaming):
                talk.deadline = None
                return _items(talk)
            if isinstance(event, Kept):
                return self._home.get(event.key, KeyError)
            if not isinstance(event, (Logs, Started)):
                return outcome(event)

    def wait(self, timeout: float | None = None) -> Kept | None:
        """Wait for the end without fetching a result that was kept; see `result`.

        Args:
            timeout: How many seconds to wait at most; None for as long as it takes.

        Returns:
            Where the result was kept, or None when it was not.

        Raises:
            TimeoutError: It has not ended in time; it goes on.
            Exception: What `result` raises.

        Example:
            >>> import runhouse as rh
            >>> run = rh.function("math:factorial").to(rh.here).run(5)
            >>> run.wait() is None
            True
        """
        deadline = _deadline(timeout)
        talk = self._home.client.watch(self.id)
        talk.deadline = deadline
        while True:
            event = talk.next_event()
            if not isinstance(event, (Logs, Started, Streaming, Item)):
                ended = outcome(event)
                return ended if isinstance(ended, Kept) else None

    def logs(self, follow: bool = False) -> str | Iterator[str]:
        r"""Return what the run has printed and logged.

        Args:
            follow: Return an iterator instead that goes on until the run has ended; nothing is lost
                or repeated when the connection breaks meanwhile.

        Returns:
            The text until now, standard output and error and log records in their order; or an
            iterator over pieces of it.

        Raises:
            RunNotFoundError: The cluster does not know it (any more).
            ConnectError: The cluster cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> run = rh.function(print).to(rh.here).run("hello")
            >>> list(run.logs(follow=True))
            ['hello\n']
            >>> run.logs()
            'hello\n'
        """
        if follow:
            return self._follow()
        answer = self._home.client.request("GET", f"/runs/{quote(self.id, safe='')}/logs")
        entries = answer["entries"]
        return as_text([(each["stream"], each.get("record", each["text"])) for each in entries])

    def _follow(self) -> Iterator[str]:
        talk = self._home.client.watch(self.id)
        try:
            while True:
                event = talk.next_event()
                if isinstance(event, Logs):
                    yield as_text(event.entries)
                elif not isinstance(event, (Started, Streaming, Item)):
                    return
        finally:
            talk.cancel()

    def cancel(self, force: bool = False) -> None:
        """Stop the run; nothing happens when it has ended. Waiting callers are told at once.

        Args:
            force: End its worker process too, with all that it holds: for code that waits in C and
                cannot be interrupted.

        Raises:
            RunNotFoundError: The cluster does not know it (any more).
            ConnectError: The cluster cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> run = rh.function("time:sleep").to(rh.here).run(60)
            >>> run.cancel()
            >>> run.status
            'cancelled'
        """
        path = f"/runs/{quote(self.id, safe='')}/cancel"
        self._home.client.request("POST", path, {"force": bool(force)})


def _deadline(timeout: object) -> float | None:
    """Return when a wait is to end, on the monotonic clock; None: never.

    Raises:
        TypeError: The timeout is no number.
        ValueError: It is NaN.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool):
        kind = type(timeout).__name__
        msg = f"timeout cannot be used. It is of type {kind}. Pass a number of seconds, or None."
        raise TypeError(msg)
    if timeout != timeout:  # noqa: PLR0124 - NaN would never pass
        msg = "timeout cannot be NaN. No time is meant by it. Pass a number of seconds, or None."
        raise ValueError(msg)
    return time.monotonic() + timeout


def _items(talk: Talk) -> Iterator[Any]:
    """Yield the items of a generator that was recorded."""
    try:
        while True:
            event = talk.next_event()
            if isinstance(event, Item):
                yield event.value
            elif not isinstance(event, Logs):
                outcome(event)
                return
    finally:
        talk.cancel()


def read_info(answer: dict[str, Any]) -> RunInfo:
    """Return what a server tells about a run.

    Raises:
        CallError: The server speaks another version.
    """
    try:
        return RunInfo(**answer)
    except TypeError as error:
        msg = (
            f"What the server tells about a run cannot be read: {error}. It has another version of "
            "runhouse. Use cluster.restart_server()."
        )
        raise CallError(msg) from error


def as_text(entries: Sequence[LogEntry]) -> str:
    """Return output as one text, log records as lines."""
    parts = []
    for name, what in entries:
        if name != "record":
            parts.append(str(what))
            continue
        record = logging.makeLogRecord(cast("dict[str, Any]", what))
        parts.append(f"{_FORMAT.format(record)}\n")
    return "".join(parts)


_FORMAT = logging.Formatter("%(levelname)s:%(name)s:%(message)s")
