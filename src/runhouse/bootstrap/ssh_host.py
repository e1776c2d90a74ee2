"""A host behind SSH: probe it, bring the runtime, start the server, and lead everything there."""

from __future__ import annotations

import json
import shlex
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from runhouse.bootstrap import runtime
from runhouse.bootstrap.host import Placed
from runhouse.bootstrap.probe import HostFacts, check_python, check_writable, not_writable, probe
from runhouse.bootstrap.python import bring_python
from runhouse.bootstrap.transfers import copy_between, copy_files
from runhouse.client.endpoint import ended
from runhouse.errors import BootstrapError, ConnectError, ServerBusyError, ServerStartError
from runhouse.files import PLAINLY, Copying, private_directory, write_private
from runhouse.server.control import ExitCode
from runhouse.server.info import ServerConfig, ServerInfo, exclusive
from runhouse.specs.progress import working
from runhouse.ssh.command import quote
from runhouse.ssh.host_paths import remote_path
from runhouse.ssh.mount import Mount
from runhouse.ssh.repository import copy_names
from runhouse.ssh.session import Session
from runhouse.ssh.sync import SyncReport, list_project, mirror_project
from runhouse.ssh.target import Target
from runhouse.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from runhouse.bootstrap.host import Host, OnOutput
    from runhouse.settings import Settings
    from runhouse.ssh.command import Completed
    from runhouse.ssh.tunnel import Tunnel

Find = Callable[["ConnectError | None"], Target]
_DOWNLOAD_S = 600.0
_NO_SPACE, _READ_ONLY = 28, 30
_SHOW_LOGS = """
cd "$HOME/.rh/hosts/$(uname -n)" 2>/dev/null || exit 0
for log in server.log workers/*.log; do
  [ -e "$log" ] && printf '==> %s <==\\n' "$log" && tail -n 100 "$log"
done
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Hold a running server: what the host said about it, its token, and the host's facts."""

    info: ServerInfo
    token: str
    facts: HostFacts


