"""This machine as a host: the embedded server, without SSH."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runhouse.bootstrap.host import OnOutput, Placed
from runhouse.bootstrap.local_command import LocalCompleted, run_command
from runhouse.bootstrap.local_copy import copy_here
from runhouse.bootstrap.relay import LocalTunnel, open_relay
from runhouse.client.endpoint import ended
from runhouse.errors import SettingsError, SyncError
from runhouse.files import PLAINLY, Copying
from runhouse.server.control import log_tail, running_server, start_server, stop_server
from runhouse.server.info import ServerConfig, ServerInfo
from runhouse.server.paths import ServerPaths
from runhouse.ssh.project import list_project
from runhouse.ssh.sync import SyncReport, report
from runhouse.version import __version__

if TYPE_CHECKING:
    from runhouse.bootstrap.host import Host, Mounted
    from runhouse.settings import Settings


def server_root(settings: Settings) -> Path:
    """Return the directory of the embedded server: one for each interpreter and installation."""
    own = os.environ.get("RH_SERVER_ROOT")
    if own:  # in a worker: this machine's server is the one that the worker belongs to
        return Path(own)
    identity = f"{sys.prefix}\0{sys.version}\0{Path(__file__).parents[1]}"
    return settings.home / "local" / hashlib.sha256(identity.encode()).hexdigest()[:12]


class LocalHost:
    """Start and use the embedded server of this machine."""

    is_here = True

    def __init__(self, settings: Settings, python: str = "", port: int = 0) -> None:
        """Store the settings; nothing starts before it is used."""
        self._settings = settings
        self._python = python
        self._port = port
        self._paths = ServerPaths(server_root(settings))
        self._info: ServerInfo | None = None
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        """Return the host's name for messages."""
        return "localhost"

    @property
    def token(self) -> str:
        """Return the bearer token."""
        return self._paths.token.read_text(encoding="ascii").strip()

    @property
    def server_id(self) -> str:
        """Return which start of the server this is."""
        return self._served().server_id

    def _served(self) -> ServerInfo:
        return self._info if self._info is not None else self.up()

    def up(self, *, replace: bool = False) -> ServerInfo:
        """Start the embedded server unless it runs; in a worker, it is the one that runs."""
        own = running_server(self._paths) if "RH_SERVER_ROOT" in os.environ else None
        if own is not None and not replace:
            self._info = own
            return own
        config = ServerConfig(
            root=str(self._paths.root),
            version=__version__,
            python=self._python,
            start_timeout_s=self._settings.start_timeout_s,
            idle_s=self._settings.local_idle_s,
            port=self._port,
            keep_runs_days=self._settings.keep_runs_days,
        )
        with self._lock:
            self._info = start_server(config, replace=replace)
            return self._info

    def server_running(self) -> bool:
        """Tell whether the embedded server runs."""
        return running_server(self._paths) is not None

    def stop_server(self) -> bool:
        """Stop the embedded server."""
        with self._lock:
            self._info = None
        return stop_server(self._paths)

    def server_log(self) -> str:
        """Return the end of the server's and the workers' logs."""
        logs = [self._paths.log, *sorted(self._paths.workers.glob("*.log"))]
        return "".join(f"==> {path} <==\n{log_tail(path)}" for path in logs if path.exists())

    def disconnect(self) -> None:
        """Forget the server; the next use looks for it again."""
        with self._lock:
            self._info = None

    def is_connected(self) -> bool:
        """Tell whether the server is known and runs."""
        return self._info is not None and self.server_running()

    def connect(self) -> socket.socket:
        """Return a new connection to the data socket."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self._served().data)
        except OSError:
            sock.close()
            raise
        return sock

    def http_path(self) -> str:
        """Return the path of the HTTP socket."""
        return self._served().http

    def revive(self, *, start: bool) -> None:
        """Find the server again, or start another one."""
        info = running_server(self._paths)
        if info is None and not start:
            raise ended(self.host)
        if info is None:
            info = self.up()
        self._info = info

    def run(
        self,
        command: str,
        *,
        input: bytes | None = None,  # noqa: A002 - the word of subprocess.run
        on_output: OnOutput | None = None,
    ) -> LocalCompleted:
        """Run a shell command on this machine."""
        return run_command(command, input, on_output)

    def run_program(self, program: str, data: bytes) -> LocalCompleted:
        """Run the text of a Python program on this machine; the data is its standard input."""
        return self.run(shlex.join([self.python(), "-I", "-c", program]), input=data)

    def server_root(self) -> str:
        """Return the directory of the embedded server."""
        return str(self._paths.root)

    def python(self) -> str:
        """Return the interpreter of this machine's workers."""
        return self._python or sys.executable

    @property
    def root(self) -> str:
        """Return our directory."""
        return str(self._settings.home)

    @property
    def packages(self) -> str:
        """Return the directory that holds our package."""
        return str(Path(__file__).parents[2])

    def interactive(self, command: str | None = None) -> int:
        """Run a shell, or a command, on this terminal."""
        shell = os.environ.get("SHELL", "/bin/sh")
        argv = [shell] if command is None else [shell, "-c", command]
        return subprocess.run(argv, check=False).returncode  # noqa: S603 - the user's own shell

    def forward_port(self, local_port: int, remote_port: int, *, attempts: int = 1) -> LocalTunnel:
        """Lead a port to another one; the port itself needs nothing, as it is on this machine.

        Raises:
            SettingsError: None of the ports is free.
        """
        if local_port == remote_port:
            return LocalTunnel(remote_port, remote_port)
        relay = open_relay(local_port, remote_port, attempts)
        if relay is None:
            msg = (
                f"No tunnel to port {remote_port} of this machine can be made. The ports "
                f"{local_port} to {local_port + attempts - 1} are taken. Give another local port, "
                "or more attempts."
            )
            raise SettingsError(msg)
        return relay

    def place(self, root: Path, *, dry_run: bool = False) -> Placed:
        """Return the project where it is."""
        del dry_run
        return Placed(str(root), list_project(root))

    def copy(
        self, source: str, dest: str, *, up: bool, contents: bool, how: Copying = PLAINLY
    ) -> SyncReport:
        """Copy files on this machine."""
        del up
        origin, target = Path(source).expanduser(), Path(dest).expanduser()
        started = time.monotonic()
        try:
            into = origin.is_dir() or dest.endswith("/") or target.is_dir()
            place = target / origin.name if into and not contents else target
            counts = copy_here(origin, place, how)
        except (OSError, shutil.Error) as error:
            msg = f"{source} was not copied to {dest}. {error}. Check both paths."
            raise SyncError(msg) from error
        return report(counts, started)

    def copy_to(self, other: Host, source: str, dest: str, how: Copying) -> SyncReport | None:
        """Copy files to another host, which needs no third one."""
        contents = source.endswith("/")
        return other.copy(source.rstrip("/") or "/", dest, up=True, contents=contents, how=how)

    def mount(self, remote: str, folder: Path) -> Mounted:
        """Refuse to mount: it is here already.

        Raises:
            SyncError: Always.
        """
        msg = (
            f"{remote} was not mounted at {folder}. It is on this machine already. Use the path, "
            "or a symbolic link."
        )
        raise SyncError(msg)
