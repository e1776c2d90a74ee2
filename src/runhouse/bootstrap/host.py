"""What every kind of cluster works on: a host that runs commands, takes code, and has a server.

There are two: `local_host.LocalHost` (this machine) and `ssh_host.SshHost`. A kind of cluster picks
one; nothing above asks which it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from runhouse.client.endpoint import Endpoint
from runhouse.files import PLAINLY, Copying

if TYPE_CHECKING:
    from pathlib import Path

    from runhouse.server.info import ServerInfo
    from runhouse.ssh.project import Listing
    from runhouse.ssh.sync import SyncReport

OnOutput = Callable[[Literal["stdout", "stderr"], str], None]


class Completed(Protocol):
    """Hold how a command ended."""

    @property
    def exit_code(self) -> int:
        """Return the exit code."""

    @property
    def stdout(self) -> str:
        """Return the whole standard output."""

    @property
    def stderr(self) -> str:
        """Return the whole standard error."""


class Tunnel(AbstractContextManager["Tunnel"], Protocol):
    """Lead a port of this machine to a port of the host until closed.

    Example:
        >>> import runhouse as rh
        >>> tunnel, port = rh.here.ssh_tunnel(0, remote_port=8888)
        >>> tunnel.remote_port
        8888
        >>> tunnel.close()
    """

    @property
    def local_port(self) -> int:
        """Return the port on this machine."""

    @property
    def remote_port(self) -> int:
        """Return the port on the host."""

    def close(self) -> None:
        """End the tunnel; safe to repeat.

        Example:
            >>> import runhouse as rh
            >>> tunnel, port = rh.here.ssh_tunnel(0, remote_port=8888)
            >>> tunnel.close()
        """


class Mounted(AbstractContextManager["Mounted"], Protocol):
    """Show a folder of a host here until closed."""

    def wait(self) -> None:
        """Wait until somebody else unmounts it, or the connection ends."""

    def close(self) -> None:
        """Unmount it; safe to repeat."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Say where a project is on the host, and which state of its code that is.

    Attributes:
        directory: The project's directory on the host.
        listing: What the project consists of.
        report: What was copied; None where code runs in place.
    """

    directory: str
    listing: Listing
    report: SyncReport | None = None

    @property
    def generation(self) -> str:
        """Return what changes when a source file has changed."""
        return self.listing.generation


class Host(Endpoint, Protocol):
    """Be one machine with a server, or on which one can be started."""

    def up(self, *, replace: bool = False) -> ServerInfo:
        """Make sure that a server runs, and return it.

        Args:
            replace: Stop a running server first, whatever it does.
        """

    def server_running(self) -> bool:
        """Tell whether the host answers and a server runs there; never starts one."""

    def stop_server(self) -> bool:
        """Stop the server; return whether one was running."""

    def server_log(self) -> str:
        """Return the end of the server's and the workers' logs."""

    def disconnect(self) -> None:
        """Give up all connections; the next use makes new ones."""

    def is_connected(self) -> bool:
        """Tell whether a connection is open now."""

    def run(
        self,
        command: str,
        *,
        input: bytes | None = None,  # noqa: A002 - the word of subprocess.run
        on_output: OnOutput | None = None,
    ) -> Completed:
        """Run a shell command and wait for its end."""

    def run_program(self, program: str, data: bytes) -> Completed:
        """Run the text of a Python program, which reads data, in the host's interpreter."""

    def server_root(self) -> str:
        """Return the directory of the host's server."""

    def python(self) -> str:
        """Return the path of the interpreter that runs code on the host."""

    @property
    def is_here(self) -> bool:
        """Tell whether the host is this very machine, with its files."""

    @property
    def root(self) -> str:
        """Return our directory on the host, relative to the home directory or absolute."""

    @property
    def packages(self) -> str:
        """Return the directory on the host that holds our package."""

    def interactive(self, command: str | None = None) -> int:
        """Open a shell, or run a command, on this terminal; return the exit code."""

    def forward_port(self, local_port: int, remote_port: int, *, attempts: int = 1) -> Tunnel:
        """Lead a local port to one of the host."""

    def place(self, root: Path, *, dry_run: bool = False) -> Placed:
        """Bring a project directory to the host, or find it there.

        Args:
            root: The directory.
            dry_run: Whether to copy nothing, and only say what would be.
        """

    def copy(
        self, source: str, dest: str, *, up: bool, contents: bool, how: Copying = PLAINLY
    ) -> SyncReport:
        """Copy files between this machine and the host."""

    def copy_to(self, other: Host, source: str, dest: str, how: Copying) -> SyncReport | None:
        """Copy files from the host to another one; return None where files must be stored here."""

    def mount(self, remote: str, folder: Path) -> Mounted:
        """Show a folder of the host in one of this machine, until closed."""
