"""A cluster of cloud machines that SkyPilot launches, stops and removes.

It adds a lifecycle to what all clusters have, and finds its machines: everything else goes through
SSH as it does on hosts of your own.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from runhouse import settings
from runhouse.bootstrap.ssh_host import SshHost
from runhouse.clusters import arguments, launching
from runhouse.clusters.cloud import Machines, Stops, Wanted
from runhouse.clusters.inherited import with_inherited
from runhouse.clusters.launched import LaunchedCluster
from runhouse.clusters.launching import Plan, skypilot
from runhouse.clusters.status import CloudStatus, ClusterStatus
from runhouse.errors import (
    ClusterLostError,
    ClusterNotFoundError,
    ClusterNotUpError,
    ConnectError,
    LaunchError,
)
from runhouse.registry.names import check_name
from runhouse.ssh.target import Target

if TYPE_CHECKING:
    from runhouse.bootstrap.host import Host
    from runhouse.clusters.env_use import EnvLike
    from runhouse.registry.record import Record

log = logging.getLogger(__name__)

Self = TypeVar("Self", bound="OnDemandCluster")
_OWN = ("autostop_mins", "autostop", "env", "python")


@with_inherited
class OnDemandCluster(LaunchedCluster):
    """Be machines of a cloud, launched by SkyPilot with the first use.

    They go down by themselves after `autostop_mins` minutes in which nothing was computed on them,
    also when every client is gone. Made by `runhouse.ondemand_cluster`.

    Example:
        >>> import runhouse as rh
        >>> gpu = rh.ondemand_cluster("gpu", instance_type="A100:1", autostop_mins=30)
        >>> gpu.is_up()  # doctest: +SKIP
        False
    """

    kind: ClassVar[str] = "on-demand"
    wanted: Wanted

    def __init__(
        self,
        name: str,
        wanted: Wanted,
        autostop_mins: int | None = None,
        autostop: Stops = "down",
        *,
        env: EnvLike = None,
        python: str | None = None,
    ) -> None:
        """Check and store the definition; use `runhouse.ondemand_cluster` instead."""
        super().__init__(check_name(name), env=env, python=python)
        self.wanted = wanted
        self._autostop_mins = (
            None if autostop_mins is None else arguments.idle_minutes(autostop_mins)
        )
        if autostop not in ("down", "stop"):
            msg = (
                f"autostop cannot be {autostop!r}. It says what becomes of machines that are idle. "
                "Pass 'down' to remove them, or 'stop' to keep their disks."
            )
            raise ValueError(msg)
        self._stops = autostop
        self._machines: Machines | None = None

    # -- the definition -------------------------------------------------------------------------

    @property
    def autostop_mins(self) -> int:
        """Return after how many idle minutes the machines go, or -1 for never."""
        chosen = self._autostop_mins
        return settings.load().autostop_mins if chosen is None else chosen

    @property
    def num_instances(self) -> int:
        """Return of how many machines the cluster is."""
        return self.wanted.num_instances

    def fields(self) -> dict[str, Any]:
        """Return what the record holds beside name and kind: JSON values, and no secret.

        :meta private:
        """
        given: dict[str, Any] = {**self.wanted.to_record(), **super().fields()}
        if self._autostop_mins is not None:
            given["autostop_mins"] = self._autostop_mins
        if self._stops != "down":
            given["autostop"] = self._stops
        return given

    @classmethod
    def from_record(cls, record: Record) -> OnDemandCluster:
        """Make the cluster from its record.

        :meta private:

        Args:
            record: What `fields` has given.

        Returns:
            The cluster.
        """
        given = record.take(*_OWN, *Wanted.names())
        own = {key: given.pop(key) for key in _OWN if key in given}
        return cls(record.name, Wanted.checked(**given), **own)

    @classmethod
    def find(cls, name: str) -> OnDemandCluster:
        """Load the saved cluster of a name, or take over the one that SkyPilot has under it.

        Args:
            name: Its name.

        Returns:
            The cluster.

        Raises:
            ClusterNotFoundError: There is neither.
            InvalidNameError: No cluster can have this name.
            TypeError: The saved cluster of this name is of another kind.

        Example:
            >>> import runhouse as rh
            >>> rh.OnDemandCluster.find("gpu").status().state  # doctest: +SKIP
            'up'
        """
        try:
            saved = cls.from_name(name)
        except ClusterNotFoundError:
            adopted = cls._adopt(name)
            if adopted is None:
                raise
            return adopted
        if not isinstance(saved, cls):
            msg = (
                f"The saved cluster {name!r} is not one of cloud machines. Its kind is "
                f"{saved.kind}. Load it with runhouse.cluster({name!r})."
            )
            raise TypeError(msg)
        return saved

    @classmethod
    def _adopt(cls, name: str) -> OnDemandCluster | None:
        """Take over what SkyPilot has launched under a name, if it is installed and has."""
        try:
            found = launching.find(name, refresh=False)
        except ImportError:
            return None
        if found is None:
            return None
        minutes = found.autostop_mins if found.autostop_mins > 0 else -1
        return cls(name, Wanted(num_instances=found.count), minutes, found.stops)

    # -- where the machines are -----------------------------------------------------------------

    @property
    def ips(self) -> list[str]:
        """Return the machines' addresses, the head first; asks SkyPilot if need be.

        Raises:
            ClusterNotUpError: They are not up.
        """
        return [node.address for node in self._up_machines().nodes]

    def _up_machines(self) -> Machines:
        """Return the machines as SkyPilot saw them last.

        Raises:
            ClusterNotUpError: They are not up.
        """
        if self._machines is None:
            self._machines = launching.find_up(self.name)
        return self._machines

    def _plan(self) -> Plan:
        return Plan(self.name, self.wanted, self.autostop_mins, self._stops)

    def _make_host(self, node: int) -> Host:
        def find(error: ConnectError | None) -> Target:
            return self._target(node, error)

        told = self._told if node == 0 else None
        return SshHost(find, settings.load(), python=self._python or "", autostop=told)

    def _target(self, node: int, error: ConnectError | None) -> Target:
        """Return how to log in to a node; what is not up is launched, what has gone is told."""
        if error is not None:
            self._machines = self._found_again(error)
        elif self._machines is None:
            self._machines = self._present() or self._plan().bring_up()
        machines = self._machines
        place = machines.nodes[node]
        target = Target.parse(place.address, machines.ssh_creds(), port=place.ssh_port)
        return replace(target, known_as=f"{machines.identity}-{place.inside}")

    def _found_again(self, error: ConnectError) -> Machines:
        """Return where the machines are after one could not be reached.

        Raises:
            ClusterLostError: They have stopped or gone.
            ConnectError: Nobody knows now, maybe since it is this machine that is cut off.
        """
        try:
            return self._plan().find_again(self._machines)
        except LaunchError as unknown:
            log.info("SkyPilot cannot tell about %s now: %s", self.name, unknown)
            raise error from unknown
        except ClusterLostError:
            self._machines = None
            raise

    def _present(self) -> Machines | None:
        """Return the machines if they are up, as far as SkyPilot knows without asking the cloud."""
        found = launching.find(self.name, refresh=False)
        return found if found is not None and found.state == "up" else None

    def _settle(self, machines: Machines | None) -> None:
        """Remember where the machines are; what is connected to others is given up."""
        if machines is not None and machines == self._machines:
            return
        self._close_calls()
        for host in self._hosts.values():
            with contextlib.suppress(ConnectError):
                host.disconnect()
        self._hosts.clear()
        vars(self).pop("calls", None)
        self._machines = machines

    def ssh_creds(self) -> dict[str, Any]:
        """Return how to log in to the head, without the key itself; see `Cluster.ssh_creds`."""
        return self._up_machines().ssh_creds()

    def cluster_ssh_key(self, path: str | None = None) -> str:
        """Return the private key with which the machines are logged in to, as a text.

        Args:
            path: The key's file; None for the one that SkyPilot has for this cluster.

        Raises:
            FileNotFoundError: There is no such file.
            ClusterNotUpError: No file was given, and the machines are not up.

        Example:
            >>> import runhouse as rh
            >>> key = rh.ondemand_cluster("gpu").cluster_ssh_key()  # doctest: +SKIP
        """
        chosen = self.ssh_creds().get("ssh_private_key", "") if path is None else path
        file = Path(chosen).expanduser()
        if not chosen or not file.is_file():
            msg = (
                f"The private key of {self.name!r} cannot be read. There is no file "
                f"{chosen or 'for it'}. Give the path of the key's file."
            )
            raise FileNotFoundError(msg)
        return file.read_text(encoding="ascii")

    # -- life -----------------------------------------------------------------------------------

    def up(self: Self) -> Self:
        """Launch the machines unless they are up, and start the server there; safe to repeat.

        Blocks for as long as SkyPilot takes, `launch_timeout_s` (30 minutes) at most; its progress
        is shown on standard error. Interrupted by Ctrl-C, it tells what exists by then.

        Returns:
            The cluster itself.

        Raises:
            ResourcesError: No cloud that is enabled has such machines.
            CapacityError: None of them is free now.
            QuotaError: The account may not have them.
            CloudCredentialsError: No cloud lets us in.
            SkyServerError: SkyPilot's API server does not answer.
            LaunchError: SkyPilot failed in another way.
            ConnectError: The machines are up, but cannot be reached.
            BootstrapError: They were reached, but runhouse cannot start there.
            ImportError: SkyPilot is not installed.
        """
        self._settle(self._plan().bring_up())
        self.host_of().up()
        chosen = self._autostop_mins
        if chosen is not None and chosen != self._told()["autostop_mins"]:
            self._set_autostop(chosen)
        return self

    def is_up(self) -> bool:
        """Tell whether the machines are up and the server runs there; launches nothing.

        Blocks for some seconds when SkyPilot has to ask the cloud.
        """
        try:
            if self._machines is None and self._present() is None:
                return False
            return super().is_up()
        except ClusterNotUpError:
            return False

    def stop(self) -> bool:
        """Stop the machines; their disks are kept, and cost. `start()` brings them back.

        Returns:
            Whether they were up.

        Raises:
            LaunchError: The cloud cannot stop them, spot machines for example.
        """
        found = launching.find(self.name, refresh=True)
        if found is None or found.state == "stopped":
            return False
        self._settle(None)
        skypilot().stop(self.name)
        return True

    def start(self: Self) -> Self:
        """Start machines that were stopped, with their disks as they were; see `up`.

        Returns:
            The cluster itself.

        Raises:
            LaunchError: See `up`.

        Example:
            >>> import runhouse as rh
            >>> rh.ondemand_cluster("gpu").start()  # doctest: +SKIP
            <runhouse.OnDemandCluster 'gpu'>
        """
        return self.up()

    def teardown(self) -> None:
        """Remove the machines with all that is on them; safe to repeat. The definition is kept.

        Raises:
            LaunchError: They could not be removed, and may still cost.
        """
        self._settle(None)
        if launching.find(self.name, refresh=False) is not None:
            skypilot().down(self.name)

    # -- autostop -------------------------------------------------------------------------------

    def _told(self) -> dict[str, Any]:
        """Return what lets a server tell SkyPilot on its head that the machines are in use."""
        machines = self._up_machines()
        minutes = machines.autostop_mins if machines.autostop_mins > 0 else -1
        return {"autostop_mins": minutes, "pulse": skypilot().pulse(), "stops": machines.stops}

    def _set_autostop(self, autostop_mins: int) -> None:
        machines = self._up_machines()
        skypilot().set_autostop(self.name, autostop_mins, self._stops)
        self._machines = replace(machines, autostop_mins=autostop_mins, stops=self._stops)
        self.calls.client.request("PUT", "/autostop", self._told())

    def keep_warm(self: Self, autostop_mins: int = -1) -> Self:
        """Change after how many idle minutes the machines go, now and when they are launched again.

        Args:
            autostop_mins: The minutes; -1: never.

        Returns:
            The cluster itself.

        Raises:
            TypeError: The minutes are no whole number.
            ValueError: They are 0, or less than -1.
            ClusterNotUpError: The machines are not up.
        """
        minutes = arguments.idle_minutes(autostop_mins)
        self._up_machines()
        self._set_autostop(minutes)
        self._autostop_mins = minutes
        return self

    # -- what is known --------------------------------------------------------------------------

    def seen(self, *, refresh: bool) -> Machines | None:
        """Return what SkyPilot knows about the machines, or None when there are none.

        :meta private:
        """
        return launching.find(self.name, refresh=refresh)

    def status(self, refresh: bool = True) -> ClusterStatus:
        """Return what runs on the cluster, what it costs, and when it goes; launches nothing.

        Args:
            refresh: Ask the cloud whether the machines are there, which takes some seconds; False
                believes what SkyPilot saw last.

        Returns:
            The status. While the machines are not up, its `state` is `"launching"`, `"stopping"`,
            `"stopped"` or `"down"`, and it tells of no nodes and workers.
        """
        found = launching.find(self.name, refresh=refresh)
        if found is None:
            return ClusterStatus(name=self.name, state="down", cloud=CloudStatus())
        cloud = CloudStatus(
            resources=found.resources,
            price_per_hour=found.price_per_hour,
            cost=skypilot().cost_so_far(self.name),
            up_s=time.time() - found.launched_at if found.state == "up" else 0.0,
        )
        if found.state != "up":
            return ClusterStatus(name=self.name, state=found.state, cloud=cloud)
        self._settle(found)
        return replace(super().status(), cloud=cloud)
