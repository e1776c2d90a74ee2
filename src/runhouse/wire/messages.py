"""Messages: what client, server and worker may say to each other.

A connection to a worker begins as an HTTP/1.1 request that asks the server to upgrade it::

    GET /workers/ENV HTTP/1.1
    Authorization: Bearer TOKEN
    Upgrade: runhouse-frames/1
    Runhouse-Scope: {"project": …}          (JSON, percent-encoded)
    Runhouse-Worker: ID                     (only that worker will do)

The server answers `101 Switching Protocols` and hands the socket to the worker; then frames flow
between client and worker, one call at a time on each connection. A call's events are numbered from
0, so that a client whose connection broke can attach again and go on where it stopped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Literal, TypeAlias

PROTOCOL = "runhouse-frames/1"
WORKER_HEADER = "Runhouse-Worker"
SCOPE_HEADER = "Runhouse-Scope"
PYTHON_HEADER = "Runhouse-Python"


class Kind(IntEnum):
    """Say what a frame is; below 16 from client to worker, from 16 on from worker to client."""

    CALL = 1
    ATTACH = 2
    CANCEL = 3
    ACK = 4
    LOG = 16
    STREAM = 17
    ITEM = 18
    RESULT = 19
    ERROR = 20
    UNKNOWN = 21


Operation: TypeAlias = Literal["define", "call", "new", "method"]
"""What a call does: define a function or class under a key; call a function; make an instance of a
class under a key of its own; call a method of an instance."""

LogEntry: TypeAlias = "tuple[str, object]"
"""`("stdout", text)`, `("stderr", text)`, or `("record", fields of a logging.LogRecord)`."""


@dataclass(frozen=True, slots=True)
class Call:
    """Ask a worker to run something (the frame's body holds the pickled arguments).

    Attributes:
        run_id: Made by the client before sending: the same id is never run twice.
        op: What to do.
        key: The function, class or instance.
        method: The method's name, for `method`.
        new_key: Where the new instance goes, for `new`.
        logs: Whether output is sent to the caller.
        log_level: Lowest level of log records that the caller wants.
        grace_s: How long the call goes on when its caller has vanished.
    """

    run_id: str
    op: Operation
    key: str
    method: str = ""
    new_key: str = ""
    logs: bool = True
    log_level: int = 30
    grace_s: float = 30.0

    def to_meta(self) -> dict[str, object]:
        """Return the message as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Code:
    """Say where a function or class comes from (for `define`).

    Attributes:
        module: Module to import it from, or empty: the body holds it by value.
        name: Its qualified name in the module.
        file: For a script, which is imported by its path: that path.
        import_roots: Directories in which the code's imports are looked for, first one first.
    """

    module: str = ""
    name: str = ""
    file: str = ""
    import_roots: tuple[str, ...] = ()

    def to_meta(self) -> dict[str, object]:
        """Return the message as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scope:
    """Say for which code a worker is wanted.

    Attributes:
        project: Directory on the host in which the worker runs, or empty for the home directory.
        generation: Changes when the project's code has changed; empty takes the worker as it is.
        python: Interpreter on the host, or empty for the one that the server runs in.
    """

    project: str = ""
    generation: str = ""
    python: str = ""

    def to_meta(self) -> dict[str, object]:
        """Return the message as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Death:
    """Tell how a worker ended.

    Attributes:
        pid: Its process id.
        exit_code: Its exit code, or None when a signal ended it.
        signal_name: The signal, for example `"SIGKILL"`, or None.
        log_tail: The last lines that it wrote.
    """

    pid: int
    exit_code: int | None
    signal_name: str | None
    log_tail: str
