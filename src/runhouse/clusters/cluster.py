"""What all kinds of cluster share.

A kind is a subclass that overrides these hooks and nothing else:

- `kind` and `fields()`: its name and what its record holds;
- `_make_host()`: the host that everything works on;
- for kinds that launch something: `up()`, `is_up()`, `keep_warm()` and `pause_autostop()`.
"""

from __future__ import annotations

import contextlib
import logging
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from runhouse import settings
from runhouse.clusters import shell
from runhouse.clusters.calls import Calls
from runhouse.clusters.records import load_cluster, store
from runhouse.clusters.status import ClusterStatus, read_status
from runhouse.errors import ConnectError
from runhouse.registry.names import check_name
from runhouse.registry.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runhouse.bootstrap.host import Host, Tunnel

log = logging.getLogger(__name__)

Self = TypeVar("Self", bound="Cluster")
DEFAULT_ENV = "default"


class Cluster:
    """Be a named handle on hardware: a host of your own, a cloud VM, or this machine.

    Made by `runhouse.cluster` and the other factories. Nothing is connected or started before it
    is needed: the first call, command or transfer connects, and starts the server there.

    Example:
        >>> import runhouse as rh
        >>> rh.here.run(["echo hello"], stream_logs=False)
        [(0, 'hello\\n', '')]
    """

    kind: ClassVar[str] = ""

    def __init__(self, name: str, *, env: str | None = None, python: str | None = None) -> None:
        """Store the name; use `runhouse.cluster` instead."""
        self.name = name
        self._env = env
        self._python = python

    # -- hooks for the kinds --------------------------------------------------------------------

    def fields(self) -> dict[str, Any]:
        """Return what the record holds beside name and kind: JSON values, and no secret."""
        given = {"env": self._env, "python": self._python}
        return {key: value for key, value in given.items() if value is not None}

    def _make_host(self, node: int) -> Host:
        """Return a new handle on one of the hosts."""
        msg = f"{type(self).__name__} must override _make_host()."
        raise TypeError(msg)

    # -- what the kinds build on ----------------------------------------------------------------

    @cached_property
    def _hosts(self) -> dict[int, Host]:
        return {}

    def host_of(self, node: int = 0) -> Host:
        """Return the handle on a node's host, for code that works below clusters.

        Args:
            node: Index of the node; 0 is the head.
        """
        if node not in self._hosts:
            self._hosts[node] = self._make_host(node)
        return self._hosts[node]

    @cached_property
    def calls(self) -> Calls:
        """Return the way to the cluster's workers, for proxies of functions and modules."""
        return Calls(self.host_of(), settings.load(), self._python or "")

    def env_name(self, env: str | None) -> str:
        """Return the env that a user means.

        Args:
            env: Its name, or None for the cluster's own.

        Raises:
            InvalidNameError: The name cannot be used.
        """
        return check_name(env) if env is not None else self._env or DEFAULT_ENV

    def __repr__(self) -> str:
        """Return the class and the name."""
        return f"<runhouse.{type(self).__name__} {self.name!r}>"

    def __eq__(self, other: object) -> bool:
        """Tell whether another cluster is of the same kind, name and definition."""
        return isinstance(other, Cluster) and self.config() == other.config()

    def __hash__(self) -> int:
        """Hash by name."""
        return hash((self.kind, self.name))

    def __reduce__(self) -> tuple[Any, tuple[dict[str, Any]]]:
        """Pickle as the record: a cluster sent to a worker works there, without our connections."""
        return _rebuild, (self.config(),)

    # -- records --------------------------------------------------------------------------------

    @property
    def ips(self) -> list[str]:
        """Return the hosts' names or addresses, the head first."""
        return ["localhost"]

    @property
    def address(self) -> str:
        """Return the head's name or address."""
        return self.ips[0]

    def ssh_creds(self) -> dict[str, Any]:
        """Return how to log in, as `runhouse.cluster` takes it, without any secret.

        Returns:
            A subset of the keys `ssh_user`, `ssh_private_key` (a path), `ssh_port`, `ssh_host`,
            `ssh_proxy_command`, `ssh_proxy_jump`; empty where no SSH is needed.
        """
        return {}

    def config(self) -> dict[str, Any]:
        """Return the cluster's definition: JSON values, and no secret.

        Returns:
            `name`, `kind`, and what the kind needs; `from_config` makes the same cluster of it.

        Example:
            >>> import runhouse as rh
            >>> rh.here.config()["kind"]
            'local'
        """
        return {"name": self.name, "kind": self.kind, **self.fields()}

    @property
    def config_for_rns(self) -> dict[str, Any]:
        """Return the same as `config()`, under its older name."""
        return self.config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dryrun: bool = False) -> Cluster:
        """Make a cluster from what `config()` returned.

        Args:
            config: `name`, `kind` and the kind's fields.
            dryrun: Leave out checks that need this machine's files.

        Returns:
            A cluster of the kind that the config names.

        Raises:
            RecordError: The config is not that of a cluster.
        """
        del dryrun  # a definition that exists is not checked against files
        return load_cluster(Record.from_mapping(config))

    @classmethod
    def from_name(cls, name: str, dryrun: bool = False) -> Cluster:
        """Load a saved cluster.

        Args:
            name: The name under which it was saved.
            dryrun: Leave out checks that need this machine's files.

        Raises:
            ClusterNotFoundError: No cluster is saved under the name; lists names that look alike.
            RecordError: Its record cannot be read.
        """
        del dryrun
        return load_cluster(store().load(name))

    @classmethod
    def list(cls) -> list[str]:
        """Return the names of all saved clusters, sorted."""
        return store().names()

    def save(self: Self, name: str | None = None) -> Self:
        """Save the cluster under its name, so that `runhouse.cluster(name)` finds it.

        An earlier record of the name is replaced. Passwords are not part of the record: they are
        kept in the keyring when there is one, else in a file that only this user can read.

        Args:
            name: Another name to take first; None keeps the one that it has.

        Returns:
            The cluster itself.

        Raises:
            InvalidNameError: The name cannot be used.
        """
        if name is not None:
            self.name = check_name(name)
        store().save(Record(kind=self.kind, name=check_name(self.name), fields=self.fields()))
        return self

    def delete_configs(self) -> None:
        """Forget the saved record and credentials; the hardware is not touched. Safe to repeat."""
        store().delete(self.name)

    # -- life -----------------------------------------------------------------------------------

    def is_up(self) -> bool:
        """Tell whether the host answers and its server runs, by asking it.

        Starts nothing. Blocks for `connect_timeout_s` (10 s) at most.
        """
        try:
            return self.host_of().server_running()
        except ConnectError:
            return False

    def up(self: Self) -> Self:
        """Make the cluster ready: connect, and start the server unless it runs.

        Safe to repeat.

        Returns:
            The cluster itself.

        Raises:
            ConnectError: The host cannot be reached, or does not let us in.
            BootstrapError: The host was reached, but runhouse cannot start there.
        """
        self.host_of().up()
        return self

    def up_if_not(self: Self) -> Self:
        """Make the cluster ready unless it is; the same as `up` where nothing is launched.

        Returns:
            The cluster itself.
        """
        return self if self.is_up() else self.up()

    def keep_warm(self: Self, autostop_mins: int = -1) -> Self:
        """Keep the cluster from stopping by itself; a host of your own never does.

        Args:
            autostop_mins: Idle minutes after which it may stop; -1: never.

        Returns:
            The cluster itself.
        """
        log.debug(
            "%s never stops by itself; keep_warm(%s) changes nothing", self.name, autostop_mins
        )
        return self

    @contextlib.contextmanager
    def pause_autostop(self) -> Iterator[None]:
        """Keep the cluster from stopping by itself within a `with` block."""
        log.debug("%s never stops by itself; there is nothing to pause", self.name)
        yield

    def status(self) -> ClusterStatus:
        """Return what runs on the cluster and how busy it is; starts the server if needed.

        Raises:
            ConnectError: The host cannot be reached, or does not answer in `request_timeout_s`.
            BootstrapError: The host was reached, but runhouse cannot start there.
        """
        return read_status(self.name, self.calls.client.get("/status"))

    def restart_server(self: Self, resync_rh: bool = True) -> Self:
        """Stop the server with all its workers, and start it again.

        Running calls are lost, and so is what the workers hold.

        Args:
            resync_rh: Upload this client's version of runhouse; False restarts what is there.

        Returns:
            The cluster itself.
        """
        self.calls.client.close()
        if resync_rh:
            self.host_of().up(replace=True)
        else:
            self.host_of().stop_server()
            self.host_of().up()
        return self

    def check_server(self: Self, restart_server: bool = True) -> Self:
        """Make sure that the server answers.

        Args:
            restart_server: Start it when it does not; False raises instead.

        Returns:
            The cluster itself.

        Raises:
            ClusterNotUpError: It does not answer and was not to be started.
            ConnectError: The host cannot be reached.
        """
        if not self.host_of().server_running():
            if not restart_server:
                raise shell.not_up(self.name)
            self.up()
        return self

    def connect_server_client(self: Self, force_reconnect: bool = False) -> Self:
        """Connect to the server now instead of with the first call.

        Args:
            force_reconnect: Give up connections that are open.

        Returns:
            The cluster itself.
        """
        if force_reconnect:
            self.disconnect()
        self.host_of().up()
        return self

    def is_connected(self) -> bool:
        """Tell whether a connection to the host is open now; opens none."""
        return self.host_of().is_connected()

    def disconnect(self) -> None:
        """Close all connections of this process; the next use connects again. Safe to repeat."""
        self.calls.client.close()
        for host in self._hosts.values():
            host.disconnect()

    def stop(self) -> bool:
        """Stop the server with all its workers; the hardware stays as it is.

        Returns:
            Whether a server was running.
        """
        self.calls.client.close()
        return self.host_of().stop_server()

    def logs(self) -> str:
        """Return the end of the server's and the workers' logs on the host."""
        return self.host_of().server_log()

    def on_this_cluster(self) -> bool:
        """Tell whether this code runs in a worker of this cluster, by the host's identity."""
        here = os.environ.get("RH_HOST_ID")
        return here is not None and self.host_of().up().host_id == here

    # -- commands -------------------------------------------------------------------------------

    @overload
    def run(
        self,
        commands: str | Sequence[str],
        env: str | None = None,
        stream_logs: bool = True,
        port_forward: int | Sequence[int] | None = None,
        require_outputs: Literal[True] = True,
        run_name: str | None = None,
        *,
        node: int | str | None = None,
    ) -> list[shell.Output]: ...

    @overload
    def run(
        self,
        commands: str | Sequence[str],
        env: str | None = None,
        stream_logs: bool = True,
        port_forward: int | Sequence[int] | None = None,
        require_outputs: bool = True,
        run_name: str | None = None,
        *,
        node: int | str | None = None,
    ) -> list[shell.Output] | list[int]: ...

    def run(
        self,
        commands: str | Sequence[str],
        env: str | None = None,
        stream_logs: bool = True,
        port_forward: int | Sequence[int] | None = None,
        require_outputs: bool = True,
        run_name: str | None = None,
        *,
        node: int | str | None = None,
    ) -> list[shell.Output] | list[int]:
        """Run shell commands, one after the other, each in a shell of its own.

        A command that fails does not raise and does not stop the next one: its exit code tells.

        Args:
            commands: One command, or several.
            env: Name of the env whose interpreter stands first in PATH; None for the cluster's own.
            stream_logs: Show the output here while the commands run.
            port_forward: Ports of the host to lead to the same ports here while they run.
            require_outputs: Return the outputs too; False returns the exit codes only.
            run_name: Keep the outputs on the host, in `~/.rh/runs/<run_name>.json`.
            node: Index or address of the node; "all" for all of them; None for the head.

        Returns:
            One `(exit code, stdout, stderr)` for each command, node by node for "all"; or the
            exit codes.

        Raises:
            ConnectError: The host cannot be reached, or the connection broke in mid-command.
            ValueError: There is no such node.
            TypeError: The commands are no texts.

        Example:
            >>> import runhouse as rh
            >>> rh.here.run("exit 3", require_outputs=False)
            [3]
        """
        outputs = [
            output
            for index in shell.nodes_of(self.ips, node)
            for output in shell.run(
                self.host_of(index),
                shell.Commands.checked(
                    commands, self.env_name(env), stream_logs, port_forward, run_name
                ),
            )
        ]
        return outputs if require_outputs else [code for code, _, _ in outputs]

    def run_python(
        self,
        commands: Sequence[str],
        env: str | None = None,
        stream_logs: bool = True,
        port_forward: int | Sequence[int] | None = None,
        run_name: str | None = None,
    ) -> list[shell.Output]:
        """Run lines of Python as one program, in the interpreter of the cluster's workers.

        The program goes over standard input: any quotes and compound statements work.

        Args:
            commands: The lines; a line may hold several.
            env: Name of the env; None for the cluster's own.
            stream_logs: Show the output here while it runs.
            port_forward: Ports of the host to lead to the same ports here while it runs.
            run_name: Keep the output on the host, in `~/.rh/runs/<run_name>.json`.

        Returns:
            One `(exit code, stdout, stderr)`.

        Raises:
            ConnectError: The host cannot be reached, or the connection broke.
            TypeError: The lines are no texts.

        Example:
            >>> import runhouse as rh
            >>> rh.here.run_python(["for x in range(2):", "    print(x)"], stream_logs=False)
            [(0, '0\\n1\\n', '')]
        """
        checked = shell.Commands.checked(
            commands, self.env_name(env), stream_logs, port_forward, run_name
        )
        return shell.run_python(self.host_of(), checked)

    def ssh(self) -> int:
        """Open a shell on the head, on this terminal.

        Returns:
            The shell's exit code.

        Raises:
            ConnectError: The host cannot be reached, or does not let us in.
        """
        return self.host_of().interactive()

    def ssh_tunnel(
        self, local_port: int, remote_port: int | None = None, num_ports_to_try: int = 0
    ) -> tuple[Tunnel, int]:
        """Lead a port of this machine to a port of the head.

        Args:
            local_port: The port here.
            remote_port: The port on the host; None for the same number.
            num_ports_to_try: How many further ports to try here when the first ones are busy.

        Returns:
            The tunnel (a context manager with `close()`), and the port here that leads to it.

        Raises:
            ConnectError: The host cannot be reached, or no port was free.
            ValueError: A port is not between 1 and 65535.
        """
        remote = local_port if remote_port is None else remote_port
        shell.check_ports(local_port, remote)
        if not isinstance(num_ports_to_try, int) or num_ports_to_try < 0:
            msg = (
                f"num_ports_to_try must be a whole number of at least 0, not {num_ports_to_try!r}."
            )
            raise ValueError(msg)
        tunnel = self.host_of().forward_port(local_port, remote, attempts=num_ports_to_try + 1)
        return tunnel, tunnel.local_port

    def rsync(
        self,
        source: str,
        dest: str,
        up: bool = True,
        contents: bool = False,
        filter_options: Sequence[str] | None = None,
        node: int | str | None = None,
    ) -> None:
        """Copy files or directories to or from the cluster.

        Args:
            source: Path to copy from; on the host when `up` is off.
            dest: Path to copy to; a relative one on the host is relative to the home directory.
            up: Copy to the cluster; False copies from it.
            contents: Copy what is in the directory instead of the directory itself.
            filter_options: Patterns of names to leave out, as rsync's `--exclude` takes them.
            node: Index or address of the node; "all" for all of them; None for the head.

        Raises:
            SyncError: A file could not be copied.
            ConnectError: The host cannot be reached.
        """
        for index in shell.nodes_of(self.ips, node):
            self.host_of(index).copy(
                source, dest, up=up, contents=contents, filters=tuple(filter_options or ())
            )


def _rebuild(config: dict[str, Any]) -> Cluster:
    """Make a cluster from its pickled definition."""
    return load_cluster(Record.from_mapping(config))
