"""The blocking client: connections, calls, generators."""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from runhouse.client.endpoint import Connection, Endpoint, Target, greet
from runhouse.client.exchange import (
    Event,
    Exchange,
    Item,
    Logs,
    Raised,
    Result,
    SendAgain,
    Streaming,
)
from runhouse.client.logs import show
from runhouse.client.reconnect import Reconnect
from runhouse.errors import CallError, ConnectError, ServerLostError
from runhouse.server.unix_http import UnixHTTPConnection
from runhouse.wire import frames
from runhouse.wire.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from runhouse.settings import Settings
    from runhouse.wire.messages import Call
    from runhouse.wire.pickling import Pickled

# How long a new call tries to get through to a server that is said to run.
_FRESH_ATTEMPTS_S = 3.0


class Client:
    """Make calls to the workers of one server; safe for use from several threads."""

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        """Store how to reach the server; connections are opened when they are needed."""
        self.endpoint = endpoint
        self.settings = settings
        self._lock = threading.Lock()
        self._idle: dict[Target, list[Connection]] = {}
        self._owner = os.getpid()
        weakref.finalize(self, _close_all, self._idle)

    def call(self, target: Target, call: Call, arguments: Pickled) -> Any:
        """Run a call and wait for its end.

        Returns:
            The result, or an iterator over the items when the call made a generator.

        Raises:
            BaseException: What the call raised.
            RunhouseError: The call could not be made, or was lost.
        """
        talk = Talk(self, target, Exchange(call, arguments))
        event = talk.next_event()
        if isinstance(event, Streaming):
            return talk.items()
        return outcome(event)

    # -- connections --------------------------------------------------------------------------

    def take(self, target: Target) -> Connection:
        """Return an open connection to a worker, a new one if none is idle."""
        with self._lock:
            if self._owner != os.getpid():  # forked: the connections are the parent's
                self._idle.clear()
                self._owner = os.getpid()
            idle = self._idle.get(target)
            while idle:
                connection = idle.pop()
                if not _has_closed(connection):
                    return connection
                connection.sock.close()
            stale = [] if idle is not None else self._take_outdated(target)
        for connection in stale:
            connection.sock.close()
        return self.open(target)

    def _take_outdated(self, target: Target) -> list[Connection]:
        """Remove idle connections to workers whose code this target's replaces."""
        old = [
            key
            for key in self._idle
            if (key.env, key.scope.project, key.worker_id) == (target.env, target.scope.project, "")
            and target.worker_id == ""
            and target.scope.generation
        ]
        return [connection for key in old for connection in self._idle.pop(key)]

    def open(self, target: Target) -> Connection:
        """Open a connection for a call that has not been sent yet; heal what is in the way."""
        reconnect = Reconnect(_FRESH_ATTEMPTS_S)
        while True:
            try:
                return self._greet(target)
            except CallError:  # the server has answered
                raise
            except OSError as error:
                pause = reconnect.next_pause()
                if isinstance(error, ConnectError):
                    raise
                if pause is None:
                    raise self._unreachable(error) from error
                time.sleep(pause)
            self.endpoint.revive(start=True)

    def _unreachable(self, error: OSError) -> ConnectError:
        return ConnectError(
            f"The server on {self.endpoint.host} cannot be reached. It runs, but a connection "
            f"to it failed: {error}. Look at `rh logs`, or use cluster.restart_server().",
            host=self.endpoint.host,
        )

    def _greet(self, target: Target) -> Connection:
        return greet(self.endpoint, target, self.settings.start_timeout_s + 5)

    def reopen(self, target: Target, worker_id: str) -> Connection:
        """Open another connection to the worker that a running call is in.

        Raises:
            WorkerDiedError: That worker has ended.
            ServerLostError: The server is gone, or stays out of reach.
        """
        reconnect = Reconnect(self.settings.reconnect_timeout_s)
        same = Target(target.env, target.scope, worker_id)
        while True:
            try:
                return self._greet(same)
            except CallError:  # the server has answered: that worker is gone
                raise
            except OSError as error:
                pause = reconnect.next_pause()
                if pause is None:
                    raise self._lost(error) from error
                time.sleep(pause)
            with contextlib.suppress(ConnectError):  # the network may come back
                self.endpoint.revive(start=False)

    def _lost(self, error: Exception) -> ServerLostError:
        return ServerLostError(
            f"The connection to {self.endpoint.host} was lost during a call. It could not be made "
            f"again within {self.settings.reconnect_timeout_s:g} s: {error}. "
            "Check the network and the host; the call may still be running there."
        )

    def send_cancel(self, target: Target, exchange: Exchange) -> None:
        """Tell the worker to stop a call, over a connection of its own.

        The call's connection may be in the middle of a frame. When the worker cannot be told, it
        stops the call itself once its caller has been gone for long enough.
        """
        same = Target(target.env, target.scope, exchange.worker_id or "")
        with contextlib.suppress(OSError, CallError):
            connection = greet(self.endpoint, same, self.settings.request_timeout_s)
            with contextlib.closing(connection.sock):
                frames.send_pieces(connection.sock, exchange.cancelling())

    def give_back(self, target: Target, connection: Connection) -> None:
        """Keep a connection for the next call."""
        with self._lock:
            self._idle.setdefault(target, []).append(connection)

    def close(self) -> None:
        """Close all idle connections; safe to repeat, and calls open new ones."""
        with self._lock:
            _close_all(self._idle)

    # -- about the server -----------------------------------------------------------------------

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON object that the server's HTTP API gives for a path.

        Raises:
            CallError: The server refused.
            ConnectError: It does not answer in `request_timeout_s`.
        """
        try:
            return self._get(path)
        except OSError:
            self.endpoint.revive(start=True)
        try:
            return self._get(path)
        except OSError as error:
            msg = f"The server on {self.endpoint.host} does not answer. {error}. Look at `rh logs`."
            raise ConnectError(msg, host=self.endpoint.host) from error

    def _get(self, path: str) -> dict[str, Any]:
        http = UnixHTTPConnection(self.endpoint.http_path(), self.settings.request_timeout_s)
        with contextlib.closing(http):
            http.request("GET", path, headers={"Authorization": f"Bearer {self.endpoint.token}"})
            response = http.getresponse()
            body = response.read()
        if response.status != 200:
            msg = (
                f"The server on {self.endpoint.host} refused GET {path}. It said "
                f"{response.status}: {body.decode('utf-8', 'replace')}. Connect anew with "
                "cluster.connect_server_client(force_reconnect=True)."
            )
            raise CallError(msg)
        answer: dict[str, Any] = json.loads(body)
        return answer


def _close_all(idle: dict[Target, list[Connection]]) -> None:
    """Close connections and forget them."""
    while idle:
        for connection in idle.popitem()[1]:
            connection.sock.close()


def _has_closed(connection: Connection) -> bool:
    """Tell whether the other end has hung up: an idle connection has nothing to read."""
    poller = select.poll()
    poller.register(connection.sock, select.POLLIN)
    return bool(poller.poll(0))


def outcome(event: Event) -> Any:
    """Return the value that an event holds, or raise its exception."""
    if isinstance(event, Raised):
        try:
            raise event.error
        finally:
            del event  # no reference cycle through the traceback
    if isinstance(event, (Result, Item)):
        return event.value
    msg = f"The worker sent {type(event).__name__} where a result was due. Report this as a bug."
    raise CallError(msg)


class Talk:
    """Move the bytes of one call."""

    def __init__(self, client: Client, target: Target, exchange: Exchange) -> None:
        """Open a connection and send the call."""
        self._client = client
        self._target = target
        self._exchange = exchange
        self._connection: Connection | None = client.take(target)
        self._send(exchange.opening(self._connection.worker_id))

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
        """Wait for what comes next; show output, and mend the connection when it breaks."""
        while True:
            try:
                event = self._receive()
            except BaseException:
                self.cancel()
                raise
            if isinstance(event, Logs):
                show(event.entries)
            elif not isinstance(event, SendAgain):
                if self._exchange.ended:
                    self._release()
                return event

    def _receive(self) -> Event:
        while True:
            if self._connection is None:
                worker_id = self._exchange.worker_id or ""
                self._connection = self._client.reopen(self._target, worker_id)
                self._send(self._exchange.opening(worker_id))
                continue
            try:
                frame = frames.receive(self._connection.sock)
            except (OSError, FrameError):
                frame = None
            if frame is None:
                self._drop()
                continue
            event = self._exchange.receive(frame)
            if isinstance(event, SendAgain):
                self._send(self._exchange.call_pieces())
                return event
            acknowledgement = self._exchange.acknowledging()
            if acknowledgement is not None:
                self._send(acknowledgement)
            return event

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._client.give_back(self._target, connection)

    def cancel(self) -> None:
        """Stop the call and give up its connection; safe to repeat."""
        if self._exchange.ended or self._exchange.worker_id is None:
            return
        self._exchange.ended = True
        self._drop()
        self._client.send_cancel(self._target, self._exchange)

    def items(self) -> Iterator[Any]:
        """Yield the items of a generator; closing the iterator stops it there."""
        return self._items()

    def _items(self) -> Generator[Any, None, None]:
        try:
            while True:
                event = self.next_event()
                if isinstance(event, Item):
                    yield event.value
                else:
                    outcome(event)
                    return
        finally:
            self.cancel()
