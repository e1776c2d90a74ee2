"""Where a server can be reached, and the greeting that opens a connection to a worker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from runhouse.errors import (
    CallError,
    ObjectNotFoundError,
    RunCancelledError,
    RunNotFoundError,
    ServerLostError,
    WorkerDiedError,
    WorkerStartError,
)
from runhouse.wire.messages import (
    OUTDATED_HEADER,
    PROTOCOL,
    PYTHON_HEADER,
    SCOPE_HEADER,
    WORKER_HEADER,
    WORKERS_HEADER,
    Death,
    Scope,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

_CHUNK = 16 * 1024


class EnvNotReadyError(CallError):
    """Report an env that is not, or not any more, on the cluster as the caller has it."""


class Endpoint(Protocol):
    """Reach one server; the kinds of cluster say how."""

    @property
    def host(self) -> str:
        """Return the host's name for messages."""

    @property
    def token(self) -> str:
        """Return the bearer token."""

    @property
    def server_id(self) -> str:
        """Return which start of the server this is."""

    def connect(self) -> socket.socket:
        """Return a new connection to the data socket.

        Raises:
            OSError: Nothing answers there now.
        """

    def http_path(self) -> str:
        """Return the path of a Unix socket that leads to the HTTP API."""

    def revive(self, *, start: bool) -> None:
        """Make the server reachable again after a connection has failed.

        Args:
            start: Start a server when none runs any more.

        Raises:
            ConnectError: The host cannot be reached.
            ServerLostError: No server runs there, and `start` is off.
        """


@dataclass(frozen=True, slots=True)
class Target:
    """Say which worker a connection is for.

    Attributes:
        env: The one for an env,
        scope: and the code that it runs;
        worker_id: or the one with this identity;
        key: or the one that holds an object;
        run: or the one of a recorded run, which the server stands for when it is gone.
    """

    env: str = ""
    scope: Scope = Scope()
    worker_id: str = ""
    key: str = ""
    run: str = ""

    @property
    def path(self) -> str:
        """Return the path to ask the server for."""
        if self.run:
            return f"/runs/{quote(self.run, safe='')}"
        if self.key:
            return f"/objects/{quote(self.key, safe='')}"
        return f"/workers/{quote(self.env, safe='')}"


@dataclass(frozen=True, slots=True)
class Connection:
    """Hold an open connection to a worker.

    Attributes:
        sock: The connected socket.
        worker_id: The worker at its other end; empty when the server itself sends what a run has
            left.
        python: That worker's Python version, for example `"3.11.7"`.
        outdated: Keys of objects in workers whose code this one's has replaced.
        shared: Whether other workers could take the next call as well.
    """

    sock: socket.socket
    worker_id: str
    python: str
    outdated: Sequence[str] = ()
    shared: bool = False


def greet(endpoint: Endpoint, target: Target, timeout_s: float, run_id: str = "") -> Connection:
    """Open a connection to a worker.

    Args:
        endpoint: The server.
        target: The worker.
        timeout_s: Longest wait for the server's answer; a worker may have to start.
        run_id: The call that it is for, when that is running already.

    Raises:
        OSError: The server cannot be reached now.
        WorkerDiedError: That worker has ended.
        WorkerStartError: The worker did not start.
        ObjectNotFoundError: Nothing is held under the key.
        RunNotFoundError: There is no such run.
        CallError: The server refused for another reason.
    """
    sock = endpoint.connect()
    try:
        sock.settimeout(timeout_s)
        sock.sendall(_request(endpoint, target))
        headers = _welcome(endpoint, sock, run_id)
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    outdated = json.loads(headers.get(OUTDATED_HEADER.lower(), "[]"))
    worker_id, python = headers[WORKER_HEADER.lower()], headers[PYTHON_HEADER.lower()]
    shared = WORKERS_HEADER.lower() in headers
    return Connection(sock, worker_id, python, tuple(outdated), shared)


def _welcome(endpoint: Endpoint, sock: socket.socket, run_id: str) -> dict[str, str]:
    """Read the server's answer; return its headers, or raise what a refusal stands for."""
    status, headers, body = _answer(sock)
    if status != 101:
        raise _refusal(endpoint, status, body, run_id)
    return headers


