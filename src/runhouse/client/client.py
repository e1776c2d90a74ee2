"""The client of one server: connections to its workers, and requests to the server itself."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from runhouse.client import tracing
from runhouse.client.endpoint import (
    Connection,
    Endpoint,
    EnvNotReadyError,
    Target,
    greet,
    refusal_of_request,
)
from runhouse.client.exchange import Exchange, Started, Streaming
from runhouse.client.reconnect import Reconnect
from runhouse.client.talk import Talk, outcome
from runhouse.errors import CallError, ConnectError, ServerLostError
from runhouse.server.unix_http import unix_connection
from runhouse.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from runhouse.settings import Settings
    from runhouse.wire.messages import Call, RunInfo
    from runhouse.wire.pickling import Pickled

# How long a new call tries to get through to a server that is said to run.
_FRESH_ATTEMPTS_S = 3.0
log = logging.getLogger(__name__)
# Workers, and objects of older code of which somebody here has been told when coming to them.
_told: set[tuple[str, str]] = set()


class Client:
    """Make calls to the workers of one server; safe for use from several threads."""

    def __init__(self, endpoint: Endpoint, settings: Settings) -> None:
        """Store how to reach the server; connections are opened when they are needed."""
        self.endpoint = endpoint
        self.settings = settings
        self._lock = threading.Lock()
        self._idle: dict[Target, list[Connection]] = {}
        self._homes: dict[str, str] = {}
        self._owner = os.getpid()
        # Sets up the env of a target that a server has not; returns whether it could.
        self.set_up: Callable[[Target], bool] = lambda _: False
        weakref.finalize(self, _close_all, self._idle)

    def call(self, target: Target, call: Call, arguments: Pickled) -> Any:
        """Run a call and wait for its end.

        Returns:
            The result, or an iterator over the items when the call made a generator.

        Raises:
            BaseException: What the call raised.
            RunhouseError: The call could not be made, or was lost.
        """
        with tracing.span(call, self.endpoint.host, target.env):
            talk = Talk(self, target, Exchange(call, arguments))
            event = talk.next_outcome()
            if isinstance(event, Streaming):
                return talk.items()
            return outcome(event)

    def start(self, target: Target, call: Call, arguments: Pickled) -> RunInfo:
        """Start a recorded run that is not watched, and return as soon as it has arrived.

        Raises:
            RunhouseError: The call could not be made.
        """
        with tracing.span(call, self.endpoint.host, target.env):
            talk = Talk(self, target, Exchange(call, arguments))
            event = talk.next_event()
            if isinstance(event, Started):
                return event.info
            outcome(event)
        msg = "The worker did not say that the run has started. Report this as a bug."
        raise CallError(msg)

    def watch(self, run_id: str) -> Talk:
        """Return the events of a recorded run from its beginning, wherever they are."""
        return Talk(self, Target(run=run_id), Exchange(run_id=run_id))

    # -- connections --------------------------------------------------------------------------

    def take(self, target: Target) -> Connection:
        """Return an open connection to a worker, a new one if none is idle."""
        if not target.key:
            return self._take(target)
        home = self._homes.get(target.key)
        if home is not None:
            try:
                return self._take(Target(worker_id=home))
            except CallError:  # that worker is gone: somebody may have put the object elsewhere
                self.forget_home(target.key)
        connection = self.open(target)
        self._homes[target.key] = connection.worker_id
        self._drop_idle(Target(worker_id=connection.worker_id))
        return connection

    def _drop_idle(self, home: Target) -> None:
        """Close an idle connection whose place another one takes: each key brings one at first."""
        with self._lock:
            idle = self._idle.get(home)
            dropped = idle.pop() if idle else None
        if dropped is not None:
            dropped.sock.close()

    def forget_home(self, key: str) -> bool:
        """Ask the server for the holder of an object next time; return whether one was known."""
        return self._homes.pop(key, None) is not None

    def _take(self, target: Target) -> Connection:
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
            and (target.scope.generation or target.scope.env)
        ]
        return [connection for key in old for connection in self._idle.pop(key)]

    def open(self, target: Target) -> Connection:
        """Open a connection for a call that has not been sent yet; heal what is in the way."""
        reconnect = Reconnect(_FRESH_ATTEMPTS_S)
        while True:
            try:
                return self._greet(target)
            except EnvNotReadyError as error:
                missing = error
                break
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
        if not self.set_up(target):
            raise missing
        return self._greet(target)

    def _unreachable(self, error: OSError) -> ConnectError:
        return ConnectError(
            f"The server on {self.endpoint.host} cannot be reached. It runs, but a connection "
            f"to it failed: {error}. Look at `rh logs`, or use cluster.restart_server().",
            host=self.endpoint.host,
        )

    def _greet(self, target: Target) -> Connection:
        connection = greet(self.endpoint, target, self.settings.start_timeout_s + 5)
        untold = [key for key in connection.outdated if (connection.worker_id, key) not in _told]
        if untold:
            _told.update((connection.worker_id, key) for key in untold)
            log.warning(
                "On %s the code has changed, but these objects keep the code that they were made "
                "of: %s. Make them again, or delete them, when they are to have the new one.",
                self.endpoint.host,
                ", ".join(untold),
            )
        return connection

    def reopen(self, target: Target, run_id: str, within_s: float) -> Connection:
        """Open another connection for a call that was sent before.

        Args:
            target: The worker that the call is in, or its run when it is recorded.
            run_id: The call.
            within_s: How many seconds to go on trying.

        Raises:
            WorkerDiedError: That worker has ended.
            RunNotFoundError: The server does not know the run.
            ServerLostError: The server is gone, or stays out of reach.
        """
        reconnect = Reconnect(within_s)
        timeout_s = self.settings.start_timeout_s + 5
        while True:
            try:
                return greet(self.endpoint, target, timeout_s, run_id)
            except CallError:  # the server has answered: that worker is gone
                raise
            except OSError as error:
                pause = reconnect.next_pause()
                if pause is None:
                    raise self._lost(error, within_s) from error
                time.sleep(pause)
            with contextlib.suppress(ConnectError):  # the network may come back
                self.endpoint.revive(start=bool(target.run))

    def _lost(self, error: Exception, within_s: float) -> ServerLostError:
        return ServerLostError(
            f"The connection to {self.endpoint.host} was lost during a call. It could not be made "
            f"again within {within_s:g} s: {error}. "
            "Check the network and the host; the call may still be running there."
        )

    def send_cancel(self, exchange: Exchange) -> None:
        """Tell the worker to stop a call, over a connection of its own.

        The call's connection may be in the middle of a frame. When the worker cannot be told, it
        stops the call itself once its caller has been gone for long enough.
        """
        same = Target(worker_id=exchange.worker_id or "")
        with contextlib.suppress(OSError, CallError):
            connection = greet(self.endpoint, same, self.settings.request_timeout_s)
            with contextlib.closing(connection.sock):
                frames.send_pieces(connection.sock, exchange.cancelling())

    def tell(self, worker_id: str, call: Call, arguments: Pickled, timeout_s: float) -> None:
        """Send a call whose result does not matter, if its worker can be reached at once.

        Nothing is sent when all connections were closed: a server that was left is left alone.

        Args:
            worker_id: The worker.
            call: The call.
            arguments: Its arguments.
            timeout_s: Longest wait for the worker, and for its answer.
        """
        if not self._idle:
            return
        with contextlib.suppress(OSError, CallError, frames.FrameError):
            connection = greet(self.endpoint, Target(worker_id=worker_id), timeout_s)
            with contextlib.closing(connection.sock) as sock:
                sock.settimeout(timeout_s)
                frames.send_pieces(sock, Exchange(call, arguments).call_pieces())
                frames.receive(sock)

    def give_back(self, target: Target, connection: Connection) -> None:
        """Keep a connection for the next call."""
        home = Target(worker_id=connection.worker_id) if target.key else target
        with self._lock:
            self._idle.setdefault(home, []).append(connection)

    def close(self) -> None:
        """Close all idle connections; safe to repeat, and calls open new ones."""
        with self._lock:
            _close_all(self._idle)

    # -- about the server -----------------------------------------------------------------------

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON object that the server's HTTP API gives for a path; see `request`."""
        answer: dict[str, Any] = self.request("GET", path)
        return answer

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Return what the server's HTTP API answers: a JSON value.

        Args:
            method: The HTTP method; all of them may be repeated.
            path: The path, quoted.
            body: A JSON value to send, or None for nothing.

        Raises:
            ObjectNotFoundError: It knows no such object.
            RunNotFoundError: It knows no such run.
            CallError: It refused.
            ConnectError: It does not answer in `request_timeout_s`.
        """
        try:
            return self._request(method, path, body)
        except CallError:  # the server has answered
            raise
        except OSError:
            self.endpoint.revive(start=True)
        try:
            return self._request(method, path, body)
        except CallError:
            raise
        except OSError as error:
            msg = f"The server on {self.endpoint.host} does not answer. {error}. Look at `rh logs`."
            raise ConnectError(msg, host=self.endpoint.host) from error

    def _request(self, method: str, path: str, body: object) -> Any:
        http = unix_connection(self.endpoint.http_path(), self.settings.request_timeout_s)
        headers = {"Authorization": f"Bearer {self.endpoint.token}"}
        with contextlib.closing(http):
            data = None if body is None else json.dumps(body)
            http.request(method, path, body=data, headers=headers)
            response = http.getresponse()
            answer = response.read()
        if response.status < 300:
            return json.loads(answer) if answer else None
        raise refusal_of_request(self.endpoint, f"{method} {path}", response.status, answer)


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
