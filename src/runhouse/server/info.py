"""What a server is started with, what others know of it, and the lock that it holds."""

from __future__ import annotations

import contextlib
import fcntl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Hold what a server is started with.

    Attributes:
        root: Directory of its files.
        version: Version of runhouse that it runs.
        digest: Digest of the runtime that it was started from.
        python: Interpreter of workers, or empty for the server's own.
        start_timeout_s: Longest wait for a worker to start.
        idle_s: Ends itself after this long with nobody connected and nothing running; 0: never.
        port: TCP port on 127.0.0.1 on which HTTP is served as well; 0: none.
        keep_runs_days: How long recorded runs are kept after their end.
        minute_s: How long a minute of autostop is; tests shorten it.
        autostop: A new autostop setting, as `PUT /autostop` takes it; None keeps the one before.
    """

    root: str
    version: str
    digest: str = ""
    python: str = ""
    start_timeout_s: float = 30.0
    idle_s: float = 0.0
    port: int = 0
    keep_runs_days: float = 30.0
    minute_s: float = 60.0
    autostop: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Hold what a client needs to know about a running server.

    Attributes:
        pid: Its process id.
        server_id: Made anew at every start.
        host_id: Made once for this host and user.
        version: Version of runhouse.
        digest: Digest of its runtime.
        python: Its interpreter.
        python_version: That interpreter's version, for example `"3.11.7"`.
        data: Path of the data socket.
        http: Path of the HTTP socket.
        hostname: The host's own name.
        platform: Kernel and machine, for example `"Linux x86_64"`.
        started_at: Seconds since the epoch.
    """

    pid: int
    server_id: str
    host_id: str
    version: str
    digest: str
    python: str
    python_version: str
    data: str
    http: str
    hostname: str
    platform: str
    started_at: float


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of a file; wait for it."""
    with path.open("a", encoding="ascii") as file:
        path.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock of a file; several may ask at once."""
    with path.open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