class SshHost:
    """Start and use the server of a host that is reached by SSH."""

    is_here = False

    def __init__(
        self,
        place: Target | Find,
        settings: Settings,
        *,
        python: str = "",
        port: int = 0,
        autostop: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        """Store what to reach; nothing is connected or looked for before it is used.

        Args:
            place: Where the host is and how to log in, or a callable that finds it: called with
                None before the first use, and with the error when it cannot be reached.
            settings: Time-outs and directories.
            python: Interpreter that runs the user's code; empty for the first that can be used.
            port: TCP port of HTTP on the host's loopback address; 0: none.
            autostop: Returns what a server that is started is told about autostop; None: nothing.
        """
        self._find = None if isinstance(place, Target) else place
        self._target = place if isinstance(place, Target) else None
        self._settings = settings
        self._python = python
        self._port = port
        self._autostop = autostop
        self._served: Served | None = None
        self._lock = threading.RLock()

    # -- the endpoint ---------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """Return the host's name for messages."""
        return self._place().host

    @property
    def is_found(self) -> bool:
        """Tell whether it is known where it is, or was."""
        return self._target is not None

    def _place(self) -> Target:
        with self._lock:
            if self._target is None and self._find is not None:
                self._target = self._find(None)
            return cast("Target", self._target)

    @property
    def _session(self) -> Session:
        return Session.shared(self._place())

    def _reach(self) -> Session:
        """Return a session to use; a host that is not where it was is looked for once."""
        session = self._session
        if self._find is None:
            return session
        try:
            session.connect()
        except ConnectError as error:
            found = self._find(error)
            with self._lock:
                moved, self._target = found != self._target, found
                self._served = None
            if not moved:
                raise
            session = self._session
            session.connect()
        return session

    @property
    def token(self) -> str:
        """Return the bearer token."""
        return self._ready().token

    @property
    def server_id(self) -> str:
        """Return which start of the server this is."""
        return self._ready().info.server_id

    def _ready(self) -> Served:
        with self._lock:
            return self._served or self._serve(replace=False)

    def connect(self) -> socket.socket:
        """Return a new connection to the data socket, through the SSH connection."""
        served = self._ready()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(self._reach().forward_socket(served.info.data)))
        except BaseException:
            sock.close()
            raise
        return sock

    def http_path(self) -> str:
        """Return the path of a local socket that leads to the HTTP API."""
        return str(self._reach().forward_socket(self._ready().info.http))

    def revive(self, *, start: bool) -> None:
        """Mend the SSH connection, and find or start the server."""
        self._reach().connect()
        with self._lock:
            known, self._served = self._served, None
            facts = self._probe()
            if facts.server is not None:
                self._served = Served(facts.server, facts.token, facts)
            elif start:
                self.up()
            else:
                self._served = known
                raise ended(self.host)

    # -- the server -----------------------------------------------------------------------------

    def _run_with_input(self, command: str, data: bytes) -> Completed:
        return self._session.run(command, input=data, timeout_s=self._settings.start_timeout_s * 2)

    def _download(self, command: str, data: bytes) -> Completed:
        """Run a command that may fetch something from the internet."""
        return self._session.run(command, input=data, timeout_s=_DOWNLOAD_S)

    def _probe(self) -> HostFacts:
        run, host = self._run_with_input, self.host
        with working(f"Connecting to {host}"):
            self._reach()
            return probe(run, host=host, digest=runtime.digest(), python=self._python)

    def up(self, *, replace: bool = False) -> ServerInfo:
        """Make sure that a server of this version runs: one probe, one upload, one start."""
        with self._lock:
            return self._serve(replace=replace).info

    def _serve(self, *, replace: bool) -> Served:
        facts = self._probe()
        running = facts.server
        if running is not None and running.digest == runtime.digest() and not replace:
            self._served = Served(running, facts.token, facts)
            return self._served
        check_writable(facts, host=self.host)
        with working(f"Starting runhouse on {self.host}"):
            if not facts.python and not self._python:
                facts = bring_python(self._download, facts, host=self.host, digest=runtime.digest())
            check_python(facts, host=self.host, python=self._python)
            if not facts.has_runtime:
                self._upload(facts)
            self._served = self._start(facts, replace=replace)
        return self._served

    def _upload(self, facts: HostFacts) -> None:
        """Bring the runtime."""
        program = (files("runhouse.bootstrap") / "unpack.py").read_text(encoding="utf-8")
        command = shlex.join([facts.python, "-I", "-S", "-c", program, runtime.digest()])
        done = self._run_with_input(command, runtime.archive())
        if done.exit_code in (_NO_SPACE, _READ_ONLY):
            full = done.exit_code == _NO_SPACE
            raise not_writable(facts, host=self.host, full=full, said=done.stderr)
        if done.exit_code:
            msg = (
                f"The runtime was not brought to {self.host}. {facts.python} said: "
                f"{done.stderr.strip()[-500:]}. Look at ~/.rh on the host."
            )
            raise BootstrapError(msg, host=self.host)

    def _config(self, facts: HostFacts) -> ServerConfig:
        return ServerConfig(
            root=f"{facts.home}/.rh/hosts/{facts.hostname}",
            version=__version__,
            digest=runtime.digest(),
            start_timeout_s=self._settings.start_timeout_s,
            port=self._port,
            keep_runs_days=self._settings.keep_runs_days,
            autostop=None if self._autostop is None else self._autostop(),
        )

    def _server_command(self, facts: HostFacts, *words: str) -> Completed:
        launch = f"{facts.home}/.rh/runtime/{runtime.digest()}/launch.py"
        config = json.dumps(asdict(self._config(facts)))
        command = shlex.join([facts.python, "-E", "-s", launch, words[0], config, *words[1:]])
        return self._session.run(command, timeout_s=self._settings.start_timeout_s * 2)

    def _start(self, facts: HostFacts, *, replace: bool) -> Served:
        """Start the server, or take the one that somebody else has started meanwhile."""
        done = self._server_command(facts, "start", *(["--replace"] if replace else []))
        answer = _last_json(done.stdout)
        if done.exit_code == 0 and answer is not None:
            return Served(ServerInfo(**answer["server"]), answer["token"], facts)
        if done.exit_code == ExitCode.IN_USE and answer is not None:
            raise ServerBusyError(
                answer["error"], host=self.host, calls=answer["calls"], objects=answer["objects"]
            )
        if done.exit_code == ExitCode.NOT_STARTED and answer is not None:
            raise ServerStartError(answer["error"], host=self.host, log_tail=answer["log_tail"])
        msg = (
            f"The server on {self.host} did not start. {facts.python} ended with code "
            f"{done.exit_code}: {done.stderr.strip()[-1000:]}. Look at ~/.rh on the host."
        )
        raise ServerStartError(msg, host=self.host, log_tail=done.stderr[-4096:])

    def server_running(self) -> bool:
        """Tell whether the host answers and a server runs there."""
        return self._probe().server is not None

    def stop_server(self) -> bool:
        """Stop the server with all its workers."""
        with self._lock:
            facts = self._probe()
            self._served = None
            if facts.server is None:
                return False
            if not facts.has_runtime:
                self._upload(facts)
            with working(f"Stopping runhouse on {self.host}"):
                return self._server_command(facts, "stop").exit_code == 0

    def server_log(self) -> str:
        """Return the end of the server's and the workers' logs."""
        return self._session.run(_SHOW_LOGS, timeout_s=self._settings.request_timeout_s).stdout

    # -- the connection -------------------------------------------------------------------------

    def disconnect(self) -> None:
        """Close the SSH connection; the next use makes another one."""
        with self._lock:
            self._served = None
            target = self._target
        if target is not None:
            Session.shared(target).close()

    def is_connected(self) -> bool:
        """Tell whether the SSH connection is open now."""
        target = self._target
        return target is not None and Session.shared(target).is_connected()

    def run(
        self,
        command: str,
        *,
        input: bytes | None = None,  # noqa: A002 - the word of subprocess.run
        on_output: OnOutput | None = None,
    ) -> Completed:
        """Run a shell command on the host."""
        return self._reach().run(command, input=input, on_output=on_output)

    def run_program(self, program: str, data: bytes) -> Completed:
        """Run the text of a Python program on the host; the data is its standard input."""
        words = (self.python(), "-I", "-c", program)
        return self._reach().run(" ".join(quote(word) for word in words), input=data)

    def server_root(self) -> str:
        """Return the directory of the host's server."""
        return self._config(self._ready().facts).root

    def python(self) -> str:
        """Return the interpreter of the host's workers."""
        served = self._ready()
        return served.facts.python or served.info.python

    @property
    def root(self) -> str:
        """Return our directory on the host."""
        return f"{self._ready().facts.home}/.rh"

    @property
    def packages(self) -> str:
        """Return the directory on the host that holds our package."""
        return f"{self.root}/runtime/{runtime.digest()}/worker"

    def interactive(self, command: str | None = None) -> int:
        """Open a shell, or run a command, on this terminal."""
        return self._reach().interactive(command)

    def forward_port(self, local_port: int, remote_port: int, *, attempts: int = 1) -> Tunnel:
        """Lead a local port to one of the host."""
        return self._reach().forward_port(local_port, remote_port, attempts=attempts)

    # -- files ----------------------------------------------------------------------------------

    def place(self, root: Path, *, dry_run: bool = False) -> Placed:
        """Bring a project directory to the host; what was deleted here is deleted there.

        Each branch has a copy of its own, so that what runs there keeps its code when another
        branch is checked out. A new copy takes what is the same from the one before.
        """
        with ThreadPoolExecutor(1) as pool:
            listing = pool.submit(list_project, root)  # while the host is asked about itself
            self._ready()
        name, copy = copy_names(root, self._settings.home)
        notes = private_directory(self._settings.home / "sync")
        last = notes / f"{name}.{self.host}.last"
        with exclusive(notes / f"{name}.{self.host}.lock"):  # two scripts may start at once
            before = last.read_text("utf-8") if last.exists() else name
            mirrored = mirror_project(
                self._session,
                root,
                f".rh/code/{copy}",
                python=self.python(),
                like=before if before != copy else None,
                dry_run=dry_run,
                listing=listing.result(),
            )
            if not dry_run and copy != before:
                write_private(last, copy.encode())
        there = f"{self._ready().facts.home}/.rh/code/{copy}"
        return Placed(there, mirrored.listing, mirrored.report)

    def copy(
        self, source: str, dest: str, *, up: bool, contents: bool, how: Copying = PLAINLY
    ) -> SyncReport:
        """Copy files between this machine and the host."""
        return copy_files(
            self._session, self.python(), source, dest, up=up, contents=contents, how=how
        )

    def copy_to(self, other: Host, source: str, dest: str, how: Copying) -> SyncReport | None:
        """Copy files to another host; return None where files must be stored here."""
        if not isinstance(other, SshHost):
            return None
        return copy_between(self._reach(), other._reach(), source, dest, how)  # noqa: SLF001

    def mount(self, remote: str, folder: Path) -> Mount:
        """Show a folder of the host in one of this machine, until closed."""
        return Mount(self._reach(), remote_path(remote), folder)


def _last_json(text: str) -> dict[str, Any] | None:
    """Return the JSON object on the last line of an output, if there is one."""
    lines = text.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
