"""Start, ask and stop the server of this host; run on the host itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from enum import IntEnum
from pathlib import Path

from runhouse.errors import ServerBusyError, ServerStartError
from runhouse.files import private_directory
from runhouse.server.info import ServerConfig, ServerInfo, exclusive, is_locked
from runhouse.server.paths import ServerPaths
from runhouse.server.unix_http import unix_connection

_LOG_TAIL = 4096
_LOG_LIMIT = 16 * 1024 * 1024
_ANSWER_S = 10.0
_POLL_S = 0.02
_DETACH = '"$@" >&2 & echo $!'


class ExitCode(IntEnum):
    """Name the exit codes of `python -m runhouse.server` that say why it did not succeed."""

    NOT_RUNNING = 1
    NOT_STARTED = 3
    IN_USE = 4


def running_server(paths: ServerPaths) -> ServerInfo | None:
    """Return the server that runs in a directory, or None.

    A server holds the lock of its directory for as long as it lives, whatever ends it.
    """
    try:
        info = ServerInfo(**json.loads(paths.info.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return info if is_locked(paths.lock) else None


def server_status(paths: ServerPaths, info: ServerInfo) -> dict[str, object]:
    """Ask a running server for its status.

    Raises:
        OSError: It does not answer.
    """
    connection = unix_connection(info.http, _ANSWER_S)
    with contextlib.closing(connection):
        token = paths.token.read_text(encoding="ascii").strip()
        connection.request("GET", "/status", headers={"Authorization": f"Bearer {token}"})
        answer: dict[str, object] = json.loads(connection.getresponse().read())
        return answer


def start_server(config: ServerConfig, *, replace: bool = False) -> ServerInfo:
    """Return the running server of this host; start one when there is none.

    Several callers at once end with one server. A server of another version is replaced when
    nothing runs in it and it holds no objects.

    Args:
        config: What a new server is started with.
        replace: Stop a running server first, whatever it does.

    Raises:
        ServerBusyError: A server of another version is in use.
        ServerStartError: The server did not come up; the error has the end of its log.
    """
    paths = ServerPaths(private_directory(Path(config.root)))
    with exclusive(paths.root / "start.lock"):
        info = running_server(paths)
        if info is not None and (replace or _must_go(config, info, paths)):
            stop_server(paths)
            info = None
        return info if info is not None else _start(config, paths)


def _must_go(config: ServerConfig, info: ServerInfo, paths: ServerPaths) -> bool:
    """Tell whether a running server is to be replaced by another version.

    Raises:
        ServerBusyError: It is to be, but is in use.
    """
    if (info.version, info.digest) == (config.version, config.digest):
        return False
    if _as_numbers(info.version) > _as_numbers(config.version):
        return False  # an older client does not take a newer server away
    status = server_status(paths, info)
    calls, objects = (int(str(status[key])) for key in ("running", "objects"))
    if not calls and not objects:
        return True
    if info.version == config.version:
        return False  # the same version, built again: it understands this client
    msg = (
        f"The server on {info.hostname} was not replaced. It runs runhouse {info.version}, this "
        f"client is {config.version}, and it is in use: {calls} running calls, {objects} objects. "
        "Wait until they are gone, or replace it with cluster.restart_server()."
    )
    raise ServerBusyError(msg, host=info.hostname, calls=calls, objects=objects)


def _as_numbers(version: str) -> list[int]:
    """Return a version in a form that compares as versions do."""
    return [int(part) for part in re.findall(r"\d+", version)]


def _start(config: ServerConfig, paths: ServerPaths) -> ServerInfo:
    """Start a detached server process, and wait until it is ready or has failed."""
    with contextlib.suppress(FileNotFoundError):
        if paths.log.stat().st_size > _LOG_LIMIT:
            paths.log.replace(paths.log.with_suffix(".log.1"))
    ready_read, ready_write = os.pipe()
    log_fd = os.open(paths.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    imports = f"import sys; sys.path[:] = {sys.path!r}; from runhouse.server.daemon import serve"
    server = [sys.executable, "-c", f"{imports}; serve()"]
    try:
        # The shell ends at once, so the server is nobody's child and leaves no zombie behind.
        launched = subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *server, json.dumps(asdict(config)), str(ready_write)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log_fd,
            check=True,
            cwd="/",
            pass_fds=(ready_write,),
            start_new_session=True,
        )
    finally:
        os.close(ready_write)
        os.close(log_fd)
    with os.fdopen(ready_read, "rb") as ready:
        answered, _, _ = select.select([ready], [], [], config.start_timeout_s)
        line = ready.readline() if answered else b""
    if line:
        return ServerInfo(**json.loads(line))
    reason = "It ended before it was ready."
    if not answered:
        os.kill(int(launched.stdout), signal.SIGKILL)
        reason = f"It was not ready within {config.start_timeout_s:g} s."
    tail = log_tail(paths.log)
    host = socket.gethostname()
    msg = f"The server on {host} did not start. {reason} The end of {paths.log}:\n{tail}"
    raise ServerStartError(msg, host=host, log_tail=tail)


def log_tail(path: Path) -> str:
    """Return the end of a log file, or nothing when there is none."""
    try:
        return path.read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace")
    except OSError:
        return ""


def stop_server(paths: ServerPaths, timeout_s: float = 10.0) -> bool:
    """Stop the server of a directory and wait for its end; return whether there was one."""
    info = running_server(paths)
    if info is None:
        return False
    deadline = time.monotonic() + timeout_s
    number = signal.SIGTERM
    while running_server(paths) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(info.pid, number)
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        time.sleep(_POLL_S)
    paths.info.unlink(missing_ok=True)
    return True
