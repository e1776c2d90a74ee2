"""The server process: its birth, its life, its drain and its death."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import platform
import secrets
import signal
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse import extras
from runhouse.files import write_private
from runhouse.server.auth import Tokens, read_or_make_token
from runhouse.server.autostop import Keeper, Setting
from runhouse.server.data import DataSocket
from runhouse.server.envs import Bindings
from runhouse.server.history import History
from runhouse.server.index import Index
from runhouse.server.info import ServerConfig, ServerInfo, exclusive
from runhouse.server.journals import Journals
from runhouse.server.keys import Keys
from runhouse.server.launch import Launcher
from runhouse.server.nodes import resident_bytes, this_node
from runhouse.server.paths import ServerPaths
from runhouse.server.runs import Runs
from runhouse.server.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_BACKLOG = 1024
_IDLE_CHECK_S = 1.0
_DAY_S = 24 * 3600.0


def listen(path: Path) -> socket.socket:
    """Return a listening Unix socket that only this user can connect to."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


class Daemon:
    """Run one server."""

    def __init__(self, config: ServerConfig) -> None:
        """Store the configuration; `run` does the rest."""
        self.config = config
        self.paths = ServerPaths(Path(config.root))
        self.tokens = Tokens(read_or_make_token(self.paths.token), self.paths.tokens)
        sockets = self.paths.sockets()
        self.info = ServerInfo(
            pid=os.getpid(),
            server_id=secrets.token_hex(8),
            host_id=_host_id(self.paths.root / "host-id"),
            version=config.version,
            digest=config.digest,
            python=sys.executable,
            python_version=platform.python_version(),
            data=str(sockets / "data.sock"),
            http=str(sockets / "http.sock"),
            hostname=socket.gethostname(),
            platform=f"{platform.system()} {platform.machine()}",
            started_at=time.time(),
        )
        self.bindings = Bindings(self.paths.envs)
        self.workers = Workers(
            Launcher(self.paths, config.python or sys.executable, self._worker_environment()),
            self.bindings,
        )
        self.workers.on_activity = self._note_activity
        self.index = Index(self.paths.objects)
        self.keys = Keys(self.index, self.workers, config.start_timeout_s)
        journals = Journals(
            self.paths.runs,
            config.keep_runs_days * _DAY_S,
            lambda worker_id: self.workers.find(worker_id) is not None,
        )
        self.runs = Runs(journals, self.workers)
        self.keeper = Keeper(self.paths.autostop, self.workers, journals, config.minute_s)
        if config.autostop is not None:
            self.keeper.set(Setting(**config.autostop))
        self.history = History(lambda: self.workers.total("running"))
        self._active_at = time.monotonic()
        self._stopping = asyncio.Event()
        self._http: asyncio.Task[None] | None = None

    def _worker_environment(self) -> dict[str, str]:
        """Return the variables of worker processes: ours, and which server they belong to."""
        return dict(os.environ) | {
            "RH_SERVER_ROOT": self.config.root,
            "RH_SERVER_ID": self.info.server_id,
            "RH_HOST_ID": self.info.host_id,
        }

    def _note_activity(self) -> None:
        self._active_at = time.monotonic()

    def stop(self) -> None:
        """Begin to drain; `run` returns when the workers have ended."""
        self._stopping.set()

    async def run(self, on_ready: Callable[[ServerInfo], None]) -> None:
        """Serve until told to stop or idle for too long.

        Args:
            on_ready: Called once, when clients can connect.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        data_listener = listen(Path(self.info.data))
        http_listeners = [listen(Path(self.info.http)), *self._tcp_listeners()]
        data = DataSocket(self, self.config.start_timeout_s)
        tasks = [
            asyncio.create_task(data.serve(data_listener)),
            asyncio.create_task(self._watch_idle()),
            asyncio.create_task(self.keeper.run()),
            asyncio.create_task(self.history.run()),
        ]
        for listener in http_listeners:
            loop.add_reader(listener, self._load_http, http_listeners)
        write_private(self.paths.info, f"{json.dumps(asdict(self.info))}\n".encode())
        on_ready(self.info)
        log.info(
            "server %s is up: pid %s, version %s",
            self.info.server_id,
            self.info.pid,
            self.info.version,
        )
        await self._stopping.wait()
        log.info("server %s stops", self.info.server_id)
        for task in [*tasks, *([self._http] if self._http is not None else [])]:
            task.cancel()
        await self.workers.stop_all()
        for path in (self.paths.info, Path(self.info.data), Path(self.info.http)):
            path.unlink(missing_ok=True)

    def _tcp_listeners(self) -> list[socket.socket]:
        """Return a loopback listener when a port was asked for; TCP is never the default."""
        if not self.config.port:
            return []
        listener = socket.create_server(("127.0.0.1", self.config.port), backlog=_BACKLOG)
        listener.setblocking(False)
        return [listener]

    def _load_http(self, listeners: list[socket.socket]) -> None:
        """Load the HTTP part with the first connection: calls do not need it."""
        loop = asyncio.get_running_loop()
        for listener in listeners:
            loop.remove_reader(listener)
        self._http = loop.create_task(self._serve_http(listeners))

    async def _serve_http(self, listeners: list[socket.socket]) -> None:
        try:
            app = await asyncio.to_thread(extras.load, "runhouse.server.app", extra="server")
            await app.serve(app.create_app(self), listeners)
        except Exception:
            log.exception("HTTP cannot be served; calls go on without it")
            for listener in listeners:
                listener.close()

    async def _watch_idle(self) -> None:
        """Stop when nobody is connected and nothing runs for long enough."""
        while self.config.idle_s:
            await asyncio.sleep(min(_IDLE_CHECK_S, self.config.idle_s / 4))
            if self.workers.total("running") or self.workers.total("connections"):
                self._note_activity()
            elif time.monotonic() - self._active_at > self.config.idle_s:
                log.info("idle for %s s", self.config.idle_s)
                self.stop()
                return

    async def status(self) -> dict[str, object]:
        """Return what `GET /status` tells."""
        await self.workers.refresh()
        node = await this_node()
        return {
            **asdict(self.info),
            "uptime_s": time.time() - self.info.started_at,
            "memory_bytes": resident_bytes(self.info.pid),
            "running": self.workers.total("running"),
            "objects": self.workers.total("objects"),
            "autostop": self.keeper.to_json(),
            "nodes": [node.to_json()],
            "workers": [
                {
                    "id": worker.id,
                    "env": worker.env,
                    "pid": worker.pid,
                    "python": worker.python,
                    "project": worker.scope.project,
                    "memory_bytes": resident_bytes(worker.pid),
                    "uptime_s": time.time() - worker.started_at,
                    "running": worker.state.get("running", 0),
                    "objects": worker.state.get("objects", 0),
                    "calls": worker.state.get("calls", 0),
                    "gpus": list(worker.gpus),
                }
                for worker in self.workers.alive()
            ],
        }


def _host_id(path: Path) -> str:
    """Return the identity of this host and user, made once."""
    with contextlib.suppress(FileNotFoundError):
        known = path.read_text(encoding="ascii").strip()
        if known:
            return known
    made = secrets.token_hex(16)
    write_private(path, made.encode())
    return made


def serve() -> None:
    """Be the server process (see `control.start_server`)."""
    config = ServerConfig(**json.loads(sys.argv[1]))
    ready_fd = int(sys.argv[2])
    os.set_inheritable(ready_fd, False)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    paths = ServerPaths(Path(config.root))

    def ready(info: ServerInfo) -> None:
        os.write(ready_fd, json.dumps(asdict(info)).encode() + b"\n")
        os.close(ready_fd)

    async def run() -> None:
        await Daemon(config).run(ready)

    with exclusive(paths.lock):
        asyncio.run(run())
