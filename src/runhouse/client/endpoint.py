"""Where a server can be reached, and the greeting that opens a connection to a worker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from runhouse.errors import CallError, ServerLostError, WorkerDiedError, WorkerStartError
from runhouse.wire.messages import (
    PROTOCOL,
    PYTHON_HEADER,
    SCOPE_HEADER,
    WORKER_HEADER,
    Death,
    Scope,
)

if TYPE_CHECKING:
    import socket

_CHUNK = 16 * 1024


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
    """Say which worker a connection is for: one that exists, or the one for an env and code."""

    env: str
    scope: Scope
    worker_id: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """Hold an open connection to a worker.

    Attributes:
        sock: The connected socket.
        worker_id: The worker at its other end.
        python: That worker's Python version, for example `"3.11.7"`.
    """

    sock: socket.socket
    worker_id: str
    python: str


def greet(endpoint: Endpoint, target: Target, timeout_s: float) -> Connection:
    """Open a connection to a worker.

    Args:
        endpoint: The server.
        target: The worker.
        timeout_s: Longest wait for the server's answer; a worker may have to start.

    Raises:
        OSError: The server cannot be reached now.
        WorkerDiedError: That worker has ended.
        WorkerStartError: The worker did not start.
        CallError: The server refused for another reason.
    """
    sock = endpoint.connect()
    try:
        sock.settimeout(timeout_s)
        sock.sendall(_request(endpoint, target))
        headers = _welcome(endpoint, sock)
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return Connection(sock, headers[WORKER_HEADER.lower()], headers[PYTHON_HEADER.lower()])


def _welcome(endpoint: Endpoint, sock: socket.socket) -> dict[str, str]:
    """Read the server's answer; return its headers, or raise what a refusal stands for."""
    status, headers, body = _answer(sock)
    if status != 101:
        raise _refusal(endpoint, status, body)
    return headers


def _request(endpoint: Endpoint, target: Target) -> bytes:
    lines = [
        f"GET /workers/{quote(target.env, safe='')} HTTP/1.1",
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


def _refusal(endpoint: Endpoint, status: int, body: bytes) -> Exception:
    """Return the error that a refusal stands for."""
    problem = json.loads(body)
    detail = problem.get("detail", "")
    if status == 410:
        return died(endpoint.host, problem.get("death"))
    if status == 503:
        return WorkerStartError(detail, host=endpoint.host)
    return CallError(
        f"The server on {endpoint.host} refused a connection. It said {status}: {detail} "
        "Connect anew with cluster.connect_server_client(force_reconnect=True)."
    )


def ended(host: str) -> ServerLostError:
    """Return the error for a server that has ended while a call was running in it."""
    return ServerLostError(
        f"The server on {host} ended during a call. It was stopped or killed, and the call is lost "
        "with it. Call again; a new server starts by itself."
    )


def died(host: str, facts: dict[str, object] | None) -> CallError:
    """Return the error for a worker that has ended."""
    if facts is None:
        return ServerLostError(
            f"A worker on {host} is gone, and so is what it held. Its server was restarted. "
            "Send the function or object again with .to()."
        )
    death = Death(**facts)  # type: ignore[arg-type]
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
