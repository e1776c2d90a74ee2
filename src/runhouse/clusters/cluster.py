"""What all kinds of cluster share.

A kind is a subclass that overrides these hooks and nothing else:

- `kind`, `fields()` and `from_record()`: its name, what its record holds, and the way back;
- `_make_host()`: the host that everything works on;
- for kinds that launch something: `up()`, `is_up()`, `keep_warm()` and `pause_autostop()`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from runhouse.clusters import arguments
from runhouse.clusters.inherited import with_inherited
from runhouse.clusters.records import load_cluster
from runhouse.clusters.runs import Runs
from runhouse.clusters.secrets import Secrets
from runhouse.clusters.status import ClusterStatus, read_status
from runhouse.errors import BootstrapError, ClusterNotUpError, CommandTimeoutError, ConnectError
from runhouse.registry.record import Record
from runhouse.server.control import running_server
from runhouse.server.paths import ServerPaths

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

Self = TypeVar("Self", bound="Cluster")


@with_inherited
class Cluster(Runs, Secrets):
    r"""Be a named handle on hardware: a host of your own, a cloud VM, or this machine.

    Made by `runhouse.cluster` and the other factories. Nothing is connected or started before it
    is needed: the first call, command or transfer connects, and starts the server there.

    Example:
        >>> import runhouse as rh
        >>> rh.here.run(["echo hello"], stream_logs=False)
        [(0, 'hello\n', '')]
    """

    def _close_calls(self) -> None:
        if "calls" in vars(self):
            self.calls.client.close()

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickle as the record: a cluster sent to a worker works there, without our connections."""
        used = "calls" in vars(self) and self.host_of().is_connected()
        parts = self.config(), self.host_of().server_id if used else self._met
        _known[_identity(*parts)] = self
        return _rebuild, parts

    # -- life -----------------------------------------------------------------------------------

    def is_up(self) -> bool:
        """Tell whether the host answers and its server runs, by asking it.

        Starts nothing. Blocks for `connect_timeout_s` (10 s) at most on a host that is out of
        reach. `check_server(restart_server=False)` asks the same, and raises with the reason.

        Example:
            >>> import runhouse as rh
            >>> rh.here.up().is_up()
            True
        """
        try:
            return self.host_of().server_running()
        except (ConnectError, BootstrapError, CommandTimeoutError):
            return False

    def up(self: Self) -> Self:
        """Make the cluster ready: connect, and start the server unless it runs.

        Safe to repeat.

        Returns:
            The cluster itself.

        Raises:
            ConnectError: The host cannot be reached, or does not let us in.
            BootstrapError: The host was reached, but runhouse cannot start there.

        Example:
            >>> import runhouse as rh
            >>> rh.here.up()
            <runhouse.LocalCluster 'local'>
        """
        self.host_of().up()
        return self

    def up_if_not(self: Self) -> Self:
        """Make the cluster ready unless it is; the same as `up` where nothing is launched.

        Returns:
            The cluster itself.

        Raises:
            ConnectError: The host cannot be reached, or does not let us in.
            BootstrapError: The host was reached, but runhouse cannot start there.

        Example:
            >>> import runhouse as rh
            >>> rh.here.up_if_not().is_up()
            True
        """
        return self if self.is_up() else self.up()

    def keep_warm(self: Self, autostop_mins: int = -1) -> Self:
        """Keep the cluster from stopping by itself; a host of your own never does.

        Args:
            autostop_mins: Idle minutes after which it may stop; -1: never.

        Returns:
            The cluster itself.

        Raises:
            TypeError: The minutes are no whole number.
            ValueError: They are less than -1.

        Example:
            >>> import runhouse as rh
            >>> rh.here.keep_warm()
            <runhouse.LocalCluster 'local'>
        """
        arguments.number("autostop_mins", autostop_mins, least=-1)
        log.debug("%s never stops by itself: nothing to keep warm", self.name)
        return self

    @contextlib.contextmanager
    def pause_autostop(self) -> Iterator[None]:
        """Keep the cluster from stopping by itself within a `with` block.

        Example:
            >>> import runhouse as rh
            >>> with rh.here.pause_autostop():
            ...     codes = rh.here.run("true", require_outputs=False)
            >>> codes
            [0]
        """
        log.debug("%s never stops by itself; there is nothing to pause", self.name)
        yield

    def status(self) -> ClusterStatus:
        """Return what runs on the cluster and how busy it is; starts the server if needed.

        Returns:
            What is known; see `ClusterStatus`.

        Raises:
            ConnectError: The host cannot be reached, or does not answer in `request_timeout_s`.
            BootstrapError: The host was reached, but runhouse cannot start there.

        Example:
            >>> import runhouse as rh
            >>> status = rh.here.status()
            >>> status.state, len(status.nodes)
            ('up', 1)
        """
        return read_status(self.name, self.calls.client.get("/status"))

    def restart_server(self: Self, resync_rh: bool = True) -> Self:
        """Stop the server with all its workers, and start it again.

        Running calls are lost, and so is what the workers hold.

        Args:
            resync_rh: Make sure that the host has this client's version of runhouse before the
                old server stops; False stops it first.

        Returns:
            The cluster itself.

        Raises:
            ConnectError: The host cannot be reached, or does not let us in.
            BootstrapError: The host was reached, but runhouse cannot start there.

        Example:
            >>> import runhouse as rh
            >>> rh.here.restart_server().is_up()
            True
        """
        self._close_calls()
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
            BootstrapError: The host was reached, but runhouse cannot start there.

        Example:
            >>> import runhouse as rh
            >>> rh.here.check_server()
            <runhouse.LocalCluster 'local'>
        """
        if not self.host_of().server_running():
            if not restart_server:
                msg = (
                    f"The cluster {self.name!r} is not up. Its server does not run. "
                    "Start it with cluster.up()."
                )
                raise ClusterNotUpError(msg)
            self.up()
        return self

    def connect_server_client(self: Self, force_reconnect: bool = False) -> Self:
        """Connect to the server now instead of with the first call.

        Args:
            force_reconnect: Give up connections that are open.

        Returns:
            The cluster itself.

        Raises:
            ConnectError: The host cannot be reached, or does not let us in.
            BootstrapError: The host was reached, but runhouse cannot start there.

        Example:
            >>> import runhouse as rh
            >>> rh.here.connect_server_client().is_connected()
            True
        """
        if force_reconnect:
            self.disconnect()
        self.host_of().up()
        return self

    def is_connected(self) -> bool:
        """Tell whether a connection to the host is open now; opens none.

        Example:
            >>> import runhouse as rh
            >>> rh.cluster("box", host="ada@gpu-box").is_connected()
            False
        """
        return self.host_of().is_connected()

    def disconnect(self) -> None:
        """Close all connections; the next use connects again. Safe to repeat.

        The SSH connection to a host is shared by all clusters and processes of this user: it ends
        for all, and each of them connects again by itself.

        Example:
            >>> import runhouse as rh
            >>> rh.here.disconnect()
            >>> rh.here.is_connected()
            False
        """
        self._close_calls()
        for node in {0, *self._hosts}:
            self.host_of(node).disconnect()

    def stop(self) -> bool:
        """Stop the server with all its workers; the hardware stays as it is.

        Returns:
            Whether a server was running.

        Raises:
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> rh.here.up().stop()
            True
            >>> rh.here.stop()
            False
        """
        self._close_calls()
        return self.host_of().stop_server()

    def logs(self) -> str:
        """Return the end of the server's and the workers' logs on the host.

        Raises:
            ConnectError: The host cannot be reached.

        Example:
            >>> import runhouse as rh
            >>> isinstance(rh.here.logs(), str)
            True
        """
        return self.host_of().server_log()

    def on_this_cluster(self) -> bool:
        """Tell whether this code runs in a worker of this cluster.

        Decided by the identity of the host, never by a name: a cluster that was sent to this worker
        knows its server; of another one the host is asked, which is False when it is out of reach.
        Blocks for `connect_timeout_s` (10 s) at most, and off any cluster not at all.

        Example:
            >>> import runhouse as rh
            >>> rh.here.on_this_cluster()
            True
            >>> rh.cluster("box", host="ada@gpu-box").on_this_cluster()
            False
        """
        root, host_id = os.environ.get("RH_SERVER_ROOT"), os.environ.get("RH_HOST_ID")
        if root is None or host_id is None:
            return False
        own = running_server(ServerPaths(Path(root)))
        if own is not None and own.server_id == self._met:
            return True
        return self.is_up() and self.host_of().up().host_id == host_id


# Clusters of this process that were pickled or unpickled: what comes back meets its connections and
# its password again, and what arrives often connects once.
_known: weakref.WeakValueDictionary[str, Cluster] = weakref.WeakValueDictionary()


def _identity(config: dict[str, Any], met: str | None) -> str:
    return json.dumps([config, met], sort_keys=True)


def _rebuild(config: dict[str, Any], met: str | None) -> Cluster:
    """Return the cluster of a pickled definition, and of the server that its sender knew."""
    known = _known.get(_identity(config, met))
    if known is not None:
        return known
    cluster = load_cluster(Record.from_mapping(config))
    cluster._met = met  # as unpickling would do
    return _known.setdefault(_identity(config, met), cluster)