def _request(endpoint: Endpoint, target: Target) -> bytes:
    lines = [
        f"GET {target.path} HTTP/1.1",
        "Host: runhouse",
        "Connection: Upgrade",
        f"Upgrade: {PROTOCOL}",
        f"Authorization: Bearer {endpoint.token}",
        f"{SCOPE_HEADER}: {quote(json.dumps(target.scope.to_meta()))}",
    ]
    if target.worker_id:
        lines.append(f"{WORKER_HEADER}: {target.worker_id}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read an HTTP answer; after a 101 the worker stays silent until it is spoken to."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += _more(sock)
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii", "replace").split("\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    status = int(first.split(" ")[1])
    while status != 101 and len(body) < int(headers.get("content-length", "0")):
        body += _more(sock)
    return status, headers, body


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(_CHUNK)
    if not data:
        msg = "The server closed the connection before it answered."
        raise ConnectionResetError(msg)
    return data


def _refusal(endpoint: Endpoint, status: int, body: bytes, run_id: str) -> Exception:
    """Return the error that a refusal stands for."""
    problem = json.loads(body)
    detail = problem.get("detail", "")
    if status == 410:
        return died(endpoint.host, problem.get("death"), run_id)
    if status == 503:
        return WorkerStartError(detail, host=endpoint.host)
    if status == 409 and "env" in problem:
        return env_not_ready(endpoint.host, problem["env"])
    if status == 404 and "key" in problem:
        return object_not_found(endpoint.host, problem["key"])
    if status == 404 and "run" in problem:
        return run_not_found(endpoint.host, problem["run"])
    return CallError(
        f"The server on {endpoint.host} refused a connection. It said {status}: {detail} "
        "Connect anew with cluster.connect_server_client(force_reconnect=True)."
    )


def refusal_of_request(endpoint: Endpoint, request: str, status: int, body: bytes) -> CallError:
    """Return the error for a request to the HTTP API that was refused."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {}
    if status == 404 and "key" in problem:
        return object_not_found(endpoint.host, problem["key"])
    if status == 404 and "run" in problem:
        return run_not_found(endpoint.host, problem["run"])
    said = problem.get("detail") or body.decode("utf-8", "replace")
    return CallError(
        f"The server on {endpoint.host} refused {request}. It said {status}: {said} Connect anew "
        "with cluster.connect_server_client(force_reconnect=True) if it should not have."
    )


def env_not_ready(host: str, name: str) -> EnvNotReadyError:
    """Return the error for an env that is another one on a cluster than the caller has."""
    return EnvNotReadyError(
        f"The env {name!r} on {host} is not the one that this was sent to. It was changed or "
        "removed by somebody else. Send the function or object again with .to()."
    )


def object_not_found(host: str, key: str) -> ObjectNotFoundError:
    """Return the error for a key under which a cluster holds nothing."""
    return ObjectNotFoundError(
        f"key {key!r} not found. {host} holds no object of this key: it was never put, was "
        "deleted, or was lost with its worker. Look at cluster.keys().",
        key=key,
    )


def run_not_found(host: str, key: str) -> RunNotFoundError:
    """Return the error for a run that a cluster does not know."""
    return RunNotFoundError(
        f"There is no run {key!r} on {host}. It was never started there, or ended so long ago that "
        "it was removed. Look at cluster.runs().",
        key=key,
    )


def ended(host: str) -> ServerLostError:
    """Return the error for a server that has ended while a call was running in it."""
    return ServerLostError(
        f"The server on {host} ended during a call. It was stopped or killed, and the call is lost "
        "with it. Call again; a new server starts by itself."
    )


def died(host: str, facts: dict[str, object] | None, run_id: str = "") -> CallError:
    """Return the error for a worker that has ended.

    Args:
        host: The host's name.
        facts: How it ended, or None when that is not known.
        run_id: The call that was running in it.
    """
    if facts is None:
        return ServerLostError(
            f"A worker on {host} is gone, and so is what it held. Its server was restarted. "
            "Send the function or object again with .to()."
        )
    death = Death(**facts)  # type: ignore[arg-type]
    if run_id in death.cancelled:
        return RunCancelledError(
            "The call was cancelled by force, and its worker with it. Call again if it is still "
            "wanted; what the worker held is lost."
        )
    how = (
        f"was ended by {death.signal_name}"
        if death.signal_name
        else f"ended with exit code {death.exit_code}"
    )
    hint = " (often the kernel's out-of-memory killer)" if death.signal_name == "SIGKILL" else ""
    tail = f" It wrote last:\n{death.log_tail.rstrip()}" if death.log_tail.strip() else ""
    return WorkerDiedError(
        f"The worker on {host} (pid {death.pid}) {how}{hint}. Its running calls and objects are "
        f"lost; the next call of a function starts a new worker.{tail}",
        pid=death.pid,
        exit_code=death.exit_code,
        signal_name=death.signal_name,
        log_tail=death.log_tail,
    )
